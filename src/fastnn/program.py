"""The flat program: what is to be run, without saying how.

Layers are lowered once to a `Program`, a list of ops in the order in which data meets them.
Its parameters lie side by side in one flat aligned buffer (`ParameterBlock`), and gradients and
optimizer slots are buffers of the same layout (`Layout`). An `Engine` executes a program; there
are two, ``native`` (Cython and C) and ``reference`` (NumPy), and everything above this floor
works with either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastnn._checks import UPDATES
from fastnn._records import Record

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.activations import ActivationFunction
    from fastnn.constraints import Constraint
    from fastnn.losses import Loss
    from fastnn.metrics import Metric
    from fastnn.regularizers import Regularizer

ALIGNMENT = 64
"""Bytes: one cache line, and the widest vector register."""


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Return a zeroed 1-D array of `size` elements that starts on a cache line.

    A cache line of zeros follows the last element, so that a vector load which begins inside
    the array stays inside its memory.
    """
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + 2 * ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * itemsize].view(dtype)


class Parameter:
    """One named array of weights: a view into a `ParameterBlock`.

    Parameters
    ----------
    name : str
        Name within its layer: ``"kernel"``, ``"bias"``.
    shape : tuple of int
    regularizer : Regularizer, optional
        Penalty added to the training loss.
    trainable : bool, default True
        Whether training may change it. Read when a trainer is made.
    constraint : Constraint, optional
        What the values are held to after each step of training.
    statistic : bool, default False
        Whether it is no weight to be optimised, but follows the data or is fixed.

    Attributes
    ----------
    renewed : bool
        Whether training renews a statistic, which it does while its layer is trainable.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        constraint: Constraint | None = None,
        statistic: bool = False,
    ) -> None:
        self.name = name
        self.shape = shape
        self.regularizer = regularizer
        self.constraint = constraint
        self.statistic = statistic
        self.trainable = self.renewed = False
        self.set_trainable(trainable)
        self.block: ParameterBlock | None = None
        self.offset = 0

    def set_trainable(self, trainable: bool) -> None:
        """Say whether training may change it: by the optimizer or, a statistic, by the data."""
        self.trainable = trainable and not self.statistic
        self.renewed = trainable and self.statistic

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def array(self) -> np.ndarray:
        """Writable view of the values; engines only. Who writes must `touch` the block."""
        if self.block is None:
            raise ValueError(f"parameter '{self.name}' has no values yet: build its layer first")
        return self.block.data[self.offset : self.offset + self.size].reshape(self.shape)

    @property
    def value(self) -> np.ndarray:
        """Read-only view of the values, always current."""
        view = self.array
        view.flags.writeable = False
        return view

    def numpy(self) -> np.ndarray:
        """Return a copy of the values."""
        return self.value.copy()

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        array = self.value if dtype is None else self.value.astype(dtype, copy=False)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        return f"<Parameter name={self.name}, shape={self.shape}>"

    def assign(self, value: ArrayLike) -> None:
        """Copy `value` into the block.

        Raises
        ------
        ValueError
            If it does not have exactly this parameter's shape.
        """
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(
                f"parameter '{self.name}' expects values of shape {self.shape}, got {array.shape}"
            )
        self.array[...] = array
        assert self.block is not None
        self.block.touch()


class Layout:
    """Offsets of parameters in a flat buffer, in elements, each on a cache line of its own."""

    def __init__(self, parameters: Sequence[Parameter], dtype: np.dtype) -> None:
        line = ALIGNMENT // np.dtype(dtype).itemsize
        self.parameters = tuple(parameters)
        self.dtype = np.dtype(dtype)
        self.offsets: dict[Parameter, int] = {}
        self.size = 0
        for parameter in self.parameters:
            self.offsets[parameter] = self.size
            self.size += -(-parameter.size // line) * line

    def zeros(self) -> np.ndarray:
        """Return a zeroed flat buffer of this layout."""
        return aligned_zeros(self.size, self.dtype)

    def view(self, buffer: np.ndarray, parameter: Parameter) -> np.ndarray:
        """Return the part of `buffer` that belongs to `parameter`, in its shape."""
        start = self.offsets[parameter]
        return buffer[start : start + parameter.size].reshape(parameter.shape)


class ParameterBlock:
    """The flat buffer that holds the values of the parameters of one build.

    Parameters never move once they have a block, so a layer may serve several models: a
    program finds its parameters in one block or in several.
    """

    def __init__(self, parameters: Sequence[Parameter], dtype: np.dtype) -> None:
        layout = Layout(parameters, dtype)
        self.data = layout.zeros()
        self.counter = np.zeros(1, dtype=np.int64)
        for parameter in parameters:
            parameter.block = self
            parameter.offset = layout.offsets[parameter]

    def __getstate__(self) -> dict[str, Any]:
        return {"data": np.array(self.data), "counter": self.counter}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the values over into memory that is aligned and padded as engines need it."""
        self.data = aligned_zeros(state["data"].size, state["data"].dtype)
        self.data[...] = state["data"]
        self.counter = state["counter"]

    def touch(self) -> None:
        """Say that values have changed, so that engines renew what they derived from them."""
        self.counter += 1

    @property
    def version(self) -> int:
        """Number of changes so far; engines watch `counter`, the array behind it."""
        return int(self.counter[0])


