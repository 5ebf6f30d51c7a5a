"""The training loop of optimizers that go by all data at once: `LBFGS`.

SciPy's minimiser leads: it asks for loss and gradient at points of its choice, and tells when an
iteration is done. Each iteration is an epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._extras import require
from fastnn._training import Loop, Plan
from fastnn.optimizers import LBFGS, Optimizer
from fastnn.program import Dataset, DropoutOp, LayerOp, Program
from fastnn.reference.layers import KERNELS

if TYPE_CHECKING:
    from fastnn.callbacks import Logs


class _Stopped(Exception):
    """A callback has ended the training."""


class FullBatchLoop(Loop):
    """Lets SciPy minimise the loss over all data, and tells the callbacks."""

    program: Program

    def fit(
        self,
        optimizer: Optimizer,
        data: Dataset,
        validation: Dataset | None,
        plan: Plan,
    ) -> None:
        """Train from epoch `plan.initial_epoch` to the last, or until it has converged.

        Raises
        ------
        ImportError
            If SciPy is not installed.
        ValueError
            If the program has noise, constraints, or statistics that follow the data.
        """
        assert isinstance(optimizer, LBFGS)
        minimize = require("scipy.optimize", "lbfgs").minimize
        _check_program(self.program)
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        logs: Logs = {}
        if plan.epochs > plan.initial_epoch:
            logs = Minimization(self, optimizer, data, validation, plan).run(minimize)
        self.callbacks.on_train_end(logs)


def _check_program(program: Program) -> None:
    """Check that the loss is a function of the trained parameters, and nothing is left behind."""
    for op in program.ops:
        dropping = isinstance(op, DropoutOp) and op.rate > 0
        if dropping or (isinstance(op, LayerOp) and KERNELS[op.kernel].random):
            raise ValueError(
                "LBFGS compares losses, which must not depend on chance: take out layers such as "
                "Dropout and GaussianNoise, or train with another optimizer such as Adam"
            )
    if any(p.trainable and p.constraint is not None for p in program.parameters):
        raise ValueError(
            "LBFGS searches without constraints: take them out, or train with another optimizer"
        )
    if any(parameter.renewed for parameter in program.parameters):
        raise ValueError(
            "LBFGS takes no steps for moving means and variances to follow: freeze the "
            "BatchNormalization layers or take them out, or train with another optimizer"
        )


class Minimization:
    """One fit: the loss as a function of all trained parameters in one array of float64."""

    def __init__(
        self,
        loop: FullBatchLoop,
        optimizer: LBFGS,
        data: Dataset,
        validation: Dataset | None,
        plan: Plan,
    ) -> None:
        self.loop, self.optimizer, self.plan = loop, optimizer, plan
        self.data, self.validation = data, validation
        self.parameters = [p for p in loop.program.parameters if p.trainable]
        self.gradient = loop.program.layout.zeros()
        self.epoch = plan.initial_epoch
        self.finished = self.present = self._flat([p.value for p in self.parameters])
        self.logs: Logs = {}

    def run(self, minimize: Any) -> Logs:
        """Minimise the loss and return the logs of the last epoch."""
        optimizer = self.optimizer
        options = {
            "maxiter": self.plan.epochs - self.plan.initial_epoch,
            "maxfun": np.iinfo(np.int32).max,
            "maxcor": optimizer.history_size,
            "maxls": optimizer.max_line_search,
            "gtol": optimizer.tolerance_grad,
            "ftol": optimizer.tolerance_change,
        }
        self.loop.callbacks.on_epoch_begin(self.epoch)
        try:
            minimize(
                self.loss,
                self.finished,
                jac=True,
                method="L-BFGS-B",
                callback=self.end_epoch,
                options=options,
            )
            if self.epoch == self.plan.initial_epoch:
                # There was nothing left to do; say so, for an epoch was asked for.
                self.end_epoch(self.finished)
        except _Stopped:
            pass
        finally:
            self._assign(self.finished)
        return self.logs

    def loss(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss at `point` and its gradient, both penalties included."""
        self._assign(point)
        self.present = point.copy()
        loop = self.loop
        loop._reset()
        loop.trainer.gradient(self.data, self.gradient)
        layout = loop.program.layout
        slopes = self._flat([layout.view(self.gradient, p) for p in self.parameters])
        return float(loop.trainer.totals[0]) / loop.trainer.rows, slopes

    def end_epoch(self, point: np.ndarray) -> None:
        """Take `point` as the result of an iteration, and tell the callbacks."""
        loop = self.loop
        if not np.array_equal(self.present, point) or not loop.trainer.rows:
            self.loss(point)
        self.finished = point.copy()
        loop.trainer.state.iterations += 1
        self.logs = loop.logs()
        loop.callbacks.on_progress(1, 1, self.logs)
        if self.validation is not None:
            values = loop.evaluate(self.validation, self.plan.batch_size)
            self.logs |= {f"val_{name}": value for name, value in values.items()}
        loop.callbacks.on_epoch_end(self.epoch, self.logs)
        self.epoch += 1
        if loop.model.stop_training:
            raise _Stopped
        if self.epoch < self.plan.epochs:
            loop.callbacks.on_epoch_begin(self.epoch)

    def _assign(self, point: np.ndarray) -> None:
        """Set the parameters to what `point` holds, in their own dtype."""
        start = 0
        for parameter in self.parameters:
            stop = start + parameter.size
            parameter.assign(point[start:stop].reshape(parameter.shape))
            start = stop

    def _flat(self, arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *(a.ravel().astype(np.float64) for a in arrays)])
