"""From validated data to an objective, and from its theta back to coef_ and intercept_."""

import numpy as np
from scipy import sparse

from .kernels import cpu
from .objective import Objective
from .penalty import L2Penalty
from .row_space import RowSpaceObjective, reduction_pays
from .sample import sampling_pays, start_from_sample
from .solvers import minimise

# Intercept of a class without any weight, where the others average 0. Its optimum
# is minus infinity; here it adds less than a rounding error to the loss and, with
# no coefficients, is never predicted.
_ABSENT_INTERCEPT = np.log(np.finfo(np.float64).eps)


class Problem:
    """One training problem, reduced to the classes that carry weight.

    A class whose rows all weigh nothing has W_k = 0 and b_k -> -inf at the optimum,
    so the problem over the other classes has the same minimum. It is solved
    instead, and the absent classes get `_ABSENT_INTERCEPT`. Without an intercept
    they stay in: only their coefficients can then make them unlikely.

    Attributes
    ----------
    objective : Objective, or None if a single class carries all the weight
    absent : ndarray of bool, (n_classes,)
    """

    def __init__(self, data, *, C, fit_intercept):
        n_classes = len(data.classes)
        self._n_classes = n_classes
        self._n_features = data.X.shape[1]
        weights = np.bincount(data.index, weights=data.weight, minlength=n_classes)
        self.absent = (weights == 0) & fit_intercept
        self._binary = n_classes == 2 and not self.absent.any()
        self.objective = None
        n_present = n_classes - np.count_nonzero(self.absent)
        if n_present > 1:
            present_index = np.cumsum(~self.absent) - 1
            # Rows of an absent class weigh nothing; any index in range will do.
            y = np.maximum(present_index[data.index], 0)
            self._data = data.X, y, data.weight
            # The sum of huge weights could overflow.
            largest = data.weight.max()
            l2 = 1 / C / largest / (data.weight / largest).sum()
            self._options = {
                "n_classes": n_present,
                "binary": self._binary,
                "penalty": L2Penalty(l2),
                "fit_intercept": fit_intercept,
                "backend": cpu,
            }
            reduces = (
                C < np.inf
                and not sparse.issparse(data.X)
                and reduction_pays(*data.X.shape, 1 if self._binary else n_present)
            )
            kind = RowSpaceObjective if reduces else Objective
            self.objective = kind(*self._data, **self._options)

    def solve(self, solver, previous, monitor):
        """Minimise, from previous (coef, intercept) or None; a `SolverResult`."""
        result = minimise(self.objective, self._start(previous, solver, monitor), monitor, solver)
        if not isinstance(self.objective, RowSpaceObjective):
            return result
        # The certificate must hold on X itself, whatever the reduction left out.
        coef, intercept = self.objective.to_coef(result.theta)
        n_evaluations = self.objective.n_evaluations
        self.objective = Objective(*self._data, **self._options)
        self.objective.n_evaluations += n_evaluations
        point = self.objective.evaluate(self.objective.from_coef(coef, intercept))
        gap = monitor.transferred(self.objective, point)
        if result.status == "converged" and monitor.status is None:
            return minimise(self.objective, point, monitor, "lbfgs")
        return result._replace(theta=point.theta, value=point.value, gap=gap)

    @property
    def absent_loss(self):
        """Bound on what the absent classes add to the loss, in nats.

        The present logits of a row average 0, so their logsumexp is at least
        log(n_present).
        """
        n_absent = np.count_nonzero(self.absent)
        return n_absent / (self._n_classes - n_absent) * np.exp(_ABSENT_INTERCEPT)

    def _start(self, previous, solver, monitor):
        """Starting point from a previous fit's (coef_, intercept_), or None."""
        if previous is None:
            if monitor.max_iter > 0 and sampling_pays(self.objective):
                return start_from_sample(
                    self.objective, self._data, self._options, solver, monitor.max_iter
                )
            return None
        coef, intercept = previous
        if not self._binary:
            # Shifts common to all classes change no probability and cost penalty.
            coef, intercept = coef[~self.absent], intercept[~self.absent]
            coef = coef - coef.mean(axis=0)
            intercept = intercept - intercept.mean()
        return self.objective.evaluate(self.objective.from_coef(coef, intercept))

    def coef_and_intercept(self, theta):
        """coef_ and intercept_ in float64, all classes included."""
        if self._binary:
            return self.objective.to_coef(theta)
        coef = np.zeros((self._n_classes, self._n_features))
        intercept = np.full(self._n_classes, _ABSENT_INTERCEPT)
        if self.objective is None:
            intercept[~self.absent] = 0.0
        else:
            coef[~self.absent], intercept[~self.absent] = self.objective.to_coef(theta)
        if self.absent.any():
            intercept -= intercept.mean()
        if self._n_classes == 2:
            return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return coef, intercept
