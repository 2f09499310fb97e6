"""Proximal L-BFGS in the Kronecker metric, for sparse models of many parameters.

The model of the loss is that of `kronecker`, classes (x) second moments of the features, plus
the correction of L-BFGS for the last pairs (s, y): with B0 the former, S and Y the pairs as
columns, L the strictly lower triangle of S'Y and D its diagonal,

    B = B0 - [B0 S, Y] [S'B0 S, L; L', -D]^-1 [B0 S, Y]'.

Neither B0 nor B is ever formed: descent on the model plus the penalty keeps the products with
a change d up to date.

References
----------
Byrd, Nocedal & Schnabel (1994), Representations of quasi-Newton matrices and their use in
limited memory methods, Math. Prog. 63, theorem 2.3; Scheinberg & Tang (2016), Practical
inexact proximal quasi-Newton method with global complexity analysis, Math. Prog. 160.
"""

import numpy as np

from ..parallel.elementwise import inner
from .costs import takes_covariance
from .newton import conjugate_gradients
from .quadratic import QuadraticModel, minimise_model
from .working_set import WorkingSet

# Number of pairs (s, y) in memory.
_MEMORY = 10
# Limits of `minimise_model`: a more accurate minimum costs more than the evaluations it saves.
_EFFORT = {"sweeps": 1, "rounds": 1, "newton_steps": 1, "accuracy": 1e-4}
# Largest number of iterations of conjugate gradients in a Newton step on the model, and reduction
# of the residual that ends them.
_MAX_CG = 10
_CG_REDUCTION = 0.03
# Number of iterations before the first refresh of the Kronecker factors, growth factor of this
# number, and largest ratio of the objective to its value at the last refresh that allows another
# one, as in `preconditioner`.
_FIRST_REFRESH = 10
_REFRESH_FACTOR = 3
_REFRESH_BELOW = 0.9
# Ridge of the classes' factor, as a fraction of the mean eigenvalue divided by their number.
_CLASS_FLOOR = 1e-3
# Least cosine between s and y of a pair that is stored.
_LEAST_COSINE = 1e-8
# Constant of the Armijo condition.
_ARMIJO = 1e-4
# Largest number of dampings tried in one iteration, and smallest first damping of the next one.
_MAX_DAMPINGS = 20
_LEAST_DAMPING = 0.5
# Smallest ratio of the diagonal of B to that of B0 that is used: rounding may make it negative.
_LEAST_CURVATURE = 1e-6


