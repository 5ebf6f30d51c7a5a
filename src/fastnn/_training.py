"""The training loop: what happens between the epochs of a fit, in Python.

The steps themselves are run by the engine's trainer, many at a time. It comes back at least every
`BUDGET` seconds, so that Ctrl-C is heard and progress shown, and after each step only where a
callback asks for batches. Where nobody wants to hear of epochs as they end, it runs several.
"""

from __future__ import annotations

import copy
import math
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import losses, optimizers
from fastnn._records import Record
from fastnn._validation import check_memory, whole_number
from fastnn.native.kernels import permutation
from fastnn.native.team import get_num_threads
from fastnn.program import (
    ActivationOp,
    Dataset,
    DenseOp,
    Engine,
    NotFiniteError,
    Objective,
    Op,
    OptimizerState,
    Parameter,
    Program,
    Trainer,
    UserOp,
)
from fastnn.utils import generator

if TYPE_CHECKING:
    from fastnn.callbacks import CallbackList, Logs
    from fastnn.losses import Loss
    from fastnn.metrics import Metric
    from fastnn.models import Sequential
    from fastnn.optimizers import Optimizer

BUDGET = 0.05
"""Seconds that a trainer may run before it comes back."""

AHEAD = 1 << 15
"""Rows that epochs may have together which follow each other without a word from Python."""

KEPT_BYTES = 1 << 20
"""Workspace up to which a trainer is kept for the next fit, which would have to make one."""

LARGE_KEPT_BYTES = 1 << 26
"""Workspace that all larger ones which are kept may have together: new pages take time."""

LATE_BYTES = 1 << 25
"""Inputs from which the first epoch finds out whether all of them are finite, and not a look at
them before it: to read less brings it into the cache, and so is no loss."""

LATE_COPIES = 32
"""How many times as large they must be as what is copied then, in case one of them is not."""


class Plan(Record):
    """How the epochs of a fit are to be run."""

    batch_size: int
    epochs: int
    initial_epoch: int
    shuffle: bool

    def __post_init__(self) -> None:
        # As int: NumPy's short integers overflow in what is worked out from them.
        vars(self).update(
            batch_size=whole_number(self.batch_size, "batch_size"),
            epochs=whole_number(self.epochs, "epochs"),
            initial_epoch=whole_number(self.initial_epoch, "initial_epoch", minimum=0),
        )


_NOT_COPIED = "_lock", "_metrics_lock", "_kept"


