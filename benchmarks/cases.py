"""What is timed: dense layers against NumPy, and whole networks against every contender."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from contenders import Contender
from networks import BATCH_SIZES, NETWORKS, ExactNetwork, initial_weights, network_name, samples

# rows, inputs, units
DENSE_SHAPES = (
    (1, 784, 256),
    (1, 1024, 1024),
    (32, 64, 64),
    (32, 784, 256),
    (128, 784, 256),
    (128, 1024, 1024),
    (4096, 64, 64),
    (4096, 784, 256),
)

PREDICTION_TOLERANCE = 2e-5
"""Largest absolute error of a probability in float32."""

TRAINING_TOLERANCE = 2e-2
"""Norm of the error of the change of the weights, relative to that of the change.

Adam's first steps have the size of the learning rate wherever the gradient is not zero, so
float32 may turn a step around where the gradient is all rounding error.
"""


@dataclass(frozen=True)
class Case:
    """One row of a table: the same work for each contender.

    Attributes
    ----------
    task : str
        Which table.
    name : str
        Which row.
    steps : int
        Steps in one run; times are given for one step.
    runs : mapping of str to callable
        What each contender does, by its name.
    """

    task: str
    name: str
    steps: int
    runs: Mapping[str, Callable[[], object]]


class WrongResultError(Exception):
    """A contender does not compute what it is to be timed for."""


def check(case: str, contender: str, error: float, tolerance: float) -> None:
    """Raise if `error`, which may be NaN, is not within `tolerance`."""
    if not error <= tolerance:
        raise WrongResultError(f"{case}: error of {contender} is {error:.2g}, over {tolerance:g}")


# Dense layers


def _dense_operands(rows: int, inputs: int, units: int) -> tuple[np.ndarray, ...]:
    """Return x, kernel, bias and the gradient of the output, float32."""
    generator = np.random.default_rng(3)
    shapes = ((rows, inputs), (inputs, units), (units,), (rows, units))
    return tuple(generator.uniform(-1, 1, shape).astype(np.float32) for shape in shapes)


def _relative_error(got: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(got - exact).max() / np.abs(exact).max())


def dense_forward(rows: int, inputs: int, units: int) -> Case:
    """Return the case of one forward pass."""
    from fastnn import kernels

    x, kernel, bias, _ = _dense_operands(rows, inputs, units)
    exact = np.maximum(x.astype(np.float64) @ kernel.astype(np.float64) + bias, 0)
    outs = {name: np.empty((rows, units), np.float32) for name in ("fastnn", "NumPy")}

    def run_fastnn() -> None:
        kernels.dense_forward(x, kernel, bias, "relu", out=outs["fastnn"])

    def run_numpy() -> None:
        out = outs["NumPy"]
        np.matmul(x, kernel, out=out)
        np.add(out, bias, out=out)
        np.maximum(out, 0, out=out)

    name = f"{rows} x {inputs} x {units}"
    case = Case("dense forward", name, 1, {"fastnn": run_fastnn, "NumPy": run_numpy})
    for name, run in case.runs.items():
        run()
        check(case.name, name, _relative_error(outs[name], exact), 1e-5)
    return case


def dense_backward(rows: int, inputs: int, units: int) -> Case:
    """Return the case of one backward pass: gradients of input, kernel and bias."""
    from fastnn import kernels

    x, kernel, bias, grad = _dense_operands(rows, inputs, units)
    y = np.maximum(x @ kernel + bias, 0)
    grad_z = np.empty_like(grad)

    def run_fastnn() -> tuple[np.ndarray, ...]:
        return kernels.dense_backward(grad, x, kernel, bias, "relu", y=y)

    def run_numpy() -> tuple[np.ndarray, ...]:
        np.multiply(grad, y > 0, out=grad_z)
        return grad_z @ kernel.T, x.T @ grad_z, grad_z.sum(axis=0)

    exact_z = grad.astype(np.float64) * (y > 0)
    exact = exact_z @ kernel.T.astype(np.float64), x.T.astype(np.float64) @ exact_z, exact_z.sum(0)
    name = f"{rows} x {inputs} x {units}"
    case = Case("dense backward", name, 1, {"fastnn": run_fastnn, "NumPy": run_numpy})
    for name, run in case.runs.items():
        error = max(_relative_error(g, e) for g, e in zip(run(), exact, strict=True))
        check(case.name, name, error, 1e-5)
    return case


# Whole networks


def case_name(sizes: tuple[int, ...], batch_size: int) -> str:
    """Return a name such as ``"64-64-10, batch 32"``."""
    return f"{network_name(sizes)}, batch {batch_size}"


def predict_case(
    sizes: tuple[int, ...], batch_size: int, contenders: Iterable[type[Contender]]
) -> Case:
    """Return the case of one prediction of `batch_size` rows."""
    name = case_name(sizes, batch_size)
    weights = initial_weights(sizes)
    x, _ = samples(sizes, batch_size)
    exact = ExactNetwork(weights).predict(x)
    runs: dict[str, Callable[[], object]] = {}
    for contender in contenders:
        network = contender(weights)
        error = float(np.abs(network.predict(x) - exact).max())
        check(name, contender.name, error, PREDICTION_TOLERANCE)
        runs[contender.name] = lambda network=network: network.predict(x)
    return Case("predict", name, 1, runs)


def steps_in_epoch(batch_size: int) -> int:
    """Return how many steps are timed together: from 128 of one row to 4 of 4096 rows."""
    return min(128, max(4, 16384 // batch_size))


def train_case(
    sizes: tuple[int, ...], batch_size: int, contenders: Iterable[type[Contender]]
) -> Case:
    """Return the case of one epoch of training in batches of `batch_size` rows."""
    name = case_name(sizes, batch_size)
    weights = initial_weights(sizes)
    steps = steps_in_epoch(batch_size)
    x, y = samples(sizes, steps * batch_size)
    runs: dict[str, Callable[[], object]] = {}
    for contender in contenders:
        if not contender.trains:
            continue
        check_training(name, contender, weights, x[:batch_size], y[:batch_size])
        network = contender(weights)
        runs[contender.name] = lambda network=network: network.train(x, y, batch_size)
    return Case("train", name, steps, runs)


def check_training(
    case: str,
    contender: type[Contender],
    weights: list[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    """Raise unless two steps on these rows change the weights as they should."""
    network, exact = contender(weights), ExactNetwork(weights, contender.late_epsilon)
    for _ in range(2):
        network.train(x, y, len(x))
        exact.train(x, y)
    wrong = changed = 0.0
    for start, got, right in zip(weights, network.weights(), exact.weights, strict=True):
        wrong += float(np.square(got - right).sum())
        changed += float(np.square(start - right).sum())
    check(case, contender.name, np.sqrt(wrong / changed), TRAINING_TOLERANCE)


# All of them


def all_cases(contenders: Iterable[type[Contender]]) -> Iterator[Callable[[], Case]]:
    """Yield makers of all cases; a maker checks the contenders before it returns."""
    for make_dense in (dense_forward, dense_backward):
        for shape in DENSE_SHAPES:
            yield partial(make_dense, *shape)
    for make_network in (predict_case, train_case):
        for sizes in NETWORKS:
            for batch_size in BATCH_SIZES:
                yield partial(make_network, sizes, batch_size, tuple(contenders))


def quick_cases(contenders: Iterable[type[Contender]]) -> Iterator[Callable[[], Case]]:
    """Yield makers of a few small cases, to see that everything works."""
    yield partial(dense_forward, *DENSE_SHAPES[2])
    yield partial(dense_backward, *DENSE_SHAPES[2])
    for make_network in (predict_case, train_case):
        for sizes in NETWORKS[:2]:
            yield partial(make_network, sizes, 32, tuple(contenders))
