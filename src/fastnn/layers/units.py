"""Units that learn the shape of their activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import initializers, regularizers
from fastnn._validation import whole_number
from fastnn.activations import get as get_activation
from fastnn.layers._kernel import KernelLayer
from fastnn.layers._layer import Layer, Shape, features_of, known_width, row_width
from fastnn.program import DenseOp, LayerOp, Op

if TYPE_CHECKING:
    import numpy as np

    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer


class PReLU(Layer):
    """Leaky relu with a slope that is learned: x where x > 0, ``alpha * x`` elsewhere.

    Parameters
    ----------
    alpha_initializer : str, class, Initializer or config, default "zeros"
    alpha_regularizer : str, class, Regularizer or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Attributes
    ----------
    alpha : ndarray of the shape of a sample
        The slopes, one for each feature.

    References
    ----------
    K. He et al. (2015). Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification. arXiv:1502.01852.
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.alpha_initializer: Initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer: Regularizer | None = regularizers.get(alpha_regularizer)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self._build_shape is not None and self._build_shape[1:] != input_shape[1:]:
            raise ValueError(
                f"{self._title} expects samples of shape {self._build_shape[1:]}, "
                f"got samples of shape {input_shape[1:]}"
            )
        return input_shape

    def build(self, input_shape: Shape) -> None:
        self.add_weight(
            name="alpha",
            shape=tuple(size for size in input_shape[1:] if size is not None),
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
        )

    def lower(self, input_shape: Shape) -> list[Op]:
        width = features_of(input_shape)
        return [LayerOp("prelu", width, width, (self._weights["alpha"],))]

    @property
    def alpha(self) -> np.ndarray:
        return self._value("alpha")

    @alpha.setter
    def alpha(self, value: Any) -> None:
        self._assign("alpha", value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
        }


class Maxout(KernelLayer):
    """Units that give the largest of several linear functions of the input.

    With enough pieces a unit can take the form of any convex function.

    Parameters
    ----------
    units : int
        Width of the output.
    num_pieces : int, default 2
        Linear functions of each unit.
    use_bias : bool, default True
    kernel_initializer : str, class, Initializer or config, default "glorot_uniform"
    bias_initializer : str, class, Initializer or config, default "zeros"
    kernel_regularizer, bias_regularizer : str, class, Regularizer or config, optional
    kernel_constraint, bias_constraint : str, class, Constraint or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Attributes
    ----------
    kernel : ndarray of shape (features, num_pieces * units)
        Columns u, u + units, u + 2 units, ... belong to unit u.
    bias : ndarray of shape (num_pieces * units,), or None

    References
    ----------
    I. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville, Y. Bengio (2013). Maxout networks.
    arXiv:1302.4389.
    """

    def __init__(
        self,
        units: int,
        num_pieces: int = 2,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        self.units = whole_number(units, "units")
        self.num_pieces = whole_number(num_pieces, "num_pieces")
        self._choose(
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            kernel_constraint,
            bias_constraint,
        )
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known_width(self, input_shape)
        return (None, self.units)

    def build(self, input_shape: Shape) -> None:
        pieces = self.num_pieces * self.units
        self._add_kernel(row_width(self, input_shape), pieces)
        self._add_bias(pieces)

    def lower(self, input_shape: Shape) -> list[Op]:
        pieces = self.num_pieces * self.units
        kernel, bias = self._weights["kernel"], self._weights.get("bias")
        linear = get_activation(None)
        return [
            DenseOp(row_width(self, input_shape), pieces, kernel, bias, linear),
            LayerOp("maxout", pieces, self.units, (), {"pieces": self.num_pieces}),
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_pieces": self.num_pieces,
        }
