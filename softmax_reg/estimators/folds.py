"""The fits of one fold of a cross-validation, and the choice of C and l1_ratio by scores."""

from typing import NamedTuple

import numpy as np

from ..problem.family import MAX_LOGITS, suits_family
from ..problem.problem import Problem
from ..problem.together import fit_together, suits_together
from .parameters import SHARED
from .path import path_fits
from .regression import SoftmaxRegression


class FoldPath(NamedTuple):
    """Fits and scores of one fold at one l1_ratio.

    Attributes
    ----------
    coefs : ndarray of shape (n_Cs, n_rows, n_dof)
        The intercept last, if there is one.
    scores, gaps, n_iters : ndarray of shape (n_Cs,)
        Scores of the rows left out; relative duality gaps; numbers of iterations.
    results : list of Fit
    """

    coefs: np.ndarray
    scores: np.ndarray
    gaps: np.ndarray
    n_iters: np.ndarray
    results: list


def class_totals(data, rows=slice(None)):
    """Return the weight of every class in some rows, of their labels before any smoothing."""
    if data.mixture is None or data.by_label:
        return np.bincount(data.index[rows], data.weight[rows], len(data.classes))
    return np.einsum("i,ik->k", data.weight[rows], data.mixture[rows])


def classes_lacking(data, folds, fit_intercept):
    """Return the mask of the classes without weight in the training rows of each fold.

    Parameters
    ----------
    data : TrainingData
        All rows.
    folds : list of (train, test)
        Indices of the rows to fit, and of the rows to score.
    fit_intercept : bool

    Returns
    -------
    lacking : (n_folds, n_classes) bool
        Classes without weight in all rows are not marked.

    Raises
    ------
    ValueError
        If there are no folds, the training rows of a fold have no weight, or they lack a class
        where there are an offset and intercepts.
    """
    if not folds:
        raise ValueError("cv must give at least one fold, got none.")

    weighted = class_totals(data) > 0
    lacking = []
    for k, (train, _) in enumerate(folds, 1):
        trained = class_totals(data, train) > 0
        if not trained.any():
            raise ValueError(
                f"The training rows of fold {k} of {len(folds)} have no weight: cv gives none, or "
                "all their weights are 0."
            )
        lacking.append(weighted & ~trained)
        if data.offset is not None and fit_intercept and lacking[-1].any():
            raise ValueError(
                "offset needs every class to have weight in the training rows of every fold, but "
                f"those of fold {k} of {len(folds)} lack the classes "
                f"{data.classes[lacking[-1]].tolist()}. Use stratified or shuffled folds."
            )
    return np.array(lacking)


def model_of(estimator, C, l1_ratio):
    """Return a `SoftmaxRegression` with the parameters of a `SoftmaxRegressionCV`."""
    return SoftmaxRegression(
        C=C, l1_ratio=l1_ratio, warm_start=True, verbose=max(0, estimator.verbose - 1),
        **{name: getattr(estimator, name) for name in SHARED},
    )


def set_coefficients(model, coef, intercept, data):
    """Set the fitted attributes of `model`, for predictions and warm starts.

    data : TrainingData
    """
    model.coef_, model.intercept_, model.classes_ = coef, intercept, data.classes
    model.n_features_in_, model.has_offset_ = coef.shape[1], data.offset is not None


def training_rows(data, train):
    """Return the `TrainingData` of some rows."""
    is_by_row = data.mixture is not None and not data.by_label
    return data._replace(
        X=data.X[train], y=data.y[train], index=data.index[train], weight=data.weight[train],
        mixture=data.mixture[train] if is_by_row else data.mixture,
        offset=None if data.offset is None else data.offset[train],
    )


