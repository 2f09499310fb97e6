"""`SoftmaxRegressionCV`: C and l1_ratio by cross-validation, along warm-started paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from ..rows.row_blocks import RowBlocks
from ..typing import MatrixLike, RandomState, Splitter
from .array_api import as_given, model_on_host, on_host
from .attributes import Bounds, ClassWeight, CrossValidated, Device, Penalty, Precision, Solver
from .base import LinearSoftmaxClassifier
from .callbacks import FitCallbacks
from .folds import (
    class_totals,
    classes_lacking,
    described,
    fits_together,
    fold_path,
    mean_of_best,
    refitted,
    selected,
)
from .offsets import bound, with_offset
from .online import OF_FIT
from .outcome import warn_of_folds, warn_of_path, warn_of_weightless
from .parameters import check_l1_ratios, problem_options
from .path import check_grid
from .progress import progress_of
from .regression import SoftmaxRegression
from .scikit_learn import Interval, StrOptions, fit_context, raise_for_params, routing_enabled
from .scoring import fold_scorer, folds_that_count, scorer_for, scorer_of
from .validation import check_sample_weight, check_training_data

# Powers of ten at the ends of the default grid of C, as in scikit-learn.
_DECADES = -4, 4


class SoftmaxRegressionCV(CrossValidated, LinearSoftmaxClassifier):
    """Softmax regression whose C and l1_ratio are chosen by cross-validation.

    Every fold fits the grid of C from the most to the least regularised, each fit with a warm
    start from the last; small models with l1_ratio 0 are fitted for all C and folds at once. The
    model is then fitted on all rows with the values chosen.

    Parameters
    ----------
    Cs : int or array-like of shape (n_Cs,), default=10
        Values of C, or how many values to take from 1e-4 to 1e4, evenly spaced in the
        logarithm.
    l1_ratios : array-like of shape (n_l1_ratios,), default=(0.0,)
        Values of l1_ratio, from 0 to 1.
    cv : int, cross-validation generator or iterable, default=None
        None is 5 stratified folds.
    scoring : str, callable or None, default="neg_log_loss"
        As in scikit-learn; None is accuracy. Metrics that take labels or a positive label
        get those of `fit`, in folds and in `score`. If neither of two classes is the metric's
        default positive label, ``classes_[1]`` is positive. A candidate with a score that is
        not finite is not chosen, and a fold that has no finite score does not count; a warning
        names them.
    refit : bool, default=True
        Fit on all rows with the values that score best on average. Otherwise `coef_`,
        `intercept_`, `C_` and `l1_ratio_` are the means, over the folds, of each fold's best
        candidate; coefficients of folds that lack a class do not enter their mean.
    selection : {"best", "one_se"}, default="best"
        "one_se" takes, at the best l1_ratio, the smallest C whose mean score is within one
        standard error of the best: the simplest model that is not clearly worse. Needs refit.
    n_jobs : int, default=None
        Number of threads, as in joblib. Each fits one fold at one l1_ratio at a time.
    tol, fit_intercept, class_weight, random_state, solver, max_iter, verbose, grouped, \
