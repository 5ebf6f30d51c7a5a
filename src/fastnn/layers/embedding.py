"""Layers that put rows of numbers in the place of categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import initializers, regularizers
from fastnn._validation import whole_number
from fastnn.layers._layer import Layer, Shape, row_width
from fastnn.program import LayerOp, Op

if TYPE_CHECKING:
    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer

_NUMERIC = (-1, 1, 1)
"""A column without a table."""

_EXACT = {4: 2**24, 8: 2**53}
"""Whole numbers below it are exact, by bytes of the float type."""


class Embedding(Layer):
    """Puts a learned row of numbers in the place of each index: a linear layer by look-up.

    Parameters
    ----------
    input_dim : int
        Number of categories; indices are 0, ..., input_dim - 1.
    output_dim : int
        Numbers in a row.
    embeddings_initializer : str, class, Initializer or config, default "uniform"
    embeddings_regularizer : str, class, Regularizer or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``: see `Layer`.

    Attributes
    ----------
    embeddings : ndarray of shape (input_dim, output_dim)

    Notes
    -----
    Input of shape (n, columns) gives (n, columns, output_dim): a `Flatten` or `SimpleRNN` layer
    comes next. An index out of range raises before anything is computed, where the layer comes
    first; further up, it gives NaN.

    Only rows that a batch names have a gradient. `SGD` without momentum and `Adagrad`, both without
    weight decay, visit no others of a large table, in batches of up to 512 rows, if the table has
    no regularizer and gradients are neither clipped nor accumulated. Other optimizers move every
    row.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, Embedding, Flatten
    >>> model = Sequential([Embedding(1000, 8, input_shape=(3,)), Flatten(), Dense(1)])
    >>> model.output_shape
    (None, 1)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.input_dim = whole_number(input_dim, "input_dim")
        self.output_dim = whole_number(output_dim, "output_dim")
        self.embeddings_initializer: Initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer: Regularizer | None = regularizers.get(embeddings_regularizer)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, row_width(self, input_shape), self.output_dim)

    def build(self, input_shape: Shape) -> None:
        self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )

    def lower(self, input_shape: Shape) -> list[Op]:
        columns = row_width(self, input_shape)
        options = {"columns": ((0, self.input_dim, self.output_dim),) * columns}
        width = columns * self.output_dim
        return [LayerOp("embedding", columns, width, (self._weights["embeddings"],), options)]

    def check_inputs(self, x: np.ndarray) -> None:
        if not _are_indices(x, self.input_dim).all() or self.input_dim > _EXACT[x.itemsize]:
            for j in range(x.shape[1]):
                _check_indices(x[:, j], self.input_dim, j, self._title)

    @property
    def embeddings(self) -> np.ndarray:
        return self._value("embeddings")

    @embeddings.setter
    def embeddings(self, value: Any) -> None:
        self._assign("embeddings", value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
        }


