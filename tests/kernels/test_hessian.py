"""The Hessian for some of the coefficients equals the formula, by every way to compute it."""

import numpy as np
import pytest
from scipy import sparse

from softmax_reg.kernels import hessian
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import random_problem
from .test_kernels import SIZES, assert_close, both

# Dense rows, sparse rows in dense blocks, and by pairs of stored entries whatever they cost.
WAYS = [("dense", hessian.PAIR_COST), ("csr", 1e9), ("csr", 1e-9)]


@pytest.mark.parametrize("form, pair", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_samples, n_features, n_rows", SIZES)
def test_hessian_of_some(monkeypatch, n_samples, n_features, n_rows, dtype, form, pair):
    """Of few coefficients, of one and of all."""
    monkeypatch.setattr(hessian, "PAIR_COST", pair)
    rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
    some = np.flatnonzero(np.random.default_rng(5).random(theta.size) <= 0.3)
    size = np.abs(reference.X - shift).max() + np.abs(shift).max()
    for index in (some, np.array([theta.size - 1]), np.arange(theta.size)):
        if len(index):
            actual = rows.hessian(sample, shift, theta, index)
            expected = reference.hessian(sample, shift, theta, index)
            assert_close(actual, expected, size**3 * n_features)
            np.testing.assert_array_equal(actual, actual.T)


def test_hessian_of_sparse_columns_far_from_zero(monkeypatch):
    """Sums over stored entries would cancel: blocks of centred rows keep their digits."""
    monkeypatch.setattr(hessian, "PAIR_COST", 1e-9)
    X, y, weight, theta = random_problem(200, 5, 3, 0)
    X[:, 2] += 1e6
    shift, index = weight @ X, np.arange(2, theta.size, 3)    # columns 2 and 5
    sample = Sample(y, weight)
    actual = MemoryRows(sparse.csr_array(X)).hessian(sample, shift, theta, index)
    expected = ReferenceRows(X).hessian(sample, shift, theta, index)
    # Numbers of size 1e6 are good to 1e6 eps.
    assert_close(actual, expected, 1e6 * np.abs(X - shift).max() ** 2)


@pytest.mark.parametrize("index", [[], [3, 3], [4, 2], [-1, 2], [0, 24]])
def test_hessian_refuses_coefficients_out_of_range(index):
    """Or in another order: the kernels rely on it."""
    X, y, weight, theta = random_problem(50, 5, 4, 0)
    with pytest.raises(ValueError, match="ascending and in range"):
        MemoryRows(X).hessian(
            Sample(y, weight), np.zeros(5), theta, np.array(index, dtype=int)
        )
