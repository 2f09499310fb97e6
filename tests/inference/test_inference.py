"""Published numbers, codings, tests and tables of `InferenceResult`."""

import dataclasses
import pickle

import numpy as np
import pytest
from scipy.stats import chi2, norm
from sklearn.datasets import load_iris, load_wine

from softmax_reg import SoftmaxRegression

IRIS = load_iris()
SPECIES = IRIS.target_names[IRIS.target]
# Alcohol and ash: no class is separated by them.
X, Y = load_wine().data[:, [0, 2]], np.array(["a", "b", "c"])[load_wine().target]


def fitted(X, y, **parameters):
    return SoftmaxRegression(**{"C": np.inf, "tol": 1e-13, **parameters}).fit(X, y)


@pytest.fixture(scope="module")
def length():
    """The model of the species by their sepal length."""
    return fitted(IRIS.data[:, :1], SPECIES)


def infer(model, **options):
    return model.inference(IRIS.data[:, :model.n_features_in_], SPECIES, **options)


def test_published_numbers_of_iris(length):
    """Coefficients, errors and log-likelihood of species by sepal length, in Stata's digits."""
    result = infer(length, reference="setosa")
    assert result.class_names == ("versicolor", "virginica")
    assert result.feature_names == ("Intercept", "x0")
    close = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(
        result.params, [[-26.081936, 4.8156911], [-38.7590012, 6.8463986]], **close
    )
    np.testing.assert_allclose(
        result.bse, [[4.8892729, 0.906838], [5.6906751, 1.0222227]], **close
    )
    assert result.llf == pytest.approx(-91.0339664, abs=1e-7)
    robust = infer(length, reference="setosa", cov_type="HC0")
    np.testing.assert_allclose(
        robust.bse, [[4.7406947, 0.8694949], [5.990033, 1.0569555]], **close
    )


def test_statistics_follow_from_their_definitions(length):
    """z, p, intervals, ratios, likelihood-ratio test, criteria and degrees of freedom."""
    result = infer(length)
    z = result.params / result.bse
    np.testing.assert_array_equal(result.zvalues, z)
    np.testing.assert_allclose(result.pvalues, 2 * (1 - norm.cdf(abs(z))), atol=1e-15)
    lower, upper = np.moveaxis(result.conf_int(0.1), -1, 0)
    np.testing.assert_allclose(lower, result.params - 1.6448536269514722 * result.bse)
    np.testing.assert_allclose(upper + lower, 2 * result.params)
    odds = result.odds_ratios(0.1)
    np.testing.assert_allclose(odds.ratio, np.exp(result.params))
    np.testing.assert_allclose(odds.upper, np.exp(upper))
    null = 150 * np.log(1 / 3)
    llf = np.log(length.predict_proba(IRIS.data[:, :1])[np.arange(150), IRIS.target]).sum()
    assert result.llnull == pytest.approx(null) and result.llf == pytest.approx(llf)
    assert result.llr_pvalue == pytest.approx(chi2.sf(2 * (llf - null), 2), rel=1e-9)
    assert result.prsquared == pytest.approx(1 - llf / null)
    assert (result.nobs, result.df_model, result.df_resid, result.edf) == (150, 2, 146, 4)
    assert result.aic == pytest.approx(8 - 2 * llf)
    assert result.bic == pytest.approx(4 * np.log(150) - 2 * llf)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1"])
def test_codings_agree(cov_type):
    """Contrasts have the same covariance, from every coding; rows of coef_ sum to zero."""
    model = fitted(X, Y)
    symmetric = model.inference(X, Y, cov_type=cov_type)
    assert symmetric.reference is None
    np.testing.assert_array_equal(symmetric.params[:, 1:], model.coef_)
    np.testing.assert_array_equal(symmetric.params[:, 0], model.intercept_)
    sums = np.kron(np.ones((1, 3)), np.eye(3))
    np.testing.assert_allclose(sums @ symmetric.cov_params(), 0, atol=1e-9)
    assert np.linalg.matrix_rank(symmetric.cov_params(), tol=1e-9) == 6
    for k, label in enumerate(model.classes_):
        against = model.inference(X, Y, cov_type=cov_type, reference=label)
        contrast = np.delete(np.eye(3) - np.eye(3)[k], k, axis=0)
        both = np.kron(contrast, np.eye(3))
        np.testing.assert_allclose(against.params, contrast @ symmetric.params)
        np.testing.assert_allclose(
            against.cov_params(), both @ symmetric.cov_params() @ both.T, rtol=1e-7, atol=1e-9
        )
        assert against.llf == symmetric.llf and against.reference == label


