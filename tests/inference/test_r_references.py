"""Numbers of R's nnet, VGAM and sandwich in `r_tables.py`, which `references.R` printed.

vglm converges to about nine digits, multinom to six; the tables have ten.
"""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris

from . import r_tables as r
from .test_covariances import fitted

# Relative errors of numbers at the estimates of vglm and of multinom.
OF_VGLM, OF_MULTINOM = 2e-9, 2e-6
# Columns of X for each term of the formula Sat ~ Infl + Type + Cont.
TERMS = {"Infl": [0, 1], "Type": [2, 3, 4], "Cont": [5]}
LEVELS = ["Low", "Medium", "High"]
FORMS = ["observations", "weights", "csr", "counts"]


def housing(form):
    """X in treatment contrasts, y, weights and cells of one form of MASS::housing."""
    contact, kind, influence = np.unravel_index(np.arange(24), (2, 4, 3))
    X = np.column_stack([
        *(influence == level for level in (1, 2)), *(kind == level for level in (1, 2, 3)),
        contact == 1,
    ]).astype(float)
    counts = np.array(r.FREQUENCIES).reshape(24, 3)
    cell = np.arange(24)
    if form == "counts":
        return X, counts.astype(float), None, cell
    cell, y, weight = np.repeat(cell, 3), np.tile(np.array(LEVELS), 24), counts.ravel()
    if form == "observations":
        cell, y, weight = np.repeat(cell, weight), np.repeat(y, weight), None
    return sparse.csr_array(X[cell]) if form == "csr" else X[cell], y, weight, cell


def in_levels_order(model, table):
    """Rows of Medium and High, flat: labels are sorted, columns of counts are in R's order."""
    labels = model.classes_.tolist()
    if labels == [0, 1, 2]:
        return table.ravel()
    kept = [label for label in labels if label != "Low"]
    return table[[kept.index(level) for level in LEVELS[1:]]].ravel()


def numbers_at(model, data, cov_type):
    """The result against "Low", its estimates, and its errors in R's order."""
    X, y, weight, cell = data
    reference = model.classes_[0] if y.ndim == 2 else "Low"
    result = model.inference(
        X, y, weight, reference=reference, cov_type=cov_type,
        groups=cell if cov_type == "cluster" else None,
    )
    params, bse = (in_levels_order(model, table) for table in (result.params, result.bse))
    return result, params, bse


@pytest.fixture(scope="module", params=FORMS)
def satisfaction(request):
    """(model, data) of one form of the table."""
    data = housing(request.param)
    return fitted(*data[:3]), data


def test_housing_has_the_numbers_of_vglm_and_multinom(satisfaction):
    """Estimates, errors, log-likelihood, deviance and AIC of 1,681 observations."""
    result, params, bse = numbers_at(*satisfaction, "nonrobust")
    for source, rtol in (("vglm", OF_VGLM), ("multinom", OF_MULTINOM)):
        np.testing.assert_allclose(params, r.HOUSING[f"{source}_params"], rtol=rtol)
        np.testing.assert_allclose(bse, r.HOUSING[f"{source}_bse"], rtol=rtol)
    found = [result.llf, -2 * result.llf, result.aic]
    np.testing.assert_allclose(found, r.HOUSING["llf_deviance_aic"], rtol=1e-9)
    assert result.nobs == 1681 and result.edf == 14


@pytest.mark.parametrize("cov_type", ["HC0", "cluster"])
def test_housing_has_the_covariances_of_sandwich(satisfaction, cov_type):
    """sandwich() by observations, vcovCL() by the 24 cells with its factor G / (G - 1)."""
    result, _, bse = numbers_at(*satisfaction, cov_type)
    np.testing.assert_allclose(bse, r.HOUSING[f"{cov_type}_bse"], rtol=OF_MULTINOM)
    model, (_, y, _, _) = satisfaction
    first = 0 if y.ndim == 2 else 1    # the intercept of Medium: labels are sorted
    row = result.cov_params()[7 * first].reshape(2, 7)
    np.testing.assert_allclose(
        in_levels_order(model, row), r.HOUSING[f"{cov_type}_first_row"], rtol=OF_MULTINOM,
        atol=OF_MULTINOM * np.square(bse).max(),
    )


@pytest.mark.parametrize("term", TERMS)
def test_housing_has_the_tests_of_terms(satisfaction, term):
    """lrtest() of two vglm's, and Wald's statistic from three covariances."""
    model, data = satisfaction
    X, y, weight, _ = data
    ratio, pvalue, *walds = r.HOUSING[f"term_{term}"]
    test = model.lr_test(X, y, TERMS[term], weight)
    assert test.statistic == pytest.approx(ratio, rel=1e-8)
    assert test.pvalue == pytest.approx(pvalue, rel=1e-7) and test.df == 2 * len(TERMS[term])
    columns = np.eye(7)[1 + np.array(TERMS[term])]
    restrictions = np.kron(np.eye(2), columns)
    for cov_type, expected in zip(("nonrobust", "HC0", "cluster"), walds, strict=True):
        result, _, _ = numbers_at(model, data, cov_type)
        assert result.wald_test(restrictions).statistic == pytest.approx(expected, rel=1e-5)


def test_housing_has_the_effects_of_margeff(satisfaction):
    """Means over observations of derivatives of probabilities: VGAM's margeff()."""
    model, data = satisfaction
    X, y, weight, _ = data
    result, _, _ = numbers_at(model, data, "nonrobust")
    over = y.sum(axis=1) if y.ndim == 2 else weight
    effects = result.marginal_effects(X, sample_weight=over).effects
    labels = model.classes_.tolist()
    order = [0, 1, 2] if y.ndim == 2 else [labels.index(level) for level in LEVELS]
    np.testing.assert_allclose(effects[order].ravel(), r.HOUSING["dydx"], rtol=1e-8)


def test_iris_has_the_numbers_of_vglm_and_sandwich():
    """Species by sepal length; 30 clusters of five rows; tests of the slope."""
    X, y = load_iris().data[:, :1], load_iris().target
    model = fitted(X, y)
    result, robust, clustered = (
        model.inference(X, y, reference=0, cov_type=cov_type, groups=groups)
        for cov_type, groups in (
            ("nonrobust", None), ("HC0", None), ("cluster", np.arange(150) % 30)
        )
    )
    np.testing.assert_allclose(result.params.ravel(), r.IRIS["vglm_params"], rtol=OF_VGLM)
    np.testing.assert_allclose(result.bse.ravel(), r.IRIS["vglm_bse"], rtol=OF_VGLM)
    np.testing.assert_allclose(robust.bse.ravel(), r.IRIS["HC0_bse"], rtol=OF_MULTINOM)
    np.testing.assert_allclose(clustered.bse.ravel(), r.IRIS["cluster_bse"], rtol=OF_MULTINOM)
    effects = result.marginal_effects(X).effects
    np.testing.assert_allclose(effects.ravel(), r.IRIS["dydx"], rtol=1e-8)
    ratio, _, *walds = r.IRIS["term_Sepal.Length"]
    assert model.lr_test(X, y, 0).statistic == pytest.approx(ratio, rel=1e-8)
    for one, expected in zip((result, robust, clustered), walds, strict=True):
        assert one.wald_test_terms()["x0"].statistic == pytest.approx(expected, rel=1e-5)
