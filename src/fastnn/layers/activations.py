"""Activations as layers of their own, with their parameters as arguments.

Each is an `Activation` layer under the name, and with the arguments and defaults, that Keras gives
it.
"""

from __future__ import annotations

from typing import Any

from fastnn import activations
from fastnn._registry import real
from fastnn.layers.core import Activation


class ParametricActivation(Activation):
    """Base of the layers below: an `Activation` described by the activation's own arguments.

    Parameters
    ----------
    activation : ActivationFunction
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.
    """

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activation"]
        return {**config, **self.activation.get_config()}


class ReLU(ParametricActivation):
    """``y = min(x, max_value) if x > threshold else negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float, optional
        At least 0. Default: no limit.
    negative_slope, threshold : float, default 0.0
        At least 0.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no number or out of range.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import ReLU
    >>> model = Sequential([ReLU(max_value=6.0, negative_slope=0.5, input_dim=3)])
    >>> model([[-2.0, 3.0, 9.0]])
    array([[-1.,  3.,  6.]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        slope = real(negative_slope, "negative_slope", "[0, inf)")
        relu = activations.ReLU(slope, max_value, threshold)
        self.max_value, self.negative_slope = relu.max_value, relu.negative_slope
        self.threshold = relu.threshold
        super().__init__(relu, **options)


class LeakyReLU(ParametricActivation):
    """``y = x if x > 0 else negative_slope * x``.

    Parameters
    ----------
    negative_slope : float, default 0.3
        At least 0. The default is Keras'; that of the function `fastnn.activations.leaky_relu`
        is another.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Raises
    ------
    TypeError, ValueError
        If `negative_slope` is no number or out of range.
    """

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        self.negative_slope = real(negative_slope, "negative_slope", "[0, inf)")
        super().__init__(activations.LeakyReLU(self.negative_slope), **options)


class ELU(ParametricActivation):
    """``y = x if x > 0 else alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float, default 1.0
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is no finite number.
    """

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        elu = activations.ELU(alpha)
        self.alpha = elu.alpha
        super().__init__(elu, **options)


class Softmax(ParametricActivation):
    """``y = exp(x) / sum(exp(x))`` over the features of a sample.

    Parameters
    ----------
    axis : int, default -1
        The last axis, -1 or 1, is the only one that there is.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Raises
    ------
    ValueError
        If `axis` is another one.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis not in (-1, 1):
            raise ValueError(
                f"axis must be -1 or 1, the features of inputs of shape (n, features), got {axis!r}"
            )
        self.axis = axis
        super().__init__(activations.softmax, **options)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
