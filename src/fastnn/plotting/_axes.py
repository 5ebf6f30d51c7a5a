"""Where to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.8) -> Axes:
    """Return `ax`, or that of a new figure of this size in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", "plot")
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]
