"""Optimizers: how a step changes the weights, given the gradient.

An optimizer is a declaration. It names a step function of the kernels (`Optimizer.rule`), says
what that keeps from step to step (`Optimizer.slot_values`) and gives its arguments for each step
(`Optimizer.hyperparameters`). One of your own defines `Optimizer.update_step` in NumPy instead. In
the formulas w is a weight, g its gradient (after clipping) and lr the learning rate. With a
`weight_decay`, ``w -= lr * weight_decay * w`` comes first.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np

from fastnn import schedules
from fastnn._checks import UPDATE_ARGUMENTS
from fastnn._registry import Configurable, Registry, real
from fastnn._validation import whole_number
from fastnn.program import Layout, OptimizerState, Parameter, UpdateRule
from fastnn.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from fastnn._applied import AppliedState

# `from fastnn.optimizers.schedules import CosineDecay` finds the module, as with Keras.
sys.modules[f"{__name__}.schedules"] = schedules

_SETTLED = 1000
_NADAM_PRODUCTS = np.cumprod(1 - 0.5 * 0.96 ** np.arange(1, _SETTLED + 1))
"""Of Nadam's momenta, without beta_1; the factors after the last are 1 to the last bit."""


class _OtherOptions(TypedDict, total=False):
    """What all optimizers take, but for the weight decay."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    name: str | None


class _Options(_OtherOptions, total=False):
    """What all optimizers take."""

    weight_decay: float | None


def _named_signature(cls: type[Optimizer]) -> inspect.Signature:
    """Return the signature of the constructor, with the arguments behind ``**options`` by name.

    They are those of the base class: from these names `get_config` and `repr` are made.
    """
    own = list(inspect.signature(cls.__init__).parameters.values())[1:]
    plain = [p for p in own if p.kind is not p.VAR_KEYWORD]
    if len(plain) < len(own):
        known = {p.name for p in plain}
        parent = next(base for base in cls.__mro__[1:] if issubclass(base, Optimizer))
        plain += [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in inspect.signature(parent).parameters.values()
            if p.name not in known
        ]
        plain = [p.replace(default=cls.default_name) if p.name == "name" else p for p in plain]
    return inspect.Signature(plain)


class _NamedSignature:
    """The signature of a class, worked out where somebody asks for it, not in every import."""

    def __get__(self, instance: object, owner: type[Optimizer]) -> inspect.Signature:
        return _named_signature(owner)


class Optimizer(Configurable):
    """Base of the optimizers, also of your own.

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
    use_ema : bool, default False
        Keep moving averages of the weights, and set the weights to these at the end of `fit`
        (`finalize_variable_values`) [1]_.
    ema_momentum : float, default 0.99
        In [0, 1]. After each batch the average is ``ema_momentum * average + (1 - ema_momentum) *
        w``; it begins as the weights after the first step.
    ema_overwrite_frequency : int, optional
        At least 1. Set the weights to the averages after every so many steps, too.
    gradient_accumulation_steps : int, optional
        At least 2. Take a step only after so many batches, with the mean of their gradients.
        Schedules count batches, the averages' frequency and Adam's bias corrections count steps.
    name : str, optional
        Default: the name of the class.

    Attributes
    ----------
    state : OptimizerState, AppliedState or None
        What the optimizer keeps from step to step, set by the model that it trains or by `apply`.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If one is out of range, or more than one of the clipping bounds is given.

    Notes
    -----
    A subclass of your own defines `update_step` and, where it keeps arrays from step to step,
    `slot_values`. Its constructor passes on `learning_rate` and what it does not know itself. It
    runs in every engine, slower than one of fastnn's: for each step, NumPy code is called with
    each parameter.

    References
    ----------
    .. [1] B. T. Polyak and A. B. Juditsky (1992). Acceleration of stochastic approximation by
       averaging. SIAM Journal on Control and Optimization 30(4), 838-855.

    Examples
    --------
    Alone, on arrays:

    >>> w = np.array([1.0, 2.0])
    >>> optimizer = SGD(0.5, momentum=0.9)
    >>> optimizer.apply_gradients([(np.array([1.0, -1.0]), w)])
    1
    >>> w
    array([0.5, 2.5])

    And one of your own:

    >>> class SignDescent(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         variable -= learning_rate * np.sign(gradient)
    >>> SignDescent(0.25, clipnorm=1.0).apply_gradients([(np.array([3.0, -7.0]), w)])
    1
    >>> w
    array([0.25, 2.75])
    """

    kernel: ClassVar[str | None] = None
    arguments: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay")
    default_name: ClassVar[str] = "Optimizer"
    full_batch: ClassVar[bool] = False
    """Whether it goes by all data at once, and chooses its steps itself."""
    __signature__ = _NamedSignature()

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._learning_rate = _as_learning_rate(learning_rate)
        self.weight_decay = _optional(weight_decay, "weight_decay", "[0, inf)")
        self.clipnorm = _optional(clipnorm, "clipnorm", "(0, inf)")
        self.clipvalue = _optional(clipvalue, "clipvalue", "(0, inf)")
        self.global_clipnorm = _optional(global_clipnorm, "global_clipnorm", "(0, inf)")
        self.use_ema = bool(use_ema)
        self.ema_momentum = real(ema_momentum, "ema_momentum", "[0, 1]")
        self.ema_overwrite_frequency = _optional_count(
            ema_overwrite_frequency, "ema_overwrite_frequency", 1
        )
        self.gradient_accumulation_steps = _optional_count(
            gradient_accumulation_steps, "gradient_accumulation_steps", 2
        )
        self.name = name or self.default_name
        self.state: OptimizerState | AppliedState | None = None
        self._applied: AppliedState | None = None
        if sum(bound is not None for bound in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "only one of clipnorm, clipvalue and global_clipnorm may be given, got "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )

    def __init_subclass__(cls, **options: Any) -> None:
        """Give the class a name by default."""
        super().__init_subclass__(**options)
        if "default_name" not in vars(cls):
            cls.default_name = cls.__name__

    @property
    def iterations(self) -> int:
        """Steps of the optimizer finished since the model was compiled."""
        return self._batches // (self.gradient_accumulation_steps or 1)

    @property
    def _batches(self) -> int:
        """Batches seen, several of which may make up a step."""
        return 0 if self.state is None else self.state.iterations

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step.

        Setting it counts from the next step on, or from the next epoch where a fit is under way.
        A number does not take the place of a schedule: that raises TypeError.
        """
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self._learning_rate(self._batches))
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
        return ()

    def update_step(
        self, gradient: np.ndarray, variable: np.ndarray, learning_rate: float, *slots: np.ndarray
    ) -> None:
        """Take a step with one array of weights, in place: to be defined in one of your own.

        Clipping, weight decay, accumulation and averages are taken care of around it. The number
        of the step, counted from 0, is `iterations`.

        Parameters
        ----------
        gradient : ndarray
            Read-only.
        variable : ndarray of the same shape and dtype
            To be changed in place.
        learning_rate : float
            Of this step.
        *slots : ndarray of the same shape and dtype
            What is kept for this variable, one for each of `slot_values`, to be changed in place.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define update_step(gradient, variable, learning_rate, "
            "*slots), which changes variable and slots in place"
        )

    @property
    def _own_step(self) -> bool:
        """Whether the step is the user's own. That of a subclass goes before a kernel."""
        return type(self).update_step is not Optimizer.update_step

    @property
    def steady(self) -> bool:
        """Whether nothing that is written in Python has a say in the steps to come."""
        return not self._own_step and not isinstance(self._learning_rate, LearningRateSchedule)

    def rule(self) -> UpdateRule:
        """Return the optimizer as the engines see it.

        Raises
        ------
        NotImplementedError
            If a class of your own does not define `update_step`.
        """
        if not self._own_step and self.kernel is None:
            self.update_step(np.zeros(0), np.zeros(0), 0.0)
        return UpdateRule(*self.settings())

    def settings(self) -> tuple[Any, ...]:
        """Return the fields of the rule: as long as they are the same, so is what it does."""
        own = self._own_step
        return (
            None if own else self.kernel,
            Optimizer.arguments if own else self.arguments,
            self.clipnorm,
            self.clipvalue,
            self.global_clipnorm,
            self.update_step if own else None,
            self.ema_momentum if self.use_ema else None,
            self.ema_overwrite_frequency if self.use_ema else None,
            self.gradient_accumulation_steps or 1,
        )

    @property
    def _columns(self) -> tuple[str, ...]:
        return Optimizer.arguments if self._own_step else self.arguments

    def new_state(self, layout: Layout) -> OptimizerState:
        """Return the state to begin with, for parameters of this layout."""
        accumulate = self.gradient_accumulation_steps is not None
        return OptimizerState(layout, self.slot_values, self.use_ema, accumulate)

    @property
    def buffers(self) -> int:
        """How many numbers are kept for each weight."""
        accumulate = self.gradient_accumulation_steps is not None
        return len(self.slot_values) + self.use_ema + accumulate

    def hyperparameters(self, iteration: int, steps: int) -> np.ndarray:
        """Return the arguments of the step function for a number of steps.

        Parameters
        ----------
        iteration : int
            Batches seen before the first of them.
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
        columns = [self._values(argument, iteration, steps) for argument in self._columns]
        if steps == 1:
            return np.array([columns], np.float64)
        table = np.empty((steps, len(columns)))
        for i, column in enumerate(columns):
            table[:, i] = column
        return table

    def _values(self, argument: str, iteration: int, steps: int) -> Any:
        """Return one argument of the step function, for each step or, as a number, for all."""
        if argument == "learning_rate":
            return self._learning_rates(iteration, steps)
        if argument == "step":
            batches = iteration if steps == 1 else np.arange(iteration, iteration + steps)
            return batches // (self.gradient_accumulation_steps or 1) + 1
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
        return float(rates[0]) if steps == 1 else rates

    # On arrays

    def build(self, variables: Sequence[np.ndarray | Parameter]) -> None:
        """Make what is kept for these variables; `apply` does so, too.

        Parameters
        ----------
        variables : sequence of ndarray or Parameter
            Arrays of float32 or float64, C-contiguous; or weights of a model.

        Raises
        ------
        TypeError, ValueError
            If one is of another kind.
        """
        from fastnn._applied import AppliedState

        accumulate = self.gradient_accumulation_steps is not None
        self._applied = AppliedState(variables, self.slot_values, self.use_ema, accumulate)
        self.state = self._applied

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[ArrayLike, np.ndarray | Parameter]]
    ) -> int:
        """Take a step with pairs of a gradient and the array to change in place.

        Parameters
        ----------
        grads_and_vars : iterable of (array_like, ndarray or Parameter)

        Returns
        -------
        int
            Number of such steps so far.

        Raises
        ------
        TypeError, ValueError
            As `apply`.
        """
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return 0 if self._applied is None else self._applied.iterations

    def apply(
        self,
        gradients: Sequence[ArrayLike],
        variables: Sequence[np.ndarray | Parameter] | None = None,
    ) -> None:
        """Take a step that changes `variables` in place, given their gradients.

        Weights of a model are then held to their constraints.
        What the optimizer keeps belongs to the very arrays that are passed first, and is found
        again by their identity.

        Parameters
        ----------
        gradients : sequence of array_like
            Of the shapes of the variables. If empty, nothing happens.
        variables : sequence of ndarray or Parameter, optional
            As in `build`. Default: all that the optimizer was built with.

        Raises
        ------
        TypeError, ValueError
            If they do not go together, or a variable is none of those of the first call. Then
            nothing has changed; nor has it if `update_step` raises.

        Examples
        --------
        >>> w, b = np.ones(2), np.zeros(1)
        >>> adam = Adam(0.1)
        >>> for _ in range(2):
        ...     adam.apply([w, b - 1.0], [w, b])
        >>> w.round(2), b.round(2), adam.iterations
        (array([0.8, 0.8]), array([0.2]), 2)
        """
        gradients = list(gradients)
        from fastnn import kernels
        from fastnn._applied import AppliedState
        from fastnn.reference.step import restored_on_error, take_step

        variables = None if variables is None else list(variables)
        if not gradients:
            return
        rule = self.rule()
        if self._applied is None:
            if variables is None:
                raise ValueError(
                    "the optimizer knows no variables yet: pass them, or call build(variables)"
                )
            accumulate = self.gradient_accumulation_steps is not None
            state = AppliedState(variables, self.slot_values, self.use_ema, accumulate)
        else:
            state = self._applied
        weights = state.weights(gradients, variables)
        self._applied = self.state = state
        values = self.hyperparameters(self._batches, 1)[0].tolist()
        kernel = None if rule.kernel is None else getattr(kernels, rule.kernel)
        # Kernels raise before they change anything; what the user wrote may raise at any time.
        risky = rule.step is not None or state.constrained
        changing = [array for each in weights for array in each.changing()] if risky else []
        with restored_on_error(changing):
            take_step(weights, rule, kernel, state.iterations, values)
            state.constrain(variables)
        state.finish(variables)

    def finalize_variable_values(self, variables: Sequence[np.ndarray | Parameter]) -> None:
        """Set variables to their moving averages, if there are any (`use_ema`).

        `Sequential.fit` does so after its last epoch.

        Parameters
        ----------
        variables : sequence of ndarray or Parameter
            Those of `apply`, or weights of the model that the optimizer trains.
        """
        if self.state is not None:
            self.state.overwrite(variables)

    # Configuration

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "learning_rate": self._learning_rate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """Return a new optimizer, made with the arguments that `get_config` returned.

        The config of a Keras optimizer will do, too, if its loss is not scaled.
        """
        arguments = dict(config)
        if arguments.get("loss_scale_factor", 0) is None:
            del arguments["loss_scale_factor"]
        rate = arguments.get("learning_rate")
        if isinstance(rate, Mapping):
            arguments["learning_rate"] = schedules.deserialize(rate)
        return cls(**arguments)


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
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
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
    arguments = UPDATE_ARGUMENTS["sgd"]
    default_name = "SGD"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = real(momentum, "momentum", "[0, 1]")
        self.nesterov = bool(nesterov)

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0,) if self.momentum else ()


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient.

        s = rho * s + (1 - rho) * g**2
        w -= lr * g / sqrt(s + epsilon)                                 without momentum,
        v = momentum * v + lr * g / sqrt(s + epsilon),  w -= v          with momentum,
        a = rho * a + (1 - rho) * g,  and s - a**2 in the place of s    if centered.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float, default 0.9
        In [0, 1).
    momentum : float, default 0.0
        In [0, 1].
    epsilon : float, default 1e-7
        At least 0.
    centered : bool, default False
        Divide by the root of the gradient's variance instead.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "rmsprop"

    References
    ----------
    T. Tieleman and G. Hinton (2012). Lecture 6.5 - RMSprop: divide the gradient by a running
    average of its recent magnitude. Coursera: Neural networks for machine learning.
    A. Graves (2013). Generating sequences with recurrent neural networks. arXiv:1308.0850.
    (Centred, section 4.2.)
    """

    kernel = "rmsprop"
    arguments = UPDATE_ARGUMENTS["rmsprop"]
    default_name = "rmsprop"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = real(rho, "rho", "[0, 1)")
        self.momentum = real(momentum, "momentum", "[0, 1]")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")
        self.centered = bool(centered)

    @property
    def slot_values(self) -> tuple[float, ...]:
        if self.centered:
            return (0.0, 0.0, 0.0)
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
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "adagrad"

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer (2011). Adaptive subgradient methods for online learning and
    stochastic optimization. Journal of Machine Learning Research 12, 2121-2159.
    """

    kernel = "adagrad"
    arguments = UPDATE_ARGUMENTS["adagrad"]
    default_name = "adagrad"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
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

    With `amsgrad`, the largest v so far takes the place of v in the last line.

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
    amsgrad : bool, default False
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "adam"

    References
    ----------
    D. P. Kingma and J. Ba (2015). Adam: a method for stochastic optimization. ICLR.
    S. J. Reddi, S. Kale and S. Kumar (2018). On the convergence of Adam and beyond. ICLR.
    (AMSGrad.)
    """

    kernel = "adam"
    arguments = UPDATE_ARGUMENTS["adam"]
    default_name = "adam"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real(beta_1, "beta_1", "[0, 1)")
        self.beta_2 = real(beta_2, "beta_2", "[0, 1)")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")
        self.amsgrad = bool(amsgrad)

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0, 0.0) if self.amsgrad else (0.0, 0.0)


