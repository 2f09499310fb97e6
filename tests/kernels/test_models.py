"""Minima of stacks of quadratic models meet the optimality conditions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg.rows.algebra import HOST_ALGEBRA

N, M = 4, 7


def models(condition, seed=0, rank=M):
    """Hessians, gradients at the starts, starts and thresholds of random models."""
    rng = np.random.default_rng(seed)
    values = np.where(np.arange(M) < rank, np.logspace(0, -np.log10(condition), M), 0.0)
    basis = np.linalg.qr(rng.standard_normal((N, M, M)))[0]
    hessians = basis * values @ basis.swapaxes(1, 2)
    starts = rng.standard_normal((N, M)) * (rng.random((N, M)) < 0.5)
    grads = (hessians @ rng.standard_normal((N, M, 1)))[..., 0]
    thresholds = np.full((N, M), 0.02)
    thresholds[:, -1] = 0.0
    return (hessians + hessians.swapaxes(1, 2)) / 2, grads, starts, thresholds


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("condition, rank", [(1.0, M), (1e4, M), (1e8, M), (1e2, M - 2)])
def test_minima_meet_the_optimality_conditions(condition, rank, scale):
    """slope + threshold sign(x) = 0 where x != 0, |slope| <= threshold elsewhere.

    The slope is H d + g. Coordinates may be in any unit, and the Hessian singular.
    """
    hessians, grads, starts, thresholds = models(condition, rank=rank)
    units = scale ** np.linspace(-1, 1, M)
    hessians *= units * units[:, np.newaxis]
    grads, starts, thresholds = grads * units, starts / units, thresholds * units
    x, slopes = starts.copy(), grads.copy()
    HOST_ALGEBRA.minimise_models(hessians, slopes, x, thresholds, 1e-14)
    change = (hessians @ (x - starts)[..., np.newaxis])[..., 0]
    size = np.abs(grads / units).max() + np.abs(x * units).max()
    assert_allclose(slopes / units, (grads + change) / units, atol=1e-13 * size)
    is_zero = (x == 0) & (thresholds > 0)
    violation = np.where(
        is_zero, np.maximum(np.abs(slopes) - thresholds, 0.0),
        np.abs(slopes + thresholds * np.sign(x)),
    )
    assert_allclose(violation / units, 0, atol=1e-7 * size)
    assert is_zero.any() and not is_zero.all()


def test_models_do_not_depend_on_the_others():
    """Each model of a stack ends at the same bits alone."""
    hessians, slopes, x, thresholds = models(1e3)
    alone = [part.copy() for part in (slopes, x)]
    HOST_ALGEBRA.minimise_models(hessians, slopes, x, thresholds, 1e-10)
    for b in range(N):
        some = slice(b, b + 1)
        HOST_ALGEBRA.minimise_models(
            hessians[some], *(part[some] for part in alone), thresholds[some], 1e-10
        )
    assert_array_equal(alone[1], x)


def test_parameters_without_curvature_stay():
    """A row and column of zeros leaves its coordinate where it is; NaN ends without an error."""
    hessians, slopes, x, thresholds = models(10.0)
    hessians[:, 2], hessians[:, :, 2], slopes[:, 2] = 0.0, 0.0, 0.0
    before = x[:, 2].copy()
    slopes[0] = np.nan
    HOST_ALGEBRA.minimise_models(hessians, slopes, x, thresholds, 1e-10)
    assert_array_equal(x[:, 2], before)
    assert np.isfinite(x[1:]).all()
