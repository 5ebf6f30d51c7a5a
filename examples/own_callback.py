"""A callback of one's own: it watches how far the weights go, and ends the training.

    python examples/own_callback.py

After each epoch it is told the loss and the metrics; the model, whose weights it may look at, is
its attribute. Setting ``model.stop_training`` ends the training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.callbacks import Callback
from fastnn.layers import Dense

TARGET = 0.95


class Journey(Callback):
    """Prints how far the weights are from where they began, until an accuracy is reached."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.start = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        ways = zip(self.model.get_weights(), self.start, strict=True)
        distance = np.sqrt(sum(np.sum((here - there) ** 2) for here, there in ways))
        accuracy = (logs or {})["val_accuracy"]
        print(f"epoch {epoch + 1}: {distance:.2f} from the start, test accuracy {accuracy:.3f}")
        if accuracy >= self.target:
            print(f"{self.target} is reached")
            self.model.stop_training = True


def main() -> None:
    fastnn.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    model = Sequential([Dense(64, "relu", input_dim=64), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(
        x_train / 16,
        y_train,
        epochs=50,
        verbose=0,
        validation_data=(x_test / 16, y_test),
        callbacks=[Journey(TARGET)],
    )


if __name__ == "__main__":
    main()