class DenseOp(Record):
    """``y = activation(x @ kernel + bias)``.

    `outputs` is the width of y: that of the kernel, if the activation does not change it.
    """

    inputs: int
    outputs: int
    kernel: Parameter
    bias: Parameter | None
    activation: ActivationFunction

    def __post_init__(self) -> None:
        inputs, units = self.kernel.shape
        _check_widths(self, inputs, self.activation.output_width(units))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.kernel,) if self.bias is None else (self.kernel, self.bias)


class ActivationOp(Record):
    """``y = activation(x)``, row by row where the activation looks at whole rows."""

    inputs: int
    outputs: int
    activation: ActivationFunction
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        _check_widths(self, self.inputs, self.activation.output_width(self.inputs))


class DropoutOp(Record):
    """``y = x * keep / (1 - rate)`` in training, ``y = x`` otherwise.

    `seed` (64 bits) keys the counter-based generator of the mask; the counter is made of the
    step, the row and the column, so a mask depends on nothing else.
    """

    inputs: int
    outputs: int
    rate: float
    seed: int
    parameters: tuple[Parameter, ...] = ()


class LayerOp(Record):
    """``y = kernel(x, *weights, **options)``, by the kernel of that name.

    Attributes
    ----------
    kernel : str
        One of `fastnn.reference.layers.KERNELS`, where its formula stands.
    weights : tuple of Parameter or None
        None in the place of a weight that the layer does without.
    options : dict of str to value
        Numbers, tuples of numbers, activations.
    seed : int
        64 bits, for noise; see `DropoutOp`.
    """

    kernel: str
    inputs: int
    outputs: int
    weights: tuple[Parameter | None, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    seed: int = 0

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(weight for weight in self.weights if weight is not None)


class BranchOp(Record):
    """``y = x``, and the `AddOp` that closes this branch will add it."""

    inputs: int
    outputs: int
    parameters: tuple[Parameter, ...] = ()


class AddOp(Record):
    """``y = x + (what entered the last BranchOp that has no AddOp yet)``."""

    inputs: int
    outputs: int
    parameters: tuple[Parameter, ...] = ()


class UserLayer(Protocol):
    """What a layer written in NumPy computes; see `fastnn.layers.Layer`."""

    name: str

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray: ...

    def backward(self, gradient: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any: ...


class UserOp(Record):
    """``y = layer.forward(x)``, written by the user in NumPy."""

    inputs: int
    outputs: int
    layer: UserLayer
    parameters: tuple[Parameter, ...] = ()


Op = DenseOp | ActivationOp | DropoutOp | LayerOp | BranchOp | AddOp | UserOp

TRAINING_ONLY = frozenset(
    {"gaussian_noise", "gaussian_dropout", "alpha_dropout", "activity_regularization"}
)
"""Kernels of `LayerOp` that pass on their input unchanged in inference."""

WHOLE_BATCH = frozenset({"batch_normalization"})
"""Kernels of `LayerOp` in which the rows of a batch depend on one another."""


def training_only(op: Op) -> bool:
    """Whether `op` passes on its input unchanged in inference."""
    return isinstance(op, DropoutOp) or (isinstance(op, LayerOp) and op.kernel in TRAINING_ONLY)


def sees_whole_batches(op: Op) -> bool:
    """Whether rows of a batch may depend on one another in `op`, as in all that users wrote."""
    if isinstance(op, LayerOp):
        return op.kernel in WHOLE_BATCH
    if isinstance(op, DenseOp | ActivationOp):
        return not op.activation.builtin
    return isinstance(op, UserOp)


def _check_widths(op: DenseOp | ActivationOp, inputs: int, outputs: int) -> None:
    """Raise if an op claims other widths than those that engines would find."""
    if (op.inputs, op.outputs) != (inputs, outputs):
        raise ValueError(
            f"{type(op).__name__} with {op.activation!r} must have {inputs} inputs and {outputs} "
            f"outputs, got {op.inputs} and {op.outputs}"
        )


class Program:
    """Ops in order, over rows of `inputs` features, and the parameters that they use."""

    def __init__(self, ops: Sequence[Op], inputs: int, dtype: np.dtype) -> None:
        self.ops = tuple(ops)
        self.inputs = inputs
        self.outputs = ops[-1].outputs if ops else inputs
        self.dtype = np.dtype(dtype)
        self.layout = Layout([p for op in ops for p in op.parameters], self.dtype)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.layout.parameters


class Objective(Record):
    """What training minimises and what is counted on the way.

    Attributes
    ----------
    loss : Loss
    head : {None, "softmax", "sigmoid"}
        Set where the program's last op ends in this activation and `loss` is its cross-entropy.
        The engine then leaves that activation out, takes the loss from the logits exactly, and
        writes the probabilities where metrics look for predictions.
    metrics : tuple of Metric
    """

    loss: Loss
    head: str | None
    metrics: tuple[Metric, ...]


class Dataset(Record):
    """Checked arrays, C-contiguous.

    Attributes
    ----------
    x : ndarray of shape (n, inputs), the program's dtype
    y : ndarray
        Shape (n, outputs) in the program's dtype, or int32 labels of shape (n,).
    weights : ndarray of shape (n,), the program's dtype, optional
        Factor of each sample's loss.
    finite : bool, default True
        Whether x is known to be; if not, the steps of the first epoch find out.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    finite: bool = True

    def __len__(self) -> int:
        return len(self.x)


class NotFiniteError(ValueError):
    """Raised by a training step that meets NaN or infinity in x, before it changes anything."""

    def __init__(self) -> None:
        super().__init__("x contains NaN or infinity; remove or replace such values")


class OptimizerState:
    """What an optimizer keeps from step to step, and the number of steps taken.

    Parameters
    ----------
    layout : Layout
        Of the program.
    initial_values : sequence of float
        What each slot is filled with.
    use_ema, accumulate : bool, default False
        Whether to keep averages, and sums of gradients.

    Attributes
    ----------
    slots : list of ndarray
        Flat buffers of the program's layout, one for each of the optimizer's `slots`.
    average : ndarray or None
        Moving averages of the parameters, in such a buffer.
    accumulated : ndarray or None
        Sums of the gradients since the optimizer's last step, in such a buffer.
    iterations : int
        Finished steps of training since the optimizer was compiled in: batches, where several
        make up a step of the optimizer.
    """

    def __init__(
        self,
        layout: Layout,
        initial_values: Sequence[float],
        use_ema: bool = False,
        accumulate: bool = False,
    ) -> None:
        self.layout = layout
        self.slots = [layout.zeros() for _ in initial_values]
        for slot, value in zip(self.slots, initial_values, strict=True):
            slot[...] = value
        self.average = layout.zeros() if use_ema else None
        self.accumulated = layout.zeros() if accumulate else None
        self.iterations = 0
        if self.average is not None:
            # The first step begins the averages, but not those of parameters frozen until later.
            for parameter in layout.parameters:
                layout.view(self.average, parameter)[...] = parameter.array

    @property
    def buffers(self) -> list[np.ndarray]:
        """All of its buffers."""
        return [*self.slots, *(b for b in (self.average, self.accumulated) if b is not None)]

    def overwrite(self, parameters: Sequence[np.ndarray | Parameter]) -> None:
        """Set parameters of the layout to their averages, once there are any."""
        if self.average is None or self.iterations == 0:
            return
        chosen = [p for p in parameters if isinstance(p, Parameter) and p in self.layout.offsets]
        if len(chosen) < len(parameters):
            raise ValueError(
                "the optimizer keeps averages of the weights of the model that it trains, got "
                "other variables: pass model.trainable_weights"
            )
        for parameter in chosen:
            parameter.assign(self.layout.view(self.average, parameter))


class UpdateRule(Record):
    """The optimizer as an engine sees it.

    Attributes
    ----------
    kernel : str, optional
        Name of the step function: ``"sgd"``, ``"adam"``, ... None if the step is the user's own,
        or if there are none and the trainer is asked for gradients only.
    hyperparameters : tuple of str
        Keyword arguments of that function, in order; a row of values is given for each step.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Bounds on each parameter's gradient norm, each gradient element, and the norm of all
        gradients together. At most one is set.
    step : callable, optional
        The user's own step, ``step(gradient, variable, learning_rate, *slots)``: it changes
        `variable` and slots in place. The `hyperparameters` are then ``learning_rate`` and
        ``weight_decay``.
    ema_momentum : float, optional
        Of the moving averages of the parameters; None if there are none.
    ema_overwrite_frequency : int, optional
        Steps after which the parameters are set to their averages.
    accumulation : int, default 1
        Steps of training, the mean of whose gradients makes up a step of the optimizer.
    """

    kernel: str | None
    hyperparameters: tuple[str, ...]
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    step: Callable[..., object] | None = None
    ema_momentum: float | None = None
    ema_overwrite_frequency: int | None = None
    accumulation: int = 1

    def check(self, state: OptimizerState) -> None:
        """Check that `state` has all that the rule needs.

        Raises
        ------
        ValueError
            If it has not, since the optimizer has changed in between or declares wrong slots.
        """
        count = len(state.slots)
        least, most = UPDATES.get(self.kernel or "", (0, count))
        averages = self.ema_momentum is None or state.average is not None
        sums = self.accumulation == 1 or state.accumulated is not None
        if not (least <= count <= most and averages and sums):
            raise ValueError(
                f"the optimizer needs {least} to {most} slots, averages if use_ema, and sums if "
                f"gradient_accumulation_steps, got a state of {count} slots that lacks some: "
                "compile the model again after changing its optimizer"
            )

    def take_own_step(
        self,
        values: np.ndarray,
        gradient: np.ndarray,
        slots: Sequence[np.ndarray],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """Let the user's own step change `values` and `slots` in place, after the weight decay.

        Raises
        ------
        TypeError
            If it returns something, for that would be lost.
        """
        assert self.step is not None
        if weight_decay != 0.0:
            values -= learning_rate * weight_decay * values
        gradient = gradient.view()
        gradient.flags.writeable = False
        result = self.step(gradient, values, learning_rate, *slots)
        if result is not None:
            raise TypeError(
                "update_step must change the variable in place, as in variable -= ..., and return "
                f"None, got {type(result).__name__}"
            )


class Trainer(Protocol):
    """Runs training and evaluation steps with workspace of its own, allocated once.

    Attributes
    ----------
    totals : ndarray of float64, shape (1 + number of metrics,)
        Sums over the rows seen since `reset`: of the loss (penalties included), then of each
        metric that has a kernel (0 for the others, whose `update_state` is called instead).
    rows : int
        Rows seen since `reset`.
    state : OptimizerState
        What its steps change beside the parameters.
    """

    totals: np.ndarray
    rows: int
    state: OptimizerState

    def reset(self) -> None:
        """Set `totals` and `rows` to zero."""

    def train(
        self,
        data: Dataset,
        order: np.ndarray | None,
        batch_size: int,
        first: int,
        hyperparameters: np.ndarray,
        budget: float,
        ends: np.ndarray | None = None,
    ) -> int:
        """Run training steps `first`, `first` + 1, ... of an epoch or several; return how many.

        Parameters
        ----------
        data : Dataset
        order : ndarray of int64, shape (n,) or (epochs, n), optional
            Row numbers in the order of visiting; None for 0, 1, ..., n - 1.
        batch_size : int
            Step s takes entries s * batch_size to (s + 1) * batch_size of `order`, the last
            step what is left; at most the capacity of the trainer.
        first : int
        hyperparameters : ndarray of float64, shape (steps, len(rule.hyperparameters))
            A row for each step; at most so many steps are run.
        budget : float
            Seconds after which no further step is begun.
        ends : ndarray of float64, shape (epochs, 1 + number of metrics), optional
            Steps are those of so many epochs, one after the other. With the last step of each,
            `totals` move into its row and begin again at zero; `rows` counts on.

        Each finished step adds 1 to the optimizer state's `iterations`. An exception, one raised by
        a signal handler too, leaves parameters and state at the last finished step.

        Raises
        ------
        NotFiniteError
            If a step visits, in an `order`, a row of x that is not finite.
        """

    def evaluate(self, data: Dataset, batch_size: int, first: int, budget: float) -> int:
        """Add batches `first`, `first` + 1, ... to `totals`; return how many were done."""

    def gradient(self, data: Dataset, out: np.ndarray) -> None:
        """Write the gradient of the loss over all of `data` to `out`, and change no parameter.

        `out` is a buffer of the program's layout; where parameters are not trained it is 0. Loss
        and metrics are added to `totals`. `data` has at most `capacity` rows.
        """


class Engine(Protocol):
    """Executes one program."""

    name: str

    def __init__(self, program: Program) -> None: ...

    def forward(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the program's output for the rows of `x` to `out`, as in inference.

        `x` has shape (n, inputs), `out` (n, outputs); both C-contiguous in the program's dtype.
        Any number of threads may call it at once.
        """

    def room_for(self, objective: Objective, batch_size: int) -> tuple[int, int]:
        """Return for how many rows, and how many gradients of all parameters, a trainer has room.

        It may work on a batch in parts.
        """

    def trainer(
        self, objective: Objective, rule: UpdateRule, state: OptimizerState, capacity: int
    ) -> Trainer:
        """Return a trainer for batches of at most `capacity` rows."""
