"""What an optimizer keeps for arrays that it is applied to by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn import kernels
from fastnn._checks import FLOAT_TYPES
from fastnn._validation import numeric_array
from fastnn.program import Parameter
from fastnn.reference.step import Weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Variable = np.ndarray | Parameter


class AppliedState:
    """The counterpart of `fastnn.program.OptimizerState` for arrays, or weights of a model.

    Parameters
    ----------
    variables : sequence of ndarray or Parameter
    initial_values : sequence of float
        What each slot is filled with.
    use_ema, accumulate : bool
        Whether to keep averages, and sums of gradients.

    Attributes
    ----------
    iterations : int
        Finished steps.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        initial_values: Sequence[float],
        use_ema: bool,
        accumulate: bool,
    ) -> None:
        self._variables = list(variables)
        if len({id(variable) for variable in self._variables}) < len(self._variables):
            raise ValueError("variables must differ from each other, got one of them twice")
        self._kept: list[Weights] = []
        for number, variable in enumerate(self._variables):
            values = _array(variable, number)
            slots = [np.full_like(values, value, order="C") for value in initial_values]
            average = values.copy() if use_ema else None
            accumulated = np.zeros_like(values) if accumulate else None
            self._kept.append(Weights(values, values, slots, average, accumulated))
        self.iterations = 0

    def weights(
        self, gradients: Sequence[ArrayLike], variables: Sequence[Variable] | None
    ) -> list[Weights]:
        """Return the variables with their gradients, copied, and what is kept for them.

        Raises
        ------
        TypeError, ValueError
            If a variable is unknown or cannot be changed, or has another shape than its gradient.
        """
        chosen = self._variables if variables is None else list(variables)
        if len(gradients) != len(chosen):
            raise ValueError(
                f"each variable needs a gradient, got {len(gradients)} gradients for "
                f"{len(chosen)} variables"
            )
        weights = []
        for number, (gradient, variable) in enumerate(zip(gradients, chosen, strict=True)):
            kept, values = self._find(variable, number), _array(variable, number)
            slope = np.array(numeric_array(gradient, f"gradient {number}"), values.dtype, order="C")
            if slope.shape != values.shape:
                raise ValueError(
                    f"gradient {number} must have the shape of its variable, {values.shape}, got "
                    f"{slope.shape}"
                )
            weights.append(Weights(values, slope, kept.slots, kept.average, kept.accumulated))
        return weights

    def _find(self, variable: Variable, number: int) -> Weights:
        """Return what is kept for a variable, which is known by its identity."""
        for known, kept in zip(self._variables, self._kept, strict=True):
            if known is variable:
                return kept
        raise ValueError(
            f"variable {number} is none of the {len(self._variables)} that the optimizer was built "
            "with, which it knows by identity: pass these objects themselves, or make a new "
            "optimizer for others"
        )

    @property
    def constrained(self) -> bool:
        """Whether any of the variables has a constraint."""
        return any(_has_constraint(variable) for variable in self._variables)

    def constrain(self, variables: Sequence[Variable] | None) -> None:
        """Hold weights of models to their constraints."""
        for variable in self._variables if variables is None else variables:
            if isinstance(variable, Parameter) and variable.constraint is not None:
                constraint = variable.constraint
                if constraint.kernel is None:
                    variable.assign(constraint(variable.value))
                else:
                    getattr(kernels, constraint.kernel)(variable.array, **constraint.options)

    def finish(self, variables: Sequence[Variable] | None) -> None:
        """Count the step, and tell the models whose weights have changed."""
        self.iterations += 1
        _touch(self._variables if variables is None else variables)

    def overwrite(self, variables: Sequence[Variable]) -> None:
        """Set the variables to their averages, once there are any."""
        found = [(self._find(v, i), _array(v, i)) for i, v in enumerate(variables)]
        for kept, values in found:
            if kept.average is not None and self.iterations > 0:
                values[...] = kept.average
        _touch(variables)


def _array(variable: Variable, number: int) -> np.ndarray:
    """Return the array of a variable; check that it can be changed in place."""
    values = variable.array if isinstance(variable, Parameter) else variable
    if not isinstance(values, np.ndarray):
        raise TypeError(
            f"variable {number} must be a NumPy array or a weight of a model, got "
            f"{type(values).__name__}"
        )
    if values.dtype not in FLOAT_TYPES:
        raise TypeError(f"variable {number} must be of float32 or float64, got {values.dtype}")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise ValueError(
            f"variable {number} must be writable and C-contiguous, got strides {values.strides} "
            f"for shape {values.shape}: pass a copy, made with np.array(variable, order='C')"
        )
    return values


def _has_constraint(variable: Variable) -> bool:
    return isinstance(variable, Parameter) and variable.constraint is not None


def _touch(variables: Sequence[Variable]) -> None:
    for variable in variables:
        if isinstance(variable, Parameter) and variable.block is not None:
            variable.block.touch()
