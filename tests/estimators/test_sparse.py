"""L1, elastic net and grouped fits against an independent reference solved to 1e-12."""

from functools import lru_cache

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from softmax_reg import SeparationWarning, SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.solvers import proximal

from ..problems import EPS, bundled
from ..sparse_reference import reference_optimum, value_and_bound


def _gaussian(n, p, n_classes, seed, correlation=0.0, scales=0.0):
    """Rows with a common factor, labels from three columns; scales over so many decades."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.sqrt(1 - correlation)
    X += np.sqrt(correlation) * rng.standard_normal((n, 1))
    y = (X[:, :3] @ rng.standard_normal((3, n_classes))
         + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X * np.logspace(-scales / 2, scales / 2, p), y


def _duplicated():
    X, y = _gaussian(60, 6, 3, 5)
    return np.column_stack([X, X, X[:, :2]]), y


# name: ((X, y), C, l1_ratio, options)
PROBLEMS = {
    **{
        f"n = p = 20, seed {seed}, C = {C}": (_gaussian(20, 20, 3, seed), C, 1.0, {})
        for seed in range(4) for C in (0.1, 1.0, 10.0)
    },
    "n = p = 20, elastic net": (_gaussian(20, 20, 3, 1), 1.0, 0.5, {}),
    "n = p = 20, nearly ridge": (_gaussian(20, 20, 3, 1), 1.0, 0.01, {}),
    "n = p = 20, grouped": (_gaussian(20, 20, 3, 2), 1.0, 1.0, {"grouped": True}),
    "n = p = 20, grouped elastic net": (_gaussian(20, 20, 3, 2), 3.0, 0.4, {"grouped": True}),
    "binary": (_gaussian(50, 10, 2, 3), 0.5, 1.0, {}),
    "binary elastic net": (_gaussian(50, 10, 2, 3), 2.0, 0.3, {}),
    "binary, grouped": (_gaussian(50, 10, 2, 3), 0.5, 1.0, {"grouped": True}),
    "duplicated columns": (_duplicated(), 1.0, 1.0, {}),
    "duplicated columns, grouped": (_duplicated(), 1.0, 1.0, {"grouped": True}),
    "correlation 0.999": (_gaussian(80, 8, 3, 6, correlation=0.999), 5.0, 1.0, {}),
    "correlation 0.999, elastic net": (_gaussian(80, 8, 3, 6, correlation=0.999), 5.0, 0.5, {}),
    "scales over four decades": (_gaussian(100, 8, 4, 7, scales=4), 1.0, 1.0, {}),
    "no intercept": (_gaussian(60, 8, 4, 8), 1.0, 1.0, {"fit_intercept": False}),
    "no intercept, grouped": (
        _gaussian(60, 8, 4, 8), 1.0, 0.7, {"fit_intercept": False, "grouped": True}
    ),
    "many columns": (_gaussian(30, 100, 4, 9), 1.0, 1.0, {}),
    "penalty factors": (
        _gaussian(60, 8, 3, 10), 1.0, 0.8, {"penalty_factor": np.linspace(0.2, 3, 8)}
    ),
    "iris, raw": (bundled("iris"), 1.0, 1.0, {}),
    "iris, raw, elastic net": (bundled("iris"), 1.0, 0.5, {}),
}


def _weight(y):
    return np.random.default_rng(11).uniform(0.5, 2, len(y))


@lru_cache
def _reference(name):
    (X, y), C, l1_ratio, options = PROBLEMS[name]
    weight = _weight(y)
    n_rows = 1 if y.max() == 1 else y.max() + 1
    strength = 1 / (C * weight.sum())
    factor = options.get("penalty_factor", np.ones(X.shape[1]))
    arguments = (l1_ratio * strength, (1 - l1_ratio) * strength)
    grouped = options.get("grouped", False)
    fit_intercept = options.get("fit_intercept", True)
    found = reference_optimum(
        X, y, weight / weight.sum(), n_rows, *arguments, factor=factor, grouped=grouped,
        fit_intercept=fit_intercept,
    )
    return found, (*arguments, factor, grouped, fit_intercept)


@pytest.mark.compiled
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_reaches_the_certified_optimum(name, kind):
    """f - f* <= dual_gap_ <= 1e-8 f; the certificate and the support hold elsewhere too."""
    (X, y), C, l1_ratio, options = PROBLEMS[name]
    (coef, intercept, optimum, gap), arguments = _reference(name)
    assert gap <= 1e-12
    weight = _weight(y)
    model = SoftmaxRegression(C=C, l1_ratio=l1_ratio, tol=1e-9, **options)
    model.fit(kind(X), y, sample_weight=weight)
    assert model.dual_gap_ <= 1e-9 * model.objective_
    value, _, _ = value_and_bound(
        X, y, weight / weight.sum(), model.coef_, model.intercept_, *arguments
    )
    assert float(value) == pytest.approx(model.objective_, rel=64 * EPS)
    assert -1e-12 * optimum <= model.objective_ - optimum
    assert model.objective_ - optimum <= model.dual_gap_ + 1e-12 * optimum
    # Probabilities are unique: the loss is strictly convex in the logits, up to shifts.
    logits, expected = X @ model.coef_.T + model.intercept_, X @ coef.T + intercept
    np.testing.assert_allclose(
        _probabilities(logits), _probabilities(expected), atol=2 * np.sqrt(1e-9 * optimum)
    )
    _assert_support(model.coef_, coef, X, y, weight / weight.sum(), intercept, arguments)


def _assert_support(found, reference, X, y, weight, intercept, arguments):
    """Zero where the reference's gradient is clearly within its threshold.

    With an L2 part the optimum is unique and no farther than sqrt(2 gap / l2): then also not
    zero where the reference is farther from it.
    """
    l1, l2, factor, grouped, _ = arguments
    value, bound, grad = value_and_bound(X, y, weight, reference, intercept, *arguments)
    grad = np.asarray(grad, float)
    sizes = np.sqrt((grad**2).sum(axis=0, keepdims=True)) if grouped else np.abs(grad)
    outside = np.broadcast_to(sizes < l1 * factor * (1 - 1e-3), reference.shape)
    assert np.all(found[outside] == 0)
    if l2 > 0:
        distance = np.sqrt(2 * 1e-9 * float(value) / (l2 * np.min(factor)))
        assert np.all(found[np.abs(reference) > 2 * distance] != 0)
        np.testing.assert_allclose(found, reference, atol=2 * distance)


def _probabilities(logits):
    if logits.shape[1] == 1:
        logits = np.column_stack([0 * logits, logits])
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("data", ["n = p = 20, seed 0, C = 1.0", "binary", "iris, raw"])
def test_both_solvers_reach_the_same_optimum(monkeypatch, data, l1_ratio, grouped):
    """Proximal Newton and proximal L-BFGS, whatever the cost model prefers."""
    X, y = PROBLEMS[data][0]
    models = []
    for first in ("proximal-newton", "proximal-lbfgs"):
        monkeypatch.setattr(
            "softmax_reg.estimators.regression.choose_solver", lambda objective, f=first: f
        )
        model = SoftmaxRegression(l1_ratio=l1_ratio, grouped=grouped, tol=1e-7).fit(X, y)
        assert model.solver_ == first
        assert model.dual_gap_ <= 1e-7 * model.objective_
        models.append(model)
    assert models[0].objective_ == pytest.approx(models[1].objective_, rel=1e-7)


def test_a_working_set_too_large_for_exact_newton(monkeypatch):
    """It hands over to the other solver."""
    X, y = PROBLEMS["n = p = 20, seed 0, C = 1.0"][0]
    expected = SoftmaxRegression(l1_ratio=1.0, tol=1e-6).fit(X, y)
    monkeypatch.setattr(proximal, "largest_working_set", lambda objective: 10)
    model = SoftmaxRegression(l1_ratio=1.0, tol=1e-6).fit(X, y)
    assert (expected.solver_, model.solver_) == ("proximal-newton", "proximal-lbfgs")
    assert model.objective_ == pytest.approx(expected.objective_, rel=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_infinite_penalty_factors_leave_features_out(l1_ratio):
    """The fit is that without their columns."""
    X, y = PROBLEMS["scales over four decades"][0]
    factor = np.ones(8)
    factor[[1, 4, 7]] = np.inf
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factor).fit(X, y)
    kept = np.isfinite(factor)
    expected = SoftmaxRegression(l1_ratio=l1_ratio).fit(X[:, kept], y)
    assert np.all(model.coef_[:, ~kept] == 0)
    np.testing.assert_array_equal(model.coef_[:, kept], expected.coef_)
    assert model.objective_ == expected.objective_


def test_all_features_left_out():
    """The intercepts alone: class frequencies."""
    X, y = bundled("wine")
    for l1_ratio in (0.0, 1.0):
        model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=np.full(13, np.inf)).fit(X, y)
        assert not np.any(model.coef_)
        np.testing.assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / len(y))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_penalty_factors_scale_columns(l1_ratio):
    """L1 with factor v is that of the column over v; L2, over its root."""
    X, y = PROBLEMS["penalty factors"][0]
    factor = np.linspace(0.2, 3, 8)
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factor, tol=1e-12).fit(X, y)
    assert model.dual_gap_ <= 1e-12 * model.objective_
    if l1_ratio in (0.0, 1.0):
        scale = factor if l1_ratio else np.sqrt(factor)
        other = SoftmaxRegression(l1_ratio=l1_ratio, tol=1e-12).fit(X / scale, y)
        assert model.objective_ == pytest.approx(other.objective_, rel=1e-11)
        np.testing.assert_allclose(
            model.predict_proba(X), other.predict_proba(X / scale), atol=1e-5
        )


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "newton-cg"])
def test_penalty_factors_with_every_smooth_solver(solver):
    """The same certified optimum."""
    X, y = PROBLEMS["penalty factors"][0]
    factor = np.linspace(0.2, 3, 8)
    model = SoftmaxRegression(penalty_factor=factor, solver=solver, tol=1e-6).fit(X, y)
    expected = SoftmaxRegression(penalty_factor=factor, tol=1e-12).fit(X, y)
    assert model.dual_gap_ <= 1e-6 * model.objective_
    assert model.objective_ == pytest.approx(expected.objective_, rel=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_unpenalised_features_have_no_certificate(l1_ratio):
    """A factor of 0: gap inf, gradient 0 there, no warning where classes overlap."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 5))
    y = (X[:, :3] + rng.gumbel(size=(300, 3))).argmax(axis=1)
    factor = np.array([0.0, 0.0, 1, 1, 1])
    model = SoftmaxRegression(C=0.05, l1_ratio=l1_ratio, penalty_factor=factor, tol=1e-9)
    model.fit(X, y)
    assert model.dual_gap_ == np.inf
    residual = model.predict_proba(X) - np.eye(3)[y]
    assert np.abs(residual.T @ X[:, :2] / 300).max() <= 1e-6
    assert np.all(model.coef_[:, :2] != 0)
    if l1_ratio == 1:
        assert np.count_nonzero(model.coef_[:, 2:]) < 9


