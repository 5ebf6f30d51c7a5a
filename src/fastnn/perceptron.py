"""Rosenblatt's perceptron: one threshold unit that learns from its mistakes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._validation import float_array, numeric_array, rows, whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLOAT64 = np.dtype(np.float64)


class NotSeparableWarning(UserWarning):
    """A perceptron stopped while it still made mistakes."""


class Perceptron:
    """A threshold unit with Rosenblatt's learning rule.

    The unit fires where the weighted sum of its inputs reaches its threshold,

        y = 1 if weights @ x >= threshold else 0,    threshold = -bias,

    and learns from one sample at a time, in the order given, whatever it got wrong:

        weights += learning_rate * (t - y) * x
        bias    += learning_rate * (t - y)

    where t is 1 for a sample of the second class and 0 for one of the first. If a hyperplane
    separates the classes, an epoch without a mistake comes after a finite number of steps, and
    learning ends there. If none does, it never comes: learning ends as soon as the weights
    after an epoch are seen a second time, from where they would go round for ever, or at the
    latest after `max_epochs`, and `fit` warns.

    Parameters
    ----------
    learning_rate : float, default 1.0
        Positive. Weights start at zero, so it scales them and changes no prediction (but for
        rounding).
    max_epochs : int, default 1000
        Bound on the passes over the data.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_features,)
    bias : float
    threshold : float
        ``-bias``.
    classes_ : ndarray of shape (2,)
        The two labels, sorted; the unit fires for the second.
    errors_ : list of int
        Mistakes in each epoch.
    n_epochs_ : int
        Passes over the data.
    converged_ : bool
        Whether the last epoch had no mistake.
    separable_ : bool or None
        True if a separating hyperplane was found; False if the weights repeated themselves,
        which but for rounding proves that there is none; None if `max_epochs` came first.

    References
    ----------
    F. Rosenblatt (1958). The perceptron: a probabilistic model for information storage and
    organization in the brain. Psychological Review 65(6), 386-408.
    A. B. J. Novikoff (1962). On convergence proofs on perceptrons. Symposium on the
    Mathematical Theory of Automata 12, 615-622.

    Examples
    --------
    >>> inputs = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> unit = Perceptron().fit(inputs, [0, 0, 0, 1])  # AND
    >>> unit.predict(inputs)
    array([0, 0, 0, 1])
    >>> unit.weights, unit.threshold
    (array([2., 1.]), 3.0)
    """

    weights: np.ndarray
    bias: float
    classes_: np.ndarray
    errors_: list[int]
    n_epochs_: int
    converged_: bool
    separable_: bool | None

    def __init__(self, learning_rate: float = 1.0, max_epochs: int = 1000) -> None:
        self.learning_rate = _positive(learning_rate, "learning_rate")
        self.max_epochs = whole_number(max_epochs, "max_epochs")

    def __repr__(self) -> str:
        return f"Perceptron(learning_rate={self.learning_rate}, max_epochs={self.max_epochs})"

    @property
    def threshold(self) -> float:
        """The weighted sum from which on the unit fires, ``-bias``."""
        return -self.bias

    def fit(self, x: ArrayLike, y: ArrayLike) -> Perceptron:
        """Learn to tell two classes apart, starting from zero weights.

        Parameters
        ----------
        x : array-like of shape (n, n_features)
            Finite numbers.
        y : array-like of shape (n,)
            Labels of two different values: numbers, truth values or strings.

        Returns
        -------
        self : Perceptron

        Raises
        ------
        TypeError, ValueError
            If `x` or `y` is not of this kind. The unit is then left as it was.

        Warns
        -----
        NotSeparableWarning
            If the unit still made mistakes in its last epoch.
        """
        inputs = _as_inputs(x)
        classes, targets = _as_targets(y, len(inputs))
        samples = _with_constant(inputs)
        weights, errors, repeated = self._learn(samples, targets)

        self.weights, self.bias = weights[:-1], float(weights[-1])
        self.classes_ = classes
        self.errors_ = errors
        self.n_epochs_ = len(errors)
        self.converged_ = errors[-1] == 0
        self.separable_ = True if self.converged_ else False if repeated else None
        self._warn_if_not_separable()
        return self

    def _learn(
        self, samples: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, list[int], bool]:
        """Return weights, mistakes per epoch, and whether the weights repeated themselves."""
        weights = np.zeros(samples.shape[1])
        # Brent's way to find a cycle: compare with the weights after epoch 1, 2, 4, 8, ...
        landmark = weights.copy()
        errors: list[int] = []
        for epoch in range(1, self.max_epochs + 1):
            errors.append(self._learn_epoch(samples, targets, weights))
            if errors[-1] == 0:
                return weights, errors, False
            if np.array_equal(weights, landmark):
                return weights, errors, True
            if epoch.bit_count() == 1:
                landmark = weights.copy()
        return weights, errors, False

    def _learn_epoch(self, samples: np.ndarray, targets: Iterable[int], weights: np.ndarray) -> int:
        """Correct `weights` after each mistake; return the number of mistakes."""
        mistakes = 0
        for sample, target in zip(samples, targets, strict=True):
            error = target - (_weighted_sums(sample, weights) >= 0)
            if error:
                weights += self.learning_rate * error * sample
                mistakes += 1
        return mistakes

    def _warn_if_not_separable(self) -> None:
        if self.converged_:
            return
        if self.separable_ is False:
            reason = "the classes are not linearly separable: the weights repeat themselves"
        else:
            reason = "the classes may not be linearly separable, or max_epochs is too small"
        warnings.warn(
            f"Perceptron stopped after {self.n_epochs_} epochs with {self.errors_[-1]} mistakes "
            f"in the last; {reason}. A Sequential with a hidden layer can learn such data",
            NotSeparableWarning,
            stacklevel=3,
        )

    def decision_function(self, x: ArrayLike) -> np.ndarray:
        """Return ``x @ weights + bias``, float64 of shape (n,); the unit fires from 0 on."""
        if not hasattr(self, "weights"):
            raise ValueError("Perceptron has no weights yet: call fit(x, y) first")
        inputs = rows(x, self.weights.shape, FLOAT64)
        return _weighted_sums(_with_constant(inputs), np.append(self.weights, self.bias))

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Return the label of each row of `x`, shape (n,)."""
        fires = self.decision_function(x) >= 0
        return np.asarray(self.classes_[fires.astype(np.intp)])

    def score(self, x: ArrayLike, y: ArrayLike) -> float:
        """Return the fraction of rows of `x` whose prediction is the label in `y`."""
        predictions = self.predict(x)
        labels = np.asarray(y)
        if labels.shape != predictions.shape or not len(labels):
            raise ValueError(
                f"Perceptron expects one label for each of {len(predictions)} rows (at least "
                f"one), got labels of shape {labels.shape}"
            )
        return float(np.mean(predictions == labels))