class Compiled:
    """What `Sequential.compile` chose, and the optimizer's state for this model.

    Parameters
    ----------
    optimizer, loss, metrics
        As the user gave them.
    """

    def __init__(self, optimizer: Any, loss: Any, metrics: Any) -> None:
        self.optimizer: Optimizer = optimizers.get(optimizer)
        self.loss: Loss | None = None if loss is None else losses.get(loss)
        self.metrics: tuple[Metric, ...] = ()
        self._requested = _as_list(metrics)
        self._outputs: int | None = None
        self._state: OptimizerState | None = None
        self._parameters: tuple[Parameter, ...] = ()
        self._renew()
        if self.loss is not None:
            _check_reduction(self.loss)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._metrics_lock = threading.Lock()
        self._kept: tuple[tuple[Any, ...], int, Trainer] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in _NOT_COPIED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._renew()

    def resolve_metrics(self, outputs: int) -> None:
        """Choose the metrics for a model of so many outputs: "accuracy" depends on it."""
        if self._outputs == outputs or self.loss is None:
            return
        from fastnn import metrics  # which take a tenth of fastnn's import

        chosen = tuple(
            metrics.get(identifier, loss=self.loss, outputs=outputs)
            for identifier in self._requested
        )
        _check_names(chosen)
        self.metrics, self._outputs = chosen, outputs

    def state(self, program: Program) -> OptimizerState:
        """Return the optimizer's state, made anew if the model has other parameters by now."""
        with self._lock:
            if self._state is None or self._parameters != program.parameters:
                self._state = self.optimizer.new_state(program.layout)
                self._parameters = program.parameters
            if len(self._state.slots) != len(self.optimizer.slot_values):
                raise ValueError(
                    f"the optimizer needs {len(self.optimizer.slot_values)} numbers for each "
                    f"weight by now, and has kept {len(self._state.slots)}: compile the model "
                    "again after changing its optimizer"
                )
            return self._state

    @property
    def metric_objects(self) -> list[Metric]:
        """The metrics that the user made, and did not only name."""
        requested = [metric for metric in self._requested if not isinstance(metric, type)]
        return [metric for metric in requested if hasattr(metric, "update_state")]

    @contextmanager
    def lent_metrics(self) -> Iterator[tuple[Metric, ...]]:
        """Context with the metrics, or with copies of them while they are lent to another."""
        alone = self._metrics_lock.acquire(blocking=False)
        try:
            yield self.metrics if alone else copy.deepcopy(self.metrics)
        finally:
            if alone:
                self._metrics_lock.release()

    def trainer(
        self, engine: Engine, program: Program, capacity: int, metrics: tuple[Metric, ...]
    ) -> Trainer:
        """Return a trainer for batches of at most `capacity` rows.

        Raises
        ------
        MemoryError
            If its workspace does not fit.
        """
        made = self._parameters == program.parameters
        buffers = 0 if made else self.optimizer.buffers
        objective = self._objective(program, metrics)
        rows, gradients = engine.room_for(objective, capacity)
        check_memory(_needed(program, rows, gradients + buffers), "training")
        return engine.trainer(objective, self.optimizer.rule(), self.state(program), capacity)

    def _objective(self, program: Program, metrics: tuple[Metric, ...]) -> Objective:
        assert self.loss is not None
        return Objective(self.loss, head_of(self.loss, program), metrics)

    def trainer_to_fit(
        self, engine: Engine, program: Program, capacity: int, metrics: tuple[Metric, ...]
    ) -> Trainer:
        """Return a trainer for a fit, the last one again if it is kept and nothing has changed."""
        needed = _needed(program, *engine.room_for(self._objective(program, metrics), capacity))
        if needed > LARGE_KEPT_BYTES:
            self.forget_trainer()  # before the larger one takes memory
            return self.trainer(engine, program, capacity, metrics)
        if needed > KEPT_BYTES:
            _keep_for(self, needed)
        return self.kept_trainer(engine, program, capacity, metrics)

    def kept_trainer(
        self, engine: Engine, program: Program, capacity: int, metrics: tuple[Metric, ...]
    ) -> Trainer:
        """Return a trainer as `trainer` does, the last one again if nothing has changed.

        For single steps and fits, which could otherwise spend much time on making one.
        To be called by one thread at a time.
        """
        flags = tuple(map(_settings, program.parameters))
        assert self.loss is not None
        loss = tuple(self.loss.kernel_options().items()) if self.loss.kernel else ()
        thresholds = tuple(metric.threshold for metric in metrics)
        settings = loss, metrics, thresholds, flags
        key = (engine, self.optimizer.settings(), settings, get_num_threads())
        kept = self._kept
        if kept is None or kept[0] != key or kept[1] < capacity:
            self._kept = kept = None  # before the next one takes memory
            made = self.trainer(engine, program, capacity, metrics)
            self._kept = kept = key, capacity, made
        return kept[2]

    def forget_trainer(self) -> None:
        """Let go of the trainer that is kept; if it is at work, that goes on."""
        self._kept = None


def _settings(parameter: Parameter) -> tuple[Any, ...]:
    """Return what a trainer takes from a parameter when it is made."""
    regularizer, constraint = parameter.regularizer, parameter.constraint
    settings: tuple[Any, ...] = parameter.trainable, parameter.renewed, regularizer, constraint
    for rule in (regularizer, constraint):
        if rule is not None and rule.kernel is not None:
            settings += tuple(rule.options.values())
    return settings


_keepers: list[tuple[weakref.ref[Compiled], int]] = []
"""Which models keep more than `KEPT_BYTES` after a fit, and how much, the last fitted last."""

_keepers_lock = threading.Lock()


