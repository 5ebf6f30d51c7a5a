"""Losses: what training minimises.

A loss gives one value per sample from targets and predictions, arrays of one shape whose last
axis runs over the outputs of a sample; targets without that axis will do where there is one
output. Sparse losses take class numbers 0, 1, ... instead, without that axis or with one of
length 1, and `GaussianNLL` has two outputs for each target.

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

from fastnn import _checks
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
    outputs_per_target : int
        How many outputs of a model go with each target: 1 but for `GaussianNLL`. Where there are
        more, predictions have all first outputs of the targets first, then all second ones, and
        metrics look at the first.
    from_logits : bool
        Whether predictions are logits; False for losses without that option.

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
    outputs_per_target: ClassVar[int] = 1
    _own_kernel: ClassVar[str | None] = None
    from_logits: bool = False

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

        return kernels.loss_forward(y_true, y_pred, self._own_kernel, **self.kernel_options())

    def backward(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the gradient of each value with respect to `y_pred`, shape (n, outputs)."""
        if self._own_kernel is None:
            raise NotImplementedError(f"{type(self).__name__} must define backward(y_true, y_pred)")
        from fastnn import kernels

        return kernels.loss_backward(y_true, y_pred, self._own_kernel, **self.kernel_options())

    def kernel_options(self) -> dict[str, Any]:
        """Return the options with which this loss calls its kernel, by name."""
        names = _checks.LOSS_OPTIONS[self._own_kernel] if self._own_kernel else ()
        return {name: getattr(self, name) for name in names}


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


class MeanAbsolutePercentageError(Loss):
    """``100 * mean(|y_pred - y_true| / max(|y_true|, 1e-7))``; its gradient at 0 is taken as 0.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "mean_absolute_percentage_error"

    Examples
    --------
    >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]])
    37.5
    """

    kernel = "mean_absolute_percentage_error"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
    ) -> None:
        super().__init__(name, reduction)


class MeanSquaredLogarithmicError(Loss):
    """``mean((log(1 + y_pred) - log(1 + y_true))**2)``.

    Targets and predictions below 1e-7 count as 1e-7; the gradient of such a prediction is 0.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "mean_squared_logarithmic_error"

    Examples
    --------
    >>> round(MeanSquaredLogarithmicError()([[0.0]], [[np.e - 1]]), 6)
    1.0
    """

    kernel = "mean_squared_logarithmic_error"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
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


class LogCosh(Loss):
    """``mean(log(cosh(y_pred - y_true)))``: about e**2 / 2 for small errors e, |e| for large.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "log_cosh"

    Examples
    --------
    >>> round(LogCosh()([[0.0]], [[100.0]]), 4)
    99.3069
    """

    kernel = "log_cosh"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "log_cosh",
    ) -> None:
        super().__init__(name, reduction)


