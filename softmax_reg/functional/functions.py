"""Softmax, its logarithm, and the losses built on them, in plain NumPy.

With logits z, distributions p and q along `axis`, and natural logarithms:

    logsumexp(z)   = log sum_k exp(z_k)
    log_softmax(z) = z - logsumexp(z),   softmax(z) = exp(log_softmax(z))
    cross_entropy  = -sum_k p_k log q_k  = entropy(p) + kl_divergence(p, q)

float32 stays float32. float16, and bfloat16 of ml_dtypes, become float32. All else becomes
float64, but integers beside logits or probabilities take the dtype of those. Sums run in
float64. Inputs are never modified, nothing overflows, no NumPy warning is raised. One NaN makes
all results along its axis NaN. A logit of -inf is probability 0; a maximum of +inf or -inf has
no softmax: NaN. 0 log 0 = 0; probability 0 at a true class costs inf: no clipping, no
renormalising. An observation of weight 0 counts as absent, whatever it holds: any label is
valid, such as -100.
Errors and references are given once: in `softmax`, and in `cross_entropy` for the losses.
"""

import numpy as np

from .arguments import (
    along,
    as_float,
    check_distribution,
    check_probabilities,
    check_shape,
    checked_labels,
    checked_weight,
    reduced,
    without,
)
from .sums import compensated_sum, sum_along

__all__ = ["binary_cross_entropy", "cross_entropy", "entropy", "kl_divergence", "log_sigmoid",
           "log_softmax", "logsumexp", "sigmoid", "softmax"]

_quiet = np.errstate(all="ignore")      # infinities and NaN are data, whatever np.seterr says


def _log_parts(z, axis):
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


def _surprisal(name, q, from_logits, axis, absent):
    """Compute -log q >= +0 in nats, for logits or probabilities q; one NaN fills the axis."""
    if from_logits:
        _, centred, log_rest = _log_parts(q, axis)
        return log_rest - centred
    check_probabilities(name, q, absent)
    surprisal = 0 - np.log(np.minimum(q, 1))            # above 1 by rounding only
    return np.where(np.isnan(surprisal).any(axis=axis, keepdims=True), np.nan, surprisal)


def _times(p, surprisal):
    """Compute p * surprisal with 0 * inf = 0, which is 0 log 0; 0 * NaN stays NaN."""
    return np.where((p == 0) & (surprisal == np.inf), 0, p * surprisal)


def _zero_where_padded(loss, p, q, axis):
    """Replace the loss with 0 where all of p along `axis` is 0.

    Such a masked row has no softmax. Where q holds NaN, the loss stays.
    """
    is_padded = ~np.any(p, axis=axis) & ~np.isnan(q).any(axis=axis)
    return np.where(is_padded, 0, loss)


def _log_ratio(p, q):
    """Compute log(p / q) of float64 p, q >= 0 to a relative error of 3 eps, also for p near q.

    For q/2 <= p <= 3q/2 the difference p - q is exact (Sterbenz), and log1p((p - q) / q)
    passes on 1.5 times the error of the division at most. Elsewhere, log(p / q) passes on 2.5
    times. Where the ratio overflows or is subnormal, log p - log q is large and hardly cancels.
    """
    ratio = p / q
    log_ratio = np.log(ratio)
    is_near = np.abs(p - q) <= q / 2
    log_ratio[is_near] = np.log1p((p[is_near] - q[is_near]) / q[is_near])
    is_extreme = (ratio < np.finfo(np.float64).tiny) | (ratio == np.inf)
    log_ratio[is_extreme] = np.log(p[is_extreme]) - np.log(q[is_extreme])
    return log_ratio


