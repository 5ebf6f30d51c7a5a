"""Memory on huge pages: what it holds, where it starts, on which pages it lies."""

from __future__ import annotations

import mmap
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fastnn import _memory
from fastnn._memory import HUGE_PAGE, zeroed_bytes, zeros_on_huge_pages

SIZES = [0, 1, 1000, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE + 4097]


needs_huge_pages = pytest.mark.skipif(
    not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no huge pages"
)


@pytest.fixture
def spare(monkeypatch):
    """Return the list of what is kept, which is empty."""
    monkeypatch.setattr(_memory._Lease, "spare", [])
    return _memory._Lease.spare


@pytest.mark.parametrize("make", [zeros_on_huge_pages, zeroed_bytes])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_zeroed_and_can_be_written(make, size):
    array = make(size)
    assert array.shape == (size,)
    assert array.dtype == np.uint8
    assert not array.any()
    array[...] = 1
    assert array.sum() == size


@needs_huge_pages
def test_it_starts_on_a_huge_page():
    assert zeros_on_huge_pages(3 * HUGE_PAGE).ctypes.data % HUGE_PAGE == 0


def test_without_huge_pages_there_is_memory_all_the_same(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    array = zeros_on_huge_pages(HUGE_PAGE)
    array[...] = 1
    assert array.all()


@needs_huge_pages
def test_a_kernel_that_refuses_huge_pages_is_heeded(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", -1)
    assert not zeros_on_huge_pages(HUGE_PAGE).any()


@needs_huge_pages
def test_what_is_let_go_of_is_zeroed_and_used_again(spare):
    first = zeros_on_huge_pages(2 * HUGE_PAGE)
    first[...] = 1
    address, part = first.ctypes.data, first[7:]
    del first
    assert not spare  # a part of it is still there
    del part
    again = zeros_on_huge_pages(2 * HUGE_PAGE - 5)
    assert again.ctypes.data == address
    assert again.shape == (2 * HUGE_PAGE - 5,)
    assert not again.any()
    assert not spare


@needs_huge_pages
@pytest.mark.parametrize("size", [HUGE_PAGE, 2 * HUGE_PAGE + 1])
def test_what_is_too_short_or_much_too_long_is_not_used(spare, size):
    zeros_on_huge_pages(2 * HUGE_PAGE)
    kept = spare[0].ctypes.data
    assert zeros_on_huge_pages(size).ctypes.data != kept
    assert kept in [memory.ctypes.data for memory in spare]


@needs_huge_pages
def test_no_more_is_kept_than_the_limit(spare):
    arrays = [zeros_on_huge_pages(HUGE_PAGE + i) for i in range(12)]
    del arrays
    assert sum(map(len, spare)) <= _memory._Lease.SPARE_BYTES < 12 * HUGE_PAGE


@needs_huge_pages
def test_what_was_let_go_of_last_is_kept(spare):
    arrays = [zeros_on_huge_pages(HUGE_PAGE + i) for i in range(12)]
    while arrays:
        del arrays[0]
    assert len(spare[-1]) == HUGE_PAGE + 11
    zeros_on_huge_pages(_memory._Lease.SPARE_BYTES)
    assert [len(memory) for memory in spare] == [_memory._Lease.SPARE_BYTES]
    zeros_on_huge_pages(_memory._Lease.SPARE_BYTES + 1)
    assert [len(memory) for memory in spare] == [_memory._Lease.SPARE_BYTES]


@needs_huge_pages
def test_threads_that_take_and_return_at_once_share_nothing(spare):
    def work(number):
        for _ in range(200):
            array = zeros_on_huge_pages(HUGE_PAGE + number)
            assert not array[::4096].any()
            array[::4096] = number
            assert (array[::4096] == number).all()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, 1 + i) for i in range(4)]:
            future.result()


def huge_pages():
    """Return the bytes of this process that lie on huge pages."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_large_arrays_lie_on_huge_pages_and_leave_them(monkeypatch):
    monkeypatch.setattr(_memory._Lease, "spare", [])
    monkeypatch.setattr(_memory._Lease, "SPARE_BYTES", 0)
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
