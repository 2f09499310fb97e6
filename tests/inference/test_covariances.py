"""Every covariance against plain NumPy, `reference.py`."""

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import RowBlocks, SoftmaxRegression

from . import reference as plain

N = 150


def raw_problem(n_classes, seed=0, n_samples=N):
    """Columns of scales from 1e-3 to 1e4, with means of up to 20 times their spread."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n_samples, 3))
    Z[:, 1] += 0.7 * Z[:, 0]
    logits = Z @ rng.standard_normal((3, n_classes)) + rng.standard_normal(n_classes)
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return Z * [1e-3, 1.0, 1e4] + [0.02, -3.0, 2e4], y


def fitted(X, y, weight=None, offset=None, **parameters):
    model = SoftmaxRegression(**{"C": np.inf, "tol": 1e-13, **parameters})
    return model.fit(X, y, weight, offset=offset)


def whole_offset(offset, n_classes):
    """As the reference adds it, (n_samples, n_classes)."""
    if offset is None:
        return 0.0
    return np.column_stack([np.zeros(len(offset)), offset]) if n_classes == 2 else offset


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("with_offset", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_nonrobust_is_the_inverse_of_second_differences(
    n_classes, fit_intercept, weighted, with_offset, convert
):
    """cov_params = inverse of minus the second differences of the log-likelihood, raw columns."""
    X, y = raw_problem(n_classes)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    offset = None
    if with_offset:
        offset = rng.standard_normal((N, n_classes) if n_classes > 2 else N)
    X = convert(X)
    model = fitted(X, y, weight, offset, fit_intercept=fit_intercept)
    result = model.inference(X, y, weight, offset=offset, reference=0)
    counts = np.eye(n_classes)[y] * (1 if weight is None else weight[:, None])
    data = plain.design_of(X, fit_intercept), counts, whole_offset(offset, n_classes)
    hessian = plain.hessian_by_differences(result.params, 2e-3 * result.bse.ravel(), *data)
    bse = result.bse.ravel()
    np.testing.assert_allclose(
        result.cov_params() / np.outer(bse, bse), plain.inverse(hessian) / np.outer(bse, bse),
        rtol=0, atol=1e-7,
    )
    assert result.llf == pytest.approx(
        float(plain.log_likelihood(result.params, *data)), rel=1e-12
    )
    assert result.nobs == counts.sum()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_sandwiches_are_numpys(n_classes, weighted, convert, monkeypatch):
    """HC0, HC1 and clusters, in blocks of 7 rows, equal H^-1 M H^-1 in plain NumPy."""
    X, y = raw_problem(n_classes)
    rng = np.random.default_rng(2)
    weight = rng.integers(0, 4, N).astype(float) if weighted else np.ones(N)
    cluster = rng.integers(0, 40, N)
    cluster[:30] = 3    # longer than a block
    X = convert(X)
    model = fitted(X, y, weight)
    monkeypatch.setattr(
        "softmax_reg.inference.scores._BLOCK_SIZE", 7 * 4 * (n_classes - 1)
    )
    monkeypatch.setattr("softmax_reg.inference.scores._LEAST_ROWS", 1)
    design = plain.design_of(X, True).astype(float)
    arguments = {"reference": 0}
    params = model.inference(X, y, weight, **arguments).params
    bread = plain.inverse(plain.hessian(params, design, weight, 0.0))
    scores = plain.scores(params, design, y, 0.0)
    by_row = bread @ (scores.T @ (scores * weight[:, None])) @ bread
    names = np.unique(cluster[weight > 0])
    sums = np.stack([weight[cluster == c] @ scores[cluster == c] for c in names])
    n, t, G = weight.sum(), params.size, len(names)
    expected = {
        "HC0": by_row, "HC1": by_row * n / (n - t),
        "cluster": bread @ (sums.T @ sums) @ bread * G / (G - 1),
    }
    for cov_type, covariance in expected.items():
        groups = np.array([f"c{c}" for c in cluster]) if cov_type == "cluster" else None
        result = model.inference(
            X, y, weight, cov_type=cov_type, groups=groups, **arguments
        )
        bse = np.sqrt(covariance.diagonal())
        np.testing.assert_allclose(
            result.cov_params() / np.outer(bse, bse), covariance / np.outer(bse, bse), atol=1e-8
        )
    assert result.n_clusters == G


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("factor", [None, [0.0, 0.5, 3.0]])
def test_penalised_covariances_are_numpys(n_classes, factor):
    """bayes = (H + P)^-1, frequentist = (H + P)^-1 H (H + P)^-1, edf = tr (H + P)^-1 H."""
    X, y = raw_problem(n_classes)
    X = (X - X.mean(axis=0)) / X.std(axis=0) + 2.0
    C = 0.3
    model = fitted(X, y, C=C, penalty_factor=factor)
    design = plain.design_of(X, True).astype(float)
    bayes = model.inference(X, y, cov_type="bayes", reference=0)
    frequentist = model.inference(X, y, cov_type="frequentist", reference=0)
    hessian = plain.hessian(bayes.params, design, np.ones(N), 0.0)
    strengths = np.append(0.0, np.ones(3) if factor is None else factor) / C
    inverse = plain.inverse(hessian + plain.penalty_hessian(n_classes, strengths))
    np.testing.assert_allclose(bayes.cov_params(), inverse, rtol=1e-7)
    np.testing.assert_allclose(
        frequentist.cov_params(), inverse @ hessian @ inverse, rtol=1e-7, atol=1e-10
    )
    assert bayes.edf == pytest.approx(np.trace(inverse @ hessian), rel=1e-10)
    assert bayes.edf < bayes.params.size and np.isnan(bayes.llr_pvalue)
    assert bayes.aic == pytest.approx(2 * bayes.edf - 2 * bayes.llf)
    assert "Conditional on C=0.3" in bayes.summary()


def test_more_columns_than_rows():
    """The penalised covariance is that of the columns of X, not of their row space."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 60)), np.arange(20) % 2
    model = fitted(X, y, C=0.1)
    result = model.inference(X, y, cov_type="bayes")
    design = plain.design_of(X, True).astype(float)
    whole = plain.hessian(result.params, design, np.ones(20), 0.0) + np.diag(
        np.append(0.0, np.full(60, 10.0))
    )
    np.testing.assert_allclose(result.cov_params(), plain.inverse(whole), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "cluster"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_repeated_rows(cov_type, n_classes):
    """A weight of w gives what w equal rows give, also w counts of one row."""
    X, y = raw_problem(n_classes)
    X, weight = X / X.std(axis=0), np.random.default_rng(3).integers(0, 4, N)
    cluster = np.arange(N) // 3 if cov_type == "cluster" else None
    some = np.repeat(np.arange(N), weight)
    options = {"cov_type": cov_type}
    once = fitted(X, y, weight).inference(X, y, weight, groups=cluster, **options)
    counts = np.eye(n_classes)[y] * weight[:, None]
    positive = weight > 0
    by_counts = fitted(X[positive], counts[positive]).inference(
        X[positive], counts[positive], groups=None if cluster is None else cluster[positive],
        **options,
    )
    again = fitted(X[some], y[some]).inference(
        X[some], y[some], groups=None if cluster is None else cluster[some], **options
    )
    for result in (once, by_counts):
        np.testing.assert_allclose(result.params, again.params, rtol=1e-7)
        np.testing.assert_allclose(result.cov_params(), again.cov_params(), rtol=1e-6, atol=1e-9)
        for name in ("llf", "llnull", "nobs", "aic", "bic", "df_resid"):
            assert getattr(result, name) == pytest.approx(getattr(again, name), rel=1e-10), name


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1", "cluster"])
def test_counts_of_several_classes_are_rows_of_each(cov_type):
    """A row of counts is as many rows with a label each; with clusters, in the same cluster."""
    X, _ = raw_problem(3, n_samples=40)
    X = X / X.std(axis=0)
    counts = np.random.default_rng(4).integers(0, 4, (40, 3))
    counts[:, 0] += 1
    row, label = np.nonzero(counts)
    weight, cluster = counts[row, label], np.arange(40)
    is_cluster = cov_type == "cluster"
    mixed = fitted(X, counts).inference(
        X, counts, cov_type=cov_type, groups=cluster if is_cluster else None
    )
    labelled = fitted(X[row], label, weight).inference(
        X[row], label, weight, cov_type=cov_type, groups=cluster[row] if is_cluster else None
    )
    np.testing.assert_allclose(mixed.params, labelled.params, rtol=1e-7)
    np.testing.assert_allclose(mixed.cov_params(), labelled.cov_params(), rtol=1e-7, atol=1e-10)
    assert mixed.llf == pytest.approx(labelled.llf) and mixed.nobs == counts.sum()


def test_probability_weights():
    """Clusters of one row: errors do not change with a factor of all weights."""
    X, y = raw_problem(3)
    weight = np.random.default_rng(5).uniform(0.5, 2, N)
    errors = [
        fitted(X, y, weight * f).inference(
            X, y, weight * f, cov_type="cluster", groups=np.arange(N)
        ).bse
        for f in (1, 1e-3)
    ]
    np.testing.assert_allclose(*errors, rtol=1e-6)


def test_means_far_from_zero():
    """Errors of coefficients do not depend on the means of the columns, of 1e6 spreads here."""
    X, y = raw_problem(3)
    X = np.round(X / X.std(axis=0) * 2**10) / 2**10    # exact after the shift
    shift = np.array([2.0**20, -2.0**20, 2.0**19])
    near, far = (fitted(Z, y).inference(Z, y, cov_type="HC0") for Z in (X, X + shift))
    np.testing.assert_allclose(far.bse[:, 1:], near.bse[:, 1:], rtol=1e-7)
    moved = np.append(1.0, -shift)
    for k in range(3):
        block = near.cov_params()[4 * k:4 * k + 4, 4 * k:4 * k + 4]
        assert far.bse[k, 0] == pytest.approx(np.sqrt(moved @ block @ moved), rel=1e-6)


def test_kinds_of_rows_agree(by_kernels):
    """float32, CSR, kernels and blocks of a file give the same errors."""
    X, y = raw_problem(3)
    X = (X / X.std(axis=0)).astype(np.float32).astype(np.float64)
    expected = fitted(X, y).inference(X, y)
    for Z in (X.astype(np.float32), sparse.csr_array(X), RowBlocks(X)):
        found = fitted(Z, y).inference(Z, y)
        np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-5)
        assert found.llf == pytest.approx(expected.llf, rel=1e-7)
