"""Losses: what training minimises.

A loss gives one value per sample from targets and predictions, arrays of one shape whose last
axis runs over the outputs of a sample; targets without that axis will do where there is one
output. Sparse losses take class numbers 0, 1, ... instead, without that axis or with one of
length 1.

Each loss is a class, to be configured, and a function, which returns the values per sample:

>>> from fastnn import losses
>>> losses.mean_squared_error([[0.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 4.0]])
array([0.5, 4.5])
>>> losses.MeanSquaredError()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 4.0]])
2.5

Float64 predictions are computed with in float64, all others in float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._registry import Configurable, Registry, real
from fastnn._validation import numeric_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.activations import ActivationFunction

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss(Configurable):
    """Base of all losses; subclass it for one of your own.

    A subclass defines `forward` and `backward` in NumPy. Training calls them with arrays of shape
    (n, outputs) in the model's dtype.

    Parameters
    ----------
    name : str, optional
        Default: the name of the class.
    reduction : str or None, default "sum_over_batch_size"
        What a call does with the values, each multiplied by its sample's weight:
        ``"sum_over_batch_size"`` or ``"mean"`` divide their sum by their number, ``"sum"`` does
        not, ``"mean_with_sample_weight"`` divides it by the sum of the weights, ``"none"`` or
        None return the values. Training always divides by the number of samples in the batch.

    Attributes
    ----------
    kernel : str or None
        Name of the kernel that computes it; None if `forward` and `backward` do.
    sparse : bool
        Whether targets are class numbers, int32 of shape (n,) in training.
    from_logits, label_smoothing, delta
        Options of the kernels.

    Examples
    --------
    >>> class MeanFourthPower(Loss):
    ...     def forward(self, y_true, y_pred):
    ...         return ((y_pred - y_true) ** 4).mean(axis=1)
    ...
    ...     def backward(self, y_true, y_pred):
    ...         return 4 * (y_pred - y_true) ** 3 / y_pred.shape[1]
    >>> MeanFourthPower()([[0.0], [0.0]], [[1.0], [2.0]])
    8.5
    """

    kernel: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False
    _own_kernel: ClassVar[str | None] = None
    from_logits: bool = False
    label_smoothing: float = 0.0
    delta: float = 1.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_kernel = cls.kernel or cls._own_kernel
        # Whoever writes one of these anew means it to be called; `super()` still has the kernel.
        if vars(cls).keys() & {"forward", "backward"}:
            cls.kernel = None

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size"
    ) -> None:
        if reduction not in REDUCTIONS:
            choices = ", ".join(repr(choice) for choice in REDUCTIONS)
            raise ValueError(f"reduction must be one of {choices}, got {reduction!r}")
        self.name = name or type(self).__name__
        self.reduction = reduction

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        """Return the reduced loss, or the values per sample where `reduction` is none.

        Parameters
        ----------
        y_true, y_pred : array_like
        sample_weight : array_like, optional
            One factor for each value, or for all.
        """
        values = per_sample(self, y_true, y_pred)
        if sample_weight is None:
            return _reduced(values, values.size, self.reduction)
        weights = as_weights(sample_weight, values.shape)
        by_weight = self.reduction == "mean_with_sample_weight"
        count = float(weights.sum(dtype=np.float64)) if by_weight else values.size
        return _reduced(values * weights.astype(values.dtype), count, self.reduction)

    def forward(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return one value for each sample, shape (n,).

        Parameters
        ----------
        y_true : ndarray
            Shape (n, outputs), or int32 of shape (n,) if `sparse`.
        y_pred : ndarray of shape (n, outputs)
        """
        if self._own_kernel is None:
            raise NotImplementedError(f"{type(self).__name__} must define forward(y_true, y_pred)")
        from fastnn import kernels

        return kernels.loss_forward(y_true, y_pred, self._own_kernel, **self._options())

    def backward(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the gradient of each value with respect to `y_pred`, shape (n, outputs)."""
        if self._own_kernel is None:
            raise NotImplementedError(f"{type(self).__name__} must define backward(y_true, y_pred)")
        from fastnn import kernels

        return kernels.loss_backward(y_true, y_pred, self._own_kernel, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "delta": self.delta,
        }


class MeanSquaredError(Loss):
    """``mean((y_pred - y_true)**2)``.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "mean_squared_error"

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    kernel = "mean_squared_error"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
    ) -> None:
        super().__init__(name, reduction)


class MeanAbsoluteError(Loss):
    """``mean(|y_pred - y_true|)``; its gradient at 0 is taken as 0.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "mean_absolute_error"

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, -3.0]])
    2.0
    """

    kernel = "mean_absolute_error"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_error",
    ) -> None:
        super().__init__(name, reduction)


