"""What the comparison says: lines on the screen, and the tables in README.md."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import geometric_mean
from typing import TypedDict

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"

TITLES = {
    "dense forward": "One dense layer, forward (rows x inputs x units, relu)",
    "dense backward": "One dense layer, backward (gradients of input, kernel and bias)",
    "predict": "Prediction with a whole network, NumPy array in and out",
    "train": "Training step (shuffled epoch divided by its steps: forward, backward, Adam)",
}


class Machine(TypedDict):
    """Where and with what the times were measured."""

    cpu: str
    isa: str
    blas: str
    threads: int
    python: str
    versions: dict[str, str]
    date: str


class Result(TypedDict):
    """Median seconds of one step of each contender."""

    task: str
    case: str
    seconds: dict[str, float]


def machine(versions: dict[str, str]) -> Machine:
    """Describe this machine and the contenders."""
    from fastnn._config import config

    return {
        "cpu": _cpu(),
        "isa": str(config()["instruction set"]),
        "blas": _blas(),
        "threads": 1,
        "python": platform.python_version(),
        "versions": versions,
        "date": date.today().isoformat(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _blas() -> str:
    """Return the BLAS library behind NumPy and the kernels that it chose."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (install threadpoolctl to see it)"
    for library in threadpool_info():
        if library["user_api"] == "blas":
            kernels = library.get("architecture", "unnamed")
            return f"{library['internal_api']} {library['version']}, {kernels} kernels"
    return "unknown"


def ratio(result: Result) -> float:
    """Return the time of the fastest other contender over that of fastnn."""
    others = [time for name, time in result["seconds"].items() if name != "fastnn"]
    return min(others) / result["seconds"]["fastnn"]


def _microseconds(seconds: float) -> str:
    time = seconds * 1e6
    return f"{time:.2f}" if time < 10 else f"{time:.1f}" if time < 100 else f"{time:,.0f}"


def heading(machine: Machine) -> str:
    """Return the machine and the versions, for the screen."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"CPU: {machine['cpu']}\n"
        f"fastnn's instruction set: {machine['isa']}; NumPy's BLAS: {machine['blas']}\n"
        f"threads: {machine['threads']}; Python {machine['python']}; {versions}\n"
        "Median time in microseconds; ratio: fastest other / fastnn\n"
    )


def line(result: Result) -> str:
    """Return one result for the screen."""
    times = "  ".join(f"{name} {_microseconds(t)}" for name, t in result["seconds"].items())
    return f"{result['task']:<15}{result['case']:<31}{ratio(result):6.2f}x   {times}"


def summary(results: Sequence[Result]) -> str:
    """Return the geometric mean and the extremes of the ratios of each task."""
    lines = [""]
    for task in dict.fromkeys(result["task"] for result in results):
        ratios = [ratio(result) for result in results if result["task"] == task]
        lines.append(
            f"{task:<15}geometric mean {geometric_mean(ratios):.2f}x, "
            f"from {min(ratios):.2f}x to {max(ratios):.2f}x"
        )
    return "\n".join(lines)


def markdown(machine: Machine, results: Sequence[Result]) -> str:
    """Return the tables for README.md."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        f"{machine['cpu']}, one thread; fastnn with {machine['isa']}, NumPy with "
        f"{machine['blas']}; Python {machine['python']}, {versions}; {machine['date']}. "
        "Median times in microseconds. The last column is the time of the fastest other "
        "contender divided by that of fastnn: above 1, fastnn is faster."
    ]
    for task in dict.fromkeys(result["task"] for result in results):
        parts.append(_table(task, [result for result in results if result["task"] == task]))
    return "\n\n".join(parts)


def _table(task: str, results: Sequence[Result]) -> str:
    names = list(results[0]["seconds"])
    rows = [
        f"**{TITLES[task]}**",
        "",
        f"| | {' | '.join(names)} | ratio |",
        f"| --- |{' ---: |' * (len(names) + 1)}",
    ]
    for result in results:
        times = " | ".join(_microseconds(result["seconds"][name]) for name in names)
        rows.append(f"| {result['case']} | {times} | {ratio(result):.2f} |")
    return "\n".join(rows)


def rewrite_readme(tables: str) -> None:
    """Put the tables between the two marks in README.md."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")
