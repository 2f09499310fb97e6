"""Student's t with G - 1 degrees of freedom in everything that comes from G clusters."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import f, t

from .test_covariances import N, fitted, raw_problem

G = 15
GROUPS = np.arange(N) % G


@pytest.fixture(scope="module", params=[2, 3])
def case(request):
    """(result with clusters, result with HC0, X)."""
    X, y = raw_problem(request.param)
    model = fitted(X, y)
    return (
        model.inference(X, y, reference=0, cov_type="cluster", groups=GROUPS),
        model.inference(X, y, reference=0, cov_type="HC0"), X,
    )


def test_degrees_of_freedom(case):
    """G - 1, of groups with weight; infinite without clusters."""
    clustered, robust, X = case
    assert clustered.df_inference == clustered.n_clusters - 1 == G - 1
    assert robust.df_inference == np.inf
    assert clustered.marginal_effects(X).df_inference == G - 1
    assert robust.marginal_effects(X).df_inference == np.inf


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_tables_have_quantiles_of_t(case, alpha):
    """p = 2 P(t > |b / se|), half-widths t_(1 - alpha / 2) se: coefficients, effects."""
    clustered, _, X = case
    effects = clustered.marginal_effects(X)
    quantile = t.isf(alpha / 2, G - 1)
    for table, estimates in ((clustered, clustered.params), (effects, effects.effects)):
        expected = np.stack([estimates + sign * quantile * table.bse for sign in (-1, 1)], -1)
        np.testing.assert_allclose(table.conf_int(alpha), expected, rtol=1e-12)
        np.testing.assert_allclose(
            table.pvalues, 2 * t.sf(np.abs(estimates / table.bse), G - 1), rtol=1e-12
        )


def test_prediction_intervals_have_quantiles_of_t(case):
    """Half-widths of log-odds are t_0.95 times their errors."""
    clustered, _, X = case
    found = clustered.prediction_interval(X[:9], 0.1)
    expected = found.log_odds + t.isf(0.05, G - 1) * found.bse
    inside = (found.upper > 1e-6) & (found.upper < 1 - 1e-6)
    np.testing.assert_allclose(logit(found.upper[inside]), expected[inside], rtol=1e-7)


def test_wald_tests_have_the_distribution_of_f(case):
    """W / q against F(q, G - 1); with one restriction the p-value of the table."""
    clustered, robust, _ = case
    for j, (name, test) in enumerate(clustered.wald_test_terms().items()):
        df = len(clustered.params)
        assert (test.df, test.df_inference) == (df, G - 1)
        assert test.pvalue == pytest.approx(f.sf(test.statistic / df, df, G - 1), rel=1e-10)
        assert robust.wald_test_terms()[name].df_inference == np.inf
        single = clustered.wald_test(np.eye(clustered.params.size)[j])
        assert single.pvalue == pytest.approx(clustered.pvalues.ravel()[j], rel=1e-8)


def test_many_clusters_are_normal():
    """Errors do not depend on the quantiles; p-values tend to those of the normal distribution."""
    X, y = raw_problem(3, n_samples=4000)
    model = fitted(X, y)
    rows = model.inference(X, y, cov_type="HC0")
    own = model.inference(X, y, cov_type="cluster", groups=np.arange(4000))
    np.testing.assert_allclose(own.bse, rows.bse * np.sqrt(4000 / 3999), rtol=1e-7)
    np.testing.assert_allclose(own.conf_int(), rows.conf_int(), rtol=2e-3)


def test_the_summary_names_the_distribution(case):
    """Columns t and P>|t|, and a line with the degrees of freedom."""
    clustered, robust, _ = case
    text = clustered.summary()
    assert "Student's t with 14 degrees of freedom" in text and "P>|t|" in text
    assert "P>|z|" in robust.summary() and "Student" not in robust.summary()
    assert max(map(len, text.splitlines())) <= 99
