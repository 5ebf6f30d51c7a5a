"""The times of a run, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

OURS = ("fastnn", "fastnn float64")
GAUGES = ("peak", "tile", "memory", "handover")  # they measure the machine


@dataclass(frozen=True)
class Result:
    """The seconds of one step of each contender in each round of a case; see `cases.Case`.

    Shares and ratios are taken within each round, whose times are close to one another, so that
    a drift of the processor's clock does not count.
    """

    task: str
    case: str
    flops: int
    moved: int
    rounds: dict[str, list[float]]

    @property
    def rivals(self) -> list[str]:
        """Everyone but fastnn."""
        return [name for name in self.rounds if name not in OURS + GAUGES]

    def seconds(self, name: str) -> float:
        """Return the median time of a step."""
        return median(self.rounds[name])

    def rate(self, name: str) -> float:
        """Return the floating-point operations per second."""
        return self.flops / self.seconds(name)

    def quotient(self, numerator: str, denominator: str) -> float:
        """Return the time of one over that of another."""
        pairs = zip(self.rounds[numerator], self.rounds[denominator], strict=True)
        return median(a / b for a, b in pairs)

    def ratio(self, rival: str) -> float:
        """Return the time of another contender over that of fastnn."""
        return self.quotient(rival, "fastnn")

    def best_rival(self, among: set[str] | None = None) -> str | None:
        """Return the fastest other contender, None if there is none."""
        names = [name for name in self.rivals if among is None or name in among]
        return min(names, key=self.seconds, default=None)

    def best_ratio(self) -> float | None:
        """Return the time of the fastest other contender over that of fastnn."""
        rival = self.best_rival()
        return None if rival is None else self.ratio(rival)

    def share_of(self, limit: str, name: str, processors: int) -> float | None:
        """Return the part used of what this many processors could do by this limit."""
        if limit not in self.rounds:
            return None
        return self.quotient(limit, name) * self.flops / processors

    def double_share(self) -> float | None:
        """Return fastnn's rate in float64 over that in float32."""
        if "fastnn float64" not in self.rounds:
            return None
        return self.quotient("fastnn", "fastnn float64")


def save(path: Path, machine: dict[str, Any], results: list[Result]) -> None:
    """Write a run to a file."""
    run = {"machine": machine, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(run, indent=1) + "\n")


def load(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """Return the machine and the results that `save` wrote."""
    run = json.loads(path.read_text())
    return run["machine"], [Result(**result) for result in run["results"]]


def pooled(paths: list[Path]) -> tuple[dict[str, Any], list[Result]]:
    """Return the machine and the cases of the last run, with the rounds of all that have them."""
    machine, last = load(paths[-1])
    runs = [
        {(result.task, result.case): result.rounds for result in load(path)[1]}
        for path in paths[:-1]
    ]
    for result in last:
        for run in reversed(runs):
            earlier = run.get((result.task, result.case))
            if earlier is not None and earlier.keys() != result.rounds.keys():
                raise ValueError(f"{result.case}: the runs have different contenders")
            for name, times in (earlier or {}).items():
                result.rounds[name][:0] = times
    return machine, last
