"""Layers without activation collapse: a deep linear network is a single matrix.

    python examples/linear_collapse.py [PICTURE]

However many layers there are, x W1 W2 W3 is x (W1 W2 W3), a straight line. An activation in
between is what makes depth worth anything.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.optimizers import Adam

X = np.linspace(-3, 3, 200)[:, np.newaxis]
Y = np.sin(2 * X)


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "linear_collapse.png"
    linear, bent = trained("linear"), trained("relu")
    matrix, offset = collapsed(linear)
    difference = np.abs(linear.predict(X, verbose=0) - (X @ matrix + offset)).max()
    print(f"three linear layers, {linear.count_params()} numbers, compute")
    print(f"    y = {matrix[0, 0]:.4f} x + {offset[0]:.4f}")
    print(f"largest difference between the network and that line: {difference:.1e}")

    print(f"slope of the line of least squares: {(X * Y).sum() / (X * X).sum():.4f}")
    for name, model in (("linear", linear), ("relu", bent)):
        print(f"mean squared error with {name:6} layers: {model.evaluate(X, Y, verbose=0):.4f}")

    _, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    ax.plot(X, Y, color="0.6", linewidth=4, label="to be learnt")
    ax.plot(X, linear.predict(X, verbose=0), label="three linear layers")
    ax.plot(X, bent.predict(X, verbose=0), label="the same with relu")
    ax.set(xlabel="x", ylabel="y", title="Without activations, depth is a straight line")
    ax.legend()
    plt.savefig(picture)
    print(f"Picture: {picture}")


def trained(activation: str) -> Sequential:
    """Return three layers that have learnt what they can."""
    fastnn.utils.set_random_seed(0)
    model = Sequential(
        [Dense(32, activation, input_dim=1), Dense(32, activation), Dense(1)], dtype="float64"
    )
    model.compile(Adam(0.005), "mse")
    model.fit(X, Y, batch_size=50, epochs=300, verbose=0)
    return model


def collapsed(model: Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Return the one matrix, and the one offset, that linear layers come to."""
    matrix, offset = np.eye(1), np.zeros(1)
    for layer in model.layers:
        matrix, offset = matrix @ layer.kernel, offset @ layer.kernel + layer.bias
    return matrix, offset


if __name__ == "__main__":
    main()
