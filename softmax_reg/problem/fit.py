"""The result of a fit."""

from typing import NamedTuple

import numpy as np


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
