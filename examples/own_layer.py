"""A layer of one's own, in NumPy: units that answer to distance, with centres that they learn.

    python examples/own_layer.py [PICTURE]

A radial basis function gives ``exp(-sharpness * |x - centre|**2)``: 1 at its centre and nothing far
away. `build` declares the weights, `compute_output_shape` says what comes out, `forward` computes
it, `backward` returns the gradients of the input and of the weights. The layer then trains among
fastnn's own, in either engine. `check_gradients` tells whether `backward` is right.
"""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import Dense, Layer, Shape
from fastnn.optimizers import Adam


class RadialBasis(Layer):
    """``y = exp(-sharpness * |x - centre|**2)``, for each of several centres."""

    def __init__(self, units: int, **options: Any) -> None:
        self.units = units
        super().__init__(**options)

    def build(self, input_shape: Shape) -> None:
        self.add_weight(
            name="centres", shape=(self.units, input_shape[1]), initializer="random_normal"
        )
        self.add_weight(name="sharpness", shape=(self.units,), initializer="ones")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, self.units)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        centres, sharpness = (weight.value for weight in self.weights)
        return np.exp(-sharpness * ((x[:, np.newaxis] - centres) ** 2).sum(axis=2))

    def backward(self, gradient: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
        centres, sharpness = (weight.value for weight in self.weights)
        away = x[:, np.newaxis] - centres
        slope = gradient * y
        of_away = (-2 * slope * sharpness)[:, :, np.newaxis] * away
        of_sharpness = -(slope * (away**2).sum(axis=2)).sum(axis=0)
        return of_away.sum(axis=1), -of_away.sum(axis=0), of_sharpness

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "own_layer.png"
    rng = np.random.default_rng(0)
    x, y = rings(400, rng)
    x_test, y_test = rings(1000, rng)
    fastnn.utils.set_random_seed(1)
    tried = Sequential([Input((2,)), Dense(2), RadialBasis(3), Dense(1)])
    tried.compile("sgd", "mse")
    print(str(fastnn.check_gradients(tried, x[:20], y[:20])).splitlines()[0])

    fastnn.utils.set_random_seed(0)
    model = Sequential([Input((2,)), RadialBasis(3), Dense(1, "sigmoid")])
    model.compile(Adam(0.03), "binary_crossentropy", ["accuracy"])
    model.fit(x, y, batch_size=20, epochs=60, verbose=0)
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"accuracy on points not trained on: {accuracy:.3f}")

    draw(model, x, y)
    plt.savefig(picture)
    print(f"Picture: {picture}")


def rings(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return points on a disc (0) and on a ring around it (1)."""
    y = rng.integers(0, 2, size=n)
    radius = 0.5 + 1.5 * y + rng.normal(scale=0.3, size=n)
    angle = rng.uniform(0, 2 * np.pi, size=n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y.astype(float)


def draw(model: Sequential, x: np.ndarray, y: np.ndarray) -> None:
    """Draw what the model says of the plane, and where its centres lie."""
    line = np.linspace(-3, 3, 120)
    plane = np.stack(np.meshgrid(line, line), axis=-1)
    said = model.predict(plane.reshape(-1, 2), verbose=0).reshape(120, 120)
    _, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    filled = ax.contourf(line, line, said, levels=np.linspace(0, 1, 11), cmap="coolwarm", alpha=0.6)
    plt.colorbar(filled, label="output")
    ax.scatter(*x.T, c=y, cmap="coolwarm", s=8)
    ax.scatter(*model.layers[0].get_weights()[0].T, marker="+", c="black", s=120, label="centres")
    ax.set(title="A disc and a ring, told apart by distance", aspect="equal")
    ax.legend()


if __name__ == "__main__":
    main()
