"""Pictures of a diagnosis: how signals and gradients fare in a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._extras import require
from fastnn.diagnosis import EXPLODING, VANISHING
from fastnn.plotting._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastnn.diagnosis import Diagnosis


def gradient_flow(diagnosis: Diagnosis, *, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """Draw mean and spread of activations and gradients, layer by layer.

    Vanishing and exploding are seen at a glance: the curve of the gradients of the outputs then
    enters one of the shaded areas, beyond a thousandth and a thousand times what they are at the
    last layer.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `Sequential.diagnose`.
    axes : sequence of two Axes, optional
        For activations and for gradients.

    Returns
    -------
    ndarray of two Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are no layers to draw, or not two Axes.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(4, "tanh", input_dim=2), Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> axes = gradient_flow(model.diagnose(np.eye(2), np.ones(2)))
    >>> axes[1].get_title()
    'Gradients'
    """
    if not diagnosis.layers:
        raise ValueError("the diagnosis has no layers to draw: look at a model that computes")
    both = _two_axes(axes, min(9.0, 0.3 * len(diagnosis.layers) + 3.0))
    _draw_activations(both[0], diagnosis)
    _draw_gradients(both[1], diagnosis)
    names = [layer.name for layer in diagnosis.layers]
    for ax in both:
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        ax.grid(axis="y", alpha=0.3)
    return both


def _two_axes(axes: Sequence[Axes] | None, width: float) -> np.ndarray:
    pyplot = require("matplotlib.pyplot", "plot")
    if axes is None:
        return pyplot.subplots(1, 2, figsize=(2 * width, 4.2), layout="constrained")[1]
    given = np.asarray(axes, dtype=object).ravel()
    if len(given) != 2:
        raise ValueError(f"gradient_flow draws into two Axes, got {len(given)}")
    return given


def _draw_activations(ax: Axes, diagnosis: Diagnosis) -> None:
    outputs = [layer.outputs for layer in diagnosis.layers]
    mean, std = np.array([o.mean for o in outputs]), np.array([o.std for o in outputs])
    x = np.arange(len(outputs))
    ax.fill_between(x, mean - std, mean + std, alpha=0.25, label="± standard deviation")
    ax.plot(x, mean, marker="o", label="mean")
    sizes = std[std > 0]
    if len(sizes) and sizes.max() > 100 * sizes.min():
        ax.set_yscale("symlog", linthresh=max(sizes.min(), 1e-6 * sizes.max()))
        locator: Any = ax.yaxis.get_major_locator()
        locator.set_params(numticks=7)
    ax.set(title="Activations", ylabel="output of the layer")
    ax.legend()


def _draw_gradients(ax: Axes, diagnosis: Diagnosis) -> None:
    layers = diagnosis.layers
    last = layers[-1].output_gradients.mean_abs
    curves = {
        "outputs": {i: layer.output_gradients for i, layer in enumerate(layers)},
        "kernels": {
            i: next(iter(layer.weight_gradients.values()))
            for i, layer in enumerate(layers)
            if layer.weight_gradients
        },
    }
    sizes = [last * VANISHING / 5, last]
    for label, spreads in curves.items():
        mean, std = [s.mean_abs for s in spreads.values()], [s.std for s in spreads.values()]
        (line,) = ax.plot([*spreads], mean, marker="o", label=f"{label}, mean size")
        colour = line.get_color()
        ax.plot([*spreads], std, ":", color=colour, label=f"{label}, standard deviation")
        sizes += mean + std
    ax.set_yscale("log", nonpositive="clip")
    finite = [size for size in sizes if 0 < size < np.inf]
    if finite:
        low, high = min(finite) / 3, max(finite) * 3
        for bound, edge, text in ((VANISHING, low, "vanishing"), (EXPLODING, high, "exploding")):
            ax.axhspan(bound * last, edge, color="tab:red", alpha=0.1, linewidth=0, zorder=0)
            if low < bound * last < high:
                side = "top" if edge == low else "bottom"
                style: dict[str, Any] = {"color": "tab:red", "ha": "right", "va": side}
                ax.text(0.99, bound * last, text, transform=ax.get_yaxis_transform(), **style)
        ax.set_ylim(low, high)
    ax.set(title="Gradients", ylabel="gradient of the loss")
    ax.legend()


def dead_units(diagnosis: Diagnosis, *, ax: Axes | None = None) -> Axes:
    """Draw on which share of the samples each unit is off, such as a ReLU is below 0.

    Each layer is a strip, its units sorted; those that are off on all samples are dead, and red.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `Sequential.diagnose`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no layer whose units can be off.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(4, "relu", input_dim=2, name="hidden"), Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> ax = dead_units(model.diagnose(np.eye(2), np.ones(2)))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['hidden']
    """
    shares = {f.name: f.off_share for f in diagnosis.layers if f.off_share is not None}
    if not shares:
        raise ValueError(
            "no layer of this diagnosis has units that can be off, such as those of relu"
        )
    ax = axes_or_new(ax, 7.0, 0.5 * len(shares) + 1.4)
    colours = require("matplotlib", "plot").colormaps["Blues"].with_extremes(over="tab:red")
    for row, share in enumerate(shares.values()):
        edges = np.linspace(0, 1, len(share) + 1)
        # The colours end just below 1, so that what is dead lies over them.
        strip = ax.pcolormesh(
            edges,
            [row - 0.4, row + 0.4],
            np.sort(share)[np.newaxis, ::-1],
            cmap=colours,
            vmin=0,
            vmax=np.nextafter(1, 0),
        )
        text = f"{np.mean(share == 1):.0%} of {len(share)} dead"
        ax.text(1.02, row, text, va="center", fontsize="small")
    ax.figure.colorbar(strip, ax=ax, extend="max", label="share of samples off", pad=0.2)
    ax.set_yticks(range(len(shares)), shares)
    ax.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5), title="Units that are off")
    ax.set_xlabel("units of the layer, sorted")
    ax.xaxis.set_major_formatter(require("matplotlib.ticker", "plot").PercentFormatter(1.0))
    return ax
