"""Small data: no kernels, the same models."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.rows import small

from ..problems import EPS, bundled
from ..processes import ROOT, run_new

FITS = """
import sys
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
for load in (load_iris, load_breast_cancer, load_digits):
    X, y = load(return_X_y=True)
    for solver in ("auto", "lbfgs", "newton-cholesky", "newton-cg"):
        model = SoftmaxRegression(solver=solver).fit(X, y)
        assert 0 <= model.dual_gap_ <= model.tol * model.objective_
    model.predict_proba(X), model.predict_log_proba(X.astype("float32")), model.score(X, y)
    softmax_path(X, y, l1_ratio=0.0, n_Cs=3)
    SoftmaxRegressionCV(Cs=2, cv=2).fit(X, y)
    SoftmaxRegression().partial_fit(X, y, range(y.max() + 1)).predict(X)
    X = sparse.csr_array(X)
    for solver in ("auto", "lbfgs", "newton-cholesky", "newton-cg"):
        model = SoftmaxRegression(solver=solver).fit(X, y)
        assert 0 <= model.dual_gap_ <= model.tol * model.objective_
    SoftmaxRegression(label_smoothing=0.1).fit(X, y).predict_proba(X)
    SoftmaxRegression().partial_fit(X, y, range(y.max() + 1)).predict(X)
assert "numba" not in sys.modules and "llvmlite" not in sys.modules
"""


def test_numba_is_not_imported():
    """Fits by every solver, predictions, a path, cross-validation and a stream."""
    result = run_new("-W", "ignore", "-c", FITS)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("C", [0.01, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("name", [
    "iris", "wine", "breast_cancer", pytest.param("digits", marks=pytest.mark.compiled)
])
def test_the_model_is_that_of_the_kernels(name, form, dtype, C, monkeypatch):
    """Objectives within both certificates; the same probabilities for the same coefficients."""
    X, y = bundled(name)
    X = form(X.astype(dtype))
    model = SoftmaxRegression(C=C, tol=1e-10).fit(X, y)
    proba = model.predict_proba(X)
    monkeypatch.setattr(small, "MAX_LOGITS", 0)
    monkeypatch.setattr(small, "MAX_SPARSE_LOGITS", 0)
    other = SoftmaxRegression(C=C, tol=1e-10).fit(X, y)
    eps = np.finfo(model.coef_.dtype).eps
    terms = np.abs(X @ np.abs(model.coef_.T)).max() + np.abs(model.intercept_).max()
    gap = max(model.dual_gap_, other.dual_gap_)
    assert abs(model.objective_ - other.objective_) <= gap + 8 * eps * terms
    np.testing.assert_allclose(model.predict_proba(X), proba, rtol=16 * eps * terms, atol=eps)


def test_the_shape_alone_decides():
    """At most MAX_LOGITS logits, and MAX_SIZE entries of [x, 1] times rows of theta."""
    assert small.are_small(np.empty((small.MAX_LOGITS // 5, 3)), 5)
    assert not small.are_small(np.empty((small.MAX_LOGITS // 5 + 1, 3)), 5)
    most = small.MAX_SIZE // (100 * 10) - 1
    assert small.are_small(np.empty((100, most)), 10)
    assert not small.are_small(np.empty((100, most + 1)), 10)
    def rows(n_samples, n_features, n_entries):
        indptr = np.full(n_samples + 1, n_entries)
        indptr[0] = 0
        csr = np.ones(n_entries), np.arange(n_entries) % n_features, indptr
        return sparse.csr_array(csr, (n_samples, n_features))

    assert small.are_small(rows(1000, 100, 9000), 50)
    assert not small.are_small(rows(1001, 100, 9000), 50)
    assert not small.are_small(rows(1000, 100, 24_001), 50)
    assert not small.are_small(rows(5000, 4000, 9000), 1)    # its dense columns would not be few
    assert small.are_small(rows(5000, 4000, 9000), 10)    # 8,192 parameters are 819 columns
    guide = (Path(ROOT) / "examples" / "README.md").read_text()
    assert f"{small.MAX_LOGITS:,}" in guide and f"{small.MAX_SIZE:,}" in guide


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_of_both_kinds(n_classes):
    """Training rows too many for NumPy, validation rows few: scores are those of the model."""
    rng = np.random.default_rng(n_classes)
    size = small.MAX_LOGITS // (1 if n_classes == 2 else 3)
    X = rng.standard_normal((int(1.2 * size), 4))
    y = (X[:, :n_classes] + rng.standard_normal((len(X), n_classes))).argmax(axis=1)
    search = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=4).fit(X, y)
    one = SoftmaxRegression(C=search.C_).fit(X, y)
    gap = max(one.dual_gap_, search.dual_gap_)
    assert abs(one.objective_ - search.objective_) <= gap + 8 * EPS
