"""Pictures and films of what a model says all over the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._extras import require
from fastnn._registry import real
from fastnn._validation import numeric_array, whole_number
from fastnn.callbacks import Callback
from fastnn.models import Sequential
from fastnn.plotting._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from fastnn.callbacks import Logs

MOST_FRAMES = 50
"""Pictures in a film, where `every` is not given."""

SHADES = np.linspace(0.15, 0.85, 32)
"""Colours of a single output. Few of them, without the darkest, keep films small."""


def decision_boundary(
    model: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    threshold: float = 0.5,
    resolution: int = 200,
    ax: Axes | None = None,
) -> Axes:
    """Draw what a model of two features says all over the plane, and the samples on it.

    A single output is drawn as a colour between those of the two classes, with a line where it
    crosses `threshold`. Of several outputs the largest one gives its colour, and the lines are
    where that changes.

    Parameters
    ----------
    model : Sequential, Perceptron or any object with ``predict(x)``
        Predictions may be one or more outputs, or labels.
    x : array_like of shape (n, 2)
    y : array_like
        Classes of the samples, shape (n,) or (n, 1), or one-hot rows.
    threshold : float, default 0.5
        Take 0 for a model with outputs from -1 to 1.
    resolution : int, default 200
        Points at which the model is asked, along each axis.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from fastnn import Perceptron
    >>> inputs, targets = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1]
    >>> ax = decision_boundary(Perceptron().fit(inputs, targets), inputs, targets)
    >>> ax.get_xlabel()
    'feature 1'
    """
    threshold = real(threshold, "threshold")
    features, labels = _two_features(x), _classes(y, len(np.asarray(x)))
    grid = _Grid(features, whole_number(resolution, "resolution", minimum=2))
    outputs = _Outputs(_predicted(model, grid.points), threshold, labels)
    ax = axes_or_new(ax)
    _draw_regions(ax, grid, outputs)
    _draw_samples(ax, features, labels, outputs.classes)
    return ax


def _two_features(x: ArrayLike) -> np.ndarray:
    features = numeric_array(x, "x")
    if features.ndim != 2 or features.shape[1] != 2 or not len(features):
        raise ValueError(
            f"a decision boundary needs x of shape (n, 2), got {features.shape}: choose two "
            "features, and train a model on these"
        )
    return features


def _classes(y: ArrayLike, count: int) -> np.ndarray:
    """Return a label for each sample."""
    labels = np.asarray(y)
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if labels.shape != (count,):
        raise ValueError(f"y must have a class for each of {count} samples, got {labels.shape}")
    return labels


class _Grid:
    """Points all over the plane around the samples.

    Attributes
    ----------
    sides : list of two ndarrays
        Their coordinates along each axis.
    shape : tuple of two ints
    points : ndarray of shape (resolution**2, 2)
    placement : dict
        Where an image of one value for each point belongs.
    """

    def __init__(self, features: np.ndarray, resolution: int) -> None:
        low, high = features.min(axis=0), features.max(axis=0)
        margin = 0.15 * np.where(high > low, high - low, 1.0)
        low, high = low - margin, high + margin
        self.sides = [np.linspace(low[i], high[i], resolution) for i in (0, 1)]
        self.shape = (resolution, resolution)
        self.points = np.column_stack([side.ravel() for side in np.meshgrid(*self.sides)])
        half = (high - low) / (resolution - 1) / 2
        edges = np.column_stack([low - half, high + half]).ravel().tolist()
        self.placement: dict[str, Any] = {"extent": edges, "origin": "lower", "aspect": "auto"}


def _predicted(model: Any, points: np.ndarray) -> np.ndarray:
    if isinstance(model, Sequential):
        return model.predict(points, verbose=0)
    return np.asarray(model.predict(points))


class _Outputs:
    """What a model said on a grid: a single output at each point, or the class there.

    Attributes
    ----------
    surface : ndarray or None
        The single outputs.
    winners : ndarray of int or None
        Indices into `classes`.
    threshold : float
        What separates the classes of a single output.
    classes : ndarray
    """

    def __init__(self, predictions: np.ndarray, threshold: float, labels: np.ndarray) -> None:
        self.surface: np.ndarray | None = None
        self.winners: np.ndarray | None = None
        self.threshold = threshold
        numbers = predictions.dtype.kind == "f"
        if numbers and not np.isfinite(predictions).all():
            raise ValueError("the predictions are not all finite, and cannot be drawn")
        if predictions.ndim == 2 and predictions.shape[1] > 1:
            self.winners = predictions.argmax(axis=1)
            self.classes = np.arange(predictions.shape[1])
        elif numbers:
            self.surface = predictions.ravel()
            self.classes = _either_side(labels, threshold)
        else:
            self.classes = np.union1d(labels, predictions)
            self.winners = np.searchsorted(self.classes, predictions.ravel())


def _either_side(labels: np.ndarray, threshold: float) -> np.ndarray:
    """Return the classes of a single output, the lower one first."""
    classes = np.unique(labels)
    numbers = classes.dtype.kind in "biuf"
    if numbers and len(classes) == 1 and classes[0] > threshold:
        # Alone it is still the upper one, and has the colour of the outputs there.
        return np.union1d(np.zeros_like(classes), classes)
    return classes


def _colours(count: int) -> np.ndarray:
    """Return colours for so many classes; blue and red for two, blue for one."""
    colormaps = require("matplotlib", "plot").colormaps
    if count <= 2:
        return colormaps["RdBu_r"]([0.1, 0.9])[:count]
    return colormaps["tab10"](np.arange(count) % 10)


def _listed(colours: np.ndarray) -> Any:
    return require("matplotlib.colors", "plot").ListedColormap(colours)


def _draw_regions(ax: Axes, grid: _Grid, outputs: _Outputs) -> list[Any]:
    """Draw colours and boundaries; return what was drawn."""
    if outputs.surface is not None:
        return _draw_surface(ax, grid, outputs.surface, outputs.threshold)
    assert outputs.winners is not None
    winners, count = outputs.winners.reshape(grid.shape), len(outputs.classes)
    drawn: list[Any] = [
        ax.imshow(
            winners,
            cmap=_listed(_colours(count)),
            vmin=-0.5,
            vmax=count - 0.5,
            alpha=0.35,
            **grid.placement,
        )
    ]
    for k in range(count):
        inside = (winners == k).astype(float)
        if 0 < inside.mean() < 1:
            lines: dict[str, Any] = {"levels": [0.5], "colors": "black", "linewidths": 1}
            drawn.append(ax.contour(*grid.sides, inside, **lines))
    return drawn


def _draw_surface(ax: Axes, grid: _Grid, values: np.ndarray, threshold: float) -> list[Any]:
    """Draw a single output as colours, and a line where it crosses the threshold."""
    surface = values.reshape(grid.shape)
    # The colours reach as far to either side as the value that is furthest from the threshold.
    reach = max(float(np.abs(surface - threshold).max()), 1e-12)
    drawn: list[Any] = [
        ax.imshow(
            surface,
            cmap=_listed(require("matplotlib", "plot").colormaps["RdBu_r"](SHADES)),
            vmin=threshold - reach,
            vmax=threshold + reach,
            alpha=0.65,
            **grid.placement,
        )
    ]
    if surface.min() < threshold < surface.max():
        drawn.append(ax.contour(*grid.sides, surface, levels=[threshold], colors="black"))
    return drawn


def _draw_samples(ax: Axes, features: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> None:
    present = np.unique(labels)
    classes = classes if np.isin(present, classes).all() else present
    for label, colour in zip(classes, _colours(len(classes)), strict=True):
        chosen = features[labels == label]
        if len(chosen):
            style: dict[str, Any] = {"color": [colour], "edgecolor": "white", "linewidth": 0.8}
            style["s"] = 70 if len(features) <= 30 else 22
            ax.scatter(chosen[:, 0], chosen[:, 1], label=f"{label}", zorder=3, **style)
    ax.set(xlabel="feature 1", ylabel="feature 2")
    ax.legend(title="class", loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the samples


def animate_decision_boundary(
    model: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    path: str | Path,
    *,
    epochs: int = 100,
    every: int | None = None,
    fps: int = 10,
    threshold: float = 0.5,
    resolution: int = 100,
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """Train a model of two features, and write a film of its decision boundary.

    Parameters
    ----------
    model : Sequential
        Compiled. Its training goes on from where it is.
    x, y : array_like
        As in `Sequential.fit` and `decision_boundary`.
    path : str or Path
        The film, as GIF. It appears whole or not at all.
    epochs : int, default 100
        As in `Sequential.fit`.
    every : int, optional
        Epochs from one picture to the next. Default: so many that there are at most 50.
    fps : int, default 10
        Pictures in a second.
    threshold, resolution, ax
        As in `decision_boundary`.
    **options
        What else `Sequential.fit` takes.

    Returns
    -------
    Axes
        With the last picture.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument is not as described; then the model is as it was before.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> model = Sequential([Dense(8, "tanh", input_dim=2), Dense(1, "sigmoid")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> ax = animate_decision_boundary(model, x, y, "xor.gif", epochs=500)  # doctest: +SKIP
    """
    threshold = real(threshold, "threshold")
    features, labels = _two_features(x), _classes(y, len(np.asarray(x)))
    grid = _Grid(features, whole_number(resolution, "resolution", minimum=2))
    last = whole_number(epochs, "epochs")
    period = -(-last // MOST_FRAMES) if every is None else whole_number(every, "every")
    whole_number(fps, "fps")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    ax = axes_or_new(ax)
    recorder = _Recorder(grid.points, period, last)
    others = options.pop("callbacks", None) or ()
    heard = [*([others] if isinstance(others, Callback) else others), recorder]
    model.fit(x, y, epochs=last, callbacks=heard, **{"verbose": 0, **options})
    frames = [
        (epoch, _Outputs(predictions, threshold, labels))
        for epoch, predictions in recorder.predictions
    ]
    _draw_samples(ax, features, labels, frames[0][1].classes)
    _write_film(path, ax, grid, frames, fps)
    return ax


class _Recorder(Callback):
    """Keeps what a model says on a grid: before the first epoch, and after every so many."""

    def __init__(self, points: np.ndarray, every: int, last: int) -> None:
        super().__init__()
        self.points, self.every, self.last = points, every, last
        self.predictions: list[tuple[int, np.ndarray]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._record(0)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.last:
            self._record(epoch + 1)

    def _record(self, epoch: int) -> None:
        self.predictions.append((epoch, self.model.predict(self.points, verbose=0)))


def _write_film(
    path: Path, ax: Axes, grid: _Grid, frames: Sequence[tuple[int, _Outputs]], fps: int
) -> None:
    """Draw each frame in place of the last one, and write them all."""
    writer = require("matplotlib.animation", "plot").PillowWriter(fps=fps)
    partial = path.with_name(f".{path.stem}.partial.gif")
    figure: Any = ax.figure.figure  # of the subfigure, if it is one
    layout = figure.get_layout_engine()
    drawn: list[Any] = []
    try:
        with writer.saving(figure, str(partial), dpi=80):
            for epoch, outputs in frames:
                for artist in drawn:
                    artist.remove()
                drawn = _draw_regions(ax, grid, outputs)
                ax.set_title(f"epoch {epoch}")
                writer.grab_frame()
                figure.set_layout_engine("none")  # the layout of the first frame does for all
        partial.replace(path)
    finally:
        figure.set_layout_engine(layout or "none")
        partial.unlink(missing_ok=True)
