"""Rosenblatt's unit: what it learns, what it cannot, and how it says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn import NotSeparableWarning, Perceptron

TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
GATES = {"and": [0, 0, 0, 1], "nand": [1, 1, 1, 0], "or": [0, 1, 1, 1], "nor": [1, 0, 0, 0]}
XOR = [0, 1, 1, 0]


@pytest.mark.parametrize("gate", GATES)
def test_it_learns_the_separable_gates(gate):
    unit = Perceptron().fit(TABLE, GATES[gate])
    np.testing.assert_array_equal(unit.predict(TABLE), GATES[gate])
    assert unit.score(TABLE, GATES[gate]) == 1.0
    assert unit.converged_
    assert unit.separable_ is True
    assert unit.errors_[-1] == 0
    assert len(unit.errors_) == unit.n_epochs_


def test_the_first_epoch_worked_by_hand():
    """AND from zero weights: wrong at (0,0), (0,1) right after it, and so on.

    | sample | sum | fires | target | weights after | bias after |
    | (0,0)  |  0  |  1    |  0     | ( 0,  0)      | -1         |
    | (0,1)  | -1  |  0    |  0     |               |            |
    | (1,0)  | -1  |  0    |  0     |               |            |
    | (1,1)  | -1  |  0    |  1     | ( 1,  1)      |  0         |
    """
    with pytest.warns(NotSeparableWarning, match="max_epochs is too small"):
        unit = Perceptron(max_epochs=1).fit(TABLE, GATES["and"])
    assert unit.errors_ == [2]
    np.testing.assert_array_equal(unit.weights, [1, 1])
    assert unit.bias == 0
    assert unit.separable_ is None


def test_the_threshold_is_where_the_unit_begins_to_fire():
    unit = Perceptron().fit(TABLE, GATES["and"])
    assert unit.threshold == -unit.bias
    sums = TABLE @ unit.weights
    np.testing.assert_array_equal(unit.predict(TABLE), sums >= unit.threshold)
    np.testing.assert_array_equal(unit.decision_function(TABLE), sums + unit.bias)


def test_a_sum_of_zero_fires():
    unit = Perceptron().fit([[0.0], [1.0]], [1, 0])
    assert unit.decision_function([[0.0]]) == 0
    assert unit.predict([[0.0]]) == 1


def test_xor_is_reported_as_not_separable_long_before_the_bound():
    with pytest.warns(NotSeparableWarning, match="are not linearly separable"):
        unit = Perceptron(max_epochs=10**9).fit(TABLE, XOR)
    assert unit.separable_ is False
    assert not unit.converged_
    assert unit.n_epochs_ < 100
    assert unit.score(TABLE, XOR) < 1


def test_the_bound_on_epochs_holds():
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(40, 3)), generator.integers(0, 2, 40)
    with pytest.warns(NotSeparableWarning, match="stopped after 7 epochs .* may not be"):
        unit = Perceptron(max_epochs=7).fit(x, labels)
    assert unit.n_epochs_ == 7
    assert not unit.converged_
    assert unit.separable_ is None


@given(
    x=hnp.arrays(np.int64, (12, 3), elements=st.integers(-4, 4)),
    normal=hnp.arrays(np.int64, 3, elements=st.integers(-3, 3)),
    offset=st.integers(-3, 3),
)
def test_whatever_a_hyperplane_separates_is_learned(x, normal, offset):
    labels = x @ normal + offset >= 0.5
    if labels.all() or not labels.any():
        return
    unit = Perceptron(max_epochs=100_000).fit(x, labels)
    assert unit.separable_ is True
    np.testing.assert_array_equal(unit.predict(x), labels)


def test_the_learning_rate_scales_the_weights_only():
    one = Perceptron().fit(TABLE, GATES["or"])
    half = Perceptron(learning_rate=0.5).fit(TABLE, GATES["or"])
    np.testing.assert_array_equal(half.weights, one.weights / 2)
    assert half.errors_ == one.errors_


def test_the_mistakes_are_those_of_scikit_learn_s_rule():
    """Labels of -1 and 1 double the step: the same hyperplane at half the learning rate."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = np.random.default_rng(1)
    x = generator.normal(size=(60, 4))
    y = (x @ [1.0, -2.0, 0.5, 0.25] + 0.3 > 0).astype(int)
    unit = Perceptron().fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops at the bound given here, by intention
        peer = linear_model.Perceptron(max_iter=unit.n_epochs_, tol=None, shuffle=False).fit(x, y)
    np.testing.assert_allclose(unit.weights, peer.coef_[0], rtol=1e-9)
    np.testing.assert_allclose(unit.bias, peer.intercept_[0], rtol=1e-9)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([False, False, False, True]),
        np.array(["no", "no", "no", "yes"]),
        np.array([-1.0, -1.0, -1.0, 1.0]),
        np.array([3, 3, 3, 7], dtype=np.uint8),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_two_values(labels):
    unit = Perceptron().fit(TABLE, labels)
    predicted = unit.predict(TABLE)
    np.testing.assert_array_equal(predicted, labels)
    assert predicted.dtype == labels.dtype


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32])
def test_inputs_of_any_real_type_are_left_as_they_are(dtype):
    x = TABLE.astype(dtype)
    x.flags.writeable = False
    unit = Perceptron().fit(np.asfortranarray(x), GATES["and"])
    np.testing.assert_array_equal(unit.predict(x[::-1]), GATES["and"][::-1])


