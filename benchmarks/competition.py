"""Time fastnn while another process keeps a processor busy, with its default threads and with one.

    python benchmarks/competition.py [--processors N] [--quick] [--json FILE] [--markdown]

Threads that wait for one another lose more than their share when something else wants their
processors. Both ways are timed in turn, in one process, and the medians count; the ratio is the
time with the default number of threads over that with one: above 1, one thread is faster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import machine
import measuring
import threads

BATCH_SIZES = (128, 1024)
DEFAULT, ONE = "default", "one thread"

BURN = """
import os
parent = os.getppid()
while os.getppid() == parent:  # not longer than the measurement, whatever becomes of it
    sum(range(100_000))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--processors", type=int, default=2, help="shared ones (default 2)")
    options = measuring.options(parser, arguments)
    threads.set_up_for_fastnn(options.processors)
    with busy_process():
        _run(options)


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep a processor busy; leaving the context ends it."""
    burner = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


def _run(options: argparse.Namespace) -> None:
    import networks  # loads NumPy, for which the threads had to be set up
    import thread_counts

    import fastnn

    counts = {DEFAULT: fastnn.get_num_threads(), ONE: 1}
    sizes = networks.DIGITS, networks.ONE_HIDDEN, networks.WIDE
    cases = [
        case
        for task in ("train", "predict")
        for case in thread_counts.cases(task, sizes, BATCH_SIZES)
    ]
    where = machine.describe(counts[DEFAULT])
    print(f"beside one busy process on {where['processors']} processor(s)")
    thread_counts.run(cases, counts, options, where, block="competition", over=DEFAULT, under=ONE)


if __name__ == "__main__":
    sys.exit(main())
