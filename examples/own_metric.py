"""A metric of one's own in NumPy: are the probabilities that a network gives to be trusted?

    python examples/own_metric.py

Of the samples that a network is 90 per cent sure of, it should read 90 per cent right. The
expected calibration error says how far it is from that: samples are put into bins by how sure the
network was, and the differences of accuracy and sureness of the bins are averaged. It is no mean
of a value for each sample, so it is a subclass of Metric, with a state.

M. P. Naeini, G. F. Cooper and M. Hauskrecht (2015). Obtaining well calibrated probabilities using
Bayesian binning. AAAI, 2901-2907.
"""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.metrics import Metric

EPOCHS, MISLABELLED = 200, 0.2
SHOWN = (1, 5, 10, 20, 50, 100, EPOCHS)


class CalibrationError(Metric):
    """Expected calibration error over all samples since the last reset.

    Parameters
    ----------
    bins : int, default 10
    name : str, default "calibration_error"
    """

    sparse = True
    direction = "down"

    def __init__(self, bins: int = 10, name: str = "calibration_error") -> None:
        super().__init__(name)
        self.bins = bins
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        sureness = y_pred.max(axis=1)
        right = y_pred.argmax(axis=1) == y_true
        weights = np.ones(len(y_pred)) if sample_weight is None else sample_weight
        place = np.minimum((sureness * self.bins).astype(int), self.bins - 1)
        self.gaps += np.bincount(place, weights * (right - sureness), self.bins)
        self.count += np.sum(weights)

    def result(self):
        return float(np.abs(self.gaps).sum() / self.count) if self.count else 0.0

    def reset_state(self):
        self.gaps = np.zeros(self.bins)
        self.count = 0.0


def main() -> None:
    fastnn.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    y_train, y_test = with_errors(y_train), with_errors(y_test)
    model = Sequential([Dense(256, "relu", input_dim=64), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy", CalibrationError()])
    test = x_test / 16, y_test
    fit = model.fit(x_train / 16, y_train, epochs=EPOCHS, validation_data=test, verbose=0)
    accuracy, error = fit.history["val_accuracy"], fit.history["val_calibration_error"]
    print(f"{MISLABELLED:.0%} of the labels are wrong, in training and test.")
    print("epoch  test accuracy  test calibration error")
    for epoch in SHOWN:
        print(f"{epoch:5d}  {accuracy[epoch - 1]:13.3f}  {error[epoch - 1]:22.3f}")
    best = int(np.argmin(error))
    print(
        f"Its probabilities were most to be trusted after epoch {best + 1}, when they were off by "
        f"{error[best]:.3f}.\nFrom then on it learnt the wrong labels by heart: at the end they "
        f"are off by {error[-1]:.3f},\nand the accuracy has gone from {accuracy[best]:.3f} to "
        f"{accuracy[-1]:.3f}."
    )


def with_errors(labels: np.ndarray) -> np.ndarray:
    """Return `labels`, some of which are replaced by another, drawn at random."""
    rng = np.random.default_rng(len(labels))
    wrong = rng.random(len(labels)) < MISLABELLED
    return np.where(wrong, (labels + rng.integers(1, 10, len(labels))) % 10, labels)


if __name__ == "__main__":
    main()
