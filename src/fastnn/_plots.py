"""The picture of the demo; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._extras import require

ROWS, COLUMNS = 3, 6
"""Digits shown beside the learning curve."""


def save_demo_picture(
    path: Path,
    history: Mapping[str, Sequence[float]],
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
) -> None:
    """Write a picture of a learning curve and of some predictions, wrong ones first.

    Parameters
    ----------
    path : Path
        Its suffix (``.png``, ``.pdf``, ``.svg``) says the format. The file appears whole or
        not at all.
    history : mapping of str to sequence of float
        Values for each epoch of loss and val_loss.
    images : ndarray of shape (n, 64)
        Grey values, row by row.
    labels, predicted : ndarray of int, shape (n,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If matplotlib does not know the format.
    OSError
        If the file cannot be written.
    """
    figure = require("matplotlib.figure", "plot").Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3))
    _draw_curve(left.subplots(), history)
    wrong_first = np.argsort(labels == predicted, kind="stable")
    for axes, i in zip(right.subplots(ROWS, COLUMNS).flat, wrong_first, strict=False):
        _draw_digit(axes, images[i], labels[i], predicted[i])
    _save(figure, path)


def _draw_curve(axes: Any, history: Mapping[str, Sequence[float]]) -> None:
    epochs = range(1, len(history["loss"]) + 1)
    for key, label in (("loss", "training"), ("val_loss", "test")):
        axes.plot(epochs, history[key], marker=".", label=label)
    axes.set(title="Learning curve", xlabel="epoch", ylabel="loss", yscale="log")
    axes.legend()


def _draw_digit(axes: Any, image: np.ndarray, label: int, predicted: int) -> None:
    axes.imshow(image.reshape(8, 8), cmap="gray_r")
    axes.set_axis_off()
    if predicted == label:
        axes.set_title(f"{predicted}")
    else:
        axes.set_title(f"{predicted}, is {label}", color="tab:red")


def _save(figure: Any, path: Path) -> None:
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        figure.savefig(partial, dpi=150)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
