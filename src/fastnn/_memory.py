"""Memory on huge pages.

On pages of 4 kB a matrix of 1024 columns has each row on a page of its own, and a product waits
for the addresses of pages. Linux gives pages of 2 MB to whoever asks, unless it has been told
never to. NumPy asks for arrays of 4 MB and more, but may put them where another array was, on
pages that are there already; workspaces and packed kernels had better have them from 2 MB on, and
new ones: one row of 784-1024-1024-10 took 62 us with its kernels on huge pages, 65 to 77 elsewhere.

What is let go of is kept for the next who asks, as malloc does with smaller pieces: a new page of
2 MB takes 0.1 ms, and up to 4 ms on a virtual machine whose host has taken it back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

HUGE_PAGE = 1 << 21
"""Bytes of a page of the larger kind, on x86-64 and on most of AArch64."""


def zeroed_bytes(length: int) -> np.ndarray:
    """Return zeroed bytes, on huge pages if they fill one."""
    return zeros_on_huge_pages(length) if length >= HUGE_PAGE else np.zeros(length, np.uint8)


def zeros_on_huge_pages(length: int) -> np.ndarray:
    """Return zeroed bytes that start on a huge page; what does not fill one lies on small pages."""
    import mmap

    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(length, np.uint8)
    memory = _Lease.take_spare(length)
    if memory is None:
        memory = _new_memory(length)
    else:
        memory[:length] = 0
    return np.asarray(_Lease(memory))[:length]


def _new_memory(length: int) -> np.ndarray:
    import mmap

    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    region = mmap.mmap(-1, length + HUGE_PAGE, flags=private)
    raw = np.frombuffer(region, np.uint8)
    start = -raw.ctypes.data % HUGE_PAGE
    with suppress(OSError):  # a kernel without them
        region.madvise(mmap.MADV_HUGEPAGE, start, length // HUGE_PAGE * HUGE_PAGE)
    return raw[start : start + length]


class _Lease:
    """Lends memory to arrays, and takes it back when there are none of them any more."""

    SPARE_BYTES = 1 << 24
    """Bytes that are kept for the next, at most: those that were let go of last."""

    spare: ClassVar[list[np.ndarray]] = []

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._memory.__array_interface__

    def __del__(self) -> None:
        if len(self._memory) > self.SPARE_BYTES:
            return
        self.spare.append(self._memory)
        while sum(map(len, self.spare)) > self.SPARE_BYTES:
            del self.spare[:1]  # unless another thread took it

    @classmethod
    def take_spare(cls, length: int) -> np.ndarray | None:
        """Return spare memory that is long enough and not twice as long, if there is any."""
        for _ in range(len(cls.spare)):
            try:
                memory = cls.spare.pop(0)
            except IndexError:  # other threads took all that there was
                return None
            if length <= len(memory) < 2 * length:
                return memory
            cls.spare.append(memory)
        return None
