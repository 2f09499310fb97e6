"""Limited-memory BFGS in Kronecker-preconditioned variables."""

import numpy as np
from scipy.linalg.lapack import dtrtrs

from .kronecker import kronecker_transform
from .line_search import inner, line_search

MEMORY = 20
# Iterations after which the preconditioner is rebuilt at the current point:
# early, since it starts from equal probabilities, then ever more rarely, and only
# where the objective has fallen to this fraction of what it was at the last time.
_FIRST_REFRESH = 10
_REFRESH_FACTOR = 3
_REFRESH_BELOW = 0.9
# Steps far below 1 come in series: the next is tried at so many times the last.
_GROWTH = 2.0
# Evaluations of so many operations are worth doing in float32, until L-BFGS estimates its
# distance from the optimum at this fraction of the objective.
_SINGLE_FLOPS = 1e8
_SINGLE_UNTIL = 1e-10
_TINY = np.finfo(np.float64).tiny
# Standard deviations of features, around 1, whose squares and inverses float32 can hold
# with room to spare.
_SINGLE_RANGE = 1e-8, 1e8


class PairMemory:
    """The last (s, y) pairs and the search direction they give.

    The direction is a combination of the pairs and the gradient. The inner products of the
    pairs, kept here, and one pass over them for those with the gradient tell its
    coefficients; a second pass forms it. The two-loop recursion would pass over the pairs
    twice as often, one vector at a time. With the columns of S and Y the pairs, oldest
    first, R the upper triangle of S'Y and D its diagonal,

        H = gamma I + [S, gamma Y] [R^-T (D + gamma Y'Y) R^-1, -R^-T; -R^-1, 0] [S, gamma Y]'.

    Parameters
    ----------
    linear : module with ``dots`` and ``combination``
    size : int
        Length of the vectors.

    References
    ----------
    Byrd, Nocedal & Schnabel (1994), Representations of quasi-Newton matrices and their use
    in limited memory methods, Math. Prog. 63, theorem 2.2; gamma = s'y / y'y of the last
    pair.
    """

    def __init__(self, linear, size):
        self._linear = linear
        # s of slot i in row 2 i, y in row 2 i + 1.
        self._vectors = np.empty((2 * MEMORY, size))
        self._products = np.zeros((2 * MEMORY, 2 * MEMORY))
        self._slots = []    # oldest first

    def __len__(self):
        return len(self._slots)

    def clear(self):
        """Forget all pairs."""
        self._slots.clear()

    def append(self, s, y):
        """Remember a pair with s'y > 0, and forget the oldest if there are too many."""
        slot = len(self._slots) if len(self._slots) < MEMORY else self._slots.pop(0)
        self._slots.append(slot)
        rows = slice(0, 2 * len(self._slots))
        for row, vector in ((2 * slot, s), (2 * slot + 1, y)):
            self._vectors[row] = vector.ravel()
        new = slice(2 * slot, 2 * slot + 2)
        products = self._linear.dots(self._vectors[rows], self._vectors[new])
        self._products[rows, new] = products
        self._products[new, rows] = products.T

    def direction(self, grad):
        """-(approximate inverse Hessian) @ grad; -grad without pairs."""
        if not self._slots:
            return -grad
        rows = slice(0, 2 * len(self._slots))
        with_grad = self._linear.dots(self._vectors[rows], grad.reshape(1, -1))[:, 0]
        s = 2 * np.array(self._slots)
        y = s + 1
        s_with_y = self._products[s[:, np.newaxis], y]
        y_with_y = self._products[y[:, np.newaxis], y]
        gamma = s_with_y[-1, -1] / y_with_y[-1, -1]
        # Only upper triangles of s_with_y count.
        alphas, _ = dtrtrs(s_with_y, with_grad[s])
        middle = np.diag(s_with_y) * alphas + gamma * (y_with_y @ alphas - with_grad[y])
        betas, _ = dtrtrs(s_with_y, middle, trans=1)
        weights = np.empty(len(with_grad))
        weights[s] = -betas
        weights[y] = gamma * alphas
        out = self._linear.combination(weights, self._vectors[rows]).reshape(grad.shape)
        out -= gamma * grad
        return out


def lbfgs(objective, point, monitor):
    """Minimise by L-BFGS in the variables v with theta = T v (`kronecker`).

    Cost per iteration: one evaluation (4 n_samples n_features n_rows flops, rarely
    two), one application of T and of its transpose, and 4 MEMORY theta.size flops;
    a refresh of T costs n_samples n_features^2 + 9 n_features^3 flops. Memory:
    2 MEMORY theta.size numbers.

    Stops when `monitor` says so, or when the line search finds no decrease even
    along the preconditioned gradient.

    Returns
    -------
    point : Point
    done : bool
        False where it stalled short of the tolerance.
    """
    transform = kronecker_transform(objective, point.theta)
    grad = transform.apply_transposed(point.grad)
    pairs = PairMemory(objective.backend, grad.size)
    since_refresh, refresh_after, last_step = 0, _FIRST_REFRESH, 1.0
    refreshed_value = point.value
    objective.is_single = _single_serves(objective, transform)
    try:
        while True:
            v = pairs.direction(grad)
            slope = inner(grad, v)
            if objective.is_single and (
                -slope / 2 <= _SINGLE_UNTIL * point.value
                or monitor.gap_at(point) <= monitor.tol * point.value
            ):
                objective.is_single = False
                point = objective.evaluate(point.theta)
                grad = transform.apply_transposed(point.grad)
                continue
            if not monitor.wants_more(point):
                break
            if not objective.is_penalised and -slope / 2 <= monitor.tol * point.value:
                # By its own estimate it is there; Newton's decrement has to agree.
                return point, False
            new, step = (None, 0.0)
            if slope < 0:
                first = min(1.0, _GROWTH * last_step)
                new, step = line_search(objective, point, transform.apply(v), slope, first)
            if new is None:
                if len(pairs) == 0 and not objective.is_single:
                    # Whether that is the rounding floor only Newton's decrement tells.
                    return point, False
                # The memory may be at fault, or float32: look again from here.
                refresh = True
            else:
                last_step = step
                since_refresh += 1
                refresh = (
                    since_refresh >= refresh_after
                    and new.value <= _REFRESH_BELOW * refreshed_value
                )
                new_grad = transform.apply_transposed(new.grad)
                y = new_grad - grad
                # Where y'y underflows there is nothing left to learn.
                if step * inner(v, y) > 0 and inner(y, y) >= _TINY:
                    pairs.append(step * v, y)
                monitor.iterated(point, new)
                point, grad = new, new_grad
            if refresh and monitor.status is None:
                if new is None and objective.is_single:
                    objective.is_single = False
                    point = objective.evaluate(point.theta)
                transform = kronecker_transform(objective, point.theta)
                grad = transform.apply_transposed(point.grad)
                pairs.clear()
                refreshed_value = point.value
                if new is not None:
                    since_refresh, refresh_after = 0, refresh_after * _REFRESH_FACTOR
        if objective.is_single:
            objective.is_single = False
            point = objective.evaluate(point.theta)
    finally:
        objective.is_single = False
    return point, monitor.status is not None


def _single_serves(objective, transform):
    """Whether float32 is faster here and can hold the numbers."""
    low, high = _SINGLE_RANGE
    return bool(
        objective.is_penalised
        and objective.evaluation_flops >= _SINGLE_FLOPS
        and low <= transform.smallest_deviation
        and transform.largest_deviation <= high
    )
