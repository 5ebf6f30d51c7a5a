"""What the comparison says: lines on the screen, and tables for the READMEs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import geometric_mean
from typing import Any

import machine as machines
import readme
from networks import FIT_EPOCHS
from results import Result

TITLES = {
    "kernels": (
        "Matrix products called from C (rows x inputs x units), GFLOP/s: fastnn's kernel with "
        "packed weights, bias and relu, and BLAS, which computes the product alone"
    ),
    "bandwidth": "Reading of an array, GB/s",
    "forward": "One dense layer, forward (rows x inputs x units, relu)",
    "backward": "One dense layer, backward (gradients of input, kernel and bias)",
    "elementwise": "Functions of each element of an array, in place of another",
    "losses": "Losses, float32 (rows x columns of predictions): values and gradient",
    "orders": "A random order of so many rows, drawn for an epoch",
    "layer forward": "One layer in inference, batch 128 (layer, features), NumPy array in and out",
    "layer training": (
        "Training step of one layer above a dense layer of 4 inputs, batch 128 (layer, features; "
        "shuffled epoch divided by its steps: forward, mean squared error, backward, SGD)"
    ),
    "predict": "Prediction with a whole network, NumPy array in and out",
    "predict method": "fastnn's method `predict`, which works in batches, and the others' fastest",
    "train": "Training step (shuffled epoch divided by its steps: forward, backward, Adam)",
    "fit": f"Epoch of a fit of {FIT_EPOCHS} over few rows (shuffled; forward, backward, Adam)",
}

RATIOS_TO = dict.fromkeys(("layer forward", "layer training"), ("NumPy", "PyTorch"))
"""Whose ratios stand in the table of a task beside that of the fastest."""

EXPLANATION = (
    "Median times in microseconds if nothing else is said. The ratio is the time of the fastest "
    "other contender divided by that of fastnn: above 1, fastnn is faster. The share is fastnn's, "
    "of the multiply-adds that the processor can do at most on registers; the share of a tile is "
    "of those that it can do beside the loads of a tile of registers from the first-level cache."
)

SHARES = {"peak": "share", "tile": "of a tile"}
"""Headers of the shares of each limit."""


def microseconds(seconds: float) -> str:
    """Return a time to three digits or to the microsecond."""
    time = seconds * 1e6
    return f"{time:.2f}" if time < 10 else f"{time:.1f}" if time < 100 else f"{time:,.0f}"


def heading(machine: dict[str, Any]) -> str:
    """Return the machine and what to keep in mind, for the screen."""
    return "\n".join([machines.sentence(machine), *machines.warnings(machine), EXPLANATION, ""])


def line(result: Result, processors: int) -> str:
    """Return one result for the screen."""
    cells = [f"{header} {cell}" for header, cell in _cells(result, processors)]
    return f"{result.task:<15}{result.case:<38}{'  '.join(cells)}"


def _ratios(results: Sequence[Result]) -> dict[str, list[float]]:
    """Return the ratios to the fastest other contender of each task that has any."""
    ratios: dict[str, list[float]] = {}
    for result in results:
        if (ratio := result.best_ratio()) is not None:
            ratios.setdefault(result.task, []).append(ratio)
    return ratios


def summary(results: Sequence[Result]) -> str:
    """Return the geometric mean and the extremes of the ratios of each task."""
    lines = [""]
    for task, ratios in _ratios(results).items():
        lines.append(
            f"{task:<15}geometric mean {geometric_mean(ratios):.2f}, "
            f"from {min(ratios):.2f} to {max(ratios):.2f}"
        )
    return "\n".join(lines)


def summary_table(machine: dict[str, Any], results: Sequence[Result]) -> str:
    """Return the same as a table, for README.md."""
    rows = [
        [
            TITLES[task],
            f"{sum(ratio >= 1 for ratio in ratios)} of {len(ratios)}",
            f"{geometric_mean(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
        ]
        for task, ratios in _ratios(results).items()
    ]
    header = ["ratio to the fastest other contender", "ahead in", "mean", "least", "most"]
    return f"{machines.sentence(machine)}\n\n{readme.table(header, rows)}"


def markdown(machine: dict[str, Any], results: Sequence[Result]) -> str:
    """Return the tables of all times, for benchmarks/README.md."""
    parts = [f"{machines.sentence(machine)} {EXPLANATION}"]
    for task in dict.fromkeys(result.task for result in results):
        of_task = [result for result in results if result.task == task]
        parts.append(f"**{TITLES[task]}**\n\n{_table(of_task, machine['threads'])}")
    return "\n\n".join(parts)


def _table(results: Sequence[Result], processors: int) -> str:
    rows = [dict(_cells(result, processors)) for result in results]
    header = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        [result.case, *(row.get(name, "") for name in header)]
        for result, row in zip(results, rows, strict=True)
    ]
    return readme.table(["", *header], cells)


def _cells(result: Result, processors: int) -> Iterator[tuple[str, str]]:
    """Yield what a table says about a result: headers and cells."""
    for name in result.rounds:
        if name == "fastnn" or name in result.rivals:
            yield name, _rate_or_time(result, name)
    if "memory" in result.rounds:
        yield "GB/s", f"{result.moved / result.seconds('memory') / 1e9:.1f}"
    if (ratio := result.best_ratio()) is not None:
        yield "ratio", f"{ratio:.2f}"
    for rival in RATIOS_TO.get(result.task, ()):
        if rival in result.rivals and "fastnn" in result.rounds:
            yield f"ratio to {rival}", f"{result.ratio(rival):.2f}"
    for limit, header in SHARES.items():
        if (share := result.share_of(limit, "fastnn", processors)) is not None:
            yield header, f"{share:.0%}"
    if (share := result.double_share()) is not None:
        yield "float64 / float32", f"{share:.0%}"


def _rate_or_time(result: Result, name: str) -> str:
    if result.task == "kernels":
        return f"{result.rate(name) / 1e9:.1f}"
    return microseconds(result.seconds(name))
