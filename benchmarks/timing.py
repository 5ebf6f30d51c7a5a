"""How things are timed: in turn, round after round, each for a while."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Protocol, TypeVar

Candidate = TypeVar("Candidate", bound=Callable[..., Any])

PATIENCE = 5.0
"""Seconds after which a case gets no more rounds than `LEAST_ROUNDS`."""

LEAST_ROUNDS = 5


class Job(Protocol):
    """Work that can be repeated."""

    def seconds(self, repeats: int) -> float:
        """Do it `repeats` times and return the mean time of one step of it."""


@dataclass
class PythonJob:
    """The call of a function, which is `steps` steps of what is to be timed."""

    run: Callable[[], object]
    steps: int = 1

    def seconds(self, repeats: int) -> float:
        """Call it `repeats` times and return the mean time of a step."""
        run = self.run
        start = perf_counter()
        for _ in range(repeats):
            run()
        return (perf_counter() - start) / (repeats * self.steps)


@dataclass
class CallJob:
    """The call of a function with one argument, and nothing around it."""

    run: Callable[[Any], object]
    argument: Any

    def seconds(self, repeats: int) -> float:
        """Call it `repeats` times and return the mean time."""
        run, argument = self.run, self.argument
        start = perf_counter()
        for _ in range(repeats):
            run(argument)
        return (perf_counter() - start) / repeats


class Stopwatch:
    """Times a job, often enough for a measurement to take about `seconds`."""

    def __init__(self, job: Job, seconds: float) -> None:
        self.job = job
        self.repeats = _repeats(job, seconds)

    def __call__(self) -> float:
        """Return the time of a step now, with warm caches."""
        gc.disable()
        if self.repeats > 1:
            self.job.seconds(1)
        time = self.job.seconds(self.repeats)
        gc.enable()
        return time


def _repeats(job: Job, seconds: float) -> int:
    """Return how often the job is done in `seconds`, at least once; warms up on the way."""
    job.seconds(1)
    repeats, elapsed = 1, 0.0
    while elapsed < seconds / 2:
        start = perf_counter()
        job.seconds(repeats)
        elapsed = perf_counter() - start
        done, repeats = repeats, min(100 * repeats, int(repeats * seconds / elapsed) + 1)
    return max(1, int(done * seconds / elapsed))


def in_turn(stopwatches: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each stopwatch said in each round; slow ones get fewer rounds.

    Another one begins in each: what preparations have left behind meets the first the most.
    """
    times: dict[str, list[float]] = {name: [] for name in stopwatches}
    order = list(stopwatches)
    start = perf_counter()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and perf_counter() - start > PATIENCE:
            break
        for name in order:
            times[name].append(stopwatches[name]())
        order.append(order.pop(0))
    return times


def fastest(candidates: Sequence[Candidate], *arguments: object) -> Candidate:
    """Return that of several functions which takes these arguments the fastest."""
    jobs = {str(i): PythonJob(lambda c=c: c(*arguments)) for i, c in enumerate(candidates)}
    stopwatches = {name: Stopwatch(job, 0.003) for name, job in jobs.items()}
    times = in_turn(stopwatches, 3)
    return candidates[int(min(times, key=lambda name: median(times[name])))]
