"""The vanishing gradient: ten layers of sigmoid do not learn, ten of relu do.

    python examples/vanishing_gradient.py [PICTURE]

On its way back each layer multiplies the gradient by the derivative of its activation. That of the
sigmoid is at most 1/4, so that after ten layers next to nothing is left (Hochreiter 1991). The
derivative of relu is 1 where it is not 0; with the initial weights of He et al. (2015) gradients
keep their size.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt

import fastnn
from fastnn import Sequential, plotting
from fastnn.layers import Dense

DEPTH, WIDTH = 10, 32


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "vanishing_gradient.png"
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    x_train, x_test = x_train / 16, x_test / 16
    _, axes = plt.subplots(2, 2, figsize=(14, 8), layout="constrained")
    for row, (activation, initializer) in zip(
        axes, (("sigmoid", "glorot_uniform"), ("relu", "he_normal")), strict=True
    ):
        model = deep(activation, initializer)
        diagnosis = model.diagnose(x_train[:256], y_train[:256])
        print(f"{diagnosis}\n")
        plotting.gradient_flow(diagnosis, axes=row)
        for ax in row:
            ax.set_title(f"{ax.get_title()}, {activation}")
        model.fit(x_train, y_train, epochs=15, verbose=0)
        accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
        print(f"test accuracy of {DEPTH} layers of {activation} after 15 epochs: {accuracy:.3f}\n")
    plt.savefig(picture)
    print(f"Picture: {picture}")


def deep(activation: str, initializer: str) -> Sequential:
    """Return ten hidden layers that have not learnt anything yet."""
    fastnn.utils.set_random_seed(0)
    model = Sequential(name=activation)
    for i in range(DEPTH):
        model.add(Dense(WIDTH, activation, kernel_initializer=initializer, name=f"layer_{i + 1}"))
    model.add(Dense(10, "softmax", name="output"))
    model.build((None, 64))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


if __name__ == "__main__":
    main()
