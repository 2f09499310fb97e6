"""Cross-entropy, entropy and divergence of distributions and labels, in plain NumPy.

With logits z, distributions p and q along `axis`, and natural logarithms:

    cross_entropy = -sum_k p_k log q_k = entropy(p) + kl_divergence(p, q),   q = softmax(z)

Dtypes, infinities and NaN are those of `functions`; integers beside logits or probabilities take
the dtype of those. 0 log 0 = 0; probability 0 at a true class costs inf: no clipping, no
renormalising. An observation of weight 0 counts as absent, whatever it holds: any label is
valid, such as -100.
Errors and references are given once, in `cross_entropy`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from ..typing import FloatOrArray
from .arguments import (
    along,
    as_float,
    check_distribution,
    check_probabilities,
    check_shape,
    checked_class_weight,
    checked_labels,
    checked_smoothing,
    checked_weight,
    reduced,
    without,
)
from .functions import log_parts, log_sigmoid, quiet
from .sums import compensated_sum, sum_along

__all__ = ["binary_cross_entropy", "cross_entropy", "entropy", "kl_divergence"]

Mean: TypeAlias = Literal["mean", "sum"]
Reduction: TypeAlias = Literal["mean", "sum", "none"]


def _surprisal(name, q, from_logits, axis, absent):
    """Compute -log q >= +0 in nats, for logits or probabilities q; one NaN fills the axis."""
    if from_logits:
        _, centred, log_rest = log_parts(q, axis)
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


@overload
def cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Mean = "mean",
    label_smoothing: float = 0.0, class_weight: ArrayLike | dict[int, Any] | None = None,
) -> np.floating[Any]: ...
@overload
def cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Literal["none"],
    label_smoothing: float = 0.0, class_weight: ArrayLike | dict[int, Any] | None = None,
) -> FloatOrArray: ...
@quiet
def cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Reduction = "mean",
    label_smoothing: float = 0.0, class_weight: ArrayLike | dict[int, Any] | None = None,
) -> FloatOrArray:
    """Compute the cross-entropy -sum_k w_k y_true_k log q_k of predictions q under the truth.

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
    label_smoothing : float in [0, 1], default 0.0; e: the truth becomes
        (1 - e) y_true + e / n_classes, scaled to the sum of y_true
    class_weight : array_like of n_classes numbers >= 0, a dict from label to such a number (1 for
        others), or None; the w_k
        "mean" divides by the sum of sample_weight sum_k w_k y_true_k, as PyTorch does for labels.

    Returns
    -------
    loss : float32 or float64 scalar in nats; for "none" an ndarray, loss times weight

    Raises
    ------
    TypeError : an input does not hold real numbers, or labels are not integers
    ValueError : shapes that do not match, labels or probabilities out of range, a vector or
        a single class that does not sum to 1, negative or infinite weights, a mean over no
        weight, an unknown `axis` or `reduction`, a `label_smoothing` outside [0, 1]

    References
    ----------
    Cover & Thomas (2006), Elements of Information Theory, chapter 2; Szegedy et al. (2016),
    Rethinking the Inception architecture for computer vision, section 7, for label smoothing.

    Examples
    --------
    >>> print(cross_entropy(0, [2.0, 1.0, 0.1]).round(3))
    0.417
    >>> print(cross_entropy(0, [2.0, 1.0, 0.1], label_smoothing=0.1).round(3))
    0.514
    """
    y_pred, axis = along("y_pred", y_pred, axis)
    weight, absent = checked_weight(sample_weight, without(y_pred.shape, axis), axis)
    smoothing = checked_smoothing(label_smoothing)
    of_class = checked_class_weight(class_weight, y_pred.shape, axis)
    surprisal = _surprisal("y_pred", y_pred, from_logits, axis, absent)
    if not from_logits:
        check_distribution("y_pred", y_pred, axis, absent)
    if of_class is not None:
        surprisal = _times(of_class, surprisal).astype(surprisal.dtype)
    p = total = share = None    # the truth, its sums along `axis`, and those weighted by class
    if np.ndim(y_true) == y_pred.ndim - 1:
        labels = checked_labels(y_true, y_pred.shape, axis, absent)
        loss = np.take_along_axis(surprisal, labels, axis).squeeze(axis)
        if of_class is not None:
            share = of_class.ravel()[labels].squeeze(axis)
    else:
        p = as_float("y_true", y_true, y_pred.dtype)
        check_shape("y_true", p, y_pred.shape, "as y_pred, or one axis fewer for labels")
        check_probabilities("y_true", p, absent)
        check_distribution("y_true", p, axis, absent, may_be_zero=True)
        loss, total = sum_along(_times(p, surprisal), axis), sum_along(p, axis)
        if of_class is not None:
            share = sum_along(p.astype(np.float64) * of_class, axis)
    if smoothing > 0:
        loss = _smoothed(loss, surprisal, total, smoothing, axis)
    if p is not None:
        loss = _zero_where_padded(loss, p, y_pred, axis)
    return reduced(loss, weight, reduction, share)


def _smoothed(loss, surprisal, total, smoothing, axis):
    """Return the loss under (1 - e) y_true + e / n_classes times `total`, the sum of y_true or 1.

    total : array, shape of `loss`, or None
    """
    uniform = sum_along(surprisal, axis) / surprisal.shape[axis]
    if total is not None:
        uniform = _times(total, uniform)
    return _times(1 - smoothing, loss) + _times(smoothing, uniform)


@overload
def binary_cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True,
    sample_weight: ArrayLike | None = None, reduction: Mean = "mean",
) -> np.floating[Any]: ...
@overload
def binary_cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True,
    sample_weight: ArrayLike | None = None, reduction: Literal["none"],
) -> FloatOrArray: ...
@quiet
def binary_cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, *, from_logits: bool = True,
    sample_weight: ArrayLike | None = None, reduction: Reduction = "mean",
) -> FloatOrArray:
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


@overload
def entropy(
    p: ArrayLike, *, axis: int = -1, sample_weight: ArrayLike | None = None,
    reduction: Mean = "mean",
) -> np.floating[Any]: ...
@overload
def entropy(
    p: ArrayLike, *, axis: int = -1, sample_weight: ArrayLike | None = None,
    reduction: Literal["none"],
) -> FloatOrArray: ...
@quiet
def entropy(
    p: ArrayLike, *, axis: int = -1, sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> FloatOrArray:
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


@overload
def kl_divergence(
    p: ArrayLike, q: ArrayLike, *, from_logits: bool = False, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Mean = "mean",
) -> np.floating[Any]: ...
@overload
def kl_divergence(
    p: ArrayLike, q: ArrayLike, *, from_logits: bool = False, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Literal["none"],
) -> FloatOrArray: ...
@quiet
def kl_divergence(
    p: ArrayLike, q: ArrayLike, *, from_logits: bool = False, axis: int = -1,
    sample_weight: ArrayLike | None = None, reduction: Reduction = "mean",
) -> FloatOrArray:
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
