"""Accuracy of the elementary functions: the largest error in units in the last place.

The table states for each activation and float type what is promised under every instruction set.
A domain goes as far as the result is neither zero nor infinite nor, as that of tanh, a constant;
where it ends in results below the normal range, these count, too. The truth is worked out with
more digits: float32 in float64, float64 in numpy.longdouble where that is wider (x86).

Here are samples. The bounds of float32 were set from all numbers between 2^-15 and 2^8, of either
sign (every fifth of them for celu, log_sigmoid, squareplus and tanh_shrink, every other for mish):
tanh comes nearest to its bound, with 2.43 ULP with fused multiply-add and 2.45 without; AVX-512 has
other ways for tanh and gelu, with 1.01 and 2.37 ULP.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from fastnn import kernels

# activation, float type, domain, largest error in ULP
TABLE = [
    ("exponential", "float32", (-104.0, 88.7), 1.2),
    ("tanh", "float32", (-10.0, 10.0), 2.5),
    ("sigmoid", "float32", (-104.0, 30.0), 2.5),
    ("softplus", "float32", (-104.0, 1e3), 2.5),
    ("elu", "float32", (-30.0, 5.0), 1.5),
    ("selu", "float32", (-30.0, 5.0), 2.5),
    ("silu", "float32", (-110.0, 1e3), 2.5),
    ("gelu", "float32", (-15.0, 1e3), 2.5),
    ("softsign", "float32", (-1e6, 1e6), 1.5),
    ("celu", "float32", (-30.0, 5.0), 1.5),
    ("mish", "float32", (-110.0, 1e3), 2.5),
    ("log_sigmoid", "float32", (-1e3, 104.0), 2.5),
    ("squareplus", "float32", (-1e3, 1e3), 2.5),
    ("tanh_shrink", "float32", (-1e3, 1e3), 2.5),
    ("exponential", "float64", (-746.0, 709.7), 1.2),
    ("tanh", "float64", (-20.0, 20.0), 3.0),
    ("sigmoid", "float64", (-746.0, 60.0), 2.5),
    ("softplus", "float64", (-746.0, 1e3), 2.5),
    ("elu", "float64", (-60.0, 5.0), 1.5),
    ("selu", "float64", (-60.0, 5.0), 2.5),
    ("silu", "float64", (-760.0, 1e3), 2.5),
    ("gelu", "float64", (-40.0, 1e3), 2.6),
    ("softsign", "float64", (-1e9, 1e9), 1.5),
    ("celu", "float64", (-60.0, 5.0), 1.5),
    ("mish", "float64", (-760.0, 1e3), 2.5),
    ("log_sigmoid", "float64", (-1e3, 746.0), 2.5),
    ("squareplus", "float64", (-1e3, 1e3), 2.5),
    ("tanh_shrink", "float64", (-1e3, 1e3), 2.5),
]

# Functions of float64 need a truth of more than 53 digits.
EXTENDED = np.finfo(np.longdouble).nmant > 60


def normal_tail(a):
    """P(X > a) of the standard normal distribution for a >= 0, in the type of `a`."""
    leading = a.astype(np.float32).astype(a.dtype)  # its square is exact
    density = np.exp(-leading * leading / 2) * np.exp((leading - a) * (leading + a) / 2)
    density /= np.sqrt(2 * np.arccos(a.dtype.type(-1)))
    near, far = np.minimum(a, 2), np.maximum(a, 2)
    series, term = np.zeros_like(a), near
    for n in range(1, 40):  # a + a^3 / 3 + a^5 / (3 * 5) + ...
        series, term = series + term, term * near**2 / (2 * n + 1)
    fraction = far
    for n in range(300, 0, -1):  # a + 1 / (a + 2 / (a + 3 / ...))
        fraction = far + n / fraction
    return np.where(a < 2, a.dtype.type(0.5) - density * series, density / fraction)


def truth(activation, x):
    """The function at `x`, in the type of `x`."""
    below, above, e = np.minimum(x, 0), np.maximum(x, 0), np.exp(-np.abs(x))
    root = np.hypot(x, 2)
    scale, alpha = np.array(["1.0507009873554804934", "1.6732632423543772848"]).astype(x.dtype)
    functions = {
        "exponential": lambda: np.exp(x),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: np.where(x < 0, e, 1) / (1 + e),
        "softplus": lambda: above + np.log1p(e),
        "elu": lambda: above + np.expm1(below),
        "selu": lambda: scale * (above + alpha * np.expm1(below)),
        "silu": lambda: x * np.where(x < 0, e, 1) / (1 + e),
        "gelu": lambda: above - np.abs(x) * normal_tail(np.abs(x)),
        "softsign": lambda: x / (1 + np.abs(x)),
        "celu": lambda: above + np.expm1(below),
        "mish": lambda: x * np.where(x < 0, e * e + 2 * e, 1 + 2 * e) / mish_denominator(x, e),
        "log_sigmoid": lambda: below - np.log1p(e),
        "squareplus": lambda: np.where(x < 0, 2 / (root - x), (x + root) / 2),
        "tanh_shrink": lambda: x_less_tanh(x),
    }
    return functions[activation]()


def mish_denominator(x, e):
    return np.where(x < 0, e * e + 2 * e + 2, 1 + 2 * e + 2 * e * e)


def x_less_tanh(x):
    """x - tanh(x), near zero by the continued fraction of tanh, in which nothing cancels."""
    near = np.clip(x, -3, 3) ** 2
    fraction = np.zeros_like(x)
    for n in range(41, 3, -2):  # x^2 / (5 + x^2 / (7 + ...))
        fraction = near / (n + fraction)
    return np.where(np.abs(x) < 3, x * (near / (3 + near + fraction)), x - np.tanh(x))


def quarters_of_octaves(dtype):
    """Where pieces of piecewise polynomials meet, and the numbers next to that."""
    ends = np.ldexp([[1.0], [1.25], [1.5], [1.75]], np.arange(-8, 8)).ravel().astype(dtype)
    return np.concatenate([np.nextafter(ends, dtype(0)), ends, np.nextafter(ends, dtype(np.inf))])


@cache
def sample(activation, dtype, domain):
    """Points of the domain, dense near zero as well, the truth at them and its last place."""
    rng = np.random.default_rng(30)
    low, high = domain
    tiny = float(np.finfo(dtype).smallest_subnormal)
    magnitudes = np.exp(rng.uniform(np.log(tiny), np.log(max(-low, high)), 100_000))
    magnitudes = np.append(magnitudes, quarters_of_octaves(np.dtype(dtype).type))
    points = [
        rng.uniform(low, high, 100_000),
        rng.uniform(max(low, -8), min(high, 8), 200_000),
        magnitudes[magnitudes <= high],
        -magnitudes[magnitudes <= -low],
        [0.0, low, high],
    ]
    x = np.concatenate(points).astype(dtype)
    exact = truth(activation, x.astype(np.float64 if dtype == "float32" else np.longdouble))
    return x, exact, np.spacing(np.abs(exact).astype(dtype)).astype(exact.dtype)


@pytest.mark.parametrize(
    ("activation", "dtype", "domain", "bound"), TABLE, ids=[f"{r[0]}-{r[1]}" for r in TABLE]
)
def test_largest_error(isa, activation, dtype, domain, bound):
    if dtype == "float64" and not EXTENDED:
        pytest.skip("this machine's long double is no wider than float64")
    x, exact, spacing = sample(activation, dtype, domain)
    error = np.abs(kernels.activation_forward(x, activation).astype(exact.dtype) - exact) / spacing
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{error[worst]:.2f} ULP at x = {x[worst]!r}"