def test_unpenalised_features_that_separate_warn():
    """No optimum; finite coefficients."""
    X, y = bundled("iris")
    with pytest.warns(SeparationWarning, match="no optimum"):
        model = SoftmaxRegression(
            l1_ratio=1.0, penalty_factor=[0, 0, 0, 0.0], max_iter=200
        ).fit(X, y)
    assert np.all(np.isfinite(model.coef_))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_columns_over_sixteen_decades(n_classes, dtype):
    """Scales from 1e-8 to 1e8 (float32: 1e-4 to 1e4) in one matrix: certified."""
    X, y = _gaussian(200, 9, n_classes, 12, scales=16 if dtype is np.float64 else 8)
    model = SoftmaxRegression(l1_ratio=0.5).fit(X.astype(dtype), y)
    assert model.dual_gap_ <= model.tol * model.objective_
    assert model.coef_.dtype == dtype and np.all(np.isfinite(model.coef_))


def test_warm_starts_stay_at_the_optimum():
    """No centring of coefficients whose sum over the classes counts."""
    X, y = bundled("wine")
    model = SoftmaxRegression(l1_ratio=1.0, warm_start=True, tol=1e-8).fit(X, y)
    before = model.coef_.copy()
    assert model.fit(X, y).n_iter_[0] <= 1
    np.testing.assert_allclose(model.coef_, before, atol=1e-6 * np.abs(before).max())