class Metric:
    """The matrix B of the module's docstring on a working set, updated at every iteration.

    Parameters
    ----------
    objective : Objective
        Objective in the working set.
    theta : ndarray
        Parameters at which the curvature is computed, in one pass over the rows.

    Attributes
    ----------
    classes : (n_rows, n_rows)
    moments : (width, width), or the diagonal (1, width)
        Factors of B0 = classes (x) moments + diag(ridge); width is n_features + 1.
    ridge : (width,)
        Curvature of the penalty.
    left, right : (width, n_rows, 2 * number of pairs)
        Factors of the correction by pairs, B = B0 - left right' in all parameters.
    """

    def __init__(self, objective, theta):
        self.algebra = objective.algebra
        classes, mean, covariance = objective.curvature(theta, takes_covariance(objective))
        if classes.ndim == 1:
            classes = np.diag(classes)
        n_rows = len(classes)
        floor = _CLASS_FLOOR * max(np.trace(classes), np.finfo(np.float64).tiny) / n_rows**2
        self.classes = classes + floor * np.eye(n_rows)
        if covariance.ndim == 2:
            self.moments = np.zeros((len(mean) + 1, len(mean) + 1))
            self.moments[:-1, :-1] = covariance + mean[:, np.newaxis] * mean
            self.moments[-1, :-1] = self.moments[:-1, -1] = mean
        else:
            self.moments = np.append(covariance + mean**2, 0.0)[np.newaxis]
        if objective.fit_intercept:
            self.moments[-1, -1] = 1.0
        self.ridge = np.append(
            np.broadcast_to(objective.penalty.curvature, objective.n_features), 0.0
        )
        self.shape = theta.shape
        self.clear()

    def __len__(self):
        """Return the number of pairs."""
        return len(self._pairs)

    def clear(self):
        """Forget all pairs."""
        self._pairs = []
        self.left = self.right = np.zeros((self.shape[1], self.shape[0], 0))

    def spread(self, change):
        """Compute d M for a change d, M the second moments."""
        if len(self.moments) == 1:
            return change * self.moments
        return self.algebra.product(change, self.moments)

    def base_times(self, change):
        """Compute B0 d."""
        return self.algebra.product(self.classes, self.spread(change)) + change * self.ridge

    def inherit(self, other):
        """Copy the pairs of another metric on the same working set."""
        self._pairs = [(s, y, self.base_times(s)) for s, y, _ in other._pairs]
        self._correct()

    def append(self, s, y):
        """Store a change s of theta and the change y of the gradient, if s'y is large enough."""
        if not inner(s, y) > _LEAST_COSINE * np.sqrt(inner(s, s)) * np.sqrt(inner(y, y)):
            return
        self._pairs = [*self._pairs[1 - _MEMORY:], (s, y, self.base_times(s))]
        self._correct()

    def _correct(self):
        """Compute `left` and `right` from the pairs."""
        if not self._pairs:
            return
        s, y, image = (np.array([pair[i].ravel() for pair in self._pairs]) for i in range(3))
        s_with_y = s @ y.T
        m = len(s)
        middle = np.empty((2 * m, 2 * m))
        middle[:m, :m] = s @ image.T
        middle[:m, m:] = np.tril(s_with_y, -1)
        middle[m:, :m] = middle[:m, m:].T
        middle[m:, m:] = -np.diag(np.diag(s_with_y))
        # Vectors may differ much in length: scale to a unit diagonal first.
        scale = 1 / np.sqrt(np.abs(np.diag(middle)))
        inverse = np.linalg.inv(middle * scale * scale[:, np.newaxis])
        vectors = np.concatenate([image, y]) * scale[:, np.newaxis]
        shape = 2 * m, *self.shape
        self.right = np.ascontiguousarray(vectors.reshape(shape).transpose(2, 1, 0))
        self.left = np.ascontiguousarray(
            (inverse @ vectors).reshape(shape).transpose(2, 1, 0)
        )


class BlockBound:
    """An upper bound on the part of B of each block of features, in the block's eigenvectors.

    With M the block's moments and C the classes, the block's part of B is at most
    (1 + c) (M (x) C + ridge). Here c is the largest eigenvalue of the pairs' correction, in the
    variables in which the second bracket is the identity.

    Parameters
    ----------
    metric : Metric
    blocks : Blocks

    Attributes
    ----------
    values : (width, n_rows)
        Diagonal of the bound, in the eigenvectors.
    diagonal : (width, n_rows)
        Diagonal of the bound, in the coefficients.
    starts : (n_blocks + 1,) int
        First column of every block, and the number of columns.
    class_basis : (n_rows, n_rows)
        Eigenvectors of C, in columns.
    vectors : (sum of squared sizes of blocks,)
        Eigenvectors of every block's M, one matrix after the other.
    """

    def __init__(self, metric, blocks):
        gamma, self.class_basis = np.linalg.eigh(metric.classes)
        gamma = np.maximum(gamma, 0.0)
        self.starts = np.append(blocks.starts, blocks.n_columns)
        self.values = np.empty(metric.shape[::-1])
        self.diagonal = np.empty(metric.shape[::-1])
        vectors = []
        for start, end in zip(blocks.starts, blocks.ends, strict=True):
            part = slice(start, end)
            if len(metric.moments) == 1:
                spread, basis = metric.moments[0, part], np.eye(end - start)
            else:
                spread, basis = np.linalg.eigh(metric.moments[part, part])
            values = np.maximum(spread, 0.0)[:, np.newaxis] * gamma
            values += metric.ridge[start]    # the same within a block
            scale = np.divide(1.0, np.sqrt(values), out=np.zeros_like(values), where=values > 0)
            left, right = (
                scale[:, :, np.newaxis] * np.einsum(
                    "ji,jkr,km->imr", basis, factor[part], self.class_basis, optimize=True
                )
                for factor in (metric.left, metric.right)
            )
            if left.shape[2]:
                added = np.linalg.eigvals(-np.einsum("imr,ims->rs", right, left)).real.max()
                values *= 1 + max(added, 0.0)
            self.values[part] = values
            self.diagonal[part] = np.einsum(
                "ji,im,km->jk", basis**2, values, self.class_basis**2, optimize=True
            )
            vectors.append(basis.ravel())
        self.vectors = np.concatenate(vectors)


