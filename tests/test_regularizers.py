"""Regularizers: penalties worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastnn import regularizers
from fastnn.regularizers import L1, L1L2, L2, Regularizer

W = np.array([[1.0, -2.0], [0.0, 3.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("regularizer", "penalty"),
    [(L1(0.5), 3.0), (L2(0.5), 7.0), (L1L2(0.5, 0.25), 6.5), (L1L2(), 0.0)],
)
def test_penalties(regularizer, penalty):
    assert regularizer(W) == penalty
    assert regularizer(-W) == penalty
    assert regularizer(np.zeros((2, 0))) == 0.0


def test_factors_are_there_for_the_engines():
    assert (L1(0.5).l1, L1(0.5).l2) == (0.5, 0.0)
    assert (L2(0.5).l1, L2(0.5).l2) == (0.0, 0.5)
    assert (L1().l1, L2().l2) == (0.01, 0.01)


def test_names():
    both = regularizers.get("l1_l2")
    assert (both.l1, both.l2) == (0.01, 0.01)
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_factors_out_of_range_are_refused(value):
    for make in (L1, L2, lambda v: L1L2(l2=v)):
        with pytest.raises(ValueError, match=r"l1|l2"):
            make(value)


def test_a_penalty_that_training_would_not_know_is_refused():
    with pytest.raises(TypeError, match=r"must define both __call__\(w\) and gradient\(w\)"):

        class Mine(Regularizer):
            def __call__(self, w):
                return 1.0


def test_own_regularizer_chooses_the_factors():
    class Weak(Regularizer):
        l2 = 1e-6

    assert Weak()(W) == pytest.approx(14e-6)
    assert isinstance(regularizers.get(Weak), Weak)