penalty_factor, groups, device, precision, label_smoothing, bounds
        As in `SoftmaxRegression`. Progress is that of all fits, with a line for each fold and
        l1_ratio. Scores are of targets that are not smoothed. "balanced" class
        weights are computed from all rows. An X on a device or of another library than NumPy
        becomes an ndarray first, also for callables in `scoring`.

    Attributes
    ----------
    C_ : float
        The C chosen.
    l1_ratio_ : float
        The l1_ratio chosen.
    Cs_ : ndarray of shape (n_Cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs, 1 or n_classes, n_dof)
        n_dof is n_features, and one more for the intercept if there is one.
    gaps_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
        Relative duality gaps of the fits.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs), int32
    coef_, intercept_, classes_, has_offset_, n_features_in_, feature_names_in_
        As in `SoftmaxRegression`; with refit also `objective_`, `dual_gap_`,
        `newton_decrement_`, `n_evaluations_`, `solver_` and `history_`.

    References
    ----------
    Hastie, Tibshirani & Friedman (2009), The Elements of Statistical Learning, section 7.10,
    for the one-standard-error rule.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import SoftmaxRegressionCV
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegressionCV(Cs=5).fit(X, y)
    >>> model.scores_.shape
    (5, 1, 5)
    """

    _documented_as_in = SoftmaxRegression
    # The scorer, not the estimator, requests sample_weight.
    __metadata_request__score = {"sample_weight": UNUSED}
    _parameter_constraints: dict = {
        name: constraint
        for name, constraint in SoftmaxRegression._parameter_constraints.items()
        if name not in ("C", "l1_ratio", "warm_start", "prior")
    } | {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratios": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "selection": [StrOptions({"best", "one_se"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        Cs: int | ArrayLike = 10,
        l1_ratios: ArrayLike = (0.0,),
        fit_intercept: bool = True,
        cv: int | Splitter | Iterable[tuple[Any, Any]] | None = None,
        scoring: str | Callable[..., float] | None = "neg_log_loss",
        solver: Solver = "auto",
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: ClassWeight = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        refit: bool = True,
        selection: Literal["best", "one_se"] = "best",
        random_state: RandomState = None,
        grouped: bool = False,
        penalty_factor: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        device: Device = "cpu",
        precision: Precision = "auto",
        label_smoothing: float = 0.0,
        bounds: Bounds = None,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.selection = selection
        self.random_state = random_state
        self.grouped = grouped
        self.penalty_factor = penalty_factor
        self.groups = groups
        self.device = device
        self.precision = precision
        self.label_smoothing = label_smoothing
        self.bounds = bounds

    @property
    def penalty(self) -> Penalty:
        """Kind of penalty, in scikit-learn's words: "l1", "l2", "elasticnet" or None.

        After a fit it is that of `C_` and `l1_ratio_`, before a fit that of `Cs` and `l1_ratios`.
        """
        fitted = vars(self)
        Cs = [fitted["C_"]] if "C_" in fitted else np.ravel(self.Cs)
        ratios = [fitted["l1_ratio_"]] if "l1_ratio_" in fitted else np.ravel(self.l1_ratios)
        if np.all(np.equal(Cs, np.inf)):
            return None
        different = np.unique(ratios).tolist()
        return {(0,): "l2", (1,): "l1"}.get(tuple(different), "elasticnet")

    def _validate_params(self):
        super()._validate_params()
        check_l1_ratios(self.l1_ratios, self.solver)
        if self.selection == "one_se" and not self.refit:
            raise ValueError("selection='one_se' needs refit=True, got refit=False.")

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: MatrixLike | RowBlocks, y: ArrayLike, sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None, classes: ArrayLike | None = None, **params: Any,
    ) -> Self:
        """Choose C and l1_ratio, and fit the model.

        Nothing changes on the estimator until the fit has ended.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            As in `SoftmaxRegression.fit`. Distributions and counts are stratified by the class
            of the largest share. Of the names of scorers they take "neg_log_loss", the mean of
            sum_k T_ik log q_ik, and "accuracy", the share of the targets on the predicted
            classes; a row counts by the sum of its targets.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Weights of the rows, in the fits and in the scores.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            As in `SoftmaxRegression.fit`, in the fits and in the scores: the models that scorers
            get add it to the logits of the rows that they score. With intercepts the training
            rows of every fold need every class.
        classes : array-like of shape (n_classes,), default=None
            As in `SoftmaxRegression.fit`.
        **params : dict
            Arguments of the splitter and the scorer, as in scikit-learn; of the scorer alone
            unless metadata routing is enabled.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `SoftmaxRegression` refuses an argument, the training rows of a fold have no
            weight, or no candidate has a finite score in every fold that counts.

        Warns
        -----
        UserWarning
            If folds lack classes, a class has a total weight of 0, or scores are not finite.
        ConvergenceWarning
            Once, if any fits ended short of `tol`.
        """
        raise_for_params(params, self, "fit")
        as_input, (X, y, sample_weight) = as_given(X, y), on_host(X, y, sample_weight)
        params = {name: on_host(value) for name, value in params.items()}
        data = check_training_data(self, X, y, sample_weight, classes)
        data = with_offset(data, offset)
        Cs = self._grid()
        l1_ratios = np.array(self.l1_ratios, dtype=np.float64)
        options = problem_options(self, data)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, len(data.y))
        if routing_enabled():
            if offset is not None:    # the signature of a subclass may lack it
                params["offset"] = offset
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            for_splitter, for_scorer = routed.splitter.split, routed.scorer.score
        else:
            for_splitter, for_scorer = {}, dict(params)
            if sample_weight is not None:
                for_scorer["sample_weight"] = sample_weight
        labels = data.y if data.y.ndim == 1 else data.classes[data.index]
        splitter = check_cv(self.cv, labels, classifier=True)
        folds = list(splitter.split(data.X, labels, **for_splitter))
        lacking = classes_lacking(data, folds, self.fit_intercept)
        score = fold_scorer(self.scoring, data, for_scorer)
        n_fits = len(folds) * len(l1_ratios) * len(Cs) + bool(self.refit)
        with progress_of(self, n_fits) as progress:
            paths = self._paths(data, folds, l1_ratios, Cs, score, options, progress)

            def stacked(name):
                values = np.array([getattr(path, name) for path in paths])
                return values.reshape(len(folds), len(l1_ratios), *values.shape[1:])

            scores, coefs = stacked("scores"), stacked("coefs")
            unscored = [np.delete(data.classes, data.index[test]).tolist() for _, test in folds]
            counts = folds_that_count(scores, Cs, l1_ratios, unscored)
            fitted = {
                "Cs_": Cs, "l1_ratios_": l1_ratios, "scores_": scores, "coefs_paths_": coefs,
                "gaps_paths_": stacked("gaps"), "n_iter_": stacked("n_iters"),
            }
            # The fit of a fold that lacks a class does not estimate the class's coefficients.
            complete = ~lacking.any(axis=1)
            if self.refit:
                i, j = selected(scores[counts], Cs, self.selection)
                fitted |= {"C_": float(Cs[j]), "l1_ratio_": float(l1_ratios[i])}
                start = coefs[complete, i, j].mean(axis=0) if complete.any() else None
                rows = X, y, sample_weight, offset, classes
                fitted |= refitted(self, fitted["C_"], fitted["l1_ratio_"], start, data, rows)
                progress.fitted(f"refit at C = {Cs[j]:.3g}, l1_ratio {l1_ratios[i]:g}")
        if not self.refit:
            fitted |= mean_of_best(
                coefs[counts], scores[counts], complete[counts], Cs, l1_ratios, self.fit_intercept
            )
            fitted |= {
                "classes_": data.classes, **data.names, "has_offset_": data.offset is not None,
            }
            warn_of_weightless(data.classes[class_totals(data) == 0], self.fit_intercept)
        warn_of_folds([data.classes[mask].tolist() for mask in lacking])
        results = [result for path in paths for result in path.results]
        warn_of_path(results, np.tile(Cs, len(paths)), self.max_iter)
        # Remove what an earlier fit has set and this one may not set; keep the attributes of
        # subclasses.
        kept = {name: value for name, value in vars(self).items() if name not in OF_FIT}
        self.__dict__ = kept | as_input(fitted)    # all at once
        return self

    def score(
        self, X: MatrixLike | RowBlocks, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None, **score_params: Any,
    ) -> float:
        """Return the score of `scoring` on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
        sample_weight : array-like of shape (n_samples,), default=None
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            As in `predict`; the model that the scorer gets adds it.
        **score_params : dict
            Arguments of the scorer, if metadata routing is enabled.

        Returns
        -------
        score : float
        """
        raise_for_params(score_params, self, "score")
        X, y, sample_weight = on_host(X, y, sample_weight)
        if sample_weight is not None:
            score_params["sample_weight"] = sample_weight
        check_is_fitted(self)
        offset = self._offset_for(offset)
        if routing_enabled():
            if offset is not None:
                score_params["offset"] = offset
            score_params = process_routing(self, "score", **score_params).scorer.score
        model = bound(model_on_host(self), offset)
        return scorer_for(self.scoring, model.classes_, y)(model, X, y, **score_params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing to the splitter and the scorer, as in `LogisticRegressionCV`.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        to_scorer = MethodMapping().add(caller="score", callee="score")
        to_scorer.add(caller="fit", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=to_splitter)
            .add(scorer=scorer_of(self.scoring), method_mapping=to_scorer)
        )

    def _grid(self):
        if isinstance(self.Cs, Integral):
            return np.logspace(*_DECADES, self.Cs)
        return check_grid(self.Cs, finite=False)

    def _paths(self, data, folds, l1_ratios, Cs, score, options, progress):
        """Return a `FoldPath` for every fold and l1_ratio, in this order."""
        tasks = [
            (k, train, test, l1_ratio)
            for k, (train, test) in enumerate(folds) for l1_ratio in l1_ratios
        ]
        hook_data = {"X": data.X, "y": data.y, "metadata": None}
        callbacks = FitCallbacks(self, hook_data, "path", None, len(tasks))
        together = fits_together(self, data, tasks, Cs, options)
        outcomes = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")(
            delayed(fold_path)(self, data, *task[1:], Cs, score, options, progress, fits)
            for task, fits in zip(tasks, together, strict=True)
        )
        paths = []
        for (k, _, _, l1_ratio), path in zip(tasks, outcomes, strict=True):
            callbacks.begin_task(None)
            paths.append(path)
            line = described(path, Cs, k, len(folds), l1_ratio)
            progress.reached(len(paths) * len(Cs), line)
            callbacks.end_task(None)
        callbacks.close(None)
        return paths