class KroneckerModel(QuadraticModel):
    """The model whose Hessian is the B of a `Metric`.

    Parameters
    ----------
    metric : Metric
    grad, threshold, blocks, bounds : as in `QuadraticModel`
    """

    def __init__(self, metric, grad, threshold, blocks, bounds=None):
        super().__init__(grad, threshold, blocks, bounds)
        self._bounds_by_feature = tuple(
            np.ascontiguousarray(bound.T) for bound in (self.lower, self.upper)
        )
        self._metric = metric
        self._by_feature = np.ascontiguousarray(grad.T)
        diagonal = metric.moments[0] if len(metric.moments) == 1 else np.diag(metric.moments)
        if blocks is not None and blocks.are_single:
            correction = np.sqrt(
                np.einsum("jkr,jkr->j", metric.left, metric.left)
                * np.einsum("jkr,jkr->j", metric.right, metric.right)
            )
            largest = np.linalg.eigvalsh(metric.classes)[-1]
            self._curvature = largest * diagonal + metric.ridge + correction
            return
        if blocks is not None:
            self._bound = BlockBound(metric, blocks)
            self._curvature = self._bound.diagonal
            return
        base = diagonal[:, np.newaxis] * np.diag(metric.classes) + metric.ridge[:, np.newaxis]
        corrected = base - np.einsum("jkr,jkr->jk", metric.left, metric.right)
        self._curvature = np.where(
            base > 0, np.maximum(corrected, _LEAST_CURVATURE * base), 0.0
        )

    def curvature(self, shape):
        """See `QuadraticModel.curvature`."""
        return np.broadcast_to(self._curvature.T, shape)

    def times(self, change):
        """See `QuadraticModel.times`."""
        metric = self._metric
        rank = metric.right.shape[2]
        seen = np.ascontiguousarray(change.T).ravel() @ metric.right.reshape(change.size, rank)
        correction = (metric.left.reshape(change.size, rank) @ seen).reshape(change.shape[::-1]).T
        return metric.base_times(change) - correction

    def descend(self, start, x, n_sweeps):
        """See `QuadraticModel.descend`."""
        metric = self._metric
        rank = metric.right.shape[2]
        start, end = np.ascontiguousarray(start.T), np.ascontiguousarray(x.T)
        spread = np.ascontiguousarray(metric.spread((end - start).T).T)
        seen = (end - start).ravel() @ metric.right.reshape(x.size, rank)
        algebra = metric.algebra
        model = metric.classes, metric.moments, metric.ridge, metric.left, metric.right
        state = start, end, self.threshold, spread, seen
        if self.grouped and not self.blocks.are_single:
            bound = self._bound
            largest = algebra.kronecker_block_descent(
                *model, self._by_feature, bound.values, start, end,
                self.blocks.one_each(self.threshold), spread, seen, bound.starts,
                bound.class_basis, bound.vectors, n_sweeps,
            )
        elif self.grouped:
            largest = algebra.kronecker_group_descent(
                *model, self._by_feature, self._curvature, *state, n_sweeps
            )
        else:
            largest = algebra.kronecker_descent(
                *model, self._by_feature, self._curvature, *state, *self._bounds_by_feature,
                n_sweeps,
            )
        x[:] = end.T
        return largest

    def newton(self, x, support, slope):
        """Compute the Newton step by conjugate gradients, with H scaled to a unit diagonal."""
        curvature = self.curvature(x.shape)
        usable = support & (curvature > 0)
        scale = np.where(usable, 1 / np.sqrt(np.where(usable, curvature, 1.0)), 0.0)

        def product(v):
            change = scale * v
            return scale * (self.times(change) + self.bend(x, change))

        return scale * conjugate_gradients(product, scale * slope, _CG_REDUCTION, _MAX_CG)


