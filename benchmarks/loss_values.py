"""Jobs of losses, float32: the value of each row, and the gradient at the predictions.

NumPy's and PyTorch's are written as users would write them, NumPy's with what value and gradient
have in common computed once; PyTorch's gradient is that of autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import threads
from checks import check, relative_error
from timing import PythonJob

ValuesAndGradient = Callable[[], tuple[np.ndarray, np.ndarray]]

OPTIONS: dict[str, dict[str, Any]] = {
    "huber": {},
    "log_cosh": {},
    "gaussian_nll": {},
    "binary_crossentropy": {"from_logits": True},
    "categorical_crossentropy": {"from_logits": True},
    "cosine_similarity": {},
}


def loss(contender: str, name: str, rows: int, columns: int) -> PythonJob:
    """Return the job of one loss of `rows` times `columns` predictions."""
    t, p = _operands(name, rows, columns)
    makers = {"fastnn": _fastnn, "NumPy": _numpy, "PyTorch": _torch}
    run = makers[contender](name, t, p)
    exact = _numpy(name, t.astype(np.float64), p.astype(np.float64))()
    for what, got, right in zip(("values", "gradient"), run(), exact, strict=True):
        check(f"{contender}, {name}, {what}", relative_error(got, right), 1e-5)
    return PythonJob(run)


def _operands(name: str, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions."""
    generator = np.random.default_rng(6)
    p = generator.normal(size=(rows, columns)).astype(np.float32)
    if name == "categorical_crossentropy":
        return np.eye(columns, dtype=np.float32)[generator.integers(columns, size=rows)], p
    if name == "binary_crossentropy":
        return generator.integers(2, size=p.shape).astype(np.float32), p
    width = columns // 2 if name == "gaussian_nll" else columns
    return generator.normal(size=(rows, width)).astype(np.float32), p


def _fastnn(name: str, t: np.ndarray, p: np.ndarray) -> ValuesAndGradient:
    from fastnn import kernels

    options, out = OPTIONS[name], np.empty_like(p)

    def run() -> tuple[np.ndarray, np.ndarray]:
        values = kernels.loss_forward(t, p, name, **options)
        return values, kernels.loss_backward(t, p, name, out=out, **options)

    return run


# NumPy


def _numpy(name: str, t: np.ndarray, p: np.ndarray) -> ValuesAndGradient:
    return lambda: NUMPY[name](t, p)


def _huber(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = p - t
    inner = np.clip(e, -1, 1)
    return np.mean(inner * (e - inner / 2), axis=1), inner / p.shape[1]


def _log_cosh(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = p - t
    return np.mean(np.logaddexp(e, -e) - np.log(2), axis=1), np.tanh(e) / p.shape[1]


def _gaussian_nll(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = t.shape[1]
    e, log_variance = p[:, :k] - t, p[:, k:]
    slope = e * np.exp(-log_variance)
    square = e * slope
    gradient = np.empty_like(p)
    gradient[:, :k], gradient[:, k:] = slope / k, (1 - square) / (2 * k)
    return np.mean(log_variance + square, axis=1) / 2, gradient


def _binary_crossentropy(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = np.exp(-np.abs(p))
    values = np.mean(np.maximum(p, 0) - p * t + np.log1p(e), axis=1)
    return values, (np.where(p < 0, e, 1) / (1 + e) - t) / p.shape[1]


def _categorical_crossentropy(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = p - p.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    return np.log(total[:, 0]) - np.einsum("ij,ij->i", t, shifted), e / total - t


def _cosine_similarity(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = np.linalg.norm(p, axis=1, keepdims=True)
    target = t / np.linalg.norm(t, axis=1, keepdims=True)
    direction = p / length
    along = np.einsum("ij,ij->i", target, direction)
    return -along, (along[:, np.newaxis] * direction - target) / length


NUMPY: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "huber": _huber,
    "log_cosh": _log_cosh,
    "gaussian_nll": _gaussian_nll,
    "binary_crossentropy": _binary_crossentropy,
    "categorical_crossentropy": _categorical_crossentropy,
    "cosine_similarity": _cosine_similarity,
}


# PyTorch


def _torch(name: str, t: np.ndarray, p: np.ndarray) -> ValuesAndGradient:
    import torch

    torch.set_num_threads(threads.count())
    values_of = _torch_functions()[name]
    targets, predictions = torch.from_numpy(t), torch.from_numpy(p).requires_grad_()

    def run() -> tuple[np.ndarray, np.ndarray]:
        values = values_of(targets, predictions)
        (gradient,) = torch.autograd.grad(values.sum(), predictions)
        return values.detach().numpy(), gradient.numpy()

    return run


def _torch_functions() -> dict[str, Callable[[Any, Any], Any]]:
    """Return the values of each row, by PyTorch's own functions where there is one."""
    import torch
    from torch.nn import functional

    def log_cosh(t: Any, p: Any) -> Any:
        e = p - t
        return (e + functional.softplus(-2 * e) - np.log(2)).mean(dim=1)

    def gaussian_nll(t: Any, p: Any) -> Any:
        mean, log_variance = p.chunk(2, dim=1)
        return (log_variance + (mean - t) ** 2 * torch.exp(-log_variance)).mean(dim=1) / 2

    def binary(t: Any, p: Any) -> Any:
        crossentropy = functional.binary_cross_entropy_with_logits
        return crossentropy(p, t, reduction="none").mean(dim=1)

    return {
        "huber": lambda t, p: functional.huber_loss(p, t, reduction="none").mean(dim=1),
        "log_cosh": log_cosh,
        "gaussian_nll": gaussian_nll,
        "binary_crossentropy": binary,
        "categorical_crossentropy": lambda t, p: functional.cross_entropy(p, t, reduction="none"),
        "cosine_similarity": lambda t, p: -functional.cosine_similarity(p, t),
    }
