"""Diagnosis of a network: how signals and gradients fare on their way through it.

`fastnn.Sequential.diagnose` returns a `Diagnosis`; `fastnn.plotting` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnn import activations
from fastnn._replica import Replica, replicate
from fastnn.layers import is_identity
from fastnn.reference._arrays import ieee_arithmetic
from fastnn.reference.engine import activate, activation_gradient

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.activations import ActivationFunction
    from fastnn.layers import Layer
    from fastnn.models import Sequential
    from fastnn.reference.engine import Record, Trace

VANISHING, EXPLODING = 1e-3, 1e3
"""Gradients of a layer's outputs, as a multiple of those of the last layer's."""

DEAD_UNITS = 0.4
"""Share of a layer's units that are off on all samples, from which on it is worth a word."""

SATURATED = 0.5
"""Share of a layer's outputs that are close to a bound, from which on it is worth a word."""

MARGIN = 0.01
"""How close that is, as a share of the distance between the bounds."""

BOUNDS = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations that saturate, and what they approach."""


@dataclass(frozen=True)
class Spread:
    """Where numbers lie.

    Parameters
    ----------
    mean, std : float
        Mean and standard deviation.
    mean_abs : float
        Mean of their sizes.
    """

    mean: float
    std: float
    mean_abs: float


@dataclass(frozen=True, eq=False)
class LayerFigures:
    """What was seen of one layer.

    Parameters
    ----------
    name, kind : str
        Name and class of the layer.
    activation : str or None
        What its last activation is called, if it has one. None for `SimpleRNN`, whose activation
        is within its steps.
    units : int
        Numbers that come out for one sample.
    outputs : Spread
        Of what comes out, over samples and units.
    output_gradients : Spread
        Of the gradients of each sample's loss with respect to what comes out. For the last
        layer they are with respect to the logits, where the loss is taken from these.
    weights, weight_gradients : dict of str to Spread
        Of each trainable parameter, and of the gradient of the training loss with respect to it.
    off_share : ndarray of shape (units,), or None
        Share of the samples on which each unit is off: its activation is flat where its input
        lies, so that nothing flows back through it. None where the activation is nowhere flat,
        or saturates. For a layer made of others, of the units of the last activation within.
    saturated_share : ndarray of shape (units,), or None
        Share of the samples on which each unit is as near to a bound of its sigmoid, tanh or the
        like as a hundredth of the distance between the bounds; None for other activations.
    flow : {"vanishing", "exploding", None}
        Whether ``output_gradients.mean_abs`` is less than 1e-3 or more than 1e3 times that of the
        last layer. What is not finite explodes.
    """

    name: str
    kind: str
    activation: str | None
    units: int
    outputs: Spread
    output_gradients: Spread
    weights: Mapping[str, Spread]
    weight_gradients: Mapping[str, Spread]
    off_share: np.ndarray | None
    saturated_share: np.ndarray | None
    flow: str | None

    @property
    def dead_share(self) -> float | None:
        """Share of the units that are off on all samples; None as for `off_share`."""
        return None if self.off_share is None else float(np.mean(self.off_share == 1))

    @property
    def mean_saturated_share(self) -> float | None:
        """Mean of `saturated_share` over the units; None as for it."""
        return None if self.saturated_share is None else float(np.mean(self.saturated_share))


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What `Sequential.diagnose` found; `print` it.

    Parameters
    ----------
    model : str
        Name of the model.
    samples : int
        Rows looked at.
    loss : float
        Loss on them, without penalties.
    layers : tuple of LayerFigures
        From the input to the output; without those that compute nothing, such as `Flatten`.
    findings : tuple of str
        What is conspicuous, in words, with what helps against it.
    """

    model: str
    samples: int
    loss: float
    layers: tuple[LayerFigures, ...]
    findings: tuple[str, ...]

    def __getitem__(self, name: str) -> LayerFigures:
        """Return the figures of the layer called `name`."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise KeyError(f"no layer is called {name!r} in this diagnosis, which has: {known}")

    def __repr__(self) -> str:
        return (
            f"<Diagnosis of {self.model}: {len(self.layers)} layers, {len(self.findings)} findings>"
        )

    def __str__(self) -> str:
        words = self.findings or ("nothing conspicuous",)
        return "\n".join(
            [
                f"Diagnosis of {self.model} on {self.samples} samples, loss {self.loss:.4g}",
                "",
                *_table(self.layers),
                "",
                *(f"- {finding}" for finding in words),
            ]
        )


def diagnose(
    model: Sequential, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Diagnosis:
    """Return how signals and gradients fare in a model; see `fastnn.Sequential.diagnose`."""
    replica = replicate(model, x, y, sample_weight, "diagnose")
    with ieee_arithmetic():
        trace = replica.trainer.trace(replica.data)
        layers = _figures(replica, trace)
        loss = replica.trainer.loss_of(replica.data, trace.scores)
    return Diagnosis(model.name, len(replica.data), loss, layers, _findings(layers))


# Figures


def _figures(replica: Replica, trace: Trace) -> tuple[LayerFigures, ...]:
    """Return the figures of the layers that have ops."""
    count = len(replica.data)
    figures = []
    end = 0
    for layer, ops in zip(replica.layers, replica.ops, strict=True):
        start, end = end, end + len(ops)
        if ops:
            # The loss is a mean; a sample's own does not depend on how many there are.
            gradient = trace.output_gradients[end - 1] * count
            trained = {
                name: (parameter.array, trace.gradients[parameter])
                for parameter, (owner, name) in replica.parameters.items()
                if owner is layer and parameter in trace.gradients
            }
            flow = _flow(gradient, trace.score_gradient * count)
            figures.append(_of_layer(layer, trace.records[start:end], gradient, trained, flow))
    return tuple(figures)


def _of_layer(
    layer: Layer,
    records: Sequence[Record],
    gradient: np.ndarray,
    trained: Mapping[str, tuple[np.ndarray, np.ndarray]],
    flow: str | None,
) -> LayerFigures:
    """Return the figures of a layer.

    Parameters
    ----------
    layer : Layer
    records : sequence of Record
        Of its ops.
    gradient : ndarray
        With respect to its outputs.
    trained : dict of str to tuple (weights, gradient)
        Its trainable parameters.
    flow : {"vanishing", "exploding", None}
    """
    record = _last_activated(records)
    y = records[-1].y
    return LayerFigures(
        name=layer.name,
        kind=type(layer).__name__,
        activation=None if record is None else _title(_activation(record)),
        units=y.shape[1],
        outputs=_spread(y),
        output_gradients=_spread(gradient),
        weights={name: _spread(values) for name, (values, _) in trained.items()},
        weight_gradients={name: _spread(slope) for name, (_, slope) in trained.items()},
        off_share=None if record is None else _off_share(record),
        saturated_share=None if record is None else _saturated_share(record),
        flow=flow,
    )


def _spread(values: np.ndarray) -> Spread:
    return Spread(float(values.mean()), float(values.std()), float(np.abs(values).mean()))


def _flow(gradient: np.ndarray, last: np.ndarray) -> str | None:
    """Return how the gradient of a layer compares with that of the last one."""
    size, reference = np.abs(gradient).mean(), np.abs(last).mean()
    if not np.isfinite(size) or size > EXPLODING * reference:
        return "exploding"
    return "vanishing" if size < VANISHING * reference else None


# Activations


def _activation(record: Record) -> ActivationFunction:
    function: ActivationFunction = getattr(record.op, "activation", activations.linear)
    return function


def _last_activated(records: Sequence[Record]) -> Record | None:
    """Return the last record of an op that ends in an activation."""
    ended = [r for r in records if not is_identity(_activation(r))]
    return ended[-1] if ended else None


def _title(function: ActivationFunction) -> str:
    return function.name if function.builtin else type(function).__name__


def _off_share(record: Record) -> np.ndarray | None:
    """Return, for each unit, the share of samples where its activation is flat."""
    function = _activation(record)
    if not function.builtin or function.name in BOUNDS or record.z.shape != record.y.shape:
        return None
    if not _flat_somewhere(function):
        return None
    share: np.ndarray = np.mean(_slope(function, record.z) == 0, axis=0)
    return share


def _flat_somewhere(function: ActivationFunction) -> bool:
    """Whether an activation is constant on an interval, but not everywhere.

    It is shown one column, so that activations of rows, such as softmax, are constant.
    """
    flat = _slope(function, np.linspace(-8, 8, 161)[:, np.newaxis]) == 0
    return bool(np.any(flat[1:] & flat[:-1]) and not flat.all())


def _slope(function: ActivationFunction, z: np.ndarray) -> np.ndarray:
    return activation_gradient(function, np.ones_like(z), z, activate(function, z))


def _saturated_share(record: Record) -> np.ndarray | None:
    """Return, for each unit, the share of samples where it is close to a bound."""
    function = _activation(record)
    if not function.builtin or function.name not in BOUNDS:
        return None
    low, high = BOUNDS[function.name]
    margin = MARGIN * (high - low)
    close = (record.y < low + margin) | (record.y > high - margin)
    share: np.ndarray = np.mean(close, axis=0)
    return share


# Words


def _findings(layers: Sequence[LayerFigures]) -> tuple[str, ...]:
    """Return what is conspicuous, what concerns all layers first."""
    found = _overflow(layers) or [*_weak_gradients(layers), *_strong_gradients(layers)]
    dead = {layer.name: layer.dead_share or 0.0 for layer in layers}
    if named := _named(dead, DEAD_UNITS):
        found.append(
            f"{named} of units are dead on these data; try leaky_relu, elu or he_normal, or a "
            "lower learning rate"
        )
    # A last layer may well be certain of what it says.
    saturated = {layer.name: layer.mean_saturated_share or 0.0 for layer in layers[:-1]}
    if named := _named(saturated, SATURATED):
        found.append(
            f"{named} of outputs are saturated; try smaller initial weights, inputs scaled to "
            "mean 0 and variance 1, or relu"
        )
    return tuple(found)


def _named(shares: Mapping[str, float], least: float) -> str:
    """Return the shares that are large enough, each with its layer."""
    return ", ".join(f"{name}: {share:.0%}" for name, share in shares.items() if share >= least)


def _overflow(layers: Sequence[LayerFigures]) -> list[str]:
    for layer in layers:
        if not np.isfinite(layer.outputs.mean_abs):
            return [
                f"{layer.name}: its outputs are not finite; try a lower learning rate, clipnorm "
                "in the optimizer, or scaled inputs"
            ]
    return []


def _weak_gradients(layers: Sequence[LayerFigures]) -> list[str]:
    if layers and layers[-1].output_gradients.mean_abs == 0:
        return ["the gradient of the loss is zero: there is nothing to learn from these data"]
    weak = [layer for layer in layers if layer.flow == "vanishing"]
    if not weak:
        return []
    text = f"gradients vanish: {_ratio(weak[0], layers)}"
    dead = [layer.name for layer in layers if layer.dead_share == 1]
    if dead:  # the layers above the lowest one may be dead because of it
        return [f"{text}; none gets past {dead[0]}, all of whose units are dead"]
    if any(layer.saturated_share is not None for layer in layers[:-1]):
        return [f"{text}; try relu with he_normal, or fewer layers"]
    return [f"{text}; try larger initial weights, such as those of he_normal, or fewer layers"]


def _strong_gradients(layers: Sequence[LayerFigures]) -> list[str]:
    strong = [layer for layer in layers if layer.flow == "exploding"]
    if not strong:
        return []
    return [
        f"gradients explode: {_ratio(strong[0], layers)}; try smaller initial weights, such as "
        "those of glorot_uniform or he_normal, or clipnorm in the optimizer"
    ]


def _ratio(layer: LayerFigures, layers: Sequence[LayerFigures]) -> str:
    size, reference = layer.output_gradients.mean_abs, layers[-1].output_gradients.mean_abs
    with np.errstate(all="ignore"):
        ratio = np.float64(size) / reference
    return f"those at {layer.name} are {ratio:.1e} times those at {layers[-1].name}"


# Table


def _table(layers: Sequence[LayerFigures]) -> list[str]:
    """Return the lines of the table of a diagnosis."""
    lines = [
        f"{'':<24} {'outputs':^19} {'gradients':^19} {'of weights':^9}",
        f"{'layer':<24} {'mean':>9} {'std':>9} {'mean abs':>9} {'std':>9} {'mean abs':>9}  units",
    ]
    for layer in layers:
        gradients = [spread.mean_abs for spread in layer.weight_gradients.values()]
        kernel = f"{gradients[0]:9.2e}" if gradients else f"{'':9}"
        outputs, back = layer.outputs, layer.output_gradients
        title = layer.name if layer.activation is None else f"{layer.name} ({layer.activation})"
        lines.append(
            f"{title:<24} {outputs.mean:9.2e} {outputs.std:9.2e} {back.mean_abs:9.2e} "
            f"{back.std:9.2e} {kernel}  {_remark(layer)}"
        )
    return lines


def _remark(layer: LayerFigures) -> str:
    remarks = [f"{layer.units}"]
    if layer.dead_share is not None:
        remarks.append(f"{layer.dead_share:.0%} dead")
    if layer.mean_saturated_share is not None:
        remarks.append(f"{layer.mean_saturated_share:.0%} saturated")
    if layer.flow is not None:
        remarks.append(layer.flow)
    return ", ".join(remarks)
