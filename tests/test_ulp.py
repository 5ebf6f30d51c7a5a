"""Accuracy of the elementary functions: the largest error in units in the last place.

The table states for each activation and float type what is promised under every instruction set;
the truth is worked out with more digits: float32 in float64, float64 in numpy.longdouble where
that is wider (x86), with the functions that NumPy has for it.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, reference

# activation, float type, domain, largest error in ULP
TABLE = [
    ("exponential", "float32", (-87.0, 88.0), 1.5),
    ("exponential", "float32", (-1.0, 1.0), 1.5),
    ("tanh", "float32", (-10.0, 10.0), 2.5),
    ("tanh", "float32", (-1e-3, 1e-3), 2.0),
    ("sigmoid", "float32", (-87.0, 30.0), 2.5),
    ("softplus", "float32", (-80.0, 80.0), 2.5),
    ("elu", "float32", (-30.0, 5.0), 2.5),
    ("selu", "float32", (-30.0, 5.0), 2.5),
    ("silu", "float32", (-80.0, 80.0), 3.0),
    ("gelu", "float32", (-12.0, 12.0), 5.5),
    ("softsign", "float32", (-1e3, 1e3), 1.5),
    ("exponential", "float64", (-700.0, 700.0), 1.5),
    ("tanh", "float64", (-20.0, 20.0), 3.0),
    ("sigmoid", "float64", (-700.0, 30.0), 2.5),
    ("softplus", "float64", (-700.0, 700.0), 2.5),
    ("elu", "float64", (-40.0, 5.0), 2.5),
    ("silu", "float64", (-700.0, 700.0), 3.0),
]

# Functions of float64 need a truth of more than 53 digits.
EXTENDED = np.finfo(np.longdouble).nmant > 60


def truth(activation, x):
    """The function at `x`, in the type of `x`, from NumPy's elementary functions."""
    functions = {
        "exponential": np.exp,
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "softplus": lambda v: np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v))),
        "elu": lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0))),
        "silu": lambda v: v / (1 + np.exp(-v)),
        "softsign": lambda v: v / (1 + np.abs(v)),
    }
    if activation == "gelu":  # the reference's own, accurate to 3 ULP of float64
        return reference.activation_forward(x, "gelu")
    if activation == "selu":
        scale, alpha = 1.0507009873554805, 1.6732632423543772
        return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return functions[activation](x)


@pytest.mark.parametrize(
    ("activation", "dtype", "domain", "bound"), TABLE, ids=[f"{r[0]}-{r[1]}-{r[2]}" for r in TABLE]
)
def test_largest_error(isa, activation, dtype, domain, bound):
    if dtype == "float64" and not EXTENDED:
        pytest.skip("this machine's long double is no wider than float64")
    rng = np.random.default_rng(30)
    x = np.concatenate([np.linspace(*domain, 200_001), rng.uniform(*domain, 200_000)]).astype(dtype)
    exact = truth(activation, x.astype(np.float64 if dtype == "float32" else np.longdouble))
    y = kernels.activation_forward(x, activation)
    spacing = np.spacing(np.abs(exact).astype(dtype)).astype(exact.dtype)
    error = np.abs(y.astype(exact.dtype) - exact) / spacing
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{error[worst]:.2f} ULP at x = {x[worst]!r}"
