"""The step of an optimizer and what goes on around it, over arrays of weights.

In this order: gradients are accumulated, until there are as many as make up a step; their mean is
held in its bounds; the optimizer takes its step; the moving averages follow, and now and then take
the place of the weights. This is the order of Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn.program import UpdateRule
from fastnn.reference._arrays import ieee_arithmetic


@dataclass(eq=False)
class Weights:
    """An array of weights, its gradient, and what the optimizer keeps for it."""

    values: np.ndarray
    gradient: np.ndarray
    slots: list[np.ndarray] = field(default_factory=list)
    average: np.ndarray | None = None
    accumulated: np.ndarray | None = None

    def changing(self) -> list[np.ndarray]:
        """Return the arrays that a step changes, other than the gradient."""
        kept = [array for array in (self.average, self.accumulated) if array is not None]
        return [self.values, *self.slots, *kept]


def take_step(
    weights: Sequence[Weights],
    rule: UpdateRule,
    kernel: Callable[..., Any] | None,
    iteration: int,
    values: Sequence[float],
) -> None:
    """Take a step of training over all `weights`, in place. The gradients do not survive it.

    Parameters
    ----------
    weights : sequence of Weights
    rule : UpdateRule
    kernel : callable, optional
        The step function that `rule` names.
    iteration : int
        Steps of training before this one.
    values : sequence of float
        A value for each of the rule's hyperparameters.
    """
    if accumulated(weights, rule.accumulation, iteration):
        clip([each.gradient for each in weights], rule)
        update(weights, rule, kernel, values)
    if rule.ema_momentum is not None:
        average(weights, rule, iteration // rule.accumulation)


@ieee_arithmetic()
def accumulated(weights: Sequence[Weights], steps: int, iteration: int) -> bool:
    """Add the gradients to those before; return whether they make up a step.

    If they do, each gradient is the mean of all of them, and the sums begin anew.
    """
    if steps == 1:
        return True
    complete = (iteration + 1) % steps == 0
    for each in weights:
        assert each.accumulated is not None
        each.accumulated += each.gradient
        if complete:
            each.gradient[...] = each.accumulated / steps
            each.accumulated[...] = 0.0
    return complete


@ieee_arithmetic()
def clip(gradients: Sequence[np.ndarray], rule: UpdateRule) -> None:
    """Hold the gradients in the bounds of the rule, in place."""
    if rule.clipvalue is not None:
        for gradient in gradients:
            np.clip(gradient, -rule.clipvalue, rule.clipvalue, out=gradient)
    elif rule.clipnorm is not None:
        for gradient in gradients:
            clip_by_norm([gradient], rule.clipnorm)
    elif rule.global_clipnorm is not None:
        clip_by_norm(gradients, rule.global_clipnorm)


def clip_by_norm(gradients: Sequence[np.ndarray], bound: float) -> None:
    """Scale `gradients`, in place, so that their norm taken together is at most `bound`."""
    squares = [np.sum(np.square(gradient, dtype=np.float64)) for gradient in gradients]
    norm = np.sqrt(np.sum(squares))
    # np.maximum, unlike max, makes the factor NaN if the norm is.
    factor = float(bound / np.maximum(norm, bound))
    for gradient in gradients:
        gradient *= factor


@ieee_arithmetic()
def update(
    weights: Sequence[Weights],
    rule: UpdateRule,
    kernel: Callable[..., Any] | None,
    values: Sequence[float],
) -> None:
    """Take the optimizer's step, array by array."""
    options = dict(zip(rule.hyperparameters, values, strict=True))
    for each in weights:
        if rule.step is not None:
            rule.take_own_step(each.values, each.gradient, each.slots, **options)
        elif kernel is not None:
            kernel(each.values, each.gradient, *each.slots, **options)


@ieee_arithmetic()
def average(weights: Sequence[Weights], rule: UpdateRule, finished: int) -> None:
    """Let the moving averages follow the weights, ``a = momentum * a + (1 - momentum) * w``.

    They begin as the weights after the first step. `finished` counts the optimizer's steps before
    this one.
    """
    assert rule.ema_momentum is not None
    momentum = rule.ema_momentum if finished > 0 else 0.0
    overwrite = rule.ema_overwrite_frequency
    for each in weights:
        assert each.average is not None
        each.average[...] = momentum * each.average + (1 - momentum) * each.values
        if overwrite is not None and (finished + 1) % overwrite == 0:
            each.values[...] = each.average


@contextmanager
def restored_on_error(arrays: Sequence[np.ndarray]) -> Iterator[None]:
    """Give the arrays their values back if what is done meanwhile raises."""
    saved = [array.copy() for array in arrays]
    try:
        yield
    except BaseException:
        for array, values in zip(arrays, saved, strict=True):
            array[...] = values
        raise
