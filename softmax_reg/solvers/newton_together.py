"""Damped Newton on several objectives at once, which share their rows and are small."""

import time
from typing import NamedTuple

import numpy as np

from .monitor import FAR, HISTORY_DTYPE, POLISHED, POLISHES, scale_of
from .stages import interpolated, stages

# Largest number of evaluations of each objective. A fit that needs more is left to `minimise`.
MAX_PASSES = 40
# Least decrease, as a fraction of the slope's (Armijo).
_ARMIJO = 1e-4
# Bounds on the ratio of a trial step to the last one, which went too far.
_LEAST_CUT, _LARGEST_CUT = 0.1, 0.5


class Minimum(NamedTuple):
    """The end of the minimisation of one of several objectives.

    Attributes
    ----------
    theta : (n_rows, n_features + 1)
    value, loss, gap : float
        Objective, mean loss and duality gap at theta.
    newton_decrement : float
        That of the last step; NaN without a step.
    n_iter : int
        Number of steps.
    status : {"converged", "open"}
        Whether the gap is within the tolerance. If not, theta is the lowest point so far.
    history : structured ndarray
        As `Monitor.history`.
    solver : str
    """

    theta: np.ndarray
    value: float
    loss: float
    gap: float
    newton_decrement: float
    n_iter: int
    status: str
    history: np.ndarray
    solver: str


# An overflow becomes inf or NaN, which `accepts` and `turn` refuse.
@np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")
def newton_together(family, tol):
    """Minimise every objective of a family by damped Newton steps, proximal ones with kinks.

    Smooth objectives start from their null models. With kinks, the first of several `stages`
    does, and later ones start from an interpolation of the optima found. Each objective has its
    own steps, step lengths and stopping rule, that of `Monitor`, and leaves the stack when it has
    converged. All share the calls of NumPy. So the result for an objective depends on the others
    by rounding alone, and on starting points within its tolerance.

    Cost per iteration, for each objective still in the stack: an evaluation, and unless it ends
    there a Hessian (n_samples theta.size^2 flops) and a solution of its equations.

    Parameters
    ----------
    family : object with the attributes and methods of `problem.family.Family`
    tol : float > 0
        Relative duality gap to reach.

    Returns
    -------
    list of Minimum
    """
    state, started = _State(family), time.perf_counter()
    histories = [[] for _ in range(family.n)]
    may_polish = np.full(family.n, tol <= POLISHES and not family.has_kinks)
    for stage in stages(family.strengths) if family.has_kinks else [np.arange(family.n)]:
        state.start(stage)
        is_left = np.zeros(family.n, dtype=bool)
        is_left[stage] = True
        for _ in range(MAX_PASSES):
            left = np.flatnonzero(is_left)
            if not len(left):
                break
            points, q = family.evaluate(left, state.trial(left))
            end = family.slopes(left, points, state.direction[left])
            accepted = state.accepts(left, points.value, end)
            some, points = left[accepted], points.some(accepted)
            gap, value = state.gaps(some, points, FAR * tol), points.value
            state.move(some, points, gap)
            _record(histories, some, state.n_iter, time.perf_counter() - started, value, gap)
            within = gap <= tol * scale_of(value, family.null_value[some])
            polishes = within & may_polish[some] & (gap > POLISHED * value)
            ends = within & ~polishes
            may_polish[some[polishes]] = False
            state.converged[some] = ends
            is_left[some[ends]] = False
            accepted[accepted] = ~ends
            if accepted.any():
                some = left[accepted]
                fails = state.turn(some, *family.steps(some, points.some(~ends), q, accepted))
                # A step that polishes may fail at the rounding floor, with the gap in the
                # tolerance.
                state.converged[some[fails]] = within[~ends][fails]
                is_left[some[fails]] = False
    return state.minima(histories)


def _record(histories, index, n_iter, seconds, values, gaps):
    """Append the present points of some objectives to their histories."""
    for b, value, gap in zip(index.tolist(), values.tolist(), gaps.tolist(), strict=True):
        histories[b].append((n_iter[b], seconds, value, gap))


