"""Means, variances and covariances of what comes bit by bit."""

from __future__ import annotations

import numpy as np

from fastnn.metrics._targets import ratio


class Moments:
    """Weighted means of m variables, and sums of products of the differences from these.

    The mean moves as values come, and the sums are carried over from one to the next, so that a
    mean far from 0 does no harm. A variable that does not vary has sums of exactly 0.

    Parameters
    ----------
    variables : int
        m.
    columns : int
        How often all is counted, each column for itself.

    Attributes
    ----------
    count : ndarray of shape (columns,)
        Sum of the weights.
    products : ndarray of shape (m, m, columns)
        For variables i and j the sum of weight * (x_i - mean_i) * (x_j - mean_j).

    References
    ----------
    T. F. Chan, G. H. Golub and R. J. LeVeque (1983). Algorithms for computing the sample
    variance: analysis and recommendations. The American Statistician 37(3), 242-247.

    Examples
    --------
    >>> moments = Moments(1, 1)
    >>> moments.add(np.array([[[1.0], [3.0]]]), np.ones((2, 1)))
    >>> moments.add(np.array([[[5.0]]]), np.ones((1, 1)))
    >>> moments.means, moments.products
    (array([[3.]]), array([[[8.]]]))
    """

    def __init__(self, variables: int, columns: int) -> None:
        self.count = np.zeros(columns)
        self.products = np.zeros((variables, variables, columns))
        self._mean = np.zeros((variables, columns))
        self._origin: np.ndarray | None = None

    @property
    def means(self) -> np.ndarray:
        """The means, shape (m, columns)."""
        return self._mean if self._origin is None else self._origin + self._mean

    def add(self, values: np.ndarray, weights: np.ndarray) -> None:
        """Add n values of each variable in each column.

        Parameters
        ----------
        values : ndarray of float64, shape (m, n, columns)
        weights : ndarray of float64, shape (n, columns)
        """
        if not len(weights):
            return
        if self._origin is None:
            self._origin = values[:, 0].copy()
        values = values - self._origin[:, np.newaxis]
        count = weights.sum(axis=0)
        mean = ratio((weights * values).sum(axis=1), count)
        off = values - mean[:, np.newaxis]
        share = ratio(count, self.count + count)
        step = mean - self._mean
        self.products += np.einsum("nc,inc,jnc->ijc", weights, off, off)
        self.products += step[:, np.newaxis] * step * share * self.count
        self._mean += step * share
        self.count += count