class Huber(Loss):
    """Squared error where it is small, absolute error where it is large.

    The mean over the outputs, with ``e = y_pred - y_true``, of

        e**2 / 2                      where |e| <= delta,
        delta * |e| - delta**2 / 2    elsewhere.

    Parameters
    ----------
    delta : float, default 1.0
        Greater than 0.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "huber_loss"

    References
    ----------
    P. J. Huber (1964). Robust estimation of a location parameter. Annals of Mathematical
    Statistics 35(1), 73-101.

    Examples
    --------
    >>> Huber()([[0.0], [0.0]], [[1.0], [3.0]])
    1.5
    """

    kernel = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
    ) -> None:
        self.delta = real(delta, "delta", "(0, inf)")
        super().__init__(name, reduction)


class BinaryCrossentropy(Loss):
    """``mean(-t * log(p) - (1 - t) * log(1 - p))`` for independent yes-or-no outputs.

    Probabilities are clipped to [1e-7, 1 - 1e-7] first. From logits z, where p = sigmoid(z), it
    is exact: ``max(z, 0) - z * t + log(1 + exp(-|z|))``. Training takes that form also where a
    model ends in a sigmoid.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]. Targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "binary_crossentropy"

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]), 6)
    0.693147
    """

    kernel = "binary_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = real(label_smoothing, "label_smoothing", "[0, 1]")
        super().__init__(name, reduction)


class CategoricalCrossentropy(Loss):
    """``-sum(t * log(p))`` for one of k classes, with one-hot targets or probabilities.

    Predictions are divided by their sum and clipped to [1e-7, 1 - 1e-7] first. From logits z,
    where p = softmax(z), it is exact: ``-sum(t * (z - log(sum(exp(z)))))``. Training takes that
    form also where a model ends in a softmax.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]. Targets become ``t * (1 - label_smoothing) + label_smoothing / k``.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "categorical_crossentropy"

    References
    ----------
    C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna (2016). Rethinking the inception
    architecture for computer vision. CVPR, 2818-2826. (Label smoothing.)

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.693147
    """

    kernel = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = real(label_smoothing, "label_smoothing", "[0, 1]")
        super().__init__(name, reduction)


class SparseCategoricalCrossentropy(Loss):
    """``-log(p[t])`` for one of k classes, with class numbers t = 0, ..., k - 1 as targets.

    Predictions are treated as by `CategoricalCrossentropy`.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "sparse_categorical_crossentropy"

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 6)
    0.693147
    """

    kernel = "sparse_categorical_crossentropy"
    sparse = True

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        self.from_logits = bool(from_logits)
        super().__init__(name, reduction)


class Hinge(Loss):
    """``mean(max(0, 1 - t * y_pred))`` with t = 1 where y_true > 0, else -1.

    So targets may be -1 and 1 or 0 and 1.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "hinge"

    References
    ----------
    C. Cortes and V. Vapnik (1995). Support-vector networks. Machine Learning 20, 273-297.

    Examples
    --------
    >>> Hinge()([[1.0], [0.0]], [[0.5], [2.0]])
    1.75
    """

    kernel = "hinge"

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "hinge") -> None:
        super().__init__(name, reduction)


# Functions


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanSquaredError` per sample."""
    return per_sample(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanAbsoluteError` per sample."""
    return per_sample(MeanAbsoluteError(), y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> np.ndarray:
    """Return the values of `Huber` per sample."""
    return per_sample(Huber(delta), y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> np.ndarray:
    """Return the values of `BinaryCrossentropy` per sample."""
    return per_sample(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> np.ndarray:
    """Return the values of `CategoricalCrossentropy` per sample."""
    return per_sample(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False
) -> np.ndarray:
    """Return the values of `SparseCategoricalCrossentropy` per sample."""
    return per_sample(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `Hinge` per sample."""
    return per_sample(Hinge(), y_true, y_pred)


def crossentropy_head(loss: Loss, activation: ActivationFunction) -> str | None:
    """Return the activation that fuses with `loss`, if that is the one that comes before it.

    Softmax followed by a categorical cross-entropy and sigmoid followed by the binary one are
    computed together from the logits: exact, and without the logarithm of a clipped probability.

    Parameters
    ----------
    loss : Loss
    activation : ActivationFunction
        What the program ends in.

    Returns
    -------
    {"softmax", "sigmoid", None}

    Examples
    --------
    >>> from fastnn import activations
    >>> crossentropy_head(SparseCategoricalCrossentropy(), activations.softmax)
    'softmax'
    >>> crossentropy_head(MeanSquaredError(), activations.softmax) is None
    True
    """
    if loss.kernel is None or loss.from_logits or not activation.builtin:
        return None
    return activation.name if activation.name == _HEADS.get(loss.kernel) else None


