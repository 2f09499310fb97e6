"""One training problem, from validated data to the result of a fit."""

import numpy as np

from ..parallel.vectors import class_totals, entries, largest_and_total
from ..rows.base import Sample, some_columns
from ..rows.choice import rows_of
from ..rows.offset import OffsetRows, with_columns
from ..solvers import HISTORY_DTYPE, Monitor, minimise
from .blocks import Blocks
from .coordinates import Centring, RowSpace, Selection, order_of, reduction_pays
from .fit import Fit, bound_on_gap, keeps
from .objective import Objective, Passes
from .penalty import penalty_of
from .sampled_start import sampling_pays, start_from_sample

# Relative rounding error of the gradients that decide which feature enters a model first.
_MARGIN = 16 * np.finfo(np.float64).eps
# Relative error of these gradients where unpenalised features are fitted first, by a solver.
_MARGIN_OF_OPTIMUM = 1e-6
# Fraction of tol that solvers get where coef_ is float32. The rest is left for the rounding.
_SHARE_OF_SOLVER = 0.9


class Problem:
    """One training problem, reduced to the classes with weight and the allowed features.

    A class whose rows all have weight 0 is absent: W_k = 0 and b_k -> -inf at the optimum. So
    the problem over the other classes has the same minimum. The fit is to the other classes, and
    absent classes get `Selection.absent_intercept`. Without an intercept all classes are fitted:
    only coefficients can then make absent classes unlikely. Features with an infinite penalty
    factor are left out.

    Parameters
    ----------
    data : TrainingData
    C, l1_ratio, fit_intercept, grouped, device, precision
        As in `SoftmaxRegression`.
    penalty_factor : (n_features,) float64, or 1.0
        Factors are equal within a group, except infinite ones.
    groups : (n_features,) int, or None
        Group of each feature. Features of a group share a norm where the penalty has an L1
        part. Columns are copied where a group is not contiguous.
    bounds : (lower, upper), each (1 or n_classes, n_features), or None
        Bounds of the coefficients, each on its side of 0. Without `grouped` and `groups`.

    Attributes
    ----------
    objective : Objective, or None if a single class carries all the weight
        Objective of the next fit.
    solvers_share : float
        Fraction of tol that solvers get.
    weightless : ndarray of bool, (n_classes,)
        Mask of the classes whose rows all have weight 0. With an intercept they are absent.
    """

    def __init__(
        self, data, *, C, fit_intercept, l1_ratio=0.0, grouped=False, penalty_factor=1.0,
        groups=None, bounds=None, device="cpu", precision="auto",
    ):
        n_features = data.X.shape[1]
        self._dtype = np.dtype(data.X.dtype)
        self.solvers_share = _SHARE_OF_SOLVER if self._dtype == np.float32 else 1.0
        groups = groups if l1_ratio > 0 else None
        allowed = order_of(penalty_factor, groups, n_features)
        if np.ndim(penalty_factor):
            penalty_factor = penalty_factor[allowed]
        weights = self._weigh(data)
        self.weightless = weights == 0
        absent = self.weightless & fit_intercept
        is_centred = l1_ratio == 0 and bounds is None
        self._selection = Selection(absent, allowed, n_features, is_centred)
        if data.offset is not None and absent.any():
            raise ValueError(
                "offset needs every class to have weight, but all rows of the classes "
                f"{data.classes[absent].tolist()} have the weight 0."
            )
        self.objective = self._last = self._carry = self._row_space = None
        if self._selection.n_present == 1:
            return
        binary = self._selection.is_binary
        blocks = None
        if groups is not None:
            blocks = Blocks.of_labels(groups[allowed])
        elif grouped and not binary:
            blocks = Blocks.single(n_features).restricted(allowed)
        self._penalty = {"l1_ratio": l1_ratio, "factor": penalty_factor, "blocks": blocks}
        if bounds is not None:
            self._penalty["bounds"] = tuple(map(self._selection.coef_of, bounds))
        self._options = {
            "n_classes": self._selection.n_present, "binary": binary,
            "fit_intercept": fit_intercept, "passes": Passes(),
        }
        penalty = self._penalty_of(C)
        self._rows, self._sample = self._rows_and_sample(data, penalty, device, precision)
        self.objective = self._objective_of(penalty)
        self._check_spread()

    def _weigh(self, data):
        """Return the weight of every class; store the total weight for `_strength`."""
        self._largest_weight, self._relative_total = largest_and_total(data.weight)
        if data.mixture is not None and not data.by_label:
            return np.einsum("i,ik->k", data.weight, data.mixture)
        weights = class_totals(data.index, data.weight, len(data.classes))
        return weights @ data.mixture if data.by_label else weights

    def _rows_and_sample(self, data, penalty, device, precision):
        """Return the `Rows` of the allowed features and the `Sample` of the fitted classes."""
        X = data.X
        if not isinstance(self._selection.features, slice):
            X = some_columns(X, self._selection.features)
        n_rows = 1 if self._options["binary"] else self._options["n_classes"]
        if data.offset is not None:
            X = with_columns(X, data.offset)
        rows = rows_of(X, n_rows, device, has_kinks=penalty.has_kinks, precision=precision)
        if data.offset is not None:
            rows = OffsetRows(rows, data.offset.astype(X.dtype))
        sample = Sample(entries(self._selection.new_index, data.index), data.weight)
        if data.mixture is None:
            return rows, sample
        mixture = data.mixture
        if self._selection.absent.any():
            mixture = mixture[:, ~self._selection.absent]
        name = "label_mixture" if data.by_label else "mixture"
        return rows, sample._replace(**{name: mixture})

    def _objective_of(self, penalty):
        """Return the first objective, in the row space of X where the reduction saves time."""
        rows, sample, X = self._rows, self._sample, None
        self._on_X = None
        n_rows = 1 if self._options["binary"] else self._options["n_classes"]
        is_plain = not penalty.has_kinks and np.ndim(self._penalty["factor"]) == 0
        if penalty.is_strict and is_plain and reduction_pays(*rows.shape, n_rows):
            X = rows.as_dense()
        if X is not None:
            # The rows are few, so the host can compute their n x n inner products.
            placed, _ = rows.place(sample, self._options["n_classes"])
            mean, ranges = rows.column_summary(placed)
            centring = Centring.of(mean, ranges, self._options["fit_intercept"], n_rows)
            self._row_space = RowSpace.of(X, centring.shift, rows.algebra)
            rows = rows.like(self._row_space.columns)
        objective = Objective.of(rows, sample, penalty=penalty, **self._options)
        if rows.offset is None or not objective.fit_intercept:
            return objective
        return objective.with_null_point(self._optimum_of(objective, np.arange(0)))

    @staticmethod
    def _optimum_of(objective, features):
        """Return theta of the optimum without a penalty in some features and the intercepts."""
        some = objective.with_penalty(
            penalty_of(0.0, bounds=objective.penalty.bounds)
        ).restricted(features)
        monitor = Monitor(some, tol=0.0, max_iter=1000)
        theta = np.zeros(objective.shape)
        columns = np.append(features, objective.n_features)
        theta[:, columns] = minimise(some, None, monitor).theta
        return theta

    def _penalty_of(self, C):
        """Return the penalty for another C, with the same `l1_ratio`, factors and blocks.

        Raises
        ------
        ValueError
            If it overflows.
        """
        with np.errstate(over="ignore"):
            strength = self._strength(C)
            largest = strength * np.max(self._penalty["factor"], initial=1.0)
        if not largest < np.inf:
            raise ValueError(
                f"C={C!r} is too small: 1 / (C * sum of sample_weight), times the largest finite "
                "penalty_factor, overflows float64."
            )
        return penalty_of(strength, **self._penalty)

    def _strength(self, C):
        """Return 1 / (C S), S the sum of weights, although S may overflow."""
        low, high = sorted((C, self._largest_weight))
        return 1 / self._relative_total / high / low

    def set_C(self, C):
        """Set another strength of the same penalty; keep what depends on the rows alone.

        `objective` must not be None.
        """
        self.objective = self.objective.with_penalty(self._penalty_of(C))
        self._check_spread()

    def _check_spread(self):
        """Raise a ValueError if a penalty is needed, for columns of tiny values or for bounds."""
        objective = self.objective
        if objective.penalty.is_half_bounded:
            raise ValueError(
                "bounds of a feature without a penalty (C=inf, or a penalty factor of 0) must be "
                "finite for all classes on both sides, or infinite."
            )
        if np.any(objective.coordinates.is_tiny & (np.asarray(objective.penalty.weight) == 0)):
            raise ValueError(
                "X holds columns whose squares underflow float64, and nothing penalises their "
                "coefficients. Scale these columns up, or leave them out."
            )

    def whole(self):
        """Return the objective on X itself, with the present penalty."""
        if self._row_space is None:
            return self.objective
        penalty = self.objective.penalty
        if self._on_X is None:
            self._on_X = Objective.of(self._rows, self._sample, penalty=penalty, **self._options)
        return self._on_X.with_penalty(penalty)

    def sparsest_C(self, l1_ratio):
        """Return the largest C at which all penalised coefficients are zero, for `l1_ratio`.

        At this C the gradient, at the optimum over the unpenalised parameters, is within the
        threshold of the penalty.
        """
        if self.objective is None:
            return 1.0
        objective = self.whole()
        factor = np.broadcast_to(self._penalty["factor"], objective.n_features)
        free = np.flatnonzero(factor == 0)
        theta, margin = objective.null_point.theta, _MARGIN
        if len(free) or objective.rows.offset is not None:
            margin = _MARGIN_OF_OPTIMUM
        if len(free):
            theta = self._optimum_of(objective, free)
        grad = objective.evaluate(theta).loss_grad[:, :-1]
        unit = penalty_of(1.0, l1_ratio=1.0, factor=factor, blocks=self._penalty["blocks"])
        followed = objective.penalty.followed(grad)
        largest = unit.dual_norm(followed) if unit.has_kinks else 0.0
        # On the scale of the mean loss, C = 1 has the strength 1 / (sum of weights).
        strength = self._strength(1.0)
        return (1 - margin) * l1_ratio * strength / largest if largest > 0 else 1.0

    def fit(self, solver, starts, *, tol, max_iter, callbacks=None, goes_on=False):
        """Minimise from the best of several starting points, and round the result.

        Parameters
        ----------
        solver : str
        starts : list of (coef, intercept), of all classes and features
            Starting points. A start with a higher objective than the null model is not used.
        tol, max_iter : as in `SoftmaxRegression`
        callbacks : as in `Monitor`
        goes_on : bool
            Whether the point of the last fit, possibly at another C, is a starting point too.

        Returns
        -------
        Fit
        """
        if self.objective is None:
            coef, intercept = self._nothing(self._dtype)
            return Fit(coef, intercept, 0.0, self.absent_loss, 0.0, np.nan, 0, "converged",
                       solver, np.empty(0, dtype=HISTORY_DTYPE), 0)
        asked = {"tol": tol * self.solvers_share, "max_iter": max_iter}
        monitor = Monitor(self.objective, **asked, callbacks=callbacks)
        with self.objective.algebra.one_blas_thread():    # once for all passes of the fit
            objective, result = self._solved(solver, starts, monitor, goes_on)
            delivered = self._delivered(objective, result, tol)
        monitor.delivered(*delivered[2:])
        return Fit.of(
            delivered, result, tol, loss=result.point.loss, history=monitor.history,
            n_evaluations=objective.passes.n, absent_loss=self.absent_loss,
        )

    def member(self, Cs):
        """Return (objective, part, penalties) for a `Family` with a penalty for each C, or None.

        None unless rows are few, all features have a penalty without blocks and bounds, and two
        classes have weight.
        """
        objective = self.objective
        if objective is None or self._row_space is not None:
            return None
        if self._penalty["blocks"] is not None or "bounds" in self._penalty:
            return None
        strengths, l1_ratio = [self._strength(C) for C in Cs], self._penalty["l1_ratio"]
        self._penalty_of(np.min(Cs))    # the largest, which may overflow
        least = penalty_of(min(strengths), **self._penalty)
        if not least.is_strict or least.has_kinks != (l1_ratio > 0):    # or it underflows
            return None
        penalties = [least.of_strength(strength, l1_ratio) for strength in strengths]
        part = objective.rows.as_part(objective.sample, objective.coordinates.shift)
        return None if part is None else (objective, part, penalties)

    def rounded(self, thetas):
        """Return (coef_, intercept_) of several thetas in the dtype of X, and the fitted rows."""
        pairs = self.coef_and_intercept(thetas, self._dtype)
        return pairs, self._selection.rows_of(*pairs)

    def finished(self, C, penalty, found, rounded, *, tol, max_iter):
        """Return the `Fit` of a `Minimum` at C; `fit` goes on where it has not converged.

        rounded : (coef_, intercept_, value)
            Those in the dtype of X, and what they deliver, or None if this is not known.
        """
        if found.status != "converged":
            self.set_C(C)
            start = self.coef_and_intercept(found.theta)
            left = max_iter - found.n_iter
            fit = self.fit("auto", [start], tol=tol, max_iter=left, goes_on=True)
            return fit.after(found.n_iter, found.history)
        value = rounded[-1]
        if value is not None and keeps(value, found, tol):
            delivered = *rounded, bound_on_gap(value, found)
        else:
            delivered = self._delivered(self.objective.with_penalty(penalty), found, tol)
        found.history[-1]["objective"], found.history[-1]["gap"] = delivered[2:]
        return Fit.of(
            delivered, found, tol, loss=found.loss, history=found.history,
            n_evaluations=self.objective.passes.n, absent_loss=self.absent_loss,
        )

    def _delivered(self, objective, result, tol):
        """Return the rounded (coef, intercept, value, gap) for the user.

        The dtype is that of X if this keeps within the tolerance, else float64.

        objective : Objective
            That on X, with the penalty of the result.
        result : SolverResult or Minimum
        """
        for dtype in (self._dtype, np.float64):
            coef, intercept = self._selection.to_user(*objective.to_coef(result.theta, dtype))
            value = objective.delivered_value(
                *self._selection.rows_of(coef, intercept), self._selection.users_order
            )
            if keeps(value, result, tol):
                break
        return coef, intercept, value, bound_on_gap(value, result)

    def _solved(self, solver, starts, monitor, goes_on):
        """Minimise from the best start; return the objective on X and its `SolverResult`."""
        objective = self.objective
        points = [self._point(*start) for start in starts]
        if goes_on and self._last is not None:
            points.append(objective.repenalised(self._last))
        start = min(points, key=lambda point: point.rank, default=None)
        if start is None or not start.value <= objective.null_point.value:
            start = self._sampled(solver, monitor.max_iter)
        carry, self._carry = self._carry, None    # possibly large, and overwritten by the solver
        result = minimise(objective, start, monitor, solver, carry)
        self._last, self._carry = result.point, result.carry
        if self._row_space is None:
            return objective, result
        # The certificate must hold on X itself, including directions that `RowSpace` left out.
        whole = self.whole()
        coef, intercept = self._row_space.to_coef(*objective.to_coef(result.theta))
        point = whole.evaluate(whole.from_coef(coef, intercept))
        gap = monitor.transferred(whole, point)
        if result.status == "converged" and monitor.status is None:
            # The gap on X exceeds the tolerance: go on there.
            return whole, minimise(whole, point, monitor, "lbfgs")
        return whole, result._replace(point=point, gap=gap)

    def _sampled(self, solver, max_iter):
        """Return a starting point from a fit to a sample of the rows, or None."""
        if max_iter == 0 or not sampling_pays(self.objective):
            return None
        n_classes = self._options["n_classes"]
        rows, sample = self.objective.rows.subsample(self._sample, n_classes)
        options = self._options | {"penalty": self.objective.penalty, "passes": Passes()}
        return start_from_sample(
            self.objective, Objective.of(rows, sample, **options), solver, max_iter
        )

    @property
    def absent_loss(self):
        """Upper bound on the part of the loss from absent classes, in nats."""
        return self._selection.absent_loss

    def _point(self, coef, intercept):
        """Return the `Point` of the objective at coef_ and intercept_."""
        objective = self.objective
        coef, intercept = self._selection.from_user(
            coef, intercept, not objective.penalty.has_kinks
        )
        coef = objective.penalty.feasible(coef)    # a previous fit may have had other bounds
        if self._row_space is not None:
            coef, intercept = self._row_space.from_coef(coef, intercept)
        return objective.evaluate(objective.from_coef(coef, intercept))

    def coef_and_intercept(self, theta, dtype=np.float64):
        """Return coef_ and intercept_ for a theta of `objective`, or a stack, in `dtype`."""
        if self.objective is None:
            return self._nothing(dtype)
        if self._row_space is None:
            return self._selection.to_user(*self.objective.to_coef(theta, dtype))
        return self._selection.to_user(
            *self._row_space.to_coef(*self.objective.to_coef(theta), dtype)
        )

    def _nothing(self, dtype):
        """Return coef_ and intercept_ where a single class carries all the weight."""
        coef = np.zeros((1, self._selection.n_features), dtype)[:, self._selection.features]
        return self._selection.to_user(coef, np.zeros(1, dtype))
