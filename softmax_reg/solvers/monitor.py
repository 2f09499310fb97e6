"""Stopping rule, iteration budget and history of one fit.

With a penalty on every feature, a fit ends once the duality gap is within the tolerance. Without
one there is no finite gap. A fit then ends by the Newton decrement, or by a proof that the classes
can be separated and so have no optimum (`separation`).
"""

import time

import numpy as np

from .separation import MOVED, is_separated, largest_move, shows_overlap

HISTORY_DTYPE = np.dtype(
    [("iteration", np.int64), ("seconds", np.float64), ("objective", np.float64),
     ("gap", np.float64)]
)
# Decrease from the null model, as a fraction of the objective, that is not told from none. Times
# the tolerance of a default fit it is 1e-12, above the rounding errors of a gap.
_LEAST_DECREASE = 1e-8
# Ratio of successive squared Newton decrements above which convergence is linear at best. The
# ratio is about 1/e along a direction that separates classes, and arbitrary along a direction
# whose curvature is near rounding. A step is slow if its ratio is larger, and suspect if it is
# slow or moves a margin far: the optimum may then be at infinity.
_SLOW = 0.1
# Number of successive suspect steps after which a proof of separation is tried. The number doubles
# with every proof that fails.
_SLOW_STEPS = 3
# Half the squared decrement, as a fraction of the objective, above which (and above tol) suspect
# steps do not count. Far from the optimum, steps are slow even if the optimum is finite.
_SLOW_FROM = 1e-6
# Number of attempts at a proof of separation before a fit within tol ends without one.
MAX_PROOFS = 2
# Largest tolerance that asks for digits: exact Newton takes one more step if the relative duality
# gap is still above the second number. A step squares the gap, and the coefficients gain half as
# many digits as the gap.
POLISHES, POLISHED = 1e-5, 1e-12
# Half the squared Newton decrement, as a fraction of the tolerance, above which the step does not
# take the gap to the tolerance: steps square the decrement at best, and gaps are larger.
FAR = 30.0
# Relative duality gap above which a fit that ends at the rounding floor is "uncertified".
_PROVES_LITTLE = 1e-3