def test_an_empty_batch_is_predicted():
    unit = Perceptron().fit(TABLE, GATES["and"])
    assert unit.predict(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (TABLE.astype(object), XOR, TypeError, "x must hold real numbers, got dtype object"),
        (TABLE.astype(complex), XOR, TypeError, "x must hold real numbers, got dtype complex"),
        (TABLE.astype(str), XOR, TypeError, "x must hold real numbers, got dtype <U"),
        (TABLE.astype("M8[s]"), XOR, TypeError, "x must hold real numbers, got dtype datetime64"),
        ([0, 1], [0, 1], ValueError, r"shape \(n, features\), got \(2,\)"),
        ([[0, np.nan]], [1], ValueError, r"x contains NaN at \[0, 1\]"),
        ([[0.0], [-np.inf]], [0, 1], ValueError, r"x contains -infinity at \[1, 0\]"),
        (TABLE, [0, 1, 1], ValueError, r"y of shape \(4,\), .* got \(3,\)"),
        (TABLE, [[0], [1], [1], [0]], ValueError, r"y of shape \(4,\), .* got \(4, 1\)"),
        (TABLE, [0, 1, 2, 1], ValueError, "two different labels in y, got 3"),
        (TABLE, [1, 1, 1, 1], ValueError, "two different labels in y, got 1"),
        (np.zeros((0, 2)), [], ValueError, "two different labels in y, got 0"),
        (TABLE, [0, 1, np.nan, 1], ValueError, r"y contains NaN at \[2\]"),
        (TABLE, [0, 1, None, 1], TypeError, "strings as labels y, got dtype object"),
    ],
)
def test_bad_data_is_named_and_leaves_the_unit_as_it_was(x, y, error, message):
    unit = Perceptron().fit(TABLE, GATES["and"])
    before = dict(vars(unit))
    with pytest.raises(error, match=message):
        unit.fit(x, y)
    assert vars(unit) == before


@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf, "fast", None])
def test_bad_learning_rates(rate):
    with pytest.raises(ValueError, match="learning_rate must be a positive number"):
        Perceptron(learning_rate=rate)


@pytest.mark.parametrize(
    ("epochs", "error"),
    [(0, ValueError), (-3, ValueError), (2.5, ValueError), ("many", TypeError), (None, TypeError)],
)
def test_bad_bounds_on_epochs(epochs, error):
    with pytest.raises(error, match="max_epochs must be"):
        Perceptron(max_epochs=epochs)


def test_predicting_before_fitting():
    with pytest.raises(ValueError, match="call fit"):
        Perceptron().predict(TABLE)


def test_a_wrong_number_of_features():
    unit = Perceptron().fit(TABLE, GATES["and"])
    with pytest.raises(ValueError, match=r"shape \(n, 2\), got \(1, 3\)"):
        unit.predict([[1, 2, 3]])


def test_a_wrong_number_of_labels_to_score():
    unit = Perceptron().fit(TABLE, GATES["and"])
    with pytest.raises(ValueError, match=r"4 rows .* shape \(1,\)"):
        unit.score(TABLE, [1])


def test_its_text_says_how_it_was_made():
    assert repr(Perceptron(0.5, 10)) == "Perceptron(learning_rate=0.5, max_epochs=10)"


@pytest.mark.parametrize("seed", range(5))
def test_what_has_been_learnt_is_predicted_whatever_rows_are_beside_it(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        x = rng.integers(-5, 6, (rng.integers(2, 12), rng.integers(1, 12))) / 10
        y = np.arange(len(x)) % 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unit = Perceptron(0.1, max_epochs=50).fit(x, y)
        sums = unit.decision_function(x)
        assert not unit.converged_ or unit.score(x, y) == 1
        assert [unit.decision_function(row[None])[0] for row in x] == sums.tolist()
