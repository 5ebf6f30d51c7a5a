"""An optimizer of one's own, written in NumPy, in either engine.

    python examples/own_optimizer.py [--seed N]

AdaBelief (J. Zhuang et al., 2020, "AdaBelief optimizer: adapting stepsizes by the belief in
observed gradients") is Adam with the spread of the gradient about its moving mean in the place of
its mean square: where gradients keep to what was expected, it takes longer steps. A dozen lines
say so; clipping, weight decay, averages of weights and schedules come with the base class.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.optimizers import Adam, Optimizer


class AdaBelief(Optimizer):
    """Adam that divides by how far gradients are from their moving mean."""

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **options):
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    @property
    def slot_values(self):
        return (0.0, 0.0)

    def update_step(self, gradient, variable, learning_rate, mean, spread):
        step = self.iterations + 1
        mean += (1 - self.beta_1) * (gradient - mean)
        spread += (1 - self.beta_2) * ((gradient - mean) ** 2 - spread) + self.epsilon
        unbiased_mean = mean / (1 - self.beta_1**step)
        unbiased_spread = spread / (1 - self.beta_2**step)
        variable -= learning_rate * unbiased_mean / (np.sqrt(unbiased_spread) + self.epsilon)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    own, accuracy, seconds = trained(AdaBelief(0.003), "native", seed)
    print(f"AdaBelief, native engine: test accuracy {accuracy:.4f}, {seconds:.2f} s")
    _, accuracy, usual = trained(Adam(0.003), "native", seed)
    print(f"Adam, native engine:      test accuracy {accuracy:.4f}, {usual:.2f} s")
    reference, _, _ = trained(AdaBelief(0.003), "reference", seed)
    farthest = max(
        np.abs(a - b).max() for a, b in zip(own.get_weights(), reference.get_weights(), strict=True)
    )
    print(f"AdaBelief, largest difference between the weights of the two engines: {farthest:.1e}")


def trained(optimizer: Optimizer, engine: str, seed: int) -> tuple[Sequential, float, float]:
    """Return a network that has learnt to read digits, its test accuracy, and the seconds taken."""
    (x_train, y_train), (x_test, y_test) = fastnn.datasets.load_digits()
    fastnn.utils.set_random_seed(seed)
    layers = [Dense(64, "tanh", input_dim=x_train.shape[1]), Dense(10, "softmax")]
    model = Sequential(layers, engine=engine, dtype="float64")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = perf_counter()
    model.fit(x_train / 16, y_train, epochs=15, verbose=0)
    seconds = perf_counter() - start
    accuracy = model.evaluate(x_test / 16, y_test, verbose=0, return_dict=True)["accuracy"]
    return model, accuracy, seconds


if __name__ == "__main__":
    main()
