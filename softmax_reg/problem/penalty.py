"""Penalties on the coefficients: value, gradient, and part of the duality gap.

A penalty h acts on coef (n_rows, n_features), never on the intercept. `factor` scales the
penalty of every feature; 0 leaves a feature unpenalised. Where h has a kink at 0, ``grad`` is
the gradient of the smooth part of h.
"""

from typing import NamedTuple

import numpy as np

from ..parallel.elementwise import each
from .blocks import Blocks
from .bounded import BoundedPenalty

# Largest relative excess over the threshold that counts as rounding, in a gradient that has been
# scaled down to the threshold.
_ROUNDING = 4 * np.finfo(np.float64).eps
# Number of coefficients of a part of the features: four arrays of this size fit into an L2 cache.
_PART_SIZE = 2**15
# Floating-point operations that kernels do in the time that a coefficient takes here.
_COEFFICIENT_WORK = 20


class L2Penalty(NamedTuple):
    """L2 penalty, h(W) = l2 / 2 sum_j v_j ||W_j||^2, W_j the coefficients of feature j.

    Attributes
    ----------
    l2 : float >= 0
        Strength on the scale of the mean loss, 1 / (C * sum of weights). 0 is no penalty.
    factor : array of shape (n_features,), finite and non-negative, or 1.0
        The v_j.
    """

    l2: float
    factor: np.ndarray | float = 1.0

    @property
    def curvature(self):
        """Second derivative in every coefficient of a feature; a number or (n_features,)."""
        return self.l2 * self.factor

    @property
    def is_strict(self):
        """Whether every feature is penalised."""
        return bool(self.l2 > 0 and np.all(self.factor))

    @property
    def weight(self):
        """Weight of the penalty, 0 for an unpenalised feature; a number or (n_features,)."""
        return self.curvature

    has_kinks = False
    blocks = bounds = None
    threshold = 0.0
    is_free, is_half_bounded = True, False

    def of_strength(self, strength, l1_ratio):
        """Return the penalty of another strength, as `penalty_of`."""
        return self._replace(l2=strength)

    def restricted(self, features, rows=slice(None)):
        """Return the penalty on some of the features, an index; the same for any rows."""
        return self._replace(factor=_some(self.factor, features))

    def feasible(self, coef):
        """Return the coefficients, which have no bounds."""
        return coef

    def cast(self, coef, dtype):
        """Return the coefficients in another dtype."""
        return coef.astype(dtype, copy=False)

    def followed(self, grad):
        """Return the gradient, which coefficients of 0 may follow."""
        return grad

    def value(self, coef):
        """Return h(W)."""
        return 0.5 * self.l2 * _weighted_squares(self.factor, coef)

    def grad(self, coef):
        """Return the gradient of h at W."""
        return self.curvature * coef

    def dual_norm(self, grad):
        """Return inf where a gradient has no penalty at all, and h* is infinite; else 0."""
        has_none = np.broadcast_to(self.curvature == 0, grad.shape[1:])
        return np.inf if np.any(grad[:, has_none]) else 0.0

    def fenchel_gap(self, coef, loss_grad):
        """Return <G, W> + h(W) + h*(-G), without cancellation.

        The formula is sum_j ||G_j + l2 v_j W_j||^2 / (2 l2 v_j), with G = `loss_grad`. The sum is
        zero if and only if -G is the gradient of h at W. Without a penalty h* is infinite
        everywhere but at 0, and inf is returned.
        """
        if self.l2 == 0:
            return np.inf
        return _scaled_squares(loss_grad + self.grad(coef), self.curvature)


