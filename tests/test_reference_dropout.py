"""The reference's dropout: the generator's published answers, and what a mask must do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn.reference import dropout
from fastnn.reference.dropout import philox4x32

# The known answers that the authors of Philox publish with their Random123 library.
KNOWN_ANSWERS = [
    # counter, key, answer
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, answer):
    got = philox4x32(np.array(words(counter), dtype=np.uint64), tuple(words(key)))
    assert_array_equal(got, np.array(words(answer), dtype=np.uint64))


def test_mask_is_made_of_the_documented_words():
    seed, step, row, column = 0x299F31D0A4093822, 0x0370734413198A2E, 3, 6
    counter = np.array([column // 4, row, 0x13198A2E, 0x03707344], dtype=np.uint64)
    word = philox4x32(counter, (0xA4093822, 0x299F31D0))[column % 4]
    x = np.ones((4, 7))
    just_kept, just_dropped = int(word) / 2**32, (int(word) + 1) / 2**32
    assert dropout(x, just_kept, seed, step)[row, column] == 1 / (1 - just_kept)
    assert dropout(x, just_dropped, seed, step)[row, column] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_zero_or_scaled(dtype):
    x = np.random.default_rng(0).normal(size=(50, 9)).astype(dtype)
    y = dropout(x, 0.3, 1, 2)
    assert y.dtype == dtype
    kept = y != 0
    assert_array_equal(y[kept], x[kept] * dtype(1 / 0.7))
    assert 0.6 < kept.mean() < 0.8


def test_share_of_the_kept():
    kept = dropout(np.ones((1000, 100)), 0.25, 7, 0) != 0
    # Five standard deviations of the mean of 100,000 draws.
    assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / kept.size)


def test_mask_depends_on_seed_and_step_alone():
    x = np.ones((8, 11))
    assert_array_equal(dropout(x, 0.5, 1, 2), dropout(x, 0.5, 1, 2))
    assert_array_equal(dropout(x, 0.5, 1, 2)[:5, :7], dropout(x[:5, :7], 0.5, 1, 2))
    for seed, step in [(2, 2), (1, 3), (1 + 2**32, 2), (1, 2 + 2**32)]:
        assert (dropout(x, 0.5, 1, 2) != dropout(x, 0.5, seed, step)).any()


def test_rate_zero_keeps_all():
    x = np.arange(6.0).reshape(2, 3)
    assert_array_equal(dropout(x, 0.0, 5, 5), x)


def test_what_is_dropped_is_zero_even_if_infinite():
    x = np.full((20, 20), np.inf)
    x[:, ::2] = np.nan
    y = dropout(x, 0.5, 1, 1)
    assert (y == 0).any()
    assert not np.isfinite(y[y != 0]).any()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (1, 1)])
def test_small_shapes(shape):
    assert dropout(np.ones(shape), 0.5, 0, 0).shape == shape


def test_out_may_be_the_input():
    x = np.ones((4, 5))
    expected = dropout(x, 0.5, 9, 9)
    assert dropout(x, 0.5, 9, 9, out=x) is x
    assert_array_equal(x, expected)
