"""Limited-memory BFGS in preconditioned variables."""

import numpy as np
from scipy.linalg.lapack import dtrtrs

from ..parallel.elementwise import inner, over_parts
from .line_search import line_search
from .preconditioner import Preconditioner

# Number of pairs (s, y) in memory.
MEMORY = 20
# First trial of a step, at most 1, as a multiple of the last step: short steps come in series.
_GROWTH = 2.0
# Least cost of an evaluation, in flops, at which float32 saves time. Estimated suboptimality, as
# a fraction of the objective, below which float64 is used.
SINGLE_FLOPS = 1e8
_SINGLE_UNTIL = 1e-10
# Least squared length of s or y, and least cosine between them, of a pair that is stored.
_TINY = np.finfo(np.float64).tiny
_LEAST_COSINE = 1e-6
# Range of standard deviations of features whose squares and inverses float32 can hold with
# room to spare.
_SINGLE_RANGE = 1e-8, 1e8


class PairMemory:
    """The last (s, y) pairs and the search direction they give.

    The direction is a combination of the pairs and the gradient. One pass over them computes
    the inner products with the new vectors, which give the coefficients. A second pass forms
    the combination. The two-loop recursion would pass over the pairs twice as often, one
    vector at a time. With the columns of S and Y the pairs, oldest first, R the upper triangle
    of S'Y and D its diagonal,

        H = gamma I + [S, gamma Y] [R^-T (D + gamma Y'Y) R^-1, -R^-T; -R^-1, 0] [S, gamma Y]'.

    Pairs are kept in float32, because they take most of the memory and time where there are
    many parameters. Rounding the pairs changes H by less than the next step does. Each vector is
    divided by a power of two close to its length, so that float32 can hold it.

    Parameters
    ----------
    algebra : HostAlgebra
    size : int
        Length of the vectors.
    dtype : default=np.float32
        Dtype of the stored vectors.

    References
    ----------
    Byrd, Nocedal & Schnabel (1994), Representations of quasi-Newton matrices and their use
    in limited memory methods, Math. Prog. 63, theorem 2.2; gamma = s'y / y'y of the last
    pair.
    """

    def __init__(self, algebra, size, dtype=np.float32):
        self._algebra = algebra
        # The gradient in row 0, s of slot i in row 2 i + 1, y in row 2 i + 2.
        self._vectors = algebra.empty_vectors((2 * MEMORY + 1, size), dtype)
        self._scales = np.ones(2 * MEMORY + 1)    # divisors of the stored vectors
        self._products = np.zeros((2 * MEMORY + 1, 2 * MEMORY + 1))
        self._slots = []    # oldest first
        self._new_rows = []    # rows whose inner products are not in _products yet

    def __len__(self):
        """Return the number of pairs."""
        return len(self._slots)

    def clear(self):
        """Forget all pairs."""
        self._slots.clear()
        self._new_rows.clear()

    def append(self, s, y, squares):
        """Store a pair with s'y > 0, in the place of the oldest if there are MEMORY pairs.

        squares : (s's, y'y)
        """
        slot = len(self._slots) if len(self._slots) < MEMORY else self._slots.pop(0)
        self._slots.append(slot)
        self._store(2 * slot + 1, s, squares[0])
        self._store(2 * slot + 2, y, squares[1])

    def direction(self, grad):
        """Return -(approximate inverse Hessian) @ grad; -grad without pairs."""
        if not self._slots:
            return -grad
        self._store(0, grad, inner(grad, grad))
        vectors, scales = (a[:2 * len(self._slots) + 1] for a in (self._vectors, self._scales))
        new = self._new_rows
        products = self._algebra.inner_products(vectors, new)
        products *= scales[:, np.newaxis] * scales[new]
        self._products[:len(vectors), new] = products
        self._products[new, :len(vectors)] = products.T
        new.clear()
        s = 2 * np.array(self._slots) + 1
        y = s + 1
        s_with_y = self._products[s[:, np.newaxis], y]
        y_with_y = self._products[y[:, np.newaxis], y]
        with_grad = self._products[0]
        gamma = s_with_y[-1, -1] / y_with_y[-1, -1]
        # dtrtrs reads the upper triangle of s_with_y only, R.
        alphas, _ = dtrtrs(s_with_y, with_grad[s])
        middle = np.diag(s_with_y) * alphas + gamma * (y_with_y @ alphas - with_grad[y])
        betas, _ = dtrtrs(s_with_y, middle, trans=1)
        weights = np.empty(len(vectors))
        weights[0] = -gamma
        weights[s] = -betas
        weights[y] = gamma * alphas
        weights *= scales
        size = np.abs(weights).max()
        return self._algebra.combination(weights / size, vectors, size).reshape(grad.shape)

    def _store(self, row, vector, square):
        """Scale and store a vector, and note that its inner products are to be computed.

        square : squared length of the vector
        """
        _, exponent = np.frexp(np.sqrt(square))
        self._scales[row] = np.ldexp(1.0, exponent)
        self._algebra.set_vector(self._vectors, row, vector.ravel(), self._scales[row])
        self._new_rows.append(row)


