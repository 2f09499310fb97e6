"""Penalties on the coefficients: value, gradient, and their share of the duality gap.

A penalty h acts on coef (n_rows, n_features), never on the intercept. `factor` weighs its
share of every feature: 0 leaves one unpenalised. Where h has a kink at 0, ``grad`` is that of
its smooth part.
"""

from typing import NamedTuple

import numpy as np

from .blocks import Blocks

# Largest relative excess over a threshold that scaling to it may leave by rounding.
_ROUNDING = 4 * np.finfo(np.float64).eps


class L2Penalty(NamedTuple):
    """h(W) = l2 / 2 sum_j v_j ||W_j||^2, W_j the coefficients of feature j.

    Attributes
    ----------
    l2 : float >= 0
        On the scale of the mean loss: 1 / (C * sum of weights). 0 is no penalty.
    factor : array of shape (n_features,), finite and non-negative, or 1.0
        v above.
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
        """0 where a feature is not penalised; a number or (n_features,)."""
        return self.curvature

    has_kinks = False
    blocks = None

    def restricted(self, features):
        """Return the penalty on some of the features, an index."""
        return self._replace(factor=_some(self.factor, features))

    def value(self, coef):
        """h(W)."""
        return 0.5 * self.l2 * _weighted_squares(self.factor, coef)

    def grad(self, coef):
        """Gradient of h at W."""
        return self.curvature * coef

    def fenchel_gap(self, coef, loss_grad):
        """<G, W> + h(W) + h*(-G) = sum_j ||G_j + l2 v_j W_j||^2 / (2 l2 v_j), no cancellation.

        Zero exactly when -G is the gradient of h at W. Without a penalty h* is
        infinite everywhere but at 0, and so is the gap.
        """
        if self.l2 == 0:
            return np.inf
        return _scaled_squares(loss_grad + self.grad(coef), self.curvature)


class SparsePenalty(NamedTuple):
    """h(W) = sum_j v_j (l1 |W_j| + l2 / 2 ||W_j||^2): elastic net, pure L1 where l2 = 0.

    |W_j| is the sum of the absolute coefficients of feature j. With blocks, there is one term
    v l1 ||W_G|| for every block G of features instead, the Euclidean norm of all their
    coefficients: a block is then in for all features and classes or for none.

    Attributes
    ----------
    l1, l2 : float, positive and non-negative
        On the scale of the mean loss.
    factor : array of shape (n_features,), finite and non-negative, or 1.0
        The same within a block.
    blocks : Blocks or None
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
        """Size of a gradient that leaves a feature out; a number or (n_features,)."""
        return self.l1 * self.factor

    @property
    def is_strict(self):
        """Whether every feature is penalised."""
        return bool(np.all(self.factor))

    @property
    def weight(self):
        """0 where a feature is not penalised; a number or (n_features,)."""
        return self.factor

    has_kinks = True

    @property
    def grouped(self):
        """Whether blocks share norms."""
        return self.blocks is not None

    def restricted(self, features):
        """Return the penalty on some of the features, an index of whole blocks."""
        return self._replace(
            factor=_some(self.factor, features),
            blocks=None if self.blocks is None else self.blocks.restricted(features),
        )

    def sizes(self, array):
        """Sizes to compare with `threshold`: of every entry, or of the block of every column.

        Returns
        -------
        sizes : (n_rows, n_features), or (1, n_features) with blocks
        """
        if self.blocks is None:
            return np.abs(array)
        return self.blocks.norms(array)[np.newaxis]

    def kinks(self, coef):
        """Return the part of h that is not smooth, at W."""
        terms = self.threshold * self.sizes(coef)
        return float(terms.sum() if self.blocks is None else self.blocks.one_each(terms[0]).sum())

    def value(self, coef):
        """h(W)."""
        return self.kinks(coef) + 0.5 * self.l2 * _weighted_squares(self.factor, coef)

    def grad(self, coef):
        """Gradient of the smooth part of h at W."""
        return self.curvature * coef

    def dual_norm(self, grad):
        """Largest gradient over its threshold; features without a threshold do not count."""
        threshold = np.broadcast_to(self.threshold, grad.shape[1:])
        sizes = self.sizes(grad).max(axis=0)
        return float(np.divide(sizes, threshold, out=np.zeros_like(sizes),
                               where=threshold > 0).max(initial=0.0))

    def fenchel_gap(self, coef, loss_grad):
        """<G, W> + h(W) + h*(-G), a sum of non-negative terms.

        With P the part of G within the threshold (clipped, or the block shortened to it):

            <P, W> + l1 v |W|  +  ||G - P + l2 v W||^2 / (2 l2 v),

        whose last term is infinite for l2 = 0 unless G = P.
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
        # What is beyond by rounding only is for the caller to scale away.
        return gap if not np.any(excess > _ROUNDING * sizes) else np.inf


def penalty_of(strength, *, l1_ratio=0.0, factor=1.0, blocks=None):
    """Return the penalty of total strength 1 / (C * sum of weights), l1_ratio of it L1."""
    if strength == 0 or not np.any(factor):
        return L2Penalty(0.0)
    if np.ndim(factor) and np.all(factor == 1):
        factor = 1.0
    if l1_ratio * strength == 0:
        return L2Penalty(strength, factor)
    return SparsePenalty(l1_ratio * strength, (1 - l1_ratio) * strength, factor, blocks)


def _some(factor, features):
    return factor[features] if np.ndim(factor) else factor


def _weighted_squares(factor, array):
    """sum_j factor_j ||array_j||^2."""
    if not np.ndim(factor):
        return factor * np.einsum("kj,kj->", array, array)
    return (factor * np.einsum("kj,kj->j", array, array)).sum()


def _scaled_squares(array, curvature):
    """sum_j ||array_j||^2 / (2 curvature_j)."""
    # Divide first: squares could underflow where the sum does not.
    scaled = array / np.sqrt(2 * curvature)
    return np.einsum("kj,kj->", scaled, scaled)
