"""Constraints: what weights are held to, after each step of training.

A constraint is called with an array and returns one of the same shape that is as it should be.
In training the engines apply those of this module in place, where norms are taken along the first
axis, which is the default; others, and those of users, are called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._registry import Configurable, Registry, real
from fastnn._validation import numeric_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Constraint(Configurable):
    """Base of all constraints; subclass it and define ``__call__(w)`` for one of your own.

    Training calls it after each step, with a read-only array in the model's dtype. If it raises,
    the whole step is taken back.

    Attributes
    ----------
    kernel : str or None
        Name of the kernel that does it in place; None if it has to be called.
    options : dict of str to float
        Arguments of that kernel.

    Examples
    --------
    >>> class Binary(Constraint):
    ...     def __call__(self, w):
    ...         return np.sign(w)
    >>> Binary()(np.array([0.3, -2.0]))
    array([ 1., -1.])
    """

    @property
    def kernel(self) -> str | None:
        return None

    @property
    def options(self) -> dict[str, float]:
        return {}

    def __call__(self, w: ArrayLike) -> np.ndarray:
        """Return the weights `w` as they may be, in an array of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(w)")


class BuiltinConstraint(Constraint):
    """A constraint that a kernel computes, on vectors along the first axis."""

    computed_by: ClassVar[str]
    rewritten: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Whoever writes it anew means it to be called.
        if "__call__" in vars(cls):
            cls.rewritten = True

    @property
    def kernel(self) -> str | None:
        return self.computed_by if self._axes in ((), (0,)) and not self.rewritten else None

    @property
    def _axes(self) -> tuple[int, ...]:
        """Axes along which the vectors lie; none if all numbers are on their own."""
        return ()

    def __call__(self, w: ArrayLike) -> np.ndarray:
        """Return the weights `w` as they may be, in an array of the same shape.

        Parameters
        ----------
        w : array_like of real numbers

        Returns
        -------
        ndarray of float64 if `w` is of that type, else of float32

        Raises
        ------
        ValueError
            If `w` does not have the axes.
        """
        from fastnn import kernels

        array = numeric_array(w, "w")
        axes, front = self._axes, range(len(self._axes))
        if any(not -array.ndim <= axis < array.ndim for axis in axes):
            raise ValueError(f"{self!r} needs an array with its axes, got shape {array.shape}")
        moved = np.moveaxis(array, axes, front)
        shape = math.prod(moved.shape[: len(axes)]), math.prod(moved.shape[len(axes) :])
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        vectors = np.array(moved, dtype, order="C").reshape(shape)
        getattr(kernels, self.computed_by)(vectors, **self.options)
        return np.moveaxis(vectors.reshape(moved.shape), front, axes)


class NonNeg(BuiltinConstraint):
    """Weights of at least 0: what is negative becomes 0.

    Examples
    --------
    >>> NonNeg()([[1.0, -2.0]])
    array([[1., 0.]])
    """

    computed_by = "non_neg"


class NormConstraint(BuiltinConstraint):
    """Base of the constraints on the Euclidean norms of vectors of weights.

    With ``norm = sqrt(sum(w**2, axis))`` and its `desired` value, weights become
    ``w * desired / (norm + 1e-7)``.

    Parameters
    ----------
    axis : int or sequence of int, default 0
        Along which the vectors lie. In a kernel of shape (features, units), 0 gives the weights
        that lead to a unit; a bias is one vector.
    """

    computed_by = "min_max_norm"

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = _checked_axis(axis)

    @property
    def _axes(self) -> tuple[int, ...]:
        return (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)


