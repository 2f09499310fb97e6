"""Choice of a solver, fallbacks, and the result."""

from typing import NamedTuple

import numpy as np

from .lbfgs import lbfgs
from .newton import newton, newton_cg

# Exact Newton is out of the question above this many parameters (512 MiB).
MAX_NEWTON_SIZE = 8192
# Cost model of "auto", in floating-point operations: iterations to the default
# tolerance as seen on raw and standardised data of many shapes.
_NEWTON_ITERATIONS = 12
_LBFGS_EVALUATIONS = 100
_LBFGS_REFRESHES = 3
# Up to here, some tenths of a second, exact Newton is taken at any ratio: it
# converges on whatever C and column scales, and to far more digits.
_ALWAYS_NEWTON = 2e10

SOLVERS = {"lbfgs": lbfgs, "newton-cholesky": newton, "newton-cg": newton_cg}
_FALLBACKS = {
    "newton-cholesky": ("newton-cholesky", "lbfgs", "newton-cg"),
    "lbfgs": ("lbfgs", "newton-cg"),
    "newton-cg": ("newton-cg", "lbfgs"),
}


class SolverResult(NamedTuple):
    """What a fit found.

    Attributes
    ----------
    theta : (n_rows, n_features + 1), in the objective's coordinates
    value : float, nats
    gap : float
        Certified bound on value minus the optimum; inf without a penalty.
    newton_decrement : float
        sqrt(g' H^-1 g) last seen; half its square estimates the suboptimality.
        NaN where no solver needed it.
    n_iter : int
        Outer iterations, across fallbacks.
    status : str
        "converged", "separable", "max_iter", "stopped" or "stalled".
    solver : str
        The solver that ended the fit.
    """

    theta: np.ndarray
    value: float
    gap: float
    newton_decrement: float
    n_iter: int
    status: str
    solver: str


def choose_solver(objective):
    """The cheaper of exact Newton and preconditioned L-BFGS, by flops.

    ==================  ======================================================
    newton-cholesky     12 (n t^2 + t^3 / 3)
    lbfgs               100 (4 n t) + 3 (n p^2 + 9 p^3), p^2, p^3 only where the
                        covariance is kept in full
    ==================  ======================================================

    n rows, p features, t parameters. Newton also wherever it takes less than
    2e10 operations.
    """
    n, p = objective.n_samples, objective.n_features
    size = objective.n_rows * (p + 1)
    if size > MAX_NEWTON_SIZE:
        return "lbfgs"
    newton_flops = _NEWTON_ITERATIONS * (n * size**2 + size**3 / 3)
    lbfgs_flops = _LBFGS_EVALUATIONS * 4 * n * size + _LBFGS_REFRESHES * (n * p**2 + 9 * p**3)
    return "newton-cholesky" if newton_flops <= max(lbfgs_flops, _ALWAYS_NEWTON) else "lbfgs"


def minimise(objective, theta, monitor, solver="auto"):
    """Minimise `objective` from `theta`.

    A solver that cannot go on (its Hessian does not factorise, rounding stops
    its line search short of the tolerance) hands its point to the next of its
    fallbacks.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape ``objective.shape``, or None for the null model
    monitor : Monitor
    solver : {"auto", "lbfgs", "newton-cholesky", "newton-cg"}

    Returns
    -------
    SolverResult
    """
    if solver == "auto":
        solver = choose_solver(objective)
    with objective.backend.one_blas_thread():
        point = objective.null_point if theta is None else objective.evaluate(theta)
        for name in _FALLBACKS[solver]:
            if name == "newton-cholesky" and objective.n_rows * (objective.n_features + 1) > (
                MAX_NEWTON_SIZE
            ):
                continue
            monitor.next_solver()
            point, done = SOLVERS[name](objective, point, monitor)
            solver = name
            if done:
                break
    return SolverResult(
        theta=point.theta,
        value=point.value,
        gap=objective.gap(point),
        newton_decrement=float(np.sqrt(2 * monitor.half_decrement)),
        n_iter=monitor.n_iter,
        status=monitor.status or "stalled",
        solver=solver,
    )
