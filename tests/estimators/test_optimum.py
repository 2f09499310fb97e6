"""The defaults reach the certified optimum on raw and standardised real data."""

import warnings
from functools import lru_cache

import numpy as np
import pytest
from scipy.optimize import linprog

from softmax_reg import SeparationWarning, SoftmaxRegression

from ..problems import BUNDLED, EPS, bundled, long_double_objective, long_double_optimum

pytestmark = pytest.mark.compiled


def _uniform(y):
    return np.full(len(y), 1 / len(y))


@lru_cache
def _optimum(name, standardised, C, dtype=np.float64):
    """f* in long double; columns rounded to float32 are another problem with its own."""
    X, y = bundled(name, standardised, dtype)
    n_rows = 1 if y.max() == 1 else y.max() + 1
    value, gap = long_double_optimum(X, y, _uniform(y), n_rows, 1 / (C * len(y)))
    assert gap <= 1e-12
    return value


@pytest.mark.parametrize("C", [0.01, 1, 100])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_defaults_reach_the_certified_optimum(name, standardised, dtype, C):
    """0 <= f - f* <= dual_gap_ <= tol f, f* by long-double Newton; in fact f - f* <= 1e-6 f*."""
    X, y = bundled(name, standardised, dtype)
    model = SoftmaxRegression(C=C).fit(X, y)
    l2 = 1 / (C * len(y))
    value, _ = long_double_objective(X, y, _uniform(y), model.coef_, model.intercept_, l2)
    optimum = _optimum(name, standardised, C, dtype)
    assert -8 * EPS * value <= value - optimum <= 1e-6 * optimum
    assert model.dual_gap_ >= model.objective_ - optimum - 8 * EPS * optimum
    assert model.dual_gap_ <= model.tol * model.objective_
    if dtype is np.float64:
        # The loss inherits the rounding of its logits, so many eps as they are large.
        size = (np.abs(X) @ np.abs(model.coef_).T + np.abs(model.intercept_)).max()
        assert abs(model.objective_ - value) <= 8 * EPS * max(1, size) * value
    newton = model.solver_ == "newton-cholesky"
    assert (model.n_iter_[0] <= 50) if newton else (model.n_evaluations_ <= 250)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_every_solver_reaches_the_same_optimum(name, solver):
    """The certificate holds for each solver on raw columns."""
    X, y = bundled(name)
    model = SoftmaxRegression(solver=solver).fit(X, y)
    optimum = _optimum(name, False, 1)
    assert -8 * EPS * optimum <= model.objective_ - optimum <= model.dual_gap_ + 8 * EPS * optimum
    assert model.dual_gap_ <= model.tol * model.objective_
    assert model.solver_ == solver


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cholesky", "newton-cg"])
def test_column_scales_over_sixteen_decades_are_certified(solver):
    """Columns times 1e-8 to 1e8 in one matrix: gap <= tol f; lbfgs gets there with help."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 6))
    y = (X @ rng.standard_normal((6, 4)) + rng.gumbel(size=(500, 4))).argmax(axis=1)
    model = SoftmaxRegression(solver=solver).fit(X * np.logspace(-8, 8, 6), y)
    assert model.dual_gap_ <= model.tol * model.objective_


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_tol_zero_goes_to_the_rounding_floor(name, solver):
    """tol=0 ends silently, as close to the optimum as float64 shows."""
    X, y = bundled(name)
    model = SoftmaxRegression(tol=0, solver=solver).fit(X, y)
    optimum = _optimum(name, False, 1)
    size = (np.abs(X) @ np.abs(model.coef_).T + np.abs(model.intercept_)).max()
    assert abs(model.objective_ - optimum) <= 8 * EPS * max(1, size) * optimum


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_separable_classes_without_a_penalty_warn(name, standardised, solver):
    """C=inf on separable data: SeparationWarning, finite coef_, within max_iter."""
    X, y = bundled(name, standardised)
    with pytest.warns(SeparationWarning, match="no optimum"):
        model = SoftmaxRegression(C=np.inf, solver=solver).fit(X, y)
    assert np.all(np.isfinite(model.coef_)) and np.all(np.isfinite(model.intercept_))
    assert model.n_iter_[0] < model.max_iter
    assert model.dual_gap_ == np.inf


def is_separable(X, y):
    """Konis's linear programme: some direction D moves no row towards a wrong class.

    Maximise sum_i,k (D_y(i) - D_k) x_i over |D| <= 1 with every term >= 0.
    """
    n_samples, n_classes = len(y), y.max() + 1
    design = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(n_samples)])
    rows = []
    for k in range(n_classes):
        wrong = y != k
        block = np.zeros((wrong.sum(), n_classes, design.shape[1]))
        block[np.arange(wrong.sum()), y[wrong]] = design[wrong]
        block[:, k] -= design[wrong]
        rows.append(block.reshape(wrong.sum(), -1))
    margins = np.concatenate(rows)
    result = linprog(
        -margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1)
    )
    assert result.status == 0
    return -result.fun > 1e-6


def _overlapping(name):
    if name == "iris sepals":
        X, y = bundled("iris")
        return X[y > 0][:, :2], y[y > 0] - 1
    if name == "wine two columns":
        X, y = bundled("wine")
        return X[:, [0, 12]], y
    n_classes = int(name.split()[-1])
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((1000, 5)) * np.logspace(-2, 3, 5)
    y = ((X / np.logspace(-2, 3, 5)) @ rng.standard_normal((5, n_classes))).argmax(axis=1)
    noisy = rng.random(len(y)) < 0.2
    y[noisy] = rng.integers(0, n_classes, noisy.sum())
    return X, y


OVERLAPPING = ("iris sepals", "wine two columns", "label noise 3", "label noise 10")


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("name", OVERLAPPING)
def test_overlapping_classes_reach_the_unpenalised_optimum(name, solver):
    """C=inf on overlapping data: no warning, f - f* <= 1e-6 f*, classes sum to zero."""
    X, y = _overlapping(name)
    n_rows = 1 if y.max() == 1 else y.max() + 1
    model = SoftmaxRegression(C=np.inf, solver=solver, tol=1e-6).fit(X, y)
    value, _ = long_double_objective(X, y, _uniform(y), model.coef_, model.intercept_, 0)
    # A penalty of 1e-14 in nats moves the optimum by far less than the tolerance.
    optimum, _ = long_double_optimum(X, y, _uniform(y), n_rows, 1e-16)
    assert -1e-9 * optimum <= value - optimum <= 1e-6 * optimum
    if n_rows > 1:
        np.testing.assert_allclose(
            model.coef_.sum(axis=0), 0, atol=64 * EPS * np.abs(model.coef_).max()
        )


def test_linear_programming_tells_overlap_from_separation():
    """The problems of this file are what their names say."""
    for name in OVERLAPPING:
        assert not is_separable(*_overlapping(name)), name
    for name in ("iris", "wine", "breast_cancer"):
        assert is_separable(*bundled(name)), name


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-3, 1, 1e3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_same_optimum_as_scikit_learn(n_classes, C, fit_intercept):
    """f(ours) <= f(LogisticRegression) + certificate, and the same coef_, with weights."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    y = (X @ rng.standard_normal((4, n_classes)) + rng.gumbel(size=(300, n_classes))).argmax(1)
    weight = rng.uniform(0, 3, 300)
    options = {"C": C, "fit_intercept": fit_intercept, "class_weight": "balanced"}
    ours = SoftmaxRegression(**options, tol=1e-13).fit(X, y, sample_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LogisticRegression(**options, tol=1e-13, max_iter=10_000, solver="newton-cg")
        theirs.fit(X, y, sample_weight=weight)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6 * scale, rtol=0)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6 * max(1, scale))