class MaxNorm(NormConstraint):
    """Norms of at most `max_value`.

    With ``norm = sqrt(sum(w**2, axis))``, weights become
    ``w * min(norm, max_value) / (norm + 1e-7)``.

    Parameters
    ----------
    max_value : float, default 2.0
        At least 0.
    axis : int or sequence of int, default 0
        Along which the vectors lie. In a kernel of shape (features, units), 0 gives the weights
        that lead to a unit; a bias is one vector.

    References
    ----------
    N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting. Journal of Machine Learning Research 15, 1929-1958. (Section 5.1.)

    Examples
    --------
    >>> MaxNorm(1.0)([[3.0, 0.3], [4.0, 0.4]]).round(6)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        self.max_value = real(max_value, "max_value", "[0, inf)")
        super().__init__(axis)

    @property
    def options(self) -> dict[str, float]:
        return {"max_value": self.max_value}


class UnitNorm(NormConstraint):
    """Norms of 1.

    With ``norm = sqrt(sum(w**2, axis))``, weights become ``w / (norm + 1e-7)``.

    Parameters
    ----------
    axis : int or sequence of int, default 0
        Along which the vectors lie. In a kernel of shape (features, units), 0 gives the weights
        that lead to a unit; a bias is one vector.

    Examples
    --------
    >>> UnitNorm(axis=1)([[3.0, 4.0]]).round(6)
    array([[0.6, 0.8]])
    """

    @property
    def options(self) -> dict[str, float]:
        return {"min_value": 1.0, "max_value": 1.0}


class MinMaxNorm(NormConstraint):
    """Norms between two bounds.

    With ``norm = sqrt(sum(w**2, axis))``, weights become ``w * desired / (norm + 1e-7)`` where
    ``desired = rate * clip(norm, min_value, max_value) + (1 - rate) * norm``.

    Parameters
    ----------
    min_value : float, default 0.0
        At least 0.
    max_value : float, default 1.0
        At least `min_value`.
    rate : float, default 1.0
        How far to go towards the bound in each step, in [0, 1]: 1 is all the way.
    axis : int or sequence of int, default 0
        Along which the vectors lie. In a kernel of shape (features, units), 0 gives the weights
        that lead to a unit; a bias is one vector.

    Examples
    --------
    >>> MinMaxNorm(1.0, 2.0, rate=0.5)([[3.0, 0.3], [4.0, 0.4]]).round(6)
    array([[2.1 , 0.45],
           [2.8 , 0.6 ]])
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = real(min_value, "min_value", "[0, inf)")
        self.max_value = real(max_value, "max_value", "[0, inf)")
        self.rate = real(rate, "rate", "[0, 1]")
        if self.min_value > self.max_value:
            raise ValueError(
                f"min_value must not exceed max_value, got {min_value} and {max_value}"
            )
        super().__init__(axis)

    @property
    def options(self) -> dict[str, float]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate}


def _checked_axis(axis: int | Sequence[int]) -> int | list[int]:
    """Return one axis as an int, several as a list of them."""
    several = isinstance(axis, Sequence) and not isinstance(axis, str)
    axes = [_whole(each) for each in axis] if several else [_whole(axis)]  # type: ignore[union-attr]
    if len(set(axes)) != len(axes) or not axes:
        raise ValueError(f"axis must be one axis or several different ones, got {axis!r}")
    return axes if several else axes[0]


def _whole(axis: Any) -> int:
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be a whole number or several, got {axis!r}")
    return int(axis.__index__())


# Keras knows them by these names, too.
max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_registry: Registry[Constraint] = Registry(
    "constraint",
    Constraint,
    {
        "max_norm": MaxNorm,
        "min_max_norm": MinMaxNorm,
        "non_neg": NonNeg,
        "unit_norm": UnitNorm,
    },
    advice="Subclass Constraint and define __call__(w)",
)


def get(identifier: Any) -> Constraint | None:
    """Return the constraint that `identifier` stands for; None stands for none.

    Parameters
    ----------
    identifier : str, class, Constraint, dict or None
        ``"max_norm"``, ``"min_max_norm"``, ``"non_neg"``, ``"unit_norm"``, or a dict of the form
        of `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> get("non_neg"), get(MaxNorm(3.0))
    (NonNeg(), MaxNorm(max_value=3.0))
    """
    return None if identifier is None else _registry.get(identifier)


def serialize(constraint: Constraint | None) -> dict[str, Any] | None:
    """Return ``{"class_name": ..., "config": ...}``, or None for none.

    Examples
    --------
    >>> serialize(MaxNorm(3.0))
    {'class_name': 'MaxNorm', 'config': {'max_value': 3.0, 'axis': 0}}
    """
    return None if constraint is None else _registry.serialize(constraint)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Constraint]] | None = None
) -> Constraint:
    """Return a new constraint from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