def test_two_classes_have_one_row():
    """The log-odds of the second class; against the second as the reference, their negatives."""
    rows = IRIS.target > 0
    Z, y = IRIS.data[rows, :2], SPECIES[rows]
    model = fitted(Z, y)
    plain, first, second = (
        model.inference(Z, y, reference=label) for label in (None, "versicolor", "virginica")
    )
    assert plain.class_names == ("virginica",) and second.class_names == ("versicolor",)
    assert plain.reference == "versicolor"
    np.testing.assert_array_equal(plain.params[0, 1:], model.coef_[0])
    np.testing.assert_array_equal(plain.params, first.params)
    np.testing.assert_array_equal(plain.params, -second.params)
    np.testing.assert_allclose(plain.cov_params(), second.cov_params())


def test_wald_test(length):
    """Equal to d' (R V R')^-1 d, in every coding, whatever restrictions are repeated."""
    result = infer(length, reference="setosa")
    single = result.wald_test([0, 1, 0, 0])
    assert single.statistic == pytest.approx(result.zvalues[0, 1] ** 2)
    assert single.pvalue == pytest.approx(result.pvalues[0, 1]) and single.df == 1
    R = np.array([[0, 1, 0, 0], [0, 0, 0, 1.0]])
    deviation = R @ result.params.ravel() - [4, 6]
    expected = deviation @ np.linalg.solve(R @ result.cov_params() @ R.T, deviation)
    both = result.wald_test(R, [4, 6])
    assert both.statistic == pytest.approx(expected)
    assert both.pvalue == pytest.approx(chi2.sf(expected, 2))
    symmetric = infer(length)
    slopes = np.kron(np.eye(3), [[0, 1]])    # three that sum to zero
    test = symmetric.wald_test(slopes)
    assert test.df == 2
    assert test.statistic == pytest.approx(result.wald_test(R).statistic, rel=1e-7)
    assert result.wald_test([R[0], 2 * R[0]]).df == 1
    with pytest.raises(ValueError, match="contradict"):
        symmetric.wald_test(slopes, [1, 1, 1])
    with pytest.raises(ValueError, match=r"shape \(m, 4\)"):
        result.wald_test([1, 0, 0])
    with pytest.raises(ValueError, match="zeros"):
        result.wald_test(np.zeros(4))


def test_wald_tests_of_terms():
    """A column is zero in all rows: the same statistic in every coding, of n_classes - 1 df."""
    model = fitted(X, Y)
    symmetric, against = (model.inference(X, Y, reference=label) for label in (None, "c"))
    tests, same = symmetric.wald_test_terms(), against.wald_test_terms()
    assert list(tests) == ["Intercept", "x0", "x1"]
    for j, name in enumerate(tests):
        index = [j, 3 + j]
        b = against.params.ravel()[index]
        expected = b @ np.linalg.solve(against.cov_params()[np.ix_(index, index)], b)
        for test in (tests[name], same[name]):
            assert test.statistic == pytest.approx(expected, rel=1e-7) and test.df == 2


def test_results_do_not_change_and_can_be_pickled(length):
    """Attributes and arrays are read-only; a pickle has the same numbers."""
    result = infer(length)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.llf = 0.0
    for array in (result.params, result.cov_params()):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0
    assert length.coef_.flags.writeable
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.bse, result.bse)
    assert again.summary() == result.summary()
    assert repr(again) == "<InferenceResult: 3 x 2 parameters, cov_type='nonrobust'>"


def test_tables():
    """The text and the frame hold names, numbers and what the errors mean."""
    pd = pytest.importorskip("pandas")
    data = pd.DataFrame(X, columns=["alcohol", "ash"])
    result = fitted(data, Y).inference(
        data, Y, reference="a", cov_type="cluster", groups=np.arange(178) // 2
    )
    frame = result.summary_frame(alpha=0.1)
    assert list(frame.columns) == ["coef", "std err", "t", "P>|t|", "[0.05", "0.95]"]
    assert frame.index[1] == ("b", "alcohol")
    np.testing.assert_array_equal(frame["std err"], result.bse.ravel())
    text = result.summary()
    for part in ("c against a", "ash", "Clusters: 89.", "t with 88 degrees", f"{result.llf:.6f}"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 99


def test_without_an_intercept():
    """No column for it; the null model gives all classes the same probability."""
    Z = X - X.mean(axis=0)
    result = fitted(Z, Y, fit_intercept=False).inference(Z, Y)
    assert result.feature_names == ("x0", "x1") and result.params.shape == (3, 2)
    assert result.llnull == pytest.approx(-178 * np.log(3))
    assert (result.df_model, result.n_intercepts) == (4, 0)


def test_the_null_model_has_the_offset():
    """llnull is the log-likelihood of the fit of intercepts beside the offset."""
    offset = np.random.default_rng(0).standard_normal((178, 3))
    model = SoftmaxRegression(C=np.inf, tol=1e-13).fit(X, Y, offset=offset)
    result = model.inference(X, Y, offset=offset)
    null = SoftmaxRegression(C=1e-9, tol=1e-10).fit(X, Y, offset=offset)
    log_proba = null.predict_log_proba(X, offset=offset)
    own = np.searchsorted(model.classes_, Y)
    assert result.llnull == pytest.approx(log_proba[np.arange(178), own].sum(), rel=1e-7)
