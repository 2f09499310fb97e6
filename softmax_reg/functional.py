"""Softmax, its logarithm, and the losses built on them, in plain NumPy.

With logits z, distributions p and q along `axis`, and natural logarithms:

    logsumexp(z)   = log sum_k exp(z_k)
    log_softmax(z) = z - logsumexp(z),   softmax(z) = exp(log_softmax(z))
    cross_entropy  = -sum_k p_k log q_k  = entropy(p) + kl_divergence(p, q)

float32 stays float32, float16 becomes float32, all else float64, but integers beside
logits or probabilities take the dtype of those; sums run in float64.
Inputs are never modified, nothing overflows, no NumPy warning is raised. NaN fills the
axis. A logit of -inf is probability 0; a maximum of +inf or -inf has no softmax: NaN.
0 log 0 = 0; probability 0 at a true class costs inf: no clipping, no renormalising.
An observation of weight 0 counts as absent, whatever its loss.
Errors and references stand once: in `softmax`, and in `cross_entropy` for the losses.
"""

import numpy as np

__all__ = ["binary_cross_entropy", "cross_entropy", "entropy", "kl_divergence", "log_sigmoid",
           "log_softmax", "logsumexp", "sigmoid", "softmax"]

_quiet = np.errstate(all="ignore")      # infinities and NaN are data, whatever np.seterr says


def _as_float(name, x, integers_as=np.float64):
    """`x` as a native float32 or float64 array; no copy where it is one."""
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}.")
    if x.dtype.kind != "f":
        return x.astype(integers_as)
    return x.astype(np.float32 if x.dtype.itemsize <= 4 else np.float64, copy=False)


def _probabilities(name, p, integers_as=np.float64):
    """`p` as floats, refused where negative or above 1 by more than rounding."""
    p = _as_float(name, p, integers_as)
    wrong = (p < 0) | (p > 1 + 8 * np.finfo(p.dtype).eps)
    if wrong.any():
        raise ValueError(f"{name} must hold probabilities in [0, 1], got {p[wrong][0]}.")
    return p


def _along(name, x, axis):
    """`x` as floats, and `axis` counted from the front; the axis may not be empty."""
    x = _as_float(name, x)
    if not isinstance(axis, (int, np.integer)) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must be one of the {x.ndim} axes of {name}, got {axis!r}.")
    if x.shape[axis] == 0:
        raise ValueError(f"{name} must not be empty along axis {axis}, got shape {x.shape}.")
    return x, int(axis) % x.ndim


def _check_shape(name, x, shape, meaning):
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, {meaning}, got {x.shape}.")


def _sum(x, axis):
    """Sum in float64, returned in the dtype of `x`; pairwise along any axis."""
    x_last = np.ascontiguousarray(np.moveaxis(x, axis, -1))     # elsewhere NumPy adds in order
    return x_last.sum(axis=-1, dtype=np.float64).astype(x.dtype)


def _log_parts(z, axis):
    """Three parts: log_softmax = centred - log_rest and logsumexp = top + log_rest.

    With k the first maximum of z: top = z_k, centred = z - top and
    log_rest = log1p(sum over j != k of exp(centred_j)), NaN for a top of +-inf.
    Leaving out one maximum keeps the relative accuracy of a log-probability near 0.
    """
    k = np.argmax(z, axis=axis, keepdims=True)              # the first NaN, if there is one
    top = np.take_along_axis(z, k, axis)
    centred = z - top
    exponentials = np.exp(centred)
    np.put_along_axis(exponentials, k, top - top, axis)     # 0, or NaN for a top of +-inf
    return top, centred, np.log1p(np.expand_dims(_sum(exponentials, axis), axis))


def _surprisal(name, q, from_logits, axis):
    """-log q in nats, never -0.0, for logits or probabilities q; NaN fills the axis."""
    if from_logits:
        _, centred, log_rest = _log_parts(q, axis)
        return log_rest - centred
    surprisal = 0 - np.log(_probabilities(name, q))
    return np.where(np.isnan(surprisal).any(axis=axis, keepdims=True), np.nan, surprisal)


def _times(p, surprisal):
    """p * surprisal with 0 * inf = 0, which is 0 log 0; 0 * NaN stays NaN."""
    return np.where((p == 0) & (surprisal == np.inf), 0, p * surprisal)


def _labels(y, shape, axis):
    """Class labels checked and shaped to index `shape` along `axis`."""
    y = np.asarray(y)
    _check_shape("y_true", y, shape[:axis] + shape[axis + 1:], "as y_pred without `axis`")
    if y.size and y.dtype.kind not in "iu":
        raise TypeError(f"y_true must hold integer labels, got {y.dtype}. Encode or cast them.")
    wrong = (y < 0) | (y >= shape[axis])
    if wrong.any():
        raise ValueError(f"y_true must hold labels in [0, {shape[axis]}), got {y[wrong][0]}.")
    return np.expand_dims(y.astype(np.intp), axis)


