"""A picture of a run: how much faster than the best of the others, and how near to the limits."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import machine as machines
from results import Result

TITLES = {"predict": "Prediction", "train": "Training"}
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377")
MARKERS = "osD^v"


def require_matplotlib() -> None:
    """Exit with a message if matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise SystemExit("--picture needs matplotlib: pip install matplotlib")


def draw(path: Path, machine: dict[str, Any], results: Sequence[Result]) -> None:
    """Write the picture to a file."""
    from matplotlib.figure import Figure

    kernels = [result for result in results if result.task == "kernels"]
    figure = Figure(figsize=(15 if kernels else 10, 5.4), layout="constrained")
    predict, train, *roofline = figure.subplots(1, 3 if kernels else 2)
    _draw_networks(figure, predict, train, results)
    if kernels:
        _draw_roofline(roofline[0], kernels, results)
    figure.suptitle(
        f"{machine['cpu']}, {machines.threads_in_words(machine)}, {machine['isa']}", fontsize=10
    )
    figure.savefig(path, dpi=130)


def _draw_networks(figure: Any, predict: Any, train: Any, results: Sequence[Result]) -> None:
    """Draw the ratios of predictions and trainings, on one scale and with one legend."""
    styles = dict(zip(_networks(results), zip(COLOURS, MARKERS, strict=True), strict=False))
    for axes, task in ((predict, "predict"), (train, "train")):
        _draw_ratios(axes, task, results, styles)
    ratios = [r.best_ratio() or 1 for r in results if r.task in TITLES]
    train.sharey(predict)
    predict.set_ylim(min([0.45, *ratios]) / 1.1, max([4, *ratios]) * 1.1)
    predict.set_ylabel("times as fast as the fastest other library")
    handles, labels = train.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(COLOURS), fontsize=9)


def _split(case: str) -> tuple[str, int]:
    """Return network and batch size of such a name as ``"64-64-10, batch 32"``."""
    network, _, batch_size = case.partition(", batch ")
    return network, int(batch_size)


def _networks(results: Sequence[Result]) -> list[str]:
    """Return the networks, small ones first."""
    names = {_split(result.case)[0] for result in results if result.task in TITLES}
    return sorted(names, key=lambda name: [len(name), name])


def _draw_ratios(
    axes: Any, task: str, results: Sequence[Result], styles: dict[str, tuple[str, str]]
) -> None:
    """Draw a line for each network over the size of the batch."""
    batch_sizes = set()
    for network, (colour, marker) in styles.items():
        points = []
        for result in results:
            if result.task == task and _split(result.case)[0] == network:
                points.append((_split(result.case)[1], result.best_ratio()))
        points = [(size, ratio) for size, ratio in points if ratio is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker, ls="-", color=colour, label=network)
            batch_sizes.update(size for size, _ in points)
    axes.axhline(1, color="black", lw=1, ls="--")
    axes.set_title(TITLES[task])
    axes.set_xlabel("rows in a batch")
    _logarithmic_axis(axes.yaxis)
    _logarithmic_axis(axes.xaxis, sorted(batch_sizes))
    axes.grid(alpha=0.3)


def _logarithmic_axis(axis: Any, ticks: list[int] | None = None) -> None:
    """Use base 2, plain numbers, and these ticks if given."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=2)
    if ticks:
        axis.set_ticks(ticks)
    else:
        axis.set_major_locator(LogLocator(2))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_roofline(axes: Any, kernels: Sequence[Result], results: Sequence[Result]) -> None:
    """Draw the rates of the kernels over their operations per byte, and the limits."""
    axes.set_title("Matrix products called from C")
    axes.set_xlabel("floating-point operations per byte of operands")
    axes.set_ylabel("GFLOP/s")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    intensities = [result.flops / result.moved for result in kernels]
    for name, marker, colour in (("OpenBLAS", "x", COLOURS[1]), ("fastnn", "o", COLOURS[0])):
        present = [(i, r) for i, r in zip(intensities, kernels, strict=True) if name in r.rounds]
        rates = [result.rate(name) / 1e9 for _, result in present]
        axes.plot([i for i, _ in present], rates, marker, color=colour, label=name, alpha=0.8)
    _draw_limits(axes, results, kernels, min(intensities), max(intensities))
    axes.legend(fontsize=8, loc="lower right")


def _draw_limits(
    axes: Any, results: Sequence[Result], kernels: Sequence[Result], least: float, most: float
) -> None:
    """Draw the peak, and what an array can be read at, in cache and in memory."""
    peak = max(1e-9 / result.seconds("peak") for result in kernels if "peak" in result.rounds)
    axes.plot([least / 2, 2 * most], [peak, peak], "k-", lw=1, label=f"peak, {peak:.0f} GFLOP/s")
    styles = iter(("--", ":"))
    for result in results:
        if result.task == "bandwidth":
            bandwidth = result.moved / result.seconds("memory") / 1e9
            ends = [least / 2, peak / bandwidth]
            label = f"{result.case}, {bandwidth:.0f} GB/s"
            axes.plot(ends, [bandwidth * e for e in ends], "k", ls=next(styles), lw=1, label=label)
