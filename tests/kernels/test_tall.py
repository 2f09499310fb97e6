"""Blocks that hold one row of X in each lane: loading, inner products, and where they serve."""

import numpy as np
import pytest

from softmax_reg.kernels import tall
from softmax_reg.kernels.jit import kernel
from softmax_reg.kernels.registers import REGISTER_BYTES
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows

from ..problems import random_problem

pytestmark = pytest.mark.compiled
LANES = REGISTER_BYTES // 8


@kernel
def call_load(source, first, last, shift, x_t, ahead):
    """`load` is for kernels."""
    tall.load(source, first, last, shift, x_t, ahead)


@kernel
def call_inner_products(left, right, out, is_lower, address, n_bytes):
    """`add_inner_products` is for kernels."""
    tall.add_inner_products(left, right, out, is_lower, address, n_bytes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("arithmetic", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 3, 8, 9, 16, 31, 64])
def test_blocks_hold_centred_columns(n_features, arithmetic, dtype):
    """The bits of the differences; zeros beyond the rows; the row of ones is left alone."""
    rng = np.random.default_rng(0)
    X, shift = rng.standard_normal((90, n_features)).astype(dtype), rng.standard_normal(n_features)
    block = 7 * REGISTER_BYTES // np.dtype(arithmetic).itemsize
    for size in (1, LANES - 1, LANES, LANES + 1, 2 * LANES, min(block, 50)):
        for first in (0, 3):
            x_t = np.full((n_features + 1, block), 7.0, dtype=arithmetic)
            call_load(X, first, first + size, shift, x_t, 0)
            expected = np.zeros_like(x_t)
            expected[:-1, :size] = (X[first:first + size] - shift).T
            expected[-1, :size] = 7.0
            np.testing.assert_array_equal(x_t, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 7, 13])
@pytest.mark.parametrize("n_columns", [1, 2, 3, 5, 11, 32])
def test_inner_products(n_rows, n_columns, dtype):
    """left @ right.T, added; what is outside of the product or above its diagonal is untouched."""
    rng = np.random.default_rng(1)
    lanes = REGISTER_BYTES // np.dtype(dtype).itemsize
    left, right = (rng.standard_normal((n, 7 * lanes)).astype(dtype) for n in (n_rows, n_columns))
    expected = left.astype(np.float64) @ right.T.astype(np.float64)
    bound = 16 * np.finfo(dtype).eps * (np.abs(left) @ np.abs(right).T).max()
    for is_lower in (0, 1):
        out = np.ones((n_rows + 1, n_columns + 2))
        call_inner_products(left, right, out, is_lower, left.ctypes.data, 64 * n_rows)
        valid = np.tri(n_rows, n_columns, dtype=bool) if is_lower else np.True_
        error = np.abs(out[:n_rows, :n_columns] - 1 - expected)
        assert np.max(error, where=valid, initial=0) <= bound
        assert np.all(out[n_rows:] == 1) and np.all(out[:, n_columns:] == 1)


def test_shapes_that_do_not_fit_are_refused():
    """Tiles do not check bounds, so what calls them does."""
    X, shift, x_t = np.ones((9, 3)), np.zeros(3), np.ones((4, LANES))
    for first, last, mean, target in (
        (5, 10, shift, x_t), (-1, 2, shift, x_t), (3, 2, shift, x_t), (0, 2, np.zeros(2), x_t),
        (0, 2, shift, np.ones((5, LANES))), (0, LANES + 1, shift, x_t),
    ):
        with pytest.raises(ValueError, match="shapes do not fit"):
            call_load(X, first, last, mean, target, 0)
    for left, right, out in (
        ((2, LANES), (3, 2 * LANES), (2, 3)), ((2, LANES + 1), (3, LANES + 1), (2, 3)),
        ((2, LANES), (3, LANES), (1, 3)), ((2, LANES), (3, LANES), (2, 2)),
    ):
        with pytest.raises(ValueError, match="shapes do not fit"):
            call_inner_products(np.ones(left), np.ones(right), np.ones(out), 0, 0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_samples, n_features, n_rows", [(300, 9, 7), (700, 64, 32), (33, 5, 1)])
def test_both_kernels_agree(monkeypatch, n_samples, n_features, n_rows, dtype):
    """Loss, gradient, errors, Hessian and predictions of the kernel for wide rows, to rounding."""
    X, y, weight, theta = random_problem(n_samples, n_features, n_rows, 0, dtype=dtype)
    rows, sample = MemoryRows(X), Sample(y, weight)
    shift, theta = np.full(n_features, 0.1), theta / np.sqrt(n_features)

    def results():
        loss, grad, n_errors, hessian = rows.value_grad_hessian(sample, shift, theta)
        return n_errors, loss, grad, hessian, rows.predictions(theta, "log_probabilities")[0]

    assert tall.serves(rows.n_features, max(2, n_rows))
    (n_errors, *actual) = results()
    # No option chooses a kernel: the shape does.
    monkeypatch.setattr(tall, "MAX_FEATURES", 0)
    (expected_errors, *expected) = results()
    assert n_errors == expected_errors
    for one, other in zip(actual, expected, strict=True):
        size = np.abs(other).max() * np.sqrt(n_samples * n_features)
        np.testing.assert_allclose(one, other, atol=16 * np.finfo(np.float64).eps * size)


def test_where_it_serves():
    """Few features and few classes; other rows have the kernel that pads both."""
    assert tall.serves(1, 2) and tall.serves(tall.MAX_FEATURES, tall.MAX_CLASSES)
    assert not tall.serves(tall.MAX_FEATURES + 1, 2) and not tall.serves(1, tall.MAX_CLASSES + 1)
