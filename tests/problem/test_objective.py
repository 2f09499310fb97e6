"""Derivatives by five-point stencils over the whole grid, and coordinates."""

import numpy as np
import pytest

from softmax_reg.problem.penalty import L2Penalty, penalty_of
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import EPS, long_double_objective, objective_of, random_problem

GRID = [
    pytest.mark.parametrize("kind", [MemoryRows, ReferenceRows]),
    pytest.mark.parametrize("sparse_X", [False, True]),
    pytest.mark.parametrize("dtype", [np.float32, np.float64]),
    pytest.mark.parametrize("l2", [0.0, 0.3]),
    pytest.mark.parametrize("weighted", [False, True]),
    pytest.mark.parametrize("fit_intercept", [False, True]),
    pytest.mark.parametrize("n_rows", [1, 3]),
]


def whole_grid(test):
    """Intercept x weights x penalty x dtype x dense/sparse x binary/multi x rows."""
    for mark in GRID:
        test = mark(test)
    return test


def make(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind):
    """(objective, X dense, y, weights summing to 1, theta in the objective's coordinates)."""
    X, y, weight, theta = random_problem(23, 4, n_rows, sparse_X=sparse_X, dtype=dtype)
    if not weighted:
        weight = np.full(len(y), 1 / len(y))
    if not fit_intercept:
        theta[:, -1] = 0
    objective = objective_of(
        X, y, 7 * weight, kind=kind, n_classes=max(n_rows, 2), binary=n_rows == 1,
        penalty=L2Penalty(l2), fit_intercept=fit_intercept,
    )
    return objective, ReferenceRows(X).X, y, weight, theta


def stencil(function, x, step):
    """Derivative of function(t) at 0 along a line, five points, error O(step^4)."""
    return (
        function(-2 * step) - 8 * function(-step) + 8 * function(step) - function(2 * step)
    ) / (12 * step)


@whole_grid
def test_value_and_gradient(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind):
    """f equals its long-double formula; <grad, d> = df/dt by the stencil, rtol 1e-7."""
    objective, X, y, weight, theta = make(
        n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind
    )
    point = objective.evaluate(theta)
    coef, intercept = theta[:, :-1], theta[:, -1] - theta[:, :-1] @ objective.coordinates.shift
    value, _ = long_double_objective(X, y, weight, coef, intercept, l2)
    size = np.abs(X).max() * np.abs(theta).sum() + 1
    assert abs(point.value - value) <= 8 * EPS * size
    rng = np.random.default_rng(1)
    for _ in range(3):
        direction = rng.standard_normal(theta.shape)
        if not fit_intercept:
            direction[:, -1] = 0
        slope = stencil(
            lambda t, d=direction: objective.evaluate(theta + t * d).value, theta, 1e-3
        )
        expected = np.sum(point.grad * direction)
        assert slope == pytest.approx(expected, rel=1e-7, abs=1e-7 * np.abs(point.grad).max())
    if n_rows > 1:
        np.testing.assert_allclose(point.loss_grad.sum(axis=0), 0, atol=64 * EPS * size)


@whole_grid
def test_hessian_products(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind):
    """H d = d grad / dt by the stencil, = the dense Hessian times d; H is symmetric."""
    objective, X, _, _, theta = make(
        n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind
    )
    direction = np.random.default_rng(1).standard_normal(theta.shape)
    if not fit_intercept:
        direction[:, -1] = 0
    product = objective.hess_prod(theta, direction)
    slope = stencil(lambda t: objective.evaluate(theta + t * direction).grad, theta, 1e-3)
    np.testing.assert_allclose(product, slope, rtol=1e-7, atol=1e-7 * np.abs(slope).max())
    hessian = objective.evaluate(theta, with_hessian=True).hessian
    np.testing.assert_allclose(hessian, hessian.T, atol=EPS * np.abs(hessian).max())
    np.testing.assert_allclose(
        (hessian @ direction.ravel()).reshape(theta.shape), product,
        atol=256 * EPS * max(1, np.abs(hessian).max()),
    )