class _State:
    """The present point, step and counts of every objective; arrays with one entry for each."""

    def __init__(self, family):
        n, self._family = family.n, family
        self.theta = family.null_theta.copy()    # where the first trials are, too
        self.value, self.loss, self.gap = (np.full(n, np.inf) for _ in range(3))
        self.direction = np.zeros_like(self.theta)
        self.slope, self.length, self.bound = np.zeros(n), np.ones(n), np.zeros(n)
        self.half_decrement = np.full(n, np.nan)
        self.n_iter = np.zeros(n, dtype=np.int64)
        self.converged, self.at_floor, self.is_guess = np.zeros((3, n), dtype=bool)

    def start(self, index):
        """Set starting points, from optima of other strengths where they are known."""
        first = 0
        for own in self._family.strengths:
            span = slice(first, first + len(own))
            known = np.flatnonzero(self.converged[span])
            if len(known) > 1:
                asked = index[(index >= span.start) & (index < span.stop)]
                found = interpolated(own, self.theta[span], known)[asked - first]
                is_finite = np.isfinite(found).all(axis=(1, 2))
                self.theta[asked[is_finite]] = found[is_finite]
                self.is_guess[asked] = is_finite
            first = span.stop

    def trial(self, index):
        """Return the points to evaluate."""
        return self.theta[index] + self.length[index, np.newaxis, np.newaxis] * (
            self.direction[index]
        )

    def accepts(self, index, value, end):
        """Return which trials decrease their objectives enough; shorten the steps of the others.

        Where the slope is still negative, a convex function is below its start, whatever the
        rounding errors of two nearly equal values; `line_search` says more. Other steps are cut
        to where a linear slope vanishes.
        """
        slope, before = self.slope[index], self.value[index]
        rounding = 8 * np.finfo(np.float64).eps * value
        level = (value <= before + rounding) & (end <= -(1 - 2 * _ARMIJO) * slope)
        accepted = level | (value <= before + _ARMIJO * self.length[index] * slope)
        accepted |= np.isfinite(value) & (end <= 0)
        if not accepted.all():
            cut = np.where(np.isfinite(end), slope / (slope - end), 0.0)[~accepted]
            self.length[index[~accepted]] *= np.clip(cut, _LEAST_CUT, _LARGEST_CUT)
        guessed = self.is_guess[index]
        if guessed.any():    # a starting point above the null model is replaced by it
            accepted &= ~guessed | (value <= self._family.null_value[index])
            null = index[guessed & ~accepted]
            self.theta[null], self.length[null] = self._family.null_theta[null], 1.0
            self.is_guess[index] = False
        return accepted

    def gaps(self, index, points, far):
        """Return the gaps of points; from earlier bounds where steps are too large to end there.

        far : float
            Largest decrease that the last step promised, relative to the value, of a point that
            may end the minimisation.
        """
        near = ~(self.half_decrement[index] > far * points.value)
        some = index[near]
        if len(some):
            found = points.some(near)
            gaps = self._family.gaps(some, found)
            self.bound[some] = np.maximum(self.bound[some], found.value - gaps)
        out = points.value - self.bound[index]
        if len(some):
            out[near] = gaps
        return out

    def move(self, index, points, gaps):
        """Take accepted trials for the present points."""
        self.n_iter[index] += np.isfinite(self.value[index])
        self.theta[index], self.value[index], self.loss[index] = (
            points.theta, points.value, points.loss
        )
        self.gap[index] = gaps

    def turn(self, index, directions, slopes, half_decrements):
        """Set new directions; return the mask of those that do not lead down.

        Where rounding hides the decrease that a step promises, it may still lower the gap: one
        such step is taken.
        """
        self.direction[index], self.slope[index] = directions, slopes
        self.half_decrement[index], self.length[index] = np.abs(half_decrements), 1.0
        floor = 4 * np.finfo(np.float64).eps * self.value[index]
        at_floor = self.half_decrement[index] <= floor
        fails = ~(np.isfinite(directions).all(axis=(1, 2)) & (slopes < 0))
        fails |= at_floor & self.at_floor[index]
        self.at_floor[index] = at_floor
        return fails

    def minima(self, histories):
        """Return a `Minimum` for every objective."""
        return [
            Minimum(
                self.theta[b], float(self.value[b]), float(self.loss[b]), float(self.gap[b]),
                float(np.sqrt(2 * self.half_decrement[b])), int(self.n_iter[b]),
                "converged" if self.converged[b] else "open",
                np.array(histories[b], dtype=HISTORY_DTYPE),
                "proximal-newton" if self._family.has_kinks else "newton-cholesky",
            )
            for b in range(len(self.theta))
        ]
