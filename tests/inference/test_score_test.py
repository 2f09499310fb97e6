"""Score tests against statsmodels, plain NumPy and likelihood ratios."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chi2
from sklearn.datasets import load_breast_cancer

from softmax_reg import RowBlocks, SoftmaxRegression
from softmax_reg.inference import score_test

from . import reference as plain
from .test_covariances import N, fitted, raw_problem, whole_offset


def more_columns(seed=5, n_samples=N):
    """Three left-out columns: a large mean, many zeros, and one that is correlated with both."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n_samples, 3))
    Z[:, 1] *= rng.random(n_samples) < 0.3
    Z[:, 2] += Z[:, 0] + Z[:, 1]
    return Z * [10.0, 1e-3, 1.0] + [2000.0, 0.0, 0.0]


def statistic_of(params, X, Z, counts, offset=0.0, fit_intercept=True):
    """g' H^-1 g of the whole gradient and Hessian of [X, Z] at (params, 0), in raw columns."""
    design = plain.design_of(np.column_stack([X, Z]), fit_intercept).astype(float)
    weight = counts.sum(axis=1)
    whole = np.column_stack([params, np.zeros((len(params), Z.shape[1]))])
    q = plain.proba_of(whole, design, offset).astype(float)
    grad = ((counts - weight[:, None] * q)[:, 1:].T @ design).ravel()
    return grad @ plain.inverse(plain.hessian(whole, design, weight, offset)) @ grad


def test_two_classes_are_statsmodels():
    """Literal numbers of GLM(Binomial).score_test(exog_extra=...), statsmodels 0.15.0."""
    X, y = load_breast_cancer(return_X_y=True)
    X, Z, y = X[:40, :2], X[:40, 2], y[:40]
    weight, offset = 1.0 + np.arange(40) % 3, np.sin(np.arange(40.0))
    for arguments, joint, both in (
        ((None, None), (5.945206527320202, 0.014757362067943),
         (6.243821021608703, 0.044072886209011)),
        ((weight, offset), (14.57106531869974, 0.000134971210134),
         (15.568514584679182, 0.000416236357351)),
    ):
        w, o = arguments
        model = fitted(X, y, w, o)
        for columns, expected in ((Z, joint), (np.column_stack([Z, Z**2]), both)):
            test = model.score_test(X, y, columns, w, offset=o)
            assert test[:2] == pytest.approx(expected, rel=1e-8)
            assert test.df == 1 + (columns.ndim == 2)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_definition(n_classes, fit_intercept, weighted, convert, monkeypatch):
    """Plain NumPy, jointly and by column, two a pass; with weights of 0 to 3 and offsets."""
    X, y = raw_problem(n_classes)
    Z = more_columns() * (1 if fit_intercept else [1e-3, 1, 1])
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    offset = rng.standard_normal((N, n_classes) if n_classes > 2 else N) if weighted else None
    data = convert(X), y
    model = fitted(*data, weight, offset, fit_intercept=fit_intercept)
    params = model.inference(*data, weight, offset=offset, reference=0).params
    counts = np.eye(n_classes)[y] * (1 if weight is None else weight[:, None])
    o = whole_offset(offset, n_classes)

    def expected(columns):
        return statistic_of(params, X, columns, counts, o, fit_intercept)

    joint = model.score_test(*data, convert(Z), weight, offset=offset)
    assert joint.statistic == pytest.approx(expected(Z), rel=1e-7)
    assert joint.df == 3 * (n_classes - 1)
    assert joint.pvalue == pytest.approx(chi2.sf(joint.statistic, joint.df))
    monkeypatch.setattr(score_test, "_MAX_COLUMNS", 2)
    each = model.score_test(*data, convert(Z), weight, offset=offset, by_column=True)
    np.testing.assert_allclose(each.statistic, [expected(Z[:, [j]]) for j in range(3)], rtol=1e-7)
    np.testing.assert_array_equal(each.df, n_classes - 1)
    np.testing.assert_allclose(each.pvalue, chi2.sf(each.statistic, n_classes - 1))
    single = model.score_test(*data, convert(Z[:, [1]]), weight, offset=offset)
    assert single.statistic == pytest.approx(each.statistic[1], rel=1e-9)