class QuantileLoss(Loss):
    """The pinball loss, least where the predictions are quantiles of the targets.

    The mean over the outputs, with ``e = y_pred - y_true``, of
    ``max(-quantile * e, (1 - quantile) * e)``; its gradient at 0 is taken as 0. For the median,
    ``quantile=0.5``, it is half the absolute error.

    Parameters
    ----------
    quantile : float, default 0.5
        In (0, 1).
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "quantile_loss"

    References
    ----------
    R. Koenker and G. Bassett (1978). Regression quantiles. Econometrica 46(1), 33-50.

    Examples
    --------
    >>> QuantileLoss(0.75)([[0.0, 0.0]], [[-2.0, 2.0]])
    1.0
    """

    kernel = "quantile_loss"

    def __init__(
        self,
        quantile: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "quantile_loss",
    ) -> None:
        self.quantile = real(quantile, "quantile", "(0, 1)")
        super().__init__(name, reduction)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between y_true and y_pred: -1 for the same direction.

    ``-sum(y_true * y_pred) / (norm(y_true) * norm(y_pred))``, where norms below 1e-7 count as
    1e-7; so the loss is 0 for a vector of zeros. The gradient of so short a prediction is 0.

    Parameters
    ----------
    axis : int, default -1
        That of the outputs; there is no other choice.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "cosine_similarity"

    Examples
    --------
    >>> round(CosineSimilarity()([[0.0, 2.0]], [[3.0, 4.0]]), 6)
    -0.8
    """

    kernel = "cosine_similarity"

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
    ) -> None:
        if axis != -1:
            raise ValueError(f"axis must be -1, that of the outputs, got {axis!r}")
        self.axis = -1
        super().__init__(name, reduction)


class Poisson(Loss):
    """``mean(y_pred - y_true * log(y_pred + 1e-7))``, for counts.

    It is the negative log-likelihood of a Poisson distribution with this mean, without the terms
    that depend on the targets alone. Predictions have to be positive, as after an activation
    "softplus" or "exponential"; below -1e-7 the loss is NaN.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "poisson"

    Examples
    --------
    >>> round(Poisson()([[1.0]], [[1.0]]), 6)
    1.0
    """

    kernel = "poisson"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poisson",
    ) -> None:
        super().__init__(name, reduction)


class Tweedie(Loss):
    """Negative log-likelihood of amounts that are often exactly 0, such as rainfall or claims.

    The mean over the outputs of ``p**(2 - power) / (2 - power) - t * p**(1 - power) / (1 - power)``
    for targets t, not negative, and their expectations p. That is the likelihood of Tweedie's
    compound Poisson-gamma distribution, whose variance is proportional to ``p**power``, without
    the terms that depend on the targets alone.

    Predictions are p, held at 1e-7 or more (where that changes one, its gradient is 0), or
    log(p), which may be any number.

    Parameters
    ----------
    power : float, default 1.5
        Between that of a Poisson, 1, and of a gamma distribution, 2; both are left out.
    log_link : bool, default False
        Whether predictions are logarithms of the expectations.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "tweedie"

    References
    ----------
    B. Jorgensen (1987). Exponential dispersion models. Journal of the Royal Statistical Society B
    49(2), 127-162.

    Examples
    --------
    >>> Tweedie()([[0.0], [4.0]], [[1.0], [4.0]])
    5.0
    >>> Tweedie(log_link=True)([[0.0]], [[0.0]])
    2.0
    """

    kernel = "tweedie"

    def __init__(
        self,
        power: float = 1.5,
        log_link: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tweedie",
    ) -> None:
        self.power = real(power, "power", "(1, 2)")
        self.log_link = bool(log_link)
        super().__init__(name, reduction)


class GaussianNLL(Loss):
    """Negative log-likelihood of targets with a predicted mean and a predicted variance.

    Predictions have two columns for each target: all k means m, then the logarithms v of all k
    variances, which may be any numbers; so the last layer of a model has 2 * k units and no
    activation. The loss is the mean over the targets t of ``(v + (t - m)**2 * exp(-v)) / 2``.

    Metrics of a model with this loss compare the targets with the means.

    Parameters
    ----------
    full : bool, default False
        Whether to add the constant ``log(2 * pi) / 2``.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "gaussian_nll"

    References
    ----------
    D. A. Nix and A. S. Weigend (1994). Estimating the mean and variance of the target probability
    distribution. ICNN, volume 1, 55-60.

    Examples
    --------
    Two targets; means 1 and 2, both with variance 1:

    >>> GaussianNLL()([[0.0, 2.0]], [[1.0, 2.0, 0.0, 0.0]])
    0.25
    """

    kernel = "gaussian_nll"
    outputs_per_target = 2

    def __init__(
        self,
        full: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "gaussian_nll",
    ) -> None:
        self.full = bool(full)
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


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy with less weight on what is predicted well already.

    The values of `BinaryCrossentropy` for each output, times ``(t * (1 - p) + (1 - t) * p)**gamma``
    and, with class balancing, ``t * alpha + (1 - t) * (1 - alpha)``. Probabilities are clipped,
    logits exact, as there.

    Parameters
    ----------
    apply_class_balancing : bool, default False
        Whether to weigh the classes.
    alpha : float, default 0.25
        Weight of class 1, in [0, 1]; that of class 0 is ``1 - alpha``.
    gamma : float, default 2.0
        How much to concentrate on what is predicted badly; 0 is the plain cross-entropy.
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]. Targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "binary_focal_crossentropy"

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollar (2017). Focal loss for dense object
    detection. ICCV, 2999-3007.

    Examples
    --------
    >>> round(BinaryFocalCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]), 6)
    0.173287
    """

    kernel = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
    ) -> None:
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = real(alpha, "alpha", "[0, 1]")
        self.gamma = real(gamma, "gamma", "[0, inf)")
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


class CategoricalFocalCrossentropy(Loss):
    """Categorical cross-entropy with less weight on what is predicted well already.

    ``-sum(alpha * (1 - p)**gamma * t * log(p))``. Predictions are treated as by
    `CategoricalCrossentropy`.

    Parameters
    ----------
    alpha : float, default 0.25
        Factor of all classes, not negative; for one of each class, pass ``class_weight`` to `fit`.
    gamma : float, default 2.0
        How much to concentrate on what is predicted badly; 0 is the plain cross-entropy.
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]. Targets become ``t * (1 - label_smoothing) + label_smoothing / k``.
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "categorical_focal_crossentropy"

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollar (2017). Focal loss for dense object
    detection. ICCV, 2999-3007.

    Examples
    --------
    >>> round(CategoricalFocalCrossentropy(alpha=1.0)([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.173287
    """

    kernel = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
    ) -> None:
        self.alpha = real(alpha, "alpha", "[0, inf)")
        self.gamma = real(gamma, "gamma", "[0, inf)")
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


