"""Progress of long work: of the iterations of a fit, or of the fits of a path or a search."""

import contextlib
import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from ..solvers import scale_of
from .bars import close, opened

# Least number of seconds between two refreshes of a bar.
_REFRESH = 0.1
# Least share, gained in the last half of the time, from which the time left is told.
_LEAST_GAIN = 0.005
# What writing raises on a terminal that is gone, a closed stream, or a name it cannot encode.
_BROKEN = (OSError, ValueError)


class Iteration(NamedTuple):
    """An iteration of a fit.

    Attributes
    ----------
    solver : str
    number : int
        0 is the start.
    objective : float
        In nats.
    gap, tol : float
        Relative duality gap, at most 1, or inf where nothing is certified; and the one to reach.
    seconds : float
        Since the start of the fit.
    """

    solver: str
    number: int
    objective: float
    gap: float
    tol: float
    seconds: float


class Progress:
    """Share of the work that is done, shown as `verbose` asks; a context manager.

    The share of a fit is that of the way from its first relative gap to its tolerance, in
    logarithms, and never falls. The share of several fits is that of the fits that are done, and
    of the present one in proportion. Reports from other threads than that of the ``with`` are left
    out. A copy in another process shows nothing.

    Parameters
    ----------
    name : str
        What progresses, for example the name of the estimator.
    verbose : int
        As in `bars.opened`; 0 shows nothing.
    n_fits : int, default=None
        Number of fits, each of which gets a line in place of its iterations. None is a single fit.
    may_draw : bool, default=True
        False takes lines in place of a bar.
    clock : callable
        Returns seconds.
    """

    def __init__(self, name, verbose, n_fits=None, may_draw=True, clock=time.perf_counter):
        self._name = name
        self._options = verbose, may_draw
        self._n_fits = n_fits
        self._clock = clock
        self._display = None
        self._thread = None
        self._n_done = 0
        self._first = None    # gap of the present fit, as all below
        self._of_fit = 0.0
        self._iteration = None
        self._share = None    # of all; None until it is known
        self._marks = deque()    # (seconds, share) of the reports of the last half of the time
        self._started = self._drawn = 0.0

    def __reduce__(self):
        """Copy as one that shows nothing."""
        return Progress, (self._name, 0, self._n_fits)

    def __enter__(self):
        """Open the display, which only this thread uses."""
        self._thread = threading.get_ident()
        self._started = self._clock()
        self._drawn = self._started - _REFRESH
        self._marks.append((self._started, 0.0))
        with contextlib.suppress(*_BROKEN):
            self._display = opened(self._name, *self._options)
        return self

    def __exit__(self, *raised):
        """Close the display, after an exception too."""
        display, self._display = self._display, None
        if display is None:
            return
        with contextlib.suppress(*_BROKEN):
            try:
                if display.is_bar:
                    seconds = self._clock() - self._started
                    display.draw(self._share, self._text(f"in {duration(seconds)}"))
            finally:
                close(display)

    def note(self, text):
        """Write a line about the work."""
        if self.is_shown():
            self._show("line", text)

    def iterated(self, iteration):
        """Report an iteration, or the start, of the present fit.

        iteration : Iteration
        """
        if not self.is_shown():
            return
        self._iteration = iteration
        if self._first is None and np.isfinite(iteration.gap):
            self._first = iteration.gap
        if self._first is not None:
            self._of_fit = max(self._of_fit, _share(self._first, iteration.gap, iteration.tol))
        left = self._advance()
        if self._n_fits is None and iteration.number > 0 and self._takes_lines():
            _, number, objective, gap, tol, seconds = iteration
            self._show(
                "line",
                f"{iteration.solver} iteration {number:4d}  objective {objective:#.9g} nats  "
                f"relative gap {gap:.2e} (tol {tol:.0e})  {seconds:.3f} s{left and f'  {left}'}"
            )

    def fitted(self, text=""):
        """Report that one more fit is done; see `reached`."""
        self.reached(self._n_done + 1, text)

    def reached(self, n_done, text=""):
        """Report the number of fits that are done, or that are done at least.

        text : str
            About these fits, for a line. No line without it.
        """
        if not self.is_shown():
            return
        if n_done > self._n_done:
            self._n_done, self._first, self._of_fit = n_done, None, 0.0
        left = self._advance()
        if text and self._takes_lines():
            of_all = f"{self._n_done} of {self._n_fits} fits"
            self._show("line", f"{text}; {of_all}{left and f', {left}'}")

    def ended(self, is_converged):
        """Report that a single fit has ended, at its optimum or short of it."""
        if self.is_shown() and is_converged:
            self._of_fit = 1.0
            self._advance()

    def is_shown(self):
        """Tell whether reports of this thread are shown."""
        return self._display is not None and threading.get_ident() == self._thread

    def _takes_lines(self):
        return self._display is not None and not self._display.is_bar

    def _advance(self):
        """Update the share and draw the bar, if it is due; return the time left, as text."""
        now = self._clock()
        if self._n_fits is not None:
            share = (self._n_done + self._of_fit) / self._n_fits
        else:
            # Without a gap nothing tells how far a fit is.
            share = self._of_fit if self._first is not None or self._of_fit == 1 else None
        if share is not None:
            self._share = max(share, self._share or 0.0)
            self._marks.append((now, self._share))
        left = self._left(now)
        if self._display.is_bar and now - self._drawn >= _REFRESH:
            self._drawn = now
            self._show("draw", self._share, self._text(left))
        return left

    def _show(self, method, *arguments):
        """Call a method of the display; show nothing more where it fails: the fit goes on."""
        try:
            getattr(self._display, method)(*arguments)
        except _BROKEN:
            display, self._display = self._display, None
            with contextlib.suppress(*_BROKEN):
                close(display)

    def _left(self, now):
        """Return the time left, by the rate of the last half of the time, as text; or ""."""
        half = (self._started + now) / 2
        while len(self._marks) > 1 and self._marks[1][0] <= half:
            self._marks.popleft()
        then, before = self._marks[0]
        gained = (self._share or 0.0) - before
        if gained < _LEAST_GAIN or self._share == 1:
            return ""
        return f"{duration((1 - self._share) * (now - then) / gained)} left"

    def _text(self, time):
        """Return the text at a bar."""
        parts = [] if self._share is None else [f"{int(100 * self._share):3d}%"]
        if self._n_fits is not None:
            parts.append(f"{self._n_done}/{self._n_fits} fits")
        if self._iteration is not None:
            one = self._iteration
            parts += [f"iteration {one.number}"] if self._n_fits is None else []
            parts += [f"objective {one.objective:.6g}"]
            parts += [f"gap {one.gap:.0e}"] if np.isfinite(one.gap) else []
        return " ".join(part for part in (*parts, time) if part)