def test_counts_and_weights_are_repeated_rows():
    """A row of counts is a row for each; rows of weight 0 may have any left-out values."""
    X, _ = raw_problem(3, n_samples=40)
    X, Z = X / X.std(axis=0), more_columns(n_samples=40)
    counts = np.random.default_rng(4).integers(0, 4, (40, 3))
    counts[:, 0] += 1
    weight = np.arange(40) % 3
    row, label = np.nonzero(counts * weight[:, None])
    some = np.repeat(row, counts[row, label] * weight[row])
    labels = np.repeat(label, counts[row, label] * weight[row])
    expected = fitted(X[some], labels).score_test(X[some], labels, Z[some])
    Z[weight == 0] = 1e9
    found = fitted(X, counts, weight).score_test(X, counts, Z, weight)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_close_to_the_likelihood_ratio_where_there_is_no_effect(n_classes):
    """Score, ratio and Wald statistics agree for a small effect."""
    X, y = raw_problem(n_classes, n_samples=2000)
    Z = np.random.default_rng(8).standard_normal(2000)
    both = np.column_stack([X, Z])
    larger = fitted(both, y)
    ratio, wald = larger.lr_test(both, y, 3), larger.inference(both, y).wald_test_terms()["x3"]
    found = fitted(X, y).score_test(X, y, Z)
    assert found.df == ratio.df and found.pvalue > 0.01
    assert found.statistic == pytest.approx(ratio.statistic, rel=0.02)
    assert found.statistic == pytest.approx(wald.statistic, rel=0.02)


def test_the_joint_statistic_is_invariant():
    """Shifts, scales and combinations of the left-out columns, and the order of the classes."""
    X, y = raw_problem(3)
    Z, model = more_columns(), fitted(X, y)
    expected = model.score_test(X, y, Z)
    turned = (Z - Z.mean(axis=0)) @ [[1.0, 2, 0], [0, 50, 1], [1, 0, 3]]
    of_x = X / X.std(axis=0) @ np.ones((3, 3))
    for columns in (Z * [1e-150, 1e150, -3] + [0, 0, 100], turned + 1e4, turned + of_x):
        assert model.score_test(X, y, columns).statistic == pytest.approx(
            expected.statistic, rel=1e-7
        )
    permuted = fitted(X, 2 - y).score_test(X, 2 - y, Z)
    assert permuted == pytest.approx(expected, rel=1e-8)


def test_a_loose_tolerance():
    """The efficient score takes out the distance from the optimum to first order."""
    X, y = raw_problem(3)
    X, Z = (X - X.mean(axis=0)) / X.std(axis=0), more_columns()
    model = fitted(X, y)
    expected = model.score_test(X, y, Z)
    error = 0.02 * model.inference(X, y).bse
    error *= np.array([[1], [1], [-2]]) / 2
    model.coef_, model.intercept_ = model.coef_ + error[:, 1:], model.intercept_ + error[:, 0]
    decrement = model.inference(X, y).newton_decrement
    assert 0.01 < decrement < 0.1
    found = model.score_test(X, y, Z)
    assert found.statistic == pytest.approx(expected.statistic, rel=decrement / 2)


