"""Pictures of how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn._extras import require
from fastnn.callbacks import History
from fastnn.plotting._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curves(
    history: History | Mapping[str, Sequence[float]],
    metric: str = "loss",
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw how a value went in training, and in validation if there was one.

    Parameters
    ----------
    history : History, or mapping of str to sequence of float
        As `Sequential.fit` returns it, or its ``history``.
    metric : str, default "loss"
        What to draw, with its twin ``val_...``.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the history has no such value.

    Examples
    --------
    >>> ax = learning_curves({"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, 0.7, 0.8]})
    >>> [line.get_label() for line in ax.lines]
    ['training', 'validation']
    """
    values = history.history if isinstance(history, History) else history
    if metric not in values:
        known = ", ".join(values) or "nothing"
        raise ValueError(f"the history has no {metric!r}, but {known}: choose one with metric=...")
    ax = axes_or_new(ax)
    for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
        if name in values:
            epochs = np.arange(1, len(values[name]) + 1)
            marker = "." if len(epochs) <= 30 else ""
            ax.plot(epochs, values[name], marker=marker, label=label)
    ax.set(title="Learning curve", xlabel="epoch", ylabel=metric.replace("_", " "))
    ax.xaxis.set_major_locator(require("matplotlib.ticker", "plot").MaxNLocator(integer=True))
    ax.legend()
    return ax