def _keep_for(compiled: Compiled, size: int) -> None:
    """Let this model keep so many bytes, and the others that were fitted last what then remains."""
    with _keepers_lock:
        sizes = [size] + [kept for keeper, kept in _keepers if keeper() is compiled]
        others = [keeping for keeping in _keepers if keeping[0]() not in (None, compiled)]
        _keepers[:] = [*others, (weakref.ref(compiled), max(sizes))]
        while sum(kept for _, kept in _keepers) > LARGE_KEPT_BYTES:
            longest_ago = _keepers.pop(0)[0]()
            if longest_ago is not None:
                longest_ago.forget_trainer()


def _as_list(requested: Any) -> list[Any]:
    if requested is None:
        return []
    return list(requested) if isinstance(requested, list | tuple) else [requested]


def _check_reduction(loss: Loss) -> None:
    """Check that the loss means over the batch, as a training step does."""
    if loss.reduction not in ("sum_over_batch_size", "mean"):
        raise ValueError(
            "training takes the mean loss of a batch: expected a loss with "
            f"reduction='sum_over_batch_size', got {loss.reduction!r}"
        )


def _check_names(chosen: Sequence[Metric]) -> None:
    """Check that the metrics can be told apart in logs."""
    names = [metric.name for metric in chosen]
    for name in names:
        if name == "loss" or names.count(name) > 1:
            raise ValueError(
                f"metrics need names of their own, got '{name}' a second time: "
                "give one of them another with name=..."
            )


def head_of(loss: Loss, program: Program) -> str | None:
    """Return the activation of the program's last op, if it fuses with `loss`."""
    last = program.ops[-1] if program.ops else None
    if not isinstance(last, DenseOp | ActivationOp):
        return None
    return losses.crossentropy_head(loss, last.activation)


def _needed(program: Program, rows: int, buffers: int) -> int:
    """Return the bytes of buffers of all parameters and, for each row, values and gradients."""
    widths = program.inputs + sum(_width(op) for op in program.ops)
    numbers = buffers * program.layout.size + 2 * rows * widths
    return numbers * program.dtype.itemsize


def _width(op: Op) -> int:
    """Return the columns of an op's result, before its activation if there are more."""
    return max(op.outputs, op.kernel.shape[1]) if isinstance(op, DenseOp) else op.outputs


def require_gradient(program: Program) -> None:
    """Raise if an op has no gradient to train through."""
    for op in program.ops:
        if isinstance(op, DenseOp | ActivationOp) and op.activation.name == "step":
            raise ValueError(
                "activation 'step' has no gradient to train by: train a threshold unit with "
                "fastnn.Perceptron, or use 'sigmoid' or 'hard_sigmoid' in its place"
            )


# Data


