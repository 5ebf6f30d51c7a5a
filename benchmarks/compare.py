"""Compare fastnn with whichever of its peers is installed.

    python benchmarks/compare.py [--threads N] [--only TASK] [--json FILE] [--markdown] ...

Every contender works in a process of its own and has to compute the right result first. Then all
are timed in turn, round after round, so that whatever else the machine does meets all alike, and
the median counts. With one thread (the default), all of them share one processor; with more,
each has as many processors as threads.

NumPy is as fast as its BLAS library, and OpenBLAS does not know every processor: where the first
lines report kernels older than the processor, OPENBLAS_CORETYPE=SKYLAKEX (or what fits) in the
environment makes the harder opponent. With --isa avx2, fastnn and OpenBLAS do with AVX2.

``--save-baseline`` stores the ratios, and ``--check-baseline`` fails if one has fallen since.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import baseline
import cases
import measuring
import pictures
import readme
import report
import results
import threads
from checks import WrongResultError
from crew import Crew, FailedError, MissingError
from results import Result
from timing import in_turn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return 1 if a contender fails or a ratio has fallen."""
    options = _options(arguments)
    try:
        where, measured = results.pooled(options.replay) if options.replay else _run(options)
    except (MissingError, WrongResultError, FailedError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    print(report.summary(measured))
    _write(options, where, measured)
    return _check_baseline(where, measured) if options.check_baseline else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    add = parser.add_argument
    add("--threads", type=int, default=1, help="threads of each contender (default 1)")
    add("--isa", help="instruction set of fastnn and OpenBLAS (default: the best)")
    add(
        "--only",
        nargs="+",
        choices=cases.TASKS,
        metavar="TASK",
        help=f"what to compare, of: {', '.join(cases.TASKS)}",
    )
    add(
        "--replay",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="take the times from there, measure nothing; the rounds of several runs are pooled",
    )
    add("--picture", type=Path, metavar="FILE", help="draw the ratios and a roofline (PNG)")
    add("--save-baseline", action="store_true", help="store the ratios in baseline.json")
    add("--check-baseline", action="store_true", help="fail if a ratio fell below the stored one")
    options = measuring.options(parser, arguments)
    single = set(options.only or ()) & set(cases.FOR_ONE_THREAD)
    if options.threads > 1 and single:
        parser.error(f"{', '.join(sorted(single))}: only with --threads 1")
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    if options.picture:
        pictures.require_matplotlib()
    return options


def _tasks(options: argparse.Namespace) -> list[str]:
    """Return what is asked for, or all that can be done with these threads."""
    if options.only:
        return options.only
    return [t for t in cases.TASKS if options.threads == 1 or t not in cases.FOR_ONE_THREAD]


def _run(options: argparse.Namespace) -> tuple[dict[str, Any], list[Result]]:
    """Measure, and print on the way."""
    threads.set_up(options.threads, options.isa)  # for the workers; nothing is computed here
    select = cases.quick_cases if options.quick else cases.cases
    measured = []
    with Crew() as crew:
        where = crew.member("fastnn").ask("describe", options.threads)
        print(report.heading(where))
        for task in _tasks(options):
            for case in select(task):
                measured.append(_measure(case, crew, options))
                print(report.line(measured[-1], options.threads), flush=True)
        where["versions"] = {name: version for name, version in crew.versions.items() if version}
    return where, measured


def _measure(case: cases.Case, crew: Crew, options: argparse.Namespace) -> Result:
    """Have everyone prepare, and time them in turn."""
    members = crew.present(case.contenders)
    for member in members:
        member.ask("make", case.task, case.parameters, options.seconds)
    rounds = in_turn({member.contender: member.time for member in members}, options.rounds)
    return Result(case.task, case.name, case.flops, case.moved, rounds)


def _write(options: argparse.Namespace, where: dict[str, Any], measured: list[Result]) -> None:
    """Write whatever was asked for."""
    if options.json:
        results.save(options.json, where, measured)
    if options.markdown:
        asked = options.isa or where["isa"] != where["available"][0]
        isa = f", {where['isa']}" if asked else ""
        block = f"{where['threads']} thread(s){isa}"
        readme.rewrite(block, report.markdown(where, measured))
        if not isa:
            readme.rewrite(f"summary, {block}", report.summary_table(where, measured))
    if options.picture:
        pictures.draw(options.picture, where, measured)
    if options.save_baseline:
        baseline.save(where, measured)


def _check_baseline(where: dict[str, Any], measured: list[Result]) -> int:
    """Print what fell below the baseline; return 1 if something did."""
    fallen, remarks = baseline.compare(where, measured)
    for remark in remarks:
        print(f"note: {remark}")
    for case in fallen:
        print(f"below the baseline: {case}", file=sys.stderr)
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
