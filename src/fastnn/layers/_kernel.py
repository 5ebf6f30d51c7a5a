"""What layers with a kernel and a bias have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import constraints, initializers, regularizers
from fastnn.layers._layer import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from fastnn.constraints import Constraint
    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer


class KernelLayer(Layer):
    """Base of the layers that multiply their input by a `kernel` and may add a `bias`.

    A subclass calls `_choose` before it calls the constructor of `Layer`.
    """

    def _choose(
        self,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
    ) -> None:
        """Keep the arguments that say what kernel and bias are like."""
        self.use_bias = bool(use_bias)
        self.kernel_initializer: Initializer = initializers.get(kernel_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.kernel_regularizer: Regularizer | None = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)
        self.kernel_constraint: Constraint | None = constraints.get(kernel_constraint)
        self.bias_constraint: Constraint | None = constraints.get(bias_constraint)

    def _add_kernel(self, features: int, width: int) -> None:
        self.add_weight(
            name="kernel",
            shape=(features, width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _add_bias(self, width: int) -> None:
        if self.use_bias:
            self.add_weight(
                name="bias",
                shape=(width,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    @property
    def kernel(self) -> np.ndarray:
        return self._value("kernel")

    @kernel.setter
    def kernel(self, value: ArrayLike) -> None:
        self._assign("kernel", value)

    @property
    def bias(self) -> np.ndarray | None:
        return self._value("bias") if self.use_bias else None

    @bias.setter
    def bias(self, value: ArrayLike) -> None:
        if not self.use_bias:
            raise ValueError(f"{self._title} has no bias: make it with use_bias=True")
        self._assign("bias", value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
