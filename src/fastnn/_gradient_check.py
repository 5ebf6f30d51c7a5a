"""`check_gradients`: the gradients of training against differences of the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._nesting import innermost
from fastnn._registry import real
from fastnn._replica import Replica, replicate
from fastnn._validation import whole_number
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.layers import Layer
    from fastnn.models import Sequential

FINER = 0.01
"""Factor of the second step, for elements whose first one may have crossed a kink."""

ROUNDING = 100 * np.finfo(np.float64).eps
"""Share of the loss that may be lost to rounding."""

Place = tuple[int, ...]


@dataclass(frozen=True)
class CheckedGradient:
    """The gradient of one array, compared with differences of the loss.

    Attributes
    ----------
    layer : str or None
        Name of its layer; None for the gradient of the loss with respect to the predictions.
    name : str
        Of the parameter, or ``"predictions"``.
    checked, size : int
        Elements compared, and elements that there are.
    wrong : int
        Elements found to be wrong.
    place : tuple of int
        Index of the element that is furthest off.
    gradient, difference : float
        Its gradient as training computes it, and as the loss changes.
    error : float
        How far these two are apart, as a share of the larger one.
    """

    layer: str | None
    name: str
    checked: int
    size: int
    wrong: int
    place: Place
    gradient: float
    difference: float
    error: float

    @property
    def title(self) -> str:
        """Name with that of the layer, such as ``"dense_1.kernel"``."""
        return self.name if self.layer is None else f"{self.layer}.{self.name}"

    def __str__(self) -> str:
        where = f"{self.title}[{', '.join(map(str, self.place))}]"
        return (
            f"{self.title:<24} {self.wrong:>5} of {self.checked:>5} wrong; {where}: gradient "
            f"{self.gradient:.6g}, difference {self.difference:.6g}, error {self.error:.1e}"
        )


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` found; `print` it.

    Attributes
    ----------
    loss : CheckedGradient
        Of the loss with respect to the predictions (or logits, where the loss is taken of these).
    parameters : tuple of CheckedGradient
        Of each trainable parameter, in order.
    suspects : tuple of str
        What may compute a wrong gradient; empty if all are right.
    """

    loss: CheckedGradient
    parameters: tuple[CheckedGradient, ...]
    suspects: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all gradients are right."""
        return not self.suspects

    def __str__(self) -> str:
        rows = [self.loss, *self.parameters]
        if self.passed:
            count = sum(row.checked for row in rows)
            largest = max(row.error for row in rows)
            lines = [f"all {count} gradients compared are right; largest error {largest:.1e}"]
        else:
            names = ", ".join(row.title for row in rows if row.wrong)
            lines = [
                f"wrong gradients: {names}",
                f"look at the gradient of: {', or '.join(self.suspects)}",
            ]
        return "\n".join([*lines, *(f"  {row}" for row in rows)])


class GradientError(AssertionError):
    """A gradient is not what the loss says.

    Attributes
    ----------
    check : GradientCheck
        All that was compared.
    """

    def __init__(self, check: GradientCheck) -> None:
        super().__init__(str(check))
        self.check = check


def check_gradients(
    model: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    elements: int = 50,
    step: float = 1e-4,
    rtol: float = 1e-4,
    raises: bool = True,
) -> GradientCheck:
    """Compare the gradients that training uses with differences of the loss.

    For whoever writes an activation, a loss or a layer with a `backward` of its own. A copy of
    the model in float64 is run by the reference engine; the model stays as it is. Dropout draws
    the mask of the first training step each time.

    For an element w of a parameter, the gradient is compared with fourth-order central
    differences, ``(8 (f(w + h) - f(w - h)) - (f(w + 2 h) - f(w - 2 h))) / (12 h)``. Where the loss
    has a kink at w, as that of a ReLU whose input is 0, all between the slopes on either side is
    right.

    Parameters
    ----------
    model : Sequential
        Compiled with a loss, and built.
    x, y, sample_weight
        As in `Sequential.fit`. A few rows will do; all go through at once.
    elements : int, default 50
        Elements of each parameter to look at, drawn at random, but always the same; all if there
        are no more.
    step : float, default 1e-4
        The difference h is `step` times the larger of 1 and ``abs(w)``.
    rtol : float, default 1e-4
        Largest error, as a share of the larger of the two, that counts as right.
    raises : bool, default True
        Whether a wrong gradient is an exception. Otherwise look at ``passed`` of the result.

    Returns
    -------
    GradientCheck
        Figures for each parameter, and for the loss alone.

    Raises
    ------
    GradientError
        If a gradient is wrong. The message names the parameters, how far they are off, and the
        activations, layers, regularizers or the loss that may be the cause.
    TypeError, ValueError, RuntimeError, MemoryError
        As `Sequential.evaluate`; ValueError also if the loss is not finite, or an activation has
        no gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn.activations import ActivationFunction
    >>> from fastnn.layers import Dense
    >>> class Square(ActivationFunction):
    ...     def forward(self, x):
    ...         return x * x
    ...
    ...     def backward(self, grad, x, y):
    ...         return x * grad  # should be 2 * x * grad
    >>> x, y = np.eye(3), np.ones(3)
    >>> model = fastnn.Sequential([Dense(4, Square(), input_dim=3), Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> check = fastnn.check_gradients(model, x, y, raises=False)
    >>> check.passed, len(check.suspects), "Square" in check.suspects[0]
    (False, 1, True)
    >>> round(check.parameters[0].error, 3)
    0.5
    """
    whole_number(elements, "elements")
    h, tolerance = real(step, "step", "(0, inf)"), real(rtol, "rtol", "(0, inf)")
    replica = replicate(model, x, y, sample_weight, "check_gradients")
    with ieee_arithmetic():
        check = _check(replica, _Comparison(elements, h, tolerance))
    if raises and not check.passed:
        raise GradientError(check)
    return check


@dataclass(frozen=True)
class _Comparison:
    """How gradients are compared: see `check_gradients`."""

    elements: int
    step: float
    rtol: float

    def compare(
        self,
        layer: str | None,
        name: str,
        array: np.ndarray,
        gradient: np.ndarray,
        loss: Callable[[], float],
    ) -> CheckedGradient:
        """Compare `gradient` with differences of `loss`, which depends on `array`."""
        rows = [
            (place, float(gradient[place]), *self._one(array, place, float(gradient[place]), loss))
            for place in self._places(array.shape)
        ]
        place, value, difference, error, _ = max(rows, key=lambda row: (row[4], row[3]))
        wrong = sum(row[4] for row in rows)
        return CheckedGradient(
            layer, name, len(rows), array.size, wrong, place, value, difference, error
        )

    def _places(self, shape: Place) -> Sequence[Place]:
        """Return the indices of the elements to look at."""
        size = int(np.prod(shape))
        numbers = np.arange(size)
        if size > self.elements:
            drawn = np.random.default_rng(0).choice(size, self.elements, replace=False)
            numbers = np.sort(drawn)
        return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in numbers]

    def _one(
        self, array: np.ndarray, place: Place, gradient: float, loss: Callable[[], float]
    ) -> tuple[float, float, bool]:
        """Return difference and error of one element, and whether that is too much.

        A step may reach over a kink next to the element, so that differences say nothing of the
        slope at it: where the slopes to both sides differ, what looks wrong gets a second chance
        with a much smaller step.
        """
        first = None
        for factor in (1.0, FINER):
            h = factor * self.step * max(1.0, abs(float(array[place])))
            slopes, rounding = _slopes(array, place, h, loss)
            middle = slopes[1]
            if self._equal(gradient, middle, rounding):
                return middle, _error(gradient, middle, rounding), False
            bound = min(max(gradient, min(slopes)), max(slopes))
            if self._equal(gradient, bound, rounding):
                return bound, _error(gradient, bound, rounding), False
            first = first or (middle, _error(gradient, middle, rounding), True)
            if self._equal(slopes[0], slopes[2], rounding):
                break
        assert first is not None
        return first

    def _equal(self, gradient: float, slope: float, rounding: float) -> bool:
        # Infinity and NaN are equal to nothing.
        distance, size = abs(gradient - slope), max(abs(gradient), abs(slope))
        return np.isfinite(distance) and distance <= rounding + self.rtol * size


def _error(gradient: float, slope: float, rounding: float) -> float:
    """Return the distance as a share of the larger one; 0 if rounding alone accounts for it."""
    distance = abs(gradient - slope)
    return 0.0 if distance <= rounding else distance / max(abs(gradient), abs(slope))


def _slopes(
    array: np.ndarray, place: Place, h: float, loss: Callable[[], float]
) -> tuple[tuple[float, float, float], float]:
    """Return the slope of the loss to the left, in the middle and to the right, and their rounding.

    The ones to the sides are of second order.
    """
    value = float(array[place])
    f = {}
    try:
        for k in (-2, -1, 0, 1, 2):
            array[place] = value + k * h
            f[k] = loss()
    finally:
        array[place] = value
    left = (3 * f[0] - 4 * f[-1] + f[-2]) / (2 * h)
    middle = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    right = (4 * f[1] - f[2] - 3 * f[0]) / (2 * h)
    return (left, middle, right), ROUNDING * max(1.0, abs(f[0])) / h


def _check(replica: Replica, comparison: _Comparison) -> GradientCheck:
    trainer, data = replica.trainer, replica.data
    trace = trainer.trace(data)
    value = trainer.batch_loss(data)
    if not np.isfinite(value):
        raise ValueError(
            f"check_gradients expects a finite loss, got {value}: choose smaller weights or other "
            "data"
        )
    scores = trace.scores.copy()
    loss = comparison.compare(
        None,
        "predictions",
        scores,
        trace.score_gradient,
        lambda: trainer.loss_of(data, scores),
    )
    parameters = tuple(
        comparison.compare(
            replica.parameters[parameter][0].name,
            replica.parameters[parameter][1],
            parameter.array,
            gradient,
            lambda: trainer.batch_loss(data),
        )
        for parameter, gradient in trace.gradients.items()
    )
    return GradientCheck(loss, parameters, _suspects(replica, loss, parameters))


def _suspects(
    replica: Replica, loss: CheckedGradient, parameters: Sequence[CheckedGradient]
) -> tuple[str, ...]:
    """Return what may be wrong, from the loss downwards: what is right above clears itself."""
    if loss.wrong:
        return (f"loss {type(replica.trainer.objective.loss).__name__}",)
    wrong = {row.layer for row in parameters if row.wrong}
    if not wrong:
        return ()
    right = {row.layer for row in parameters} - wrong
    layers = replica.layers
    lowest = max(i for i, layer in enumerate(layers) if layer.name in wrong)
    above = [i for i, layer in enumerate(layers) if layer.name in right and i > lowest]
    # The layer above has right gradients of its parameters, so its activation is right; the
    # gradient that it hands down may not be.
    end = min(above, default=len(layers))
    below = [part for layer in layers[lowest:end] for part in innermost(layer)]
    parts = [part for layer in layers[lowest : end + 1] for part in innermost(layer)]
    own = _own_regularizers(replica, {row.title for row in parameters if row.wrong})
    own += [_described_activation(part) for part in below if not _ends_in_ours(part)]
    own += [_described(part) for part in parts if not _is_ours(part)]
    return tuple(own or map(_described, layers[lowest : end + 1]))


def _own_regularizers(replica: Replica, wrong: set[str]) -> list[str]:
    """Return the regularizers of parameters with a wrong gradient that are not fastnn's."""
    found = []
    for parameter, (layer, name) in replica.parameters.items():
        regularizer = parameter.regularizer
        if (
            regularizer is not None
            and regularizer.kernel is None
            and f"{layer.name}.{name}" in wrong
        ):
            found.append(f"regularizer {type(regularizer).__name__} of '{layer.name}.{name}'")
    return found


def _ends_in_ours(layer: Layer) -> bool:
    """Whether the activation of a layer is one of fastnn's, or there is none."""
    return getattr(getattr(layer, "activation", None), "builtin", True)


def _described_activation(layer: Any) -> str:
    return f"activation {type(layer.activation).__name__} of '{layer.name}'"


def _described(layer: Layer) -> str:
    return f"layer '{layer.name}' ({type(layer).__name__})"


def _is_ours(layer: Layer) -> bool:
    return type(layer).__module__.partition(".")[0] == "fastnn"