def proximal_lbfgs(objective, point, monitor, carry=None):
    """Minimise a smooth convex loss plus an L1, elastic net or grouped penalty.

    Cost per iteration: one evaluation, and on the model a few passes of descent and some
    dozens of products with B, 2 n_rows m (n_rows + m) flops for m features in the working
    set, m n_rows (1 + 2 n_rows) where their covariance is taken for a diagonal. No array of
    n_samples x n_rows is held.

    Returns
    -------
    point : Point
    done : bool
        False where no step lowers the objective, short of the tolerance.
    carry : object
        The argument, unchanged.
    """
    working = WorkingSet(
        objective, by_feature=True, everything=takes_covariance(objective)
    )
    metric, damping = None, 1.0
    since, refresh_after, refreshed_value = 0, _FIRST_REFRESH, point.value
    while monitor.wants_more(point):
        changed = working.update(point)
        start = working.gather(point.theta)
        refresh = since >= refresh_after and point.value <= _REFRESH_BELOW * refreshed_value
        if changed or refresh:
            previous, metric = metric, Metric(working.objective, start)
            if not changed:
                metric.inherit(previous)
                refresh_after *= _REFRESH_FACTOR
            since, refreshed_value = 0, point.value
        grad = working.gather(point.grad)
        new, decrement, damping = _step(objective, point, working, metric, start, grad, damping)
        if new is None:
            if len(metric) == 0:
                return point, monitor.stalled(point, decrement), carry
            metric.clear()
            continue
        since += 1
        metric.append(working.gather(new.theta) - start, working.gather(new.grad) - grad)
        monitor.iterated(point, new, decrement)
        point = new
    return point, monitor.status is not None, carry


def _step(objective, point, working, metric, start, grad, damping):
    """Take a step that lowers the objective enough, with damping * B as the Hessian.

    Where a step fails, the damping is raised to the curvature that the step has shown, relative
    to B. A line search instead would lose the zeros of the model's minimum. The model's gradient
    and thresholds are divided by the damping, which leaves its minimum the same.

    Returns
    -------
    new : Point or None
    decrement : float
        Decrease that the model of the first damping predicted. Models of a larger damping predict
        less.
    damping : float
        First damping of the next iteration.
    """
    rounding = 8 * np.finfo(np.float64).eps * abs(point.value)
    decrement = None
    for _ in range(_MAX_DAMPINGS):
        # An overflow gives inf or NaN, which is never a lower value.
        with np.errstate(over="ignore", invalid="ignore"):
            model = KroneckerModel(
                metric, grad / damping, working.threshold / damping, working.blocks,
                working.bounds,
            )
            minimum = minimise_model(model, start, **_EFFORT)
            slope = damping * minimum.slope
            if decrement is None:
                decrement = damping * abs(minimum.decrease)
            change = minimum.x - start
            if not np.any(change):
                break
            new = objective.evaluate(working.scatter(minimum.x))
            bend = -2 * (minimum.decrease + minimum.slope)
            gained = new.value - point.value
            shown = 2 * (gained - slope) / bend if bend > 0 else np.inf
        if gained <= (_ARMIJO * slope if -slope > rounding else rounding):
            if -slope > rounding:
                damping = np.sqrt(damping * min(max(shown, damping / 4), damping))
            return new, decrement, max(damping, _LEAST_DAMPING)
        damping = min(max(shown if np.isfinite(shown) else 0.0, 2 * damping), 10 * damping)
    return None, decrement, 1.0