class SparsePenalty(NamedTuple):
    """Elastic-net penalty, h(W) = sum_j v_j (l1 |W_j| + l2 / 2 ||W_j||^2); L1 where l2 = 0.

    |W_j| is the sum of the absolute coefficients of feature j. With blocks, every block G of
    features has one term v l1 ||W_G|| instead, the Euclidean norm of all coefficients of the
    block. So a block is in the model for all its features and classes, or for none.

    Attributes
    ----------
    l1, l2 : float, positive and non-negative
        Strengths on the scale of the mean loss.
    factor : array of shape (n_features,), finite and non-negative, or 1.0
        The v_j, equal within a block.
    blocks : Blocks or None
        Blocks of features that share a norm.
    """

    l1: float
    l2: float = 0.0
    factor: np.ndarray | float = 1.0
    blocks: Blocks | None = None

    @property
    def curvature(self):
        """Second derivative of the smooth part; a number or (n_features,)."""
        return self.l2 * self.factor

    @property
    def threshold(self):
        """Largest gradient at which a zero coefficient is optimal; a number or (n_features,)."""
        return self.l1 * self.factor

    @property
    def is_strict(self):
        """Whether every feature is penalised."""
        return bool(np.all(self.factor))

    @property
    def weight(self):
        """Weight of the penalty, 0 for an unpenalised feature; a number or (n_features,)."""
        return self.factor

    has_kinks, is_half_bounded = True, False
    bounds = None

    def of_strength(self, strength, l1_ratio):
        """Return the penalty of another strength, as `penalty_of`."""
        return self._replace(l1=l1_ratio * strength, l2=(1 - l1_ratio) * strength)

    @property
    def grouped(self):
        """Whether blocks share norms."""
        return self.blocks is not None

    @property
    def is_free(self):
        """Mask of the coefficients without a kink; bool or (n_features,)."""
        return self.threshold == 0

    feasible, cast, followed = L2Penalty.feasible, L2Penalty.cast, L2Penalty.followed

    def restricted(self, features, rows=slice(None)):
        """Return the penalty on some of the features, an index of whole blocks."""
        return self._replace(
            factor=_some(self.factor, features),
            blocks=None if self.blocks is None else self.blocks.restricted(features),
        )

    def sizes(self, array):
        """Compute the sizes of entries, or of columns' blocks, to compare with `threshold`.

        Returns
        -------
        sizes : (n_rows, n_features), or (1, n_features) with blocks
            Absolute value of every entry, or norm of the block of every column.
        """
        if self.blocks is None:
            return np.abs(array)
        return self.blocks.norms(array)[np.newaxis]

    pull = sizes    # of gradients, at coefficients of 0

    def kinks(self, coef):
        """Return the nonsmooth part of h at W."""
        terms = self.threshold * self.sizes(coef)
        return float(terms.sum() if self.blocks is None else self.blocks.one_each(terms[0]).sum())

    def value(self, coef):
        """Return h(W)."""
        return self.kinks(coef) + 0.5 * self.l2 * _weighted_squares(self.factor, coef)

    def grad(self, coef):
        """Return the gradient of the smooth part of h at W."""
        return self.curvature * coef

    def dual_norm(self, grad):
        """Return the largest ratio of gradient to threshold, over features whose threshold > 0."""
        threshold = np.broadcast_to(self.threshold, grad.shape[1:])
        sizes = self.sizes(grad).max(axis=0)
        with np.errstate(over="ignore"):
            return float(np.divide(sizes, threshold, out=np.zeros_like(sizes),
                                   where=threshold > 0).max(initial=0.0))

    def fenchel_gap(self, coef, loss_grad):
        """Return <G, W> + h(W) + h*(-G) as a sum of non-negative terms.

        Let G = `loss_grad`, and P the part of G within the threshold: entries are clipped to
        it, or blocks shortened to it. The sum is

            <P, W> + l1 v |W|  +  ||G - P + l2 v W||^2 / (2 l2 v).

        The last term is infinite for l2 = 0 unless G = P.
        """
        sizes = self.sizes(loss_grad)
        excess = np.maximum(sizes - self.threshold, 0.0)
        beyond = np.divide(excess, sizes, out=np.zeros_like(sizes), where=excess > 0) * loss_grad
        products, terms = (loss_grad - beyond) * coef, self.threshold * self.sizes(coef)
        if self.blocks is not None:
            products = self.blocks.totals(products.sum(axis=0))
            terms = self.blocks.one_each(terms[0])
        gap = np.maximum(products + terms, 0.0).sum()
        if self.l2 > 0:
            return gap + _scaled_squares(beyond + self.grad(coef), self.curvature)
        # Beyond the threshold h* is infinite. The caller scales the gradient to the threshold,
        # so any excess that is left is rounding.
        return gap if not np.any(excess > _ROUNDING * sizes) else np.inf


