"""Activations: the functions that layers end in.

Each is a small object that is called like a function on an array of any shape; softmax,
log_softmax, sparsemax and glu work along the last axis. Float64 stays float64, other numbers become
float32.

>>> from fastnn import activations
>>> activations.relu([-1.0, 0.0, 2.0])
array([0., 0., 2.])
>>> activations.leaky_relu([-1.0, 2.0], negative_slope=0.5)
array([-0.5,  2. ])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._checks import ACTIVATION_OPTIONS, output_width
from fastnn._registry import Configurable, Registry, real
from fastnn._validation import numeric_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class ActivationFunction(Configurable):
    """Base of all activations; subclass it for one of your own.

    A subclass defines `forward` and `backward` in NumPy. Training and prediction call them with
    arrays of shape (n, units) in the model's dtype. If the result has another width, it defines
    `output_width` as well.

    Attributes
    ----------
    name : str
        What the kernels call it.
    builtin : bool
        Whether the kernels compute it, rather than `forward` and `backward`.
    options : dict of str to float, or None
        What the kernels have to be told besides the name.

    Examples
    --------
    >>> import numpy as np
    >>> class Square(ActivationFunction):
    ...     def forward(self, x):
    ...         return x * x
    ...
    ...     def backward(self, grad, x, y):
    ...         return 2 * x * grad
    >>> Square()([1.0, -3.0])
    array([1., 9.])
    """

    name: ClassVar[str] = "custom"
    builtin: ClassVar[bool] = False

    options: Mapping[str, float] | None = None

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Return the activation of `x`."""
        return self.forward(_floating(x))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, the activation of `x`, of the same dtype and number of rows."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x)")

    def backward(self, grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to `x`.

        Parameters
        ----------
        grad : ndarray
            Gradient with respect to y.
        x : ndarray
        y : ndarray
            ``forward(x)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define backward(grad, x, y)")

    def output_width(self, inputs: int) -> int:
        """Return how many columns come out where `inputs` go in: as many.

        Raises
        ------
        ValueError
            If the activation cannot take so many.
        """
        return inputs


class BuiltinActivation(ActivationFunction):
    """An activation that the kernels compute."""

    builtin = True

    def __init__(self) -> None:
        pass

    def _keep(self, kernel: str, **numbers: float | None) -> None:
        """Keep the arguments as attributes and, where they are no defaults, as `options`.

        They are options of this `kernel`; None stands for what it takes by default.
        """
        options = {}
        for name, value in numbers.items():
            default, interval = ACTIVATION_OPTIONS[kernel][name]
            number = None if value is None else real(value, name, interval)
            object.__setattr__(self, name, number)
            if number is not None and number != default:
                options[name] = number
        object.__setattr__(self, "options", options or None)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__} cannot be changed, for all models share it: make another one"
        )

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().items()))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Whoever writes one of these anew means it to be called.
        if vars(cls).keys() & {"forward", "backward"}:
            cls.builtin = False

    def __call__(self, x: ArrayLike, *values: float | None, **parameters: Any) -> np.ndarray:
        """Return the activation of `x`.

        Parameters
        ----------
        x : array_like of real numbers
        *values, **parameters
            Values to use in place of this object's own, such as ``negative_slope=0.2``; without a
            name in the order of the class' arguments.
        """
        function: Any = self
        if values or parameters:
            own = dict(list(self._arguments().items())[len(values) :])
            function = type(self)(*values, **{**own, **parameters})
        result: np.ndarray = function.forward(_floating(x))
        return result

    def forward(self, x: np.ndarray) -> np.ndarray:
        from fastnn import kernels

        return kernels.activation_forward(x, self.name, options=self.options)

    def backward(self, grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from fastnn import kernels

        return kernels.activation_backward(grad, x, y, self.name, options=self.options)

    def output_width(self, inputs: int) -> int:
        return output_width(self.name, inputs)


class Linear(BuiltinActivation):
    """``y = x``.

    Examples
    --------
    >>> linear([-1.0, 2.0])
    array([-1.,  2.])
    """

    name = "linear"


class Step(BuiltinActivation):
    """``y = 1 if x >= 0 else 0``: the binary threshold unit.

    It is flat wherever it has a derivative, so gradient descent cannot train through it: that
    raises ValueError. `fastnn.Perceptron` has the learning rule for such a unit.

    References
    ----------
    W. S. McCulloch and W. Pitts (1943). A logical calculus of the ideas immanent in nervous
    activity. Bulletin of Mathematical Biophysics 5, 115-133.

    Examples
    --------
    >>> step([-0.1, 0.0, 3.0])
    array([0., 1., 1.])
    """

    name = "step"


class Sigmoid(BuiltinActivation):
    """``y = 1 / (1 + exp(-x))``, between 0 and 1.

    Examples
    --------
    >>> sigmoid([0.0, 1000.0])
    array([0.5, 1. ])
    """

    name = "sigmoid"


class Tanh(BuiltinActivation):
    """``y = tanh(x)``, between -1 and 1.

    Examples
    --------
    >>> tanh([0.0, 1000.0])
    array([0., 1.])
    """

    name = "tanh"


class ReLU(BuiltinActivation):
    """``y = min(x, max_value) if x > threshold else negative_slope * (x - threshold)``.

    By default it is ``max(x, 0)``, with a derivative of 0 at 0.

    Parameters
    ----------
    negative_slope : float, default 0.0
    max_value : float, optional
        At least 0. Default: no limit.
    threshold : float, default 0.0
        At least 0.

    References
    ----------
    V. Nair and G. E. Hinton (2010). Rectified linear units improve restricted Boltzmann
    machines. ICML, 807-814.

    Examples
    --------
    >>> relu([-2.0, 3.0])
    array([0., 3.])
    >>> relu([-2.0, 1.0, 3.0, 9.0], max_value=6.0, threshold=2.0)
    array([0., 0., 3., 6.])
    """

    name = "relu"
    negative_slope: float
    max_value: float | None
    threshold: float

    def __init__(
        self,
        negative_slope: float = 0.0,
        max_value: float | None = None,
        threshold: float = 0.0,
    ) -> None:
        self._keep("relu", negative_slope=negative_slope, max_value=max_value, threshold=threshold)


class LeakyReLU(BuiltinActivation):
    """``y = x if x > 0 else negative_slope * x``.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Keras' default is 0.2 for the function and 0.3 for the layer; 0.01 is the paper's.

    References
    ----------
    A. L. Maas, A. Y. Hannun and A. Y. Ng (2013). Rectifier nonlinearities improve neural network
    acoustic models. ICML workshop on deep learning for audio, speech and language processing.

    Examples
    --------
    >>> LeakyReLU(negative_slope=0.25)([-2.0, 3.0])
    array([-0.5,  3. ])
    """

    name = "leaky_relu"
    negative_slope: float

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._keep("leaky_relu", negative_slope=negative_slope)


class ELU(BuiltinActivation):
    """``y = x if x > 0 else alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float, default 1.0

    References
    ----------
    D.-A. Clevert, T. Unterthiner and S. Hochreiter (2016). Fast and accurate deep network
    learning by exponential linear units (ELUs). ICLR.

    Examples
    --------
    >>> ELU(alpha=0.5)([-1000.0, 2.0])
    array([-0.5,  2. ])
    """

    name = "elu"
    alpha: float

    def __init__(self, alpha: float = 1.0) -> None:
        self._keep("elu", alpha=alpha)


class SELU(BuiltinActivation):
    """``y = scale * (x if x > 0 else alpha * (exp(x) - 1))``.

    With ``scale = 1.0507009873554805`` and ``alpha = 1.6732632423543772``, a deep network whose
    weights come from `LecunNormal` keeps its activations near mean 0 and variance 1.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter (2017). Self-normalizing neural
    networks. NeurIPS 30, 971-980.

    Examples
    --------
    >>> selu([0.0, 2.0]).round(4)
    array([0.    , 2.1014])
    """

    name = "selu"


class SiLU(BuiltinActivation):
    """``y = x * sigmoid(x)``, also known as swish.

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya (2018). Sigmoid-weighted linear units for neural network
    function approximation in reinforcement learning. Neural Networks 107, 3-11.
    P. Ramachandran, B. Zoph and Q. V. Le (2017). Searching for activation functions.
    arXiv:1710.05941.

    Examples
    --------
    >>> silu([0.0, 1000.0])
    array([   0., 1000.])
    """

    name = "silu"


class GELU(BuiltinActivation):
    """``y = x * (1 + erf(x / sqrt(2))) / 2``: x times the normal distribution function, exactly.

    References
    ----------
    D. Hendrycks and K. Gimpel (2016). Gaussian error linear units (GELUs). arXiv:1606.08415.

    Examples
    --------
    >>> gelu([0.0, 1.0]).round(4)
    array([0.    , 0.8413])
    """

    name = "gelu"


class Softplus(BuiltinActivation):
    """``y = log(1 + exp(x))``, a smooth relu.

    References
    ----------
    C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau and R. Garcia (2001). Incorporating second-order
    functional knowledge for better option pricing. NIPS 13, 472-478.

    Examples
    --------
    >>> softplus([0.0, 1000.0]).round(4)
    array([6.931e-01, 1.000e+03])
    """

    name = "softplus"


class Softsign(BuiltinActivation):
    """``y = x / (1 + |x|)``, between -1 and 1.

    Examples
    --------
    >>> softsign([-1.0, 3.0])
    array([-0.5 ,  0.75])
    """

    name = "softsign"


class HardSigmoid(BuiltinActivation):
    """``y = min(max(x + 3, 0), 6) / 6``: straight lines in place of the sigmoid.

    Examples
    --------
    >>> hard_sigmoid([-3.0, 0.0, 1.5, 4.0])
    array([0.  , 0.5 , 0.75, 1.  ])
    """

    name = "hard_sigmoid"


class Exponential(BuiltinActivation):
    """``y = exp(x)``.

    Examples
    --------
    >>> exponential([0.0])
    array([1.])
    """

    name = "exponential"


class ReLU6(BuiltinActivation):
    """``y = min(max(x, 0), 6)``.

    References
    ----------
    A. Krizhevsky (2010). Convolutional deep belief networks on CIFAR-10. Unpublished manuscript.

    Examples
    --------
    >>> relu6([-1.0, 3.0, 8.0])
    array([0., 3., 6.])
    """

    name = "relu6"


class HardTanh(BuiltinActivation):
    """``y = min(max(x, -1), 1)``: straight lines in place of tanh.

    Examples
    --------
    >>> hard_tanh([-3.0, 0.5, 3.0])
    array([-1. ,  0.5,  1. ])
    """

    name = "hard_tanh"


class HardSiLU(BuiltinActivation):
    """``y = x * hard_sigmoid(x)``, also known as hard_swish.

    References
    ----------
    A. Howard et al. (2019). Searching for MobileNetV3. ICCV, 1314-1324.

    Examples
    --------
    >>> hard_silu([-4.0, 1.5, 4.0])
    array([-0.   ,  1.125,  4.   ])
    """

    name = "hard_silu"


class CELU(BuiltinActivation):
    """``y = x if x > 0 else alpha * (exp(x / alpha) - 1)``, with a derivative without steps.

    Parameters
    ----------
    alpha : float, default 1.0
        Greater than 0.

    References
    ----------
    J. T. Barron (2017). Continuously differentiable exponential linear units. arXiv:1704.07483.

    Examples
    --------
    >>> CELU(alpha=0.5)([-1000.0, 2.0])
    array([-0.5,  2. ])
    """

    name = "celu"
    alpha: float

    def __init__(self, alpha: float = 1.0) -> None:
        self._keep("celu", alpha=alpha)


class Mish(BuiltinActivation):
    """``y = x * tanh(softplus(x))``.

    References
    ----------
    D. Misra (2020). Mish: a self regularized non-monotonic activation function. BMVC.

    Examples
    --------
    >>> mish([0.0, 1.0, 1000.0]).round(4)
    array([0.000e+00, 8.651e-01, 1.000e+03])
    """

    name = "mish"


class LogSigmoid(BuiltinActivation):
    """``y = log(sigmoid(x)) = -log(1 + exp(-x))``.

    Examples
    --------
    >>> log_sigmoid([-1000.0, 0.0]).round(4)
    array([-1.000e+03, -6.931e-01])
    """

    name = "log_sigmoid"


class Squareplus(BuiltinActivation):
    """``y = (x + sqrt(x^2 + b)) / 2``, a smooth relu without exponential.

    Parameters
    ----------
    b : float, default 4.0
        How far from relu, which it would be with 0; greater than 0.

    References
    ----------
    J. T. Barron (2021). Squareplus: a softplus-like algebraic rectifier. arXiv:2112.11687.

    Examples
    --------
    >>> squareplus([-1.5, 0.0, 1.5])
    array([0.5, 1. , 2. ])
    """

    name = "squareplus"
    b: float

    def __init__(self, b: float = 4.0) -> None:
        self._keep("squareplus", b=b)


class TanhShrink(BuiltinActivation):
    """``y = x - tanh(x)``.

    Examples
    --------
    >>> tanh_shrink([0.0, 1000.0])
    array([  0., 999.])
    """

    name = "tanh_shrink"


class SoftShrink(BuiltinActivation):
    """``y = x - threshold if x > threshold, x + threshold if x < -threshold, else 0``.

    Parameters
    ----------
    threshold : float, default 0.5
        At least 0.

    Examples
    --------
    >>> soft_shrink([-2.0, 0.25, 2.0])
    array([-1.5,  0. ,  1.5])
    """

    name = "soft_shrink"
    threshold: float

    def __init__(self, threshold: float = 0.5) -> None:
        self._keep("soft_shrink", threshold=threshold)


class HardShrink(BuiltinActivation):
    """``y = x if |x| > threshold else 0``.

    Parameters
    ----------
    threshold : float, default 0.5
        At least 0.

    Examples
    --------
    >>> hard_shrink([-2.0, 0.25, 2.0])
    array([-2.,  0.,  2.])
    """

    name = "hard_shrink"
    threshold: float

    def __init__(self, threshold: float = 0.5) -> None:
        self._keep("hard_shrink", threshold=threshold)


class Threshold(BuiltinActivation):
    """``y = x if x > threshold else default_value``.

    Parameters
    ----------
    threshold, default_value : float, default 0.0
        Keras has no defaults for them.

    Examples
    --------
    >>> threshold([-2.0, 0.5, 2.0], 1.0, -1.0)
    array([-1., -1.,  2.])
    """

    name = "threshold"
    threshold: float
    default_value: float

    def __init__(self, threshold: float = 0.0, default_value: float = 0.0) -> None:
        self._keep("threshold", threshold=threshold, default_value=default_value)


class SparsePlus(BuiltinActivation):
    """``y = 0 if x <= -1, x if x >= 1, else (x + 1)^2 / 4``: a relu with a rounded corner.

    Examples
    --------
    >>> sparse_plus([-2.0, 0.0, 2.0])
    array([0.  , 0.25, 2.  ])
    """

    name = "sparse_plus"


class SparseSigmoid(BuiltinActivation):
    """``y = min(max(x + 1, 0), 2) / 2``, the derivative of `SparsePlus`.

    References
    ----------
    M. Blondel, A. F. T. Martins and V. Niculae (2020). Learning with Fenchel-Young losses.
    Journal of Machine Learning Research 21, 1-69.

    Examples
    --------
    >>> sparse_sigmoid([-2.0, 0.0, 0.5])
    array([0.  , 0.5 , 0.75])
    """

    name = "sparse_sigmoid"


class Softmax(BuiltinActivation):
    """``y = exp(x) / sum(exp(x))`` along the last axis: positive numbers with sum 1.

    References
    ----------
    J. S. Bridle (1990). Probabilistic interpretation of feedforward classification network
    outputs, with relationships to statistical pattern recognition. In: Neurocomputing, NATO ASI
    Series 68, 227-236.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    name = "softmax"


class LogSoftmax(BuiltinActivation):
    """``y = x - log(sum(exp(x)))`` along the last axis: the logarithm of softmax.

    Examples
    --------
    >>> log_softmax([[1000.0, 0.0]])
    array([[    0., -1000.]])
    """

    name = "log_softmax"


class Sparsemax(BuiltinActivation):
    """``y = max(x - t, 0)`` along the last axis, where t is such that the sum is 1.

    It is the point of the simplex next to x: like softmax, but with true zeros. (Keras 3.15 takes
    another t, with which the sum is not 1.)

    References
    ----------
    A. F. T. Martins and R. F. Astudillo (2016). From softmax to sparsemax: a sparse model of
    attention and multi-label classification. ICML, 1614-1623.

    Examples
    --------
    >>> sparsemax([[0.0, 0.5, -1.0], [5.0, 1.0, 0.0]])
    array([[0.25, 0.75, 0.  ],
           [1.  , 0.  , 0.  ]])
    """

    name = "sparsemax"


class GLU(BuiltinActivation):
    """``y = a * sigmoid(b)``, a and b the two halves of the last axis, whose size must be even.

    ``Dense(2 * k, activation="glu")`` has k outputs.

    References
    ----------
    Y. N. Dauphin, A. Fan, M. Auli and D. Grangier (2017). Language modeling with gated
    convolutional networks. ICML, 933-941.

    Examples
    --------
    >>> glu([[2.0, 3.0, 0.0, 1000.0]])
    array([[1., 3.]])
    """

    name = "glu"


linear = Linear()
step = Step()
sigmoid = Sigmoid()
tanh = Tanh()
relu = ReLU()
leaky_relu = LeakyReLU()
elu = ELU()
selu = SELU()
silu = swish = SiLU()
gelu = GELU()
softplus = Softplus()
softsign = Softsign()
hard_sigmoid = HardSigmoid()
exponential = Exponential()
relu6 = ReLU6()
hard_tanh = HardTanh()
hard_silu = hard_swish = HardSiLU()
celu = CELU()
mish = Mish()
log_sigmoid = LogSigmoid()
squareplus = Squareplus()
tanh_shrink = TanhShrink()
soft_shrink = SoftShrink()
hard_shrink = HardShrink()
threshold = Threshold()
sparse_plus = SparsePlus()
sparse_sigmoid = SparseSigmoid()
softmax = Softmax()
log_softmax = LogSoftmax()
sparsemax = Sparsemax()
glu = GLU()


def _floating(x: ArrayLike) -> np.ndarray:
    array = numeric_array(x, "x")
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


_BUILTINS: tuple[ActivationFunction, ...] = (
    linear,
    step,
    sigmoid,
    tanh,
    relu,
    leaky_relu,
    elu,
    selu,
    silu,
    gelu,
    softplus,
    softsign,
    hard_sigmoid,
    exponential,
    relu6,
    hard_tanh,
    hard_silu,
    celu,
    mish,
    log_sigmoid,
    squareplus,
    tanh_shrink,
    soft_shrink,
    hard_shrink,
    threshold,
    sparse_plus,
    sparse_sigmoid,
    softmax,
    log_softmax,
    sparsemax,
    glu,
)
_registry: Registry[ActivationFunction] = Registry(
    "activation",
    ActivationFunction,
    {function.name: function for function in _BUILTINS},
    aliases={"swish": "silu", "hard_swish": "hard_silu"},
    advice=(
        "A plain function has no gradient: subclass ActivationFunction and define forward(x) and "
        "backward(grad, x, y)"
    ),
)


def get(identifier: Any) -> ActivationFunction:
    """Return the activation that `identifier` stands for; None stands for linear.

    Parameters
    ----------
    identifier : str, class, ActivationFunction, dict or None
        A name such as ``"relu"`` or ``"ReLU"``, or a dict of the form of `serialize`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these; a plain function, having no gradient, is not enough.

    Examples
    --------
    >>> get("relu"), get(LeakyReLU), get(None)
    (ReLU(), LeakyReLU(), Linear())
    >>> get("rleu")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Unknown activation 'rleu'. Did you mean 'relu' or 'relu6'? Known: ...
    """
    return linear if identifier is None else _registry.get(identifier)


def serialize(activation: ActivationFunction) -> str | dict[str, Any]:
    """Return the name of an activation as it comes, else its class and arguments.

    Examples
    --------
    >>> serialize(relu), serialize(LeakyReLU(0.2))
    ('relu', {'class_name': 'LeakyReLU', 'config': {'negative_slope': 0.2}})
    """
    if activation in _BUILTINS:
        return activation.name
    return _registry.serialize(activation)


def deserialize(
    config: str | Mapping[str, Any],
    custom_objects: Mapping[str, type[ActivationFunction]] | None = None,
) -> ActivationFunction:
    """Return the activation from what `serialize` returned.

    Parameters
    ----------
    config : str or dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    if isinstance(config, str):
        return _registry.get(config)
    return _registry.deserialize(config, custom_objects)
