"""Time fastnn with one thread and with several.

    python benchmarks/threads_scaling.py [--threads N] [--quick] [--json FILE] [--markdown]

Both numbers have to give the same bits. They are then timed in turn, in one process, and the
medians count; the ratio is the time of one thread over that of several. Between them the handover
is timed: how long it takes until one processor sees what another has written. Threads that share
short steps wait for it, and a virtual machine has other processors from one minute to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import machine
import measuring
import threads

ONE = "one thread"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads (default 2)")
    options = measuring.options(parser, arguments)
    threads.set_up_for_fastnn(options.threads)
    _run(options)


def _run(options: argparse.Namespace) -> None:
    import networks  # loads NumPy, for which the threads had to be set up
    import thread_counts

    many = f"{options.threads} threads"
    counts = {ONE: 1, many: options.threads}
    cases = [
        *thread_counts.cases("predict", networks.PREDICTED, networks.PREDICTED_BATCHES),
        *thread_counts.cases("train", networks.TRAINED, networks.TRAINED_BATCHES),
    ]
    where = machine.describe(options.threads)
    several = threads.processors() > 1
    thread_counts.run(
        cases, counts, options, where, block="scaling", over=ONE, under=many, handover=several
    )


if __name__ == "__main__":
    sys.exit(main())
