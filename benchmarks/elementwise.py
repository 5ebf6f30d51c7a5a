"""Jobs of functions that are applied to each element of an array.

NumPy's are written with every array allocated beforehand; where there are several ways, among
them SciPy's functions if it is installed, the fastest one is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import timing
from checks import check
from timing import PythonJob

Function = Callable[[np.ndarray, np.ndarray], object]  # of input and output


def function(contender: str, name: str, dtype: str, length: int) -> PythonJob:
    """Return the job of applying a function to `length` numbers between -4 and 4."""
    x = np.random.default_rng(4).uniform(-4, 4, length).astype(dtype)
    if name == "all_finite":
        return _finite(contender, x)
    out = np.empty_like(x)
    if contender == "fastnn":
        apply = _fastnn_function(name)
    else:
        apply = timing.fastest(_numpy_functions(name, x), x, out)
    apply(x, out)
    exact = np.vectorize(EXACT[name])(x.astype(np.float64))
    error = float(np.abs((out - exact) / (1 + np.abs(exact))).max())
    check(f"{contender}, {name} in {dtype}", error, 8 * float(np.finfo(dtype).eps))
    return PythonJob(lambda: apply(x, out))


def _finite(contender: str, x: np.ndarray) -> PythonJob:
    """Return the job of looking for NaN and infinities, which have no output array."""
    if contender == "fastnn":
        from fastnn import kernels

        look = kernels.all_finite
    else:
        found = np.empty(x.shape, bool)
        ways = [
            lambda x: np.isfinite(x, out=found).all(),
            lambda x: np.isfinite(x.min()) and np.isfinite(x.max()),
            lambda x: math.isfinite(np.add.reduce(x)),
        ]
        look = timing.fastest(ways, x)
    wrong = x.copy()
    wrong[len(x) // 2] = np.inf
    check(f"{contender}, all_finite in {x.dtype}", float(not look(x)) + float(look(wrong)), 0)
    return PythonJob(lambda: look(x))


EXACT: dict[str, Callable[[float], float]] = {
    "exponential": math.exp,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "gelu": lambda x: x / 2 * math.erfc(-x / math.sqrt(2)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "log_sigmoid": lambda x: -math.log1p(math.exp(-x)),
    "squareplus": lambda x: (x + math.sqrt(x * x + 4)) / 2,
    "tanh_shrink": lambda x: x - math.tanh(x),
}


def _fastnn_function(name: str) -> Function:
    from fastnn import kernels

    return lambda x, out: kernels.activation_forward(x, name, out=out)


def _numpy_functions(name: str, x: np.ndarray) -> Sequence[Function]:
    """Return the ways that NumPy and SciPy have; they may use the memory of each other."""
    scratch, negated = np.empty_like(x), np.empty_like(x)

    def logistic(x: np.ndarray, out: np.ndarray) -> None:
        np.negative(x, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        np.reciprocal(out, out=out)

    def by_tanh(x: np.ndarray, out: np.ndarray) -> None:
        np.multiply(x, 0.5, out=out)
        np.tanh(out, out=out)
        np.multiply(out, 0.5, out=out)
        np.add(out, 0.5, out=out)

    def times_x(sigmoid: Function) -> Function:
        def silu(x: np.ndarray, out: np.ndarray) -> None:
            sigmoid(x, out)
            np.multiply(out, x, out=out)

        return silu

    def gelu(x: np.ndarray, out: np.ndarray) -> None:
        np.multiply(x, math.sqrt(0.5), out=out)
        erf(out, out)
        np.add(out, 1, out=out)
        np.multiply(out, x, out=out)
        np.multiply(out, 0.5, out=out)

    def softplus(x: np.ndarray, out: np.ndarray) -> None:
        np.abs(x, out=scratch)
        np.negative(scratch, out=scratch)
        np.exp(scratch, out=scratch)
        np.log1p(scratch, out=scratch)
        np.maximum(x, 0, out=out)
        np.add(out, scratch, out=out)

    def elu(x: np.ndarray, out: np.ndarray) -> None:
        np.minimum(x, 0, out=scratch)
        np.expm1(scratch, out=scratch)
        np.maximum(x, 0, out=out)
        np.add(out, scratch, out=out)

    def mish(x: np.ndarray, out: np.ndarray) -> None:
        np.exp(x, out=out)
        np.log1p(out, out=out)
        np.tanh(out, out=out)
        np.multiply(out, x, out=out)

    def minus(softplus: Function) -> Function:
        def log_sigmoid(x: np.ndarray, out: np.ndarray) -> None:
            np.negative(x, out=negated)
            softplus(negated, out)
            np.negative(out, out=out)

        return log_sigmoid

    def squareplus(x: np.ndarray, out: np.ndarray) -> None:
        np.multiply(x, x, out=out)
        np.add(out, 4, out=out)
        np.sqrt(out, out=out)
        np.add(out, x, out=out)
        np.multiply(out, 0.5, out=out)

    def tanh_shrink(x: np.ndarray, out: np.ndarray) -> None:
        np.tanh(x, out=out)
        np.subtract(x, out, out=out)

    erf, scipy_sigmoids, scipy_log_sigmoids = scipy_functions()
    softpluses: list[Function] = [softplus, lambda x, out: np.logaddexp(x, 0, out=out)]
    sigmoids = [logistic, by_tanh, *scipy_sigmoids]
    ways: dict[str, list[Function]] = {
        "exponential": [lambda x, out: np.exp(x, out=out)],
        "tanh": [lambda x, out: np.tanh(x, out=out)],
        "sigmoid": sigmoids,
        "silu": [times_x(sigmoid) for sigmoid in sigmoids],
        "gelu": [gelu],
        "softplus": softpluses,
        "elu": [elu],
        "mish": [mish],
        "log_sigmoid": [*map(minus, softpluses), *scipy_log_sigmoids],
        "squareplus": [squareplus],
        "tanh_shrink": [tanh_shrink],
    }
    return ways[name]


def scipy_functions() -> tuple[Function, list[Function], list[Function]]:
    """Return the error function, by Python's if there is no SciPy, and SciPy's sigmoids if any.

    They are lists of the sigmoid and of its logarithm.
    """
    try:
        from scipy import special
    except ImportError:
        every = np.frompyfunc(math.erf, 1, 1)
        return lambda x, out: np.copyto(out, every(x), casting="unsafe"), [], []
    return (
        lambda x, out: special.erf(x, out=out),
        [lambda x, out: special.expit(x, out=out)],
        [lambda x, out: special.log_expit(x, out=out)],
    )
