"""fastnn's `Sequential`."""

from __future__ import annotations

import numpy as np
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class FastnnNetwork(Contender):
    """A model called on an array; an epoch is one `fit`."""

    module = "fastnn"

    def __init__(self, weights: Weights) -> None:
        from fastnn import Sequential, optimizers
        from fastnn.layers import Dense, Input

        *hidden, last = weights[1::2]
        self.model = Sequential([Input((len(weights[0]),))])
        for bias in hidden:
            self.model.add(Dense(len(bias), activation="relu"))
        self.model.add(Dense(len(last), activation="softmax"))
        self.model.set_weights(weights)
        adam = optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
        self.model.compile(optimizer=adam, loss="sparse_categorical_crossentropy")

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model(x)

    def predict_method(self, x: np.ndarray) -> np.ndarray:
        """Return the same from the method that works in batches."""
        return self.model.predict(x, verbose=0)

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.fit(x, y, batch_size, 1)

    def fit(self, x: np.ndarray, y: np.ndarray, batch_size: int, epochs: int) -> None:
        self.model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)

    def weights(self) -> Weights:
        return self.model.get_weights()
