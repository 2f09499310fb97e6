"""Limited-memory BFGS in Kronecker-preconditioned variables."""

import numpy as np

from .kronecker import kronecker_transform
from .line_search import inner, line_search

MEMORY = 20
# Iterations after which the preconditioner is rebuilt at the current point:
# early, since it starts from equal probabilities, then ever more rarely.
_FIRST_REFRESH = 10
_REFRESH_FACTOR = 3
# Steps far below 1 come in series: the next is tried at so many times the last.
_GROWTH = 2.0
# Evaluations of so many operations are worth doing in float32, until L-BFGS estimates its
# distance from the optimum at this fraction of the objective.
_SINGLE_FLOPS = 1e8
_SINGLE_UNTIL = 1e-6
# Standard deviations of features, around 1, whose squares and inverses float32 can hold
# with room to spare.
_SINGLE_RANGE = 1e-8, 1e8


class PairMemory:
    """The last (s, y) pairs and the search direction they give.

    The two-loop recursion of Nocedal & Wright runs on coefficients: every vector in it is
    a combination of the pairs and the gradient, so that the inner products of the pairs,
    kept here, and one pass over them for those with the gradient tell all coefficients;
    a second pass forms the combination (Chen, Wang & Zhou, 2014). The recursion itself
    would pass over the pairs twice as often, one vector at a time.

    Parameters
    ----------
    linear : module with ``dots`` and ``combination``
    size : int
        Length of the vectors.

    References
    ----------
    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.4, with gamma = s'y / y'y
    of the last pair. Chen, Wang & Zhou (2014), Large-scale L-BFGS using MapReduce, NIPS.
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
        products = self._products[rows, rows]
        with_grad = self._linear.dots(self._vectors[rows], grad.reshape(1, -1))[:, 0]
        weights = np.zeros(len(with_grad))
        of_grad = -1.0
        alphas = {}
        for slot in reversed(self._slots):
            s, y = 2 * slot, 2 * slot + 1
            alphas[slot] = (products[s] @ weights + of_grad * with_grad[s]) / products[s, y]
            weights[y] -= alphas[slot]
        s, y = 2 * self._slots[-1], 2 * self._slots[-1] + 1
        gamma = products[s, y] / products[y, y]
        weights *= gamma
        of_grad *= gamma
        for slot in self._slots:
            s, y = 2 * slot, 2 * slot + 1
            beta = (products[y] @ weights + of_grad * with_grad[y]) / products[s, y]
            weights[s] += alphas[slot] - beta
        out = self._linear.combination(weights, self._vectors[rows]).reshape(grad.shape)
        out += of_grad * grad
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
                refresh = since_refresh >= refresh_after
                new_grad = transform.apply_transposed(new.grad)
                y = new_grad - grad
                if step * inner(v, y) > 0:
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
    return (
        objective.is_penalised
        and objective.evaluation_flops >= _SINGLE_FLOPS
        and low <= transform.smallest_deviation
        and transform.largest_deviation <= high
    )
