"""From validated data to an objective, and from its theta back to coef_ and intercept_."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from ._device import as_numpy, backend_for
from .kernels import blocked, cpu
from .kernels._row_blocks import RowBlocks
from .objective import Objective
from .penalty import penalty_of
from .row_space import RowSpaceObjective, reduction_pays
from .sample import fraction_of, sample_rows, sampling_pays, start_from_sample
from .solvers import HISTORY_DTYPE, Monitor, minimise

# Intercept of a class without any weight, where the others average 0. Its optimum
# is minus infinity; here it adds less than a rounding error to the loss and, with
# no coefficients, is never predicted.
ABSENT_INTERCEPT = np.log(np.finfo(np.float64).eps)
# By which the gradients that decide what enters a model first may be off: by rounding, and
# where they belong to an optimum over what is not penalised.
_MARGIN = 16 * np.finfo(np.float64).eps
_MARGIN_OF_OPTIMUM = 1e-6
# Share of tol that solvers have to reach where coef_ is to be float32: the rest is for what
# rounding to it costs.
_SHARE_OF_SOLVER = 0.9
# Relative change of the objective by rounding that needs no warning: half of the digits.
_SILENT_CHANGE = np.sqrt(np.finfo(np.float64).eps)


class Fit(NamedTuple):
    """What a fit delivers, and how it got there.

    Attributes
    ----------
    coef : (1 or n_classes, n_features)
    intercept : (1 or n_classes,)
        Both of the dtype of X, or float64 where rounding to that would cost more than tol.
    value : float
        The objective of these two as predictions compute it, in nats.
    gap : float
        Certified bound on `value` minus the optimum; inf where nothing is certified.
    loss : float
        Mean loss where the solver ended.
    newton_decrement, n_iter, status, solver
        As in `SolverResult`; the status may also be "rounded": the end was within the
        tolerance, and what float64 makes of its coefficients is not.
    history : structured ndarray
    n_evaluations : int
        Passes over the rows, everything counted.
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


