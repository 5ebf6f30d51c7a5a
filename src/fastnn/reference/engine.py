"""The engine that runs programs with the kernels of `fastnn.reference`.

Forward, it keeps for each op what its gradient will need (`Record`); backward, it goes through
these records in reverse. Whatever users wrote themselves (activations, losses, metrics) is called
with read-only views of the arrays, and what it returns is checked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import UPDATES, check_name, target_width, user_gradients
from fastnn.program import (
    WHOLE_BATCH,
    ActivationOp,
    AddOp,
    BranchOp,
    Dataset,
    DenseOp,
    DropoutOp,
    LayerOp,
    NotFiniteError,
    Objective,
    Op,
    OptimizerState,
    Parameter,
    Program,
    UpdateRule,
    UserOp,
    training_only,
)
from fastnn.reference._arrays import ieee_arithmetic
from fastnn.reference.activations import activation_backward, activation_forward
from fastnn.reference.constraints import min_max_norm, non_neg
from fastnn.reference.dense import dense_backward, dense_forward
from fastnn.reference.dropout import dropout
from fastnn.reference.layers import (
    KERNELS,
    activity_penalty,
    layer_forward,
    layer_gradient,
    moments,
)
from fastnn.reference.losses import loss_backward, loss_forward
from fastnn.reference.metrics import metric_values
from fastnn.reference.optimizers import (
    adadelta,
    adagrad,
    adam,
    adamax,
    ftrl,
    lion,
    nadam,
    rmsprop,
    sgd,
)
from fastnn.reference.regularizers import orthogonal_gradient, orthogonal_penalty
from fastnn.reference.step import Weights, take_step

if TYPE_CHECKING:
    from fastnn.activations import ActivationFunction

STEPS = (sgd, rmsprop, adagrad, adam, adadelta, adamax, nadam, ftrl, lion)
UPDATE_KERNELS = dict(zip(UPDATES, STEPS, strict=True))

CONSTRAINT_KERNELS: dict[str, Any] = {"min_max_norm": min_max_norm, "non_neg": non_neg}

Gradients = dict[Parameter, np.ndarray]


class ReferenceEngine:
    """Executes a program in NumPy; see `fastnn.program.Engine`.

    It keeps no workspace, so any number of threads may call `forward` at once.
    """

    name = "reference"

    def __init__(self, program: Program) -> None:
        self.program = program

    def forward(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the program's output for the rows of `x` to `out`, as in inference."""
        records = run_forward(self.program.ops, x)
        out[...] = records[-1].y if records else x

    def room_for(self, objective: Objective, batch_size: int) -> tuple[int, int]:
        """Return `batch_size` and 1: batches are worked on as a whole."""
        return batch_size, 1

    def trainer(
        self, objective: Objective, rule: UpdateRule, state: OptimizerState, capacity: int
    ) -> ReferenceTrainer:
        """Return a trainer for batches of at most `capacity` rows."""
        return ReferenceTrainer(self.program, objective, rule, state, capacity)


@dataclass(frozen=True, eq=False)
class Record:
    """What an op met on the way forward: its input, the same before its activation, its output."""

    op: Op
    x: np.ndarray
    z: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Trace:
    """One way forward and back through a program, as in a training step.

    Attributes
    ----------
    records : list of Record
        In the order of the ops.
    scores : ndarray
        What the loss is taken of: the output, or the logits where the last op's activation is
        fused with the loss.
    score_gradient : ndarray
        Gradient of the batch's loss with respect to `scores`.
    output_gradients : list of ndarray
        Those with respect to the output of each op; for the last one `score_gradient`.
    gradients : dict of Parameter to ndarray
        Those of loss and penalties, for the trainable parameters.
    """

    records: list[Record]
    scores: np.ndarray
    score_gradient: np.ndarray
    output_gradients: list[np.ndarray]
    gradients: Gradients


def _batch(data: Dataset, order: np.ndarray | None, batch_size: int, step: int) -> Dataset:
    """Return the rows of step `step`."""
    entries = slice(step * batch_size, (step + 1) * batch_size)
    rows = entries if order is None else order[entries]
    weights = None if data.weights is None else data.weights[rows]
    batch = Dataset(data.x[rows], data.y[rows], weights)
    if order is not None and not np.isfinite(batch.x).all():
        raise NotFiniteError
    return batch


