"""An activation of one's own, in NumPy: snake, ``x + sin(x)**2``, which can go on periodically.

    python examples/own_activation.py

A network with relu or tanh cannot continue a wave beyond its data; with snake (Ziyin, Hartwig and
Ueda 2020) it can. `forward` and `backward` are all that is needed, and `check_gradients` tells
whether they belong together.
"""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.activations import ActivationFunction
from fastnn.layers import Dense
from fastnn.optimizers import Adam


class Snake(ActivationFunction):
    def forward(self, x: np.ndarray) -> np.ndarray:
        return x + np.sin(x) ** 2

    def backward(self, grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return grad * (1 + np.sin(2 * x))


def main() -> None:
    x = np.linspace(-6, 6, 200)[:, np.newaxis]
    beyond = np.linspace(6, 9, 50)[:, np.newaxis]
    for activation in ("tanh", Snake()):
        model = trained(activation, x)
        name = activation if isinstance(activation, str) else "snake"
        error = model.evaluate(x, wave(x), verbose=0)
        further = model.evaluate(beyond, wave(beyond), verbose=0)
        print(f"{name:6} mean squared error on the data {error:.5f}, beyond them {further:.5f}")
    check = fastnn.check_gradients(model, x[:8], wave(x[:8]))
    print(str(check).splitlines()[0])


def wave(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * x)


def trained(activation: str | ActivationFunction, x: np.ndarray) -> Sequential:
    fastnn.utils.set_random_seed(0)
    model = Sequential([Dense(8, activation, input_dim=1), Dense(1)])
    model.compile(Adam(0.01), "mse")
    model.fit(x, wave(x), epochs=2000, verbose=0)
    return model


if __name__ == "__main__":
    main()
