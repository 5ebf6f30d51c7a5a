"""Regularizers: penalties on weights, added to the training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._registry import Configurable, Registry, real
from fastnn._validation import numeric_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Regularizer(Configurable):
    """Base of the penalties; by itself ``l1 * sum(|w|) + l2 * sum(w**2)``.

    A subclass chooses `l1` and `l2`, or defines ``__call__(w)`` and ``gradient(w)`` for a penalty
    of another form. Training calls these two in each step, with read-only arrays in the model's
    dtype.

    Attributes
    ----------
    l1, l2 : float
        Factors, at least 0.
    kernel : {"l1_l2", "orthogonal"} or None
        What the engines compute themselves; None if they have to call.
    options : dict of str to float or str
        Arguments of that.

    Examples
    --------
    >>> class FourthPower(Regularizer):
    ...     def __call__(self, w):
    ...         return 0.01 * float(np.sum(w**4))
    ...
    ...     def gradient(self, w):
    ...         return 0.04 * w**3
    >>> FourthPower()(np.array([1.0, 2.0]))
    0.17
    """

    l1: float = 0.0
    l2: float = 0.0
    kernel: ClassVar[str | None] = "l1_l2"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls).keys() & {"__call__", "gradient"}
        if len(own) == 1:
            raise TypeError(
                f"{cls.__name__} must define both __call__(w) and gradient(w), its derivative, "
                f"got {own.pop()} alone: training needs the two to agree"
            )
        if own and "kernel" not in vars(cls):
            cls.kernel = None

    @property
    def options(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}

    def __call__(self, w: ArrayLike) -> float:
        """Return the penalty on the weights `w`, an array of any shape."""
        weights = np.asarray(w, dtype=np.float64)
        return float(self.l1 * np.abs(weights).sum() + self.l2 * np.square(weights).sum())

    def gradient(self, w: ArrayLike) -> np.ndarray:
        """Return the derivative of the penalty with respect to `w`, of the same shape."""
        weights = _floating(w)
        return self.l1 * np.sign(weights) + 2.0 * self.l2 * weights


class L1(Regularizer):
    """``l1 * sum(|w|)``: drives weights to exactly zero (the lasso).

    Parameters
    ----------
    l1 : float, default 0.01

    References
    ----------
    R. Tibshirani (1996). Regression shrinkage and selection via the lasso. Journal of the Royal
    Statistical Society B 58(1), 267-288.

    Examples
    --------
    >>> L1(0.5)([[1.0, -2.0]])
    1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = real(l1, "l1", "[0, inf)")


class L2(Regularizer):
    """``l2 * sum(w**2)``: keeps weights small (ridge regression, weight decay).

    Parameters
    ----------
    l2 : float, default 0.01

    References
    ----------
    A. E. Hoerl and R. W. Kennard (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12(1), 55-67.

    Examples
    --------
    >>> L2(0.5)([[1.0, -2.0]])
    2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = real(l2, "l2", "[0, inf)")


class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w**2)`` (the elastic net).

    The name ``"l1_l2"`` stands for ``L1L2(l1=0.01, l2=0.01)``.

    Parameters
    ----------
    l1, l2 : float, default 0.0

    References
    ----------
    H. Zou and T. Hastie (2005). Regularization and variable selection via the elastic net.
    Journal of the Royal Statistical Society B 67(2), 301-320.

    Examples
    --------
    >>> L1L2(l1=1.0, l2=0.5)([[1.0, -2.0]])
    5.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = real(l1, "l1", "[0, inf)")
        self.l2 = real(l2, "l2", "[0, inf)")


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean magnitude of the cosines between rows, or columns, of a matrix.

    With ``v[i] = w[i] / max(norm(w[i]), 1e-7)``, the penalty is ``factor`` times the mean of
    ``abs(v[i] @ v[j])`` over all pairs i < j. A single row has none.

    Parameters
    ----------
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
        What is to be orthogonal. The columns of a kernel of shape (features, units) are the
        weights that lead to each unit.

    Raises
    ------
    ValueError
        In use, if the weights do not have two axes.

    References
    ----------
    Keras 3, ``keras.regularizers.OrthogonalRegularizer``, which gives NaN for a single row.

    Examples
    --------
    >>> OrthogonalRegularizer(0.5)([[1.0, 0.0], [3.0, 4.0]])
    0.3
    """

    kernel = "orthogonal"

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = real(factor, "factor", "[0, inf)")
        if mode not in ("rows", "columns"):
            raise ValueError(f"mode must be 'rows' or 'columns', got {mode!r}")
        self.mode = mode

    @property
    def options(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}

    def __call__(self, w: ArrayLike) -> float:
        from fastnn import kernels

        return kernels.orthogonal_penalty(_floating(w), factor=self.factor, mode=self.mode)

    def gradient(self, w: ArrayLike) -> np.ndarray:
        from fastnn import kernels

        return kernels.orthogonal_gradient(_floating(w), factor=self.factor, mode=self.mode)


def _floating(w: ArrayLike) -> np.ndarray:
    array = numeric_array(w, "w")
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


# Keras knows them by these names, too.
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_registry: Registry[Regularizer] = Registry(
    "regularizer",
    Regularizer,
    {
        "l1": L1,
        "l2": L2,
        "l1_l2": L1L2(l1=0.01, l2=0.01),
        "l1l2": L1L2,
        "orthogonal_regularizer": OrthogonalRegularizer,
    },
    advice="Subclass Regularizer and define __call__(w) and gradient(w)",
)


def get(identifier: Any) -> Regularizer | None:
    """Return the regularizer that `identifier` stands for; None stands for none.

    Parameters
    ----------
    identifier : str, class, Regularizer, dict or None
        ``"l1"``, ``"l2"``, ``"l1_l2"``, ``"orthogonal_regularizer"``, or a dict of the form of
        `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> get("l2"), get(L1(0.1)), get("l1_l2")
    (L2(), L1(l1=0.1), L1L2(l1=0.01, l2=0.01))
    """
    return None if identifier is None else _registry.get(identifier)


def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """Return ``{"class_name": ..., "config": ...}``, or None for none.

    Examples
    --------
    >>> serialize(L2(0.1))
    {'class_name': 'L2', 'config': {'l2': 0.1}}
    """
    return None if regularizer is None else _registry.serialize(regularizer)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Regularizer]] | None = None
) -> Regularizer:
    """Return a new regularizer from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
