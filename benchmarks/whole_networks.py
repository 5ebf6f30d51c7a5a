"""Jobs of whole networks: predictions, and epochs of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import contenders
import numpy as np
from checks import check
from contenders.protocol import Contender
from networks import ExactNetwork, Weights, initial_weights, network_name, samples, steps_in_epoch
from timing import CallJob, PythonJob

PREDICTION_TOLERANCE = 2e-5
"""Largest absolute error of a probability in float32."""

TRAINING_TOLERANCE = 3e-2
"""Norm of the error of the change of the weights, relative to that of the change.

Adam's first steps have the size of the learning rate wherever the gradient is not zero, so
float32 may turn a step around where the gradient is all rounding error: where a sample lies on a
relu's edge, for all weights of a unit (2.6e-2 was seen). Biases that stay behind make 3.3e-2.
"""


def predict(contender: str, sizes: Sequence[int], batch_size: int) -> CallJob:
    """Return the job of predicting `batch_size` rows in the fastest way."""
    network = contenders.load(contender)(initial_weights(sizes))
    return _prediction(contender, network.predict, sizes, batch_size)


def predict_method(contender: str, sizes: Sequence[int], batch_size: int) -> CallJob:
    """Return the same for the others, for fastnn the method that works in batches."""
    network = contenders.load(contender)(initial_weights(sizes))
    run = getattr(network, "predict_method", network.predict)
    return _prediction(contender, run, sizes, batch_size)


def _prediction(
    contender: str, run: Callable[[np.ndarray], np.ndarray], sizes: Sequence[int], batch_size: int
) -> CallJob:
    x, _ = samples(sizes, batch_size)
    exact = ExactNetwork(initial_weights(sizes)).predict(x)
    name = f"{contender}, prediction of {batch_size} rows by {network_name(sizes)}"
    check(name, float(np.abs(run(x) - exact).max()), PREDICTION_TOLERANCE)
    return CallJob(run, x)


def train(contender: str, sizes: Sequence[int], batch_size: int) -> PythonJob:
    """Return the job of one epoch of training in batches of `batch_size` rows."""
    steps = steps_in_epoch(sizes, batch_size)
    x, y = samples(sizes, steps * batch_size)
    network = _trainable(contender, sizes, batch_size, _two_epochs)
    return PythonJob(lambda: network.train(x, y, batch_size), steps)


def fit(contender: str, sizes: Sequence[int], rows: int, batch_size: int, epochs: int) -> PythonJob:
    """Return the job of a fit, measured by the epoch."""
    x, y = samples(sizes, rows)
    network = _trainable(contender, sizes, batch_size, _fit_of_two_epochs)
    return PythonJob(lambda: network.fit(x, y, batch_size, epochs), epochs)


TwoSteps = Callable[[Contender, np.ndarray, np.ndarray], None]  # over all rows each


def _two_epochs(network: Contender, x: np.ndarray, y: np.ndarray) -> None:
    for _ in range(2):
        network.train(x, y, len(x))


def _fit_of_two_epochs(network: Contender, x: np.ndarray, y: np.ndarray) -> None:
    network.fit(x, y, len(x), 2)


def _trainable(
    contender: str, sizes: Sequence[int], batch_size: int, two_steps: TwoSteps
) -> Contender:
    """Return a network that trains rightly in this way."""
    weights = initial_weights(sizes)
    x, y = samples(sizes, batch_size)
    network = contenders.load(contender)(weights)
    name = f"{contender}, training of {network_name(sizes)} with batches of {batch_size}"
    two_steps(network, x, y)
    check(name, _training_error(network, weights, x, y), TRAINING_TOLERANCE)
    return network


def _training_error(network: Contender, weights: Weights, x: np.ndarray, y: np.ndarray) -> float:
    """Return the relative error of what two steps on these rows have changed."""
    exact = ExactNetwork(weights, network.late_epsilon)
    for _ in range(2):
        exact.train(x, y)
    wrong = changed = 0.0
    for start, got, right in zip(weights, network.weights(), exact.weights, strict=True):
        wrong += float(np.square(got - right).sum())
        changed += float(np.square(start - right).sum())
    return float(np.sqrt(wrong / changed))
