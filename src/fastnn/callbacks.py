"""Callbacks: objects that are told how training, evaluation and prediction go on.

The hooks are those of Keras, and one more: `Callback.on_progress`. Training runs many steps at a
time without Python. A callback that defines a hook for batches makes it come back after each one,
which costs time where steps are short; `on_progress` is called without that, about twenty times a
second.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number

Logs = dict[str, Any]

REDRAW_SECONDS = 0.1
"""Time before a progress bar is first drawn, and between drawings."""


class Callback:
    """Base of all callbacks: define the hooks that you need.

    Hooks are called with `logs`, a dict of names to values, which callbacks later in the list
    also see.

    Attributes
    ----------
    model : Sequential
        The model that calls. Setting its `stop_training` to True ends the training.
    params : dict
        Arguments of the call, such as ``"verbose"``, ``"epochs"`` and ``"steps"``.

    Examples
    --------
    >>> class PrintLoss(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(f"epoch {epoch}: loss {logs['loss']:.2f}")
    >>> PrintLoss().on_epoch_end(0, {"loss": 0.5})
    epoch 0: loss 0.50
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        return self._model

    def set_model(self, model: Any) -> None:
        """Remember the model; called before the first hook."""
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Remember the arguments; called before the first hook."""
        self.params = params

    # Training

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation.

        `logs` holds loss and metrics of the epoch and, their names beginning with ``"val_"``,
        those of the validation.
        """

    def on_progress(self, step: int, steps: int, logs: Logs | None = None) -> None:
        """Called while an epoch goes on, about every 0.05 seconds, and at the end of its steps.

        A hook of fastnn's own, which unlike those for batches does not slow training down.

        Parameters
        ----------
        step : int
            Finished steps of this epoch.
        steps : int
            All steps of this epoch.
        logs : dict
            Loss and metrics over the samples so far; metrics that rank all samples are left out.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each step; the first of an epoch is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each step, with loss and metrics over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    # Evaluation, also during training

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation or validation, with loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of an evaluation or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of an evaluation or validation."""

    # Prediction

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of a prediction, with its ``"outputs"``."""


class CallbackList(Callback):
    """Several callbacks as one, called in order.

    Parameters
    ----------
    callbacks : Callback or sequence of Callback, optional
    history : Callback, optional
        Called after these, so that it records what they add to the logs.
    model : Sequential, optional
    **params
        For `Callback.params`. With a `verbose` (``"auto"``, 0, 1 or 2) other than 0, a
        `ProgressBar` comes last, unless `callbacks` hold one.

    Raises
    ------
    TypeError
        If something else than a callback is given.
    ValueError
        If `verbose` is none of these.
    """

    def __init__(
        self,
        callbacks: Callback | Sequence[Callback] | None = None,
        history: Callback | None = None,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be Callback objects, got {_described(callback)}")
        self.callbacks: list[Callback] = [*given, *([] if history is None else [history])]
        has_bar = any(isinstance(callback, ProgressBar) for callback in given)
        if _checked_verbose(params.get("verbose", 0)) and not has_bar:
            self.callbacks.append(ProgressBar())
        self.set_model(model)
        self.set_params(params)

    @property
    def train_batches(self) -> bool:
        """Whether a callback defines a hook for batches of training."""
        names = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
        return self._any_defines(*names)

    @property
    def test_batches(self) -> bool:
        """Whether a callback defines a hook for batches of evaluation."""
        return self._any_defines("on_test_batch_begin", "on_test_batch_end")

    @property
    def predict_batches(self) -> bool:
        """Whether a callback defines a hook for batches of prediction."""
        return self._any_defines("on_predict_batch_begin", "on_predict_batch_end")

    @property
    def patient(self) -> bool:
        """Whether all may be told of epochs later, when others have begun.

        That is so for classes that say it of themselves: what a subclass of one does is not known.
        """
        return all(vars(type(callback)).get("_patient", False) for callback in self.callbacks)

    @property
    def progress(self) -> bool:
        """Whether a callback defines `on_progress`."""
        return self._any_defines("on_progress")

    def _any_defines(self, *hooks: str) -> bool:
        return any(_defines(callback, hook) for callback in self.callbacks for hook in hooks)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def _call(self, hook: str, *arguments: Any, logs: Logs | None) -> None:
        shared = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments, shared)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._call("on_train_begin", logs=logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._call("on_train_end", logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._call("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._call("on_epoch_end", epoch, logs=logs)

    def on_progress(self, step: int, steps: int, logs: Logs | None = None) -> None:
        self._call("on_progress", step, steps, logs=logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_train_batch_begin", batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_train_batch_end", batch, logs=logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._call("on_test_begin", logs=logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._call("on_test_end", logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_test_batch_begin", batch, logs=logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_test_batch_end", batch, logs=logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._call("on_predict_begin", logs=logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._call("on_predict_end", logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_predict_batch_begin", batch, logs=logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_predict_batch_end", batch, logs=logs)


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: pass an object, {value.__name__}(...)"
    return f"{value!r} ({type(value).__name__})"


def _defines(callback: Callback, hook: str) -> bool:
    """Return whether `callback` has a `hook` other than that of the base."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


def _checked_verbose(verbose: Any) -> Any:
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    return verbose


# Records


class History(Callback):
    """Records loss and metrics of each epoch; what `fit` returns.

    Attributes
    ----------
    history : dict of str to list
        For each name in the logs its value at the end of each epoch: a float, or an array where a
        metric has several results, such as one for each class.
    epoch : list of int
        Numbers of the epochs.

    Examples
    --------
    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 0.7})
    >>> history.on_epoch_end(1, {"loss": 0.5})
    >>> history.history
    {'loss': [0.7, 0.5]}
    """

    _patient = True

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        names = ", ".join(self.history)
        return f"<History of {len(self.epoch)} epochs: {names}>"


class CSVLogger(Callback):
    """Writes loss and metrics of each epoch to a CSV file.

    The columns are the number of the epoch, from 0, and the names in the logs of the first one,
    sorted; a value that is missing later is written as ``NA``.

    Parameters
    ----------
    filename : str or path
    separator : str, default ","
    append : bool, default False
        Whether to go on with a file that exists, in its columns; it is overwritten otherwise.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        from pathlib import Path

        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = bool(append)
        self._columns: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._columns = self._header() if self.append else None
        if self._columns is None:
            self.filename.write_text("")

    def _header(self) -> list[str] | None:
        """Return the columns of a file that exists and is not empty."""
        if not self.filename.exists():
            return None
        import csv

        with self.filename.open(newline="") as file:
            return next(csv.reader(file, delimiter=self.separator), None)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv

        row = {"epoch": epoch, **(logs or {})}
        # Opened for each epoch, so that an interrupted fit leaves a whole file.
        with self.filename.open("a", newline="") as file:
            if self._columns is None:
                self._columns = ["epoch", *sorted(logs or {})]
                csv.writer(file, delimiter=self.separator).writerow(self._columns)
            values = [_cell(row.get(column, "NA")) for column in self._columns]
            csv.writer(file, delimiter=self.separator).writerow(values)


def _cell(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


# Progress


class ProgressBar(Callback):
    """Shows how training and evaluation go on, on standard output.

    In `fit`, ``verbose=1`` or ``"auto"`` shows a bar for each epoch, with time, time per step,
    loss and metrics; where standard output is no terminal or notebook, it writes a line at the
    end of each epoch in place of the bar. ``verbose=2`` always writes that line. `evaluate`
    writes a line at its end. `predict` is silent under ``"auto"``. Of a metric with several
    results it shows the mean, and it leaves out matrices.

    Time per step is that of the training steps alone; seconds are those of the whole epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_fit = False
        self._done = 0
        self._steps = 0
        self._start = 0.0
        self._steps_seconds = 0.0
        self._next_drawing = 0.0
        self._bar: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._begin()
        epochs = self.params.get("epochs")
        if self._verbose and epochs != 1:
            print(f"Epoch {epoch + 1}" + (f"/{epochs}" if epochs else ""))

    def on_progress(self, step: int, steps: int, logs: Logs | None = None) -> None:
        now = perf_counter()
        self._done, self._steps = step, steps
        self._steps_seconds = now - self._start
        if self._verbose != 1 or now < self._next_drawing or not _is_interactive():
            return
        self._draw(self._text(logs))
        self._next_drawing = now + REDRAW_SECONDS

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._begin()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        if self.params.get("verbose") != "auto":
            self._end({})

    @property
    def _verbose(self) -> int:
        verbose = self.params.get("verbose", 1)
        return 1 if verbose == "auto" else int(verbose)

    def _begin(self) -> None:
        self._close()
        self._done = self._steps = self.params.get("steps") or 0
        self._start = perf_counter()
        self._steps_seconds = 0.0
        self._next_drawing = self._start + REDRAW_SECONDS

    def _end(self, logs: Logs | None) -> None:
        """Write the last state of the bar, or the line that stands for it."""
        if not self._steps_seconds:
            self._steps_seconds = perf_counter() - self._start
        text = self._text(logs)
        if self._steps and self._verbose == 1 and _is_interactive():
            self._draw(text)
            self._close()
        elif self._steps and self._verbose:
            print(f"{self._done}/{self._steps} - {text}")
        elif self._verbose and logs:
            print(text)

    def _text(self, logs: Logs | None) -> str:
        parts = [f"{perf_counter() - self._start:.0f}s"]
        if self._done:
            parts[0] += f" {_duration(self._steps_seconds / self._done)}/step"
        for name, value in (logs or {}).items():
            if np.ndim(value) < 2:  # a matrix has no place in a line
                parts.append(f"{name}: {_number(value)}")
        return " - ".join(parts)

    def _draw(self, text: str) -> None:
        if self._bar is None:
            self._bar = _new_bar(
                total=self._steps,
                initial=self._done,
                desc=text,
                file=sys.stdout,
                bar_format="{n_fmt}/{total_fmt} {bar:20} {desc}",
            )
        self._bar.n = self._done
        self._bar.set_description_str(text)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _new_bar(**options: Any) -> Any:
    """Return a tqdm bar. Importing tqdm takes a while, so it waits for the first bar."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]  # tqdm comes without types
        # Each drawing is asked for, so no thread needs to watch for bars that stand still.
        monitor_interval = 0

    return Bar(**options)


def _is_interactive() -> bool:
    """Return whether standard output is a terminal or notebook, where a line can be redrawn."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _number(value: Any) -> str:
    """Return a number, or of several their mean, in few digits."""
    number = float(np.mean(value))
    return f"{number:.4f}" if abs(number) > 1e-3 else f"{number:.4e}"


# Monitors


class _Monitor(Callback):
    """Watches one value of the logs for improvement."""

    def __init__(self, monitor: str, mode: str, min_delta: float, patience: int) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(real(min_delta, "min_delta"))
        self.patience = whole_number(patience, "patience", minimum=0)
        self.wait = 0
        self.best = math.nan
        self._sign = 1

    def _restart(self) -> None:
        self.wait = 0
        self._sign = self._direction()
        self.best = -self._sign * math.inf

    def _direction(self) -> int:
        """Return 1 if greater values are better, -1 if smaller ones are."""
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        name = self.monitor.removeprefix("val_")
        directions = {metric.name: metric.direction for metric in self.model.metrics}
        directions["loss"] = "down"
        if directions.get(name) is None:
            raise ValueError(
                f"{type(self).__name__} cannot tell whether '{self.monitor}' should rise or "
                "fall: pass mode='max' or mode='min'"
            )
        return 1 if directions[name] == "up" else -1

    def _value(self, logs: Logs) -> float | None:
        """Return the value that is watched; warn if the logs lack it.

        Raises
        ------
        ValueError
            If it is several numbers.
        """
        value = logs.get(self.monitor)
        if value is None:
            available = ", ".join(f"'{name}'" for name in logs)
            warnings.warn(
                f"{type(self).__name__} watches '{self.monitor}', which is not in the logs; "
                f"these are: {available}",
                stacklevel=2,
            )
            return None
        if np.size(value) != 1:
            raise ValueError(
                f"{type(self).__name__} watches one number, but '{self.monitor}' is an array of "
                f"shape {np.shape(value)}: give the metric an average, such as average='macro'"
            )
        return float(np.asarray(value).item())

    def _improves(self, value: float, reference: float) -> bool:
        return self._sign * (value - reference) > self.min_delta


class EarlyStopping(_Monitor):
    """Ends the training when a value has stopped improving.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name in the logs.
    min_delta : float, default 0
        What a value must be better by than the best so far, to count as an improvement.
    patience : int, default 0
        Epochs without improvement after which training ends.
    verbose : int, default 0
        1 prints what is done.
    mode : {"auto", "min", "max"}, default "auto"
        Whether smaller or greater values are better; "auto" knows it of the loss and of fastnn's
        metrics.
    baseline : float, optional
        Epochs count as without improvement until the value is better than this.
    restore_best_weights : bool, default False
        Whether to set the weights at the end of training to those of the best epoch.
    start_from_epoch : int, default 0
        Epochs before this one are not looked at.

    Attributes
    ----------
    best : float
    best_epoch, stopped_epoch : int
        Numbers of epochs, from 0; `stopped_epoch` is 0 if training went to its end.

    References
    ----------
    L. Prechelt (1998). Early stopping - but when? In: Neural networks: tricks of the trade,
    55-69.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, patience)
        self.verbose = verbose
        self.baseline = None if baseline is None else real(baseline, "baseline")
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = whole_number(start_from_epoch, "start_from_epoch", minimum=0)
        self.best_weights: Any = None
        self.best_epoch = 0
        self.stopped_epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._restart()
        self.best_weights = None
        self.best_epoch = 0
        self.stopped_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self._value(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._improves(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self._improves(value, self.baseline):
                self.wait = 0
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Lowers the learning rate when a value has stopped improving.

    It also puts the learning rate into the logs, as ``"learning_rate"``.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name in the logs.
    factor : float, default 0.1
        In (0, 1). What the learning rate is multiplied by.
    patience : int, default 10
        Epochs without improvement after which that is done.
    verbose : int, default 0
        1 prints when it is done.
    mode : {"auto", "min", "max"}, default "auto"
        Whether smaller or greater values are better; "auto" knows it of the loss and of fastnn's
        metrics.
    min_delta : float, default 1e-4
        What a value must be better by than the best so far, to count as an improvement.
    cooldown : int, default 0
        Epochs after a reduction that do not count as without improvement.
    min_lr : float, default 0.0
        Lower bound of the learning rate.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, patience)
        self.factor = real(factor, "factor", "(0, 1)")
        self.verbose = verbose
        self.cooldown = whole_number(cooldown, "cooldown", minimum=0)
        self.cooldown_counter = 0
        self.min_lr = real(min_lr, "min_lr", "[0, inf)")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._restart()
        self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        value = self._value(logs)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        old = float(self.model.optimizer.learning_rate)
        if old <= self.min_lr:
            return
        new = max(old * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = new
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0


# Others


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    It also puts the learning rate into the logs, as ``"learning_rate"``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, with the number of the epoch, from 0, and the present
        learning rate, returns the new one. ``schedule(epoch)`` will do too.
    verbose : int, default 0
        1 prints the learning rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of epoch and rate, got {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        present = float(self.model.optimizer.learning_rate)
        takes_rate = _accepts(self.schedule, epoch, present)
        new = self.schedule(epoch, present) if takes_rate else self.schedule(epoch)
        self.model.optimizer.learning_rate = real(new, "the result of schedule", "[0, inf)")
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {new}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):  # it takes others, or nobody knows
        return False
    return True


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    **hooks : callable
        Functions by the names of hooks of `Callback`, with their arguments.

    Raises
    ------
    TypeError
        If there is no such hook, or a value is not callable.

    Examples
    --------
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> callback.on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        for name, function in hooks.items():
            if not (name.startswith("on_") and hasattr(Callback, name)):
                raise TypeError(f"LambdaCallback got '{name}', which is no hook of Callback")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends the training when the loss is NaN or infinite.

    It looks at the loss while an epoch goes on (`Callback.on_progress`), so that training ends
    within a fraction of a second, and at the end of each epoch.
    """

    def on_progress(self, step: int, steps: int, logs: Logs | None = None) -> None:
        self._check(logs, f"Step {step} of {steps}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._check(logs, f"Epoch {epoch + 1}")

    def _check(self, logs: Logs | None, place: str) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and not self.model.stop_training:
            print(f"{place}: the loss is {loss}, terminating training")
            self.model.stop_training = True
