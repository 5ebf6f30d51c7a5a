"""scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class SklearnNetwork(Contender):
    """scikit-learn's `MLPClassifier`; an epoch is one `partial_fit`."""

    module = "sklearn"

    def __init__(self, weights: Weights) -> None:
        from sklearn import set_config
        from sklearn.neural_network import MLPClassifier

        set_config(assume_finite=True, skip_parameter_validation=True)
        *hidden, classes = (len(bias) for bias in weights[1::2])
        self.model = MLPClassifier(
            hidden,
            alpha=0.0,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )
        self.classes = np.arange(classes)
        # One step on zeros makes the arrays; a new optimizer then starts from our weights.
        self._fit(np.zeros((classes, len(weights[0])), np.float32), self.classes, classes)
        del self.model._optimizer
        for own, given in zip(self.weights(), weights, strict=True):
            own[...] = given

    def _fit(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.model.batch_size = batch_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.partial_fit(x, y, classes=self.classes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(x)

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self._fit(x, y, batch_size)

    def weights(self) -> Weights:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]
