"""Fits in the row space of X are the fits on X."""

import numpy as np
import pytest
from scipy.linalg import eigh

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators.validation import check_training_data
from softmax_reg.problem import coordinates
from softmax_reg.problem.coordinates import RowSpace, reduction_pays
from softmax_reg.problem.penalty import L2Penalty
from softmax_reg.problem.problem import Problem
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import EPS, long_double_objective, objective_of


def wide_problem(n_classes=3, n=25, p=80, dtype=np.float64):
    """(X, y, weight) with raw columns on several scales and offsets."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n, p)) + 3) * 10 ** rng.uniform(-2, 2, p)
    weight = rng.uniform(0.5, 2, n)
    weight[::7] = 0
    return X.astype(dtype), np.arange(n) % n_classes, weight


def reduced_and_full(fit_intercept, n_classes, kind, dtype):
    """The row space of one problem's X, and its objectives there and on X itself."""
    X, y, weight = wide_problem(n_classes, dtype=dtype)
    options = {"kind": kind, "n_classes": n_classes, "binary": n_classes == 2,
               "penalty": L2Penalty(0.03), "fit_intercept": fit_intercept}
    full = objective_of(X, y, weight, **options)
    space = RowSpace.of(full.rows.as_dense(), full.coordinates.shift, full.algebra)
    return space, objective_of(space.columns, y, weight, **options), full


@pytest.mark.parametrize("kind", [MemoryRows, ReferenceRows])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_values_and_coordinates_agree(fit_intercept, n_classes, dtype, kind):
    """The reduced value at theta is the full one at its coefficients, and back again."""
    space, reduced, full = reduced_and_full(fit_intercept, n_classes, kind, dtype)
    rng = np.random.default_rng(1)
    theta = 0.1 * rng.standard_normal(reduced.shape)
    if not fit_intercept:
        theta[:, -1] = 0
    if n_classes > 2:
        theta -= theta.mean(axis=0)
    coef, intercept = space.to_coef(*reduced.to_coef(theta))
    assert coef.shape == full.shape[:1] + (full.n_features,)
    value = full.evaluate(full.from_coef(coef, intercept)).value
    assert reduced.evaluate(theta).value == pytest.approx(value, rel=1e-10)
    # The smallest singular value that is kept sets how well theta comes back.
    back = reduced.from_coef(*space.from_coef(coef, intercept))
    np.testing.assert_allclose(back, theta, atol=1e-7)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.usefixtures("by_kernels")
def test_fit_is_certified_on_X_itself(solver, n_classes, fit_intercept):
    """n = 60, p = 3000: objective_ is X's own, the gap holds, warm starts stay."""
    X, y, weight = wide_problem(n_classes, n=60, p=3000)
    assert reduction_pays(60, 3000, n_classes)
    model = SoftmaxRegression(
        solver=solver, fit_intercept=fit_intercept, warm_start=True, tol=1e-6
    ).fit(X, y, weight)
    assert model.coef_.shape == (1 if n_classes == 2 else 3, 3000)
    value, grad = long_double_objective(
        X, y, weight / weight.sum(), model.coef_, model.intercept_, 1 / weight.sum()
    )
    assert model.objective_ == pytest.approx(float(value), rel=1e-12)
    slack = (grad[:, :-1] ** 2).sum() / (2 / weight.sum())
    assert slack <= 2e-6 * value
    assert model.dual_gap_ <= 1e-6 * model.objective_
    assert model.history_["gap"][-1] == model.dual_gap_
    again = model.objective_
    assert model.fit(X, y, weight).n_iter_[0] <= 3
    assert model.objective_ == pytest.approx(again, rel=1e-6)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("value", [7.0, 0.0])
@pytest.mark.usefixtures("by_kernels")
def test_constant_columns_leave_the_class_frequencies(value, solver):
    """X without any variation: W = 0 and the frequencies are the optimum."""
    y = np.arange(30) % 3
    model = SoftmaxRegression(solver=solver).fit(np.full((30, 5000), value), y)
    np.testing.assert_allclose(model.coef_, 0, atol=1e-12)
    assert model.objective_ == pytest.approx(np.log(3), rel=16 * EPS)


@pytest.mark.usefixtures("by_kernels")
def test_weights_whose_sum_overflows():
    """60 rows of weight 1e307 are 60 rows of weight 1."""
    X, y, _ = wide_problem(3, n=60, p=3000)
    huge = SoftmaxRegression(C=1e-307, tol=1e-6).fit(X, y, np.full(60, 1e307))
    model = SoftmaxRegression(tol=1e-6).fit(X, y)
    np.testing.assert_allclose(huge.coef_, model.coef_, rtol=1e-6)


def test_when_it_pays():
    """Only where p is well above n."""
    assert reduction_pays(300, 20_000, 5)
    assert not reduction_pays(300, 200, 5)
    assert not reduction_pays(20_000, 20_001, 2)


@pytest.mark.compiled
@pytest.mark.usefixtures("by_kernels")
def test_what_the_reduction_leaves_out_is_found_on_X(monkeypatch):
    """Half of the row space lost: the fit is opened again and certified all the same."""
    X, y, weight = wide_problem(3, n=60, p=3000)
    whole = SoftmaxRegression(tol=1e-6).fit(X, y, weight)

    def half(matrix, **options):
        squares, basis = eigh(matrix, **options)
        if len(squares) == 60:
            squares[:30] = 0.0
        return squares, basis

    monkeypatch.setattr(coordinates, "eigh", half)
    model = SoftmaxRegression(tol=1e-6).fit(X, y, weight)
    assert model.dual_gap_ <= 1e-6 * model.objective_
    assert model.history_["gap"][-1] == model.dual_gap_
    assert model.history_["objective"][-1] == model.objective_
    assert model.objective_ <= whole.objective_ * (1 + 1e-6)
    assert model.n_evaluations_ > whole.n_evaluations_


@pytest.mark.parametrize("C, reduces", [(1.0, True), (np.inf, False)])
@pytest.mark.usefixtures("by_kernels")
def test_only_with_a_penalty(C, reduces):
    """Without one the optimum need not lie in the row space."""
    X, y, weight = wide_problem(3, n=60, p=3000)
    data = check_training_data(SoftmaxRegression(), X, y, weight)
    problem = Problem(data, C=C, fit_intercept=True)
    assert (problem._row_space is not None) is reduces
    assert (problem.objective.n_features < 60) is reduces
