"""Kernels keep the memory in which they pack and copy: results stay the callers' own."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest

from fastnn import kernels, reference

# Rows, inputs, units: of different sizes, large enough for what is packed to be kept.
SHAPES = [(130, 300, 260), (40, 1030, 520), (300, 64, 400), (5, 9, 7), (140, 512, 1024)]


def operands(shape, dtype, seed=0):
    rows, inputs, units = shape
    rng = np.random.default_rng(seed)
    sizes = (rows, units), (rows, inputs), (inputs, units), (units,), (rows, units)
    return [rng.normal(size=size).astype(dtype) for size in sizes]


def backward(engine, shape, dtype, seed=0):
    grad, x, kernel, bias, y = operands(shape, dtype, seed)
    return engine.dense_backward(grad, x, kernel, bias, "tanh", y=np.tanh(y))


def assert_all_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_later_calls_leave_results_alone(isa, dtype):
    first = [backward(kernels, shape, dtype) for shape in SHAPES]
    grad, _, _, _, y = operands(SHAPES[0], dtype)
    slopes = kernels.activation_backward(grad, y, np.tanh(y), "tanh")
    copies = [[array.copy() for array in gradients] for gradients in first]
    slopes_before = slopes.copy()
    for seed in (1, 2):
        for shape in reversed(SHAPES):
            backward(kernels, shape, dtype, seed)
    for gradients, copied in zip(first, copies, strict=True):
        assert_all_equal(gradients, copied)
    np.testing.assert_array_equal(slopes, slopes_before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_calls_of_all_sizes_in_turn_are_right(isa, dtype):
    for shape in [*SHAPES, *reversed(SHAPES)]:
        got, expected = backward(kernels, shape, dtype), backward(reference, shape, dtype)
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=100 * tolerance)


def test_calls_at_once_do_not_share_their_memory():
    alone = [backward(kernels, shape, "float32", seed) for seed, shape in enumerate(SHAPES)]
    together = [None] * len(SHAPES)

    def work(seed):
        for _ in range(20):
            together[seed] = backward(kernels, SHAPES[seed], "float32", seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(len(SHAPES))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for got, expected in zip(together, alone, strict=True):
        assert_all_equal(got, expected)


def test_what_is_kept_is_bounded():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for rows in (1000, 10000, 100000):
            backward(kernels, (rows, 4, 60), "float32")
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 20e6, f"{kept / 1e6:.1f} MB are kept"