def _with_constant(inputs: np.ndarray) -> np.ndarray:
    """Return inputs with a constant 1 behind them, by which the bias is one more weight."""
    return np.column_stack([inputs, np.ones(len(inputs))])


def _weighted_sums(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of each sample, rounded alike in learning and for any rows.

    What has been learnt often lies at 0 exactly, where a product's order of additions decides.
    """
    return np.add.reduce(samples * weights, axis=-1)


def _positive(value: Any, what: str) -> float:
    """Return `value` as a finite float above 0."""
    if not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{what} must be a positive number, got {value!r}")
    return float(value)


def _as_inputs(x: ArrayLike) -> np.ndarray:
    """Return `x` as a finite float64 matrix of any width."""
    given = numeric_array(x, "x")
    if given.ndim != 2:
        raise ValueError(f"Perceptron expects x of shape (n, features), got {given.shape}")
    return float_array(given, FLOAT64, "x")


def _as_targets(y: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two labels in `y`, and for each row 1 if it has the second, else 0."""
    labels = np.asarray(y)
    if labels.dtype.kind not in "biufU":
        raise TypeError(
            "Perceptron expects numbers, truth values or strings as labels y, "
            f"got dtype {labels.dtype}"
        )
    if labels.shape != (count,):
        raise ValueError(
            f"Perceptron expects labels y of shape ({count},), one for each row of x, "
            f"got {labels.shape}"
        )
    if labels.dtype.kind == "f":
        float_array(labels, labels.dtype, "y")
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) != 2:
        raise ValueError(
            f"Perceptron expects two different labels in y, got {len(classes)}: {classes[:5]}"
        )
    return classes, targets
