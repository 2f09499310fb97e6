"""The Kronecker-factored change of variables."""

import numpy as np
import pytest

from softmax_reg.objective import Curvature
from softmax_reg.solvers.kronecker import (
    KroneckerTransform,
    _equilibrated,
    kronecker_transform,
)

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
                T = KroneckerTransform(factors, l2, fit_intercept)
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
    T = KroneckerTransform(Curvature(classes, np.zeros(6), covariance), l2, True)
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
    T = KroneckerTransform(Curvature(np.eye(2), np.zeros(3), covariance), 0.0, True)
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
