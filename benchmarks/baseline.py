"""The ratios to beat: those of a processor, an instruction set and a number of threads. No times.

Only ratios to the fastest of the contenders that are in both the store and the run are compared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from results import Result

STORE = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.15

Ratios = dict[str, dict[str, float]]  # of each other contender, by task and case


def key(machine: dict[str, Any]) -> str:
    """Return under which name the ratios of such a run are stored."""
    return f"{machine['cpu']}, {machine['isa']}, {machine['threads']} thread(s)"


def ratios(results: Sequence[Result]) -> Ratios:
    """Return the ratio to each other contender in each case."""
    return {
        f"{result.task}: {result.case}": {r: round(result.ratio(r), 3) for r in result.rivals}
        for result in results
        if result.rivals
    }


def save(machine: dict[str, Any], results: Sequence[Result]) -> None:
    """Store the ratios of a run; cases that were not in it keep what was stored."""
    stored = _load()
    old = stored.get(key(machine), {"ratios": {}})
    stored[key(machine)] = {
        "blas": machine["blas"],
        "tolerance": TOLERANCE,
        "ratios": old["ratios"] | ratios(results),
    }
    STORE.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")


def compare(machine: dict[str, Any], results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Return what fell below the stored ratios, and remarks on what could not be compared.

    Raises
    ------
    SystemExit
        If nothing is stored for such a run.
    """
    stored = _load().get(key(machine))
    if stored is None:
        raise SystemExit(f"nothing is stored for {key(machine)}: use --save-baseline first")
    new, old = ratios(results), stored["ratios"]
    floor = 1 - stored["tolerance"]
    fallen = []
    for case in new.keys() & old.keys():
        now, then = _best_of_both(new[case], old[case])
        if now < floor * then:
            fallen.append(f"{case}: ratio {now:.2f}, was {then:.2f}")
    return sorted(fallen), _remarks(stored, machine, new)


def _best_of_both(new: dict[str, float], old: dict[str, float]) -> tuple[float, float]:
    """Return the ratios to the fastest of those who are in both, infinite if none is."""
    common = new.keys() & old.keys()
    ratios = ([values[name] for name in common] for values in (new, old))
    now, then = (min(values, default=float("inf")) for values in ratios)
    return now, then


def _remarks(stored: dict[str, Any], machine: dict[str, Any], new: Ratios) -> list[str]:
    remarks = []
    if stored["blas"] != machine["blas"]:
        remarks.append(f"the baseline is of another BLAS library: {stored['blas']}")
    for cases, what in (
        (stored["ratios"].keys() - new.keys(), "stored and not in this run, skipped"),
        (new.keys() - stored["ratios"].keys(), "in this run and not stored, skipped"),
    ):
        if cases:
            remarks.append(f"{len(cases)} case(s) {what}: {_counted(cases)}")
    return remarks


def _counted(cases: Iterable[str]) -> str:
    """Say how many cases of each task there are."""
    counts = Counter(case.partition(": ")[0] for case in cases)
    return ", ".join(f"{task} ({count})" for task, count in sorted(counts.items()))


def _load() -> dict[str, Any]:
    return json.loads(STORE.read_text()) if STORE.exists() else {}
