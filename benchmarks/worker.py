"""A contender in a process of its own: ``python worker.py NAME``, commanded by `crew`.

A process each, because the idle threads of one library may spin and so disturb the next one.
Commands come as lines of JSON on the standard input, a list of a name and its arguments, and are
answered by lines of JSON, a list of a kind and a value, on what was the standard output;
whatever a library prints goes to the standard error.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from time import sleep
from typing import Any, TextIO

import jobs
import machine
import threads
from checks import WrongResultError
from timing import Stopwatch

SETTLING = 0.15
"""Seconds that NumPy's BLAS may need: its threads spin for a while after the check of a job."""


class Worker:
    """One contender and its current job."""

    def __init__(self, contender: str) -> None:
        self.contender = contender
        self.stopwatch: Stopwatch | None = None

    def prepare(self) -> str:
        """Import what is needed and return the version."""
        return jobs.prepare(self.contender)

    def describe(self, threads: int) -> dict[str, Any]:
        """Return the description of the machine."""
        return machine.describe(threads)

    def make(self, task: str, parameters: list[Any], seconds: float) -> None:
        """Make, check and warm up a job, in place of the one before."""
        self.stopwatch = None
        gc.collect()
        job = jobs.make(self.contender, task, tuple(parameters))
        if threads.count() > 1:
            sleep(SETTLING)
        self.stopwatch = Stopwatch(job, seconds)

    def time(self) -> float:
        """Return the time of one step of the job."""
        assert self.stopwatch is not None
        return self.stopwatch()

    def answer(self, command: str, *arguments: Any) -> tuple[str, Any]:
        """Carry out a command and return the answer."""
        try:
            return "done", getattr(self, command)(*arguments)
        except ImportError as error:
            return "missing", str(error)
        except WrongResultError as error:
            return "wrong", str(error)
        except Exception:
            return "failed", traceback.format_exc()


def _take_standard_output() -> TextIO:
    """Return the standard output; from now on prints go to the standard error."""
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return output


def _end_with_parent() -> None:
    """Have Linux end this process, even while it is stopped, if its parent is ended."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def main(contender: str) -> None:
    """Answer commands until there are no more."""
    _end_with_parent()
    output = _take_standard_output()
    worker = Worker(contender)
    for line in sys.stdin:
        print(json.dumps(worker.answer(*json.loads(line))), file=output)


if __name__ == "__main__":
    main(sys.argv[1])