class ReferenceTrainer:
    """Runs training and evaluation steps in NumPy; see `fastnn.program.Trainer`."""

    def __init__(
        self,
        program: Program,
        objective: Objective,
        rule: UpdateRule,
        state: OptimizerState,
        capacity: int,
    ) -> None:
        if rule.kernel is not None:
            check_name("update kernel", rule.kernel, UPDATES)
        rule.check(state)
        loss = objective.loss
        target_width(loss.name, program.outputs, loss.outputs_per_target)
        self.program = program
        self.objective = objective
        self.rule = rule
        self.state = state
        self.capacity = capacity
        self.trainable = [p for p in program.parameters if p.trainable]
        self.renewed = [p for p in program.parameters if p.renewed]
        self.totals = np.zeros(1 + len(objective.metrics))
        self.rows = 0

    def reset(self) -> None:
        """Set `totals` and `rows` to zero."""
        self.totals[...] = 0.0
        self.rows = 0

    def train(
        self,
        data: Dataset,
        order: np.ndarray | None,
        batch_size: int,
        first: int,
        hyperparameters: np.ndarray,
        budget: float,
        ends: np.ndarray | None = None,
    ) -> int:
        """Run training steps `first`, `first` + 1, ... of an epoch or several; return how many.

        One step is run however small the `budget`.
        """
        deadline = time.perf_counter() + budget
        steps = self._steps(data, batch_size)
        epochs = 1 if ends is None else len(ends)
        done = 0
        for number, values in zip(
            range(first, epochs * steps), hyperparameters.tolist(), strict=False
        ):
            epoch, step = divmod(number, steps)
            visits = order if ends is None or order is None else order[epoch]
            with self._rolled_back_on_error():
                self._train_step(_batch(data, visits, batch_size, step), values)
                if ends is not None and step == steps - 1:
                    ends[epoch], self.totals[...] = self.totals, 0.0
            done += 1
            if time.perf_counter() >= deadline:
                break
        return done

    def evaluate(self, data: Dataset, batch_size: int, first: int, budget: float) -> int:
        """Add batches `first`, `first` + 1, ... to `totals`; return how many were done.

        One batch is done however small the `budget`.
        """
        deadline = time.perf_counter() + budget
        done = 0
        for step in range(first, self._steps(data, batch_size)):
            batch = _batch(data, None, batch_size, step)
            records = run_forward(self.program.ops, batch.x)
            self._count(batch, records)
            done += 1
            if time.perf_counter() >= deadline:
                break
        return done

    def gradient(self, data: Dataset, out: np.ndarray) -> None:
        """Write the gradient of the loss over `data` to `out`; see `fastnn.program.Trainer`."""
        with self._rolled_back_on_error():
            records = self._step_forward(data)
            self._count(data, records)
            gradients = self._trace_back(data, records).gradients
        out[...] = 0.0
        for parameter, gradient in gradients.items():
            self.program.layout.view(out, parameter)[...] = gradient

    # To look at a step without taking it

    def trace(self, batch: Dataset) -> Trace:
        """Go forward and back over `batch` as the next training step would; change nothing."""
        return self._trace_back(batch, self._step_forward(batch))

    def batch_loss(self, batch: Dataset) -> float:
        """Return the loss that the next training step would have, penalties included."""
        records = self._step_forward(batch)
        loss = self.loss_of(batch, self._scores(batch, records)) + self._penalty()
        return loss + activity_penalties(records) / len(batch)

    def loss_of(self, batch: Dataset, scores: np.ndarray) -> float:
        """Return the mean weighted loss of `scores`: outputs, or logits of a fused head."""
        return total(self._loss_values(batch, scores), batch.weights) / len(batch)

    def _step_forward(self, batch: Dataset) -> list[Record]:
        return run_forward(self.program.ops, batch.x, step=self.state.iterations)

    def _steps(self, data: Dataset, batch_size: int) -> int:
        """Return the number of batches of `data`; check that there is room for one."""
        if not 1 <= batch_size <= self.capacity:
            raise ValueError(
                f"batch_size must lie in [1, {self.capacity}], the capacity of this trainer, "
                f"got {batch_size}; make a trainer with a larger capacity"
            )
        return -(-len(data) // batch_size)

    def _train_step(self, batch: Dataset, values: Sequence[float]) -> None:
        records = self._step_forward(batch)
        self._count(batch, records)
        self._update(self._trace_back(batch, records).gradients, values)
        self._constrain()
        self._renew_statistics(records)
        self._touch()
        self.state.iterations += 1

    @contextmanager
    def _rolled_back_on_error(self) -> Iterator[None]:
        """Undo an unfinished step: a signal handler may raise between any two operations."""
        changing = [*self.trainable, *self.renewed]
        arrays = [p.array for p in changing] + [*self.state.buffers, self.totals]
        saved = [array.copy() for array in arrays]
        counts = self.rows, self.state.iterations
        try:
            yield
        except BaseException:
            for array, values in zip(arrays, saved, strict=True):
                array[...] = values
            self.rows, self.state.iterations = counts
            self._touch()
            raise

    # Loss and metrics

    def _count(self, batch: Dataset, records: Sequence[Record]) -> None:
        """Add the loss, penalties included, and the metrics of a batch to the totals."""
        sums = np.zeros_like(self.totals)
        values = self._loss_values(batch, self._scores(batch, records))
        sums[0] = total(values, batch.weights) + len(batch) * self._penalty()
        sums[0] += activity_penalties(records)
        predictions = records[-1].y if records else batch.x
        # Where a loss takes several outputs for each target, metrics see the first of them.
        if batch.y.ndim == 2:
            predictions = predictions[:, : batch.y.shape[1]]
        for i, metric in enumerate(self.objective.metrics, start=1):
            if metric.kernel is None:
                metric.update_state(read_only(batch.y), read_only(predictions))
                continue
            row_values = metric_values(
                batch.y, predictions, metric.kernel, threshold=metric.threshold
            )
            sums[i] = total(row_values)
        with ieee_arithmetic():
            self.totals += sums
        self.rows += len(batch)

    def _scores(self, batch: Dataset, records: Sequence[Record]) -> np.ndarray:
        """Return what the loss is taken of: the logits where there is a fused head."""
        if not records:
            return batch.x
        return records[-1].y if self.objective.head is None else records[-1].z

    def _loss_options(self) -> dict[str, Any]:
        options = self.objective.loss.kernel_options()
        return options if self.objective.head is None else {**options, "from_logits": True}

    def _loss_values(self, batch: Dataset, scores: np.ndarray) -> np.ndarray:
        loss = self.objective.loss
        if loss.kernel is not None:
            return loss_forward(batch.y, scores, loss.kernel, **self._loss_options())
        values = loss.forward(read_only(batch.y), read_only(scores))
        return returned(values, (len(batch),), scores.dtype, f"{type(loss).__name__}.forward")

    def _loss_gradient(self, batch: Dataset, scores: np.ndarray) -> np.ndarray:
        """Return the gradient of the batch's mean weighted loss with respect to `scores`."""
        loss = self.objective.loss
        weights = np.ones(len(batch), scores.dtype) if batch.weights is None else batch.weights
        shares = weights / len(batch)
        if loss.kernel is not None:
            return loss_backward(
                batch.y, scores, loss.kernel, sample_weight=shares, **self._loss_options()
            )
        grad = loss.backward(read_only(batch.y), read_only(scores))
        grad = returned(grad, scores.shape, scores.dtype, f"{type(loss).__name__}.backward")
        with ieee_arithmetic():
            return grad * shares[:, np.newaxis]

    def _penalty(self) -> float:
        """Return the sum of the penalties on the trainable parameters."""
        return sum(penalty(p) for p in self.trainable if p.regularizer is not None)

    # Gradients

    def _trace_back(self, batch: Dataset, records: list[Record]) -> Trace:
        """Return the gradients of loss and penalties on the way back through `records`."""
        scores = self._scores(batch, records)
        grad = score_gradient = self._loss_gradient(batch, scores)
        output_gradients: list[np.ndarray] = []
        gradients: Gradients = {}
        held: list[np.ndarray] = []
        for record in reversed(records):
            output_gradients.append(grad)
            fused = self.objective.head is not None and record is records[-1]
            grad = run_backward(record, grad, fused, self.state.iterations, gradients, held)
        gradients = {p: gradients[p] for p in self.trainable}
        for parameter, gradient in gradients.items():
            add_penalty_gradient(parameter, gradient)
        return Trace(records, scores, score_gradient, output_gradients[::-1], gradients)

    def _update(self, gradients: Gradients, values: Sequence[float]) -> None:
        """Take the optimizer's step."""
        rule = self.rule
        kernel: Any = None if rule.kernel is None else UPDATE_KERNELS[rule.kernel]
        weights = [self._weights(p, gradient) for p, gradient in gradients.items()]
        take_step(weights, rule, kernel, self.state.iterations, values)

    def _renew_statistics(self, records: Sequence[Record]) -> None:
        """Let the moving means and variances follow those of the batch."""
        for record in records:
            op = record.op
            if isinstance(op, LayerOp) and op.kernel in WHOLE_BATCH and renews(op):
                momentum = record.x.dtype.type(op.options["momentum"])
                with ieee_arithmetic():
                    for parameter, now in zip(op.parameters[-2:], moments(record.x), strict=True):
                        moving = parameter.array
                        moving[...] = momentum * moving + (1 - momentum) * now

    def _weights(self, parameter: Parameter, gradient: np.ndarray) -> Weights:
        """Return a parameter with its gradient and its parts of the optimizer's buffers."""
        layout, state = self.program.layout, self.state
        return Weights(
            parameter.array,
            gradient,
            [layout.view(slot, parameter) for slot in state.slots],
            None if state.average is None else layout.view(state.average, parameter),
            None if state.accumulated is None else layout.view(state.accumulated, parameter),
        )

    def _constrain(self) -> None:
        """Hold the parameters to their constraints."""
        for parameter in self.trainable:
            if parameter.constraint is not None:
                constrain(parameter)

    def _touch(self) -> None:
        changing = [*self.trainable, *self.renewed]
        for block in {p.block for p in changing if p.block is not None}:
            block.touch()


# Ops


def run_forward(ops: Sequence[Op], x: np.ndarray, step: int | None = None) -> list[Record]:
    """Run `ops` over the rows of `x`; `step` is the number of the training step, if it is one."""
    records: list[Record] = []
    branches: list[np.ndarray] = []
    for op in ops:
        z = x
        if isinstance(op, DenseOp):
            bias = None if op.bias is None else op.bias.array
            z = dense_forward(x, op.kernel.array, bias)
        if isinstance(op, DenseOp | ActivationOp):
            y = activate(op.activation, z)
        else:
            y = run_layer(op, x, step, branches)
        records.append(Record(op, x, z, y))
        x = y
    return records


def outputs_in_training(ops: Sequence[Op], x: np.ndarray, step: int) -> np.ndarray:
    """Return the output of `ops` as in training step `step`, in an array of its own."""
    records = run_forward(ops, x, step)
    return records[-1].y if records else x.copy()


def run_layer(op: Op, x: np.ndarray, step: int | None, branches: list[np.ndarray]) -> np.ndarray:
    """Return the output of an op that has no activation; `branches` are those that are open."""
    if isinstance(op, BranchOp):
        branches.append(x)
        return x
    if isinstance(op, AddOp):
        with ieee_arithmetic():
            return x + branches.pop()
    if isinstance(op, UserOp):
        y = op.layer.forward(read_only(x), step is not None)
        return returned(y, (len(x), op.outputs), x.dtype, f"{op.layer.name}.forward")
    if step is None and training_only(op):
        return x
    if isinstance(op, DropoutOp):
        assert step is not None
        return dropout(x, op.rate, op.seed, step)
    assert isinstance(op, LayerOp)
    return layer_forward(op.kernel, x, *weight_arrays(op), **layer_options(op, step))


def activity_penalties(records: Sequence[Record]) -> float:
    """Return the sum of the penalties on activations over the rows of a batch."""
    return sum(
        activity_penalty(record.x, **record.op.options)
        for record in records
        if isinstance(record.op, LayerOp) and record.op.kernel == "activity_regularization"
    )


def weight_arrays(op: LayerOp) -> list[np.ndarray | None]:
    """Return the weights of a layer, None for those that it does without."""
    return [None if weight is None else weight.array for weight in op.weights]


def layer_options(op: LayerOp, step: int | None) -> dict[str, Any]:
    """Return the keyword arguments of a layer's kernel at a training step, or in inference."""
    options = dict(op.options)
    if KERNELS[op.kernel].random:
        options |= {"seed": op.seed, "step": step}
    if op.kernel in WHOLE_BATCH:
        options["training"] = step is not None and renews(op)
    return options


def renews(op: LayerOp) -> bool:
    """Whether training renews the statistics of a layer."""
    return any(parameter.renewed for parameter in op.parameters)


def run_backward(
    record: Record,
    grad: np.ndarray,
    fused: bool,
    step: int,
    gradients: Gradients,
    held: list[np.ndarray],
) -> np.ndarray:
    """Return the gradient with respect to an op's input; add its parameters' to `gradients`.

    Where the op's activation is `fused` with the loss, `grad` is that of the pre-activation.
    `held` are gradients that wait for the beginning of their branch.
    """
    op = record.op
    if isinstance(op, AddOp):
        held.append(grad)
        return grad
    if isinstance(op, BranchOp):
        with ieee_arithmetic():
            return grad + held.pop()
    if isinstance(op, UserOp):
        return user_gradient(op, record, grad, gradients)
    if isinstance(op, DropoutOp):
        return dropout(grad, op.rate, op.seed, step)
    if isinstance(op, LayerOp):
        arrays, options = weight_arrays(op), layer_options(op, step)
        grad_x, of_weights = layer_gradient(op.kernel, grad, record.x, *arrays, **options)
        for weight, gradient in zip(op.weights, of_weights, strict=False):
            if weight is not None and gradient is not None:
                gradients[weight] = gradient
        return grad_x
    if not fused:
        grad = activation_gradient(op.activation, grad, record.z, record.y)
    if isinstance(op, ActivationOp):
        return grad
    bias = None if op.bias is None else op.bias.array
    grad_x, grad_kernel, grad_bias = dense_backward(grad, record.x, op.kernel.array, bias)
    gradients[op.kernel] = grad_kernel
    if op.bias is not None and grad_bias is not None:
        gradients[op.bias] = grad_bias
    return grad_x


def user_gradient(op: UserOp, record: Record, grad: np.ndarray, gradients: Gradients) -> np.ndarray:
    """Return the gradient of the input of a user's layer; add its weights' to `gradients`."""
    views = [read_only(array) for array in (grad, record.x, record.y)]
    grad_x, *of_weights = user_gradients(op.layer.backward(*views), len(op.parameters))
    source = f"{op.layer.name}.backward"
    for parameter, gradient in zip(op.parameters, of_weights, strict=True):
        gradients[parameter] = returned(gradient, parameter.shape, grad.dtype, source)
    return returned(grad_x, record.x.shape, grad.dtype, source)


def activate(activation: ActivationFunction, z: np.ndarray) -> np.ndarray:
    """Return ``activation(z)``, by its kernel or by the user's own `forward`."""
    if activation.builtin:
        return activation_forward(z, activation.name, options=activation.options)
    y = activation.forward(read_only(z))
    shape = (len(z), activation.output_width(z.shape[1]))
    return returned(y, shape, z.dtype, f"{type(activation).__name__}.forward")


def activation_gradient(
    activation: ActivationFunction, grad: np.ndarray, z: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Return the gradient with respect to `z`, by kernel or by the user's own `backward`."""
    if activation.builtin:
        return activation_backward(grad, z, y, activation.name, options=activation.options)
    result = activation.backward(read_only(grad), read_only(z), read_only(y))
    return returned(result, z.shape, z.dtype, f"{type(activation).__name__}.backward")


@ieee_arithmetic()
def penalty(parameter: Parameter) -> float:
    """Return the penalty of a parameter's regularizer."""
    regularizer: Any = parameter.regularizer
    if regularizer.kernel == "l1_l2":
        w = parameter.array.astype(np.float64)
        l1, l2 = float(np.sum(np.abs(w))), float(np.sum(np.square(w)))
        return regularizer.l1 * l1 + regularizer.l2 * l2
    if regularizer.kernel == "orthogonal":
        return orthogonal_penalty(parameter.array, **regularizer.options)
    return float(regularizer(parameter.value))


@ieee_arithmetic()
def add_penalty_gradient(parameter: Parameter, gradient: np.ndarray) -> None:
    """Add the gradient of a parameter's penalty, if it has one, to `gradient`, in place."""
    regularizer: Any = parameter.regularizer
    w = parameter.value
    if regularizer is None:
        return
    if regularizer.kernel == "l1_l2":
        gradient += 2 * float(regularizer.l2) * w
        gradient += float(regularizer.l1) * np.sign(w)
    elif regularizer.kernel == "orthogonal":
        gradient += orthogonal_gradient(w, **regularizer.options)
    else:
        source = f"{type(regularizer).__name__}.gradient"
        gradient += returned(regularizer.gradient(w), w.shape, w.dtype, source)


def constrain(parameter: Parameter) -> None:
    """Hold a parameter to its constraint, in place."""
    constraint: Any = parameter.constraint
    w = parameter.array
    if constraint.kernel is not None:
        CONSTRAINT_KERNELS[constraint.kernel](w, **constraint.options)
    else:
        values = constraint(parameter.value)
        w[...] = returned(values, w.shape, w.dtype, type(constraint).__name__)


@ieee_arithmetic()
def total(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the sum of `values`, each times its weight, in float64."""
    wide = values.astype(np.float64)
    return float(np.sum(wide if weights is None else wide * weights))


# What users wrote


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of `array` that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def returned(
    result: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, source: str
) -> np.ndarray:
    """Return what the user's function returned in `dtype`; check that it has this `shape`.

    It is a copy, for the function may use one array for all its results.
    """
    array = np.array(result, dtype=dtype)
    if array.shape != shape:
        raise ValueError(
            f"{source} must return an array of shape {shape}, got {array.shape}; correct it there"
        )
    return array
