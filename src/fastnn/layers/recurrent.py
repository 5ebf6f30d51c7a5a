"""The recurrent contrast to feed-forward layers: output that goes back into the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn._checks import ROW_ACTIVATIONS
from fastnn._validation import whole_number
from fastnn.layers._kernel import KernelLayer
from fastnn.layers._layer import Shape
from fastnn.program import LayerOp, Op

if TYPE_CHECKING:
    import numpy as np

    from fastnn.activations import ActivationFunction
    from fastnn.constraints import Constraint
    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer


class SimpleRNN(KernelLayer):
    """Fully connected recurrent layer: its output at one step is part of its input at the next.

    ``h_t = activation(x_t @ kernel + h_{t-1} @ recurrent_kernel + bias)``, with ``h_0`` zero before
    the first step. Gradients go back through all steps.

    Parameters
    ----------
    units : int
        Width of the state.
    activation : str, class, ActivationFunction or config, default "tanh"
        One of fastnn's that work element by element.
    use_bias : bool, default True
    kernel_initializer : str, class, Initializer or config, default "glorot_uniform"
    recurrent_initializer : str, class, Initializer or config, default "orthogonal"
    bias_initializer : str, class, Initializer or config, default "zeros"
    kernel_regularizer : str, class, Regularizer or config, optional
    recurrent_regularizer, bias_regularizer : str, class, Regularizer or config, optional
    kernel_constraint : str, class, Constraint or config, optional
    recurrent_constraint, bias_constraint : str, class, Constraint or config, optional
    return_sequences : bool, default False
        Return the states of all steps, (n, steps, units), in place of the last, (n, units).
    **options
        ``name``, ``trainable``, ``input_shape``: see `Layer`. Input has shape
        (n, steps, features).

    Attributes
    ----------
    kernel : ndarray of shape (features, units)
    recurrent_kernel : ndarray of shape (units, units)
    bias : ndarray of shape (units,), or None

    Notes
    -----
    The steps of a layer follow one another on one thread, whatever the number of threads.

    References
    ----------
    J. L. Elman (1990). Finding structure in time. Cognitive Science 14, 179-211.
    P. J. Werbos (1990). Backpropagation through time: what it does and how to do it.
    Proceedings of the IEEE 78, 1550-1560.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, SimpleRNN
    >>> model = Sequential([SimpleRNN(16, input_shape=(20, 3)), Dense(1)])
    >>> model.layer_output_shapes
    [(None, 16), (None, 1)]
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        **options: Any,
    ) -> None:
        self.units = whole_number(units, "units")
        self.activation: ActivationFunction = activations.get(activation)
        _check_elementwise(self.activation)
        self.return_sequences = bool(return_sequences)
        self._choose(
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            kernel_constraint,
            bias_constraint,
        )
        self.recurrent_initializer: Initializer = initializers.get(recurrent_initializer)
        self.recurrent_regularizer: Regularizer | None = regularizers.get(recurrent_regularizer)
        self.recurrent_constraint: Constraint | None = constraints.get(recurrent_constraint)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        steps, features = self._steps_and_features(input_shape)
        if self._build_shape is not None and self._build_shape[-1] != features:
            raise ValueError(
                f"{self._title} expects inputs of shape (n, steps, {self._build_shape[-1]}), "
                f"got (n, {steps}, {features})"
            )
        return (None, steps, self.units) if self.return_sequences else (None, self.units)

    def _steps_and_features(self, input_shape: Shape) -> tuple[int, int]:
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                f"{self._title} expects inputs of shape (n, steps, features), got "
                f"{str(input_shape).replace('None', 'n')}: add a Reshape layer before it"
            )
        return input_shape[1], input_shape[2]

    def build(self, input_shape: Shape) -> None:
        _, features = self._steps_and_features(input_shape)
        self._add_kernel(features, self.units)
        self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, self.units),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self._add_bias(self.units)

    def lower(self, input_shape: Shape) -> list[Op]:
        steps, features = self._steps_and_features(input_shape)
        weights = (
            self._weights["kernel"],
            self._weights["recurrent_kernel"],
            self._weights.get("bias"),
        )
        options = {
            "steps": steps,
            "activation": self.activation,
            "return_sequences": self.return_sequences,
        }
        outputs = steps * self.units if self.return_sequences else self.units
        return [LayerOp("simple_rnn", steps * features, outputs, weights, options)]

    @property
    def recurrent_kernel(self) -> np.ndarray:
        return self._value("recurrent_kernel")

    @recurrent_kernel.setter
    def recurrent_kernel(self, value: Any) -> None:
        self._assign("recurrent_kernel", value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "recurrent_initializer": initializers.serialize(self.recurrent_initializer),
            "recurrent_regularizer": regularizers.serialize(self.recurrent_regularizer),
            "recurrent_constraint": constraints.serialize(self.recurrent_constraint),
            "return_sequences": self.return_sequences,
        }


def _check_elementwise(activation: ActivationFunction) -> None:
    if not activation.builtin or activation.name in (*ROW_ACTIVATIONS, "step"):
        raise ValueError(
            "SimpleRNN expects an activation of fastnn's that works element by element and has a "
            f"gradient, such as 'tanh', got {activation!r}"
        )