def progress_of(estimator, n_fits=None):
    """Return the `Progress` of an estimator's fit.

    Lines take the place of a bar where scikit-learn's callbacks are set, which may draw bars.
    """
    may_draw = not hasattr(estimator, "_skl_callbacks")
    return Progress(type(estimator).__name__, estimator.verbose, n_fits, may_draw)


class Iterations:
    """Reports of one fit to a `Progress`; callbacks of `Monitor`.

    Parameters
    ----------
    progress : Progress
    solver : str
    tol : float
    objective : Objective or None
        None where nothing certifies a gap.
    """

    def __init__(self, progress, solver, tol, objective):
        self._progress = progress
        self._solver = solver
        self._tol = tol
        self._objective = objective

    def begin(self, theta, record):
        """Report the start of a fit; `record` is an entry of `Monitor.history`."""
        if record[0] == 0:
            self.end(theta, record)

    def end(self, theta, record):
        """Report an iteration; return False: it does not ask to stop."""
        if not self._progress.is_shown():
            return False
        number, seconds, value, gap = record
        scale = value
        if np.isfinite(gap) and self._objective is not None:
            scale = scale_of(value, self._objective.null_point.value)
        # Larger ones, relative to the little that the null model is improved by, tell nothing.
        relative = min(gap / scale, 1.0) if scale > 0 and gap < np.inf else gap
        self._progress.iterated(
            Iteration(
                self._solver, int(number), float(value), float(relative), self._tol, float(seconds)
            )
        )
        return False


def duration(seconds):
    """Return a time as text: seconds, or from a minute on minutes or hours as on a clock.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.4, 59, 200, 7260)]
    ['0.4 s', '59 s', '3:20', '2:01:00']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}" if minutes else f"{seconds} s"


def _share(first, gap, tol):
    """Return the share of the way from the first gap to tol, in logarithms, from 0 to 1."""
    goal = max(tol, np.finfo(np.float64).eps)
    if gap <= goal:
        return 1.0
    if not gap < first:
        return 0.0
    return float(np.log(first / gap) / np.log(first / goal))
