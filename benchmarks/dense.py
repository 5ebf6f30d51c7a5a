"""Jobs of one dense layer, float32, relu."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from checks import check, relative_error
from timing import PythonJob


def _operands(rows: int, inputs: int, units: int) -> tuple[np.ndarray, ...]:
    """Return x, kernel, bias and the gradient of the output."""
    generator = np.random.default_rng(3)
    shapes = ((rows, inputs), (inputs, units), (units,), (rows, units))
    return tuple(generator.uniform(-1, 1, shape).astype(np.float32) for shape in shapes)


def forward(contender: str, rows: int, inputs: int, units: int) -> PythonJob:
    """Return the job of one forward pass."""
    x, kernel, bias, _ = _operands(rows, inputs, units)
    run = {"fastnn": _fastnn_forward, "NumPy": _numpy_forward}[contender](x, kernel, bias)
    exact = np.maximum(x.astype(np.float64) @ kernel.astype(np.float64) + bias, 0)
    what = f"{contender}, forward {rows} x {inputs} x {units}"
    check(what, relative_error(run(), exact), 1e-5)
    return PythonJob(run)


def _fastnn_forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> Callable[[], np.ndarray]:
    from fastnn import kernels

    out = np.empty((len(x), len(bias)), np.float32)
    return lambda: kernels.dense_forward(x, kernel, bias, "relu", out=out)


def _numpy_forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> Callable[[], np.ndarray]:
    out = np.empty((len(x), len(bias)), np.float32)

    def run() -> np.ndarray:
        np.matmul(x, kernel, out=out)
        np.add(out, bias, out=out)
        return np.maximum(out, 0, out=out)

    return run


def backward(contender: str, rows: int, inputs: int, units: int) -> PythonJob:
    """Return the job of one backward pass: gradients of input, kernel and bias."""
    x, kernel, bias, grad = _operands(rows, inputs, units)
    y = np.maximum(x @ kernel + bias, 0)
    make = {"fastnn": _fastnn_backward, "NumPy": _numpy_backward}[contender]
    run = make(grad, x, kernel, bias, y)
    exact_z = grad.astype(np.float64) * (y > 0)
    exact = exact_z @ kernel.T.astype(np.float64), x.T.astype(np.float64) @ exact_z, exact_z.sum(0)
    for what, got, right in zip(("input", "kernel", "bias"), run(), exact, strict=True):
        name = f"{contender}, gradient of the {what}, {rows} x {inputs} x {units}"
        check(name, relative_error(got, right), 1e-5)
    return PythonJob(run)


def _fastnn_backward(
    grad: np.ndarray, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, y: np.ndarray
) -> Callable[[], tuple[np.ndarray, ...]]:
    from fastnn import kernels

    out = tuple(map(np.empty_like, (x, kernel, bias)))
    return lambda: kernels.dense_backward(grad, x, kernel, bias, "relu", y=y, out=out)


def _numpy_backward(
    grad: np.ndarray, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, y: np.ndarray
) -> Callable[[], tuple[np.ndarray, ...]]:
    active, grad_z = np.empty(y.shape, bool), np.empty_like(grad)
    grad_x, grad_kernel, grad_bias = map(np.empty_like, (x, kernel, bias))

    def run() -> tuple[np.ndarray, ...]:
        np.greater(y, 0, out=active)
        np.multiply(grad, active, out=grad_z)
        np.matmul(grad_z, kernel.T, out=grad_x)
        np.matmul(x.T, grad_z, out=grad_kernel)
        np.sum(grad_z, axis=0, out=grad_bias)
        return grad_x, grad_kernel, grad_bias

    return run