def _reduce(loss, sample_weight, reduction):
    """The mean or sum of the losses, or the weighted losses themselves."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
    total, weighted = loss.size, loss.astype(np.float64)
    if sample_weight is not None:
        weight = _as_float("sample_weight", sample_weight).astype(np.float64)
        _check_shape("sample_weight", weight, loss.shape, "one weight for each loss")
        total = weight.sum()
        if np.any(weight < 0) or not np.isfinite(total):
            raise ValueError("sample_weight must be non-negative with a finite sum, got minimum "
                             f"{weight.min()} and sum {total}.")
        weighted = np.where(weight == 0, 0, weight * weighted)
    if reduction == "mean":
        if total == 0:
            raise ValueError("reduction='mean' needs a positive sum of sample_weight, got "
                             f"{total} over {loss.size} losses.")
        return loss.dtype.type(weighted.sum() / total)
    return (weighted.sum() if reduction == "sum" else weighted).astype(loss.dtype)[()]


@_quiet
def softmax(x, axis=-1):
    """Probabilities exp(x_k) / sum_j exp(x_j) along `axis`.

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
    x, axis = _along("x", x, axis)
    proba = np.exp(x - x.max(axis=axis, keepdims=True))
    return proba / np.expand_dims(_sum(proba, axis), axis)


@_quiet
def log_softmax(x, axis=-1):
    """Logarithm of `softmax`, relatively accurate for probabilities near 0 and near 1.

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
    x, axis = _along("x", x, axis)
    _, centred, log_rest = _log_parts(x, axis)
    return centred - log_rest


@_quiet
def logsumexp(x, axis=-1, keepdims=False):
    """Logarithm of the sum of exponentials along `axis`.

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
    x, axis = _along("x", x, axis)
    top, _, log_rest = _log_parts(x, axis)
    value = np.where(np.isfinite(top), top + log_rest, top)
    return value if keepdims else value.squeeze(axis)[()]


@_quiet
def sigmoid(x):
    """Logistic function 1 / (1 + exp(-x)), elementwise, relatively accurate in both tails.

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
    x = _as_float("x", x)
    tail = np.exp(-np.abs(x))
    return (np.where(x >= 0, 1, tail) / (1 + tail))[()]


@_quiet
def log_sigmoid(x):
    """Logarithm of `sigmoid`, -log1p(exp(-x)), elementwise, accurate in both tails.

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
    x = _as_float("x", x)
    return (np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))[()]


@_quiet
def cross_entropy(y_true, y_pred, *, from_logits=True, axis=-1, sample_weight=None,
                  reduction="mean"):
    """Cross-entropy -sum_k y_true_k log q_k of predictions q under the truth.

    Parameters
    ----------
    y_true : array_like of distributions, shape of `y_pred`; or of class labels,
        integers in [0, n_classes), shape of `y_pred` without `axis`
    y_pred : array_like of real numbers; logits or probabilities along `axis`
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
    ValueError : shapes that do not match, labels or probabilities out of range, negative
        or infinite weights, a mean over no weight, an unknown `axis` or `reduction`

    References
    ----------
    Cover & Thomas (2006), Elements of Information Theory, chapter 2.

    Examples
    --------
    >>> print(cross_entropy(0, [2.0, 1.0, 0.1]).round(3))
    0.417
    """
    y_pred, axis = _along("y_pred", y_pred, axis)
    surprisal = _surprisal("y_pred", y_pred, from_logits, axis)
    if np.ndim(y_true) == y_pred.ndim - 1:
        labels = _labels(y_true, y_pred.shape, axis)
        loss = np.take_along_axis(surprisal, labels, axis).squeeze(axis)
    else:
        p = _probabilities("y_true", y_true, y_pred.dtype)
        _check_shape("y_true", p, y_pred.shape, "as y_pred, or one axis fewer for labels")
        loss = _sum(_times(p, surprisal), axis)
    return _reduce(loss, sample_weight, reduction)


@_quiet
def binary_cross_entropy(y_true, y_pred, *, from_logits=True, sample_weight=None,
                         reduction="mean"):
    """Binary cross-entropy -y log q - (1 - y) log(1 - q), elementwise.

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
    if from_logits:
        z = _as_float("y_pred", y_pred)
        of_one, of_zero = -log_sigmoid(z), -log_sigmoid(-z)
    else:
        q = np.minimum(_probabilities("y_pred", y_pred), 1)     # above 1 by rounding only
        of_one, of_zero = -np.log(q), -np.log1p(-q)
    p = np.minimum(_probabilities("y_true", y_true, of_one.dtype), 1)
    _check_shape("y_true", p, of_one.shape, "that of y_pred")
    return _reduce(_times(p, of_one) + _times(1 - p, of_zero), sample_weight, reduction)


@_quiet
def entropy(p, *, axis=-1, sample_weight=None, reduction="mean"):
    """Entropy -sum_k p_k log p_k of distributions along `axis`.

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
    p, axis = _along("p", p, axis)
    loss = _sum(_times(p, _surprisal("p", p, False, axis)), axis)
    return _reduce(loss, sample_weight, reduction)


@_quiet
def kl_divergence(p, q, *, from_logits=False, axis=-1, sample_weight=None, reduction="mean"):
    """Kullback-Leibler divergence sum_k p_k log(p_k / q_k): cross-entropy minus entropy.

    Parameters
    ----------
    p : array_like of probabilities, shape of `q`
    q : array_like of real numbers, at least 1-d; probabilities or logits
    from_logits : bool, default False; whether `q` holds logits
    axis, sample_weight, reduction : as in `cross_entropy`

    Returns
    -------
    divergence : as in `cross_entropy`; rounding can leave it a few eps below 0

    Examples
    --------
    >>> print(kl_divergence([0.5, 0.5], [0.9, 0.1]).round(4))
    0.5108
    """
    q, axis = _along("q", q, axis)
    p = _as_float("p", p, q.dtype)
    _check_shape("p", p, q.shape, "that of q")
    crossed = _times(p, _surprisal("q", q, from_logits, axis))
    own = _times(p, _surprisal("p", p, False, axis))
    return _reduce(_sum(crossed - own, axis), sample_weight, reduction)