@_quiet
def softmax(x, axis=-1):
    """Compute the softmax probabilities exp(x_k) / sum_j exp(x_j) along `axis`.

    Parameters
    ----------
    x : array_like of real numbers, at least 1-d; the logits
    axis : int, default -1; the axis of the classes

    Returns
    -------
    proba : ndarray, shape of `x`, float32 or float64
        Exactly 0 where `x` is -inf; NaN along an axis whose maximum is not finite.

    Raises
    ------
    TypeError : `x` does not hold real numbers
    ValueError : no such `axis`, or `x` is empty along it

    References
    ----------
    Blanchard, Higham & Higham (2021), Accurately computing the log-sum-exp
    and softmax functions, IMA J. Numer. Anal. 41(4).

    Examples
    --------
    >>> print(softmax([2.0, 1.0, 0.1]).round(3))
    [0.659 0.242 0.099]
    """
    x, axis = along("x", x, axis)
    proba = np.exp(x - x.max(axis=axis, keepdims=True))
    return proba / np.expand_dims(sum_along(proba, axis), axis)


@_quiet
def log_softmax(x, axis=-1):
    """Compute the logarithm of `softmax`, relatively accurate for probabilities near 0 and 1.

    Parameters
    ----------
    x, axis : as in `softmax`

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
    _, centred, log_rest = _log_parts(x, axis)
    return centred - log_rest


@_quiet
def logsumexp(x, axis=-1, keepdims=False):
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
    top, _, log_rest = _log_parts(x, axis)
    value = np.where(np.isfinite(top), top + log_rest, top)
    return value if keepdims else value.squeeze(axis)[()]


@_quiet
def sigmoid(x):
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


@_quiet
def log_sigmoid(x):
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


@_quiet
def cross_entropy(y_true, y_pred, *, from_logits=True, axis=-1, sample_weight=None,
                  reduction="mean"):
    """Compute the cross-entropy -sum_k y_true_k log q_k of predictions q under the truth.

    Parameters
    ----------
    y_true : array_like of distributions, shape of `y_pred`; or of class labels,
        integers in [0, n_classes), shape of `y_pred` without `axis`
        A distribution that is 0 for every class is padding and costs 0.
    y_pred : array_like of real numbers; logits or probabilities along `axis`
        A vector is one observation: probabilities of class 1 go to `binary_cross_entropy`.
    from_logits : bool, default True; whether `y_pred` holds logits
    axis : int, default -1; the axis of the classes in `y_pred`
    sample_weight : array_like of numbers >= 0, shape of `y_pred` without `axis`, or None
    reduction : {"mean", "sum", "none"}; "mean" divides by the sum of the weights

    Returns
    -------
    loss : float32 or float64 scalar in nats; for "none" an ndarray, loss times weight

    Raises
    ------
    TypeError : an input does not hold real numbers, or labels are not integers
    ValueError : shapes that do not match, labels or probabilities out of range, a vector or
        a single class that does not sum to 1, negative or infinite weights, a mean over no
        weight, an unknown `axis` or `reduction`

    References
    ----------
    Cover & Thomas (2006), Elements of Information Theory, chapter 2.

    Examples
    --------
    >>> print(cross_entropy(0, [2.0, 1.0, 0.1]).round(3))
    0.417
    """
    y_pred, axis = along("y_pred", y_pred, axis)
    weight, absent = checked_weight(sample_weight, without(y_pred.shape, axis), axis)
    surprisal = _surprisal("y_pred", y_pred, from_logits, axis, absent)
    if not from_logits:
        check_distribution("y_pred", y_pred, axis, absent)
    if np.ndim(y_true) == y_pred.ndim - 1:
        labels = checked_labels(y_true, y_pred.shape, axis, absent)
        loss = np.take_along_axis(surprisal, labels, axis).squeeze(axis)
    else:
        p = as_float("y_true", y_true, y_pred.dtype)
        check_shape("y_true", p, y_pred.shape, "as y_pred, or one axis fewer for labels")
        check_probabilities("y_true", p, absent)
        check_distribution("y_true", p, axis, absent, may_be_zero=True)
        loss = _zero_where_padded(sum_along(_times(p, surprisal), axis), p, y_pred, axis)
    return reduced(loss, weight, reduction)


@_quiet
def binary_cross_entropy(y_true, y_pred, *, from_logits=True, sample_weight=None,
                         reduction="mean"):
    """Compute the binary cross-entropy -y log q - (1 - y) log(1 - q), elementwise.

    Parameters
    ----------
    y_true : array_like, shape of `y_pred`; labels 0 and 1, or probabilities of class 1
    y_pred : array_like of real numbers; logits or probabilities of class 1
        A logit of +inf is a probability of 1 here, where `softmax` is NaN.
    from_logits, sample_weight, reduction : as in `cross_entropy`; a weight per element

    Returns
    -------
    loss : as in `cross_entropy`

    Examples
    --------
    >>> print(binary_cross_entropy([1, 0], [0.9, 0.2], from_logits=False).round(4))
    0.1643
    """
    q = as_float("y_pred", y_pred)
    p = as_float("y_true", y_true, q.dtype)
    check_shape("y_true", p, q.shape, "that of y_pred")
    weight, absent = checked_weight(sample_weight, q.shape)
    check_probabilities("y_true", p, absent)
    p = np.minimum(p, 1)                                    # above 1 by rounding only
    if from_logits:
        of_one, of_zero = -log_sigmoid(q), -log_sigmoid(-q)
    else:
        check_probabilities("y_pred", q, absent)
        q = np.minimum(q, 1)
        of_one, of_zero = -np.log(q), -np.log1p(-q)
    return reduced(_times(p, of_one) + _times(1 - p, of_zero), weight, reduction)


@_quiet
def entropy(p, *, axis=-1, sample_weight=None, reduction="mean"):
    """Compute the entropy -sum_k p_k log p_k of distributions along `axis`.

    Parameters
    ----------
    p : array_like of probabilities, at least 1-d
    axis, sample_weight, reduction : as in `cross_entropy`

    Returns
    -------
    entropy : as in `cross_entropy`

    Examples
    --------
    >>> print(entropy([0.5, 0.5, 0.0]).round(4))
    0.6931
    """
    p, axis = along("p", p, axis)
    weight, absent = checked_weight(sample_weight, without(p.shape, axis), axis)
    loss = sum_along(_times(p, _surprisal("p", p, False, axis, absent)), axis)
    return reduced(loss, weight, reduction)


@_quiet
def kl_divergence(p, q, *, from_logits=False, axis=-1, sample_weight=None, reduction="mean"):
    """Compute the Kullback-Leibler divergence sum_k p_k log(p_k / q_k).

    It is the cross-entropy minus the entropy.

    Parameters
    ----------
    p : array_like of probabilities, shape of `q`
    q : array_like of real numbers, at least 1-d; probabilities or logits
    from_logits : bool, default False; whether `q` holds logits
    axis, sample_weight, reduction : as in `cross_entropy`

    Returns
    -------
    divergence : as in `cross_entropy`
        Negative only where the sums of `p` and `q` differ.

    Notes
    -----
    Terms t_k = p_k log(p_k / q_k) are computed in float64 for every dtype. Each has a
    relative error of at most 4 eps, eps = 2.2e-16, from the division, the logarithm of a ratio
    or log1p((p - q) / q) with an exact difference, and the product. The sum is compensated, so
    the error of the divergence is at most 4 eps sum_k |t_k|, plus half a unit in the last place
    of its own dtype. For logits, the logarithm is rounded too, and the first bound is
    8 eps sum_k p_k (|log p_k| + |log q_k|).

    Examples
    --------
    >>> print(kl_divergence([0.5, 0.5], [0.9, 0.1]).round(4))
    0.5108
    """
    q, axis = along("q", q, axis)
    p = as_float("p", p, q.dtype)
    check_shape("p", p, q.shape, "that of q")
    weight, absent = checked_weight(sample_weight, without(q.shape, axis), axis)
    dtype = np.result_type(p, q)
    check_probabilities("p", p, absent)
    if not from_logits:
        check_probabilities("q", q, absent)
    p, q = np.minimum(p, 1, dtype=np.float64), q.astype(np.float64)     # above 1 by rounding only
    log_ratio = np.log(p) + _surprisal("q", q, True, axis, absent) if from_logits else (
        _log_ratio(p, np.minimum(q, 1))
    )
    terms = np.where((p == 0) & ~np.isnan(q), 0, p * log_ratio)
    divergence = _zero_where_padded(compensated_sum(terms, axis), p, q, axis)
    return reduced(divergence.astype(dtype), weight, reduction)