def penalty_of(strength, *, l1_ratio=0.0, factor=1.0, blocks=None, bounds=None):
    """Return the penalty of a strength, 1 / (C * sum of weights), of which `l1_ratio` is L1.

    bounds : (lower, upper), each (n_rows, n_features), or None
        Without blocks only.
    """
    if bounds is not None:
        return BoundedPenalty(penalty_of(strength, l1_ratio=l1_ratio, factor=factor), *bounds)
    if strength == 0 or not np.any(factor):
        return L2Penalty(0.0)
    if np.ndim(factor) and np.all(factor == 1):
        factor = 1.0
    if l1_ratio * strength == 0:
        return L2Penalty(strength, factor)
    return SparsePenalty(l1_ratio * strength, (1 - l1_ratio) * strength, factor, blocks)


def over_parts(function, penalty, shape):
    """Return function(index, penalty) for parts of the coefficients, on the kernel threads.

    Parameters
    ----------
    function : callable
        Takes an index of a part, (rows, columns), and the penalty on its features.
    penalty : L2Penalty, SparsePenalty or BoundedPenalty
    shape : (n_rows, n_features)
        Parts follow from it, and from the penalty's blocks, which are not cut.
    """
    every = slice(None)
    if shape[0] * shape[1] <= _PART_SIZE:
        return [function((every, every), penalty)]
    if penalty.blocks is None and shape[1] <= _PART_SIZE:
        height = _PART_SIZE // shape[1]
        indexes = [(slice(row, row + height), every) for row in range(0, shape[0], height)]
    else:
        blocks = Blocks.single(shape[1]) if penalty.blocks is None else penalty.blocks
        width = max(1, _PART_SIZE // shape[0])
        indexes = [(every, columns) for columns in blocks.slices(width)]

    def on_part(index):
        rows, columns = index
        return function(index, penalty.restricted(columns, rows))

    return each(on_part, indexes, float(_COEFFICIENT_WORK * shape[0] * shape[1]))


def add_gradient(penalty, coef, grad, out):
    """Set `out` to `grad` plus the gradient of the smooth part of h at `coef`; return h."""
    def add(index, penalty):
        some = coef[index]
        np.add(grad[index], penalty.grad(some), out=out[index])
        return penalty.value(some)

    return sum(over_parts(add, penalty, coef.shape))


def _some(factor, features):
    """Return the factors of some features; a number stays as it is."""
    return factor[features] if np.ndim(factor) else factor


def _weighted_squares(factor, array):
    """Return sum_j factor_j ||array_j||^2."""
    if not np.ndim(factor):
        return factor * np.einsum("kj,kj->", array, array)
    return (factor * np.einsum("kj,kj->j", array, array)).sum()


def _scaled_squares(array, curvature):
    """Return sum_j ||array_j||^2 / (2 curvature_j)."""
    # Divide first: squares could underflow where the sum does not.
    with np.errstate(over="ignore"):
        scaled = array / np.sqrt(2 * curvature)
    return np.einsum("kj,kj->", scaled, scaled)


def scaled_squares(arrays, curvatures):
    """Return `_scaled_squares` of several arrays, (n, n_rows, n_features), of curvatures > 0."""
    scaled = arrays / np.sqrt(2 * curvatures)
    return np.einsum("bkj,bkj->b", scaled, scaled)


def fenchel_gaps(curvatures, thresholds, coefs, loss_grads):
    """Return `SparsePenalty.fenchel_gap` of several penalties without blocks, (n,).

    curvatures, thresholds : (n, 1, n_features)
    coefs, loss_grads : (n, n_rows, n_features)
    """
    within = np.clip(loss_grads, -thresholds, thresholds)
    beyond = loss_grads - within
    gaps = np.maximum(within * coefs + thresholds * np.abs(coefs), 0.0).sum(axis=(1, 2))
    is_flat = curvatures == 0
    if not is_flat.all():
        curved = np.where(is_flat, np.inf, curvatures)
        gaps += scaled_squares(beyond + curvatures * coefs, curved)
    if is_flat.any():
        exceeds = is_flat & (np.abs(beyond) > _ROUNDING * np.abs(loss_grads))
        gaps[exceeds.any(axis=(1, 2))] = np.inf
    return gaps
