"""Keras on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import timing
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class KerasNetwork(Contender):
    """A Keras model, with and without XLA, whichever is faster for the data at hand.

    It predicts through a `tf.function`; an epoch is one `fit` that executes all its steps at once.
    """

    module = "keras"

    def __init__(self, weights: Weights) -> None:
        import keras
        import tensorflow

        self.keras, self.tensorflow = keras, tensorflow
        self.initial = weights
        self.model = self._model()
        self.predictors: dict[int, Callable[..., Any]] = {}
        self.trainers: dict[tuple[int, int], Callable[..., Any]] = {}

    def _model(self) -> Any:
        layers = self.keras.layers
        *hidden, last = self.initial[1::2]
        model = self.keras.Sequential([layers.Input((len(self.initial[0]),))])
        for bias in hidden:
            model.add(layers.Dense(len(bias), activation="relu"))
        model.add(layers.Dense(len(last), activation="softmax"))
        model.set_weights(self.initial)
        return model

    def predict(self, x: np.ndarray) -> np.ndarray:
        if len(x) not in self.predictors:
            candidates = [self._function(x.shape, xla) for xla in (False, True)]
            candidates.append(self.model.predict_on_batch)
            self.predictors[len(x)] = timing.fastest(candidates, x)
        return self.predictors[len(x)](x)

    def _function(self, shape: tuple[int, ...], xla: bool) -> Callable[[np.ndarray], np.ndarray]:
        tensorflow = self.tensorflow
        function = tensorflow.function(partial(self.model, training=False), jit_compile=xla)
        concrete = function.get_concrete_function(tensorflow.TensorSpec(shape, tensorflow.float32))
        return lambda x: concrete(tensorflow.constant(x)).numpy()

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        if (len(x), batch_size) not in self.trainers:
            models = [self._trainable(len(x) // batch_size, xla) for xla in (False, True)]
            fits = [partial(model.fit, batch_size=batch_size, verbose=0) for model in models]
            fit = timing.fastest(fits, x, y)
            self.model = models[fits.index(fit)]
            self._restart()
            self.trainers[len(x), batch_size] = fit
        self.trainers[len(x), batch_size](x, y)

    def _trainable(self, steps: int, xla: bool) -> Any:
        model = self._model()
        adam = self.keras.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
        loss = "sparse_categorical_crossentropy"
        model.compile(adam, loss, jit_compile=xla, steps_per_execution=steps)
        return model

    def _restart(self) -> None:
        """Undo the training that was only to see which model is faster."""
        self.model.set_weights(self.initial)
        optimizer = self.model.optimizer
        for variable in (optimizer._iterations, *optimizer._momentums, *optimizer._velocities):
            variable.assign(self.keras.ops.zeros_like(variable))

    def weights(self) -> Weights:
        return self.model.get_weights()
