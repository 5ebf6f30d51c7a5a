"""Jobs of single layers: called on a batch, and trained.

Without a tape of its own fastnn has no backward pass to be called, and autograd's would be timed
with all of its bookkeeping where fastnn's is a few kernels. So what is timed is what users run:
steps of training. For a layer without weights to have a backward pass, something below it has to
be trained; that is a dense layer of `INPUTS` inputs, the same for everybody, whose own cost is
a row of the table.
"""

from __future__ import annotations

from collections.abc import Callable

import contenders
import numpy as np
from checks import check, relative_error
from contenders.protocol import LayerContender
from single_layers import NOISE, ROWS, TimedLayer, Weights, moments_of_noise
from timing import PythonJob

FORWARD_TOLERANCE = 1e-5
"""Largest error of an output in float32, relative to the largest output."""

TRAINING_TOLERANCE = 5e-3
"""Norm of the error of the change of the weights, relative to that of the change."""

STANDARD_ERRORS = 6.0
"""How far mean and deviation of a sample of the noise may be from what they should be."""


def forward(contender: str, kind: str, features: int) -> PythonJob:
    """Return the job of calling the layer on a batch in inference, NumPy array in and out."""
    layer = TimedLayer(kind, features)
    x = layer.input_rows(ROWS)
    exact = _judge(layer, below=False).forward(x)
    network = contenders.load_layer(contender)(layer, layer.initial_weights(), None)
    given = network.prepared(x)
    name = f"{contender}, {kind} of {features} features"
    check(name, relative_error(network.forward(given), exact), FORWARD_TOLERANCE)
    return PythonJob(lambda: network.forward(given))


def train(contender: str, kind: str, features: int) -> PythonJob:
    """Return the job of one epoch of training the layer, in batches of `ROWS`."""
    layer = TimedLayer(kind, features)
    make = contenders.load_layer(contender)
    name = f"{contender}, training of {kind} of {features} features"
    if kind in NOISE:
        check_noise(name, make, layer)
    else:
        check(name, _training_error(make, layer), TRAINING_TOLERANCE)
    x, y = layer.samples(layer.steps * ROWS)
    network = make(layer, layer.initial_weights(), _weights_below(layer))
    given = network.prepared(x)
    return PythonJob(lambda: network.train(given, y), layer.steps)


def _weights_below(layer: TimedLayer) -> Weights | None:
    return layer.weights_below() if layer.has_below else None


def _judge(layer: TimedLayer, below: bool) -> LayerContender:
    """Return the layer in float64, in plain NumPy: fastnn's reference engine."""
    from contenders.fastnn_layer import ExactLayer

    return ExactLayer(layer, layer.initial_weights(), _weights_below(layer) if below else None)


def _training_error(make: Callable[..., LayerContender], layer: TimedLayer) -> float:
    """Return the relative error of what two steps change."""
    x, y = layer.samples(ROWS)
    start = [*(_weights_below(layer) or []), *layer.initial_weights()[: layer.trained]]
    exact = _judge(layer, below=True)
    network = make(layer, layer.initial_weights(), _weights_below(layer))
    for trained in (exact, network):
        given = trained.prepared(x)
        for _ in range(2):
            trained.train(given, y)
    wrong = changed = 0.0
    for before, got, right in zip(start, network.weights(), exact.weights(), strict=True):
        wrong += float(np.square(got - right).sum())
        changed += float(np.square(before - right).sum())
    return float(np.sqrt(wrong / changed))


def check_noise(name: str, make: Callable[..., LayerContender], layer: TimedLayer) -> None:
    """Raise if the noise of a training step has another mean or deviation than it should.

    Below is a bias of 1 that does not depend on the input, and the targets are 0: then the
    bias' gradient is a sum of output times slope, of independent noise for each row and column.
    """
    kernel, bias = layer.weights_below()
    network = make(layer, [], [np.zeros_like(kernel), np.ones_like(bias)])
    x, y = layer.samples(ROWS)
    network.train(network.prepared(np.zeros_like(x)), np.zeros_like(y))
    change = 1 - network.weights()[1].astype(np.float64)
    products = change * layer.features / (2 * layer.learning_rate)  # means over the rows
    mean, deviation = moments_of_noise(layer.kind)
    error = abs(products.mean() - mean) * np.sqrt(products.size * ROWS) / deviation
    check(f"{name}, mean of the noise in standard errors", error, STANDARD_ERRORS)
    spread = products.std(ddof=1) * np.sqrt(ROWS) / deviation
    error = abs(spread - 1) * np.sqrt(2 * (products.size - 1))
    check(f"{name}, deviation of the noise in standard errors", error, STANDARD_ERRORS)