def test_classes_without_weight():
    """They get no coefficients, as with L2."""
    X, y = bundled("iris")
    with pytest.warns(UserWarning, match="total weight of zero"):
        model = SoftmaxRegression(l1_ratio=1.0).fit(X, y, sample_weight=y > 0)
    assert not np.any(model.coef_[0])
    binary = SoftmaxRegression(l1_ratio=1.0).fit(X[y > 0], y[y > 0])
    assert model.predict(X[y > 0]).tolist() == binary.predict(X[y > 0]).tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_a_class_without_weight_is_never_predicted(l1_ratio, dtype):
    """Also where the coefficients of the others do not average 0, on columns far from 0."""
    x = np.array([300, 301, 299, 300, 297, 298, 296, 297, 300], dtype=dtype)[:, np.newaxis]
    labels = np.array([0, 1, 0, 1, 2, 2, 2, 2, 3])
    weight = (labels < 3).astype(float)
    model = SoftmaxRegression(l1_ratio=l1_ratio, tol=1e-6)
    others = clone(model).fit(x[:8], labels[:8])
    with pytest.warns(UserWarning, match="total weight of zero"):
        model.fit(x, labels, weight)
    np.testing.assert_array_equal(model.predict(x), others.predict(x))
    proba = model.predict_proba(x)
    assert np.all(proba[:, 3] <= EPS)
    loss = -np.log(proba[np.arange(8), labels[:8]]).mean()
    size = l1_ratio * np.abs(model.coef_).sum() + (1 - l1_ratio) / 2 * (model.coef_**2).sum()
    rounding = 1e3 * float(np.finfo(proba.dtype).eps)
    assert loss + size / 8 == pytest.approx(model.objective_, rel=rounding)


def test_classes_without_weight_in_the_mean_of_folds():
    """refit=False: a fold that lacks a class has no say in the mean coefficients."""
    X, y = bundled("iris")
    rest = np.flatnonzero(y > 0)
    halves = [(np.r_[:150:2], np.r_[1:150:2]), (np.r_[1:150:2], np.r_[:150:2])]
    model = SoftmaxRegressionCV(Cs=[1.0], l1_ratios=[1.0], cv=[*halves, (rest, np.r_[:150])],
                                refit=False)
    with pytest.warns(UserWarning, match=r"1 of 3 folds lack classes.*\[0\] in fold 3"):
        labels = model.fit(X, y).predict(X)
    assert model.scores_.shape == (3, 1, 1) and (labels == y).mean() > 0.9
    np.testing.assert_array_equal(
        model.intercept_, model.coefs_paths_[:2, 0, 0, :, -1].mean(axis=0)
    )
