"""Inference of fits with ``prior="jeffreys"``: errors, penalised likelihoods and their test.

HOUSING holds the literals of R 4.2 with brglm2 0.9:

    f <- brglm2::brmultinom(Sat ~ Infl + Type + Cont, weights = Freq, data = MASS::housing,
                            ref = 1, type = "AS_mean", epsilon = 1e-10)
    coef(f); summary(f)$standard.errors; logLik(f)
"""

import numpy as np
import pytest
from scipy.stats import chi2

from softmax_reg import SoftmaxRegression
from softmax_reg.inference import compare

# MASS::housing$Freq: satisfaction within influence within type of housing within contact.
FREQ = np.array("""
    21 21 28 34 22 36 10 11 36 61 23 17 43 35 40 26 18 54 13 9 10 8 8 12 6 7 9 18 6 7 15 13 13 7
    5 11 14 19 37 17 23 40 3 5 23 78 46 43 48 45 86 15 25 62 20 23 20 10 22 24 7 10 21 57 23
    13 31 21 13 5 6 13""".split(), dtype=float)
HOUSING = (
    [[-0.41687125619686, 0.44413305399297, 0.66149150826059, -0.43384896311919,
      0.13004927098870, -0.66199767162083, 0.35873008037246],
     [-0.13851469537639, 0.73135767750427, 1.60325307108816, -0.73136032659944,
      -0.40670866028112, -1.40360920258959, 0.47922798884908]],
    [[0.17281216519662, 0.14150705450234, 0.18607010935563, 0.17237950490549,
      0.22292746369543, 0.20610236762815, 0.13231277744643],
     [0.15918941926986, 0.13691080625098, 0.16697581092369, 0.15519548596485,
      0.21137833635731, 0.20003346930617, 0.12408928370934]],
    -1735.0458072397,
)
# A separated sample of three classes.
ROW = np.arange(12.0)
X, Y = np.column_stack([ROW, np.cos(ROW)]), np.repeat([0, 1, 2], 4)


def firth(**parameters):
    return SoftmaxRegression(**{"C": np.inf, "prior": "jeffreys", "tol": 1e-10, **parameters})


def test_housing_against_brglm2():
    """Counts in rows of y: estimates, standard errors and log-likelihood."""
    infl, kind, contact = (level.ravel() for level in np.meshgrid(
        range(3), range(4), range(2), indexing="ij"))
    order = np.lexsort([infl, kind, contact])
    design = np.column_stack([
        *(infl == k for k in (1, 2)), *(kind == k for k in (1, 2, 3)), contact == 1
    ]).astype(float)[order]
    counts = FREQ.reshape(24, 3)
    found = firth().fit(design, counts).inference(design, counts, reference=0)
    np.testing.assert_allclose(found.params, HOUSING[0], rtol=1e-7)
    np.testing.assert_allclose(found.bse, HOUSING[1], rtol=1e-8)
    assert found.llf == pytest.approx(HOUSING[2], rel=1e-10)
    assert found.nobs == counts.sum()


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_likelihood_ratio_of_two_groups(fit_intercept):
    """The larger model adds 1/2 to each cell of a table, the smaller 1 to each sum of cells.

    Without an intercept there is a column for each group, and no effect is equal probabilities.
    """
    cells = np.array([[4.0, 0, 2], [1, 7, 3]])
    groups = np.eye(2)[:, 1:] if fit_intercept else np.eye(2)
    small = np.tile(cells.sum(axis=0) + 1 if fit_intercept else np.ones(3), (2, 1))
    model = firth(fit_intercept=fit_intercept).fit(groups, cells)

    def likelihood(counts):
        return ((cells + 0.5) * np.log(counts / counts.sum(axis=1, keepdims=True))).sum()

    found = model.lr_test(groups, cells, [0] if fit_intercept else [0, 1])
    df = 2 if fit_intercept else 4
    statistic = 2 * (likelihood(cells + 0.5) - likelihood(small))
    assert found.df == df and found.statistic == pytest.approx(statistic, rel=1e-9)
    assert found.pvalue == pytest.approx(chi2.sf(statistic, df), rel=1e-8)


def test_the_likelihood_ratio_is_that_of_a_constrained_maximum():
    """No free contrast has a slope where the others are 0; all columns, and by name."""
    import pandas as pd

    model = firth().fit(X, Y)
    one, both = model.lr_test(X, Y, [1]), model.lr_test(X, Y, [0, 1])
    assert 0 < one.statistic < both.statistic and (one.df, both.df) == (2, 4)
    frame = pd.DataFrame(X, columns=["a", "b"])
    assert firth().fit(frame, Y).lr_test(frame, Y, "b").statistic == pytest.approx(one.statistic)
    scaled = X * [1e3, 1.0] + [5.0, 0.0]
    assert firth().fit(scaled, Y).lr_test(scaled, Y, 1).statistic == pytest.approx(
        one.statistic, rel=1e-7
    )


def test_what_else_a_result_gives():
    """Summary, effects, intervals and comparisons of separated classes are finite."""
    model = firth().fit(X, Y)
    found = model.inference(X, Y)
    text = found.summary()
    assert "Jeffreys prior (Firth)" in text and f"{found.llf_penalised:.6f}" in text
    assert "lr_test" in text and "C=inf" not in text
    assert found.prior == "jeffreys" and found.is_penalised and np.isnan(found.llr_pvalue)
    assert found.edf == 6 and found.aic == pytest.approx(12 - 2 * found.llf)
    assert np.isfinite(found.conf_int()).all() and np.isfinite(found.bse).all()
    assert np.isfinite(found.marginal_effects(X).bse).all()
    other = firth().fit(X[:, :1], Y).inference(X[:, :1], Y)
    assert np.isnan(compare(found, other).statistic)
    plain = SoftmaxRegression(C=np.inf).fit(X[:, 1:], Y).inference(X[:, 1:], Y)
    assert plain.prior is None and plain.llf_penalised is None


@pytest.mark.parametrize("cov_type", ["HC0", "HC1", "cluster", "bayes", "frequentist"])
def test_covariances_that_do_not_hold(cov_type):
    """The inverse information is the only one."""
    model = firth().fit(X, Y)
    groups = ROW if cov_type == "cluster" else None
    with pytest.raises(ValueError, match=f"cov_type='{cov_type}'.*'jeffreys'.*'nonrobust'"):
        model.inference(X, Y, cov_type=cov_type, groups=groups)


def test_other_data_than_those_of_the_fit():
    """Estimates are compared with the modified score of the data given."""
    model = firth().fit(X, Y)
    with pytest.raises(ValueError, match="not at its optimum"):
        model.inference(X, Y[::-1])
    with pytest.raises(ValueError, match="whole counts"):
        model.inference(X, np.full((12, 3), [0.2, 0.3, 0.5]))
    with pytest.raises(ValueError, match="'x1' depends on columns before it"):
        model.inference(X[:, [0, 0]], Y)


@pytest.mark.parametrize("method", ["influence", "score_test"])
def test_diagnostics_refuse_a_prior(method):
    """Scores do not sum to zero at its estimates."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), np.arange(60) % 3
    model = SoftmaxRegression(C=np.inf, prior="jeffreys").fit(X, y)
    extra = [X[:, 0] ** 2] if method == "score_test" else []
    with pytest.raises(ValueError, match=f"{method} takes no prior, got prior='jeffreys'"):
        getattr(model, method)(X, y, *extra)
