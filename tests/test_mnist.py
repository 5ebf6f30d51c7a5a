"""MNIST from end to end, where its file lies beside the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import Sequential
from fastnn.datasets import load_mnist
from fastnn.layers import Dense

FILE = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FILE.exists(), reason=f"MNIST is not there: {FILE.name} beside this tree"
    ),
]


def test_a_hidden_layer_reads_mnist():
    (x_train, y_train), (x_test, y_test) = load_mnist(FILE)
    x_train, x_test = (x.reshape(len(x), -1) / np.float32(255) for x in (x_train, x_test))
    model = Sequential([Dense(128, "relu", input_dim=784), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=128, epochs=10, verbose=0)
    assert model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"] >= 0.975


def test_the_example_reaches_98_per_cent():
    finished = subprocess.run(
        [sys.executable, str(EXAMPLE), str(FILE), "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert float(finished.stdout.split()[-1]) >= 0.98