def test_kinds_of_columns(by_kernels):
    """Lists, float32, a Series, a DataFrame, CSR with duplicates; labels that are strings."""
    pd = pytest.importorskip("pandas")
    X, y = raw_problem(3)
    names = np.array(["u", "v", "w"])[y]
    Z = np.round(more_columns() * [1, 1e3, 1]).astype(np.float32)
    model = fitted(X, names)
    expected = fitted(X, y).score_test(X, y, Z.astype(float))
    one = model.score_test(X, names, pd.Series(Z[:, 1]))
    csr = sparse.csr_array(Z)
    halves = np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), 2 * csr.indptr
    for columns in (Z, Z.tolist(), Z.astype(int), pd.DataFrame(Z), sparse.csc_matrix(Z),
                    sparse.csr_array(halves, Z.shape)):
        found = model.score_test(X, names, columns)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-8)
        each = model.score_test(X, names, columns, by_column=True)
        assert each.statistic[1] == pytest.approx(one.statistic, rel=1e-7)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_columns_that_depend_on_others(convert):
    """Constant, combined and weightless columns: an error jointly, NaN by column."""
    X, y = raw_problem(3)
    weight = np.where(np.arange(N) == 20, 0.0, 1.0)
    Z = np.column_stack([
        more_columns()[:, 0], np.full(N, 0.1), X @ [1e3, 2.0, -1e-4] + 5, np.zeros(N),
        np.where(weight == 0, 1.0, 0.0),
    ])
    model = fitted(X, y, weight)
    each = model.score_test(X, y, convert(Z), weight, by_column=True)
    assert np.isfinite(each.statistic).tolist() == [True, False, False, False, False]
    assert np.isnan(each.pvalue).tolist() == [False, True, True, True, True]
    assert each.df.tolist() == [2] * 5
    for columns, named in (
        (Z[:, [0, 1]], "'1'"), (Z[:, [0, 2]], "'1'"), (Z[:, [0, 3]], "'1'"),
        (Z[:, [4, 0]], "'0'"), (Z[:, [0, 0]], "'0', '1'"),
    ):
        with pytest.raises(ValueError, match=rf"columns \[{named}\] of X_extra are constant"):
            model.score_test(X, y, convert(columns), weight)
    without = fitted(X, y, weight, fit_intercept=False)    # there, a constant is an intercept
    params = without.inference(X, y, weight, reference=0).params
    expected = statistic_of(
        params, X, Z[:, [1]], np.eye(3)[y] * weight[:, None], fit_intercept=False
    )
    found = without.score_test(X, y, convert(Z[:, [1]]), weight)
    assert found.statistic == pytest.approx(expected, rel=1e-7)


def test_names_of_columns():
    """Messages name the columns of a DataFrame, or the Series."""
    pd = pytest.importorskip("pandas")
    X, y = raw_problem(3)
    model = fitted(X, y)
    for columns in (pd.DataFrame({"dose": X[:, 0]}), pd.Series(X[:, 0], name="dose")):
        with pytest.raises(ValueError, match=r"columns \['dose'\] of X_extra"):
            model.score_test(X, y, columns)


def test_refused():
    """Penalties, rows elsewhere, wrong shapes and values; nothing changes."""
    X, y = raw_problem(3)
    model, Z = fitted(X, y), more_columns()
    before, kept = dict(vars(model)), Z.copy()
    for columns, message in (
        (Z[:-1], "X_extra must have a row for each of the 150 rows of X, got 149"),
        (np.where(Z == Z[3], np.nan, Z), "X_extra contains NaN"),
        (np.full((N, 1), "a"), "X_extra must hold real numbers"),
        (RowBlocks(Z), "X_extra must be in memory on the host, got RowBlocks"),
        (Z[:, :, None], "X_extra must"), (Z[:, :0], "0 feature"), (None, "got None"),
        ([[1, 2], [3]], "X_extra must hold real numbers"), (3.0, "X_extra must have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            model.score_test(X, y, columns)
    with pytest.raises(ValueError, match="score_test needs X in memory on the host, got RowB"):
        model.score_test(RowBlocks(X), y, Z)
    with pytest.raises(ValueError, match="got C=1.0.*Refit with C=np.inf"):
        SoftmaxRegression().fit(X, y).score_test(X, y, Z)
    with pytest.raises(ValueError, match="not at its optimum"):
        model.score_test(X, np.roll(y, 30), Z)
    wide = np.random.default_rng(0).standard_normal((N, 4100))
    with pytest.raises(ValueError, match="8208 parameters.*by_column=True"):
        model.score_test(X, y, wide)
    assert vars(model) == before
    np.testing.assert_array_equal(Z, kept)


def test_sparse_columns_of_rows_without_weight_do_not_count():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 2)), np.arange(80) % 3
    extra = (rng.random((80, 2)) < 0.4) * rng.standard_normal((80, 2))
    weight = np.ones(80)
    weight[7], extra[7] = 0.0, 1e200
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y, weight)
    for by_column in (False, True):
        found, expected = (
            model.score_test(X, y, form(extra), weight, by_column=by_column).statistic
            for form in (sparse.csr_array, np.array)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9)
