"""The duality gap: a proof of how far an objective value is from the optimum.

Notation: weights s_i sum to 1; q_i the predicted probabilities and y_i the one-hot
labels of row i; G = sum_i s_i (q_i - y_i) x_i' the gradient of the loss in W;
h the penalty; H the entropy in nats.

The dual of  min_W,b  sum_i s_i CE(y_i, softmax(W x_i + b)) + h(W)  is

    max  sum_i s_i H(q_i) - h*(-G)   over probabilities q_i with sum_i s_i (q_i - y_i) = 0,

where the constraint comes from the unpenalised intercept. Any feasible q bounds the
optimum from below. At an iterate whose intercept is not quite optimal the model's
own q_i miss the constraint by g = q - c, where q = sum_i s_i q_i and c are the class
frequencies. Mixing every q_i with one distribution r repairs that exactly:

    q_i' = (1 - t) q_i + t r,   t = max_k (1 - c_k / q_k)+,   r = (c - (1 - t) q) / t,

and entropy is concave, so sum_i s_i H(q_i') >= (1 - t) sum_i s_i H(q_i) + t H(r). With
M = r xbar' - sum_i s_i y_i x_i' (xbar the mean row) the gradient becomes
G' = (1 - t) G + t M. (G' and q_i' belong to the mixture; other dashes transpose.) Because
CE(y_i, q_i) - H(q_i) = (q_i - y_i)' (W x_i + b), the bound on the gap is

    [<G', W> + h(W) + h*(-G')] + (1 - t) <g, b> + t (loss - <M, W> - H(r)),

in which nothing large cancels: every term vanishes at the optimum. The bound needs no pass
over the rows beyond the gradient's.

With an L1 penalty h*(-G') is finite (l2 = 0), or small, only where G' stays within the
threshold. Mixing the q_i' with the labels scales G' down: (1 - u) q_i' + u y_i keeps the
constraint, turns G' into (1 - u) G' and has at least (1 - u) times the entropy of q_i'. The
bound becomes

    [<(1 - u) G', W> + h(W) + h*(-(1 - u) G')] + (1 - u) (the other terms) + u loss.

With offsets o_i added to the logits, sum_i s_i (q_i - y_i)' o_i is added to the dual. In the bound
it cancels for the model's own q_i and for the labels, and sum_i s_i (r - y_i)' o_i is left, to be
subtracted in the last parenthesis next to <M, W>.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import entr

from .penalty import fenchel_gaps, over_parts, scaled_squares


class OffsetSums(NamedTuple):
    """Sums of the offsets o_i.

    Attributes
    ----------
    mean : (n_rows,), sum_i s_i o_i
    of_targets : float, sum_i s_i y_i' o_i
    """

    mean: np.ndarray
    of_targets: float

    @classmethod
    def of(cls, offset, labels):
        """Return the sums of an offset (n_samples, n_rows), for a `Sample` of labels."""
        target, weight = labels.target, labels.weight / labels.weight.max()
        weight = weight / weight.sum()
        if offset.shape[1] == 1:
            own = np.where(target == 1, offset[:, 0], 0)
        else:
            own = offset[np.arange(len(target)), target]
        # Not BLAS, whose bits depend on its threads.
        return cls(
            np.einsum("i,ik->k", weight, offset, dtype=np.float64),
            float(np.einsum("i,i->", weight, own, dtype=np.float64)),
        )


def _repair(excess, frequencies):
    """Return the mixing weight t and the distribution r of the module's docstring.

    excess : (n_classes,), g = q - c
    frequencies : (n_classes,), c
    """
    # Both q and c sum to 1, so the excess sums to 0. Rounding may be as large as the excess
    # itself, and must not pass for an excess that all classes share.
    excess = excess - excess.sum() / len(excess)
    predicted = frequencies + excess
    # A class with excess_k <= 0 needs no mixing. The others have q_k > c_k > 0.
    t = min(1.0, (excess / np.where(excess > 0, predicted, np.inf)).max())
    if t <= 0.0:
        return 0.0, frequencies
    r = np.maximum(predicted - excess / t, 0.0)
    return t, r / r.sum()


def duality_gap(
    penalty, theta, loss, loss_grad, class_sums, row_mean, fit_intercept, offset=None
):
    """Compute an upper bound on objective(theta) minus the optimum, in nats.

    Parameters
    ----------
    penalty : object with ``fenchel_gap``
    theta : (n_rows, n_features + 1)
        Parameters, intercept last; n_rows is n_classes, or 1 for the binary model.
    loss : float
        Mean loss at theta, without the penalty.
    loss_grad : (n_rows, n_features + 1)
        Gradient of the mean loss.
    class_sums : (n_rows, n_features + 1)
        sum_i s_i y_i [x_i, 1]'; the last column holds class frequencies, all positive.
    row_mean : (n_features,)
        sum_i s_i x_i.
    fit_intercept : bool
        Whether the probabilities have to meet the constraint of a free intercept.
    offset : OffsetSums, optional

    Returns
    -------
    gap : float
        ``np.inf`` where the penalty is zero.
    """
    coef, mix, constant, of_mixture = theta[:, :-1], 0.0, 0.0, 0.0
    of_coef, of_labels = loss_grad[:, :-1], class_sums[:, :-1]
    if fit_intercept:
        mix, target, entropy = _feasible(loss_grad[:, -1], class_sums[:, -1])
        constant = (1 - mix) * (loss_grad[:, -1] @ theta[:, -1])
    if mix > 0:
        of_mixture = loss - entropy    # the last term of the bound, but for <M, W>
        if offset is not None:
            of_mixture -= target @ offset.mean - offset.of_targets

    def mixed(index):
        """Return G' of some rows and columns, and the part of <M, W> in them."""
        rows, columns = index
        grad = of_coef[index]
        if mix == 0.0:
            return grad, 0.0
        other = target[rows, np.newaxis] * row_mean[columns]
        other -= of_labels[index]
        product = np.einsum("kj,kj->", other, coef[index])
        other *= mix
        other += (1 - mix) * grad
        return other, product

    scales = [1.0]
    if penalty.has_kinks:
        norm = max(over_parts(
            lambda index, part: part.dual_norm(mixed(index)[0]), penalty, coef.shape
        ))
        if norm > 1.0:
            scales.append(1 / norm)
    gaps = []
    for scale in scales:
        def terms(index, part, scale=scale):
            grad, product = mixed(index)
            return part.fenchel_gap(coef[index], scale * grad), product

        brackets, products = zip(*over_parts(terms, penalty, coef.shape), strict=True)
        rest = constant + mix * (of_mixture - sum(products))
        gaps.append(sum(brackets) + scale * rest + (1 - scale) * loss)
    return min(gaps)


