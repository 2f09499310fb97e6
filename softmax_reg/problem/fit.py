"""The result of a fit."""

import math
from typing import NamedTuple

import numpy as np

# Largest relative change of the objective, by rounding the result, that gives no warning: half of
# the digits of float64.
_SILENT_CHANGE = np.sqrt(np.finfo(np.float64).eps)


class Fit(NamedTuple):
    """The result of a fit, and its history.

    Attributes
    ----------
    coef : (1 or n_classes, n_features)
    intercept : (1 or n_classes,)
        `coef` and `intercept` have the dtype of X, or float64 where rounding to the dtype of X
        would exceed tol.
    value : float
        Objective of `coef` and `intercept` as predictions compute it, in nats.
    gap : float
        Certified bound on `value` minus the optimum; inf where nothing is certified.
    loss : float
        Mean loss at the last point of the solver.
    newton_decrement, n_iter, status, solver
        As in `SolverResult`. The status may also be "rounded": the last point was within the
        tolerance, but its coefficients in float64 are not.
    history : structured ndarray
        `Monitor.history`.
    n_evaluations : int
        Number of passes over the rows, of any kind.
    """

    coef: np.ndarray
    intercept: np.ndarray
    value: float
    gap: float
    loss: float
    newton_decrement: float
    n_iter: int
    status: str
    solver: str
    history: np.ndarray
    n_evaluations: int

    @classmethod
    def of(cls, delivered, result, tol, *, loss, history, n_evaluations, absent_loss):
        """Return the fit of a result of a solver.

        Parameters
        ----------
        delivered : (coef, intercept, value, gap)
            Coefficients as stored, and the objective and the gap that these have.
        result : SolverResult or Minimum
        tol : float
        loss, history, n_evaluations
            As the attributes.
        absent_loss : float
            Upper bound on the part of the loss from absent classes, in nats.
        """
        coef, intercept, value, gap = delivered
        is_rounded = not abs(value - result.value) <= max(tol, _SILENT_CHANGE) * value
        return cls(
            coef, intercept, value, gap + absent_loss, loss, result.newton_decrement,
            result.n_iter,
            "rounded" if is_rounded and result.status == "converged" else result.status,
            result.solver, history, n_evaluations,
        )

    def after(self, n_iter, history):
        """Return the fit with the iterations that led to its start, and their history."""
        own = self.history.copy()
        own["iteration"] += n_iter
        own["seconds"] += history["seconds"][-1]
        history = np.concatenate([history[:-1], own])
        return self._replace(n_iter=self.n_iter + n_iter, history=history)


def keeps(value, result, tol):
    """Tell whether rounded coefficients of this value keep a result within its tolerance."""
    change = abs(value - result.value)    # rounding may also lower the value
    proven = result.gap if result.gap <= tol * result.value else 0.0
    return proven + change <= tol * value


def bound_on_gap(value, result):
    """Return the certified bound on the value of rounded coefficients minus the optimum."""
    # The bound on the optimum holds for any rounding, and the optimum is not negative.
    gap = max(result.gap + value - result.value, 0.0)
    return min(gap, value) if math.isfinite(gap) else gap
