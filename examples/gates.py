"""Logic gates: one threshold unit computes AND, NAND and OR, but not XOR; a hidden layer does.

    python examples/gates.py [PICTURE]

A unit fires on one side of a straight line. Three of the gates have such a line between their 0s
and 1s; XOR has none, as Minsky and Papert showed in 1969. Two units of a hidden layer draw two
lines, and a third one fires between them.
"""

from __future__ import annotations

import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import NotSeparableWarning, Perceptron, Sequential, plotting
from fastnn.layers import Dense
from fastnn.optimizers import Adam

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
GATES = {"AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "gates.png"
    _, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    for ax, (name, outputs) in zip(axes.flat, GATES.items(), strict=False):
        unit = learnt(outputs)
        answers = unit.predict(INPUTS).tolist()
        verdict = "learnt" if answers == outputs else "not learnt"
        print(
            f"{name:5} {verdict:10} after {unit.n_epochs_} epochs: weights {unit.weights}, "
            f"threshold {-unit.bias + 0:.1f}, says {answers}"
        )
        plotting.decision_boundary(unit, INPUTS, outputs, ax=ax)
        ax.set_title(f"{name}, one unit: {verdict}")

    network = trained(GATES["XOR"])
    answers = (network.predict(INPUTS, verbose=0)[:, 0] > 0.5).astype(int).tolist()
    print(f"XOR   with a hidden layer of two units says {answers}")
    plotting.decision_boundary(network, INPUTS, GATES["XOR"], ax=axes.flat[4])
    axes.flat[4].set_title("XOR, hidden layer: learnt")
    plotting.network_diagram(network, ax=axes.flat[5])
    plt.savefig(picture)
    print(f"Picture: {picture}")


def learnt(outputs: list[int]) -> Perceptron:
    """Return a unit that has learnt a gate as far as it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotSeparableWarning)
        return Perceptron().fit(INPUTS, outputs)


def trained(outputs: list[int]) -> Sequential:
    """Return a network of three units that has learnt a gate."""
    fastnn.utils.set_random_seed(4)
    network = Sequential([Dense(2, "tanh", input_dim=2), Dense(1, "sigmoid")])
    network.compile(Adam(0.05), "binary_crossentropy")
    network.fit(INPUTS, outputs, epochs=500, verbose=0)
    return network


if __name__ == "__main__":
    main()
