"""Embeddings: what a penguin weighs, from measurements and categories in one table.

    python examples/embedding.py [PICTURE]

Species, island, sex and year are categories: they have no order and no size. One-hot columns give
each category an input of its own; an embedding gives it a few numbers that the network learns. Both
tell a penguin's mass far better than its measurements alone, on penguins that were not trained on.
The vectors can be looked at: categories that say the same of a penguin's mass come to lie together.

What is missing is not hidden: penguins that were not measured are left out, and counted; a sex
that is not known is a category of its own. The penguins are those of data/README.md.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import CategoricalEmbedding, Dense, Layer
from fastnn.optimizers import Adam

FILE = Path(__file__).parent / "data" / "penguins.csv"
CATEGORIES = ("species", "island", "sex", "year")
MEASURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm")
TARGET = "body_mass_g"
FOLDS = 5


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "embedding.png"
    penguins = measured(FILE)
    names = [sorted({penguin[column] for penguin in penguins}) for column in CATEGORIES]
    codes = np.array(
        [
            [known.index(penguin[column]) for column, known in zip(CATEGORIES, names, strict=True)]
            for penguin in penguins
        ]
    )
    numbers = np.array([[float(penguin[column]) for column in MEASURES] for penguin in penguins])
    mass = np.array([float(penguin[TARGET]) for penguin in penguins]) / 1000

    sizes = [len(known) for known in names]
    one_hot = np.hstack([np.eye(n)[code] for n, code in zip(sizes, codes.T, strict=True)])
    table = CategoricalEmbedding(dict(enumerate(sizes)), output_dims=2)
    print(f"root mean squared error on penguins not trained on, {FOLDS} folds")
    for what, x, first in (
        ("measurements alone", numbers, []),
        ("with one-hot columns", np.hstack([one_hot, numbers]), []),
        ("with embeddings", np.hstack([codes, numbers]), [table]),
    ):
        model, errors = cross_validated(x, mass, first)
        print(f"    {what:21} {1000 * np.sqrt(np.mean(errors**2)):4.0f} g")

    tables = model.layers[0].get_weights()
    print("the two categories whose numbers are closest:")
    for column, vectors, known in zip(CATEGORIES, tables, names, strict=True):
        print(f"    {column:21} {' and '.join(closest(vectors, known))}")
    draw(tables, names)
    plt.savefig(picture)
    print(f"Picture: {picture}")


def measured(file: Path) -> list[dict[str, str]]:
    """Return the penguins that were measured, as rows by column; say what is missing."""
    with file.open(encoding="utf-8", newline="") as lines:
        penguins = list(csv.DictReader(lines))
    kept = [p for p in penguins if "NA" not in [p[column] for column in (*MEASURES, TARGET)]]
    unknown = [penguin for penguin in kept if penguin["sex"] == "NA"]
    print(f"{len(penguins)} penguins, {len(penguins) - len(kept)} not measured and left out")
    print(f"{len(unknown)} of an unknown sex, which is a category too")
    for penguin in unknown:
        penguin["sex"] = "unknown"
    return kept


def cross_validated(
    x: np.ndarray, y: np.ndarray, first: Sequence[Layer]
) -> tuple[Sequential, np.ndarray]:
    """Return the last model, and each row's error by the one model that had not seen it."""
    fold = np.random.default_rng(0).permutation(len(x)) % FOLDS
    errors = np.empty(len(x))
    for held_out in range(FOLDS):
        test, rest = fold == held_out, fold != held_out
        scaled = standardised(x, rest)
        model = trained(scaled[rest], y[rest], first)
        errors[test] = model.predict(scaled[test], verbose=0)[:, 0] - y[test]
    return model, errors


def standardised(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return `x` with its measurements, the last columns, on the scale of those of `rows`."""
    numbers = x[:, -len(MEASURES) :]
    known = numbers[rows]
    scaled = (numbers - known.mean(axis=0)) / known.std(axis=0)
    return np.hstack([x[:, : -len(MEASURES)], scaled])


def trained(x: np.ndarray, y: np.ndarray, first: Sequence[Layer]) -> Sequential:
    fastnn.utils.set_random_seed(0)
    below = [type(layer).from_config(layer.get_config()) for layer in first]
    model = Sequential([Input((x.shape[1],)), *below, Dense(16, "tanh"), Dense(1)])
    model.compile(Adam(0.01, weight_decay=0.01), "mse")
    model.fit(x, y, batch_size=32, epochs=100, verbose=0)
    return model


def closest(vectors: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
    """Return the names of the two vectors that have the least distance."""
    distances = np.linalg.norm(vectors[:, np.newaxis] - vectors, axis=-1)
    np.fill_diagonal(distances, np.inf)
    i, j = np.unravel_index(distances.argmin(), distances.shape)
    return names[i], names[j]


def draw(tables: Sequence[np.ndarray], names: Sequence[Sequence[str]]) -> None:
    """Draw the two numbers that the network has learned for each category."""
    _, axes = plt.subplots(2, 2, figsize=(9, 8), sharex=True, sharey=True, layout="constrained")
    for ax, column, table, known in zip(axes.flat, CATEGORIES, tables, names, strict=True):
        ax.axhline(0, color="lightgrey", zorder=0)
        ax.axvline(0, color="lightgrey", zorder=0)
        for name, point in zip(known, table, strict=True):
            ax.scatter(*point, label=name, s=60)
        ax.legend()
        ax.set(title=column, xlabel="first number", ylabel="second number", aspect="equal")


if __name__ == "__main__":
    main()
