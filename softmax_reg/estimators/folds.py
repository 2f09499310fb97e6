"""The fits of one fold of a cross-validation, and the choice of C and l1_ratio by scores."""

from typing import NamedTuple

import numpy as np

from ..problem.problem import Problem
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
    is_complete : bool
        Whether every class has weight in the training rows of the fold. Always True without an
        intercept: then all classes are fitted.
    """

    coefs: np.ndarray
    scores: np.ndarray
    gaps: np.ndarray
    n_iters: np.ndarray
    results: list
    is_complete: bool


def model_of(estimator, C, l1_ratio):
    """Return a `SoftmaxRegression` with the parameters of a `SoftmaxRegressionCV`."""
    return SoftmaxRegression(
        C=C, l1_ratio=l1_ratio, warm_start=True, verbose=max(0, estimator.verbose - 1),
        **{name: getattr(estimator, name) for name in SHARED},
    )


def set_coefficients(model, coef, intercept, classes):
    """Set the fitted attributes of `model`, for predictions and warm starts."""
    model.coef_, model.intercept_, model.classes_ = coef, intercept, classes
    model.n_features_in_ = coef.shape[1]


def fold_path(estimator, data, train, test, l1_ratio, Cs, score, options):
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
        (model, rows) -> float.
    options : dict
        Arguments of `Problem` that all folds share.

    Returns
    -------
    FoldPath
    """
    fold = data._replace(
        X=data.X[train], y=data.y[train], index=data.index[train], weight=data.weight[train]
    )
    if not np.any(fold.weight):
        raise ValueError("The training rows of a fold have no weight: sample_weight is 0.")
    order = np.argsort(Cs, kind="stable")
    problem = Problem(fold, C=Cs[order[0]], l1_ratio=l1_ratio, **options)
    path = path_fits(problem, Cs[order], estimator.solver, estimator.tol, estimator.max_iter)
    fits, coefs, scores = ([None] * len(Cs) for _ in range(3))
    for j, fit in zip(order, path, strict=True):
        model = model_of(estimator, Cs[j], l1_ratio)
        set_coefficients(model, fit.coef, fit.intercept, data.classes)
        joined = fit.coef
        if estimator.fit_intercept:
            joined = np.column_stack([fit.coef, fit.intercept])
        fits[j], coefs[j], scores[j] = fit, joined, score(model, test)
    values = np.array([fit.value for fit in fits])
    gaps = np.array([fit.gap for fit in fits])
    return FoldPath(
        coefs=np.array(coefs),
        scores=np.array(scores, dtype=np.float64),
        gaps=np.divide(gaps, values, out=gaps, where=values > 0),
        n_iters=np.array([fit.n_iter for fit in fits], dtype=np.int32),
        results=fits,
        is_complete=not np.any(problem.absent),
    )


def split(joined, fit_intercept):
    """Return (coef, intercept) from coefficients with the intercept in the last column."""
    if fit_intercept:
        return joined[:, :-1].copy(), joined[:, -1].copy()
    return joined, np.zeros(len(joined), dtype=joined.dtype)


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
