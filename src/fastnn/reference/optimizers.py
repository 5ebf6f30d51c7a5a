"""Optimizer steps, with the formulas of Keras 3, in place."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_hyperparameters, check_update, check_velocity
from fastnn.reference._arrays import ieee_arithmetic


@ieee_arithmetic()
def sgd(
    parameter: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of gradient descent, with momentum if there is a `velocity`.

    ::

        parameter -= learning_rate * weight_decay * parameter
        velocity = momentum * velocity - learning_rate * gradient
        parameter += velocity                                         (plain)
        parameter += momentum * velocity - learning_rate * gradient   (nesterov)

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    velocity : ndarray of the same shape and dtype, C-contiguous, optional
        Changed in place; zeros before the first step. Needed if `momentum` is not 0.
    learning_rate : float
        At least 0.
    momentum : float, default 0.0
        In [0, 1].
    nesterov : bool, default False
        Whether to look ahead [2]_; without a velocity it makes no difference.
    weight_decay : float, default 0.0
        At least 0 [3]_.

    Raises
    ------
    TypeError
        If the arrays are not of one float type.
    ValueError
        If the shapes differ, arrays share memory, one that is to be changed is read-only or not
        contiguous, a number is out of range, or the velocity is missing.

    References
    ----------
    .. [1] Polyak (1964), "Some methods of speeding up the convergence of iteration methods".
    .. [2] Sutskever, Martens, Dahl, Hinton (2013), "On the importance of initialization and
       momentum in deep learning".
    .. [3] Loshchilov, Hutter (2019), "Decoupled weight decay regularization".

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> sgd(w, np.array([1.0, -1.0]), learning_rate=0.5)
    >>> w
    array([0.5, 2.5])
    """
    check_update(parameter, gradient, optional={"velocity": velocity})
    learning_rate, momentum, weight_decay = check_hyperparameters(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    check_velocity(velocity, momentum)
    _decay(parameter, learning_rate, weight_decay)
    descent = -learning_rate * gradient
    if velocity is None:
        parameter += descent
        return
    velocity[...] = momentum * velocity + descent
    parameter += momentum * velocity + descent if nesterov else velocity


@ieee_arithmetic()
def rmsprop(
    parameter: np.ndarray,
    gradient: np.ndarray,
    mean_square: np.ndarray,
    velocity: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    *,
    learning_rate: float,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take a step along the gradient, divided by the root of its moving mean square.

    ::

        parameter -= learning_rate * weight_decay * parameter
        mean_square = rho * mean_square + (1 - rho) * gradient**2
        velocity = momentum * velocity + learning_rate * gradient / sqrt(mean_square + epsilon)
        parameter -= velocity

    Centred, if there is a `mean`: ``mean = rho * mean + (1 - rho) * gradient``, and its square is
    taken off `mean_square` under the root, which leaves the variance [2]_.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    mean_square : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    velocity : ndarray of the same shape and dtype, C-contiguous, optional
        Changed in place; zeros before the first step. Needed if `momentum` is not 0; without it
        the velocity of the formula is that of this step alone.
    mean : ndarray of the same shape and dtype, C-contiguous, optional
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    rho, momentum : float, default 0.9 and 0.0
        In [0, 1].
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    .. [1] Tieleman, Hinton (2012), "Lecture 6.5 - RMSProp", Neural Networks for Machine Learning.
    .. [2] Graves (2013), "Generating sequences with recurrent neural networks", section 4.2.

    Examples
    --------
    >>> w, mean_square = np.array([1.0]), np.zeros(1)
    >>> rmsprop(w, np.array([2.0]), mean_square, learning_rate=0.5, rho=0.75, epsilon=0.0)
    >>> w, mean_square
    (array([0.]), array([1.]))
    """
    optional = {"velocity": velocity, "mean": mean}
    check_update(parameter, gradient, mean_square=mean_square, optional=optional)
    learning_rate, rho, momentum, epsilon, weight_decay = check_hyperparameters(
        learning_rate=learning_rate,
        rho=rho,
        momentum=momentum,
        epsilon=epsilon,
        weight_decay=weight_decay,
    )
    check_velocity(velocity, momentum)
    _decay(parameter, learning_rate, weight_decay)
    mean_square[...] = rho * mean_square + (1 - rho) * np.square(gradient)
    variance = mean_square
    if mean is not None:
        mean[...] = rho * mean + (1 - rho) * gradient
        variance = mean_square - np.square(mean)
    increment = learning_rate * gradient / np.sqrt(variance + epsilon)
    if velocity is None:
        parameter -= increment
        return
    velocity[...] = momentum * velocity + increment
    parameter -= velocity


@ieee_arithmetic()
def adagrad(
    parameter: np.ndarray,
    gradient: np.ndarray,
    accumulator: np.ndarray,
    *,
    learning_rate: float,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take a step along the gradient, divided by the root of the sum of its squares so far.

    ::

        parameter -= learning_rate * weight_decay * parameter
        accumulator += gradient**2
        parameter -= learning_rate * gradient / sqrt(accumulator + epsilon)

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    accumulator : ndarray of the same shape and dtype, C-contiguous
        Changed in place; Keras fills it with 0.1 before the first step.
    learning_rate : float
        At least 0.
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    Duchi, Hazan, Singer (2011), "Adaptive subgradient methods for online learning and
    stochastic optimization".

    Examples
    --------
    >>> w, accumulator = np.array([1.0]), np.array([12.0])
    >>> adagrad(w, np.array([2.0]), accumulator, learning_rate=1.0, epsilon=0.0)
    >>> w, accumulator
    (array([0.5]), array([16.]))
    """
    check_update(parameter, gradient, accumulator=accumulator)
    learning_rate, epsilon, weight_decay = check_hyperparameters(
        learning_rate=learning_rate, epsilon=epsilon, weight_decay=weight_decay
    )
    _decay(parameter, learning_rate, weight_decay)
    accumulator += np.square(gradient)
    parameter -= learning_rate * gradient / np.sqrt(accumulator + epsilon)


@ieee_arithmetic()
def adam(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    largest: np.ndarray | None = None,
    *,
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    step: int,
    weight_decay: float = 0.0,
) -> None:
    """Take a step along the moving mean of the gradient, divided by the root of that of its square.

    ::

        parameter -= learning_rate * weight_decay * parameter
        m += (1 - beta_1) * (gradient - m)
        v += (1 - beta_2) * (gradient**2 - v)
        rate = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)
        parameter -= rate * m / (sqrt(v) + epsilon)

    With `weight_decay` it is AdamW [2]_. With `largest`, ``largest = maximum(largest, v)`` takes
    the place of v in the last line: AMSGrad [3]_. `epsilon` is the "epsilon hat" of [1]_,
    section 2. The powers and `rate` are computed in float64.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    m, v : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    largest : ndarray of the same shape and dtype, C-contiguous, optional
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    step : int
        Number of this step, counted from 1.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    .. [1] Kingma, Ba (2015), "Adam: a method for stochastic optimization".
    .. [2] Loshchilov, Hutter (2019), "Decoupled weight decay regularization".
    .. [3] Reddi, Kale, Kumar (2018), "On the convergence of Adam and beyond".

    Examples
    --------
    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam(w, np.array([4.0]), m, v, learning_rate=0.5, epsilon=0.0, step=1)
    >>> w.round(12)
    array([0.5])
    """
    check_update(parameter, gradient, m=m, v=v, optional={"largest": largest})
    learning_rate, beta_1, beta_2, epsilon, count, weight_decay = check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        weight_decay=weight_decay,
    )
    _decay(parameter, learning_rate, weight_decay)
    m += (1 - beta_1) * (gradient - m)
    v += (1 - beta_2) * (np.square(gradient) - v)
    rate = learning_rate * (1 - beta_2**count) ** 0.5 / (1 - beta_1**count)
    if largest is not None:
        largest[...] = np.maximum(largest, v)
        v = largest
    parameter -= rate * m / (np.sqrt(v) + epsilon)


@ieee_arithmetic()
def adadelta(
    parameter: np.ndarray,
    gradient: np.ndarray,
    squared_gradients: np.ndarray,
    squared_steps: np.ndarray,
    *,
    learning_rate: float,
    rho: float = 0.95,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of about the size of the last ones, along the gradient.

    ::

        parameter -= learning_rate * weight_decay * parameter
        squared_gradients = rho * squared_gradients + (1 - rho) * gradient**2
        step = sqrt(squared_steps + epsilon) / sqrt(squared_gradients + epsilon) * gradient
        squared_steps = rho * squared_steps + (1 - rho) * step**2
        parameter -= learning_rate * step

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    squared_gradients, squared_steps : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0; 1 in the paper.
    rho : float, default 0.95
        In [0, 1].
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    Zeiler (2012), "ADADELTA: an adaptive learning rate method".

    Examples
    --------
    >>> w, squared_gradients, squared_steps = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adadelta(
    ...     w, np.array([3.0]), squared_gradients, squared_steps, learning_rate=1.0, rho=0.0,
    ...     epsilon=16.0,
    ... )
    >>> w.round(12), squared_steps.round(12)
    (array([-1.4]), array([5.76]))
    """
    check_update(
        parameter, gradient, squared_gradients=squared_gradients, squared_steps=squared_steps
    )
    learning_rate, rho, epsilon, weight_decay = check_hyperparameters(
        learning_rate=learning_rate, rho=rho, epsilon=epsilon, weight_decay=weight_decay
    )
    _decay(parameter, learning_rate, weight_decay)
    squared_gradients[...] = rho * squared_gradients + (1 - rho) * np.square(gradient)
    step = np.sqrt(squared_steps + epsilon) / np.sqrt(squared_gradients + epsilon) * gradient
    squared_steps[...] = rho * squared_steps + (1 - rho) * np.square(step)
    parameter -= learning_rate * step


@ieee_arithmetic()
def adamax(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    u: np.ndarray,
    *,
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    step: int,
    weight_decay: float = 0.0,
) -> None:
    """Take a step along the moving mean of the gradient, divided by a decaying maximum of it.

    ::

        parameter -= learning_rate * weight_decay * parameter
        m += (1 - beta_1) * (gradient - m)
        u = maximum(beta_2 * u, abs(gradient))
        parameter -= learning_rate / (1 - beta_1**step) * m / (u + epsilon)

    The power is computed in float64.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    m, u : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    step : int
        Number of this step, counted from 1.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    Kingma, Ba (2015), "Adam: a method for stochastic optimization", section 7.1.

    Examples
    --------
    >>> w, m, u = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adamax(w, np.array([4.0]), m, u, learning_rate=0.5, epsilon=0.0, step=1)
    >>> w.round(12), u
    (array([0.5]), array([4.]))
    """
    check_update(parameter, gradient, m=m, u=u)
    learning_rate, beta_1, beta_2, epsilon, count, weight_decay = check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        weight_decay=weight_decay,
    )
    _decay(parameter, learning_rate, weight_decay)
    m += (1 - beta_1) * (gradient - m)
    u[...] = np.maximum(beta_2 * u, np.abs(gradient))
    parameter -= learning_rate / (1 - beta_1**count) * m / (u + epsilon)


@ieee_arithmetic()
def nadam(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    *,
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    step: int,
    momentum_product: float,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of Adam with Nesterov momentum.

    The momentum of step t is ``u(t) = beta_1 * (1 - 0.96**t / 2)``. With t for `step`,

    ::

        parameter -= learning_rate * weight_decay * parameter
        m += (1 - beta_1) * (gradient - m)
        v += (1 - beta_2) * (gradient**2 - v)
        ahead = u(t + 1) / (1 - momentum_product * u(t + 1)) * m
        ahead += (1 - u(t)) / (1 - momentum_product) * gradient
        parameter -= learning_rate * ahead / (sqrt(v / (1 - beta_2**t)) + epsilon)

    The factors that are the same for all elements are computed in float64.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    m, v : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    step : int
        Number t of this step, counted from 1.
    momentum_product : float
        ``u(1) * u(2) * ... * u(t)``. In [0, 1).
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    Dozat (2016), "Incorporating Nesterov momentum into Adam", ICLR workshop.

    Examples
    --------
    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> options = {"learning_rate": 0.5, "beta_1": 0.0, "epsilon": 0.0}
    >>> nadam(w, np.array([4.0]), m, v, step=1, momentum_product=0.0, **options)
    >>> w.round(12)
    array([0.5])
    """
    check_update(parameter, gradient, m=m, v=v)
    learning_rate, beta_1, beta_2, epsilon, count, product, weight_decay = check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        momentum_product=momentum_product,
        weight_decay=weight_decay,
    )
    now = beta_1 * (1 - 0.5 * 0.96**count)
    following = beta_1 * (1 - 0.5 * 0.96 ** (count + 1))
    _decay(parameter, learning_rate, weight_decay)
    m += (1 - beta_1) * (gradient - m)
    v += (1 - beta_2) * (np.square(gradient) - v)
    ahead = following / (1 - product * following) * m + (1 - now) / (1 - product) * gradient
    parameter -= learning_rate * ahead / (np.sqrt(v / (1 - beta_2**count)) + epsilon)


@ieee_arithmetic()
def ftrl(
    parameter: np.ndarray,
    gradient: np.ndarray,
    accumulator: np.ndarray,
    linear: np.ndarray,
    *,
    learning_rate: float,
    learning_rate_power: float = -0.5,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
    l2_shrinkage_regularization_strength: float = 0.0,
    beta: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """Go to the minimum of all linearised losses so far, regularised: follow the leader.

    With l1, l2 and shrinkage for the three strengths and p for `learning_rate_power`,

    ::

        parameter -= learning_rate * weight_decay * parameter
        before, accumulator = accumulator, accumulator + gradient**2
        sigma = (accumulator**-p - before**-p) / learning_rate
        linear += gradient + 2 * shrinkage * parameter - sigma * parameter
        curvature = (accumulator**-p + beta) / learning_rate + 2 * l2
        parameter = (clip(linear, -l1, l1) - linear) / curvature

    The parameter is made anew from `linear`, so what it was before the first step is soon
    forgotten. With a learning rate of 0, which the formula would divide by, nothing changes.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    accumulator : ndarray of the same shape and dtype, C-contiguous
        Changed in place; Keras fills it with 0.1 before the first step.
    linear : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    learning_rate_power : float, default -0.5
        At most 0, which keeps the learning rate as it is.
    l1_regularization_strength, l2_regularization_strength : float, default 0.0
        At least 0. The first makes small parameters exactly 0.
    l2_shrinkage_regularization_strength : float, default 0.0
        At least 0. As an L2 penalty that is added to the loss.
    beta : float, default 0.0
        At least 0.
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    McMahan et al. (2013), "Ad click prediction: a view from the trenches".

    Examples
    --------
    >>> w, accumulator, linear = np.array([0.0]), np.array([16.0]), np.zeros(1)
    >>> ftrl(w, np.array([3.0]), accumulator, linear, learning_rate=1.0)
    >>> w, accumulator, linear
    (array([-0.6]), array([25.]), array([3.]))
    """
    check_update(parameter, gradient, accumulator=accumulator, linear=linear)
    learning_rate, power, l1, l2, shrinkage, beta, weight_decay = check_hyperparameters(
        learning_rate=learning_rate,
        learning_rate_power=learning_rate_power,
        l1_regularization_strength=l1_regularization_strength,
        l2_regularization_strength=l2_regularization_strength,
        l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
        beta=beta,
        weight_decay=weight_decay,
    )
    if learning_rate == 0.0:
        return
    _decay(parameter, learning_rate, weight_decay)
    before = accumulator**-power
    accumulator += np.square(gradient)
    after = accumulator**-power
    sigma = (after - before) / learning_rate
    linear += gradient + 2 * shrinkage * parameter - sigma * parameter
    curvature = after / learning_rate + (beta / learning_rate + 2 * l2)
    parameter[...] = (np.clip(linear, -l1, l1) - linear) / curvature


@ieee_arithmetic()
def lion(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    *,
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of the same size for each element, along the sign of a moving mean.

    ::

        parameter -= learning_rate * weight_decay * parameter
        parameter -= learning_rate * sign(beta_1 * m + (1 - beta_1) * gradient)
        m = beta_2 * m + (1 - beta_2) * gradient

    Parameters
    ----------
    parameter : ndarray of float32 or float64, any shape, C-contiguous
        Changed in place.
    gradient : ndarray of the same shape and dtype
    m : ndarray of the same shape and dtype, C-contiguous
        Changed in place; zeros before the first step.
    learning_rate : float
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.99
        In [0, 1).
    weight_decay : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.

    References
    ----------
    Chen et al. (2023), "Symbolic discovery of optimization algorithms".

    Examples
    --------
    >>> w, m = np.array([1.0, 2.0]), np.zeros(2)
    >>> lion(w, np.array([0.1, -7.0]), m, learning_rate=0.5)
    >>> w
    array([0.5, 2.5])
    """
    check_update(parameter, gradient, m=m)
    learning_rate, beta_1, beta_2, weight_decay = check_hyperparameters(
        learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, weight_decay=weight_decay
    )
    _decay(parameter, learning_rate, weight_decay)
    parameter -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * gradient)
    m[...] = beta_2 * m + (1 - beta_2) * gradient


def _decay(parameter: np.ndarray, learning_rate: float, weight_decay: float) -> None:
    """Shrink `parameter`, decoupled from the gradient."""
    if weight_decay != 0.0:
        parameter -= learning_rate * weight_decay * parameter
