"""Voters of 1996 against Stata's numbers, where statsmodels is installed, which has both."""

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression

pytest.importorskip("statsmodels")
anes96 = pytest.importorskip("statsmodels.datasets.anes96")
results = pytest.importorskip("statsmodels.discrete.tests.results.results_discrete")
STATA = results.Anes.mnlogit_basezero
# The intercept comes last there.
LAST = [1, 2, 3, 4, 5, 0]


@pytest.fixture(scope="module")
def voters():
    data = anes96.load_pandas()
    return data.exog, data.endog.astype(int), data.data["vote"]


def inferred(X, y):
    return SoftmaxRegression(C=np.inf, tol=1e-12).fit(X, y).inference(X, y, reference=0)


def test_parameters(voters):
    """Coefficients, errors, intervals and likelihood to the digits that Stata prints."""
    X, y, _ = voters
    result = inferred(X, y)
    assert result.feature_names[1:] == ("logpopul", "selfLR", "age", "educ", "income")
    np.testing.assert_allclose(result.params[:, LAST], STATA.params.T, rtol=0, atol=5e-7)
    np.testing.assert_allclose(result.bse[:, LAST], STATA.bse.T, rtol=2e-8)
    np.testing.assert_allclose(result.conf_int()[:, LAST], STATA.conf_int, rtol=0, atol=5e-6)
    for name in ("llf", "llnull", "llr", "prsquared", "aic", "bic"):
        assert getattr(result, name) == pytest.approx(getattr(STATA, name), rel=2e-9), name
    assert result.llr_pvalue == pytest.approx(STATA.llr_pvalue, rel=1e-6)
    assert (result.df_model, result.df_resid) == (STATA.df_model, STATA.df_resid)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_marginal_effects(voters, at):
    """Means over the rows, and in the mean row, with their errors."""
    X, y, _ = voters
    effects = inferred(X, y).marginal_effects(X, at=at)
    expected, errors = (getattr(STATA, f"margeff_dydx_{at}{end}").T for end in ("", "_se"))
    np.testing.assert_allclose(effects.effects, expected, rtol=0, atol=3e-7)
    np.testing.assert_allclose(effects.bse, errors, rtol=0, atol=5e-9)


@pytest.mark.parametrize("kind, atol", [("dydx", 5e-7), ("eydx", 1e-5)])
def test_effects_of_a_dummy(voters, kind, atol):
    """The change from 0 to 1 of the vote, beside the derivatives by the others."""
    X, y, vote = voters
    X = X.assign(vote=vote)
    effects = inferred(X, y).marginal_effects(X, kind=kind, dummy=["vote"])
    expected, errors = (
        getattr(STATA, f"margeff_{kind}_dummy_overall{end}").T for end in ("", "_se")
    )
    np.testing.assert_allclose(effects.effects, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(effects.bse, errors, rtol=0, atol=1e-6)
