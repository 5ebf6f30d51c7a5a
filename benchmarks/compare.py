"""Compare fastnn with NumPy and with whichever of its peers is installed, on one thread.

    python benchmarks/compare.py [--quick] [--json FILE] [--markdown]

Every contender has to compute the right result first. Then all of them run in turn, round after
round, so that whatever else the machine does meets all alike, and the median counts. The last
column is the time of the fastest other contender divided by that of fastnn.

NumPy is as fast as its BLAS library, and OpenBLAS does not know every processor: where the first
lines report kernels older than the processor, OPENBLAS_CORETYPE=SKYLAKEX (or what fits) in the
environment makes the harder opponent.
"""

from __future__ import annotations

import one_thread  # noqa: F401  isort: skip

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import report
from cases import Case, WrongResultError, all_cases, quick_cases
from contenders import installed


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; return 1 if a contender computes something else."""
    options = _parser().parse_args(arguments)
    contenders = installed()
    machine = report.machine({c.name: v for c, v in contenders.items()})
    print(report.heading(machine))
    cases = quick_cases(contenders) if options.quick else all_cases(contenders)
    results = []
    try:
        for make in cases:
            results.append(_result(make(), options))
            print(report.line(results[-1]), flush=True)
    except WrongResultError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    print(report.summary(results))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2))
    if options.markdown:
        report.rewrite_readme(report.markdown(machine, results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cases, short times")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="least time of a measurement (default 0.05)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all times there")
    parser.add_argument("--markdown", action="store_true", help="rewrite the table in README.md")
    return parser


def _result(case: Case, options: argparse.Namespace) -> report.Result:
    rounds, seconds = (3, 0.002) if options.quick else (options.rounds, options.seconds)
    times = _measure(case.runs, rounds, seconds)
    per_step = {name: time / case.steps for name, time in times.items()}
    return {"task": case.task, "case": case.name, "seconds": per_step}


def _measure(
    runs: Mapping[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, float]:
    """Return the median time of a run of each contender, in seconds."""
    repeats = {name: _repeats(run, seconds) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    gc.disable()
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(_time(run, repeats[name]))
    gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def _repeats(run: Callable[[], object], seconds: float) -> int:
    """Return how many runs take at least `seconds`; warms up on the way."""
    run()
    repeats = 1
    while (elapsed := _time(run, repeats) * repeats) < seconds:
        repeats = max(2 * repeats, int(repeats * seconds / max(elapsed, 1e-9)))
    return repeats


def _time(run: Callable[[], object], repeats: int) -> float:
    """Return the mean time of one of `repeats` runs."""
    start = perf_counter()
    for _ in range(repeats):
        run()
    return (perf_counter() - start) / repeats


if __name__ == "__main__":
    sys.exit(main())
