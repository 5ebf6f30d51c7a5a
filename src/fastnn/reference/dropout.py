"""Dropout, its mask drawn from a counter-based generator.

A counter-based generator has no state: the mask is a function of seed, step, row and column.
Forward and backward therefore draw the same mask without keeping it, and it is the same
whichever engine, order or number of threads computes it.
"""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_dropout
from fastnn.reference._arrays import deliver, ieee_arithmetic

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF


@ieee_arithmetic()
def dropout(
    x: np.ndarray, rate: float, seed: int, step: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``x * keep / (1 - rate)``, where `keep` is 0 with probability `rate`, else 1.

    The same call with the gradient for `x` is the backward pass. The element in row r and
    column c is kept if lane c % 4 of Philox4x32-10, with counter (c // 4, r, step mod 2^32,
    step // 2^32) and key (seed mod 2^32, seed // 2^32), is at least floor(rate * 2^32).

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n, width)
    rate : float
        In [0, 1).
    seed, step : int
        In [0, 2^64).
    out : ndarray of the shape and dtype of `x`, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    ndarray of the shape and dtype of `x`
        `out`, if it was given. What is dropped is 0, even infinity and NaN.

    Raises
    ------
    TypeError
        If `x` is not a float array, or `seed` or `step` not an integer.
    ValueError
        If `x` has not two axes, a number is out of range, or `out` does not fit.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: a simple way to
    prevent neural networks from overfitting".

    Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".

    Examples
    --------
    >>> dropout(np.ones((2, 6)), 0.5, seed=3, step=0)
    array([[2., 0., 2., 2., 0., 2.],
           [0., 2., 0., 2., 2., 2.]])
    """
    rate, seed, step = check_dropout(x, rate, seed, step, out)
    keep = random_words(x.shape, seed, step) >= int(rate * 2**32)
    scale = x.dtype.type(1 / (1 - rate))
    return deliver(np.where(keep, x * scale, 0), x.dtype, out)


def random_words(shape: tuple[int, ...], seed: int, step: int) -> np.ndarray:
    """Return a word of 32 random bits for each row and column."""
    rows, columns = np.indices(shape)
    counter = np.broadcast_arrays(columns // 4, rows, step & WORD, step >> 32)
    lanes = philox4x32(np.array(counter, dtype=np.uint64), (seed & WORD, seed >> 32))
    return np.choose(columns % 4, lanes)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Return four words of 32 random bits for each counter: Philox4x32-10.

    Parameters
    ----------
    counter : ndarray of uint64, shape (4, ...)
        Words of 32 bits.
    key : tuple of two int
        Words of 32 bits.

    Returns
    -------
    ndarray of uint64, shape (4, ...)
        Words of 32 bits.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0 = c0 * np.uint64(MULTIPLIERS[0])
        product1 = c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            _high(product1) ^ c1 ^ np.uint64(k0),
            _low(product1),
            _high(product0) ^ c3 ^ np.uint64(k1),
            _low(product0),
        )
        k0 = (k0 + KEY_INCREMENTS[0]) & WORD
        k1 = (k1 + KEY_INCREMENTS[1]) & WORD
    return np.array([c0, c1, c2, c3])


def _high(product: np.ndarray) -> np.ndarray:
    return product >> np.uint64(32)


def _low(product: np.ndarray) -> np.ndarray:
    return product & np.uint64(WORD)
