"""Memory on huge pages: what it holds, where it starts, on which pages it lies."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn._memory import HUGE_PAGE, zeroed_bytes, zeros_on_huge_pages

SIZES = [0, 1, 1000, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE + 4097]


@pytest.mark.parametrize("make", [zeros_on_huge_pages, zeroed_bytes])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_zeroed_and_can_be_written(make, size):
    array = make(size)
    assert array.shape == (size,)
    assert array.dtype == np.uint8
    assert not array.any()
    array[...] = 1
    assert array.sum() == size


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no huge pages")
def test_it_starts_on_a_huge_page():
    assert zeros_on_huge_pages(3 * HUGE_PAGE).ctypes.data % HUGE_PAGE == 0


def test_without_huge_pages_there_is_memory_all_the_same(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    array = zeros_on_huge_pages(HUGE_PAGE)
    array[...] = 1
    assert array.all()


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no huge pages")
def test_a_kernel_that_refuses_huge_pages_is_heeded(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", -1)
    assert not zeros_on_huge_pages(HUGE_PAGE).any()


def huge_pages():
    """Return the bytes of this process that lie on huge pages."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_large_arrays_lie_on_huge_pages_and_leave_them():
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        pytest.skip("this system gives no huge pages")
    before = huge_pages()
    array = zeros_on_huge_pages(5 * HUGE_PAGE // 2)
    array[...] = 1
    if huge_pages() == before:
        pytest.skip("this system has no huge page to give just now")
    assert huge_pages() <= before + 2 * HUGE_PAGE
    del array
    assert huge_pages() <= before