@whole_grid
def test_curvature_factors(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind):
    """Binary: A (x) [Sigma + mu mu', mu; mu', 1] is the Hessian; else its class trace is."""
    objective, *_, theta = make(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind)
    classes, mean, covariance = objective.curvature(theta)
    width = theta.shape[1]
    hessian = objective.evaluate(theta, with_hessian=True).hessian
    blocks = hessian.reshape(n_rows, width, n_rows, width)
    traced = np.einsum("kjkm->jm", blocks)[:-1, :-1] - n_rows * l2 * np.eye(width - 1)
    second = covariance + mean[:, np.newaxis] * mean
    np.testing.assert_allclose(
        np.trace(classes) * second, traced, rtol=1e-10, atol=1e-10 * np.abs(traced).max()
    )
    assert fit_intercept or not mean.any()


@pytest.mark.parametrize("sparse_X", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_coordinates_round_trip(n_rows, fit_intercept, sparse_X):
    """from_coef inverts to_coef, and coef, intercept give the same value on raw columns."""
    objective, X, y, weight, theta = make(
        n_rows, fit_intercept, True, 0.1, np.float64, sparse_X, MemoryRows
    )
    if n_rows > 1:
        theta -= theta.mean(axis=0)
    coef, intercept = objective.to_coef(theta)
    np.testing.assert_allclose(objective.from_coef(coef, intercept), theta, atol=64 * EPS)
    value, _ = long_double_objective(X, y, weight, coef, intercept, 0.1)
    size = np.abs(X).max() * np.abs(theta).sum() + 1
    assert abs(objective.evaluate(theta).value - value) <= 8 * EPS * size


def test_null_point_predicts_class_frequencies():
    """The start is W = 0, b = log of the weighted class frequencies."""
    objective, _, y, weight, _ = make(3, True, True, 0.1, np.float64, False, MemoryRows)
    frequencies = np.bincount(y, weights=weight)
    assert objective.null_point.value == pytest.approx(
        -weight @ np.log(frequencies)[y], rel=16 * EPS
    )
    np.testing.assert_allclose(objective.null_point.grad[:, -1], 0, atol=16 * EPS)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_only_relative_weights_matter(scale):
    """Weights times a constant, penalty fixed on the mean loss: the same function."""
    X, y, weight, theta = random_problem(20, 3, 3)
    values = [
        objective_of(
            X, y, s * weight, n_classes=3, binary=False, penalty=L2Penalty(0.1),
            fit_intercept=True,
        ).evaluate(theta).value
        for s in (1, scale)
    ]
    assert values[0] == pytest.approx(values[1], rel=16 * EPS)


def test_evaluations_are_counted():
    """Every pass over the rows counts one: means, null point, then each call."""
    objective, *_, theta = make(3, True, True, 0.1, np.float64, False, MemoryRows)
    assert objective.passes.n == 2
    objective.evaluate(theta)
    objective.gap(objective.null_point)
    objective.hess_prod(theta, theta)
    objective.evaluate(theta, with_hessian=True)
    objective.curvature(theta)
    assert objective.passes.n == 6


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("before, after", [
    (L2Penalty(0.3), L2Penalty(0.02)),
    (penalty_of(0.1, l1_ratio=0.4), penalty_of(3.0, l1_ratio=0.4)),
])
def test_a_point_with_another_penalty_needs_no_pass(n_rows, before, after):
    """The same bits as an evaluation there."""
    X, y, weight, theta = random_problem(23, 4, n_rows)
    options = {"n_classes": max(n_rows, 2), "binary": n_rows == 1, "fit_intercept": True}
    objective = objective_of(X, y, weight, penalty=before, **options)
    point = objective.evaluate(theta, with_hessian=True)
    objective = objective.with_penalty(after)
    n_passes = objective.passes.n
    again = objective.repenalised(point)
    assert objective.passes.n == n_passes and again.hessian is None
    expected = objective.evaluate(theta)
    assert (again.value, objective.gap(again)) == (expected.value, objective.gap(expected))
    np.testing.assert_array_equal(again.grad, expected.grad)


@whole_grid
def test_the_hessian_of_the_null_model(
    n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind
):
    """A Kronecker product, where all rows have the same probabilities."""
    objective, *_, theta = make(n_rows, fit_intercept, weighted, l2, dtype, sparse_X, kind)
    for point in (objective.null_point, objective.evaluate(theta)):
        found = objective.hessian_of(point)
        expected = objective.evaluate(point.theta, with_hessian=True).hessian
        scale = np.sqrt(np.abs(expected.diagonal()))
        scale[scale == 0] = 1.0
        error = np.abs(found - expected) / scale / scale[:, np.newaxis]
        assert error.max() <= 64 * EPS
