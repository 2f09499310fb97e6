"""Solvers: they see an objective, never X, a device or an estimator."""

from .costs import choose_solver, expectation, solver_costs
from .minimise import SOLVERS, SolverResult, minimise
from .monitor import HISTORY_DTYPE, Monitor, scale_of

__all__ = [
    "HISTORY_DTYPE", "SOLVERS", "Monitor", "SolverResult", "choose_solver",
    "expectation", "minimise", "scale_of", "solver_costs",
]