class AdamW(Adam):
    """`Adam` with a weight decay that is not part of the gradient.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    weight_decay : float, default 0.004
        At least 0.
    beta_1, beta_2, epsilon, amsgrad
        See `Adam`.
    clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "adamw"

    References
    ----------
    I. Loshchilov and F. Hutter (2019). Decoupled weight decay regularization. ICLR.
    """

    default_name = "adamw"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[_OtherOptions],
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class Adadelta(Optimizer):
    """Steps of about the size of the last ones, whatever the size of the gradient.

        s = rho * s + (1 - rho) * g**2
        d = sqrt(r + epsilon) / sqrt(s + epsilon) * g
        r = rho * r + (1 - rho) * d**2
        w -= lr * d

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        1 in the paper.
    rho : float, default 0.95
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "adadelta"

    References
    ----------
    M. D. Zeiler (2012). ADADELTA: an adaptive learning rate method. arXiv:1212.5701.
    """

    kernel = "adadelta"
    arguments = UPDATE_ARGUMENTS["adadelta"]
    default_name = "adadelta"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = real(rho, "rho", "[0, 1)")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0)


class Adamax(Optimizer):
    """`Adam` with a decaying maximum in the place of the root mean square.

    In step t = 1, 2, ...,

        m += (1 - beta_1) * (g - m)
        u = max(beta_2 * u, |g|)
        w -= lr / (1 - beta_1**t) * m / (u + epsilon)

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
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "adamax"

    References
    ----------
    D. P. Kingma and J. Ba (2015). Adam: a method for stochastic optimization. ICLR. (Section 7.1.)
    """

    kernel = "adamax"
    arguments = UPDATE_ARGUMENTS["adamax"]
    default_name = "adamax"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real(beta_1, "beta_1", "[0, 1)")
        self.beta_2 = real(beta_2, "beta_2", "[0, 1)")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0)


