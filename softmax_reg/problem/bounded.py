"""Bounds on the coefficients, as a penalty that is infinite outside of them.

Bounds hold 0, so the null model, absent classes and constant columns keep within them. The
penalty of a coefficient w and its conjugate are

    p(w) = v (l1 |w| + l2 / 2 w^2)  for  low <= w <= high,  else infinite,
    p*(-g) = max over low <= u <= high of  -g u - p(u),

and the u that takes the maximum is the minimum without bounds, moved to the nearer bound. The
conjugate is finite, and with it the duality gap, also without a penalty where both bounds are.
"""

from typing import NamedTuple

import numpy as np

# Largest relative excess over the threshold that counts as rounding, in a gradient that has been
# scaled down to the threshold.
_ROUNDING = 4 * np.finfo(np.float64).eps


class BoundedPenalty(NamedTuple):
    """A penalty on coefficients within bounds.

    Attributes
    ----------
    inner : L2Penalty or SparsePenalty, without blocks
    lower, upper : (n_rows, n_features)
        Not positive, and not negative; -inf and inf are no bounds.
    """

    inner: object
    lower: np.ndarray
    upper: np.ndarray

    has_kinks = True
    blocks = None
    grouped = False

    @property
    def bounds(self):
        """Bounds of the coefficients, (lower, upper)."""
        return self.lower, self.upper

    @property
    def curvature(self):
        """Second derivative of the smooth part; a number or (n_features,)."""
        return self.inner.curvature

    @property
    def threshold(self):
        """Largest gradient at which 0 is optimal without bounds; a number or (n_features,)."""
        return self.inner.threshold

    @property
    def is_strict(self):
        """Whether every coefficient is penalised, or has two finite bounds."""
        between = np.isfinite(self.lower) & np.isfinite(self.upper)
        return bool(np.all((self.inner.weight > 0) | between))

    @property
    def weight(self):
        """Weight of the penalty, 0 for a feature without a penalty or bound; (n_features,)."""
        is_bounded = np.isfinite(self.lower) | np.isfinite(self.upper)
        return self.inner.weight + is_bounded.any(axis=0)

    @property
    def is_half_bounded(self):
        """Whether a feature without a penalty has bounds, but not all of them are finite."""
        bare = np.broadcast_to(self.inner.weight == 0, self.lower.shape[1])
        is_finite = np.isfinite(self.lower[:, bare]), np.isfinite(self.upper[:, bare])
        some = np.any(is_finite, axis=(0, 1))
        return bool(np.any(some & ~np.all(is_finite, axis=(0, 1))))

    @property
    def is_free(self):
        """Mask of the coefficients without a kink or bound at 0, (n_rows, n_features)."""
        return self.inner.is_free & (self.lower < 0) & (self.upper > 0)

    def restricted(self, features, rows=slice(None)):
        """Return the penalty on some of the features, and rows of coefficients; indices."""
        return BoundedPenalty(
            self.inner.restricted(features), self.lower[rows][:, features],
            self.upper[rows][:, features],
        )

    def feasible(self, coef):
        """Return coefficients moved to the nearest values within the bounds."""
        return np.clip(coef, self.lower, self.upper)

    def cast(self, coef, dtype):
        """Return coefficients within the bounds in another dtype, still within the bounds."""
        out = coef.astype(dtype)
        is_outside = (out < self.lower) | (out > self.upper)    # by rounding
        return np.where(is_outside, np.nextafter(out, np.zeros_like(out)), out)

    def value(self, coef):
        """Return h(W) of coefficients within the bounds."""
        return self.inner.value(coef)

    def grad(self, coef):
        """Return the gradient of the smooth part of h at W."""
        return self.inner.grad(coef)

    def followed(self, grad):
        """Return the gradient, with 0 where a bound keeps a coefficient of 0 from following it."""
        return np.where(np.where(grad > 0, self.lower < 0, self.upper > 0), grad, 0.0)

    def pull(self, grad):
        """Return the sizes of `followed`, to compare with `threshold`."""
        return np.abs(self.followed(grad))

    def dual_norm(self, grad):
        """Return the largest ratio of gradient to threshold, where no bound makes h* finite."""
        is_open = np.isinf(np.where(grad > 0, self.lower, self.upper))
        return self.inner.dual_norm(np.where(is_open, grad, 0.0))

    def fenchel_gap(self, coef, loss_grad):
        """Return <G, W> + h(W) + h*(-G) as a sum of non-negative terms.

        With u as in the module's docstring, d = w - u, and s the sign of u, the terms of a
        coefficient are, for g = `loss_grad` and curvature c = v l2,

            c d^2 / 2 + d (g + c u + v l1 s) + v l1 (|w| - s w),

        where the second vanishes unless u is at a bound. For u = 0 the last two are one,
        g w + v l1 |w|.
        """
        threshold, c = (
            np.broadcast_to(values, coef.shape) for values in (self.threshold, self.curvature)
        )
        size = np.abs(loss_grad) - threshold
        sign = np.where(size > 0, -np.sign(loss_grad), 0.0)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            beyond = np.where(size > 0, size / c, 0.0)
        # Without curvature the caller has scaled the gradient to the threshold where u could be
        # infinite, so any excess that is left there is rounding.
        flat = np.isinf(beyond) & (size <= _ROUNDING * np.abs(loss_grad))
        u = self.feasible(sign * np.where(flat, 0.0, beyond))
        if not np.all(np.isfinite(u)):
            return np.inf
        sign = np.sign(u)
        is_inside = np.abs(u) == beyond
        # w - u of an inner u, without the error of the rounded u.
        slope = loss_grad + threshold * sign
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            distance = np.where(is_inside & (c > 0) & (u != 0), coef + slope / c, coef - u)
        linear = np.where(
            u == 0, loss_grad * coef + threshold * np.abs(coef),
            np.where(is_inside, 0.0, distance * (slope + c * u))
            + threshold * (np.abs(coef) - sign * coef),
        )
        with np.errstate(over="ignore"):
            return float((c / 2 * distance**2 + np.maximum(linear, 0.0)).sum())
