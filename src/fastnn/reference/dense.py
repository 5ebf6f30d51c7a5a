"""The fully connected layer and its gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastnn._checks import check_activation, check_dense, check_dense_backward
from fastnn.reference._arrays import deliver, ieee_arithmetic
from fastnn.reference.activations import activation_backward, activation_forward


@ieee_arithmetic()
def dense_forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    activation: str = "linear",
    *,
    options: Mapping[str, float] | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n, inputs)
    kernel : ndarray of the same dtype, shape (inputs, units)
    bias : ndarray of the same dtype, shape (units,), optional
    activation : str, default "linear"
        As for `activation_forward`.
    options : mapping of str to float, optional
        As for `activation_forward`.
    out : ndarray of the same dtype and the shape of the result, optional
        Where to write the result; may overlap with the inputs.

    Returns
    -------
    ndarray of the same dtype, shape (n, units)
        `out`, if it was given. Half as many columns if the activation is glu.

    Raises
    ------
    TypeError
        If the arguments are not arrays of one float type.
    ValueError
        If the shapes do not agree, the activation is unknown, or `out` is read-only.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0]])
    >>> kernel = np.array([[1.0, -1.0], [1.0, -1.0]])
    >>> dense_forward(x, kernel, np.array([0.5, 0.5]), "relu")
    array([[3.5, 0. ]])
    """
    check_activation(activation, options)
    check_dense(x, kernel, bias, activation, out)
    z = _pre_activation(x, kernel, bias)
    return deliver(activation_forward(z, activation, options=options), x.dtype, out)


@ieee_arithmetic()
def dense_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    activation: str = "linear",
    *,
    options: Mapping[str, float] | None = None,
    y: np.ndarray | None = None,
    out: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the gradients with respect to `x`, `kernel` and `bias`.

    With ``delta = grad * activation'(x @ kernel + bias)`` they are ``delta @ kernel.T``,
    ``x.T @ delta`` and the sum of the rows of ``delta``.

    Parameters
    ----------
    grad : ndarray of float32 or float64, shape (n, units)
        Gradient with respect to the result of `dense_forward`, and of its shape.
    x, kernel, bias, activation, options
        As they were given to `dense_forward`.
    y : ndarray of the same dtype and shape as `grad`, optional
        What `dense_forward` returned; computed again if it is not given.
    out : tuple of three ndarrays, optional
        Where to write the results, of their shapes and the dtype of `x`; a new array is made
        where one is None. They may overlap with the inputs, but not with one another.

    Returns
    -------
    grad_x : ndarray of shape (n, inputs)
    grad_kernel : ndarray of shape (inputs, units)
    grad_bias : ndarray of shape (units,), or None without a bias

    Raises
    ------
    TypeError
        If the arguments are not arrays of one float type, or `out` is not three of them.
    ValueError
        If the shapes do not agree, the activation is unknown or "step", which has no usable
        gradient, or an array of `out` is read-only.

    References
    ----------
    Rumelhart, Hinton, Williams (1986), "Learning representations by back-propagating errors".

    Examples
    --------
    >>> x = np.array([[1.0, 2.0]])
    >>> grad_x, grad_kernel, _ = dense_backward(np.array([[3.0]]), x, np.array([[4.0], [5.0]]))
    >>> grad_x
    array([[12., 15.]])
    >>> grad_kernel
    array([[3.],
           [6.]])
    """
    check_dense_backward(grad, x, kernel, bias, activation, options, y, out)
    z = _pre_activation(x, kernel, bias)
    if y is None:
        y = activation_forward(z, activation, options=options)
    delta = activation_backward(grad, z, y, activation, options=options)
    grad_x, grad_kernel = delta @ kernel.T, x.T @ delta
    grad_bias = None if bias is None else np.sum(delta, axis=0)
    for_x, for_kernel, for_bias = out or (None, None, None)
    return (
        deliver(grad_x, x.dtype, for_x),
        deliver(grad_kernel, x.dtype, for_kernel),
        None if grad_bias is None else deliver(grad_bias, x.dtype, for_bias),
    )


def _pre_activation(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    z = x @ kernel
    return z if bias is None else z + bias
