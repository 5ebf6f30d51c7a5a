"""Randomness: the one generator from which everything draws that has no seed of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastnn._naming import clear_session
from fastnn._validation import whole_number

__all__ = ["clear_session", "generator", "set_random_seed"]

# Made when it is first asked for: numpy.random takes as long to import as all of fastnn.
_generator: np.random.Generator | None = None
_of_thread = threading.local()


def set_random_seed(seed: int) -> None:
    """Seed the generator of initial weights, dropout masks and shuffling.

    With it, a program that builds and fits models does the same each time it is run on the same
    machine. The generators of NumPy and of Python's `random` are left alone.

    Parameters
    ----------
    seed : int
        At least 0.

    Examples
    --------
    >>> from fastnn.initializers import GlorotUniform
    >>> set_random_seed(0)
    >>> first = GlorotUniform()((2, 3))
    >>> set_random_seed(0)
    >>> np.array_equal(GlorotUniform()((2, 3)), first)
    True
    """
    global _generator
    _generator = np.random.default_rng(whole_number(seed, "seed", minimum=0))


def generator() -> np.random.Generator:
    """Return the generator that `set_random_seed` seeds, or the calling thread's own one."""
    global _generator
    own: np.random.Generator | None = getattr(_of_thread, "generator", None)
    if own is not None:
        return own
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


@contextmanager
def own_generator(generator: np.random.Generator) -> Iterator[None]:
    """Context in which the calling thread draws from `generator`, and from no other."""
    before = getattr(_of_thread, "generator", None)
    _of_thread.generator = generator
    try:
        yield
    finally:
        _of_thread.generator = before
