"""Layers that bring their inputs to a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn._registry import real
from fastnn._validation import float_array, numeric_array
from fastnn.layers._layer import Layer, Shape, features_of, known_width, row_width
from fastnn.program import LayerOp, Op, Parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.constraints import Constraint
    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer


class _RowLayer(Layer):
    """A layer whose output has the shape of its input: rows of features, in the last axis."""

    def __init__(self, axis: int, options: dict[str, Any]) -> None:
        super().__init__(**options)
        if axis not in (-1, 1):
            raise ValueError(f"axis must be -1, the features (in rows also 1), got {axis!r}")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known_width(self, input_shape)
        return input_shape

    def _op(self, kernel: str, names: Sequence[str], **options: Any) -> list[Op]:
        weights: tuple[Parameter | None, ...] = tuple(self._weights.get(name) for name in names)
        assert self._build_shape is not None
        width = features_of(self._build_shape)
        return [LayerOp(kernel, width, width, weights, options)]


class _ScaledLayer(_RowLayer):
    """One that may multiply by `gamma` and add `beta`, numbers for each feature."""

    def _choose(
        self,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
    ) -> None:
        """Keep the arguments that say what gamma and beta are like."""
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer: Initializer = initializers.get(beta_initializer)
        self.gamma_initializer: Initializer = initializers.get(gamma_initializer)
        self.beta_regularizer: Regularizer | None = regularizers.get(beta_regularizer)
        self.gamma_regularizer: Regularizer | None = regularizers.get(gamma_regularizer)
        self.beta_constraint: Constraint | None = constraints.get(beta_constraint)
        self.gamma_constraint: Constraint | None = constraints.get(gamma_constraint)

    def build(self, input_shape: Shape) -> None:
        shape = (row_width(self, input_shape),)
        if self.scale:
            self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


class BatchNormalization(_ScaledLayer):
    """Brings each feature to mean 0 and variance 1 over the batch, then scales and moves it.

    In training by mean and variance of the batch; otherwise, and where the layer is not trainable,
    by their moving averages: ``moving = momentum * moving + (1 - momentum) * batch``.

    Parameters
    ----------
    axis : int, default -1
        The features; rows have no other.
    momentum : float, default 0.99
        In [0, 1].
    epsilon : float, default 1e-3
        Added to the variance. Greater than 0.
    center, scale : bool, default True
        Whether to add `beta`, whether to multiply by `gamma`.
    beta_initializer : str, class, Initializer or config, default "zeros"
    gamma_initializer : str, class, Initializer or config, default "ones"
    moving_mean_initializer : str, class, Initializer or config, default "zeros"
    moving_variance_initializer : str, class, Initializer or config, default "ones"
    beta_regularizer, gamma_regularizer : str, class, Regularizer or config, optional
    beta_constraint, gamma_constraint : str, class, Constraint or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Notes
    -----
    A step works on the whole batch at once. `Sequential.optimized` folds the layer into a dense one
    beside it.

    References
    ----------
    S. Ioffe, C. Szegedy (2015). Batch normalization: accelerating deep network training by
    reducing internal covariate shift. arXiv:1502.03167.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        self.momentum = real(momentum, "momentum", "[0, 1]")
        self.epsilon = real(epsilon, "epsilon", "(0, inf)")
        self._choose(
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )
        self.moving_mean_initializer: Initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer: Initializer = initializers.get(
            moving_variance_initializer
        )
        super().__init__(axis, options)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        shape = (row_width(self, input_shape),)
        for name, initializer in (
            ("moving_mean", self.moving_mean_initializer),
            ("moving_variance", self.moving_variance_initializer),
        ):
            self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)

    def lower(self, input_shape: Shape) -> list[Op]:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return self._op("batch_normalization", names, momentum=self.momentum, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
        }


