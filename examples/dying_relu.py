"""Dying ReLUs, and what helps: units that are off on all data never learn again.

    python examples/dying_relu.py [PICTURE]

Steps that are too large throw the bias of a unit so far down that its input is negative on every
sample. Its output is then 0, and so is its gradient: it stays dead. A leaky slope, elu, or steps of
a sensible size keep units alive (Lu et al. 2020).
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt

import fastnn
from fastnn import Sequential, plotting
from fastnn.layers import Dense
from fastnn.optimizers import Adam

TOO_LARGE, SENSIBLE = 0.05, 0.002


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "dying_relu.png"
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    x_train, x_test = x_train / 16, x_test / 16
    _, axes = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
    for title, activation, rate in (
        ("relu, steps too large", "relu", TOO_LARGE),
        ("leaky_relu, same steps", "leaky_relu", TOO_LARGE),
        ("elu, same steps", "elu", TOO_LARGE),
        ("relu, smaller steps", "relu", SENSIBLE),
    ):
        model = network(activation, rate)
        model.fit(x_train, y_train, epochs=20, verbose=0)
        accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
        diagnosis = model.diagnose(x_train, y_train)
        shares = [layer.dead_share or 0.0 for layer in diagnosis.layers[:-1]]
        dead = ", ".join(f"{share:.0%}" for share in shares)
        print(f"{title:24} test accuracy {accuracy:.3f}, dead units per layer: {dead}")
        for finding in diagnosis.findings:
            print(f"    diagnosis: {finding}")
        if activation == "relu":
            ax = axes[0 if rate == TOO_LARGE else 1]
            plotting.dead_units(diagnosis, ax=ax).set_title(title)
    plt.savefig(picture)
    print(f"Picture: {picture}")


def network(activation: str, learning_rate: float) -> Sequential:
    fastnn.utils.set_random_seed(1)
    layers = [
        Dense(64, activation, kernel_initializer="he_normal", name=f"hidden_{i}") for i in (1, 2, 3)
    ]
    model = Sequential([*layers, Dense(10, "softmax", name="output")])
    model.build((None, 64))
    model.compile(Adam(learning_rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


if __name__ == "__main__":
    main()
