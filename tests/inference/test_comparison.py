"""Likelihood-ratio tests and `compare` against two fits by hand."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chi2

from softmax_reg import RowBlocks, SoftmaxRegression
from softmax_reg.inference import compare

from .test_covariances import N, fitted, raw_problem


def log_likelihood(model, X, y, weight=None, offset=None):
    """Of labels 0, 1, ... by `predict_log_proba`."""
    log_proba = model.predict_log_proba(X, offset=offset)[np.arange(len(y)), y]
    return (log_proba * (1 if weight is None else weight)).sum()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_the_ratio_is_that_of_two_fits(n_classes, fit_intercept, weighted, convert):
    """2 (llf - llf without the features), K - 1 degrees of freedom for each; with offsets too."""
    X, y = raw_problem(n_classes)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    offset = rng.standard_normal((N, n_classes)) if weighted else None
    options = {"fit_intercept": fit_intercept}
    model = fitted(convert(X), y, weight, offset, **options)
    llf = log_likelihood(model, X, y, weight, offset)
    for features in (1, [2], [0, 2]):
        kept = np.delete(np.arange(3), features)
        smaller = fitted(X[:, kept], y, weight, offset, **options)
        expected = 2 * (llf - log_likelihood(smaller, X[:, kept], y, weight, offset))
        test = model.lr_test(convert(X), y, features, weight, offset=offset)
        assert test.df == np.size(features) * (n_classes - 1)
        assert test.statistic == pytest.approx(expected, rel=1e-7, abs=1e-7)
        assert test.pvalue == pytest.approx(chi2.sf(expected, test.df), rel=1e-6)


def test_without_all_features():
    """The test of the model without features is that of `llr`."""
    X, y = raw_problem(3)
    model = fitted(X, y)
    result, test = model.inference(X, y), model.lr_test(X, y, [0, 1, 2])
    assert test.statistic == pytest.approx(result.llr) and test.df == result.df_model
    assert test.pvalue == pytest.approx(result.llr_pvalue)


def test_names_counts_and_labels():
    """Columns by name; y of counts; labels that are strings: the same as by index."""
    pd = pytest.importorskip("pandas")
    X, y = raw_problem(3)
    data, names = pd.DataFrame(X, columns=["a", "b", "c"]), np.array(["u", "v", "w"])
    expected = fitted(X, y).lr_test(X, y, 1)
    for Z, target, feature in (
        (data, y, "b"), (data, names[y], ["b"]), (X, np.eye(3, dtype=int)[y], 1),
        (data, pd.DataFrame(np.eye(3), columns=names).iloc[y].reset_index(drop=True), "b"),
    ):
        test = fitted(Z, target).lr_test(Z, target, feature)
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-8)


def test_a_feature_without_effect():
    """Near the null the ratio is Wald's statistic, in every test of a small effect."""
    X, y = raw_problem(3, n_samples=2000)
    X = np.column_stack([X, np.random.default_rng(8).standard_normal(2000)])
    model = fitted(X, y, tol=1e-4)
    test = model.lr_test(X, y, [3])
    wald = model.inference(X, y).wald_test_terms()["x3"]
    assert test.df == wald.df == 2 and test.pvalue > 0.01
    assert test.statistic == pytest.approx(wald.statistic, rel=0.02)


def test_refused_tests():
    """A penalty, columns that are not there, rows elsewhere, models that `inference` refuses."""
    X, y = raw_problem(3)
    model = fitted(X, y)
    before = dict(vars(model))
    for features, message in (
        ([], "at least one"), ([3], "indices from 0.*got 3"), (["x9"], "got 'x9'"),
        ([1, "x1"], "twice"), ([True], "got True"),
    ):
        with pytest.raises(ValueError, match=message):
            model.lr_test(X, y, features)
    with pytest.raises(ValueError, match="got C=1.0.*Refit with C=np.inf"):
        SoftmaxRegression().fit(X, y).lr_test(X, y, 1)
    with pytest.raises(ValueError, match="in memory on the host, got RowBlocks"):
        model.lr_test(RowBlocks(X), y, 1)
    with pytest.raises(ValueError, match="label_smoothing"):
        fitted(X, y, label_smoothing=0.1).lr_test(X, y, 1)
    assert vars(model) == before


@pytest.mark.parametrize("n_classes", [2, 3])
def test_compare_is_the_difference_of_two_fits(n_classes):
    """Nested models in either order: the ratio, and differences of criteria."""
    X, y = raw_problem(n_classes)
    large, small = (fitted(Z, y).inference(Z, y) for Z in (X, X[:, :1]))
    found, turned = compare(large, small), compare(small, large)
    ratio, df = 2 * (large.llf - small.llf), 2 * (n_classes - 1)
    assert found[:3] == turned[:3] == (
        pytest.approx(ratio), pytest.approx(chi2.sf(ratio, df)), df
    )
    assert found.aic_difference == -turned.aic_difference == large.aic - small.aic
    assert found.bic_difference == pytest.approx(df * np.log(N) - ratio)
    test = fitted(X, y).lr_test(X, y, [1, 2])
    assert test == pytest.approx(found[:3])


def test_compare_without_nested_models():
    """Other columns, the same number of them, or a penalty: criteria alone."""
    pd = pytest.importorskip("pandas")
    X, y = raw_problem(3)
    data = pd.DataFrame(X / X.std(axis=0), columns=["a", "b", "c"])

    def result_of(columns, **options):
        cov_type = "bayes" if options else "nonrobust"
        Z = data[columns]
        return fitted(Z, y, **options).inference(Z, y, cov_type=cov_type)

    two = result_of(["a", "b"])
    for other in (result_of(["c"]), result_of(["b", "c"]), result_of(["a"], C=1.0)):
        found = compare(two, other)
        assert np.isnan(found.statistic) and np.isnan(found.pvalue)
        assert found.df == abs(two.edf - other.edf)
        assert found.aic_difference == two.aic - other.aic


def test_a_smaller_model_that_fits_better_is_not_nested():
    """Noise in the columns of the larger: no statistic, whatever the names x0 and x1 say."""
    X, y = raw_problem(3)
    noise = np.random.default_rng(0).standard_normal((N, 2))
    smaller, larger = (fitted(Z, y).inference(Z, y) for Z in (X[:, [1]], noise))
    assert smaller.llf > larger.llf
    assert np.isnan(compare(smaller, larger).statistic)


def test_compare_refuses_other_data():
    """Numbers of rows, classes and null models must be equal."""
    X, y = raw_problem(3)
    first = fitted(X, y).inference(X, y)
    with pytest.raises(ValueError, match="number of observations must be equal, got 150"):
        compare(first, fitted(X[:-1], y[:-1]).inference(X[:-1], y[:-1]))
    with pytest.raises(ValueError, match="classes must be equal"):
        compare(first, fitted(X, y + 1).inference(X, y + 1))
    other = np.where(np.arange(N) < 10, (y + 1) % 3, y)
    with pytest.raises(ValueError, match="models without features must be equal"):
        compare(first, fitted(X, other).inference(X, other))
