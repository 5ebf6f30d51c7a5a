"""fastnn against itself with other numbers of threads, in one process."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import machine
import networks
import numpy as np
import probe
import readme
import results
import whole_networks
from checks import WrongResultError
from contenders.fastnn_network import FastnnNetwork
from report import microseconds
from results import Result
from timing import Job, Stopwatch, in_turn

import fastnn

HANDOVER = "handover"
JOBS = {"predict": whole_networks.predict, "train": whole_networks.train}


@dataclass(frozen=True)
class Case:
    """A network at work."""

    task: str
    sizes: networks.Sizes
    batch_size: int

    @property
    def name(self) -> str:
        """Return such as ``"64-64-10, batch 32"``."""
        return networks.case_name(self.sizes, self.batch_size)


def cases(task: str, sizes: Iterable[networks.Sizes], batch_sizes: Iterable[int]) -> list[Case]:
    """Return the cases of all these networks with all these sizes of batch."""
    return [Case(task, *both) for both in product(sizes, batch_sizes)]


@dataclass
class ThreadedJob:
    """A job done with a number of threads."""

    job: Job
    threads: int

    def seconds(self, repeats: int) -> float:
        """Do it `repeats` times and return the mean time of one step of it."""
        with fastnn.use_threads(self.threads):
            return self.job.seconds(repeats)


def run(
    cases: Sequence[Case],
    counts: Mapping[str, int],
    options: argparse.Namespace,
    where: dict[str, Any],
    *,
    block: str,
    over: str,
    under: str,
    handover: bool = False,
) -> None:
    """Time the cases with each of the numbers of threads, which have names; print and write.

    Parameters
    ----------
    cases : sequence of Case
    counts : mapping of str to int
    options : Namespace
        Of `measuring.options`.
    where : dict
        The machine.
    block : str
        The place in README.md.
    over, under : str
        Whose times make the ratio.
    handover : bool, default False
        Whether to measure in each round how fast one processor sees what another has written.

    Raises
    ------
    WrongResultError
        If the results are not the same to the last bit.
    """
    print("\n".join([machine.sentence(where), *machine.warnings(where)]))
    measured = []
    for case in cases[:: 12 if options.quick else 1]:
        measured.append(_measure(case, counts, options, handover))
        print(_line(measured[-1], over, under), flush=True)
    if options.json:
        results.save(options.json, where, measured)
    if options.markdown:
        table = _table(measured, over, under)
        readme.rewrite(block, f"{machine.sentence(where)} Microseconds.\n\n{table}")


def _measure(
    case: Case, counts: Mapping[str, int], options: argparse.Namespace, handover: bool
) -> Result:
    _check_sameness(case, counts.values())
    stopwatches = {}
    if handover:
        stopwatches[HANDOVER] = Stopwatch(probe.Handover(), min(options.seconds, 1e-3))
    for name, count in counts.items():
        job = JOBS[case.task]("fastnn", case.sizes, case.batch_size)
        stopwatches[name] = Stopwatch(ThreadedJob(job, count), options.seconds)
    return Result(case.task, case.name, 0, 0, in_turn(stopwatches, options.rounds))


def _check_sameness(case: Case, counts: Collection[int]) -> None:
    outcome = {"predict": _probabilities, "train": _trained_weights}[case.task]
    first, *others = (outcome(case, count) for count in counts)
    if not all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True)):
        raise WrongResultError(f"{case.task} {case.name}: the bits depend on the number of threads")


def _probabilities(case: Case, threads: int) -> list[np.ndarray]:
    network = FastnnNetwork(networks.initial_weights(case.sizes))
    x, _ = networks.samples(case.sizes, case.batch_size)
    with fastnn.use_threads(threads):
        return [network.predict(x)]


def _trained_weights(case: Case, threads: int) -> list[np.ndarray]:
    """Return the weights after a shuffled epoch of four batches and a part of one."""
    network = FastnnNetwork(networks.initial_weights(case.sizes))
    x, y = networks.samples(case.sizes, 4 * case.batch_size + (case.batch_size + 1) // 2)
    fastnn.utils.set_random_seed(0)
    with fastnn.use_threads(threads):
        network.train(x, y, case.batch_size)
    return network.weights()


def _cells(result: Result, over: str, under: str) -> dict[str, str]:
    """Return the times, that of one over that of another, and that of a handover in ns."""
    timed = [name for name in result.rounds if name != HANDOVER]
    times = {name: microseconds(result.seconds(name)) for name in timed}
    cells = times | {"ratio": f"{result.quotient(over, under):.2f}"}
    if HANDOVER in result.rounds:
        cells["handover"] = f"{1e9 * result.seconds(HANDOVER):.0f} ns"
    return cells


def _line(result: Result, over: str, under: str) -> str:
    cells = [f"{name} {cell}" for name, cell in _cells(result, over, under).items()]
    return f"{result.task:<9}{result.case:<31}{'  '.join(cells)}"


def _table(measured: Sequence[Result], over: str, under: str) -> str:
    rows = [_cells(result, over, under) for result in measured]
    names = [f"{result.task} {result.case}" for result in measured]
    cells = [[name, *row.values()] for name, row in zip(names, rows, strict=True)]
    return readme.table(["", *rows[0]], cells)
