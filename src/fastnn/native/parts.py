"""How many rows of a batch are worked on at a time."""

from __future__ import annotations

import sys

from fastnn.program import Objective, Program, sees_whole_batches

PART_ROWS = 512
"""So many have a workspace of 1.6 MB in 784-128-10, which more or less stays in the cache."""

WIDE_PART_ROWS = 1024
"""Weights that do not stay there themselves want longer parts."""

SMALL_WEIGHTS = 1 << 20
"""Bytes of weights that do."""


def part_rows(program: Program, objective: Objective) -> int:
    """Return the rows of a part: all, if something in a training step sees whole batches."""
    kernels = [objective.loss.kernel, *(metric.kernel for metric in objective.metrics)]
    if None in kernels or any(map(sees_whole_batches, program.ops)):
        return sys.maxsize
    weights = program.dtype.itemsize * sum(parameter.size for parameter in program.parameters)
    return PART_ROWS if weights <= SMALL_WEIGHTS else WIDE_PART_ROWS
