"""Logistic regression is one neuron: a sigmoid unit finds the weights that statistics finds.

    python examples/logistic_regression.py [PICTURE]

A unit with a sigmoid, trained on the cross-entropy, maximises the likelihood of the logistic model.
Gradient descent goes there in many small steps, Newton's method in a few large ones.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Sequential, plotting
from fastnn.layers import Dense
from fastnn.optimizers import SGD


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "logistic_regression.png"
    x, y = samples()
    fastnn.utils.set_random_seed(0)
    neuron = Sequential([Dense(1, "sigmoid", input_dim=2)], dtype="float64")
    neuron.compile(SGD(1.0, momentum=0.9), "binary_crossentropy", ["accuracy"])
    history = neuron.fit(x, y, batch_size=len(x), epochs=500, verbose=0)
    learnt = np.concatenate([neuron.layers[0].kernel[:, 0], neuron.layers[0].bias])
    exact = newton(x, y)
    print(f"one neuron:       weights {learnt[:2].round(6)}, bias {learnt[2]:.6f}")
    print(f"Newton's method:  weights {exact[:2].round(6)}, bias {exact[2]:.6f}")
    print(f"largest difference: {np.abs(learnt - exact).max():.1e}")
    print(f"accuracy: {history.history['accuracy'][-1]:.3f}")
    odds = np.exp(learnt[:2])
    print(f"one more of feature 1 multiplies the odds by {odds[0]:.2f}, of feature 2 {odds[1]:.2f}")

    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    plotting.decision_boundary(neuron, x, y, ax=left).set_title("One neuron")
    plotting.learning_curves(history, ax=right).set_xscale("log")
    plt.savefig(picture)
    print(f"Picture: {picture}")


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Return two classes that overlap, so that the best weights are finite."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = x @ [2.0, -1.0] + 0.5 + rng.logistic(size=300) > 0
    return x, y.astype(int)


def newton(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights and, last, the bias of the highest likelihood."""
    rows = np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(3)
    for _ in range(20):
        p = 1 / (1 + np.exp(-rows @ weights))
        hessian = rows.T @ (rows * (p * (1 - p))[:, np.newaxis])
        weights += np.linalg.solve(hessian, rows.T @ (y - p))
    return weights


if __name__ == "__main__":
    main()
