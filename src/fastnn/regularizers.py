"""Regularizers: penalties on the size of weights, added to the training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._registry import Configurable, Registry, real


class Regularizer(Configurable):
    """Base of the penalties of the form ``l1 * sum(|w|) + l2 * sum(w**2)``.

    The engines compute penalty and gradient, ``l1 * sign(w) + 2 * l2 * w``, from `l1` and `l2`
    alone. A subclass chooses these two numbers; it cannot change the form.

    Attributes
    ----------
    l1, l2 : float
        Factors, at least 0.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            raise TypeError(
                f"{cls.__name__} must not define __call__: training knows only penalties of the "
                "form l1 * sum(|w|) + l2 * sum(w**2); set the attributes l1 and l2"
            )

    def __call__(self, w: np.ndarray) -> float:
        """Return the penalty on the weights `w`, an array of any shape."""
        weights = np.asarray(w, dtype=np.float64)
        return float(self.l1 * np.abs(weights).sum() + self.l2 * np.square(weights).sum())


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


_registry: Registry[Regularizer] = Registry(
    "regularizer",
    Regularizer,
    {"l1": L1, "l2": L2, "l1_l2": L1L2(l1=0.01, l2=0.01)},
    advice="Use L1, L2 or L1L2",
)


def get(identifier: Any) -> Regularizer | None:
    """Return the regularizer that `identifier` stands for; None stands for none.

    Parameters
    ----------
    identifier : str, class, Regularizer, dict or None
        ``"l1"``, ``"l2"``, ``"l1_l2"``, or a dict of the form of `serialize`.

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
