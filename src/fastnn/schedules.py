"""Learning-rate schedules: the learning rate as a function of the number of finished steps.

Known to users as ``fastnn.optimizers.schedules``; pass one as `learning_rate` to an optimizer.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastnn._registry import Configurable, Registry, real
from fastnn._validation import whole_number


class LearningRateSchedule(Configurable):
    """Base of all schedules; subclass it and define ``__call__(step)`` for one of your own.

    Examples
    --------
    >>> class Harmonic(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> Harmonic()(3)
    0.025
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int
            Steps finished before it; the first is 0.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Greater than 0.
    decay_rate : float
        Greater than 0.
    staircase : bool, default False
        Whether ``step / decay_steps`` is rounded down.
    name : str, default "ExponentialDecay"

    Examples
    --------
    >>> rate = ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
    >>> rate(0), rate(20)
    (0.1, 0.025)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _steps(decay_steps)
        self.decay_rate = real(decay_rate, "decay_rate", "(0, inf)")
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: int) -> float:
        periods = step / self.decay_steps
        if self.staircase:
            periods = math.floor(periods)
        return self.initial_learning_rate * _power(self.decay_rate, periods)


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Greater than 0.
    decay_rate : float
        At least 0.
    staircase : bool, default False
        Whether ``step / decay_steps`` is rounded down.
    name : str, default "InverseTimeDecay"

    Examples
    --------
    >>> rate = InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)
    >>> rate(0), rate(30)
    (0.1, 0.025)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _steps(decay_steps)
        self.decay_rate = real(decay_rate, "decay_rate", "[0, inf)")
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: int) -> float:
        periods = step / self.decay_steps
        if self.staircase:
            periods = math.floor(periods)
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries : sequence of numbers
        Strictly increasing.
    values : sequence of float
        One more than there are boundaries; each at least 0.
    name : str, default "PiecewiseConstant"

    Examples
    --------
    >>> rate = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> rate(100), rate(101), rate(1000)
    (0.1, 0.01, 0.001)
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self.boundaries = [real(boundary, "a boundary") for boundary in boundaries]
        self.values = [_rate(value, "a value") for value in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"got {len(self.values)}"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries must increase strictly, got {list(boundaries)}")

    def __call__(self, step: int) -> float:
        return self.values[bisect.bisect_left(self.boundaries, step)]


class PolynomialDecay(LearningRateSchedule):
    """From one rate to another along a power of the time left.

    With ``s = min(step, decay_steps)``,

        (initial - end) * (1 - s / decay_steps) ** power + end.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Greater than 0.
    end_learning_rate : float, default 0.0001
        At least 0.
    power : float, default 1.0
        At least 0.
    cycle : bool, default False
        Whether to begin anew once the end is reached, each time over a longer way: s is the step
        itself, and `decay_steps` becomes its first multiple that is not smaller than the step.
    name : str, default "PolynomialDecay"

    Examples
    --------
    >>> rate = PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)
    >>> rate(0), rate(5), rate(10), rate(20)
    (0.1, 0.05, 0.0, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _steps(decay_steps)
        self.end_learning_rate = _rate(end_learning_rate, "end_learning_rate")
        self.power = real(power, "power", "[0, inf)")
        self.cycle = bool(cycle)
        self.name = name

    def __call__(self, step: int) -> float:
        if self.cycle:
            way = self.decay_steps * max(1, math.ceil(step / self.decay_steps))
        else:
            way = self.decay_steps
            step = min(step, way)  # type: ignore[assignment]
        fall = self.initial_learning_rate - self.end_learning_rate
        left = max(0.0, 1.0 - step / way)  # a way of many cycles may be rounded down
        return fall * float(left**self.power) + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave downwards, after a linear warm-up if wanted.

    With ``s = min(step, decay_steps)``,

        initial * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha).

    With a `warmup_target`, the rate first goes from `initial_learning_rate` to the target along
    a straight line in `warmup_steps` steps; the target then takes the place of the initial rate,
    and s counts from there.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Greater than 0; without the warm-up.
    alpha : float, default 0.0
        What is left at the end, as a fraction. At least 0.
    name : str, default "CosineDecay"
    warmup_target : float, optional
        At least 0. Default: no warm-up.
    warmup_steps : float, default 0
        At least 0.

    References
    ----------
    I. Loshchilov and F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
    ICLR.
    P. Goyal et al. (2017). Accurate, large minibatch SGD: training ImageNet in 1 hour.
    arXiv:1706.02677. (Warm-up.)

    Examples
    --------
    >>> rate = CosineDecay(0.0, decay_steps=10, warmup_target=0.1, warmup_steps=4)
    >>> rate(0), rate(2), rate(4), rate(9), rate(14)
    (0.0, 0.05, 0.1, 0.05, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = _steps(decay_steps)
        self.alpha = real(alpha, "alpha", "[0, inf)")
        self.name = name
        self.warmup_target = (
            None if warmup_target is None else _rate(warmup_target, "warmup_target")
        )
        self.warmup_steps = real(warmup_steps, "warmup_steps", "[0, inf)")

    def __call__(self, step: int) -> float:
        if self.warmup_target is None:
            return self._decayed(self.initial_learning_rate, step)
        if step < self.warmup_steps:
            rise = self.warmup_target - self.initial_learning_rate
            return self.initial_learning_rate + rise * (step / self.warmup_steps)
        return self._decayed(self.warmup_target, step - self.warmup_steps)

    def _decayed(self, initial: float, step: float) -> float:
        way = min(step / self.decay_steps, 1.0)
        cosine = 0.5 * (1.0 + math.cos(math.pi * way))
        return initial * ((1.0 - self.alpha) * cosine + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine wave downwards, again and again, each time over a longer way.

    The i-th wave, i = 0, 1, ..., is ``t_mul**i * first_decay_steps`` long. With f the fraction of
    it that lies behind,

        initial * ((1 - alpha) * m_mul**i * (1 + cos(pi * f)) / 2 + alpha).

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    first_decay_steps : float
        Greater than 0.
    t_mul : float, default 2.0
        By how much a wave is longer than the one before. At least 1.
    m_mul : float, default 1.0
        By how much it is higher. At least 0.
    alpha : float, default 0.0
        What is left at the end of a wave, as a fraction of the initial rate. At least 0.
    name : str, default "SGDRDecay"

    References
    ----------
    I. Loshchilov and F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
    ICLR.

    Examples
    --------
    >>> rate = CosineDecayRestarts(0.1, first_decay_steps=10, m_mul=0.5)
    >>> rate(0), rate(5), rate(10), rate(20), rate(30)
    (0.1, 0.05, 0.05, 0.025, 0.025)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = _rate(initial_learning_rate, "initial_learning_rate")
        self.first_decay_steps = real(first_decay_steps, "first_decay_steps", "(0, inf)")
        self.t_mul = real(t_mul, "t_mul", "[1, inf)")
        self.m_mul = real(m_mul, "m_mul", "[0, inf)")
        self.alpha = real(alpha, "alpha", "[0, inf)")
        self.name = name

    def __call__(self, step: int) -> float:
        waves = step / self.first_decay_steps
        number = self._number_of_wave(waves)
        way = (waves - self._start(number)) / self.t_mul**number
        cosine = 0.5 * _power(self.m_mul, number) * (1.0 + math.cos(math.pi * way))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def _start(self, number: int) -> float:
        """Return where a wave begins, in lengths of the first."""
        if self.t_mul == 1.0:
            return float(number)
        return (self.t_mul**number - 1.0) / (self.t_mul - 1.0)

    def _number_of_wave(self, waves: float) -> int:
        if self.t_mul == 1.0:
            return math.floor(waves)
        number = math.floor(math.log(1.0 + waves * (self.t_mul - 1.0)) / math.log(self.t_mul))
        # The quotient may be rounded across a whole number.
        return number + (self._start(number + 1) <= waves) - (self._start(number) > waves)


class OneCycle(LearningRateSchedule):
    """Up to a high rate and down again, to far less than in the beginning.

    The rate goes from ``max_learning_rate / div_factor`` up to `max_learning_rate` in the first
    `pct_start` of the steps. In the rest of them it goes down to
    ``max_learning_rate / div_factor / final_div_factor``; with `three_phase` it takes as many
    steps back to where it began as it took to go up, and goes further down after that. It stays
    where it is after the last step.

    Parameters
    ----------
    max_learning_rate : float
        At least 0.
    total_steps : int
        Steps of the whole training, at least 1.
    pct_start : float, default 0.3
        Part of the steps in which the rate goes up. In (0, 1), at most 0.5 with `three_phase`.
    anneal_strategy : {"cos", "linear"}, default "cos"
        Go along half a cosine wave, or along a straight line.
    div_factor, final_div_factor : float, default 25.0 and 10000.0
        Greater than 0.
    three_phase : bool, default False
        True, with ``"linear"``, for the form of the paper.
    name : str, default "OneCycle"

    Notes
    -----
    Arguments and values are those of PyTorch's ``OneCycleLR``; Keras has no such schedule. The
    momentum, which the paper lets go the opposite way, is left alone.

    References
    ----------
    L. N. Smith and N. Topin (2018). Super-convergence: very fast training of neural networks
    using large learning rates. arXiv:1708.07120.

    Examples
    --------
    >>> rate = OneCycle(1.0, total_steps=11, pct_start=6 / 11, div_factor=10, final_div_factor=100)
    >>> [round(rate(step), 3) for step in (0, 5, 10, 11)]
    [0.1, 1.0, 0.001, 0.001]
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = _rate(max_learning_rate, "max_learning_rate")
        self.total_steps = whole_number(total_steps, "total_steps")
        self.three_phase = bool(three_phase)
        interval = "(0, 0.5]" if self.three_phase else "(0, 1)"
        self.pct_start = real(pct_start, "pct_start", interval)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy
        self.div_factor = real(div_factor, "div_factor", "(0, inf)")
        self.final_div_factor = real(final_div_factor, "final_div_factor", "(0, inf)")
        self.name = name

    def __call__(self, step: int) -> float:
        start, rate = 0.0, self.max_learning_rate / self.div_factor
        for end, target in self._phases():
            if step < end:
                return self._between(rate, target, (step - start) / (end - start))
            start, rate = max(start, end), target
        return rate

    def _phases(self) -> list[tuple[float, float]]:
        """Return the last step of each phase, and the rate that is reached in it."""
        first = self.max_learning_rate / self.div_factor
        way = self.pct_start * self.total_steps
        back = [(2.0 * way - 2.0, first)] if self.three_phase else []
        last = (self.total_steps - 1.0, first / self.final_div_factor)
        return [(way - 1.0, self.max_learning_rate), *back, last]

    def _between(self, rate: float, target: float, way: float) -> float:
        if self.anneal_strategy == "linear":
            return rate + (target - rate) * way
        return target + (rate - target) * 0.5 * (1.0 + math.cos(math.pi * way))


def _power(base: float, exponent: float) -> float:
    """Return ``base ** exponent``, or infinity, which no optimizer takes, where it overflows."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _rate(value: Any, what: str) -> float:
    return real(value, what, "[0, inf)")


def _steps(value: Any) -> float:
    return real(value, "decay_steps", "(0, inf)")


_registry: Registry[LearningRateSchedule] = Registry(
    "learning-rate schedule",
    LearningRateSchedule,
    {
        cls.__name__: cls
        for cls in (
            ExponentialDecay,
            InverseTimeDecay,
            PiecewiseConstantDecay,
            PolynomialDecay,
            CosineDecay,
            CosineDecayRestarts,
            OneCycle,
        )
    },
    advice="Subclass LearningRateSchedule and define __call__(step)",
)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``."""
    return _registry.serialize(learning_rate_schedule)


def deserialize(
    config: Mapping[str, Any],
    custom_objects: Mapping[str, type[LearningRateSchedule]] | None = None,
) -> LearningRateSchedule:
    """Return a new schedule from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