def fits_together(estimator, data, tasks, Cs, options):
    """Fit small models of all folds together; return what `fold_path` takes for each task.

    Parameters
    ----------
    estimator, data, Cs, options : as in `fold_path`
    tasks : list of (index of the fold, train, test, l1_ratio)

    Returns
    -------
    list of (list of Fit, or None)
        Fits in ascending order of C, for every task; None where `fold_path` has to fit.
    """
    fits, ascending = [None] * len(tasks), np.sort(Cs)
    n_rows = 1 if len(data.classes) == 2 else len(data.classes)
    suits = (
        isinstance(data.X, np.ndarray) and options["device"] == "cpu"
        and data.offset is None and options["bounds"] is None
        and options["groups"] is None and not options["grouped"]
        and suits_family(*data.X.shape, n_rows)
        and suits_together(estimator.solver, Cs, estimator.tol, estimator.max_iter)
    )
    if not suits:
        return fits
    # Few enough to keep the rows of all their folds in memory.
    n_tasks = max(1, MAX_LOGITS // (len(data.X) * n_rows * len(Cs)))
    for start in range(0, len(tasks), n_tasks):
        some = slice(start, start + n_tasks)
        problems = [
            Problem(training_rows(data, train), C=ascending[0], l1_ratio=l1_ratio, **options)
            for _, train, _, l1_ratio in tasks[some]
        ]
        fits[some] = fit_together(
            problems, ascending, tol=estimator.tol, max_iter=estimator.max_iter
        )
    return fits


def fold_path(estimator, data, train, test, l1_ratio, Cs, score, options, progress, fits=None):
    """Fit one fold at one l1_ratio for all Cs, and score the rows left out.

    Parameters
    ----------
    estimator : SoftmaxRegressionCV
    data : TrainingData
        All rows.
    train, test : ndarray
        Indices of the rows to fit, and of the rows to score.
    l1_ratio : float
    Cs : ndarray
        In any order; fitted from the smallest to the largest.
    score : callable
        rows -> (models -> list of float).
    options : dict
        Arguments of `Problem` that all folds share.
    progress : Progress
        Gets the fits and their iterations.
    fits : list of Fit, optional
        The fits, in ascending order of C, if they are known.

    Returns
    -------
    FoldPath
    """
    score_models = score(test)
    order = np.argsort(Cs, kind="stable")
    path = fits
    if fits is None:
        problem = Problem(
            training_rows(data, train), C=Cs[order[0]], l1_ratio=l1_ratio, **options
        )
        path = path_fits(
            problem, Cs[order], estimator.solver, estimator.tol, estimator.max_iter, progress
        )
    fits, coefs, models = ([None] * len(Cs) for _ in range(3))
    for j, fit in zip(order, path, strict=True):
        model = model_of(estimator, Cs[j], l1_ratio)
        set_coefficients(model, fit.coef, fit.intercept, data)
        joined = fit.coef
        if estimator.fit_intercept:
            joined = np.column_stack([fit.coef, fit.intercept])
        fits[j], coefs[j], models[j] = fit, joined, model
        progress.fitted()
    values = np.array([fit.value for fit in fits])
    gaps = np.array([fit.gap for fit in fits])
    return FoldPath(
        coefs=np.array(coefs),
        scores=np.array(score_models(models), dtype=np.float64),
        gaps=np.divide(gaps, values, out=gaps, where=values > 0),
        n_iters=np.array([fit.n_iter for fit in fits], dtype=np.int32),
        results=fits,
    )


def described(path, Cs, k, n_folds, l1_ratio):
    """Return a line about the `FoldPath` of the fold k, from 0, at an l1_ratio."""
    (best,) = best_of(path.scores)
    return (
        f"fold {k + 1} of {n_folds}, l1_ratio {l1_ratio:g}: best score {path.scores[best]:.6g} "
        f"at C = {Cs[best]:.3g}, {path.n_iters.sum()} iterations"
    )


def refitted(estimator, C, l1_ratio, start, data, rows):
    """Return the attributes of a `SoftmaxRegression` fitted to all rows, but `n_iter_`.

    Parameters
    ----------
    estimator : SoftmaxRegressionCV
    C, l1_ratio : float
    start : (n_rows, n_dof) or None
        Coefficients to start from.
    data : TrainingData
    rows : tuple
        Arguments of `SoftmaxRegression.fit`.
    """
    model = model_of(estimator, C, l1_ratio)
    if start is not None:
        set_coefficients(model, *split(start, estimator.fit_intercept), data)
    model.fit(*rows)
    return {
        name: value for name, value in vars(model).items()
        if name.endswith("_") and name != "n_iter_"
    }


def split(joined, fit_intercept):
    """Return (coef, intercept) from coefficients with the intercept in the last column."""
    if fit_intercept:
        return joined[:, :-1].copy(), joined[:, -1].copy()
    return joined, np.zeros(len(joined), dtype=joined.dtype)


def mean_of_best(coefs, scores, complete, Cs, l1_ratios, fit_intercept):
    """Return the means, over folds, of each fold's best candidate: the fitted attributes.

    Parameters
    ----------
    coefs : ndarray of shape (n_folds, n_l1_ratios, n_Cs, n_rows, n_dof)
    scores : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
    complete : (n_folds,) bool
        Folds that lack no class. Unless all do, the coefficients of the others do not enter
        their mean.
    Cs, l1_ratios : ndarray
    fit_intercept : bool
    """
    best = [best_of(fold) for fold in scores]
    chosen = np.array([path[index] for path, index in zip(coefs, best, strict=True)])
    mean = chosen[complete].mean(axis=0) if complete.any() else chosen.mean(axis=0)
    coef, intercept = split(mean, fit_intercept)
    return {
        "C_": float(np.mean([Cs[j] for _, j in best])),
        "l1_ratio_": float(np.mean([l1_ratios[i] for i, _ in best])),
        "coef_": coef, "intercept_": intercept,
    }


def best_of(scores):
    """Return the index, a tuple, of the largest finite score; all 0 if no score is finite."""
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    return np.unravel_index(np.argmax(finite), scores.shape)


def selected(scores, Cs, selection):
    """Return (index of the l1_ratio, index of C) from scores (n_folds, n_l1_ratios, n_Cs).

    The choice is the candidate with the best mean score. With "one_se" it is, at the same
    l1_ratio, the smallest C whose mean is within one standard error, over folds, of the best.
    A candidate with a score that is not finite is not chosen.
    """
    is_finite = np.isfinite(scores).all(axis=0)
    mean = np.where(is_finite, np.where(is_finite, scores, 0).mean(axis=0), -np.inf)
    i, j = best_of(mean)
    if selection == "one_se" and len(scores) > 1:
        error = scores[:, i, j].std(ddof=1) / np.sqrt(len(scores))
        near = np.flatnonzero(mean[i] >= mean[i, j] - error)
        j = near[np.argmin(Cs[near])]
    return i, j