class KLDivergence(Loss):
    """``sum(y_true * log(y_true / y_pred))``, for two distributions over the outputs.

    Both are clipped to [1e-7, 1] first; the gradient of a prediction that this changes is 0.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "kl_divergence"

    References
    ----------
    S. Kullback and R. A. Leibler (1951). On information and sufficiency. Annals of Mathematical
    Statistics 22(1), 79-86.

    Examples
    --------
    >>> KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]])
    0.0
    """

    kernel = "kl_divergence"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
    ) -> None:
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


class SquaredHinge(Loss):
    """``mean(max(0, 1 - t * y_pred)**2)`` with t = 1 where y_true > 0, else -1.

    So targets may be -1 and 1 or 0 and 1.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "squared_hinge"

    Examples
    --------
    >>> SquaredHinge()([[1.0], [0.0]], [[0.5], [2.0]])
    4.625
    """

    kernel = "squared_hinge"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_hinge",
    ) -> None:
        super().__init__(name, reduction)


class CategoricalHinge(Loss):
    """``max(0, 1 + max((1 - y_true) * y_pred) - sum(y_true * y_pred))``, with one-hot targets.

    It is 0 where the output of the right class is greater by 1 than all others, and than 0.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "categorical_hinge"

    References
    ----------
    K. Crammer and Y. Singer (2001). On the algorithmic implementation of multiclass kernel-based
    vector machines. Journal of Machine Learning Research 2, 265-292.

    Examples
    --------
    >>> CategoricalHinge()([[0.0, 1.0, 0.0]], [[1.0, 1.5, -2.0]])
    0.5
    """

    kernel = "categorical_hinge"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_hinge",
    ) -> None:
        super().__init__(name, reduction)


class PerceptronLoss(Loss):
    """``mean(max(0, -t * y_pred))`` with t = 1 where y_true > 0, else -1.

    So targets may be -1 and 1 or 0 and 1. The gradient is -t wherever y_pred has not the sign of
    t, also at 0, so that training can begin there: with plain gradient descent, one sample at a
    time, and one output without activation, it is Rosenblatt's rule.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
    name : str, default "perceptron_loss"

    References
    ----------
    F. Rosenblatt (1958). The perceptron: a probabilistic model for information storage and
    organization in the brain. Psychological Review 65(6), 386-408.

    Examples
    --------
    >>> PerceptronLoss()([[1.0], [0.0]], [[0.5], [2.0]])
    1.0
    """

    kernel = "perceptron_loss"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "perceptron_loss",
    ) -> None:
        super().__init__(name, reduction)


# Functions


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanSquaredError` per sample."""
    return per_sample(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanAbsoluteError` per sample."""
    return per_sample(MeanAbsoluteError(), y_true, y_pred)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanAbsolutePercentageError` per sample."""
    return per_sample(MeanAbsolutePercentageError(), y_true, y_pred)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `MeanSquaredLogarithmicError` per sample."""
    return per_sample(MeanSquaredLogarithmicError(), y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> np.ndarray:
    """Return the values of `Huber` per sample."""
    return per_sample(Huber(delta), y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `LogCosh` per sample."""
    return per_sample(LogCosh(), y_true, y_pred)


def quantile_loss(y_true: ArrayLike, y_pred: ArrayLike, quantile: float = 0.5) -> np.ndarray:
    """Return the values of `QuantileLoss` per sample."""
    return per_sample(QuantileLoss(quantile), y_true, y_pred)


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> np.ndarray:
    """Return the values of `CosineSimilarity` per sample."""
    return per_sample(CosineSimilarity(axis), y_true, y_pred)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `Poisson` per sample."""
    return per_sample(Poisson(), y_true, y_pred)


def tweedie(
    y_true: ArrayLike, y_pred: ArrayLike, power: float = 1.5, log_link: bool = False
) -> np.ndarray:
    """Return the values of `Tweedie` per sample."""
    return per_sample(Tweedie(power, log_link), y_true, y_pred)


def gaussian_nll(y_true: ArrayLike, y_pred: ArrayLike, full: bool = False) -> np.ndarray:
    """Return the values of `GaussianNLL` per sample."""
    return per_sample(GaussianNLL(full), y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> np.ndarray:
    """Return the values of `BinaryCrossentropy` per sample."""
    return per_sample(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """Return the values of `BinaryFocalCrossentropy` per sample."""
    loss = BinaryFocalCrossentropy(
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing
    )
    return per_sample(loss, y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> np.ndarray:
    """Return the values of `CategoricalCrossentropy` per sample."""
    return per_sample(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """Return the values of `CategoricalFocalCrossentropy` per sample."""
    loss = CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing)
    return per_sample(loss, y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False
) -> np.ndarray:
    """Return the values of `SparseCategoricalCrossentropy` per sample."""
    return per_sample(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `KLDivergence` per sample."""
    return per_sample(KLDivergence(), y_true, y_pred)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `Hinge` per sample."""
    return per_sample(Hinge(), y_true, y_pred)


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `SquaredHinge` per sample."""
    return per_sample(SquaredHinge(), y_true, y_pred)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `CategoricalHinge` per sample."""
    return per_sample(CategoricalHinge(), y_true, y_pred)


def perceptron_loss(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `PerceptronLoss` per sample."""
    return per_sample(PerceptronLoss(), y_true, y_pred)