class Problem:
    """One training problem, reduced to the classes that carry weight and the features allowed.

    A class whose rows all weigh nothing has W_k = 0 and b_k -> -inf at the optimum,
    so the problem over the other classes has the same minimum. It is solved
    instead, and the absent classes get `ABSENT_INTERCEPT`. Without an intercept
    they stay in: only their coefficients can then make them unlikely. Features with an
    infinite penalty factor are left out.

    Parameters
    ----------
    data : TrainingData
    C, l1_ratio, fit_intercept, grouped, device, precision
        As in `SoftmaxRegression`.
    penalty_factor : (n_features,) float64, or 1.0

    Attributes
    ----------
    objective : Objective, or None if a single class carries all the weight
    absent : ndarray of bool, (n_classes,)
    """

    def __init__(
        self, data, *, C, fit_intercept, l1_ratio=0.0, grouped=False, penalty_factor=1.0,
        device="cpu", precision="auto",
    ):
        n_classes = len(data.classes)
        self._n_classes = n_classes
        self._n_features = data.X.shape[1]
        self._dtype = np.dtype(data.X.dtype)
        self._kept = slice(None)
        X = data.X
        if not np.all(np.isfinite(penalty_factor)):
            self._kept = np.flatnonzero(np.isfinite(penalty_factor))
            penalty_factor = penalty_factor[self._kept]
            X = X[:, self._kept] if sparse.issparse(X) else X.take(self._kept, axis=1)
        weights = self._weigh(data)
        self.absent = (weights == 0) & fit_intercept
        self._binary = n_classes == 2 and not self.absent.any()
        self.objective = self._reduced = self._whole = self._last = None
        n_present = n_classes - np.count_nonzero(self.absent)
        if n_present > 1:
            self._penalty = {
                "l1_ratio": l1_ratio,
                "factor": penalty_factor,
                "grouped": grouped and not self._binary,
            }
            self._options = {
                "n_classes": n_present,
                "binary": self._binary,
                "penalty": self._penalty_of(C),
                "fit_intercept": fit_intercept,
            }
            # Rows of an absent class weigh nothing; any index in range will do.
            self._bind(data, X, np.maximum(np.cumsum(~self.absent) - 1, 0), device, precision)

    def _weigh(self, data):
        """Weight of every class; keeps what `_strength` needs."""
        self._largest_weight = data.weight.max()
        self._relative_total = (data.weight / self._largest_weight).sum()
        return np.bincount(data.index, weights=data.weight, minlength=self._n_classes)

    def _bind(self, data, X, new_index, device, precision):
        """Set the objective: of X, which is ``data.X`` or columns of it.

        new_index : (n_classes,) integers
            Of the classes among those that carry weight.
        """
        penalty = self._options["penalty"]
        backend = backend_for(device, X, penalty.has_kinks, precision)
        if backend is cpu:    # also of an X on a device, for want of solvers there
            X = as_numpy(X)
        self._options["backend"] = backend
        self._data = X, new_index[data.index], data.weight
        reduces = (
            penalty.is_strict
            and not penalty.has_kinks
            and np.ndim(self._penalty["factor"]) == 0
            and not sparse.issparse(X)
            and not isinstance(X, RowBlocks)
            and reduction_pays(*X.shape, 1 if self._binary else self._options["n_classes"])
        )
        if reduces:
            # There are few rows then; their products with each other are the host's.
            on_host = as_numpy(X), *self._data[1:]
            self.objective = self._reduced = RowSpaceObjective(*on_host, **self._options)
        else:
            self.objective = Objective(*self._data, **self._options)

    def _sampled(self, solver, max_iter):
        """A point to start from, by a fit to some of the rows, or None."""
        if max_iter == 0 or not sampling_pays(self.objective):
            return None
        X, y, weight = self._data
        rows, weight = sample_rows(
            y, weight, self._options["n_classes"], fraction_of(self.objective.n_entries)
        )
        options = self._options
        if isinstance(X, RowBlocks) and options["backend"] is blocked:
            options = options | {"backend": cpu}    # the sample is in memory
        return start_from_sample(
            self.objective, X[rows], y[rows], weight, options, solver, max_iter
        )

    def _penalty_of(self, C):
        return penalty_of(self._strength(C), **self._penalty)

    def _strength(self, C):
        """1 / (C S), S the sum of weights, which could overflow."""
        return 1 / C / self._largest_weight / self._relative_total

    def set_C(self, C):
        """Another strength of the same penalty; what the rows alone decide is kept.

        Only where there is an objective.
        """
        self._options["penalty"] = self._penalty_of(C)
        if self._reduced is not None:
            self.objective = self._reduced
        self.objective.penalty = self._options["penalty"]

    def sparsest_C(self, l1_ratio):
        """Largest C at which, with this share of L1, all penalised coefficients are zero.

        Then the gradient at the optimum over what is not penalised is within the threshold.
        """
        if self.objective is None:
            return 1.0
        objective = self.objective if self._reduced is None else self._on_X()
        factor = np.broadcast_to(self._penalty["factor"], objective.n_features)
        free = np.flatnonzero(factor == 0)
        theta, margin = objective.null_point.theta, _MARGIN
        if len(free):
            margin = _MARGIN_OF_OPTIMUM
            objective.penalty = penalty_of(0.0)
            some = objective.restricted(free)
            monitor = Monitor(some, tol=0.0, max_iter=1000)
            theta = np.zeros(objective.shape)
            theta[:, np.append(free, objective.n_features)] = minimise(some, None, monitor).theta
        grad = objective.evaluate(theta).loss_grad[:, :-1]
        unit = penalty_of(1.0, l1_ratio=1.0, factor=factor, grouped=self._penalty["grouped"])
        largest = unit.dual_norm(grad) if unit.has_kinks else 0.0
        # On the scale of the mean loss the strength of C = 1 is that of one row's weight.
        strength = self._strength(1.0)
        return (1 - margin) * l1_ratio * strength / largest if largest > 0 else 1.0

    def fit(self, solver, starts, *, tol, max_iter, callbacks=None, goes_on=False):
        """Minimise from the best of some starts, and round to what the user holds.

        Parameters
        ----------
        solver : str
        starts : list of (coef, intercept), of all classes and features
            Those that are worse than the null model are not used.
        tol, max_iter : as in `SoftmaxRegression`
        callbacks : as in `Monitor`
        goes_on : bool
            Whether where the last fit ended, at another C, is a start too.

        Returns
        -------
        Fit
        """
        if self.objective is None:
            coef, intercept = self.coef_and_intercept(None, self._dtype)
            return Fit(coef, intercept, 0.0, self.absent_loss, 0.0, np.nan, 0, "converged",
                       solver, np.empty(0, dtype=HISTORY_DTYPE), 0)
        asked = tol * (_SHARE_OF_SOLVER if self._dtype == np.float32 else 1.0)
        monitor = Monitor(self.objective, tol=asked, max_iter=max_iter, callbacks=callbacks)
        result = self._solved(solver, starts, monitor, goes_on)
        coef, intercept, value, gap = self._delivered(result, tol)
        monitor.delivered(value, gap)
        is_rounded = not abs(value - result.value) <= max(tol, _SILENT_CHANGE) * value
        return Fit(
            coef, intercept, value, gap + self.absent_loss, result.point.loss,
            result.newton_decrement, result.n_iter,
            "rounded" if is_rounded and result.status == "converged" else result.status,
            result.solver, monitor.history, self.objective.n_evaluations,
        )

    def _delivered(self, result, tol):
        """(coef, intercept, value, gap) as they are handed out.

        In the dtype of X where that keeps within the tolerance, else in float64.
        """
        present = np.flatnonzero(~self.absent) if self.absent.any() else slice(None)
        for dtype in (self._dtype, np.float64):
            coef, intercept = self.coef_and_intercept(result.theta, dtype)
            value = self.objective.delivered_value(
                np.ascontiguousarray(coef[present][:, self._kept]), intercept[present]
            )
            change = abs(value - result.value)    # by luck it may be lower
            proven = result.gap if result.gap <= tol * result.value else 0.0
            if proven + change <= tol * value:
                break
        # A bound on the optimum stays one, whatever is handed out, and no optimum is negative.
        gap = max(result.gap + value - result.value, 0.0)
        return coef, intercept, value, min(gap, value) if np.isfinite(gap) else gap

    def _solved(self, solver, starts, monitor, goes_on):
        """Minimise from the best start; a `SolverResult` of `objective`, which is that of X."""
        points = [self._point(*start) for start in starts]
        if goes_on and self._last is not None:
            points.append(self.objective.repenalised(self._last))
        # NaN is not lower either.
        points = [point for point in points if point.value <= self.objective.null_point.value]
        start = min(points, key=lambda point: point.value, default=None)
        if start is None:
            start = self._sampled(solver, monitor.max_iter)
        result = minimise(self.objective, start, monitor, solver)
        self._last = result.point
        if self._reduced is None:
            return result
        # The certificate must hold on X itself, whatever the reduction left out.
        coef, intercept = self._reduced.to_coef(result.theta)
        self.objective = self._on_X()
        self.objective.penalty = self._options["penalty"]
        self.objective.n_evaluations += self._reduced.n_evaluations
        self._reduced.n_evaluations = 0
        point = self.objective.evaluate(self.objective.from_coef(coef, intercept))
        gap = monitor.transferred(self.objective, point)
        if result.status == "converged" and monitor.status is None:
            return minimise(self.objective, point, monitor, "lbfgs")
        return result._replace(point=point, gap=gap)

    @property
    def absent_loss(self):
        """Bound on what the absent classes add to the loss, in nats.

        The present logits of a row average 0, so their logsumexp is at least
        log(n_present).
        """
        n_absent = np.count_nonzero(self.absent)
        return n_absent / (self._n_classes - n_absent) * np.exp(ABSENT_INTERCEPT)

    def _on_X(self):
        """The objective without a reduction."""
        if self._whole is None:
            self._whole = Objective(*self._data, **self._options)
        return self._whole

    def _point(self, coef, intercept):
        """The objective at (coef_, intercept_) of all classes and features."""
        coef = coef[:, self._kept]
        if not self._binary:
            coef, intercept = coef[~self.absent], intercept[~self.absent]
            # Shifts common to all classes change no probability and cost penalty.
            if not self.objective.penalty.has_kinks:
                coef = coef - coef.mean(axis=0)
            intercept = intercept - intercept.mean()
        return self.objective.evaluate(self.objective.from_coef(coef, intercept))

    def coef_and_intercept(self, theta, dtype=np.float64):
        """coef_ and intercept_, all classes and features included, rounded to `dtype`."""
        if self._binary:
            coef = np.zeros((1, self._n_features), dtype=dtype)
            coef[:, self._kept], intercept = self.objective.to_coef(theta, dtype)
            return coef, intercept
        coef = np.zeros((self._n_classes, self._n_features), dtype=dtype)
        intercept = np.full(self._n_classes, ABSENT_INTERCEPT)
        if self.objective is None:
            intercept[~self.absent] = 0.0
        else:
            some, intercept[~self.absent] = self.objective.to_coef(theta, dtype)
            # One index at a time: two would be taken for pairs.
            present = np.zeros((len(some), self._n_features), dtype=dtype)
            present[:, self._kept] = some
            coef[~self.absent] = present
        if self.absent.any():
            intercept -= intercept.mean()
        intercept = intercept.astype(dtype)
        if self._n_classes == 2:
            return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return coef, intercept
