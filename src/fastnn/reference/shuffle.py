"""Random orders, each a function of its length and a seed."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_permutation

GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)
WORD = 2**64 - 1


def permutation(n: int, seed: int | np.ndarray) -> np.ndarray:
    """Return the numbers from 0 to n - 1 in a random order that depends on `seed` alone.

    Each of the choices that it is made of is even but for one part in 2^32.

    Parameters
    ----------
    n : int
        From 0 to 2**32 - 1.
    seed : int, or ndarray of uint64, shape (k,)
        From 0 to 2**64 - 1; or a seed for each of k orders.

    Returns
    -------
    ndarray of int64, shape (n,) or (k, n)

    Raises
    ------
    TypeError
        If `n` is not an integer, or `seed` neither one nor an array of uint64.
    ValueError
        If one is out of range, or an array has another shape.

    References
    ----------
    Knuth, "The Art of Computer Programming", vol. 2, 3.4.2, algorithm P, after Fisher and Yates;
    words are those of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014), and become choices as in Lemire, "Fast random integer generation in an
    interval" (2019).

    Examples
    --------
    >>> permutation(8, seed=1)
    array([0, 3, 4, 1, 7, 2, 6, 5])
    >>> permutation(3, seed=np.array([1, 2], np.uint64)).shape
    (2, 3)
    """
    n, seeds = check_permutation(n, seed)
    orders = [_permutation(n, int(word)) for word in seeds.ravel()]
    return np.array(orders, dtype=np.int64).reshape(*seeds.shape, n)


def _permutation(n: int, seed: int) -> list[int]:
    order = list(range(n))
    for i in range(n):
        j = splitmix64(seed, i) * (i + 1) >> 64
        order[i], order[j] = order[j], i
    return order


def splitmix64(seed: int, i: int) -> int:
    """Return the word of 64 random bits with number `i`, counted from 0.

    Examples
    --------
    The first word that the authors' program gives for this seed:

    >>> splitmix64(1234567, 0)
    6457827717110365317
    """
    word = seed + (i + 1) * GAMMA & WORD
    word = (word ^ word >> SHIFTS[0]) * MULTIPLIERS[0] & WORD
    word = (word ^ word >> SHIFTS[1]) * MULTIPLIERS[1] & WORD
    return word ^ word >> SHIFTS[2]