def lbfgs(objective, point, monitor, carry=None):
    """Minimise by L-BFGS in the variables v with theta = T v (`preconditioner`).

    Cost per iteration: one evaluation (4 n_samples n_features n_rows flops, rarely
    two), one application of T and of its transpose, and 4 MEMORY theta.size flops;
    new Kronecker factors cost n_samples n_features^2 + 9 n_features^3 flops, a Hessian and
    its factor n_samples theta.size^2 + theta.size^3 / 3. Memory:
    2 MEMORY theta.size float32 numbers, and with a Hessian 2 theta.size^2 float64 numbers.

    Stops when `monitor` says so, or when the line search finds no decrease even
    along the preconditioned gradient.

    Returns
    -------
    point : Point
    done : bool
        False where rounding stopped the search short of the tolerance.
    carry : CarriedFactors
        For the next fit, with another penalty.
    """
    preconditioner = Preconditioner(objective, point, _left(monitor, point), carry)
    del carry    # its memory may be needed
    transform = preconditioner.transform
    grad = transform.apply_transposed(point.grad)
    pairs = PairMemory(objective.algebra, grad.size)
    last_step = 1.0
    single = _single_serves(objective, *preconditioner.deviations)
    while True:
        v = pairs.direction(grad)
        slope = inner(grad, v)
        if single and (
            -slope / 2 <= _SINGLE_UNTIL * point.value
            or monitor.gap_at(point) <= monitor.tol * point.value
        ):
            single = False
            point = objective.evaluate(point.theta)
            grad = transform.apply_transposed(point.grad)
            continue
        if preconditioner.update(point, -slope / 2, _left(monitor, point, -slope / 2)):
            transform = preconditioner.transform
            grad = transform.apply_transposed(point.grad)
            pairs.clear()
            continue
        if not monitor.wants_more(point):
            break
        if not objective.is_penalised and -slope / 2 <= monitor.tol * point.value:
            # By the estimate of L-BFGS it has converged. Leave it to Newton's decrement, which
            # another solver computes.
            return point, False, preconditioner.carry
        new = None
        if slope < 0:
            first = min(1.0, _GROWTH * last_step)
            direction = transform.apply(v)
            new, step = line_search(objective, point, direction, slope, first, single=single)
        if new is not None:
            last_step = step
            new_grad = transform.apply_transposed(new.grad)
            _remember(pairs, *_pair(v, step, new_grad, grad))
            monitor.iterated(point, new)
            point, grad = new, new_grad
            continue
        if len(pairs) == 0 and not single:
            # Another solver tells, by Newton's decrement, whether this is the rounding floor.
            return point, False, preconditioner.carry
        # The pairs or float32 may be the cause: start again from here without either.
        if single:
            single = False
            point = objective.evaluate(point.theta)
        preconditioner.renew(point)
        transform = preconditioner.transform
        grad = transform.apply_transposed(point.grad)
        pairs.clear()
    if single:
        point = objective.evaluate(point.theta)
    return point, monitor.status is not None, preconditioner.carry


def _left(monitor, point, promise=np.inf):
    """Return log(suboptimality of `point` / tolerance), with a bound for the suboptimality.

    promise : float
        Estimate of the suboptimality that takes the place of an infinite duality gap.
    """
    gap = monitor.gap_at(point)
    bound = min(point.value, gap if np.isfinite(gap) else promise)
    asked = monitor.tol * point.value
    return float(np.log(bound / asked)) if bound > 0 and asked > 0 else 0.0


def _pair(v, step, new_grad, grad):
    """Return s = step * v, y = new_grad - grad, and the array (s's, y'y, s'y)."""
    s, y = np.empty(v.shape), np.empty(v.shape)

    def compute(index):
        of_s = np.multiply(v[index], step, out=s[index])
        of_y = np.subtract(new_grad[index], grad[index], out=y[index])
        pairs = (of_s, of_s), (of_y, of_y), (of_s, of_y)
        return np.array([np.einsum("kj,kj->", *pair) for pair in pairs])

    return s, y, sum(over_parts(compute, v.shape))


def _remember(pairs, s, y, products):
    """Store the pair unless its lengths underflow or float32 could not tell s'y from 0.

    products : (s's, y'y, s'y)
    """
    squares = products[:2]
    least = _LEAST_COSINE * np.sqrt(squares[0]) * np.sqrt(squares[1])
    if squares.min() >= _TINY and products[2] > least:
        pairs.append(s, y, squares)


def _single_serves(objective, smallest_deviation, largest_deviation):
    """Tell whether float32 is faster here and can hold the numbers."""
    low, high = _SINGLE_RANGE
    return bool(
        objective.is_penalised
        and objective.evaluation_flops >= SINGLE_FLOPS
        and low <= smallest_deviation
        and largest_deviation <= high
    )
