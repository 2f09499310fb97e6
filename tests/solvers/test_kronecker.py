"""The Kronecker-factored change of variables."""

import numpy as np
import pytest

from softmax_reg.problem.curvature import Curvature
from softmax_reg.problem.penalty import L2Penalty
from softmax_reg.rows.algebra import HOST_ALGEBRA
from softmax_reg.solvers.kronecker import KroneckerTransform, _equilibrated, kronecker_transform

from ..problems import objective_of, random_problem
from .test_solvers import make


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_kronecker_transform_has_its_transpose(n_rows, fit_intercept):
    """<T v, g> = <v, T' g>, full and diagonal factors, with and without equilibration."""
    objective = make(n_rows, fit_intercept=fit_intercept)
    full = objective.curvature(objective.null_point.theta)
    rng = np.random.default_rng(0)
    v, g = rng.standard_normal((2, *objective.shape))
    for classes in (full.classes, np.diag(full.classes)):
        for covariance in (full.covariance, np.diag(full.covariance)):
            for l2 in (0.1, 0.0):
                factors = full._replace(classes=classes, covariance=covariance)
                T = KroneckerTransform(factors, l2, fit_intercept, HOST_ALGEBRA)
                left, right = np.sum(T.apply(v) * g), np.sum(v * T.apply_transposed(g))
                assert left == pytest.approx(right, rel=1e-8)


@pytest.mark.parametrize("l2", [0.0, 1e-6, 1e-2])
@pytest.mark.parametrize("decades", [0, 7, 100])
def test_equilibrated_transform_whitens_columns_of_any_scale(decades, l2):
    """T' (A (x) Sigma + l2 I) T = I where the scales of the columns hide eigenvalues."""
    rng = np.random.default_rng(0)
    correlation = np.corrcoef(rng.standard_normal((6, 40)))
    scale = 10.0 ** np.linspace(-decades, decades, 6)
    covariance = correlation * scale * scale[:, np.newaxis]
    classes = np.diag([1.0, 2.0, 3.0]) - 0.5
    gamma = np.linalg.eigvalsh(classes)[-1]
    share, basis = _equilibrated(covariance, l2 / gamma)
    np.testing.assert_allclose(
        basis @ covariance @ basis.T + l2 / gamma * basis @ basis.T, np.eye(6), atol=1e-9
    )
    np.testing.assert_allclose(basis @ covariance @ basis.T, np.diag(share), atol=1e-9)
    factors = Curvature(classes, np.zeros(6), covariance)
    T = KroneckerTransform(factors, l2, True, HOST_ALGEBRA)
    for j, k in ((0, 0), (3, 1), (5, 2)):
        v = np.zeros((3, 7))
        v[k, j] = 1.0
        coef = T.apply(v)[:, :-1]
        image = np.zeros((3, 7))
        image[:, :-1] = classes @ coef @ covariance + l2 * coef
        np.testing.assert_allclose(T.apply_transposed(image)[:, :-1], v[:, :-1], atol=1e-8)


def test_constant_columns_without_a_penalty_stay_at_zero():
    """Nothing depends on their coefficients: the transform must not blow up rounding."""
    covariance = np.diag([1.0, 0.0, 4.0])
    factors = Curvature(np.eye(2), np.zeros(3), covariance)
    T = KroneckerTransform(factors, 0.0, True, HOST_ALGEBRA)
    assert np.abs(T.apply(np.ones((2, 4)))).max() <= 2


def test_kronecker_transform_whitens_the_binary_hessian():
    """One class row: T' H T = I exactly, whatever the columns' scales."""
    objective = make(1)
    theta = np.random.default_rng(0).standard_normal(objective.shape) * 1e-3
    T = kronecker_transform(objective, theta)
    size = objective.shape[1]
    identity = np.stack(
        [
            T.apply_transposed(
                objective.hess_prod(theta, T.apply(np.eye(size)[[j]]))
            ).ravel()
            for j in range(size)
        ]
    )
    np.testing.assert_allclose(identity, np.eye(size), atol=1e-7)


@pytest.mark.parametrize("l2", [0.0, 1e-320, 1e-300, 1e-18])
@pytest.mark.parametrize("variance", [0.0, 1e-40, -1e-17])
def test_rounding_in_a_column_that_does_not_vary(variance, l2):
    """Covariances far beyond what its variance allows: no endless search for a ridge."""
    covariance = np.array(
        [[1.0, 1e-10, 0.1], [1e-10, variance, -1e-9], [0.1, -1e-9, variance]]
    )
    share, basis = _equilibrated(covariance, l2)
    assert np.isfinite(basis).all() and share.min() >= 0 and share.max() <= 1


