"""Pictures of networks and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._extras import require
from fastnn._nesting import named_weights
from fastnn._validation import whole_number
from fastnn.activations import ActivationFunction
from fastnn.layers import is_identity
from fastnn.models import Sequential
from fastnn.plotting._axes import axes_or_new
from fastnn.plotting.functions import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastnn.layers import Layer

MOST_UNITS, MOST_COLUMNS = 16, 8
"""Widest layer and most layers of which `network_diagram` draws the neurons by itself."""

KINDS = {"": "0.9", "Dense": "#a6cee3", "Dropout": "#fdd49e", "Activation": "#c7e9c0"}
"""Colours of blocks; others are white."""


def network_diagram(model: Sequential, *, detail: str = "auto", ax: Axes | None = None) -> Axes:
    """Draw a network as textbooks do: its neurons and what connects them, or its layers as blocks.

    Edges have the colour of their weight and neurons that of their bias, the same for the same
    number; edges are as thick as their weight is large.

    Parameters
    ----------
    model : Sequential
        Of known input shape.
    detail : {"auto", "neurons", "blocks"}, default "auto"
        "auto" draws neurons where that stays readable: at most 16 in a layer, at most 8 layers
        of them, and nothing but dense layers and such as have no kernel and leave the number
        of units as it is.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If neurons are asked for and would not tell all of the model, or `detail` is unknown.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(4, "tanh", input_dim=2), Dense(1, "sigmoid")])
    >>> ax = network_diagram(model)
    >>> len(ax.patches)  # neurons
    7
    """
    if detail not in ("auto", "neurons", "blocks"):
        raise ValueError(f"detail must be 'auto', 'neurons' or 'blocks', got {detail!r}")
    model.count_params()  # builds what is not built yet
    columns = None if detail == "blocks" else _columns(model)
    if detail == "neurons" and columns is None:
        raise ValueError(
            "neurons can be drawn of dense layers with an output for each unit, and beside them of "
            "layers without a kernel that leave the number of units as it is: draw this model "
            "with detail='blocks'"
        )
    few = columns is not None and len(columns) <= MOST_COLUMNS + 1
    if columns is None or not (
        detail == "neurons" or (few and max(c.units for c in columns) <= MOST_UNITS)
    ):
        return _draw_blocks(model, ax)
    return _draw_neurons(columns, ax)


@dataclass
class _Column:
    """A column of neurons: of the input, or of a dense layer and what follows it."""

    units: int
    title: str
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None


def _columns(model: Sequential) -> list[_Column] | None:
    """Return the columns of neurons of a model; None if they would not tell all of it."""
    if len(model.input_shape) != 2:
        return None
    width = int(model.input_shape[1] or 0)
    columns = [_Column(width, "input")]
    for layer, shape in zip(model.layers, model.layer_output_shapes, strict=True):
        if len(shape) != 2 or layer._inner:
            return None
        weights = {parameter.name: parameter.numpy() for parameter in layer.weights}
        wide = {name: values.shape for name, values in weights.items() if values.ndim > 1}
        units = int(shape[1] or 0)
        if wide == {"kernel": (width, units)}:
            kernel, bias = weights["kernel"], weights.get("bias")
            columns.append(_Column(units, _kind(layer, "\n"), kernel, bias))
        elif units == width and not wide:
            columns[-1].title += f"\n+ {_kind(layer, ' ')}"
        else:
            return None
        width = units
    return columns if len(columns) > 1 else None


def _kind(layer: Layer, separator: str) -> str:
    """Return what a layer is: its name, and its activation if it has one."""
    function = getattr(layer, "activation", None)
    if not isinstance(function, ActivationFunction) or is_identity(function):
        return layer.name
    return f"{layer.name}{separator}{label_of(function)}"


def _draw_neurons(columns: Sequence[_Column], ax: Axes | None) -> Axes:
    tallest = max(column.units for column in columns)
    step = max(2.5, 0.35 * tallest)
    across, up = (len(columns) - 1) * step + 2, tallest + 1.7
    ax = axes_or_new(ax, 0.42 * across + 1.2, 0.42 * up + 0.3)
    shown = [part for c in columns for part in (c.kernel, c.bias) if part is not None]
    reach = max(float(np.abs(part).max()) for part in shown) or 1.0
    colours = require("matplotlib.cm", "plot").ScalarMappable(cmap="RdBu_r")
    colours.set_clim(-reach, reach)
    for i, column in enumerate(columns):
        if column.kernel is not None:
            _draw_edges(ax, (i - 1) * step, i * step, column.kernel, colours)
        faces = None if column.bias is None else colours.to_rgba(column.bias)
        _draw_column(ax, i * step, column, faces)
        ax.text(i * step, -tallest / 2 - 0.3, column.title, ha="center", va="top", fontsize="small")
    ax.set(xlim=(-1, (len(columns) - 1) * step + 1), ylim=(-tallest / 2 - 1.6, tallest / 2 + 0.1))
    ax.set_aspect("equal")
    ax.set_axis_off()
    bar = ax.figure.colorbar(colours, ax=ax, shrink=0.8, pad=0.01)
    bar.set_label("weight, bias")
    return ax


def _heights(units: int) -> np.ndarray:
    """Return where the neurons of a column are, from the first one at the top."""
    return (units - 1) / 2 - np.arange(units)


def _draw_edges(ax: Axes, left: float, right: float, kernel: np.ndarray, colours: Any) -> None:
    starts, ends = (_heights(units) for units in kernel.shape)
    lines = [[(left, start), (right, end)] for start in starts for end in ends]
    weights = kernel.ravel()
    order = np.argsort(np.abs(weights))  # the large ones on top
    widths = 0.3 + 2.7 * np.abs(weights) / colours.norm.vmax
    collection = require("matplotlib.collections", "plot").LineCollection(
        [lines[k] for k in order],
        colors=colours.to_rgba(weights[order]),
        linewidths=widths[order],
        zorder=1,
    )
    ax.add_collection(collection)


def _draw_column(ax: Axes, x: float, column: _Column, faces: Any) -> None:
    circle = require("matplotlib.patches", "plot").Circle
    for k, y in enumerate(_heights(column.units)):
        face = "white" if faces is None else faces[k]
        ax.add_patch(circle((x, y), 0.3, facecolor=face, edgecolor="0.25", zorder=2))


def _draw_blocks(model: Sequential, ax: Axes | None) -> Axes:
    """Draw a box for each layer, the input at the top, with what comes out of it."""
    rows = [("input", "", model.input_shape, 0)]
    for layer, shape in zip(model.layers, model.layer_output_shapes, strict=True):
        rows.append((_kind(layer, ", "), type(layer).__name__, shape, layer.count_params()))
    ax = axes_or_new(ax, 6.4, 0.62 * len(rows) + 0.3)
    for i, (title, kind, shape, parameters) in enumerate(rows):
        _draw_block(ax, -i, title, kind)
        sizes = " by ".join(str(size) for size in shape[1:])
        text = f"{sizes}" + (f"   {parameters:,} parameters" if parameters else "")
        ax.text(3.25, -i, text, va="center", fontsize="small")
        if i:
            arrow = {"arrowstyle": "-|>", "color": "0.3"}
            ax.annotate("", (1.5, 0.33 - i), (1.5, 0.67 - i), arrowprops=arrow)
    ax.set(xlim=(-0.1, 6.2), ylim=(-len(rows) + 0.5, 0.5))
    ax.set_axis_off()
    return ax


def _draw_block(ax: Axes, y: float, title: str, kind: str) -> None:
    box = require("matplotlib.patches", "plot").FancyBboxPatch(
        (0.1, y - 0.27),
        2.8,
        0.54,
        boxstyle="round,pad=0.05",
        facecolor=KINDS.get(kind, "white"),
        edgecolor="0.3",
    )
    ax.add_patch(box)
    text = title if not kind or title.startswith(kind.lower()) else f"{title} ({kind})"
    ax.text(1.5, y, text, ha="center", va="center", fontsize="small")


def weight_histograms(model: Sequential, *, bins: int = 60, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the weights of each layer, one above the other on one axis.

    Biases and the like, parameters of one axis, are left out where a layer has others. Each
    histogram is scaled to the same height.

    Parameters
    ----------
    model : Sequential
        Built.
    bins : int, default 60
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the model has no weights, or does not know the shape of its input yet.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(8, input_dim=4, name="low"), Dense(2, name="top")])
    >>> ax = weight_histograms(model)
    >>> [label.get_text().split()[0] for label in ax.get_yticklabels()]
    ['top.kernel', 'low.kernel']
    """
    whole_number(bins, "bins")
    weights = _kernels(model)
    ax = axes_or_new(ax, height=max(2.4, 0.9 * len(weights) + 1.2))
    reach = max(float(np.abs(values).max()) for values in weights.values()) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    colours = require("matplotlib", "plot").colormaps["viridis"](np.linspace(0, 0.8, len(weights)))
    for row, (values, colour) in enumerate(zip(reversed(weights.values()), colours, strict=True)):
        counts, _ = np.histogram(values, edges)
        heights = row + 0.9 * counts / counts.max()
        ax.stairs(heights, edges, baseline=row, fill=True, color=colour, alpha=0.7)
    labels = [f"{name}\nstd {values.std():.2g}" for name, values in weights.items()]
    ax.set_yticks(np.arange(len(labels)) + 0.4, labels[::-1])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="weight", title="Weights", ylim=(-0.1, len(weights)))
    ax.grid(axis="x", alpha=0.3)
    return ax


def _kernels(model: Sequential) -> dict[str, np.ndarray]:
    """Return the weights to show, by layer and name."""
    model.count_params()  # builds what is not built yet
    weights = {}
    for layer in model.layers:
        named = {f"{layer.name}.{name}": weight for name, weight in named_weights(layer)}
        wide = {title: weight for title, weight in named.items() if len(weight.shape) > 1}
        for title, parameter in (wide or named).items():
            weights[title] = parameter.numpy().ravel()
            if not np.isfinite(weights[title]).all():
                raise ValueError(f"{title} has weights that are not finite and cannot be drawn")
    if not weights:
        raise ValueError(f"model '{model.name}' has no weights to draw: add a Dense layer")
    return weights
