"""Softmax, sigmoid and their logarithms, in plain NumPy.

With logits z along `axis`, and natural logarithms:

    logsumexp(z)   = log sum_k exp(z_k)
    log_softmax(z) = z - logsumexp(z),   softmax(z) = exp(log_softmax(z))

float32 stays float32. float16, and bfloat16 of ml_dtypes, become float32. All else becomes
float64. Sums run in float64. Inputs are never modified, nothing overflows, no NumPy warning is
raised. One NaN makes all results along its axis NaN. A logit of -inf is probability 0; a maximum
of +inf or -inf has no softmax: NaN.
Errors and references are given once, in `softmax`.
"""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..typing import Float, FloatArray, FloatOrArray
from .arguments import along, as_float, scaled
from .sums import sum_along

__all__ = ["log_sigmoid", "log_softmax", "logsumexp", "sigmoid", "softmax"]

quiet = np.errstate(all="ignore")      # infinities and NaN are data, whatever np.seterr says


def log_parts(z, axis):
    """Compute three parts: log_softmax = centred - log_rest, logsumexp = top + log_rest.

    With k the first maximum of z: top = z_k, centred = z - top and
    log_rest = log1p(sum over j != k of exp(centred_j)), NaN for a top of +-inf.
    Leaving out one maximum keeps the relative accuracy of a log-probability near 0.
    """
    k = np.argmax(z, axis=axis, keepdims=True)              # the first NaN, if there is one
    top = np.take_along_axis(z, k, axis)
    centred = z - top
    exponentials = np.exp(centred)
    np.put_along_axis(exponentials, k, top - top, axis)     # 0, or NaN for a top of +-inf
    return top, centred, np.log1p(np.expand_dims(sum_along(exponentials, axis), axis))


@overload
def softmax(
    x: NDArray[Float], axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> NDArray[Float]: ...
@overload
def softmax(
    x: ArrayLike, axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> FloatArray: ...
@quiet
def softmax(
    x: ArrayLike, axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> FloatArray:
    """Compute the softmax probabilities exp(x_k / T) / sum_j exp(x_j / T) along `axis`.

    Parameters
    ----------
    x : array_like of real numbers, at least 1-d; the logits
    axis : int, default -1; the axis of the classes
    temperature : float > 0, default 1.0; T: above 1 the result is closer to uniform, below 1 to
        the largest class
    where : array_like of bool that broadcasts to the shape of `x`, or None; the classes that are
        possible. Others have probability 0, whatever their logits.

    Returns
    -------
    proba : ndarray, shape of `x`, float32 or float64
        Exactly 0 where `x` is -inf; NaN along an axis whose maximum is not finite.

    Raises
    ------
    TypeError : `x` does not hold real numbers, or `where` no booleans
    ValueError : no such `axis`, `x` is empty along it, a `temperature` that is not positive and
        finite, or a `where` of another shape

    References
    ----------
    Blanchard, Higham & Higham (2021), Accurately computing the log-sum-exp
    and softmax functions, IMA J. Numer. Anal. 41(4); Hinton, Vinyals & Dean (2015), Distilling
    the knowledge in a neural network, for the temperature.

    Examples
    --------
    >>> print(softmax([2.0, 1.0, 0.1]).round(3))
    [0.659 0.242 0.099]
    >>> print(softmax([2.0, 1.0, 0.1], temperature=2.0, where=[True, True, False]).round(3))
    [0.622 0.378 0.   ]
    """
    x, axis = along("x", x, axis)
    x = scaled(x, axis, temperature, where)
    proba = np.exp(x - x.max(axis=axis, keepdims=True))
    return proba / np.expand_dims(sum_along(proba, axis), axis)


@overload
def log_softmax(
    x: NDArray[Float], axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> NDArray[Float]: ...
@overload
def log_softmax(
    x: ArrayLike, axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> FloatArray: ...
@quiet
def log_softmax(
    x: ArrayLike, axis: int = -1, *, temperature: float = 1.0,
    where: ArrayLike | None = None,
) -> FloatArray:
    """Compute the logarithm of `softmax`, relatively accurate for probabilities near 0 and 1.

    Parameters
    ----------
    x, axis, temperature, where : as in `softmax`

    Returns
    -------
    log_proba : ndarray, shape of `x`, float32 or float64
        In nats; -inf where `x` is -inf; NaN along an axis whose maximum is not finite.

    Examples
    --------
    >>> print(log_softmax([0.0, -50.0]))
    [-1.92874985e-22 -5.00000000e+01]
    """
    x, axis = along("x", x, axis)
    _, centred, log_rest = log_parts(scaled(x, axis, temperature, where), axis)
    return centred - log_rest


@overload
def logsumexp(x: ArrayLike, axis: int = -1, *, keepdims: Literal[True]) -> FloatArray: ...
@overload
def logsumexp(x: ArrayLike, axis: int, keepdims: Literal[True]) -> FloatArray: ...
@overload
def logsumexp(x: ArrayLike, axis: int = -1, keepdims: bool = False) -> FloatOrArray: ...
@quiet
def logsumexp(x: ArrayLike, axis: int = -1, keepdims: bool = False) -> FloatOrArray:
    """Compute the logarithm of the sum of exponentials along `axis`.

    Parameters
    ----------
    x, axis : as in `softmax`
    keepdims : bool, default False; keep `axis` in the result, with length 1

    Returns
    -------
    value : scalar or ndarray, shape of `x` without `axis`, float32 or float64
        In nats; -inf where all of `x` is -inf, +inf where any of it is +inf.

    Examples
    --------
    >>> print(logsumexp([1000.0, 1000.0]).round(3))
    1000.693
    """
    x, axis = along("x", x, axis)
    top, _, log_rest = log_parts(x, axis)
    value = np.where(np.isfinite(top), top + log_rest, top)
    return value if keepdims else value.squeeze(axis)[()]


@overload
def sigmoid(x: float) -> np.float64: ...
@overload
def sigmoid(x: ArrayLike) -> FloatOrArray: ...
@quiet
def sigmoid(x: ArrayLike) -> FloatOrArray:
    """Compute the logistic function 1 / (1 + exp(-x)), relatively accurate in both tails.

    Parameters
    ----------
    x : array_like of real numbers; logits of the positive class

    Returns
    -------
    proba : scalar or ndarray, shape of `x`, float32 or float64

    Examples
    --------
    >>> print(sigmoid([-1000.0, 0.0, 1000.0]))
    [0.  0.5 1. ]
    """
    x = as_float("x", x)
    tail = np.exp(-np.abs(x))
    return (np.where(x >= 0, 1, tail) / (1 + tail))[()]


@overload
def log_sigmoid(x: float) -> np.float64: ...
@overload
def log_sigmoid(x: ArrayLike) -> FloatOrArray: ...
@quiet
def log_sigmoid(x: ArrayLike) -> FloatOrArray:
    """Compute the logarithm of `sigmoid`, -log1p(exp(-x)), elementwise, accurate in both tails.

    Parameters
    ----------
    x : as in `sigmoid`

    Returns
    -------
    log_proba : scalar or ndarray, shape of `x`, float32 or float64; in nats

    Examples
    --------
    >>> print(log_sigmoid([-1000.0, 50.0]))
    [-1.00000000e+03 -1.92874985e-22]
    """
    x = as_float("x", x)
    return (np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))[()]
