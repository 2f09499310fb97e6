"""Fisher scoring, accelerated by secant pairs, for likelihoods with Jeffreys' prior."""

import time
from collections import deque
from typing import NamedTuple

import numpy as np

from .monitor import HISTORY_DTYPE

# Number of pairs (s, y) in memory.
_MEMORY = 20
# Constant of Armijo's condition, and the range of the next trial in terms of the last one.
_ARMIJO = 1e-4
_SHORTER = 0.1, 0.5
# Largest change of a margin, in nats, by the first trial of a step (maxstep in R's logistf). Where
# a class is rare the step is far too long, and beyond the optimum the information vanishes.
_LONGEST = 5.0
# Largest number of trials of a step.
_MAX_TRIALS = 40
# Least cosine between s and y, in the metric of the information, of a pair that is stored.
_LEAST_COSINE = 1e-8
# Number of successive steps at the rounding floor that may bring no smaller gradient.
_PATIENCE = 3


class Scored(NamedTuple):
    """The result of Fisher scoring.

    Attributes
    ----------
    point : JeffreysPoint
        The last point; of those at the rounding floor, that of the smallest gradient.
    n_iter : int
    status : str
        "converged", "max_iter", "stalled" (rounding, or a singular information, prevents further
        progress) or "stopped" (by a callback).
    history : structured ndarray
        As `Monitor.history`, with infinite gaps.
    """

    point: object
    n_iter: int
    status: str
    history: np.ndarray


def fisher_scoring(likelihood, point, *, tol, max_iter, callbacks=None):
    """Minimise by Fisher scoring with a line search.

    A step of Fisher scoring solves with the information in place of the Hessian, which also has
    the second derivatives of the log-determinant: it converges linearly. So the information is
    the initial matrix of L-BFGS, whose pairs hold the rest. Cost per iteration: one evaluation,
    rarely more. The value decreases in every iteration, down to rounding.

    Parameters
    ----------
    likelihood : object with ``evaluate(x) -> point``, ``largest_move`` and ``total_weight``
        As `JeffreysLikelihood`.
    point : JeffreysPoint
        Starting point, with a factor.
    tol : float
        Distance from the optimum, sqrt(g' I^-1 g) in standard errors, at which to stop. 0 goes on
        to the rounding floor.
    max_iter : int
    callbacks : as in `Monitor`

    Returns
    -------
    Scored

    References
    ----------
    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.4, with the inverse information
    for H_k^0.
    """
    pairs, best, status = deque(maxlen=_MEMORY), point, None
    started, history, n_idle = time.perf_counter(), [], 0

    def record():
        seconds = time.perf_counter() - started
        history.append((len(history), seconds, best.value / likelihood.total_weight, np.inf))

    record()
    while status is None:
        status = _end(best, tol, n_idle, len(history) > max_iter)
        if status is not None:
            break
        if callbacks is not None:
            callbacks.begin(point.theta, history[-1])
        new = _next(likelihood, point, pairs)
        if new is None and pairs:    # the pairs may be the cause
            pairs.clear()
            new = _next(likelihood, point, pairs)
        if new is None:
            status = "converged" if _at_floor(best) else "stalled"
            break
        _remember(pairs, point, new)
        point = new
        if not _at_floor(point) or point.distance < best.distance:
            best, n_idle = point, 0
        else:
            n_idle += 1
        record()
        if callbacks is not None and callbacks.end(best.theta, history[-1]):
            status = "stopped"
    return Scored(best, len(history) - 1, status, np.array(history, dtype=HISTORY_DTYPE))


def _end(best, tol, n_idle, is_spent):
    """Return the status of a fit that ends at `best`, or None."""
    if best.distance <= tol or n_idle >= _PATIENCE:
        return "converged"
    return "max_iter" if is_spent else None


def _at_floor(point):
    """Tell whether rounding errors of values hide the decrease that a step promises."""
    return point.distance**2 / 2 <= point.rounding


def _next(likelihood, point, pairs):
    """Return the point of the next step, or None where there is no lower one."""
    step = _direction(point, pairs)
    slope = point.grad @ step
    if not slope < 0:
        return None
    move = likelihood.largest_move(step)
    length, at_floor = 1.0 if move <= _LONGEST else _LONGEST / move, _at_floor(point)
    for _ in range(_MAX_TRIALS):
        with np.errstate(over="ignore", invalid="ignore"):
            trial = likelihood.evaluate(point.x + length * step)
        enough = point.value + _ARMIJO * length * slope + point.rounding
        if trial.factor is not None and (at_floor or trial.value <= enough):
            return trial
        # Minimum of the parabola through both values; inf for a singular information.
        excess = trial.value - point.value - length * slope
        length *= np.clip(-length * slope / (2 * excess), *_SHORTER)
    return None


def _direction(point, pairs):
    """Return the direction of L-BFGS, whose initial matrix is the inverse information."""
    rest, weights = point.grad.copy(), []
    for s, y, product in reversed(pairs):
        weights.append(s @ rest / product)
        rest -= weights[-1] * y
    step = point.factor.solve(rest)
    for s, y, product in pairs:
        step += (weights.pop() - y @ step / product) * s
    return -step


def _remember(pairs, point, new):
    """Store the changes of x and of the gradient, if they show positive curvature."""
    s, y = new.x - point.x, new.grad - point.grad
    # Both in the variables in which the information is the identity.
    moved, curved = new.factor.whitened(s), new.factor.apply_transposed(y)
    if s @ y > _LEAST_COSINE * np.linalg.norm(moved) * np.linalg.norm(curved):
        pairs.append((s, y, s @ y))
