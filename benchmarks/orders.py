"""Jobs of drawing a random order, in which an epoch visits its rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import threads
from checks import check
from timing import PythonJob


def order(contender: str, length: int) -> PythonJob:
    """Return the job of drawing an order of `length` numbers."""
    draw = {"fastnn": _fastnn, "NumPy": _numpy, "PyTorch": _torch}[contender](length)
    first, second = draw(), draw()
    missing = float(np.abs(np.sort(first) - np.arange(length)).max())
    check(f"{contender}, numbers of an order of {length}", missing, 0)
    check(f"{contender}, an order drawn twice", float((first == second).all()), 0)
    return PythonJob(draw)


def _fastnn(length: int) -> Callable[[], np.ndarray]:
    """As `Sequential.fit` does it: the seed is drawn, too."""
    from fastnn import kernels

    generator = np.random.default_rng(7)
    return lambda: kernels.permutation(length, generator.bit_generator.random_raw())


def _numpy(length: int) -> Callable[[], np.ndarray]:
    generator = np.random.default_rng(7)
    return lambda: generator.permutation(length)


def _torch(length: int) -> Callable[[], np.ndarray]:
    import torch

    torch.set_num_threads(threads.count())
    return lambda: torch.randperm(length).numpy()