class CategoricalEmbedding(Layer):
    """Embeds the categorical columns of a table, each in its own way, and passes on the others.

    Parameters
    ----------
    cardinalities : dict of int to int
        Number of categories of each categorical column, by the column's number. Its values are
        0, ..., cardinality - 1.
    output_dims : dict of int to int, int or None, default None
        Numbers that take the place of a category, for each column or for all. None chooses
        ``min(600, round(1.6 * cardinality**0.56))``.
    embeddings_initializer : str, class, Initializer or config, default "uniform"
    embeddings_regularizer : str, class, Regularizer or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Notes
    -----
    The output has the columns in their order, with several numbers in the place of each category.
    An index out of range raises before anything is computed, where the layer comes first.

    References
    ----------
    C. Guo, F. Berkhahn (2016). Entity embeddings of categorical variables. arXiv:1604.06737.
    J. Howard, S. Gugger (2020). fastai: a layered API for deep learning (the default widths).

    Examples
    --------
    Column 0 has 3 categories, column 2 has 10, column 1 is a number:

    >>> from fastnn import Sequential
    >>> from fastnn.layers import CategoricalEmbedding, Dense
    >>> table = CategoricalEmbedding({0: 3, 2: 10}, output_dims={0: 2, 2: 4}, input_dim=3)
    >>> Sequential([table, Dense(1)]).layer_output_shapes
    [(None, 7), (None, 1)]
    """

    def __init__(
        self,
        cardinalities: Mapping[int, int],
        output_dims: Mapping[int, int] | int | None = None,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.cardinalities = _by_column(cardinalities, "cardinalities")
        if output_dims is None:
            self.output_dims = {j: _usual_width(n) for j, n in self.cardinalities.items()}
        elif isinstance(output_dims, Mapping):
            self.output_dims = _by_column(output_dims, "output_dims")
        else:
            width = whole_number(output_dims, "output_dims")
            self.output_dims = dict.fromkeys(self.cardinalities, width)
        if self.output_dims.keys() != self.cardinalities.keys():
            raise ValueError(
                f"output_dims must name the columns {sorted(self.cardinalities)} that "
                f"cardinalities name, got {sorted(self.output_dims)}"
            )
        self.embeddings_initializer: Initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer: Regularizer | None = regularizers.get(embeddings_regularizer)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, sum(width for _, _, width in self._columns(input_shape)))

    def _columns(self, input_shape: Shape) -> tuple[tuple[int, int, int], ...]:
        """Return table, rows and width of each column."""
        columns = row_width(self, input_shape)
        if self._build_shape is not None and self._build_shape[-1] != columns:
            raise ValueError(
                f"{self._title} expects inputs of shape (n, {self._build_shape[-1]}), "
                f"got (n, {columns})"
            )
        last = max(self.cardinalities)
        if last >= columns:
            raise ValueError(
                f"{self._title} embeds column {last} and got inputs of {columns} columns, "
                f"0 to {columns - 1}"
            )
        tables = {j: table for table, j in enumerate(self.cardinalities)}
        return tuple(
            (tables[j], self.cardinalities[j], self.output_dims[j]) if j in tables else _NUMERIC
            for j in range(columns)
        )

    def build(self, input_shape: Shape) -> None:
        for j, cardinality in self.cardinalities.items():
            self.add_weight(
                name=f"embeddings_{j}",
                shape=(cardinality, self.output_dims[j]),
                initializer=self.embeddings_initializer,
                regularizer=self.embeddings_regularizer,
            )

    def lower(self, input_shape: Shape) -> list[Op]:
        columns = self._columns(input_shape)
        width = sum(width for _, _, width in columns)
        tables = tuple(self._weights[f"embeddings_{j}"] for j in self.cardinalities)
        return [LayerOp("embedding", len(columns), width, tables, {"columns": columns})]

    def check_inputs(self, x: np.ndarray) -> None:
        for j, cardinality in self.cardinalities.items():
            _check_indices(x[:, j], cardinality, j, self._title)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cardinalities": self.cardinalities,
            "output_dims": self.output_dims,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
        }


def _by_column(given: Mapping[int, int], what: str) -> dict[int, int]:
    """Return numbers by column, in the order of columns; JSON makes strings of column numbers."""
    if not isinstance(given, Mapping) or not given:
        raise TypeError(
            f"{what} must be a dict of columns to numbers such as {{0: 3}}, got {given!r}"
        )
    pairs = [
        (whole_number(int(j) if isinstance(j, str) else j, f"a column in {what}", 0), n)
        for j, n in given.items()
    ]
    return {j: whole_number(n, f"{what}[{j}]") for j, n in sorted(pairs)}


def _usual_width(cardinality: int) -> int:
    return min(600, max(1, round(1.6 * cardinality**0.56)))


def _are_indices(x: np.ndarray, cardinality: int) -> np.ndarray:
    return (x >= 0) & (x < cardinality) & (x == np.floor(x))


def _check_indices(x: np.ndarray, cardinality: int, column: int, owner: str) -> None:
    wrong = ~_are_indices(x, cardinality)
    if cardinality > _EXACT[x.itemsize]:
        raise ValueError(
            f"{owner} has {cardinality} categories, more than {x.dtype} can tell apart: "
            "make the model with dtype='float64'"
        )
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{owner} expects whole numbers from 0 to {cardinality - 1} in column {column}, "
            f"got {x[row]} in row {row}"
        )
