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
    check_update(parameter, gradient, velocity=velocity)
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
    Tieleman, Hinton (2012), "Lecture 6.5 - RMSProp", Neural Networks for Machine Learning.

    Examples
    --------
    >>> w, mean_square = np.array([1.0]), np.zeros(1)
    >>> rmsprop(w, np.array([2.0]), mean_square, learning_rate=0.5, rho=0.75, epsilon=0.0)
    >>> w, mean_square
    (array([0.]), array([1.]))
    """
    check_update(parameter, gradient, mean_square=mean_square, velocity=velocity)
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
    increment = learning_rate * gradient / np.sqrt(mean_square + epsilon)
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

    With `weight_decay` it is AdamW [2]_. `epsilon` is the "epsilon hat" of [1]_, section 2.
    The powers and `rate` are computed in float64.

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

    Examples
    --------
    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam(w, np.array([4.0]), m, v, learning_rate=0.5, epsilon=0.0, step=1)
    >>> w.round(12)
    array([0.5])
    """
    check_update(parameter, gradient, m=m, v=v)
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
    parameter -= rate * m / (np.sqrt(v) + epsilon)


def _decay(parameter: np.ndarray, learning_rate: float, weight_decay: float) -> None:
    """Shrink `parameter`, decoupled from the gradient."""
    if weight_decay != 0.0:
        parameter -= learning_rate * weight_decay * parameter
