"""A copy of a model to take apart: float64, on the reference engine, with weights of its own."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _training
from fastnn._nesting import named_weights
from fastnn._validation import check_memory
from fastnn.program import (
    Dataset,
    Objective,
    Op,
    OptimizerState,
    Parameter,
    ParameterBlock,
    Program,
    UpdateRule,
)
from fastnn.reference.engine import ReferenceTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from fastnn.layers import Layer, Shape
    from fastnn.models import Sequential

FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Replica:
    """A copy of a model, and data to try it on.

    Attributes
    ----------
    layers : list of Layer
        Those of the model itself.
    ops : list of list of Op
        What each of them lowers to, with copies of its parameters. An activation layer after a
        dense one keeps an op of its own, unlike in the model's program.
    parameters : dict of Parameter to tuple (Layer, str)
        Layer of each copied parameter, and its name there.
    trainer : ReferenceTrainer
        Its next step is always the first one, so that masks of dropout stay the same.
    data : Dataset
    """

    layers: list[Layer]
    ops: list[list[Op]]
    parameters: dict[Parameter, tuple[Layer, str]]
    trainer: ReferenceTrainer
    data: Dataset


def replicate(
    model: Sequential, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, action: str
) -> Replica:
    """Return a replica of a compiled and built model; `action` is what messages call this.

    Raises
    ------
    TypeError, ValueError, RuntimeError, MemoryError
        As `Sequential.evaluate`; ValueError also if an activation has no gradient.
    """
    compiled = model._require_compiled(action)
    data = model._dataset(compiled, model._resolve_shape(), x, y, sample_weight)
    layers, shape = model.layers, model._resolve_shape()
    widths = [math.prod(size for size in sizes[1:] if size) for sizes in model.layer_output_shapes]
    # Data, and for each layer what comes in, its pre-activation, its output and its gradient.
    numbers = 2 * model.count_params() + len(data) * (data.x.shape[1] + 4 * sum(widths))
    check_memory(numbers * FLOAT64.itemsize, action)

    twins = _twins([parameter for layer in layers for parameter in layer.weights])
    # Whatever else an op refers to is copied with it, and refers to the copied parameters.
    memo: dict[int, Any] = {id(original): twin for original, twin in twins.items()}
    ops = copy.deepcopy(_lowered(layers, shape), memo)
    program = Program([op for group in ops for op in group], data.x.shape[1], FLOAT64)
    _training.require_gradient(program)
    assert compiled.loss is not None
    objective = Objective(compiled.loss, _training.head_of(compiled.loss, program), ())
    rule, state = UpdateRule("sgd", ("learning_rate",)), OptimizerState(program.layout, ())
    trainer = ReferenceTrainer(program, objective, rule, state, len(data))
    names = {
        twins[original]: (layer, name)
        for layer in layers
        for name, original in named_weights(layer)
    }
    return Replica(layers, ops, names, trainer, _in_float64(data))


def _twins(originals: Sequence[Parameter]) -> dict[Parameter, Parameter]:
    """Return a copy of each parameter; the copies are in one new block."""
    twins = {original: copy.copy(original) for original in originals}
    block = ParameterBlock(list(twins.values()), FLOAT64)
    for original, twin in twins.items():
        twin.array[...] = original.value
    block.touch()
    return twins


def _lowered(layers: Sequence[Layer], shape: Shape) -> list[list[Op]]:
    ops = []
    for layer in layers:
        ops.append(layer.lower(shape))
        shape = layer.compute_output_shape(shape)
    return ops


def _in_float64(data: Dataset) -> Dataset:
    y = data.y.astype(FLOAT64) if data.y.dtype.kind == "f" else data.y
    weights = None if data.weights is None else data.weights.astype(FLOAT64)
    return Dataset(data.x.astype(FLOAT64), y, weights)