_HEADS = {
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


# Shapes


def per_sample(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `loss`: of the shape of `y_pred` without its last axis."""
    true, pred, shape = as_rows(y_true, y_pred, loss.sparse)
    return loss.forward(true, pred).reshape(shape)


def as_rows(
    y_true: ArrayLike, y_pred: ArrayLike, sparse: bool
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return targets and predictions as the kernels take them.

    Returns
    -------
    y_true : ndarray
        Shape (n, outputs) in the float type of `y_pred`, or int32 of shape (n,) if `sparse`.
    y_pred : ndarray of shape (n, outputs)
        Float64 if it was, else float32.
    shape : tuple of int
        Shape of the n samples.

    Raises
    ------
    ValueError
        If the shapes do not go together, or a class number is out of range or no whole number.
    """
    true, pred = numeric_array(y_true, "y_true"), numeric_array(y_pred, "y_pred")
    if sparse:
        true = _as_labels(true, pred)
    else:
        true, pred = _same_shape(true, pred)
    dtype = np.float64 if pred.dtype == np.float64 else np.float32
    shape, outputs = pred.shape[:-1], math.prod(pred.shape[-1:])
    n = math.prod(shape)
    rows = pred.astype(dtype, copy=False).reshape(n, outputs)
    if sparse:
        return true.reshape(n), rows, shape
    return true.astype(dtype, copy=False).reshape(n, outputs), rows, shape


def _same_shape(true: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with one shape: a missing last axis is added where the other's has length 1."""
    if true.shape == (*pred.shape, 1):
        pred = pred[..., np.newaxis]
    elif pred.shape == (*true.shape, 1):
        true = true[..., np.newaxis]
    if true.shape != pred.shape:
        raise ValueError(
            f"y_true and y_pred must have one shape, got {true.shape} and {pred.shape}"
        )
    return true, pred


def _as_labels(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Return class numbers as int32, of the shape of `pred` without its last axis."""
    if true.ndim == pred.ndim and true.shape[-1:] == (1,):
        true = true[..., 0]
    if pred.ndim == 0 or true.shape != pred.shape[:-1]:
        raise ValueError(
            f"y_true must hold one class number for each row of y_pred, whose shape is "
            f"{pred.shape}, got shape {true.shape}"
        )
    classes = pred.shape[-1]
    wrong = ~((true >= 0) & (true < classes) & (true == np.floor(true)))
    if wrong.any():
        raise ValueError(
            f"y_true must hold whole class numbers from 0 to {classes - 1}, got {true[wrong][0]}"
        )
    return true.astype(np.int32, copy=False)


def as_weights(sample_weight: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return the factors of samples of this `shape`.

    Raises
    ------
    ValueError
        If they are neither one for all nor one for each.
    """
    weights = numeric_array(sample_weight, "sample_weight")
    if weights.shape == (*shape, 1):
        weights = weights[..., 0]
    if weights.shape not in (shape, ()):
        raise ValueError(f"sample_weight must have shape {shape}, got {weights.shape}")
    return np.broadcast_to(weights, shape)


def _reduced(values: np.ndarray, count: float, reduction: str | None) -> float | np.ndarray:
    """Return the weighted `values`, their sum, or their sum divided by `count`."""
    if reduction in (None, "none"):
        return values
    total = float(values.sum(dtype=np.float64))
    if reduction == "sum":
        return total
    return total / count if count else 0.0


# Names

_registry: Registry[Loss] = Registry(
    "loss",
    Loss,
    {
        "mean_squared_error": MeanSquaredError,
        "mean_absolute_error": MeanAbsoluteError,
        "huber": Huber,
        "binary_crossentropy": BinaryCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "hinge": Hinge,
    },
    aliases={
        "mse": "mean_squared_error",
        "MSE": "mean_squared_error",
        "mae": "mean_absolute_error",
        "MAE": "mean_absolute_error",
        "bce": "binary_crossentropy",
        "BCE": "binary_crossentropy",
    },
    advice=(
        "A plain function has no gradient: subclass Loss and define forward(y_true, y_pred) and "
        "backward(y_true, y_pred)"
    ),
)
_FUNCTIONS = (
    mean_squared_error,
    mean_absolute_error,
    huber,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
    hinge,
)


def get(identifier: Any) -> Loss:
    """Return the loss that `identifier` stands for.

    Parameters
    ----------
    identifier : str, class, Loss, function of this module, or dict
        A name such as ``"mean_squared_error"``, ``"MeanSquaredError"`` or ``"mse"``, or a dict
        of the form of `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these; a plain function, having no gradient, is not enough.

    Examples
    --------
    >>> get("mse"), get(hinge)
    (MeanSquaredError(), Hinge())
    """
    is_function = any(identifier is function for function in _FUNCTIONS)
    return _registry.get(identifier.__name__ if is_function else identifier)


def serialize(loss: Loss) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``."""
    return _registry.serialize(loss)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Loss]] | None = None
) -> Loss:
    """Return a new loss from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
