"""`Sequential`: a stack of layers, and all that users do with it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _training, _validation, layers
from fastnn._naming import automatic_name
from fastnn._registry import real
from fastnn._summary import print_summary
from fastnn.callbacks import CallbackList, History
from fastnn.engines import get_engine
from fastnn.layers import Input, Layer, Shape
from fastnn.native.engine import FastCall, NativeEngine
from fastnn.program import (
    ActivationOp,
    Dataset,
    DenseOp,
    NotFiniteError,
    Op,
    Parameter,
    Program,
    Trainer,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fastnn.callbacks import Callback
    from fastnn.diagnosis import Diagnosis
    from fastnn.losses import Loss
    from fastnn.metrics import Metric
    from fastnn.optimizers import Optimizer
    from fastnn.program import Engine

BATCH_SIZE = 32
"""Default, as in Keras."""

INFERENCE_ROWS = 4096
"""Rows that `predict` hands to the engine at a time, so that Ctrl-C is heard in between."""

_FIRST_PASS = 2**63
"""Where ``model(x, training=True)`` begins to count: masks other than those of training steps."""

_NOBODY = CallbackList()
"""Who hears of single batches."""


class Sequential(FastCall):
    """A stack of layers.

    Parameters
    ----------
    layers : sequence of Layer, optional
        More can be added later with `add`. The same layer may serve several models; they then
        share its weights.
    name : str, optional
        Default: ``sequential``, ``sequential_1``, ...
    trainable : bool, default True
        Whether training changes the weights of the layers.
    dtype : {"float32", "float64"}, optional
        Type of weights and computation. Default: that which layers were made with, else
        ``"float32"``.
    engine : {"native", "reference"}, optional
        What runs the model. Default: the environment variable ``FASTNN_ENGINE``, else
        ``"native"``.

    Attributes
    ----------
    history : History or None
        Of the last `fit`, also of one that was interrupted.
    stop_training : bool
        A callback sets it to end the training.

    Notes
    -----
    The weights come into being once the shape of the input is known: at the end of the
    constructor, at first use after `add`, in `build`, or in `fit`, which reads it off the data.
    Layers added or removed later leave the weights of the others as they are.

    Any number of threads may call `predict` and the model itself at once; one may train it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> fastnn.utils.set_random_seed(0)
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> model = Sequential([Dense(8, activation="tanh", input_dim=2), Dense(1, "sigmoid")])
    >>> model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    >>> history = model.fit(x, y, epochs=1000, verbose=0)
    >>> (model.predict(x, verbose=0) > 0.5).ravel().tolist()
    [False, True, True, False]
    """

    _running: tuple[Engine, Program] | None

    def __init__(
        self,
        layers: Sequence[Layer] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: DTypeLike | None = None,
        engine: str | None = None,
    ) -> None:
        self._given_dtype = None if dtype is None else _validation.float_dtype(dtype)
        self._dtype = self._common_dtype(())
        self._engine_class = get_engine(engine)
        self._layers: list[Layer] = []
        self._input: Input | None = None
        self._built_shape: Shape | None = None
        self._trainable = bool(trainable)
        self._compiled: _training.Compiled | None = None
        self._passes = 0
        self._renew()
        self.history: History | None = None
        self.stop_training = False
        for layer in layers or ():
            self.add(layer)
        self.name = name or automatic_name(type(self).__name__)
        if self._layers and self._known_shape() is not None:
            self.build()

    def _renew(self) -> None:
        """Make what neither copies nor files of a model take along."""
        self._build_lock = threading.RLock()
        self._training_lock = threading.Lock()
        self._discard_program()

    def __getstate__(self) -> dict[str, Any]:
        left = ("_build_lock", "_training_lock", "_running")
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._renew()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    # Layers

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without `Input`."""
        return list(self._layers)

    def add(self, layer: Layer) -> None:
        """Put `layer` on top.

        Raises
        ------
        TypeError
            If it is no layer.
        ValueError
            If its name is taken, an `Input` does not come first, it cannot take the output of
            the layers below, or has a dtype other than the model's.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Sequential expects layers, got {layer!r} ({type(layer).__name__}): "
                "pass for example fastnn.layers.Dense(8)"
            )
        if isinstance(layer, Input):
            if self._layers or self._input is not None:
                raise ValueError("Input must be the first layer of a model, got it as a later one")
            self._input = layer
            return
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(
                f"layers of a model need names of their own, got '{layer.name}' a second time: "
                "give one of them another with name=..."
            )
        layers.check_each_once([*self._layers, layer])
        self._check_addition(layer)
        dtype = self._common_dtype([*self._layers, layer])
        layers.check_dtype(layer, dtype)
        self._dtype = dtype
        if not self._trainable:
            layer.trainable = False
        self._layers.append(layer)
        self._discard_program()

    def _check_addition(self, layer: Layer) -> None:
        """Let shape errors come from `add`, where the shape is known by then."""
        if self._layers or self._input is not None:
            shape = self._known_shape()
        else:
            shape = layer.input_shape
        if shape is not None:
            _output_shapes([*self._layers, layer], shape)

    def _common_dtype(self, stack: Sequence[Layer]) -> np.dtype:
        """Return the dtype that the model was given, or the first of its layers that has one."""
        given = (np.dtype(layer.dtype) for layer in stack if layer.dtype is not None)
        return self._given_dtype or next(given, np.dtype(np.float32))

    def pop(self) -> Layer:
        """Take the last layer off and return it.

        Raises
        ------
        IndexError
            If there is none.
        """
        if not self._layers:
            raise IndexError("the model has no layers to take off")
        self._discard_program()
        layer = self._layers.pop()
        self._dtype = self._common_dtype(self._layers)
        if not self._layers:
            self._built_shape = None
        return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer with this name, or at this index.

        Raises
        ------
        ValueError
            If there is no such layer, or neither or both are given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"give name or index of a layer, got name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                raise ValueError(f"the model has {len(self._layers)} layers, got index {index}")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self._layers)
        raise ValueError(f"no layer is called {name!r}; the model has: {known}")

    # Building

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights of layers that have none yet, and the program that runs the model.

        Parameters
        ----------
        input_shape : sequence of int, optional
            With the number of samples first, or None in its place: ``(None, 4)``. Needed where
            no layer tells it.

        Raises
        ------
        ValueError
            If the shape is not known, is not that of the layers, or some layer cannot take
            what the one below gives.
        MemoryError
            If the weights do not fit in memory. The model is then as it was before.
        """
        with self._build_lock:
            shape = self._resolve_shape(input_shape)
            self._output_width(shape)
            layers.build_layers(self._layers, shape, self._dtype)
            program = _lower(self._layers, shape, self._dtype)
            engine = self._engine_class(program)
            self._built_shape = shape
            self._running = engine, program
            self._native = None
            # Inputs of more axes have to be reshaped first; of values the engine checks indices.
            if len(shape) == 2 and isinstance(engine, NativeEngine):
                checked = engine.reads_indices or not self._checks_inputs()
                self._native = engine if checked else None

    def _discard_program(self) -> None:
        """Forget what was derived from the layers; the next use builds it anew."""
        self._native = None
        self._running = None

    def _ready(self, shape: Shape | None = None) -> tuple[Engine, Program]:
        """Return engine and program, made now, for input of this shape, if need be."""
        with self._build_lock:
            if self._running is None:
                self.build(shape)
            assert self._running is not None
            return self._running

    def _known_shape(self) -> Shape | None:
        if self._input is not None:
            return self._input.input_shape
        if self._built_shape is None and self._layers:
            return self._layers[0].input_shape
        return self._built_shape

    def _resolve_shape(self, given: Sequence[int | None] | None = None) -> Shape:
        known = self._known_shape()
        if given is None:
            if known is None:
                raise ValueError(
                    f"model '{self.name}' does not know the shape of its input yet: give the "
                    "first layer input_dim=..., begin with Input(shape=...), or call "
                    "build((None, features)) or fit first"
                )
            return known
        shape = (None, *_validation.feature_shape(tuple(given)[1:], "input_shape[1:]"))
        if known is not None and shape != known:
            raise ValueError(f"the layers expect input of shape {known}, got {shape}")
        return shape

    def _output_width(self, shape: Shape) -> int:
        """Return the width of the output for input of this shape; check that it is flat."""
        if self._running is not None and shape == self._built_shape:
            return self._running[1].outputs
        if not self._layers:
            raise ValueError(f"model '{self.name}' has no layers: add some first")
        output_shape = _output_shapes(self._layers, shape)[-1]
        if len(output_shape) != 2 or output_shape[1] is None:
            raise ValueError(
                f"the output of a model must have shape (n, outputs), got {output_shape}: "
                "add a Flatten layer"
            )
        return output_shape[1]

    @property
    def built(self) -> bool:
        """Whether all layers have their weights."""
        return bool(self._layers) and all(layer.built for layer in self._layers)

    @property
    def dtype(self) -> str:
        """Type of weights and computation, "float32" or "float64"."""
        return self._dtype.name

    @property
    def input_shape(self) -> Shape:
        """Shape of the input, with None for the number of samples.

        Raises
        ------
        ValueError
            If it is not known yet.
        """
        return self._resolve_shape()

    @property
    def output_shape(self) -> Shape:
        """Shape of the output, with None for the number of samples.

        Raises
        ------
        ValueError
            If that of the input is not known yet.
        """
        return (None, self._output_width(self._resolve_shape()))

    @property
    def layer_output_shapes(self) -> list[Shape]:
        """Shape that comes out of each layer of this model."""
        return _output_shapes(self._layers, self._resolve_shape())

    # Weights

    @property
    def weights(self) -> list[Parameter]:
        """All weights in order, as `Parameter`: ``name``, ``shape``, ``value``, ``assign``."""
        self._ready()
        return [parameter for layer in self._layers for parameter in layer.weights]

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Weights that training changes."""
        return [parameter for parameter in self.weights if parameter.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """Weights that training leaves alone."""
        return [parameter for parameter in self.weights if not parameter.trainable]

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for every layer.

        Takes effect from the next `fit` or `train_on_batch`.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._layers:
            layer.trainable = self._trainable

    def count_params(self) -> int:
        """Return the number of numbers in all weights."""
        return sum(parameter.size for parameter in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights: kernel and bias of the first layer, and so on."""
        return [parameter.value.copy() for parameter in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights.

        Parameters
        ----------
        weights : sequence of array_like
            As from `get_weights`: same number, same shapes.

        Raises
        ------
        ValueError
            If the number or a shape differs; then no weight has changed.
        """
        layers.assign_weights(self.weights, weights, f"model '{self.name}'")

    def optimized(self) -> Sequential:
        """Return a model for inference that does the same with less.

        Layers that act in training only are left out, and batch normalisation, normalisation and
        rescaling are folded into the dense layer before them, if that has no activation, or else
        after them.

        Returns
        -------
        Sequential
            A new model, built and not compiled. Its outputs are those of this one to rounding.

        Raises
        ------
        ValueError
            If the model does not know the shape of its input yet.

        Examples
        --------
        >>> from fastnn import Sequential
        >>> from fastnn.layers import Activation, BatchNormalization, Dense, Dropout
        >>> stack = [Dense(8, input_dim=4), BatchNormalization(), Activation("relu"), Dropout(0.1)]
        >>> model = Sequential([*stack, Dense(3)]).optimized()
        >>> [type(layer).__name__ for layer in model.layers]
        ['Dense', 'Activation', 'Dense']
        """
        from fastnn._folding import folded

        shape = self._resolve_shape()
        self._ready()
        parts = folded(self._layers)
        stack = [Input(_sample(shape)), *(part.layer for part in parts)]
        engine = self._engine_class.name
        model = Sequential(stack, name=self.name, dtype=self.dtype, engine=engine)
        model.set_weights([weight for part in parts for weight in part.weights])
        return model

    # Compiling

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None) -> None:
        """Choose how to train. The optimizer starts afresh.

        Parameters
        ----------
        optimizer : str, class, Optimizer or config, default "rmsprop"
        loss : str, class, Loss or config, optional
            Needed by `fit` and `evaluate`.
        metrics : sequence of str, class, Metric or config, optional
            ``"accuracy"`` stands for the accuracy that goes with the loss and the output.

        Raises
        ------
        TypeError, ValueError
            If one of them is unknown, or metric and loss want different targets. The model is
            then compiled as it was before.
        """
        compiled = _training.Compiled(optimizer, loss, metrics)
        compiled.resolve_metrics(self._output_width_guess())
        if self._layers and self._known_shape() is not None:
            self.build()
        self._compiled = compiled

    def _output_width_guess(self) -> int:
        """Return the width of the output, also where that of the input is not known yet."""
        if self._layers and (shape := self._known_shape()) is not None:
            return self._output_width(shape)
        units = [layer.units for layer in self._layers if isinstance(layer, layers.Dense)]
        return units[-1] if units else 1

    def _require_compiled(self, action: str) -> _training.Compiled:
        if self._compiled is None:
            raise RuntimeError(
                f"{action} needs a compiled model: call compile(optimizer, loss) first"
            )
        if self._compiled.loss is None:
            raise ValueError(f"{action} needs a loss: call compile(optimizer, loss='...')")
        return self._compiled

    @property
    def optimizer(self) -> Optimizer | None:
        """Optimizer that the model was compiled with."""
        return None if self._compiled is None else self._compiled.optimizer

    @property
    def loss(self) -> Loss | None:
        """Loss that the model was compiled with."""
        return None if self._compiled is None else self._compiled.loss

    @property
    def metrics(self) -> list[Metric]:
        """Metrics that the model was compiled with."""
        return [] if self._compiled is None else list(self._compiled.metrics)

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns: ``loss``, then the metrics."""
        return ["loss", *(metric.name for metric in self.metrics)]

    # Training

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Sequence[Any] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
    ) -> History:
        """Train on `x` and `y`.

        Parameters
        ----------
        x : array_like of shape (n, features)
            Finite numbers; (n, 28, 28) and the like for a model that begins with that shape.
        y : array_like of shape (n, outputs)
            Finite numbers; shape (n,) will do for one output. Class numbers of shape (n,) for
            sparse losses.
        batch_size : int, optional
            Samples in a step. Default: 32; all, if the optimizer takes no less (`LBFGS`).
        epochs : int, default 1
            Number of the epoch before which to end, counted from 0.
        verbose : {"auto", 0, 1, 2}, default "auto"
            0 silent, 1 progress bar, 2 a line for each epoch; "auto" is 1.
        callbacks : sequence of Callback, optional
        validation_split : float, default 0
            Fraction of the samples, the last ones, to evaluate on after each epoch instead of
            training on them.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            To evaluate on after each epoch; goes before `validation_split`.
        shuffle : bool, default True
            Visit the samples in a new random order each epoch, from the generator that
            `fastnn.utils.set_random_seed` seeds.
        class_weight : dict of int to float, optional
            Factor of the loss of each class' samples; 1 for those not named.
        sample_weight : array_like of shape (n,), optional
            Factor of the loss of each sample.
        initial_epoch : int, default 0
            Number of the first epoch.

        Returns
        -------
        History
            Its ``history`` maps ``loss``, metrics and their ``val_`` twins to a value for each
            epoch.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described. The model is then as it was before.
        RuntimeError
            If the model is not compiled, or is being trained by another thread.
        MemoryError
            If weights or workspace do not fit.

        Notes
        -----
        An exception, that of Ctrl-C too, leaves the model at its last finished step and
        `history` with the finished epochs.

        Without validation, and without callbacks or a progress bar (``verbose=0``), many epochs of
        few samples are run in one go at a constant learning rate, with the same results: that saves
        what Python does for each.

        Without callbacks and `validation_split`, the first epoch finds out whether x is finite, if
        it has 32 MB and more. For that, weights and the optimizer's state are copied; where x is
        not at least 32 times as large as the copies, it is looked through before.

        The workspace is kept for the next fit: up to 1 MB by every model, larger ones by those that
        were fitted last, 64 MB together, and up to 16 MB of what others had for whichever comes
        next.
        """
        compiled = self._require_compiled("fit")
        size = BATCH_SIZE if batch_size is None else batch_size
        plan = _training.Plan(size, epochs, initial_epoch, shuffle)
        shape = self._shape_for(x)
        late = shuffle and not callbacks and not validation_split and self._may_find_out_late(x)
        data = self._dataset(compiled, shape, x, y, sample_weight, finite=not late)
        validation = self._validation_set(compiled, shape, validation_data)
        if validation is None and real(validation_split, "validation_split", "[0, 1)"):
            data, validation = _training.split(data, validation_split)
        data = _weighted(data, class_weight)
        # A batch is never larger than the data, and so no workspace either.
        most = max(len(data), 0 if validation is None else len(validation))
        full_batch = compiled.optimizer.full_batch
        if full_batch and batch_size is not None and batch_size < len(data):
            raise ValueError(
                f"{type(compiled.optimizer).__name__} takes all {len(data)} samples at once, got "
                f"batch_size={batch_size}: leave batch_size out"
            )
        size = most if full_batch else min(plan.batch_size, most)
        plan = _training.Plan(size, epochs, initial_epoch, shuffle)
        history = History()
        steps = _training.batches(data, plan.batch_size)
        heard = CallbackList(
            callbacks, history, self, verbose=verbose, epochs=plan.epochs, steps=steps
        )
        with self._training_alone(), self._metrics_for(compiled, shape) as metrics:
            trainer = self._trainer_for(compiled, shape, plan.batch_size, metrics)
            loop = _training.Loop(self, trainer, metrics, heard)
            if full_batch:
                from fastnn._full_batch import FullBatchLoop

                program = self._ready(shape)[1]
                loop = FullBatchLoop(self, trainer, metrics, heard, program)
            with self._telling_where_not_finite(x, shape):
                self.history = history
                loop.fit(compiled.optimizer, data, validation, plan)
        return history

    def _may_find_out_late(self, x: ArrayLike) -> bool:
        """Whether training on `x` may show that it is not finite; else that is checked before."""
        if self._running is None or not isinstance(x, np.ndarray) or self._checks_inputs():
            return False
        assert self._compiled is not None
        return _training.may_find_out_late(self._running[1], self._compiled.optimizer, x)

    @contextmanager
    def _telling_where_not_finite(self, x: ArrayLike, shape: Shape) -> Iterator[None]:
        """Context that ends as the check of `x` does if a step meets such a row."""
        history = self.history
        try:
            yield
        except NotFiniteError:
            self.history = history
            try:
                self._features(x, shape)
            except ValueError as named:
                raise named from None
            raise

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Take one training step over all of `x` and `y`.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`.
        return_dict : bool, default False
            Return a dict of names to values.

        Returns
        -------
        float, list of float or dict
            Loss before the step, and with metrics a list of the loss and these.
        """
        compiled = self._require_compiled("train_on_batch")
        if compiled.optimizer.full_batch:
            raise ValueError(
                f"{type(compiled.optimizer).__name__} takes all samples at once and cannot be "
                "trained batch by batch: call fit"
            )
        shape = self._shape_for(x)
        data = _weighted(self._dataset(compiled, shape, x, y, sample_weight), class_weight)
        with self._training_alone(), self._metrics_for(compiled, shape) as metrics:
            trainer = self._trainer_for(compiled, shape, len(data), metrics, single=True)
            loop = _training.Loop(self, trainer, metrics, _NOBODY)
            logs = loop.train_on_batch(compiled.optimizer, data)
        return _values(logs, return_dict)

    @contextmanager
    def _training_alone(self) -> Iterator[None]:
        """Hold the right to train this model."""
        if not self._training_lock.acquire(blocking=False):
            raise RuntimeError(
                f"model '{self.name}' is being trained already: wait until that has ended, or "
                "train a copy, made with Sequential.from_config(model.get_config())"
            )
        try:
            yield
        finally:
            self._training_lock.release()

    def _metrics_for(
        self, compiled: _training.Compiled, shape: Shape
    ) -> AbstractContextManager[tuple[Metric, ...]]:
        """Context with the metrics to train with. Builds for this shape what is not built yet."""
        program = self._ready(shape)[1]
        _training.require_gradient(program)
        compiled.resolve_metrics(program.outputs)
        return compiled.lent_metrics()

    def _trainer_for(
        self,
        compiled: _training.Compiled,
        shape: Shape,
        capacity: int,
        metrics: tuple[Metric, ...],
        single: bool = False,
    ) -> Trainer:
        """Return a trainer for batches of at most `capacity` rows, for a `single` step or a fit."""
        engine, program = self._ready(shape)
        make = compiled.kept_trainer if single else compiled.trainer_to_fit
        trainer = make(engine, program, capacity, metrics)
        compiled.optimizer.state = compiled.state(program)
        return trainer

    # Data

    def _shape_for(self, x: ArrayLike) -> Shape:
        """Return the shape of the input: the known one, else that of `x`."""
        known = self._known_shape()
        if known is not None:
            return known
        given = _validation.numeric_array(x, "x")
        if given.ndim == 0:
            raise ValueError("x must have shape (n, features), got a single number")
        sizes = given.shape[1:] or (1,)
        return (None, *_validation.feature_shape(sizes, "the shape of a sample of x"))

    def _features(
        self, x: ArrayLike, shape: Shape, what: str = "x", finite: bool = True
    ) -> np.ndarray:
        """Return checked rows of the model's input."""
        features = _validation.rows(x, _sample(shape), self._dtype, what, finite=finite)
        if self._checks_inputs():
            self._first_layer().check_inputs(features)
        return features

    def _checks_inputs(self) -> bool:
        """Whether the first layer takes certain values only."""
        return type(self._first_layer()).check_inputs is not Layer.check_inputs

    def _first_layer(self) -> Layer:
        """Return the first layer that does more than give samples another shape."""
        for layer in self._layers:
            if not isinstance(layer, layers.Flatten | layers.Reshape):
                return layer
        return self._layers[0]

    def _dataset(
        self,
        compiled: _training.Compiled,
        shape: Shape,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        prefix: str = "",
        finite: bool = True,
    ) -> Dataset:
        """Return checked arrays of at least one row; x may have NaN and infinity unless `finite`.

        `prefix` is put before names in messages.
        """
        assert compiled.loss is not None
        outputs = self._output_width(shape)
        features = self._features(x, shape, f"{prefix}x", finite)
        count = len(features)
        if not count:
            raise ValueError(f"{prefix}x is empty: pass at least one sample")
        labels = _validation.targets(y, count, outputs, compiled.loss, self._dtype, f"{prefix}y")
        weights = None
        if sample_weight is not None:
            name = f"{prefix}sample_weight"
            weights = _validation.sample_weights(sample_weight, count, self._dtype, name)
        return Dataset(features, labels, weights, finite)

    def _validation_set(
        self, compiled: _training.Compiled, shape: Shape, given: Sequence[Any] | None
    ) -> Dataset | None:
        if given is None:
            return None
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise ValueError(
                "validation_data must be a tuple (x, y) or (x, y, sample_weight), got "
                f"{type(given).__name__}"
            )
        x, y, *rest = given
        return self._dataset(compiled, shape, x, y, rest[0] if rest else None, "validation ")

    # Evaluating

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Return the loss over `x` and `y`, penalties included, and the metrics.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.
        batch_size : int, optional
            Samples at a time. Default: 32.
        verbose : {"auto", 0, 1, 2}, default "auto"
            0 silent; otherwise a line with time and values is printed.
        callbacks : sequence of Callback, optional
        return_dict : bool, default False
            Return a dict of names to values.

        Returns
        -------
        float, list of float or dict
            The loss; with metrics a list of the loss and these, in the order of
            `metrics_names`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `fit`; a model that is not built yet raises too.
        """
        compiled = self._require_compiled("evaluate")
        size = BATCH_SIZE if batch_size is None else batch_size
        size = _validation.whole_number(size, "batch_size")
        data = self._dataset(compiled, self._resolve_shape(), x, y, sample_weight)
        steps = _training.batches(data, size)
        heard = CallbackList(callbacks, model=self, verbose=verbose, steps=steps)
        return _values(self._evaluated(compiled, data, size, heard), return_dict)

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Return loss and metrics over `x` and `y` as one batch; see `evaluate`."""
        compiled = self._require_compiled("test_on_batch")
        data = self._dataset(compiled, self._resolve_shape(), x, y, sample_weight)
        return _values(self._evaluated(compiled, data, len(data), _NOBODY), return_dict)

    def _evaluated(
        self,
        compiled: _training.Compiled,
        data: Dataset,
        batch_size: int,
        callbacks: CallbackList,
    ) -> dict[str, float]:
        engine, program = self._ready()
        compiled.resolve_metrics(program.outputs)
        # A trainer of its own, as a fit may be running in another thread.
        size = min(batch_size, len(data))
        with compiled.lent_metrics() as metrics:
            trainer = compiled.trainer(engine, program, size, metrics)
            return _training.Loop(self, trainer, metrics, callbacks).evaluate(data, size)

    def diagnose(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Diagnosis:
        """Look at how signals and gradients fare in this model, and say what is conspicuous.

        All rows go forward and back once, as in the first training step (dropout is active), in
        float64, through a copy of the model; the model stays as it is. A few hundred rows are
        enough.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.

        Returns
        -------
        Diagnosis
            Print it to read it. Its ``layers`` have the figures of each layer, its ``findings``
            say in words what is conspicuous:

            - vanishing or exploding gradients: those of a layer's outputs are, in the mean of
              their sizes, less than 1e-3 or more than 1e3 times those of the last layer;
            - dead units: 40 per cent or more of a layer's units are off on every row, as a ReLU
              is whose input is never positive;
            - saturation: half of a hidden layer's outputs or more are as near to a bound of their
              sigmoid, tanh or the like as a hundredth of the distance between the bounds.

            `fastnn.plotting.gradient_flow` and `fastnn.plotting.dead_units` draw it.

        Raises
        ------
        TypeError, ValueError, RuntimeError, MemoryError
            As in `evaluate`; ValueError also if an activation has no gradient.

        References
        ----------
        X. Glorot and Y. Bengio (2010). Understanding the difficulty of training deep feedforward
        neural networks. AISTATS, 249-256.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn
        >>> from fastnn.layers import Dense
        >>> fastnn.utils.set_random_seed(0)
        >>> x, y = np.random.default_rng(0).normal(size=(50, 4)), np.zeros(50)
        >>> model = Sequential([Dense(8, "relu", input_dim=4, name="hidden"), Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> model.diagnose(x, y).findings
        ()
        >>> model.layers[0].bias = np.repeat([-100.0, 0.0], 4)
        >>> model.diagnose(x, y).findings[0]  # doctest: +ELLIPSIS
        'hidden: 50% of units are dead on these data; try leaky_relu, elu or he_normal, ...'
        """
        from fastnn.diagnosis import diagnose

        return diagnose(self, x, y, sample_weight)

    # Predicting

    def _predict(
        self,
        x: ArrayLike,
        batch_size: int | None,
        verbose: str | int,
        callbacks: Sequence[Callback] | None,
    ) -> np.ndarray:
        """Predict where `FastCall.predict` cannot do so at once."""
        if batch_size is not None:
            batch_size = _validation.whole_number(batch_size, "batch_size")
        shape = self._resolve_shape()
        self._output_width(shape)
        features = self._features(x, shape)
        heard = CallbackList(callbacks, model=self, verbose=verbose)
        default = BATCH_SIZE if heard.predict_batches else INFERENCE_ROWS
        size = default if batch_size is None else batch_size
        starts = range(0, len(features), size)
        heard.set_params({"verbose": verbose, "steps": len(starts)})
        engine, program = self._ready()
        out = np.empty((len(features), program.outputs), self._dtype)
        heard.on_predict_begin()
        for step, start in enumerate(starts):
            part = out[start : start + size]
            heard.on_predict_batch_begin(step)
            engine.forward(features[start : start + size], part)
            heard.on_predict_batch_end(step, {"outputs": part})
        heard.on_predict_end()
        return out

    def predict_on_batch(self, x: ArrayLike) -> np.ndarray:
        """Return the outputs for `x` as one batch; see `predict`."""
        shape = self._resolve_shape()
        self._output_width(shape)
        features = self._features(x, shape)
        return _forwarded(*self._ready(), features)

    def _call(self, x: ArrayLike, training: bool) -> np.ndarray:
        """Compute where `FastCall.__call__` cannot do so at once."""
        shape = self._shape_for(x)
        self._output_width(shape)
        features = self._features(x, shape, finite=False)
        engine, program = self._ready(shape)
        if training:
            return self._as_in_training(program, features)
        return _forwarded(engine, program, features)

    def _as_in_training(self, program: Program, x: np.ndarray) -> np.ndarray:
        """Return the outputs for `x` as in a training step; no statistics are renewed."""
        from fastnn.reference.engine import outputs_in_training

        number = _FIRST_PASS + self._passes
        self._passes += 1
        return outputs_in_training(program.ops, x, number)

    # Description

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
    ) -> None:
        """Print the layers, their output shapes and the numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Default: 65.
        positions : sequence of 3 floats, optional
            Where the columns end, as fractions of the line or in characters. Default: 0.45,
            0.85, 1.
        print_fn : callable, optional
            Called with each line. Default: print.

        Raises
        ------
        ValueError
            If the model does not know the shape of its input yet.
        """
        length = 65 if line_length is None else _validation.whole_number(line_length, "line_length")
        ends = (0.45, 0.85, 1.0) if positions is None else tuple(positions)
        if len(ends) != 3:
            raise ValueError(f"positions must be the ends of 3 columns, got {positions}")
        print_summary(self, length, ends, print_fn or print)

    def get_config(self) -> dict[str, Any]:
        """Return what makes this model anew, without weights and without what it is compiled with.

        See Also
        --------
        from_config
        """
        stack: list[Layer] = [*self._layers]
        if self._input is not None:
            stack.insert(0, self._input)
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype,
            "layers": [layers.serialize(layer) for layer in stack],
        }
        told = stack and (stack[0] is self._input or stack[0]._given_shape is not None)
        if self._built_shape is not None and not told:
            config["build_input_shape"] = self._built_shape
        return config

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        custom_objects: Mapping[str, type[Layer]] | None = None,
    ) -> Sequential:
        """Return a new model of new layers.

        Parameters
        ----------
        config : dict
            As from `get_config`.
        custom_objects : dict of str to class, optional
            Classes by name of your own layers, activations, initializers and so on, looked at
            before those of fastnn.
        """
        stack = [layers.deserialize(layer, custom_objects) for layer in config["layers"]]
        rest = {name: config[name] for name in config if name != "layers"}
        trainable, shape = rest.pop("trainable", True), rest.pop("build_input_shape", None)
        model = cls(stack, **rest)
        # The layers bring their own with them: some may be trained in a model that is not.
        model._trainable = bool(trainable)
        if shape is not None:
            model.build(tuple(shape))
        return model


def _output_shapes(stack: Sequence[Layer], input_shape: Shape) -> list[Shape]:
    """Return the shape that comes out of each layer."""
    shapes: list[Shape] = []
    for layer in stack:
        shapes.append(layer.compute_output_shape(shapes[-1] if shapes else input_shape))
    return shapes


def _lower(stack: Sequence[Layer], input_shape: Shape, dtype: np.dtype) -> Program:
    """Return the program of built layers."""
    shape = input_shape
    ops: list[Op] = []
    for layer in stack:
        for op in layer.lower(shape):
            _append(ops, op)
        shape = layer.compute_output_shape(shape)
    return Program(ops, math.prod(_sample(input_shape)), dtype)


def _append(ops: list[Op], op: Op) -> None:
    """Append `op`; an activation after a linear dense op becomes one with it."""
    last = ops[-1] if ops else None
    if (
        isinstance(op, ActivationOp)
        and isinstance(last, DenseOp)
        and layers.is_identity(last.activation)
    ):
        ops[-1] = DenseOp(last.inputs, op.outputs, last.kernel, last.bias, op.activation)
    else:
        ops.append(op)


def _sample(shape: Shape) -> tuple[int, ...]:
    """Return the shape of one sample."""
    return tuple(size for size in shape[1:] if size is not None)


def _forwarded(engine: Engine, program: Program, x: np.ndarray) -> np.ndarray:
    out = np.empty((len(x), program.outputs), program.dtype)
    engine.forward(x, out)
    return out


def _weighted(data: Dataset, class_weight: Mapping[int, float] | None) -> Dataset:
    """Return `data` with the weights of its classes multiplied in."""
    if class_weight is None:
        return data
    factors = _validation.class_weights(class_weight, data.y, data.x.dtype)
    weights = factors if data.weights is None else data.weights * factors
    return Dataset(data.x, data.y, weights, data.finite)


def _values(logs: dict[str, float], as_dict: bool) -> float | list[float] | dict[str, float]:
    """Return `logs` in the form that Keras returns them."""
    if as_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
