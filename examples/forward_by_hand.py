"""Forward propagation by hand: a layer is Y = f(X W + B), for all rows of a batch at once.

    python examples/forward_by_hand.py [PICTURE]

A batch of four rows goes through a network of two layers, once by the matrix equations in NumPy and
once by the network.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

from fastnn import Sequential, plotting
from fastnn.layers import Dense

X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]])
W1 = np.array([[0.5, -1.0, 2.0], [1.5, 1.0, -0.5]])
B1 = np.array([0.0, 0.5, -1.0])
W2 = np.array([[1.0], [-2.0], [0.5]])
B2 = np.array([0.25])


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "forward_by_hand.png"
    z1 = X @ W1 + B1  # (4, 2) @ (2, 3) + (3,), the biases are added to each row
    y1 = np.maximum(z1, 0)  # relu
    z2 = y1 @ W2 + B2  # (4, 3) @ (3, 1) + (1,)
    y2 = 1 / (1 + np.exp(-z2))  # sigmoid

    model = Sequential([Dense(3, "relu", input_dim=2), Dense(1, "sigmoid")], dtype="float64")
    model.set_weights([W1, B1, W2, B2])
    by_model = model.predict(X, verbose=0)

    for name, matrix in (("X", X), ("X W1 + B1", z1), ("relu of it", y1), ("Y by hand", y2)):
        print(f"{name}, shape {matrix.shape}\n{matrix.round(4)}\n")
    print(f"Y by the network\n{by_model.round(4)}\n")
    print(f"largest difference: {np.abs(y2 - by_model).max():.1e}")

    plotting.network_diagram(model)
    plt.savefig(picture)
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main()
