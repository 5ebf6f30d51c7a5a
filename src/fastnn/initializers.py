"""Initializers: the values that weights begin with.

An initializer is called with a shape and a dtype and returns an array. One with a seed returns
the same values at each call; one without draws from `fastnn.utils.generator`. Values are drawn in
float64 and rounded, so that float32 and float64 models begin with the same weights.

For a kernel of shape (inputs, outputs), ``fan_in`` is the number of inputs and ``fan_out`` that
of outputs. Longer shapes count as convolution kernels, (..., inputs, outputs), where the leading
axes multiply both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._registry import Configurable, Registry, real
from fastnn._validation import whole_number
from fastnn.utils import generator

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of the standard normal distribution cut off at -2 and 2."""

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


class Initializer(Configurable):
    """Base of all initializers: a subclass defines ``__call__(shape, dtype)``.

    Examples
    --------
    >>> class Alternating(Initializer):
    ...     def __call__(self, shape, dtype="float32"):
    ...         return np.resize(np.array([1, -1], dtype=dtype), shape)
    >>> Alternating()((2, 2))
    array([[ 1., -1.],
           [ 1., -1.]], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        """Return an array of initial values.

        Parameters
        ----------
        shape : sequence of int
        dtype : dtype, optional
            Default: float32.

        Returns
        -------
        ndarray of that shape and dtype
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype)")


class Zeros(Initializer):
    """All values 0.

    Examples
    --------
    >>> Zeros()((2,))
    array([0., 0.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.zeros(shape, _dtype(dtype))


class Ones(Initializer):
    """All values 1.

    Examples
    --------
    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.ones(shape, _dtype(dtype))


