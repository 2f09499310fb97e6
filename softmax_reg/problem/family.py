"""Small objectives of the same shape and kind of penalty, evaluated together."""

from typing import NamedTuple

import numpy as np

from ..rows.stacked import StackedPasses
from .certificate import duality_gaps

# Largest number of parameters of a model, of its logits, and of products of two entries of a row
# and pairs of classes that its Hessian sums: up to about these sizes a fit takes as long as its
# calls of NumPy, and warm starts save less than a stack of models.
_MAX_SIZE = 64
_MAX_LOGITS_EACH = 8_000
_MAX_PRODUCTS = 600_000
# Relative accuracy of the minima of quadratic models with kinks.
_ACCURACY = 1e-10
# Largest number of logits of all models together, whose arrays stay in a core's cache.
MAX_LOGITS = 2**17


def suits_family(n_samples, n_features, n_rows):
    """Return whether fits of this shape are faster together than one after another.

    n_rows : number of rows of theta
    """
    width, n_pairs = n_features + 1, max(1, n_rows * (n_rows - 1) // 2)
    is_small = n_rows * width <= _MAX_SIZE and n_samples * n_rows <= _MAX_LOGITS_EACH
    return is_small and n_samples * n_pairs * width**2 <= _MAX_PRODUCTS


class Points(NamedTuple):
    """`Point` of several objectives."""

    theta: np.ndarray
    value: np.ndarray
    grad: np.ndarray
    loss: np.ndarray
    loss_grad: np.ndarray

    def some(self, index):
        """Return some of the points, an index or a mask."""
        return Points(*(part[index] for part in self))


class Family:
    """Objectives of the same shape with penalties on every feature, without terms and offsets.

    Parameters
    ----------
    members : list of (objective, Part, list of penalties)
        An objective, its rows, and the penalties that it is to have one after the other. Penalties
        are all smooth, or all have an L1 part. There are no blocks and bounds.

    Attributes
    ----------
    n : int
        Number of objectives, one for each penalty of each member.
    has_kinks : bool
        Whether penalties have an L1 part.
    strengths : list of arrays
        Sums of the strengths of each penalty's parts, for every member.
    null_theta, null_value : (n, n_rows, n_features + 1), (n,)
        Null models.
    """

    def __init__(self, members):
        objectives, parts, penalties = zip(*members, strict=True)
        sizes = [len(own) for own in penalties]
        self.n, self._ends = sum(sizes), np.cumsum(sizes)
        self._passes, self._objectives = StackedPasses(parts), objectives

        def each(value):
            return np.repeat(np.array([value(one) for one in objectives]), sizes, axis=0)

        one = objectives[0]
        self.null_theta = each(lambda one: one.null_point.theta)
        self.null_value = each(lambda one: one.null_point.value)
        self._dual_sums = each(lambda one: one._class_sums), each(lambda one: one._row_mean)
        zeros = np.zeros((self.n, 1, one.n_features + 1), dtype=bool)
        for start, end, member in zip(self._ends - sizes, self._ends, objectives, strict=True):
            zeros[start:end, :, member.coordinates.zeros] = True
        self._zeros = zeros if zeros.any() else None
        self._soft = None
        if one.soft is not None:
            self._soft = each(lambda one: one.soft.tilt), each(lambda one: one.soft.constant)
        self._fit_intercept, self._free_shifts = one.fit_intercept, one.free_shifts
        self.has_kinks = penalties[0][0].has_kinks
        self.strengths = [np.array([each.l2 for each in own]) for own in penalties]
        self._curvature, self._threshold = self._rows_of(penalties, self.strengths), None
        if self.has_kinks:
            l1 = [np.array([each.l1 for each in own]) for own in penalties]
            self._threshold = self._rows_of(penalties, l1)
            self.strengths = [one + other for one, other in zip(l1, self.strengths, strict=True)]
        self._algebra = one.algebra

    def _rows_of(self, penalties, strengths):
        """Return strength times factor of each parameter, (n, 1, n_features + 1)."""
        out = np.zeros((self.n, 1, self.null_theta.shape[-1]))
        for end, own, values in zip(self._ends, penalties, strengths, strict=True):
            out[end - len(own):end, 0, :-1] = values[:, np.newaxis] * own[0].factor
        return out

    def _counts(self, index):
        """Return how many of the objectives in `index`, ascending, belong to every member."""
        ends = np.searchsorted(index, self._ends)
        return np.diff(ends, prepend=0).tolist()

    def delivered_values(self, coefs, intercepts):
        """Return the `Objective.delivered_value` of every objective for coefs[b], intercepts[b].

        Distributions give None for each: their values take more than one pass.
        """
        if self._soft is not None:
            return [None] * self.n
        thetas = np.concatenate([coefs, intercepts[..., np.newaxis]], axis=-1)
        wide, counts = thetas.astype(np.float64), self._counted(np.arange(self.n))
        penalties = self._penalties(slice(None), wide, self._curvature * wide)
        return (self._passes.predicted_losses(counts, thetas) + penalties).tolist()

    def _penalties(self, index, thetas, pull):
        """Return the penalty of each theta, of which `pull` is the smooth part's gradient."""
        out = 0.5 * np.einsum("bkj,bkj->b", pull, thetas)
        if self.has_kinks:
            out += (self._threshold[index] * np.abs(thetas)).sum(axis=(1, 2))
        return out

    def _counted(self, index):
        """Return `_counts`, and count a pass for each objective."""
        counts = self._counts(index)
        for objective, count in zip(self._objectives, counts, strict=True):
            objective.passes.n += count
        return counts

    def evaluate(self, index, thetas):
        """Return the `Points` of some objectives at their thetas, and the q of `StackedPasses`.

        index : (m,) integers, ascending
        """
        loss, loss_grad, q = self._passes.value_grad(self._counted(index), thetas)
        if self._soft is not None:
            tilt, constant = (part[index] for part in self._soft)
            loss = loss + np.einsum("bkj,bkj->b", tilt, thetas) + constant
            loss_grad += tilt
        if thetas.shape[1] > 1:    # see `Centring.project`
            loss_grad -= np.add.reduce(loss_grad, axis=1, keepdims=True) / thetas.shape[1]
        if self._zeros is not None:
            loss_grad[np.broadcast_to(self._zeros[index], loss_grad.shape)] = 0.0
        pull = self._curvature[index] * thetas
        value = loss + self._penalties(index, thetas, pull)
        return Points(thetas, value, loss_grad + pull, loss, loss_grad), q

    def gaps(self, index, points):
        """Return the certified bounds of `Objective.gap`."""
        class_sums, row_mean = (part[index] for part in self._dual_sums)
        thresholds = self._threshold[index, :, :-1] if self.has_kinks else None
        gaps = duality_gaps(
            self._curvature[index, :, :-1], thresholds, points.theta, points.loss,
            points.loss_grad, class_sums, row_mean, self._fit_intercept,
        )
        return np.where(gaps < points.value, gaps, points.value)

    def slopes(self, index, points, directions):
        """Return derivatives of the objectives along directions.

        At a kink it is the derivative from behind, the smaller one.
        """
        out = np.einsum("bkj,bkj->b", points.grad, directions)
        if self.has_kinks:
            along = np.where(
                points.theta != 0, np.sign(points.theta) * directions, -np.abs(directions)
            )
            out += (self._threshold[index] * along).sum(axis=(1, 2))
        return out

    def steps(self, index, points, q, is_meant):
        """Return the proximal Newton steps, and what they promise.

        Equations that cannot be solved give steps of NaN.

        Parameters
        ----------
        index : (m,) integers, ascending
        points : Points
            Those of `index`.
        q : list
            Result of `evaluate`, possibly of more objectives.
        is_meant : bool array
            Mask of those that `index` takes from `q`.

        Returns
        -------
        steps : (m, n_rows, n_features + 1)
        slopes : (m,)
            Their products with the gradients, plus the changes of the kinks.
        half_decrements : (m,)
            Decreases of the quadratic models.
        """
        shape, grad = points.theta.shape, points.grad.reshape(len(index), -1)
        hessian = self._passes.hessians(q, is_meant)
        curvature = np.broadcast_to(self._curvature[index], shape).reshape(grad.shape)
        diagonal = np.einsum("bii->bi", hessian)
        diagonal += curvature
        if self._zeros is not None:
            still = np.broadcast_to(self._zeros[index], shape).reshape(grad.shape)
            hessian[still] = 0.0
            hessian.swapaxes(1, 2)[still] = 0.0
            diagonal[still] = 1.0
        for shift in self._free_shifts:    # see `fill_null_space`
            total = np.add.reduce(hessian[:, shift, shift], axis=1) / len(shift)**2
            hessian[:, shift[:, np.newaxis], shift] += total[:, np.newaxis, np.newaxis]
        if self.has_kinks:
            start = points.theta.reshape(grad.shape)
            threshold = np.broadcast_to(self._threshold[index], shape).reshape(grad.shape)
            steps, slopes, decreases = self._proximal_steps(hessian, grad, threshold, start)
            return steps.reshape(shape), slopes, decreases
        steps = -_solved(hessian, grad)
        slopes = np.einsum("bi,bi->b", steps, grad)
        return steps.reshape(shape), slopes, np.abs(slopes) / 2


    def _proximal_steps(self, hessians, grads, thresholds, starts):
        """Return steps to the minima of the quadratic models, as `steps`; all in rows."""
        ends = starts.copy()
        self._algebra.minimise_models(hessians, grads.copy(), ends, thresholds, _ACCURACY)
        steps = ends - starts
        slopes = np.einsum("bi,bi->b", grads, steps)
        slopes += (thresholds * (np.abs(ends) - np.abs(starts))).sum(axis=1)
        bent = np.einsum("bi,bi->b", (hessians @ steps[..., np.newaxis])[..., 0], steps)
        return steps, slopes, -slopes - bent / 2


def _solved(hessians, grads):
    """Solve each of several systems, scaled to a unit diagonal; `hessians` are overwritten."""
    diagonal = np.einsum("bii->bi", hessians)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    hessians *= scale[:, np.newaxis]
    hessians *= scale[..., np.newaxis]
    diagonal[:] = 1.0
    try:
        solution = np.linalg.solve(hessians, (scale * grads)[..., np.newaxis])[..., 0]
    except np.linalg.LinAlgError:    # one of them is singular
        return np.full_like(grads, np.nan)
    return scale * solution
