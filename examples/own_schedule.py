"""A learning-rate schedule of one's own: up and down in triangles.

    python examples/own_schedule.py

A schedule is the learning rate as a function of the number of finished steps. This one goes from
`low` to `high` and back, again and again (Smith 2017), and ends low. On the way it passes
heights at which training would not succeed if the rate stayed there.
"""

from __future__ import annotations

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.optimizers import SGD
from fastnn.schedules import LearningRateSchedule

EPOCHS, BATCH_SIZE = 20, 32
LOW, HIGH = 0.001, 1.5


class Triangles(LearningRateSchedule):
    def __init__(self, low: float, high: float, half_period: int) -> None:
        self.low, self.high, self.half_period = low, high, half_period

    def __call__(self, step: int) -> float:
        phase = step / self.half_period % 2
        height = phase if phase <= 1 else 2 - phase
        return self.low + (self.high - self.low) * height


def main() -> None:
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    steps = EPOCHS * -(-len(x_train) // BATCH_SIZE)
    triangles = Triangles(LOW, HIGH, steps // 8)
    rates = ", ".join(f"{triangles(step):.2f}" for step in range(0, 300, 50))
    print(f"learning rate before steps 0, 50, ...: {rates}")
    for name, rate in ((f"{LOW}", LOW), (f"{HIGH}", HIGH), ("triangles", triangles)):
        fastnn.utils.set_random_seed(0)
        model = Sequential([Dense(64, "relu", input_dim=64), Dense(10, "softmax")])
        model.compile(SGD(rate), "sparse_categorical_crossentropy", ["accuracy"])
        model.fit(x_train / 16, y_train, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
        loss, accuracy = model.evaluate(x_test / 16, y_test, verbose=0)
        print(f"learning rate {name:9} test loss {loss:.4f}, test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
