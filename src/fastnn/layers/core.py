"""The layers that every network has: its input, dense layers, activations, reshaping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn import activations, regularizers
from fastnn._validation import feature_shape, whole_number
from fastnn.layers._kernel import KernelLayer
from fastnn.layers._layer import Layer, Shape, features_of, known_width, row_width
from fastnn.program import ActivationOp, DenseOp, LayerOp, Op

if TYPE_CHECKING:
    from fastnn.activations import ActivationFunction
    from fastnn.regularizers import Regularizer


class Input(Layer):
    """The shape of one sample, where a model begins.

    Parameters
    ----------
    shape : sequence of int
        Without the number of samples: ``(4,)``, ``(28, 28)``.
    name : str, optional

    Examples
    --------
    >>> from fastnn import Input, Sequential
    >>> from fastnn.layers import Dense
    >>> Sequential([Input(shape=(4,)), Dense(3)]).output_shape
    (None, 3)
    """

    def __init__(self, shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name=name)
        self._given_shape = feature_shape(shape, "shape")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        return []

    def get_config(self) -> dict[str, Any]:
        assert self._given_shape is not None
        return {"name": self.name, "shape": list(self._given_shape)}


class Dense(KernelLayer):
    """Fully connected layer: ``y = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Width of the output; with ``activation="glu"``, which halves it, twice that.
    activation : str, class, ActivationFunction or config, optional
        Default: linear.
    use_bias : bool, default True
    kernel_initializer : str, class, Initializer or config, default "glorot_uniform"
    bias_initializer : str, class, Initializer or config, default "zeros"
    kernel_regularizer, bias_regularizer : str, class, Regularizer or config, optional
        Penalty added to the training loss.
    activity_regularizer : str, class, L1, L2, L1L2 or config, optional
        Penalty on the output: see `ActivityRegularization`, which stands for it in the program. A
        softmax or sigmoid at the end is then no longer fused with its cross-entropy.
    kernel_constraint, bias_constraint : str, class, Constraint or config, optional
        What they are held to after each step of training.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``, ``dtype``: see `Layer`.

    Attributes
    ----------
    kernel : ndarray of shape (features, units)
        Read-only view, always current; assign an array of that shape to set it.
    bias : ndarray of shape (units,), or None
        Likewise; None without `use_bias`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, out of range or unknown.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(3, activation="softmax", input_dim=8)])
    >>> model.layers[0].kernel.shape
    (8, 3)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        self.units = whole_number(units, "units")
        self.activation: ActivationFunction = activations.get(activation)
        self.activation.output_width(self.units)  # which it may refuse
        self.activity_regularizer: Regularizer | None = regularizers.get(activity_regularizer)
        _check_known(self.activity_regularizer)
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
        return (None, self.activation.output_width(self.units))

    def build(self, input_shape: Shape) -> None:
        self._add_kernel(row_width(self, input_shape), self.units)
        self._add_bias(self.units)

    def lower(self, input_shape: Shape) -> list[Op]:
        kernel, bias = self._weights["kernel"], self._weights.get("bias")
        width, outputs = row_width(self, input_shape), self.activation.output_width(self.units)
        dense = DenseOp(width, outputs, kernel, bias, self.activation)
        return [dense, *activity_ops(self.activity_regularizer, outputs)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }


def _check_known(regularizer: Regularizer | None) -> None:
    """Raise ValueError if the penalty is not one that the program has for activities."""
    known = regularizers.L1, regularizers.L2, regularizers.L1L2
    if regularizer is None or (isinstance(regularizer, known) and regularizer.kernel):
        return
    raise ValueError(f"activity_regularizer must be L1, L2 or L1L2, got {regularizer!r}")


def activity_ops(regularizer: Regularizer | None, width: int) -> list[Op]:
    """Return the op that penalises outputs of this width, if there is anything to penalise."""
    if regularizer is None or not (regularizer.l1 or regularizer.l2):
        return []
    return [LayerOp("activity_regularization", width, width, (), regularizer.options)]


class Activation(Layer):
    """An activation on its own: ``y = activation(x)``.

    Parameters
    ----------
    activation : str, class, ActivationFunction or config
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``, ``dtype``: see `Layer`.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        self.activation: ActivationFunction = activations.get(activation)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, self.activation.output_width(row_width(self, input_shape)))

    def lower(self, input_shape: Shape) -> list[Op]:
        if is_identity(self.activation):
            return []
        width = row_width(self, input_shape)
        return [ActivationOp(width, self.activation.output_width(width), self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Flatten(Layer):
    """Makes one row of each sample, in C order: (n, 28, 28) becomes (n, 784).

    Parameters
    ----------
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``, ``dtype``: see `Layer`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, features_of(input_shape))

    def lower(self, input_shape: Shape) -> list[Op]:
        return []  # the program works on flat rows from the start


class Reshape(Layer):
    """Gives each sample another shape, in C order.

    Parameters
    ----------
    target_shape : sequence of int
        Without the number of samples. One size may be -1: what is left over.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Examples
    --------
    >>> from fastnn.layers import Reshape
    >>> Reshape((2, -1)).compute_output_shape((None, 6))
    (None, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        if not isinstance(target_shape, Sequence):
            raise TypeError(
                f"target_shape must be a sequence of sizes such as (3, 4), got {target_shape!r}"
            )
        sizes = [None if size == -1 else size for size in target_shape]
        if sizes.count(None) > 1:
            raise ValueError(f"only one size may be -1, got target_shape={target_shape!r}")
        known = feature_shape([1 if size is None else size for size in sizes], "target_shape")
        self.target_shape = tuple(-1 if s is None else k for s, k in zip(sizes, known, strict=True))
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        features = features_of(input_shape)
        known = math.prod(size for size in self.target_shape if size != -1)
        rest = features // known
        if known * (rest if -1 in self.target_shape else 1) != features:
            raise ValueError(
                f"{self._title} makes samples of shape {self.target_shape}, got samples of "
                f"shape {input_shape[1:]}, which have {features} numbers"
            )
        return (None, *(rest if size == -1 else size for size in self.target_shape))

    def lower(self, input_shape: Shape) -> list[Op]:
        return []  # the program works on flat rows

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": list(self.target_shape)}


def is_identity(activation: ActivationFunction) -> bool:
    """Whether `activation` returns its input."""
    return activation.builtin and activation.name == "linear"
