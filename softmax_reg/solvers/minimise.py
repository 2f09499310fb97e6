"""Choice of a solver, fallbacks, and the result."""

from typing import NamedTuple

import numpy as np

from .lbfgs import lbfgs
from .newton import newton, newton_cg
from .proximal import proximal_newton
from .proximal_lbfgs import proximal_lbfgs

# Exact Newton is out of the question above this many parameters (512 MiB).
MAX_NEWTON_SIZE = 8192
# Cost model of "auto". Iterations to the default tolerance as seen on raw and
# standardised data of many shapes:
_NEWTON_ITERATIONS = 12
_LBFGS_EVALUATIONS = 100
_LBFGS_REFRESHES = 3
# L-BFGS needs more of them the weaker the penalty is: this power of C. Without one
# only Newton's decrement tells where the optimum is.
_LBFGS_GROWTH = 0.25
_UNPENALISED = 1e4
# Operations and bytes a second of an ordinary two-core machine; their ratios matter.
_PRODUCT_RATE = 1e11
_FACTOR_RATE = 3e10
_MEMORY_RATE = 3e10
# Seconds of an iteration that do not depend on sizes.
_NEWTON_OVERHEAD = 3e-4
_LBFGS_OVERHEAD = 4e-4

# With kinks: the first is far more reliable where columns are correlated.
_PROXIMAL_ITERATIONS = 15
_PROXIMAL_EVALUATIONS = 400
_PROXIMAL_OVERHEAD = 2e-3
_MODEL_PRODUCTS = 20
_MODEL_RATE = 1e10

# Those of smooth penalties, to choose from, and those that "auto" takes for kinks.
SOLVERS = {"lbfgs": lbfgs, "newton-cholesky": newton, "newton-cg": newton_cg}
_PROXIMAL = {"proximal-newton": proximal_newton, "proximal-lbfgs": proximal_lbfgs}
_FUNCTIONS = SOLVERS | _PROXIMAL
# The duality gap of L-BFGS falls in jumps, that of Newton's method at every step.
_PATIENCE = {"lbfgs": 10, "newton-cholesky": 3, "newton-cg": 3, "proximal-newton": 5,
             "proximal-lbfgs": 25}
_FALLBACKS = {
    "newton-cholesky": ("newton-cholesky", "lbfgs", "newton-cg"),
    "lbfgs": ("lbfgs", "newton-cg"),
    "newton-cg": ("newton-cg", "lbfgs"),
    "proximal-newton": ("proximal-newton", "proximal-lbfgs"),
    "proximal-lbfgs": ("proximal-lbfgs", "proximal-newton"),
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
        "converged", "separable", "max_iter", "stopped", "stalled" or "uncertified".
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


def solver_costs(objective):
    """Seconds that each solver is expected to take: what "auto" goes by.

    ==================  ================================================================
    solver              seconds
    ==================  ================================================================
    newton-cholesky     12 (3e-4 + max(n t^2 / 1e11, 8 n p / 3e10) + t^3 / 9e10)
    lbfgs               100 C^(1/4) (4e-4 + max(4 n t / 1e11, 8 n p / 3e10))
                        + 3 (n p^2 / 1e11 + 9 p^3 / 3e10)
    ==================  ================================================================

    n rows, p features (n p stored entries if sparse), t parameters, 1 <= C <= 1e4 (which
    stands for no penalty). p^2 and p^3 only where the covariance is kept in full. Exact
    Newton needs t <= 8192.

    With an L1 penalty, K rows of parameters and a working set of w <= min(n, p) features:

    ==================  ================================================================
    proximal-newton     15 (2e-3 + max(n K^2 w^2 / 1e11, 8 n p / 3e10)); K w <= 8192
    proximal-lbfgs      400 (2e-3 + max(4 n t / 1e11, 8 n p / 3e10) + 40 K p (K + p) / 1e10)
    ==================  ================================================================

    Returns
    -------
    costs : dict, solver -> seconds
    """
    n, p = objective.n_samples, objective.n_features
    size = objective.n_rows * (p + 1)
    entries = objective.n_entries
    read = 8 * entries / _MEMORY_RATE
    evaluation = max(4 * entries * objective.n_rows / _PRODUCT_RATE, read)
    if objective.penalty.has_kinks:
        return _proximal_costs(objective, evaluation, read)
    weakness = 1 / (np.min(objective.penalty.curvature) * n) if objective.is_penalised else np.inf
    n_evaluations = _LBFGS_EVALUATIONS * min(max(1.0, weakness), _UNPENALISED) ** _LBFGS_GROWTH
    lbfgs = n_evaluations * (_LBFGS_OVERHEAD + evaluation)
    if objective.has_full_covariance:
        lbfgs += _LBFGS_REFRESHES * (n * p**2 / _PRODUCT_RATE + 9 * p**3 / _FACTOR_RATE)
    costs = {"lbfgs": lbfgs}
    if size <= MAX_NEWTON_SIZE:
        hessian = max(n * size**2 / _PRODUCT_RATE, read)
        factor = size**3 / 3 / _FACTOR_RATE
        costs["newton-cholesky"] = _NEWTON_ITERATIONS * (_NEWTON_OVERHEAD + hessian + factor)
    return costs


def _proximal_costs(objective, evaluation, read):
    n, p, n_rows = objective.n_samples, objective.n_features, objective.n_rows
    depth = n_rows + (p if objective.has_full_covariance else n_rows)
    products = _MODEL_PRODUCTS * 2 * n_rows * p * depth / _MODEL_RATE
    costs = {
        "proximal-lbfgs": _PROXIMAL_EVALUATIONS * (_PROXIMAL_OVERHEAD + evaluation + products)
    }
    size = n_rows * (min(n, p) + 1)
    if size <= MAX_NEWTON_SIZE:
        hessian = max(n * size**2 / _PRODUCT_RATE, read)
        costs["proximal-newton"] = _PROXIMAL_ITERATIONS * (_PROXIMAL_OVERHEAD + hessian)
    return costs


def choose_solver(objective):
    """The solver of the least expected cost."""
    costs = solver_costs(objective)
    return min(costs, key=costs.get)


def minimise(objective, point, monitor, solver="auto"):
    """Minimise `objective` from `point`.

    A solver that cannot go on (its Hessian does not factorise, rounding stops
    its line search short of the tolerance) hands its point to the next of its
    fallbacks.

    Parameters
    ----------
    objective : Objective
    point : Point of `objective`, or None for the null model
    monitor : Monitor
    solver : {"auto", "lbfgs", "newton-cholesky", "newton-cg"}
        "auto" for penalties with kinks.

    Returns
    -------
    SolverResult
    """
    if solver == "auto":
        solver = choose_solver(objective)
    point = objective.null_point if point is None else point
    with objective.backend.one_blas_thread():
        for name in _FALLBACKS[solver]:
            if name == "newton-cholesky" and objective.n_rows * (objective.n_features + 1) > (
                MAX_NEWTON_SIZE
            ):
                continue
            monitor.next_solver(_PATIENCE[name], name == _FALLBACKS[solver][-1])
            point, done = _FUNCTIONS[name](objective, point, monitor)
            last = name
            if done:
                break
        monitor.settle(point)
    return SolverResult(
        theta=point.theta,
        value=point.value,
        gap=objective.gap(point),
        newton_decrement=float(np.sqrt(2 * monitor.half_decrement)),
        n_iter=monitor.n_iter,
        status=monitor.status or "stalled",
        solver=last,
    )