def crossentropy_head(loss: Loss, activation: ActivationFunction) -> str | None:
    """Return the activation that fuses with `loss`, if that is the one that comes before it.

    Softmax followed by a categorical cross-entropy and sigmoid followed by a binary one are
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
    "binary_focal_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "categorical_focal_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


# Shapes


def per_sample(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `loss`: of the shape of `y_pred` without its last axis."""
    true, pred, shape = as_rows(y_true, y_pred, loss.sparse, loss)
    return loss.forward(true, pred).reshape(shape)


def as_rows(
    y_true: ArrayLike, y_pred: ArrayLike, sparse: bool, loss: Loss | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return targets and predictions as the kernels take them.

    Parameters
    ----------
    y_true, y_pred : array_like
    sparse : bool
        Whether `y_true` holds class numbers.
    loss : Loss, optional
        Asked how many targets go with the outputs; as many, if it is not given.

    Returns
    -------
    y_true : ndarray
        Shape (n, targets) in the float type of `y_pred`, or int32 of shape (n,) if `sparse`.
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
    elif loss is None or loss.outputs_per_target == 1:
        true, pred = _same_shape(true, pred)
    else:
        true = _narrower(true, pred, loss)
    dtype = np.float64 if pred.dtype == np.float64 else np.float32
    shape, outputs = pred.shape[:-1], math.prod(pred.shape[-1:])
    n = math.prod(shape)
    rows = pred.astype(dtype, copy=False).reshape(n, outputs)
    if sparse:
        return true.reshape(n), rows, shape
    return true.astype(dtype, copy=False).reshape(n, math.prod(true.shape[-1:])), rows, shape


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


def _narrower(true: np.ndarray, pred: np.ndarray, loss: Loss) -> np.ndarray:
    """Return targets of which each goes with several outputs, with a last axis."""
    if pred.ndim == 0:
        raise ValueError("y_pred must have an axis of outputs, got a single number")
    width = _checks.target_width(loss.name, pred.shape[-1], loss.outputs_per_target)
    expected = (*pred.shape[:-1], width)
    if (*true.shape, 1) == expected:
        true = true[..., np.newaxis]
    if true.shape != expected:
        raise ValueError(
            f"y_true must have shape {expected} to go with y_pred of shape {pred.shape} for loss "
            f"'{loss.name}', got {true.shape}"
        )
    return true


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
        "mean_absolute_percentage_error": MeanAbsolutePercentageError,
        "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
        "huber": Huber,
        "log_cosh": LogCosh,
        "quantile_loss": QuantileLoss,
        "cosine_similarity": CosineSimilarity,
        "poisson": Poisson,
        "tweedie": Tweedie,
        "gaussian_nll": GaussianNLL,
        "binary_crossentropy": BinaryCrossentropy,
        "binary_focal_crossentropy": BinaryFocalCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "kl_divergence": KLDivergence,
        "hinge": Hinge,
        "squared_hinge": SquaredHinge,
        "categorical_hinge": CategoricalHinge,
        "perceptron_loss": PerceptronLoss,
    },
    aliases={
        "mse": "mean_squared_error",
        "MSE": "mean_squared_error",
        "mae": "mean_absolute_error",
        "MAE": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error",
        "MAPE": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error",
        "MSLE": "mean_squared_logarithmic_error",
        "logcosh": "log_cosh",
        "quantile": "quantile_loss",
        "pinball": "quantile_loss",
        "pinball_loss": "quantile_loss",
        "bce": "binary_crossentropy",
        "BCE": "binary_crossentropy",
        "kld": "kl_divergence",
        "KLD": "kl_divergence",
        "kullback_leibler_divergence": "kl_divergence",
        "perceptron": "perceptron_loss",
    },
    advice=(
        "A plain function has no gradient: subclass Loss and define forward(y_true, y_pred) and "
        "backward(y_true, y_pred)"
    ),
)
_FUNCTIONS = (
    mean_squared_error,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_logarithmic_error,
    huber,
    log_cosh,
    quantile_loss,
    cosine_similarity,
    poisson,
    tweedie,
    gaussian_nll,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_crossentropy,
    kl_divergence,
    hinge,
    squared_hinge,
    categorical_hinge,
    perceptron_loss,
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