def _transforms(l2, *covariances):
    """One for each covariance, each but the first keeping the eigenvectors of the last."""
    classes, transform = np.diag([1.0, 2.0, 3.0]) - 0.5, None
    for covariance in covariances:
        factors = Curvature(classes, np.zeros(len(covariance)), covariance)
        transform = KroneckerTransform(factors, l2, True, HOST_ALGEBRA, transform)
        yield transform


def test_kept_eigenvectors():
    """The covariance counts by its diagonal in their coordinates."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    first, second = (basis * rng.uniform(1, 9, 6) @ basis.T for _ in range(2))
    v = rng.standard_normal((3, 7))
    _, kept = _transforms(0.1, first, second)
    (new,) = _transforms(0.1, second)
    # Eigenvectors come in order and with a sign of their own: compare T T'.
    np.testing.assert_allclose(
        kept.apply(kept.apply_transposed(v)), new.apply(new.apply_transposed(v)), rtol=1e-12,
        atol=1e-12,
    )
    off_diagonal = basis @ np.triu(rng.standard_normal((6, 6)), 1) @ basis.T
    _, same = _transforms(0.1, first, second + off_diagonal + off_diagonal.T)
    np.testing.assert_allclose(same.apply(v), kept.apply(v), rtol=1e-12, atol=1e-12)


def test_equilibrated_bases_are_not_kept():
    """They are not orthonormal, and scales may have changed."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** np.linspace(-7, 7, 6)
    first = np.corrcoef(rng.standard_normal((6, 40))) * scale * scale[:, np.newaxis]
    v = rng.standard_normal((3, 7))
    for second in (np.corrcoef(rng.standard_normal((6, 40))), first):
        _, kept = _transforms(1e-6, first, second)
        (new,) = _transforms(1e-6, second)
        np.testing.assert_array_equal(kept.apply(v), new.apply(v))


def test_a_diagonal_covariance_is_its_own_eigenbasis():
    """That of rotated rows in the row space; it is kept like any other."""
    diagonal = np.diag([3.0, 1.0, 2.0])
    first, second = _transforms(0.1, diagonal, diagonal + 0.5)
    v = np.arange(12.0).reshape(3, 4)
    (by_diagonal,) = _transforms(0.1, np.diag(diagonal))
    np.testing.assert_allclose(first.apply(v), by_diagonal.apply(v), rtol=1e-14)
    (by_diagonal,) = _transforms(0.1, np.diag(diagonal + 0.5))
    np.testing.assert_allclose(second.apply(v), by_diagonal.apply(v), rtol=1e-14)


@pytest.mark.parametrize("n_features, keeps", [(20, False), (400, True)])
def test_eigenvectors_are_kept_where_they_are_dear(n_features, keeps):
    """Next to the evaluations of a small problem."""
    rng = np.random.default_rng(0)
    X, y, weight, _ = random_problem(50, n_features, 3, 0)
    objective = objective_of(
        X @ rng.standard_normal((n_features, n_features)), y, weight, n_classes=3,
        binary=False, penalty=L2Penalty(0.1), fit_intercept=True,
    )
    start = kronecker_transform(objective, objective.null_point.theta)
    theta = rng.standard_normal(objective.shape) * 1e-2
    v = rng.standard_normal(objective.shape)
    after = kronecker_transform(objective, theta, start)
    new = kronecker_transform(objective, theta)
    assert np.array_equal(after.apply(v), new.apply(v)) != keeps


@pytest.mark.parametrize("classes, covariance, l2", [
    (np.eye(3), np.array([1.0, 0.0, 4.0]), 0.0),    # a constant column, unpenalised
    (np.zeros((3, 3)), np.eye(3), 0.1), (np.zeros((3, 3)), np.ones(3), 0.1),
])
def test_factors_without_curvature(classes, covariance, l2):
    """Diagonals and classes that are zero: nothing is divided by them."""
    factors = Curvature(classes, np.zeros(3), covariance)
    T = KroneckerTransform(factors, l2, True, HOST_ALGEBRA)
    assert np.isfinite(T.apply(np.ones((3, 4)))).all()
