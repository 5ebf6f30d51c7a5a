"""Pictures of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import activations as vocabulary
from fastnn.plotting._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def activations(
    functions: Any | Sequence[Any],
    *,
    limits: tuple[float, float] = (-5.0, 5.0),
    derivative: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw activations, each with its derivative as a dashed line.

    Parameters
    ----------
    functions : str, class, ActivationFunction or config, or a list of these
    limits : tuple of two floats, default (-5, 5)
        Of the inputs.
    derivative : bool, default True
        Whether to draw derivatives.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If one of them is unknown, or no function of a single number, as softmax is not.

    Examples
    --------
    >>> ax = activations(["relu", "gelu"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['relu', 'gelu']
    """
    given = functions if isinstance(functions, list | tuple) else [functions]
    chosen = [vocabulary.get(function) for function in given]
    x = np.linspace(*_limits(limits), 1001)
    drawn = [(label_of(f), *_curve(f, x)) for f in chosen]
    ax = axes_or_new(ax)
    for label, y, slope in drawn:
        (line,) = ax.plot(x, y, label=label)
        if derivative:
            # One entry of the legend will do where there are several functions.
            name = "derivative" if len(drawn) == 1 else f"_derivative of {label}"
            ax.plot(x, slope, "--", color=line.get_color(), linewidth=1.2, label=name)
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel="input", ylabel="output (derivative dashed)" if derivative else "output")
    ax.legend()
    return ax


def _limits(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"limits must be two finite numbers, the smaller first, got {limits}")
    return low, high


def label_of(function: vocabulary.ActivationFunction) -> str:
    """Return the name of a function as it comes, else its class and arguments."""
    short = vocabulary.serialize(function) if function.builtin else function
    return short if isinstance(short, str) else repr(function)


def _curve(function: vocabulary.ActivationFunction, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and derivatives at `x`."""
    rows = np.column_stack([x, x])
    y = function.forward(rows)
    if y.shape != rows.shape or not np.allclose(y[:, :1], function.forward(rows[:, :1])):
        raise ValueError(
            f"activations expects functions of a single number, got {label_of(function)}, whose "
            "outputs depend on all inputs of a row"
        )
    if function.builtin and function.name == "step":
        return y[:, 0], np.zeros_like(x)
    return y[:, 0], function.backward(np.ones_like(rows), rows, y)[:, 0]
