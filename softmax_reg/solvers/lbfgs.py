"""Limited-memory BFGS in Kronecker-preconditioned variables."""

from collections import deque

from .kronecker import kronecker_transform
from .line_search import inner, line_search

MEMORY = 20
# Iterations after which the preconditioner is rebuilt at the current point:
# early, since it starts from equal probabilities, then ever more rarely.
_FIRST_REFRESH = 10
_REFRESH_FACTOR = 3


def two_loop(grad, pairs):
    """-(approximate inverse Hessian) @ grad from the last (s, y) pairs.

    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.4, with
    gamma = s'y / y'y of the last pair; the gradient itself without pairs.
    """
    q = -grad
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * inner(s, q)
        alphas.append(alpha)
        q -= alpha * y
    if pairs:
        s, y, rho = pairs[-1]
        q *= 1 / (rho * inner(y, y))
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q += (alpha - rho * inner(y, q)) * s
    return q


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
    pairs = deque(maxlen=MEMORY)
    since_refresh, refresh_after = 0, _FIRST_REFRESH
    while monitor.wants_more(point):
        v = two_loop(grad, pairs)
        slope = inner(grad, v)
        if not objective.is_penalised and -slope / 2 <= monitor.tol * point.value:
            # By its own estimate it is there; Newton's decrement has to agree.
            return point, False
        new, step = (None, 0.0)
        if slope < 0:
            new, step = line_search(objective, point, transform.apply(v), slope)
        if new is None:
            if not pairs:
                # Whether that is the rounding floor only Newton's decrement tells.
                return point, False
            # The memory may be at fault: forget it and look again from here.
            refresh = True
        else:
            since_refresh += 1
            refresh = since_refresh >= refresh_after
            new_grad = transform.apply_transposed(new.grad)
            y = new_grad - grad
            curvature = step * inner(v, y)
            if curvature > 0:
                pairs.append((step * v, y, 1 / curvature))
            monitor.iterated(point, new)
            point, grad = new, new_grad
        if refresh and monitor.status is None:
            transform = kronecker_transform(objective, point.theta)
            grad = transform.apply_transposed(point.grad)
            pairs.clear()
            if new is not None:
                since_refresh, refresh_after = 0, refresh_after * _REFRESH_FACTOR
    return point, monitor.status is not None