def batches(data: Dataset, batch_size: int) -> int:
    """Return the number of batches of `data`, the last of which may be smaller."""
    return -(-len(data) // batch_size)


def part(data: Dataset, start: int, stop: int) -> Dataset:
    """Return rows `start` to `stop` of `data`, as views."""
    weights = None if data.weights is None else data.weights[start:stop]
    return Dataset(data.x[start:stop], data.y[start:stop], weights, data.finite)


def split(data: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
    """Return all rows but the last `fraction` of them, and these.

    Raises
    ------
    ValueError
        If one of the two would be empty.
    """
    count = len(data)
    at = math.floor(count * (1 - fraction))
    if not 0 < at < count:
        raise ValueError(
            f"validation_split={fraction} of {count} samples leaves {at} to train on and "
            f"{count - at} to validate on: both need at least 1"
        )
    return part(data, 0, at), part(data, at, count)


def _random_orders(count: int, epochs: int) -> np.ndarray:
    """Return orders in which to visit `count` rows, from the generator that the user seeds."""
    return permutation(count, generator().bit_generator.random_raw(epochs))


# Finding out that x is not finite while training on it


def may_find_out_late(program: Program, optimizer: Optimizer, x: np.ndarray) -> bool:
    """Whether to let the steps of the first epoch find out whether all of `x` is finite."""
    copied = (1 + optimizer.buffers) * program.layout.size * program.dtype.itemsize
    return (
        x.dtype.kind == "f"
        and x.nbytes >= max(LATE_BYTES, LATE_COPIES * copied)
        and not optimizer.full_batch
        and not any(isinstance(op, UserOp) for op in program.ops)
    )


@contextmanager
def _undone_if_not_finite(state: OptimizerState) -> Iterator[None]:
    """Context that gives parameters and state their values back if a step meets such a row."""
    iterations = state.iterations
    parameters = [(parameter, parameter.numpy()) for parameter in state.layout.parameters]
    buffers = [(buffer, buffer.copy()) for buffer in state.buffers]
    try:
        yield
    except NotFiniteError:
        for parameter, values in parameters:
            parameter.assign(values)
        for buffer, values in buffers:
            buffer[...] = values
        state.iterations = iterations
        raise


# Loops


class Loop(Record):
    """Runs a trainer over data and tells the callbacks."""

    model: Sequential
    trainer: Trainer
    metrics: Sequence[Metric]
    callbacks: CallbackList

    def fit(
        self,
        optimizer: Optimizer,
        data: Dataset,
        validation: Dataset | None,
        plan: Plan,
    ) -> None:
        """Train from epoch `plan.initial_epoch` to the last, or until a callback stops it."""
        logs: Logs = {}
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        ahead = self._epochs_ahead(optimizer, data, validation, plan)
        for first in range(plan.initial_epoch, plan.epochs, ahead):
            epochs = range(first, min(first + ahead, plan.epochs))
            known = data.finite or first > plan.initial_epoch
            with nullcontext() if known else _undone_if_not_finite(self.trainer.state):
                if ahead > 1:
                    logs = self._train_ahead(optimizer, data, epochs, plan)
                else:
                    logs = self._train_epoch(optimizer, data, validation, first, plan)
            if self.model.stop_training:
                break
        if plan.epochs > plan.initial_epoch:
            self.trainer.state.overwrite(self.model.trainable_weights)
        self.callbacks.on_train_end(logs)

    def _train_epoch(
        self,
        optimizer: Optimizer,
        data: Dataset,
        validation: Dataset | None,
        epoch: int,
        plan: Plan,
    ) -> Logs:
        """Run an epoch and its validation; return loss and metrics."""
        self.callbacks.on_epoch_begin(epoch)
        order = _random_orders(len(data), 1)[0] if plan.shuffle else None
        self._reset()
        run = self._train_by_batch if self.callbacks.train_batches else self._train_by_time
        try:
            run(optimizer, data, order, plan.batch_size)
        except KeyboardInterrupt:
            # It may have come too late for the last step: then the epoch has ended.
            if validation is None and self.trainer.rows == len(data):
                self.callbacks.on_epoch_end(epoch, self.logs())
            raise
        logs = self.logs()
        if validation is not None:
            values = self.evaluate(validation, plan.batch_size)
            logs |= {f"val_{name}": value for name, value in values.items()}
        self.callbacks.on_epoch_end(epoch, logs)
        return logs

    def _epochs_ahead(
        self, optimizer: Optimizer, data: Dataset, validation: Dataset | None, plan: Plan
    ) -> int:
        """Return how many epochs the trainer may run before anything in Python has to see them."""
        if (
            validation is not None
            or not optimizer.steady
            or not self.callbacks.patient
            or any(metric.kernel is None for metric in self.metrics)
        ):
            return 1
        return max(1, min(AHEAD // len(data), plan.epochs - plan.initial_epoch))

    def _train_ahead(self, optimizer: Optimizer, data: Dataset, epochs: range, plan: Plan) -> Logs:
        """Run some epochs, and tell of them when the budget is over; return what the last gave.

        What Python does for an epoch takes as long as several steps of a small network.
        """
        orders = _random_orders(len(data), len(epochs)) if plan.shuffle else None
        rows = self._hyperparameters(optimizer, len(epochs) * batches(data, plan.batch_size))
        ends = np.empty((len(epochs), 1 + len(self.metrics)))
        untold = deque(zip(epochs, ends, strict=True))
        logs: Logs = {}
        done = 0
        self._reset()
        self.callbacks.on_epoch_begin(epochs[0])
        try:
            while done < len(rows) and not self.model.stop_training:
                left = data, orders, plan.batch_size, done, rows[done:], BUDGET, ends
                done += self.trainer.train(*left)
                logs = self._tell_ends(untold, len(data), len(epochs)) or logs
        except BaseException:
            self._tell_ends(untold, len(data), len(epochs))
            raise
        if seen := self.trainer.rows % len(data):
            logs = self._logs_of(self.trainer.totals, seen)
            self.callbacks.on_epoch_end(untold[0][0], logs)
        return logs

    def _tell_ends(self, untold: deque[tuple[int, np.ndarray]], count: int, epochs: int) -> Logs:
        """Tell of those `epochs` of `count` rows each that have ended; return what the last gave.

        Each leaves `untold` before: if the telling is interrupted, none is told of twice.
        """
        logs: Logs = {}
        while len(untold) > epochs - self.trainer.rows // count:
            epoch, totals = untold.popleft()
            logs = self._logs_of(totals, count)
            self.callbacks.on_epoch_end(epoch, logs)
            if untold:
                self.callbacks.on_epoch_begin(untold[0][0])
        return logs

    def _train_by_time(
        self, optimizer: Optimizer, data: Dataset, order: np.ndarray | None, batch_size: int
    ) -> None:
        """Run the steps of an epoch, as many at a time as the budget allows."""
        steps = batches(data, batch_size)
        rows = self._hyperparameters(optimizer, steps)
        followed = self.callbacks.progress
        done = 0
        while done < steps:
            done += self.trainer.train(data, order, batch_size, done, rows[done:], BUDGET)
            if followed:
                self.callbacks.on_progress(done, steps, self.logs(quick=True))
            if self.model.stop_training:
                break

    def _train_by_batch(
        self, optimizer: Optimizer, data: Dataset, order: np.ndarray | None, batch_size: int
    ) -> None:
        """Run the steps of an epoch one by one, for callbacks that ask for batches."""
        steps = batches(data, batch_size)
        for step in range(steps):
            self.callbacks.on_train_batch_begin(step)
            row = self._hyperparameters(optimizer, 1)
            self.trainer.train(data, order, batch_size, step, row, BUDGET)
            self.callbacks.on_train_batch_end(step, self.logs())
            self.callbacks.on_progress(step + 1, steps, self.logs(quick=True))
            if self.model.stop_training:
                break

    def evaluate(self, data: Dataset, batch_size: int) -> Logs:
        """Return loss and metrics over all of `data`."""
        self._reset()
        self.callbacks.on_test_begin()
        steps = batches(data, batch_size)
        done = 0
        while done < steps:
            if self.callbacks.test_batches:
                self._evaluate_batch(data, batch_size, done)
                done += 1
            else:
                done += self.trainer.evaluate(data, batch_size, done, BUDGET)
        logs = self.logs()
        self.callbacks.on_test_end(logs)
        return logs

    def _evaluate_batch(self, data: Dataset, batch_size: int, step: int) -> None:
        self.callbacks.on_test_batch_begin(step)
        batch = part(data, step * batch_size, (step + 1) * batch_size)
        self.trainer.evaluate(batch, batch_size, 0, BUDGET)
        self.callbacks.on_test_batch_end(step, self.logs())

    def train_on_batch(self, optimizer: Optimizer, data: Dataset) -> Logs:
        """Take one step over all of `data`."""
        self._reset()
        row = self._hyperparameters(optimizer, 1)
        self.trainer.train(data, None, len(data), 0, row, BUDGET)
        return self.logs()

    def _hyperparameters(self, optimizer: Optimizer, steps: int) -> np.ndarray:
        """Return their values for the next steps of this model: others may share the optimizer."""
        return optimizer.hyperparameters(self.trainer.state.iterations, steps)

    def _reset(self) -> None:
        self.trainer.reset()
        for metric in self.metrics:
            metric.reset_state()

    def logs(self, quick: bool = False) -> Logs:
        """Return loss and metrics over the rows since the last reset.

        If `quick`, leave out the metrics that have to be worked out from all of them.
        """
        return self._logs_of(self.trainer.totals, self.trainer.rows, quick)

    def _logs_of(self, totals: np.ndarray, rows: int, quick: bool = False) -> Logs:
        values: Logs = {"loss": float(totals[0]) / rows}
        for metric, total in zip(self.metrics, totals[1:], strict=True):
            if metric.kernel is not None:
                metric.reset_state()
                metric.accumulate(float(total), rows)
            elif quick:
                continue
            values[metric.name] = metric.result()
        return values