def _feasible(excess, frequencies):
    """Return the mixing of the probabilities that makes them feasible.

    Parameters
    ----------
    excess, frequencies : (n_rows,), those of `_repair`; in the binary model of the second class

    Returns
    -------
    t : float
    r : (n_rows,)
        Mixing weight, and the entries of the distribution that belong to the rows of theta.
    entropy : float
        H(r), of all classes, in nats.
    """
    if len(excess) == 1:
        excess = np.array([-excess[0], excess[0]])
        frequencies = np.array([1 - frequencies[0], frequencies[0]])
        t, whole = _repair(excess, frequencies)
        return t, whole[1:], entr(whole).sum()
    t, whole = _repair(excess, frequencies)
    return t, whole, entr(whole).sum()


def duality_gaps(
    curvatures, thresholds, thetas, losses, loss_grads, class_sums, row_mean, fit_intercept
):
    """Compute the `duality_gap` of several thetas at once, without blocks, bounds and offsets.

    Parameters
    ----------
    curvatures, thresholds : (n_thetas, 1, n_features)
        Those of the penalty of each theta; one of both is positive. The thresholds are None
        where all penalties are L2.
    thetas, loss_grads : (n_thetas, n_rows, n_features + 1)
    losses : (n_thetas,)
    class_sums, row_mean : (n_thetas, n_rows, n_features + 1), (n_thetas, n_features)
        Those of `duality_gap` for each theta, which may have rows of its own.
    fit_intercept : bool

    Returns
    -------
    gaps : (n_thetas,)
    """
    coef, grad, constant = thetas[..., :-1], loss_grads[..., :-1], 0.0
    if fit_intercept:
        n_rows, excess, shares = thetas.shape[1], loss_grads[..., -1], class_sums[..., -1]
        bound = np.einsum("bk,bk->b", excess, thetas[..., -1])
        if n_rows == 1:
            excess, shares = np.append(-excess, excess, 1), np.append(1 - shares, shares, 1)
        t, whole = _repairs(excess, shares)
        r = whole[:, -n_rows:]
        means = row_mean[:, np.newaxis]
        other = r[..., np.newaxis] * means - class_sums[..., :-1]    # M
        product = np.einsum("bkj,bkj->b", other, coef)
        constant = (1 - t) * bound + t * (losses - product - entr(whole).sum(axis=1))
        t = t[:, np.newaxis, np.newaxis]
        grad = (1 - t) * grad + t * other
    if thresholds is None:
        return scaled_squares(grad + curvatures * coef, curvatures) + constant
    with np.errstate(divide="ignore"):
        ratios = np.where(thresholds > 0, np.abs(grad) / thresholds, 0.0)
    scale = 1 / ratios.max(axis=(1, 2), initial=1.0)
    scaled = scale[:, np.newaxis, np.newaxis] * grad
    bracket = fenchel_gaps(curvatures, thresholds, coef, scaled)
    gaps = bracket + scale * constant + (1 - scale) * losses
    if (curvatures > 0).any():    # else, the bound without scaling is infinite or the same
        gaps = np.minimum(gaps, fenchel_gaps(curvatures, thresholds, coef, grad) + constant)
    return gaps


def _repairs(excess, frequencies):
    """Return the `_repair` of each row of `excess`: t, (n,), and r, (n, n_classes)."""
    excess = excess - np.add.reduce(excess, axis=1, keepdims=True) / excess.shape[1]
    predicted = frequencies + excess
    t = (excess / np.where(excess > 0, predicted, np.inf)).max(axis=1)
    t = np.clip(t, 0.0, 1.0)
    r = np.maximum(predicted - excess / np.where(t > 0, t, np.inf)[:, np.newaxis], 0.0)
    return t, r / r.sum(axis=1, keepdims=True)
