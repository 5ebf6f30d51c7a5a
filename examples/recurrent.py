"""Recurrence: a memory that lasts longer than any sequence that it was trained on.

    python examples/recurrent.py [PICTURE]

A line is silent but for noise; now and then comes a signal, up or down. Which was the last? A
feed-forward network is given all steps of a sequence at once, as so many inputs, and learns each of
them for itself; what came before its first input it cannot know. A recurrent layer sees one step at
a time, and can only answer by a state that it keeps. With an eighth of the weights it is right more
often, and it still is after silences far longer than its training was. (Gradients that go back
through many steps can grow large: they are clipped.)
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import Dense, Flatten, SimpleRNN
from fastnn.optimizers import Adam

STEPS = 20
LONG = 200
SILENCES = np.arange(0, 101, 5)
RATE, NOISE = 0.1, 0.1


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "recurrent.png"
    rng = np.random.default_rng(0)
    x, y = signals(1000, STEPS, rng)
    x_test, y_test = signals(2000, STEPS, rng)
    fastnn.utils.set_random_seed(0)
    flat = Sequential([Input((STEPS, 1)), Flatten(), Dense(16, "tanh"), Dense(1, "sigmoid")])
    recurrent = Sequential([Input((STEPS, 1)), SimpleRNN(5, "tanh"), Dense(1, "sigmoid")])
    curves = {}
    for name, model in (("feed-forward", flat), ("recurrent", recurrent)):
        model.compile(Adam(0.005, clipnorm=0.5), "binary_crossentropy", ["accuracy"])
        history = model.fit(
            x, y, batch_size=25, epochs=60, verbose=0, validation_data=(x_test, y_test)
        )
        curves[name] = history.history["val_accuracy"]
        print(
            f"{name:12} {model.count_params():3} weights; right about {curves[name][-1]:.2%} of "
            f"{len(x_test)} new sequences of {STEPS} steps"
        )

    longer = Sequential([Input((LONG, 1)), *recurrent.layers])  # the same weights
    kept = {"feed-forward": [], "recurrent": []}
    for silence in SILENCES:
        x_long, y_long = signals(1000, LONG, rng, silence)
        kept["feed-forward"].append(share_right(flat, x_long[:, -STEPS:], y_long))
        kept["recurrent"].append(share_right(longer, x_long, y_long))
    for name, shares in kept.items():
        print(f"{name:12} after {SILENCES[-1]} steps of silence: {shares[-1]:.1%} right")

    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for name in curves:
        left.plot(range(1, len(curves[name]) + 1), curves[name], label=name)
        right.plot(SILENCES, kept[name], label=name)
    left.set(title=f"New sequences of {STEPS} steps", xlabel="epoch", ylabel="share right")
    right.set(title="How long the last signal is remembered", xlabel="steps since the signal")
    right.axvline(STEPS, color="grey", linestyle=":", label="steps in training")
    right.axhline(0.5, color="lightgrey", label="a guess")
    left.legend()
    right.legend()
    plt.savefig(picture)
    print(f"Picture: {picture}")


def signals(
    n: int, steps: int, rng: np.random.Generator, silence: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` sequences, and whether the last signal of each was up (1) or down (0).

    The last signal comes `silence` steps before the end, or, if that is None, anywhere.
    """
    direction = np.where(rng.random((n, steps)) < 0.5, -1.0, 1.0)
    sent = rng.random((n, steps)) < RATE
    sent[:, 0] = True
    if silence is not None:
        last = steps - 1 - silence
        sent[:, last] = True
        sent[:, last + 1 :] = False
    noise = rng.normal(scale=NOISE, size=(n, steps))
    last = steps - 1 - sent[:, ::-1].argmax(axis=1)
    y = direction[np.arange(n), last] > 0
    return (sent * direction + noise)[..., np.newaxis], y.astype(float)


def share_right(model: Sequential, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((model.predict(x, verbose=0)[:, 0] > 0.5) == y))


if __name__ == "__main__":
    main()
