"""Minimisation by one solver after another, and its result."""

from typing import NamedTuple

import numpy as np

from .costs import MAX_NEWTON_SIZE, choose_solver
from .lbfgs import lbfgs
from .newton import newton, newton_cg
from .proximal import proximal_newton
from .proximal_lbfgs import proximal_lbfgs

# Solvers for smooth penalties, by the names that a user may choose.
SOLVERS = {"lbfgs": lbfgs, "newton-cholesky": newton, "newton-cg": newton_cg}
# Solvers for penalties with kinks. A user gets them by "auto" only.
_PROXIMAL = {"proximal-newton": proximal_newton, "proximal-lbfgs": proximal_lbfgs}
_FUNCTIONS = SOLVERS | _PROXIMAL
# Largest number of iterations without progress, for each solver; see `Monitor.next_solver`. The
# duality gap of L-BFGS falls in jumps, the gap of Newton's method at every step.
_PATIENCE = {"lbfgs": 10, "newton-cholesky": 3, "newton-cg": 3, "proximal-newton": 5,
             "proximal-lbfgs": 25}
# Solvers to run in turn, for each choice of a first solver, until one is done.
_FALLBACKS = {
    "newton-cholesky": ("newton-cholesky", "lbfgs", "newton-cg"),
    "lbfgs": ("lbfgs", "newton-cg"),
    "newton-cg": ("newton-cg", "lbfgs"),
    "proximal-newton": ("proximal-newton", "proximal-lbfgs", "proximal-newton"),
    "proximal-lbfgs": ("proximal-lbfgs", "proximal-newton"),
}


class SolverResult(NamedTuple):
    """The result of a minimisation.

    Attributes
    ----------
    point : Point
        Point at which the last solver ended, or a lower one found before; without its Hessian.
    gap : float
        Certified bound on value minus the optimum; inf without a penalty.
    newton_decrement : float
        Last known sqrt(g' H^-1 g); half its square estimates the suboptimality.
        NaN where no solver needed it.
    n_iter : int
        Number of outer iterations of all solvers.
    status : str
        As `Monitor.status`, or "stalled" where rounding stops all solvers short of tol.
    solver : str
        Name of the last solver that ran.
    carry : object
        State for the warm start of the next fit, on the same rows with another penalty.
    """

    point: object
    gap: float
    newton_decrement: float
    n_iter: int
    status: str
    solver: str
    carry: object = None

    @property
    def theta(self):
        """Parameters at `point`, (n_rows, n_features + 1), in the objective's coordinates."""
        return self.point.theta

    @property
    def value(self):
        """Objective at `point`, in nats."""
        return self.point.value


def minimise(objective, point, monitor, solver="auto", carry=None):
    """Minimise `objective` from `point`, by `solver` and, where it fails, its fallbacks.

    A solver fails where a Hessian does not factorise, or rounding stops the line search short of
    the tolerance. The next solver then starts from the last point. A starting point
    with a higher objective than the null model is not used. Where all solvers fail, the sequence
    runs again from the null model. The return to the null model counts as an iteration.

    Parameters
    ----------
    objective : Objective
    point : Point of `objective`, or None for the null model
        Starting point.
    monitor : Monitor
    solver : {"auto", "lbfgs", "newton-cholesky", "newton-cg"}
        "auto" chooses by expected time (`choose_solver`). Penalties with kinks need "auto", or
        "proximal-newton" or "proximal-lbfgs".
    carry : object
        `SolverResult.carry` of the last fit. Solvers may overwrite it.

    Returns
    -------
    SolverResult
    """
    if solver == "auto":
        solver = choose_solver(objective)
    null = objective.null_point
    # A NaN value is not lower either.
    point = point if point is not None and point.value <= null.value else null
    with objective.algebra.one_blas_thread():
        start = point
        point, last, carry = _chained(objective, point, monitor, _FALLBACKS[solver], carry)
        monitor.settle(point)
        if monitor.status is None and start is not null and monitor.n_iter < monitor.max_iter:
            # Where all probabilities are 0 or 1, no solver finds a step, even far from optimal.
            stuck = point
            monitor.iterated(stuck, null)
            point, last, carry = _chained(objective, null, monitor, _FALLBACKS[solver], carry)
            monitor.settle(point)
            point = point if point.value <= stuck.value else stuck
    return SolverResult(
        point=point._replace(hessian=None),    # results may be kept long, and Hessians are large
        gap=monitor.gap_at(point),
        newton_decrement=float(np.sqrt(2 * monitor.half_decrement)),
        n_iter=monitor.n_iter,
        status=monitor.status or "stalled",
        solver=last,
        carry=carry,
    )


def _chained(objective, point, monitor, names, carry):
    """Run solvers in sequence, each from the point where the last one ended, until one is done.

    Exact Newton is skipped where theta has more than MAX_NEWTON_SIZE parameters.

    Returns
    -------
    point : Point
    solver : str
        Name of the last solver that ran.
    carry : object
    """
    for left, name in enumerate(names, 1 - len(names)):
        if name == "newton-cholesky" and objective.n_rows * (objective.n_features + 1) > (
            MAX_NEWTON_SIZE
        ):
            continue
        monitor.next_solver(_PATIENCE[name], is_last=left == 0)
        point, done, carry = _FUNCTIONS[name](objective, point, monitor, carry)
        last = name
        if done:
            break
    return point, last, carry
