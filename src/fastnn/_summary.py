"""The table that `Sequential.summary` prints: Keras' layout, one call of `print_fn` a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.models import Sequential

_HEADINGS = ("Layer (type)", "Output Shape", "Param #")
_GAP = 2


def print_summary(
    model: Sequential,
    line_length: int,
    positions: Sequence[float],
    print_fn: Callable[[str], object],
) -> None:
    """Print the layers of `model`, their output shapes and parameter counts.

    Parameters
    ----------
    model : Sequential
    line_length : int
        Characters in a line.
    positions : sequence of 3 floats
        Where the columns end: characters, or fractions of the line if the last is at most 1.
    print_fn : callable
        Called with each line.
    """
    if positions[-1] <= 1:
        positions = [line_length * position for position in positions]
    ends = [int(position) for position in positions]
    trainable = sum(parameter.size for parameter in model.trainable_weights)
    fixed = sum(parameter.size for parameter in model.non_trainable_weights)

    print_fn(f'Model: "{model.name}"')
    print_fn("_" * line_length)
    _print_row(_HEADINGS, ends, print_fn)
    print_fn("=" * line_length)
    for layer, shape in zip(model.layers, model.layer_output_shapes, strict=True):
        kind = f"{layer.name} ({type(layer).__name__})"
        _print_row((kind, str(shape), str(layer.count_params())), ends, print_fn)
        print_fn(" " * line_length)
    print_fn("=" * line_length)
    print_fn(f"Total params: {trainable + fixed:,}")
    print_fn(f"Trainable params: {trainable:,}")
    print_fn(f"Non-trainable params: {fixed:,}")
    print_fn("_" * line_length)


def _print_row(
    fields: Sequence[str], ends: Sequence[int], print_fn: Callable[[str], object]
) -> None:
    """Print `fields` in columns; what does not fit goes on in the lines below."""
    rest = list(fields)
    while any(rest):
        line = ""
        for column, end in enumerate(ends):
            line += " " if column == 0 else ""
            gap = _GAP if end != ends[-1] else 0
            room = max(end - len(line) - gap, 1)
            line = (line + rest[column][:room]).ljust(end)
            rest[column] = rest[column][room:]
        print_fn(line)
