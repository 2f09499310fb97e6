"""Stages hold every objective once, and starts interpolate optima."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg.solvers.stages import interpolated, stages


@pytest.mark.parametrize("sizes", [(1,), (3, 2), (16,), (15, 40), (100, 100, 7)], ids=str)
def test_every_objective_is_in_one_stage(sizes):
    """Ends of every grid are in the first stage, in any order of the strengths."""
    rng = np.random.default_rng(0)
    strengths = [rng.permutation(np.logspace(0, -3, n)) for n in sizes]
    found = stages(strengths)
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(sum(sizes)))
    assert all(np.all(np.diff(stage) > 0) for stage in found)
    start = 0
    for own in strengths:
        assert {start + own.argmin(), start + own.argmax()} <= set(found[0])
        start += len(own)


@pytest.mark.parametrize("n_known", [2, 3, 4, 9])
def test_starts_are_exact_for_polynomials(n_known):
    """Optima that are polynomials in log strength are found, up to degree 3; zeros stay zeros."""
    at = np.linspace(0, 3, 25)
    known = np.linspace(0, 24, n_known).round().astype(int)
    powers = at[:, np.newaxis] ** np.arange(min(4, n_known))
    thetas = (powers @ (1.0 + np.arange(powers.shape[1])))[:, np.newaxis, np.newaxis] * [1, -2, 3]
    thetas[..., 1] = 0.0
    starts = interpolated(np.exp(at), thetas, known[::-1])
    assert_allclose(starts, thetas, rtol=1e-12)
    assert_array_equal(starts[..., 1], 0.0)


def test_coefficients_do_not_change_their_sign_between_optima():
    """Between a zero and a positive optimum, starts are not negative; the intercept is free."""
    at, known = np.arange(7.0), np.array([0, 2, 4, 6])
    thetas = np.zeros((7, 1, 2))
    thetas[known, 0, 0] = [0, 0, 0.1, 5.0]
    thetas[known, 0, 1] = [1, -1, 1, -1]
    starts = interpolated(np.exp(at), thetas, known)
    assert np.all(starts[..., 0] >= 0)
    assert_allclose(starts[known], thetas[known], atol=1e-14)