class Monitor:
    """The stopping rule and the history of a fit.

    Before an iteration a solver calls `wants_more`, after it `iterated`. Solvers that know the
    Newton decrement report it by `newton_decrement`. A fit has one monitor, so all its solvers
    share `max_iter`.

    Parameters
    ----------
    objective : Objective
    tol : float
        Relative duality gap to reach; 0 means the rounding floor.
    max_iter : int
    callbacks : object with ``begin(theta, record)`` and ``end(theta, record) -> bool``, or None
        Called around every iteration, with the last entry of the history; a true result of
        ``end`` stops the fit.

    Attributes
    ----------
    status : str or None
        Why the fit ended; None until then. "converged", "separable", "max_iter", "stopped" (by
        a callback), "uncertified" (converged by Newton's decrement, but rounding hides this
        from the duality gap) or "undecided" (within tol of the infimum without a penalty, and
        it is not known whether the classes overlap).
    gap : float
        Duality gap of the last point that was given to the monitor, or a larger bound where that
        point was far from the optimum.
    is_last : bool
        Whether the present solver is the last of the sequence.
    half_decrement : float
        Half the squared Newton decrement last reported: an estimate of the
        suboptimality; NaN before the first report.
    """

    def __init__(self, objective, *, tol, max_iter, callbacks=None):
        self.objective = objective
        # Newton decrements are compared with tol, but not below what float64 can resolve. The
        # duality gap is compared with `certify_tol`, which may be 0.
        self.tol = max(tol, 4 * np.finfo(np.float64).eps)
        self.certify_tol = tol
        self.max_iter = max_iter
        self.callbacks = callbacks
        self.n_iter = 0
        self.status = None
        self.gap = np.inf
        self.half_decrement = np.nan
        self._patience = np.inf
        self.is_last = True
        self._at_floor = False
        self._slow_steps = 0
        self._rates = []
        self._is_suspect = True
        self._overlaps = False    # proven
        self._n_attempts = 0
        self._tried_at = np.inf
        self._idle_steps = 0
        self._may_polish = tol <= POLISHES
        self._best_gap = np.inf
        self._seen = self._far = None    # last point whose gap was, or was not, computed
        self._bound = 0.0    # on the optimum, which is not negative
        self._history = []
        self._started = time.perf_counter()

    @property
    def history(self):
        """Structured array: iteration, seconds, objective, gap."""
        return np.array(self._history, dtype=HISTORY_DTYPE)

    def wants_more(self, point, polish=False):
        """Tell whether another iteration of this solver should start from `point`.

        polish : bool
            Whether to allow one more iteration after the gap has reached a tight tolerance, for a
            solver that converges quadratically.
        """
        if self.status is not None or self._idle_steps >= self._patience:
            return False
        self._look(point)
        if point is self._seen and self.gap <= self.certify_tol * self._scale(point):
            rough = self.gap > POLISHED * point.value and self.n_iter < self.max_iter
            if polish and rough and self._may_polish:
                self._may_polish = False
            else:
                self.status = "converged"
        elif (
            not self.objective.is_penalised
            and not self._overlaps
            and point.n_errors == 0
            and point.value <= min(self.tol * self.objective.null_point.value, self._tried_at)
        ):
            # Every row is classified right. If the unpenalised parameters alone do so, scaling
            # them up takes the loss to 0, and within tol it is there already.
            self._tried_at = point.value / 10
            if self._proves_separation(point):
                self.status = "separable"
        if self.status is None and self.n_iter >= self.max_iter:
            within = point is self._seen and self.gap <= self.certify_tol * point.value
            self.status = "converged" if within else "max_iter"
        if self.status is not None:
            return False
        if self.callbacks is not None:
            self.callbacks.begin(point.theta, self._history[-1])
        return True

    def _scale(self, point):
        """Return what the tolerance of the gap is relative to, as `scale_of`."""
        return scale_of(point.value, self.objective.null_point.value)

    def gap_at(self, point):
        """Return the duality gap of `point`, computed once for calls with the same `Point`."""
        if point is not self._seen:
            self._seen = point
            self.gap = self.objective.gap(point)
            self._bound = max(self._bound, point.value - self.gap)
        return self.gap

    def _look(self, point, half_decrement=np.inf):
        """Compute the gap of `point`, if it may end the fit; start the history.

        The gap of a point that cannot end the fit is taken from the best lower bound on the
        optimum so far.

        half_decrement : float
            Half the squared Newton decrement that the iteration to `point` began with; inf where
            no solver has told it.
        """
        is_far = FAR * self.tol * point.value < half_decrement < np.inf
        if is_far and self.objective.is_penalised:
            self._far = point
            self.gap = point.value - self._bound
        elif point is not self._far:
            self.gap_at(point)
        if not self._history:
            self._record(point)

    def _record(self, point):
        """Append `point` to the history, with the gap last computed."""
        seconds = time.perf_counter() - self._started
        self._history.append((self.n_iter, seconds, point.value, self.gap))

    def iterated(self, previous, point, half_decrement=np.inf):
        """Record that an iteration led from `previous` to `point`.

        half_decrement : float
            Half the squared Newton decrement at `previous`, from a solver that
            knows it.
        """
        self.n_iter += 1
        self._look(point, half_decrement)
        self._record(point)
        lower = previous.value - point.value > 2 * np.finfo(np.float64).eps * point.value
        if lower or self.gap <= self._best_gap / 2:
            self._idle_steps = 0
        else:
            self._idle_steps += 1
        self._best_gap = min(self.gap, self._best_gap)
        if half_decrement <= 4 * np.finfo(np.float64).eps * point.value:
            # Rounding errors decide where any further step goes.
            self._at_floor = True
        if self._idle_steps >= self._patience and half_decrement < np.inf:
            self.stalled(point, half_decrement)
        if self.callbacks is not None and self.callbacks.end(point.theta, self._history[-1]):
            self.status = "stopped"

    def newton_decrement(self, point, half_decrement, step, is_exact=False):
        """Record half the squared Newton decrement at `point`, before the step is taken.

        With a penalty the duality gap decides on convergence. Without one, the decrement decides
        whether the fit has converged once this step is taken. Where squared decrements fall
        linearly, at the rate r, half of one is at least 1 - sqrt(r) times the suboptimality, for
        powers x^p and exponentials. Slow steps, and steps that move rows far, may lead to
        infinity: then a proof of separation is tried. Slow steps that move rows far do not end a
        fit even where an optimum is proven to exist: a row of large values may hide the way
        there.

        step : ndarray, shape of theta
        is_exact : bool
            Whether the step solves Newton's equations to rounding. An exact one that moves no row
            far proves that an optimum exists. An inexact one proves nothing: an exact one is
            computed for the proof.
        """
        previous, self.half_decrement = self.half_decrement, half_decrement
        if self.objective.is_penalised:
            return
        at_floor = half_decrement <= 4 * np.finfo(np.float64).eps * point.value
        rate = half_decrement / previous if previous > 0 else np.inf
        self._rates = [*self._rates[-1:], rate]
        slow = rate > _SLOW and not at_floor
        rate = max(self._rates) if slow else 0.0
        excess = half_decrement / (1 - np.sqrt(rate)) if rate < 1 else np.inf
        is_near = at_floor or excess <= self.tol * point.value
        moves = is_near and (self._overlaps or not slow) and (
            largest_move(self.objective, step) >= MOVED
        )
        if is_near and not (slow or moves or is_exact or self._overlaps):
            shown = shows_overlap(self.objective, point)
            self._overlaps, moves = bool(shown), shown is False
        self._is_suspect = slow or moves
        if self._is_suspect and half_decrement <= max(self.tol, _SLOW_FROM) * point.value:
            self._slow_steps += 1
        else:
            self._slow_steps = 0
        if is_near and (not self._is_suspect or self._overlaps and not moves):
            self.status = "converged"
        elif self._slow_steps >= _SLOW_STEPS * 2**self._n_attempts or at_floor:
            if not self._overlaps and self._proves_separation(point):
                self.status = "separable"
            elif at_floor:
                self.status = "converged"
            elif is_near and not self._overlaps and self._n_attempts >= MAX_PROOFS:
                self.status = "undecided"

    def _proves_separation(self, point):
        """Try to prove separation; tell whether it is proven, and record a proof of overlap."""
        separated = is_separated(self.objective, point)
        self._overlaps = separated is False
        self._n_attempts += 1
        return bool(separated)

    def stalled(self, point, half_decrement):
        """Record that rounding keeps the solver from going on.

        The rounding floor of the duality gap is above that of the objective. A fit that stalls
        there is done if the Newton decrement is within the tolerance, and the gap is too or no
        solver is left.

        Returns
        -------
        done : bool
            False leaves the fit to another solver.
        """
        self.half_decrement = half_decrement
        if self.status is None and half_decrement <= self.tol * point.value:
            self._at_floor = True
            certified = self.gap <= max(self.tol, POLISHED) * point.value
            is_certified = certified or not self.objective.is_penalised
            # Try another solver first: with other rounding errors it may reach the gap.
            if is_certified or self.is_last:
                self.settle(point)
        return self.status is not None

    def settle(self, point):
        """Decide the status of a fit whose solvers have all ended, if it is still open.

        No status is set where a solver stalled above the rounding floor.
        """
        is_open = self.status is None and not self.objective.is_penalised and not self._overlaps
        if is_open and (self._is_suspect or not self._at_floor):
            if self._proves_separation(point):
                self.status = "separable"
        if self.status is None and self._at_floor:
            proves_little = self.gap_at(point) > max(self.tol, _PROVES_LITTLE) * point.value
            is_hidden = self.objective.is_penalised and proves_little
            self.status = "uncertified" if is_hidden else "converged"

    def transferred(self, objective, point):
        """Replace the objective by an equal one in other variables, at the end of the fit.

        objective : Objective
            For example the objective on X after a fit in the row space of X.
        point : Point
            The end of the fit, evaluated on `objective`.

        Returns
        -------
        gap : float
            Duality gap there. If it exceeds what `tol` asks for, the fit is open again.
        """
        self.objective = objective
        self._look(point)
        self.delivered(point.value, self.gap)
        if self.status == "converged" and self.gap > self.tol * point.value:
            self.status = None
        return self.gap

    def delivered(self, value, gap):
        """Record the objective and the gap of the result; the history ends with them."""
        if self._history:
            iteration, seconds, _, _ = self._history[-1]
            self._history[-1] = iteration, seconds, value, gap

    def next_solver(self, patience, is_last=True):
        """Record that another solver goes on from here.

        patience : int
            Number of successive iterations without progress after which the solver is ended, as
            at the rounding floor. Progress lowers the value by more than rounding or halves the
            duality gap.
        is_last : bool
            Whether the solver is the last of the sequence.
        """
        self._patience, self.is_last = patience, is_last
        self._bound = 0.0    # the last solver may have worked in float32
        self._idle_steps = 0
        self._slow_steps = 0


def scale_of(value, null_value):
    """Return what the tolerance of the gap is relative to, for a number or an array of values.

    The objective, or a hundred times its decrease from the null model, if this is smaller. So
    a model of weak effects is told from none, down to the rounding errors of a decrease.
    """
    return np.minimum(value, np.maximum(100 * (null_value - value), _LEAST_DECREASE * value))
