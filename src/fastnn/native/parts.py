"""How much work the rows of a batch are, and in how many parts they are worked on.

None of it depends on the number of threads, for the sums over parts must not.
"""

from __future__ import annotations

import sys

from fastnn._records import Record
from fastnn.program import ActivationOp, LayerOp, Op, Program, sees_whole_batches

LAYER_FLOPS = 20
"""Operations of a product that take as long as one element of another layer."""

OUTPUT_FLOPS = 30
"""And of an output's way through a prediction, besides the products,"""

ELEMENT_FLOPS = 80
"""or through a training step."""

WORTH_FLOPS, WORTH_ROWS = 4e6, 128
"""Of parts that are worth a thread: what one core has written comes slowly to the other, and sums
of few rows make gradients slow."""

MOST_TOGETHER = 8
"""Parts of a batch that threads pass over at a time; they have gradients of their own,"""

FEW_WEIGHTS = 1 << 18
"""which are soon added up if they have no more bytes than this, or more in proportion where weights
are used several times for each row, as in recurrent layers."""

CACHED = 1 << 19
"""Bytes of outputs and their gradients that stay in the cache, the second level's: where there are
few weights, parts are not longer than that,"""

LEAST_ROWS = 32
"""but not shorter than these either."""

PART_ROWS, WIDE_PART_ROWS = 512, 1024
"""Longest parts, of networks whose weights stay in the cache and of others."""

SMALL_WEIGHTS = 1 << 20
"""Bytes of weights that do. Threads share parts of `PART_ROWS` there, if all weights are multiplied
and not looked up: adding up gradients brings less from core to core than sharing out each product
does, which is the way of more weights."""


def flops_per_row(program: Program) -> float:
    """Return the operations of a forward pass for each row."""
    flops = 0.0
    for op in program.ops:
        if isinstance(op, LayerOp | ActivationOp):
            flops += LAYER_FLOPS * (op.inputs + op.outputs)
        flops += 2.0 * _uses_of_weights(op) * sum(p.size for p in op.parameters)
    return flops


def work_per_row(program: Program) -> float:
    """Return the operations of a product that take as long as a prediction, for each row."""
    return flops_per_row(program) + OUTPUT_FLOPS * sum(op.outputs for op in program.ops)


def _uses_of_weights(op: Op) -> int:
    """Return how often the weights of an op are multiplied for each row."""
    if isinstance(op, LayerOp):
        return op.options["steps"] if op.kernel == "simple_rnn" else 0
    return 1


class Parts(Record):
    """How batches of a program are divided.

    Attributes
    ----------
    most : int
        Rows that a part may have.
    together : bool
        Whether they are shared out over threads.
    flops : float
        Operations of a product that take as long as a row in a training step.
    long_products : bool
        Whether threads that are more than there are parts had better share the products of each.
    """

    most: int
    together: bool = False
    flops: float = 0.0
    long_products: bool = False

    @classmethod
    def of(cls, program: Program) -> Parts:
        """Choose them for training and evaluation."""
        if any(map(sees_whole_batches, program.ops)):
            return WHOLE
        weights = program.layout.size * program.dtype.itemsize
        products = flops_per_row(program)
        uses = products / (1 + 2 * program.layout.size)
        most = PART_ROWS if weights <= SMALL_WEIGHTS else WIDE_PART_ROWS
        few = weights <= FEW_WEIGHTS * max(uses, 1)
        if not few and weights > SMALL_WEIGHTS * min(uses, 1):
            return cls(most)
        outputs = [op.outputs for op in program.ops]
        flops = 1 + 3 * products + ELEMENT_FLOPS * sum(outputs)
        if not few:
            return cls(most, True, flops, long_products=True)
        row = (program.inputs + sum(outputs) + 2 * max(outputs, default=0)) * program.dtype.itemsize
        return cls(min(max(CACHED // row, LEAST_ROWS), most), True, flops)

    @property
    def worth(self) -> int:
        """Rows that are worth a thread; more than there are where parts are not shared out."""
        if not self.together:
            return sys.maxsize
        least = PART_ROWS if self.long_products else WORTH_ROWS
        return max(round(WORTH_FLOPS / self.flops), least)

    def count(self, rows: int) -> int:
        """Return how many parts so many rows are divided into.

        1, 2, 4, ... where threads share them, so that they do it evenly.
        """
        if not self.together:
            return -(-rows // self.most)
        parts = 1
        while parts * self.most < rows or (
            parts < MOST_TOGETHER and 2 * parts * self.worth <= rows
        ):
            parts *= 2
        return parts

    def at_once(self, rows: int) -> int:
        """Return how many of the parts of so many rows may be worked on at a time."""
        return min(self.count(rows), MOST_TOGETHER) if self.together else 1

    def longest(self, rows: int) -> int:
        """Return the rows of the longest part of any batch of up to so many rows."""
        return min(rows, self.most, max(2 * self.worth, -(-rows // MOST_TOGETHER)))


WHOLE = Parts(sys.maxsize)
"""For whatever sees whole batches, as losses and metrics written in Python do."""
