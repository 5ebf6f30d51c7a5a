"""Optimizers: how a step changes the weights, given the gradient.

An optimizer is a declaration. It names a step function of the kernels (`Optimizer.rule`), says
what that keeps from step to step (`Optimizer.slot_values`) and gives its arguments for each step
(`Optimizer.hyperparameters`). In the formulas w is a weight, g its gradient (after clipping) and
lr the learning rate. With a `weight_decay`, ``w -= lr * weight_decay * w`` comes first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn import schedules
from fastnn._registry import Configurable, Registry, real
from fastnn.program import OptimizerState, UpdateRule
from fastnn.schedules import LearningRateSchedule

# `from fastnn.optimizers.schedules import CosineDecay` finds the module, as with Keras.
sys.modules[f"{__name__}.schedules"] = schedules


class Optimizer(Configurable):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        At least 0.
    weight_decay : float, optional
        At least 0. Applies to all weights that are trained.
    clipnorm : float, optional
        Greater than 0. The gradient of each parameter (a kernel, a bias) is scaled down to this
        Euclidean norm where it exceeds it.
    clipvalue : float, optional
        Greater than 0. Each element of the gradient is limited to ``[-clipvalue, clipvalue]``.
    global_clipnorm : float, optional
        Greater than 0. All gradients together are scaled down to this Euclidean norm.
    name : str, optional
        Default: the name of the class.

    Attributes
    ----------
    state : OptimizerState or None
        What the optimizer keeps from step to step, set by the model that it trains.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If one is out of range, or more than one of the clipping bounds is given.
    """

    kernel: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self._learning_rate = _as_learning_rate(learning_rate)
        self.weight_decay = _optional(weight_decay, "weight_decay", "[0, inf)")
        self.clipnorm = _optional(clipnorm, "clipnorm", "(0, inf)")
        self.clipvalue = _optional(clipvalue, "clipvalue", "(0, inf)")
        self.global_clipnorm = _optional(global_clipnorm, "global_clipnorm", "(0, inf)")
        self.name = name or type(self).__name__
        self.state: OptimizerState | None = None
        if sum(bound is not None for bound in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "only one of clipnorm, clipvalue and global_clipnorm may be given, got "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )

    @property
    def iterations(self) -> int:
        """Steps finished since the model was compiled."""
        return 0 if self.state is None else self.state.iterations

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step.

        Setting it counts from the next step on, or from the next epoch where a fit is under way.
        A number does not take the place of a schedule: that raises TypeError.
        """
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self._learning_rate(self.iterations))
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | LearningRateSchedule) -> None:
        new = _as_learning_rate(value)
        if isinstance(self._learning_rate, LearningRateSchedule) and isinstance(new, float):
            raise TypeError(
                "the learning rate follows a schedule and cannot be set to a number: make the "
                "optimizer with a number as learning_rate, or set another schedule"
            )
        self._learning_rate = new

    @property
    def slot_values(self) -> tuple[float, ...]:
        """The value that each slot begins with; a slot has one number for each weight."""
        raise NotImplementedError(f"{type(self).__name__} must define slot_values")

    def rule(self) -> UpdateRule:
        """Return the optimizer as the engines see it."""
        return UpdateRule(
            self.kernel, self.arguments, self.clipnorm, self.clipvalue, self.global_clipnorm
        )

    def hyperparameters(self, iteration: int, steps: int) -> np.ndarray:
        """Return the arguments of the step function for a number of steps.

        Parameters
        ----------
        iteration : int
            Steps finished before the first of them.
        steps : int

        Returns
        -------
        ndarray of float64, shape (steps, len(rule().hyperparameters))

        Raises
        ------
        ValueError
            If a schedule gives a learning rate that is negative or not finite.

        Examples
        --------
        >>> SGD(0.1, momentum=0.9).rule().hyperparameters
        ('learning_rate', 'momentum', 'nesterov', 'weight_decay')
        >>> SGD(0.1, momentum=0.9).hyperparameters(iteration=0, steps=2)
        array([[0.1, 0.9, 0. , 0. ],
               [0.1, 0.9, 0. , 0. ]])
        """
        table = np.empty((steps, len(self.arguments)))
        for column, argument in enumerate(self.arguments):
            table[:, column] = self._values(argument, iteration, steps)
        return table

    def _values(self, argument: str, iteration: int, steps: int) -> Any:
        """Return one argument of the step function, for each step or for all."""
        if argument == "learning_rate":
            return self._learning_rates(iteration, steps)
        if argument == "step":
            return np.arange(iteration + 1, iteration + steps + 1)
        return getattr(self, argument) or 0.0

    def _learning_rates(self, iteration: int, steps: int) -> Any:
        if not isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate
        schedule = self._learning_rate
        rates = np.array([float(schedule(iteration + i)) for i in range(steps)])
        wrong = ~(np.isfinite(rates) & (rates >= 0))
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ValueError(
                "a learning rate must be finite and at least 0, got "
                f"{rates[first]} from {schedule!r} at step {iteration + first}"
            )
        return rates

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "learning_rate": self._learning_rate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """Return a new optimizer, made with the arguments that `get_config` returned."""
        rate = config.get("learning_rate")
        if isinstance(rate, Mapping):
            config = {**config, "learning_rate": schedules.deserialize(rate)}
        return cls(**config)


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

        w -= lr * g                                     without momentum,
        v = momentum * v - lr * g,  w += v              with momentum,
        v as before,  w += momentum * v - lr * g        with Nesterov momentum.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.01
    momentum : float, default 0.0
        In [0, 1].
    nesterov : bool, default False
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    name : str, default "SGD"

    References
    ----------
    B. T. Polyak (1964). Some methods of speeding up the convergence of iteration methods. USSR
    Computational Mathematics and Mathematical Physics 4(5), 1-17.
    I. Sutskever, J. Martens, G. Dahl and G. Hinton (2013). On the importance of initialization
    and momentum in deep learning. ICML, 1139-1147. (Nesterov momentum.)

    Examples
    --------
    >>> SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    kernel = "sgd"
    arguments = ("learning_rate", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "SGD",
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.momentum = real(momentum, "momentum", "[0, 1]")
        self.nesterov = bool(nesterov)

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0,) if self.momentum else ()


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient.

        s = rho * s + (1 - rho) * g**2
        w -= lr * g / sqrt(s + epsilon)                                 without momentum,
        v = momentum * v + lr * g / sqrt(s + epsilon),  w -= v          with momentum.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float, default 0.9
        In [0, 1).
    momentum : float, default 0.0
        In [0, 1].
    epsilon : float, default 1e-7
        At least 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    name : str, default "rmsprop"

    References
    ----------
    T. Tieleman and G. Hinton (2012). Lecture 6.5 - RMSprop: divide the gradient by a running
    average of its recent magnitude. Coursera: Neural networks for machine learning.
    """

    kernel = "rmsprop"
    arguments = ("learning_rate", "rho", "momentum", "epsilon", "weight_decay")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "rmsprop",
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.rho = real(rho, "rho", "[0, 1)")
        self.momentum = real(momentum, "momentum", "[0, 1]")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0) if self.momentum else (0.0,)


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

        s += g**2
        w -= lr * g / sqrt(s + epsilon)

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    initial_accumulator_value : float, default 0.1
        What s begins with. At least 0.
    epsilon : float, default 1e-7
        At least 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    name : str, default "adagrad"

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer (2011). Adaptive subgradient methods for online learning and
    stochastic optimization. Journal of Machine Learning Research 12, 2121-2159.
    """

    kernel = "adagrad"
    arguments = ("learning_rate", "epsilon", "weight_decay")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "adagrad",
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.initial_accumulator_value = real(
            initial_accumulator_value, "initial_accumulator_value", "[0, inf)"
        )
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value,)


class Adam(Optimizer):
    """Steps along a running mean of the gradient, divided by its running root mean square.

    In step t = 1, 2, ...,

        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g**2 - v)
        w -= lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    Here `epsilon` is the paper's "epsilon hat", of the formula before its section 2.1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    name : str, default "adam"

    References
    ----------
    D. P. Kingma and J. Ba (2015). Adam: a method for stochastic optimization. ICLR.
    """

    kernel = "adam"
    arguments = ("learning_rate", "beta_1", "beta_2", "epsilon", "step", "weight_decay")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "adam",
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.beta_1 = real(beta_1, "beta_1", "[0, 1)")
        self.beta_2 = real(beta_2, "beta_2", "[0, 1)")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0)


class AdamW(Adam):
    """`Adam` with a weight decay that is not part of the gradient.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    weight_decay : float, default 0.004
        At least 0.
    beta_1, beta_2, epsilon : float
        See `Adam`.
    clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    name : str, default "adamw"

    References
    ----------
    I. Loshchilov and F. Hutter (2019). Decoupled weight decay regularization. ICLR.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str = "adamw",
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )


def _as_learning_rate(value: Any) -> float | LearningRateSchedule:
    if isinstance(value, LearningRateSchedule):
        return value
    if callable(value):
        raise TypeError(
            "learning_rate must be a number or a LearningRateSchedule, got "
            f"{type(value).__name__}: subclass LearningRateSchedule and define __call__(step)"
        )
    return real(value, "learning_rate", "[0, inf)")


def _optional(value: Any, what: str, interval: str) -> float | None:
    return None if value is None else real(value, what, interval)


_registry: Registry[Optimizer] = Registry(
    "optimizer",
    Optimizer,
    {"sgd": SGD, "rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam, "adamw": AdamW},
)


def get(identifier: Any) -> Optimizer:
    """Return the optimizer that `identifier` stands for.

    Parameters
    ----------
    identifier : str, class, Optimizer or dict
        A name such as ``"adam"`` or ``"Adam"``, or a dict of the form of `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> get("sgd")
    SGD()
    """
    return _registry.get(identifier)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``, without the state."""
    return _registry.serialize(optimizer)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Optimizer]] | None = None
) -> Optimizer:
    """Return a new optimizer from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
