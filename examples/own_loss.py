"""A loss of one's own, in NumPy: Cauchy's, ``log(1 + r**2)``, which wild values do not impress.

    python examples/own_loss.py

One in ten measurements of a straight line is far off. The mean squared error lets them pull the
line away; a loss that grows with the logarithm does not. `forward` gives one value for each sample,
`backward` their gradients, and `check_gradients` tells whether they belong together.
"""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.losses import Loss
from fastnn.optimizers import Adam

SLOPE, OFFSET = 2.0, -1.0


class Cauchy(Loss):
    def forward(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.log1p((y_pred - y_true) ** 2).mean(axis=1)

    def backward(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        residuals = y_pred - y_true
        return 2 * residuals / (1 + residuals**2) / y_pred.shape[1]


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 1))
    y = SLOPE * x + OFFSET + rng.normal(scale=0.1, size=x.shape)
    y[::10] += 15
    print(f"the line:           y = {SLOPE:.3f} x + {OFFSET:.3f}")
    for name, loss in (("mean squared error", "mse"), ("Cauchy", Cauchy())):
        fastnn.utils.set_random_seed(0)
        model = Sequential([Dense(1, input_dim=1)])
        model.compile(Adam(0.02), loss)
        model.fit(x, y, epochs=200, verbose=0)
        slope, offset = model.layers[0].kernel[0, 0], model.layers[0].bias[0]
        print(f"{name:19} y = {slope:.3f} x + {offset:.3f}")
    check = fastnn.check_gradients(model, x[:8], y[:8])
    print(str(check).splitlines()[0])


if __name__ == "__main__":
    main()
