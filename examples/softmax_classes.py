"""Three classes by softmax: what a flower is, from the length and width of its petals.

    python examples/softmax_classes.py [PICTURE]

The outputs are the probabilities of the classes. The flowers are Fisher's irises (1936), if
scikit-learn, which has them, is installed; else three clouds of points.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Sequential, plotting
from fastnn.layers import Dense
from fastnn.optimizers import Adam


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "softmax_classes.png"
    x, y, names, features = flowers()
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[30:], order[:30]
    fastnn.utils.set_random_seed(0)
    model = Sequential([Dense(8, "tanh", input_dim=2), Dense(3, "softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(
        x[train], y[train], epochs=150, verbose=0, validation_data=(x[test], y[test])
    )
    accuracy = history.history["val_accuracy"][-1]
    print(f"accuracy on {len(test)} flowers not trained on: {accuracy:.3f}")
    for i in test[:5]:
        shares = model.predict(x[i : i + 1], verbose=0)[0]
        said = ", ".join(f"{name} {share:.3f}" for name, share in zip(names, shares, strict=True))
        print(f"    {names[y[i]]:11} was given: {said}; sum {shares.sum():.3f}")

    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    ax = plotting.decision_boundary(model, x, y, ax=left)
    ax.set(xlabel=features[0], ylabel=features[1], title="The most probable class")
    for text, name in zip(ax.get_legend().get_texts(), names, strict=True):
        text.set_text(name)
    plotting.learning_curves(history, ax=right)
    plt.savefig(picture)
    print(f"Picture: {picture}")


def flowers() -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Return two features of each flower, its class, and the names of classes and features."""
    try:
        from sklearn.datasets import load_iris
    except ImportError:
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1, 2], 50)
        x = np.array([[0, 0], [3, 1], [5, 3]])[y] + rng.normal(size=(150, 2))
        return x, y, ["A", "B", "C"], ["feature 1", "feature 2"]
    iris = load_iris()
    return iris.data[:, 2:], iris.target, iris.target_names.tolist(), iris.feature_names[2:]


if __name__ == "__main__":
    main()