class Constant(Initializer):
    """All values the same.

    Parameters
    ----------
    value : float, default 0.0

    Examples
    --------
    >>> Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = real(value, "value")

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.full(shape, self.value, _dtype(dtype))


class Identity(Initializer):
    """The identity matrix times `gain`; where it is not square, the rest is 0.

    Parameters
    ----------
    gain : float, default 1.0

    Examples
    --------
    >>> Identity(2.0)((2, 3))
    array([[2., 0., 0.],
           [0., 2., 0.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = real(gain, "gain")

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(
                f"Identity expects a shape of two axes, got {tuple(shape)}: "
                "choose another initializer"
            )
        rows, columns = shape
        return np.asarray(self.gain * np.eye(rows, columns), _dtype(dtype))


class RandomInitializer(Initializer):
    """Base of the initializers that draw at random: a subclass defines `draw`.

    Parameters
    ----------
    seed : int, optional
        At least 0. Default: draw from `fastnn.utils.generator`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else whole_number(seed, "seed", minimum=0)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        rng = generator() if self.seed is None else np.random.default_rng(self.seed)
        return self.draw(rng, tuple(shape)).astype(_dtype(dtype), copy=False)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 values of this shape, drawn from `rng`."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(rng, shape)")


class RandomUniform(RandomInitializer):
    """Uniform between `minval` and `maxval`.

    Parameters
    ----------
    minval : float, default -0.05
    maxval : float, default 0.05
    seed : int, optional

    Examples
    --------
    >>> values = RandomUniform(0.0, 1.0, seed=1)((1000,))
    >>> bool((values >= 0).all() and (values <= 1).all())
    True
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval = real(minval, "minval")
        self.maxval = real(maxval, "maxval")
        if self.minval > self.maxval:
            raise ValueError(f"minval must not exceed maxval, got {minval} and {maxval}")
        super().__init__(seed)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape)


class RandomNormal(RandomInitializer):
    """Normal, with mean `mean` and standard deviation `stddev`.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        At least 0.
    seed : int, optional
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = real(mean, "mean")
        self.stddev = real(stddev, "stddev", "[0, inf)")
        super().__init__(seed)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomInitializer):
    """Normal, but values more than two standard deviations from the mean are drawn again.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        Of the distribution before values are drawn again; that of the result is about 0.88 of
        it. At least 0.
    seed : int, optional
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = real(mean, "mean")
        self.stddev = real(stddev, "stddev", "[0, inf)")
        super().__init__(seed)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return self.mean + self.stddev * _truncated_standard_normal(rng, shape)


class VarianceScaling(RandomInitializer):
    """Values with a variance of ``scale / n``, n being a number of connections.

    Parameters
    ----------
    scale : float, default 1.0
        Greater than 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        What n is: the number of inputs, of outputs, or the mean of both.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        The first is the default, and is also known as ``"normal"``: normal within two standard
        deviations, scaled so that the variance after cutting off is ``scale / n``. The last is
        uniform in ``[-limit, limit]`` with ``limit = sqrt(3 * scale / n)``.
    seed : int, optional

    Examples
    --------
    >>> values = VarianceScaling(scale=2.0, seed=1)((100, 200))
    >>> print(f"{values.var():.3f}")
    0.020
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        self.scale = real(scale, "scale", "(0, inf)")
        self.mode = _one_of(mode, _MODES, "mode")
        normal = "truncated_normal" if distribution == "normal" else distribution
        self.distribution = _one_of(normal, _DISTRIBUTIONS, "distribution")
        super().__init__(seed)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        variance = self.scale / max(1.0, self._connections(shape))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, stddev, shape)
        return stddev / TRUNCATED_STDDEV * _truncated_standard_normal(rng, shape)

    def _connections(self, shape: tuple[int, ...]) -> float:
        fan_in, fan_out = compute_fans(shape)
        return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]


class GlorotUniform(VarianceScaling):
    """Uniform in ``[-limit, limit]``, ``limit = sqrt(6 / (fan_in + fan_out))``.

    Keeps the variance of activations and of gradients about equal over the layers; the default
    of `Dense`.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    X. Glorot and Y. Bengio (2010). Understanding the difficulty of training deep feedforward
    neural networks. AISTATS 9, 249-256.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(2 / (fan_in + fan_out))``.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    X. Glorot and Y. Bengio (2010). Understanding the difficulty of training deep feedforward
    neural networks. AISTATS 9, 249-256.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform in ``[-limit, limit]``, ``limit = sqrt(6 / fan_in)``, meant for relu.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun (2015). Delving deep into rectifiers: surpassing
    human-level performance on ImageNet classification. ICCV, 1026-1034.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(2 / fan_in)``, meant for relu.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun (2015). Delving deep into rectifiers: surpassing
    human-level performance on ImageNet classification. ICCV, 1026-1034.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform in ``[-limit, limit]``, ``limit = sqrt(3 / fan_in)``.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller (1998). Efficient backprop. In: Neural
    networks: tricks of the trade, 9-50.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(1 / fan_in)``, meant for selu.

    Parameters
    ----------
    seed : int, optional

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter (2017). Self-normalizing neural
    networks. NeurIPS 30, 971-980.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(RandomInitializer):
    """A random orthogonal matrix, times `gain`.

    The columns are orthonormal, or the rows where there are more columns than rows. It is the Q
    of a QR decomposition of normal values, with the signs that make it uniform over all
    orthogonal matrices. A longer shape is drawn as the matrix (product of the others, last axis).

    Parameters
    ----------
    gain : float, default 1.0
    seed : int, optional

    References
    ----------
    A. M. Saxe, J. L. McClelland and S. Ganguli (2014). Exact solutions to the nonlinear dynamics
    of learning in deep linear neural networks. ICLR.
    F. Mezzadri (2007). How to generate random matrices from the classical compact groups.
    Notices of the AMS 54(5), 592-604.

    Examples
    --------
    >>> q = Orthogonal(seed=1)((4, 3), "float64")
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = real(gain, "gain")
        super().__init__(seed)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(
                f"Orthogonal expects a shape of two axes or more, got {shape}: "
                "choose another initializer for vectors"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.copysign(1.0, np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of weights of this shape: (fan_in, fan_out).

    Examples
    --------
    >>> compute_fans((784, 10)), compute_fans((10,)), compute_fans((3, 3, 16, 32))
    ((784, 10), (10, 10), (144, 288))
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _dtype(given: DTypeLike | None) -> np.dtype:
    return np.dtype(np.float32 if given is None else given)


def _truncated_standard_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2.0]
    return values.reshape(shape)


def _one_of(value: str, allowed: Sequence[str], what: str) -> str:
    if value not in allowed:
        choices = ", ".join(f"'{choice}'" for choice in allowed)
        raise ValueError(f"{what} must be one of {choices}, got {value!r}")
    return value


# Keras knows them by these names, too.
zeros = Zeros
ones = Ones
constant = Constant
identity = Identity
random_uniform = RandomUniform
random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
he_uniform = HeUniform
he_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
orthogonal = Orthogonal

_registry: Registry[Initializer] = Registry(
    "initializer",
    Initializer,
    {
        "zeros": Zeros,
        "ones": Ones,
        "constant": Constant,
        "random_uniform": RandomUniform,
        "random_normal": RandomNormal,
        "truncated_normal": TruncatedNormal,
        "variance_scaling": VarianceScaling,
        "glorot_uniform": GlorotUniform,
        "glorot_normal": GlorotNormal,
        "he_uniform": HeUniform,
        "he_normal": HeNormal,
        "lecun_uniform": LecunUniform,
        "lecun_normal": LecunNormal,
        "orthogonal": Orthogonal,
        "identity": Identity,
    },
    aliases={
        "zero": "zeros",
        "one": "ones",
        "uniform": "random_uniform",
        "normal": "random_normal",
        "OrthogonalInitializer": "orthogonal",
        "IdentityInitializer": "identity",
    },
    advice="Subclass Initializer and define __call__(shape, dtype)",
)


def get(identifier: Any) -> Initializer:
    """Return the initializer that `identifier` stands for; None stands for glorot_uniform.

    Parameters
    ----------
    identifier : str, class, Initializer, dict or None
        A name such as ``"he_normal"`` or ``"HeNormal"``, or a dict of the form of `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> get("he_normal"), get(RandomNormal(stddev=0.1))
    (HeNormal(), RandomNormal(stddev=0.1))
    """
    return GlorotUniform() if identifier is None else _registry.get(identifier)


def serialize(initializer: Initializer) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``.

    Examples
    --------
    >>> serialize(Constant(2.0))
    {'class_name': 'Constant', 'config': {'value': 2.0}}
    """
    return _registry.serialize(initializer)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Initializer]] | None = None
) -> Initializer:
    """Return a new initializer from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