class Nadam(Optimizer):
    """`Adam` with Nesterov momentum.

    In step t = 1, 2, ..., with ``u(t) = beta_1 * (1 - 0.96**t / 2)`` and ``p = u(1) * ... * u(t)``,

        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g**2 - v)
        a = u(t + 1) / (1 - p * u(t + 1)) * m + (1 - u(t)) / (1 - p) * g
        w -= lr * a / (sqrt(v / (1 - beta_2**t)) + epsilon)

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
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "nadam"

    References
    ----------
    T. Dozat (2016). Incorporating Nesterov momentum into Adam. ICLR workshop.
    """

    kernel = "nadam"
    arguments = UPDATE_ARGUMENTS["nadam"]
    default_name = "nadam"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real(beta_1, "beta_1", "[0, 1)")
        self.beta_2 = real(beta_2, "beta_2", "[0, 1)")
        self.epsilon = real(epsilon, "epsilon", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0, 0.0)

    def _values(self, argument: str, iteration: int, steps: int) -> Any:
        if argument != "momentum_product":
            return super()._values(argument, iteration, steps)
        count = self._values("step", iteration, steps)
        return self.beta_1**count * _NADAM_PRODUCTS[np.minimum(count, _SETTLED) - 1]


class Ftrl(Optimizer):
    """Follow the regularized leader: to the minimum of all linearised losses so far.

    With l1, l2 and s for the three strengths and p for `learning_rate_power`,

        n' = n + g**2
        z += g + 2 * s * w - (n'**-p - n**-p) / lr * w
        w = (clip(z, -l1, l1) - z) / ((n'**-p + beta) / lr + 2 * l2),  n = n'

    The weights are made anew from z, so what they were before the first step is soon forgotten:
    for networks with hidden layers, start with a small `initial_accumulator_value` or take another
    optimizer. At a learning rate of 0 nothing changes.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    learning_rate_power : float, default -0.5
        At most 0, with which the learning rate stays as it is.
    initial_accumulator_value : float, default 0.1
        What n begins with. At least 0.
    l1_regularization_strength : float, default 0.0
        At least 0. Makes small weights exactly 0.
    l2_regularization_strength : float, default 0.0
        At least 0.
    l2_shrinkage_regularization_strength : float, default 0.0
        At least 0. As an L2 penalty that is added to the loss.
    beta : float, default 0.0
        At least 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "ftrl"

    References
    ----------
    H. B. McMahan et al. (2013). Ad click prediction: a view from the trenches. KDD, 1222-1230.
    """

    kernel = "ftrl"
    arguments = UPDATE_ARGUMENTS["ftrl"]
    default_name = "ftrl"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.learning_rate_power = real(learning_rate_power, "learning_rate_power", "(-inf, 0]")
        self.initial_accumulator_value = real(
            initial_accumulator_value, "initial_accumulator_value", "[0, inf)"
        )
        self.l1_regularization_strength = real(
            l1_regularization_strength, "l1_regularization_strength", "[0, inf)"
        )
        self.l2_regularization_strength = real(
            l2_regularization_strength, "l2_regularization_strength", "[0, inf)"
        )
        self.l2_shrinkage_regularization_strength = real(
            l2_shrinkage_regularization_strength, "l2_shrinkage_regularization_strength", "[0, inf)"
        )
        self.beta = real(beta, "beta", "[0, inf)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value, 0.0)


class Lion(Optimizer):
    """Steps of the same size for each weight, along the sign of a moving mean of the gradient.

        w -= lr * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Its learning rate should be 3 to 10 times smaller than that of `Adam`, its weight decay as much
    larger.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.99
        In [0, 1).
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
        See `Optimizer`.
    use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps : optional
        See `Optimizer`.
    name : str, default "lion"

    References
    ----------
    X. Chen et al. (2023). Symbolic discovery of optimization algorithms. NeurIPS.
    """

    kernel = "lion"
    arguments = UPDATE_ARGUMENTS["lion"]
    default_name = "lion"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[_Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real(beta_1, "beta_1", "(0, 1)")
        self.beta_2 = real(beta_2, "beta_2", "[0, 1)")

    @property
    def slot_values(self) -> tuple[float, ...]:
        return (0.0,)


class LBFGS(Optimizer):
    """The limited-memory BFGS method, a quasi-Newton method, over all data at once.

    For small problems it finds minima to many digits, where the others go around them. Each epoch
    of `Sequential.fit` is one iteration: a direction from the last gradients, and a search along
    it that evaluates loss and gradient over all samples once or a few times. The fit ends before
    its last epoch where it has converged. The history tells the loss after each iteration. Each
    fit begins anew; single batches (`train_on_batch`) and arrays (`apply`) are not for it. It
    needs SciPy, and a loss that is a function of free weights: no noise, no `BatchNormalization`,
    no constraints.

    Parameters
    ----------
    history_size : int, default 10
        Pairs of steps and gradients from which the curvature is estimated.
    tolerance_grad : float, default 1e-5
        At least 0. It has converged when no element of the gradient is larger.
    tolerance_change : float, default 2.2e-9
        At least 0. It has converged when the loss falls by no more than so much of itself.
    max_line_search : int, default 20
        Evaluations in each search at most.
    name : str, default "lbfgs"

    Raises
    ------
    TypeError, ValueError
        If an argument is no number, or out of range.

    References
    ----------
    D. C. Liu and J. Nocedal (1989). On the limited memory BFGS method for large scale optimization.
    Mathematical Programming 45, 503-528.
    C. Zhu, R. H. Byrd, P. Lu and J. Nocedal (1997). Algorithm 778: L-BFGS-B. ACM Transactions on
    Mathematical Software 23(4), 550-560. (The code in SciPy.)
    """

    arguments = ()
    default_name = "lbfgs"
    full_batch = True

    def __init__(
        self,
        history_size: int = 10,
        tolerance_grad: float = 1e-5,
        tolerance_change: float = 2.2e-9,
        max_line_search: int = 20,
        *,
        name: str | None = "lbfgs",
    ) -> None:
        super().__init__(1.0, name=name)
        self.history_size = whole_number(history_size, "history_size")
        self.tolerance_grad = real(tolerance_grad, "tolerance_grad", "[0, inf)")
        self.tolerance_change = real(tolerance_change, "tolerance_change", "[0, inf)")
        self.max_line_search = whole_number(max_line_search, "max_line_search")

    @property
    def buffers(self) -> int:
        """How many numbers SciPy keeps for each weight, counted in float32."""
        return 2 * (2 * self.history_size + 5)

    def rule(self) -> UpdateRule:
        """Return a rule without a step: the trainer is asked for gradients only."""
        return UpdateRule(None, ())

    def apply(
        self,
        gradients: Sequence[ArrayLike],
        variables: Sequence[np.ndarray | Parameter] | None = None,
    ) -> None:
        """Raise TypeError: gradients alone do not do, for the loss has to be evaluated, too.

        Parameters
        ----------
        gradients, variables
            As in `Optimizer.apply`.
        """
        raise TypeError("LBFGS has to evaluate the loss: use it in Sequential.compile and fit")

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        del arguments["learning_rate"]
        return arguments


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


def _optional_count(value: Any, what: str, least: int) -> int | None:
    return None if value is None else whole_number(value, what, minimum=least)


_registry: Registry[Optimizer] = Registry(
    "optimizer",
    Optimizer,
    {
        "sgd": SGD,
        "rmsprop": RMSprop,
        "adagrad": Adagrad,
        "adam": Adam,
        "adamw": AdamW,
        "adadelta": Adadelta,
        "adamax": Adamax,
        "nadam": Nadam,
        "ftrl": Ftrl,
        "lion": Lion,
        "lbfgs": LBFGS,
    },
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
