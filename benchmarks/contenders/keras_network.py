"""Keras on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import timing
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class KerasNetwork(Contender):
    """A Keras model that predicts through whichever function is the fastest for the data at hand.

    An epoch is one `fit` that executes all its steps at once, with XLA if Keras so chooses.
    """

    module = "keras"

    def __init__(self, weights: Weights) -> None:
        import keras
        import tensorflow

        self.keras, self.tensorflow = keras, tensorflow
        *hidden, last = weights[1::2]
        self.model = keras.Sequential([keras.layers.Input((len(weights[0]),))])
        for bias in hidden:
            self.model.add(keras.layers.Dense(len(bias), activation="relu"))
        self.model.add(keras.layers.Dense(len(last), activation="softmax"))
        self.model.set_weights(weights)
        self.predictors: dict[int, Callable[[np.ndarray], np.ndarray]] = {}
        self.steps = 0

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
        self.fit(x, y, batch_size, 1)

    def fit(self, x: np.ndarray, y: np.ndarray, batch_size: int, epochs: int) -> None:
        if self.steps != len(x) // batch_size:
            self.steps = len(x) // batch_size
            adam = self.keras.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
            loss = "sparse_categorical_crossentropy"
            self.model.compile(adam, loss, steps_per_execution=self.steps)
        self.model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)

    def weights(self) -> Weights:
        return self.model.get_weights()