class LayerNormalization(_ScaledLayer):
    """Brings each sample to mean 0 and variance 1 over its features, then scales and moves them.

    Parameters
    ----------
    axis : int, default -1
        The features; rows have no other.
    epsilon : float, default 1e-3
        Added to the variance. Greater than 0.
    center, scale : bool, default True
        Whether to add `beta`, whether to multiply by `gamma`, which have a number for each feature.
    beta_initializer : str, class, Initializer or config, default "zeros"
    gamma_initializer : str, class, Initializer or config, default "ones"
    beta_regularizer, gamma_regularizer : str, class, Regularizer or config, optional
    beta_constraint, gamma_constraint : str, class, Constraint or config, optional
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton (2016). Layer normalization. arXiv:1607.06450.
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        self.epsilon = real(epsilon, "epsilon", "(0, inf)")
        self._choose(
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )
        super().__init__(axis, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("layer_normalization", ("gamma", "beta"), epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
        }


class RMSNormalization(_RowLayer):
    """Divides each sample by the root mean square of its features, then scales these.

    Parameters
    ----------
    axis : int, default -1
        The features; rows have no other.
    epsilon : float, default 1e-6
        Added to the mean square. Greater than 0.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    B. Zhang, R. Sennrich (2019). Root mean square layer normalization. arXiv:1910.07467.
    """

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **options: Any) -> None:
        self.epsilon = real(epsilon, "epsilon", "(0, inf)")
        super().__init__(axis, options)

    def build(self, input_shape: Shape) -> None:
        self.add_weight(name="scale", shape=(row_width(self, input_shape),), initializer="ones")

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("rms_normalization", ("scale",), epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


class UnitNormalization(_RowLayer):
    """Divides each sample by its Euclidean length; lengths below 1e-12 count as that.

    Parameters
    ----------
    axis : int, default -1
        The features; rows have no other.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(axis, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("unit_normalization", ())


class Normalization(_RowLayer):
    """Takes a fixed mean off each feature and divides it by a fixed standard deviation.

    Parameters
    ----------
    axis : int, default -1
        The features; rows have no other.
    mean, variance : float or sequence of float, optional
        For all features or for each; both or none. Default: those that `adapt` finds, 0 and 1
        before that.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Notes
    -----
    Standard deviations below 1e-7 count as that, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Normalization
    >>> scaler = Normalization()
    >>> scaler.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> scaler([[1.0, 30.0]])
    array([[-1.,  1.]], dtype=float32)
    """

    EPSILON = 1e-7

    def __init__(
        self,
        axis: int = -1,
        mean: float | Sequence[float] | None = None,
        variance: float | Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        if (mean is None) != (variance is None):
            raise ValueError(
                f"give mean and variance or neither, got mean={mean!r}, variance={variance!r}"
            )
        self.mean = None if mean is None else _numbers(mean, "mean")
        self.variance = None if variance is None else _numbers(variance, "variance")
        if self.variance is not None and min(self.variance) < 0:
            raise ValueError(f"variance must be at least 0, got {variance!r}")
        super().__init__(axis, options)

    def adapt(self, data: ArrayLike) -> None:
        """Take mean and variance of each feature of `data`.

        Parameters
        ----------
        data : array_like of shape (n, features)
            Finite numbers, n at least 1.

        Raises
        ------
        ValueError
            If `data` is not so, does not have the features that the layer was built for, or mean
            and variance were given.
        """
        if self.mean is not None:
            raise ValueError(f"{self._title} was made with a mean and variance: leave out adapt")
        rows = float_array(data, np.dtype(np.float64), "data")
        if rows.ndim != 2 or not rows.size:
            raise ValueError(f"data must have shape (n, features), n > 0, got {rows.shape}")
        self.compute_output_shape((None, rows.shape[1]))
        moments = rows.mean(axis=0), rows.var(axis=0)
        if self.built:
            self.set_weights(moments)
        self._moments = moments

    _moments: tuple[np.ndarray, np.ndarray] | None = None

    def build(self, input_shape: Shape) -> None:
        features = row_width(self, input_shape)
        mean, variance = self._moments or (self.mean, self.variance)
        for name, value, otherwise in (("mean", mean, 0.0), ("variance", variance, 1.0)):
            chosen = otherwise if value is None else value
            self.add_weight(
                name=name,
                shape=(features,),
                initializer=_Values(_broadcast(chosen, features, name, self._title)),
                trainable=False,
            )

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("normalization", ("mean", "variance"), epsilon=self.EPSILON)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "variance": self.variance}


class Rescaling(_RowLayer):
    """Multiplies by a fixed scale and adds a fixed offset: ``y = scale * x + offset``.

    Parameters
    ----------
    scale : float or sequence of float
        For all features or for each.
    offset : float or sequence of float, default 0
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Examples
    --------
    >>> from fastnn.layers import Rescaling
    >>> Rescaling(1 / 255)([[0.0, 255.0]])
    array([[0., 1.]], dtype=float32)
    """

    def __init__(
        self,
        scale: float | Sequence[float],
        offset: float | Sequence[float] = 0.0,
        **options: Any,
    ) -> None:
        self.scale, self.offset = _numbers(scale, "scale"), _numbers(offset, "offset")
        super().__init__(-1, options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if len(value) > 1:
                _broadcast(value, row_width(self, input_shape), name, self._title)
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        width = features_of(input_shape)
        options = {
            name: tuple(_broadcast(value, width, name, self._title).tolist())
            for name, value in (("scale", self.scale), ("offset", self.offset))
        }
        return [LayerOp("rescaling", width, width, (), options)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class _Values(initializers.Initializer):
    """Gives values that are known."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __call__(self, shape: Sequence[int], dtype: Any = "float32") -> np.ndarray:
        return self.values.astype(dtype).reshape(tuple(shape))


def _numbers(value: float | Sequence[float], what: str) -> list[float]:
    """Return one number or a row of them as a list."""
    array = numeric_array(value, what)
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{what} must be a finite number or a row of them, got {value!r}")
    return [float(v) for v in np.atleast_1d(array)]


def _broadcast(value: Any, features: int, what: str, owner: str) -> np.ndarray:
    array = np.atleast_1d(np.asarray(value, np.float64))
    if array.shape not in ((1,), (features,)):
        raise ValueError(
            f"{owner} has {what} of {array.size} features and got inputs of {features}: give one "
            "number, or one for each feature"
        )
    return np.broadcast_to(array, (features,))
