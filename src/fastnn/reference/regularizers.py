"""Penalties on weights that take more than a sum over them, and their gradients."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_orthogonal
from fastnn.reference._arrays import ieee_arithmetic

LEAST_NORM = 1e-7
"""Shorter vectors are divided by this instead of by their norm."""


@ieee_arithmetic()
def orthogonal_penalty(w: np.ndarray, *, factor: float = 0.01, mode: str = "rows") -> float:
    """Return `factor` times the mean magnitude of the cosines between different vectors of `w`.

    ::

        v[i] = w[i] / max(norm(w[i]), 1e-7)
        penalty = factor * mean over i < j of abs(v[i] @ v[j])

    A single vector has no penalty.

    Parameters
    ----------
    w : ndarray of float32 or float64, shape (m, n)
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
        What the vectors are.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `w` is not an array of a float type, or `factor` no number.
    ValueError
        If `w` does not have two axes, `factor` is out of range or `mode` is unknown.

    Notes
    -----
    The formula is that of Keras' ``OrthogonalRegularizer``, which gives NaN for one vector.

    Examples
    --------
    >>> orthogonal_penalty(np.array([[1.0, 0.0], [3.0, 4.0]]), factor=0.5)
    0.3
    """
    factor = check_orthogonal(w, factor, mode)
    units, _ = unit_vectors(w if mode == "rows" else w.T)
    gram = off_diagonal(units @ units.T)
    return share(factor, len(units)) * float(np.sum(np.abs(gram), dtype=np.float64))


@ieee_arithmetic()
def orthogonal_gradient(w: np.ndarray, *, factor: float = 0.01, mode: str = "rows") -> np.ndarray:
    """Return the gradient of `orthogonal_penalty` with respect to `w`.

    ::

        slope[i] = 2 * factor / (k * (k - 1)) * sum over j != i of sign(v[i] @ v[j]) * v[j]
        gradient[i] = (slope[i] - (slope[i] @ v[i]) * v[i]) / norm(w[i])

    for k vectors. Vectors of a norm of at most 1e-7 are divided by a constant, and the second
    term is missing.

    Parameters
    ----------
    w : ndarray of float32 or float64, shape (m, n)
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
        What the vectors are.

    Returns
    -------
    ndarray of the shape and dtype of `w`

    Raises
    ------
    TypeError
        If `w` is not an array of a float type, or `factor` no number.
    ValueError
        If `w` does not have two axes, `factor` is out of range or `mode` is unknown.

    Examples
    --------
    >>> orthogonal_gradient(np.array([[1.0, 0.0], [0.0, 2.0]]))
    array([[0., 0.],
           [0., 0.]])
    """
    factor = check_orthogonal(w, factor, mode)
    vectors = w if mode == "rows" else w.T
    units, norms = unit_vectors(vectors)
    slopes = np.sign(off_diagonal(units @ units.T)) @ units
    along = np.sum(slopes * units, axis=1, keepdims=True, dtype=np.float64)
    across = slopes - np.where(norms > LEAST_NORM, along, 0.0) * units
    scale = 2.0 * share(factor, len(units)) / np.maximum(norms, LEAST_NORM)
    gradient = (scale * across).astype(w.dtype)
    return gradient if mode == "rows" else np.ascontiguousarray(gradient.T)


def unit_vectors(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows divided by their norms, and these norms in float64, of shape (k, 1)."""
    norms = np.sqrt(np.sum(np.square(vectors, dtype=np.float64), axis=1, keepdims=True))
    return (vectors / np.maximum(norms, LEAST_NORM)).astype(vectors.dtype), norms


def off_diagonal(gram: np.ndarray) -> np.ndarray:
    """Return the matrix with zeros in its diagonal."""
    return gram * (1 - np.eye(len(gram), dtype=gram.dtype))


def share(factor: float, count: int) -> float:
    """Return the factor of each of ``count * (count - 1)`` ordered pairs."""
    return factor / (count * (count - 1)) if count > 1 else 0.0
