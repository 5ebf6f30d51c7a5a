"""The losses of the kernels with their options, and data that they can be given."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import OUTPUTS_PER_TARGET

CASES: list[tuple[str, dict[str, Any]]] = [
    ("mean_squared_error", {}),
    ("mean_absolute_error", {}),
    ("mean_absolute_percentage_error", {}),
    ("mean_squared_logarithmic_error", {}),
    ("huber", {}),
    ("huber", {"delta": 0.3}),
    ("log_cosh", {}),
    ("quantile_loss", {}),
    ("quantile_loss", {"quantile": 0.9}),
    ("cosine_similarity", {}),
    ("poisson", {}),
    ("tweedie", {}),
    ("tweedie", {"power": 1.2}),
    ("tweedie", {"power": 1.9, "log_link": True}),
    ("gaussian_nll", {}),
    ("gaussian_nll", {"full": True}),
    ("hinge", {}),
    ("squared_hinge", {}),
    ("categorical_hinge", {}),
    ("perceptron_loss", {}),
    ("binary_crossentropy", {}),
    ("binary_crossentropy", {"label_smoothing": 0.2}),
    ("binary_crossentropy", {"from_logits": True}),
    ("binary_crossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    ("binary_focal_crossentropy", {}),
    ("binary_focal_crossentropy", {"gamma": 0.5, "label_smoothing": 0.2}),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "alpha": 0.7}),
    ("binary_focal_crossentropy", {"from_logits": True}),
    ("binary_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.2, "gamma": 1.5}),
    ("binary_focal_crossentropy", {"from_logits": True, "apply_class_balancing": True}),
    ("categorical_crossentropy", {}),
    ("categorical_crossentropy", {"label_smoothing": 0.2}),
    ("categorical_crossentropy", {"from_logits": True}),
    ("categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    ("categorical_focal_crossentropy", {}),
    ("categorical_focal_crossentropy", {"alpha": 2.0, "gamma": 1.5, "label_smoothing": 0.2}),
    ("categorical_focal_crossentropy", {"from_logits": True, "gamma": 0.0}),
    ("categorical_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    ("sparse_categorical_crossentropy", {}),
    ("sparse_categorical_crossentropy", {"from_logits": True}),
    ("kl_divergence", {}),
]
IDS = [f"{loss}-{options}" for loss, options in CASES]
SIGNED = ("quantile_loss", "log_cosh", "huber", "cosine_similarity", "gaussian_nll")
POSITIVE = ("poisson", "tweedie")


def targets_and_predictions(
    rng: np.random.Generator,
    loss: str,
    options: dict[str, Any],
    n: int,
    k: int,
    dtype: Any = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what suits the loss, k columns of targets wide."""
    shape = n, OUTPUTS_PER_TARGET.get(loss, 1) * k
    labels = rng.integers(k, size=n).astype(np.int32)
    y_pred = rng.normal(scale=2, size=shape)
    if not options.get("from_logits") and ("crossentropy" in loss or loss == "kl_divergence"):
        y_pred = rng.uniform(0.05, 0.95, size=shape)
    if loss in POSITIVE and not options.get("log_link"):
        y_pred = rng.uniform(0.1, 5, size=shape)
    if loss == "mean_squared_logarithmic_error":
        y_pred = np.where(y_pred < 0, y_pred - 0.1, y_pred + 0.1)  # not at the clip
    y_pred = y_pred.astype(dtype)
    if loss == "sparse_categorical_crossentropy":
        return labels, y_pred
    if loss.startswith("categorical"):
        return np.eye(k, dtype=dtype)[labels], y_pred
    if loss.startswith("mean") or loss in SIGNED:
        return rng.normal(size=(n, k)).astype(dtype), y_pred
    if loss == "kl_divergence":
        return rng.dirichlet(np.ones(k), size=n).astype(dtype), y_pred
    largest = 4 if loss in POSITIVE else 2
    return rng.integers(largest, size=(n, k)).astype(dtype), y_pred
