"""Likelihood-ratio tests, and differences of information criteria, of two fits to the same y."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from .result import InferenceResult

# Relative rounding of a log-likelihood, and relative difference of those of equal null models.
_ROUNDING, _EQUAL = 1e-12, 1e-6


class LikelihoodRatioTest(NamedTuple):
    """A chi-squared statistic, its p-value and its degrees of freedom."""

    statistic: float
    pvalue: float
    df: float


class Comparison(NamedTuple):
    """Likelihood-ratio test of two results, and the first's criteria minus the second's."""

    statistic: float
    pvalue: float
    df: float
    aic_difference: float
    bic_difference: float


def likelihood_ratio(llf, llf_restricted, df, slack=0.0):
    """Return the `LikelihoodRatioTest` of `df` restrictions.

    slack : float
        Distance from their optimum of both log-likelihoods together. The statistic is NaN if it
        is negative by more, so the models are not nested.
    """
    statistic = 2 * (llf - llf_restricted)
    if df <= 0 or statistic < -(slack + _ROUNDING * abs(llf)):
        return LikelihoodRatioTest(np.nan, np.nan, df)
    statistic = max(statistic, 0.0)
    return LikelihoodRatioTest(statistic, float(chi2.sf(statistic, df)), df)


def compare(result_a: InferenceResult, result_b: InferenceResult) -> Comparison:
    """Compare two fits to the same y, weights and offset by likelihood and criteria.

    The fit with fewer parameters is the null hypothesis of the likelihood-ratio test, which holds
    for nested models without a penalty, if the larger is right: whatever `cov_type`, it is not
    robust to clusters. Differences of criteria need no nested models.

    Parameters
    ----------
    result_a, result_b : InferenceResult
        In any order.

    Returns
    -------
    Comparison
        Named tuple (statistic, pvalue, df, aic_difference, bic_difference). `df` is the
        difference of the numbers of parameters, positive or 0; `aic_difference` and
        `bic_difference` are those of `result_a` minus those of `result_b`: negative if
        `result_a` is the better. `statistic` and `pvalue` are NaN with a penalty, without a
        difference of parameters, or if the models are not nested: names of features of the
        smaller are missing in the larger (columns without names are "x0", "x1", ..., so nothing
        is known of them), or the smaller has the larger likelihood.

    Raises
    ------
    ValueError
        If numbers of observations, classes or null models differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from softmax_reg import SoftmaxRegression
    >>> from softmax_reg.inference import compare
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> one, two = (
    ...     SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :p], y).inference(X[:, :p], y)
    ...     for p in (1, 2)
    ... )
    >>> found = compare(one, two)
    >>> round(found.statistic, 2), found.df, round(found.aic_difference, 2)
    (38.89, 1.0, 36.89)
    """
    _check_same_data(result_a, result_b)
    small, large = sorted((result_a, result_b), key=lambda result: result.edf)
    test = LikelihoodRatioTest(np.nan, np.nan, large.edf - small.edf)
    is_penalised = small.is_penalised or large.is_penalised
    if not is_penalised and set(small.feature_names) <= set(large.feature_names):
        slack = small.newton_decrement**2 + large.newton_decrement**2
        test = likelihood_ratio(large.llf, small.llf, test.df, slack)
    return Comparison(
        *test, float(result_a.aic - result_b.aic), float(result_a.bic - result_b.bic)
    )


def _check_same_data(a, b):
    """Raise a ValueError if two results are surely of different data."""
    for what, one, other in (
        ("number of observations", a.nobs, b.nobs), ("classes", a.classes, b.classes),
    ):
        is_equal = one == other if what == "classes" else np.isclose(one, other, rtol=1e-9)
        if not is_equal:
            raise ValueError(
                f"compare needs fits to the same y: the {what} must be equal, got {one} and "
                f"{other}."
            )
    is_alike = (a.n_intercepts, a.contrasts.has_offset) == (b.n_intercepts, b.contrasts.has_offset)
    if is_alike and not np.isclose(a.llnull, b.llnull, rtol=_EQUAL, atol=0):
        raise ValueError(
            "compare needs fits to the same y, weights and offset: the log-likelihoods of the "
            f"models without features must be equal, got {a.llnull:.10g} and {b.llnull:.10g}."
        )
