"""Linear algebra on the kernel threads."""

import numpy as np
import pytest

from softmax_reg.parallel import algebra
from softmax_reg.parallel.algebra import (
    add_up,
    centred_gram,
    centred_product,
    combination,
    inner_products,
    product,
    transposed,
)
from softmax_reg.parallel.launch import CALL_COUNTS

from ..problems import EPS


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 700, 900), (900, 700, 1), (300, 40, 200)])
def test_product(shape):
    """left @ right, whatever the side that is cut; also of a transposed view."""
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal(shape[:2]), rng.standard_normal(shape[1:])
    expected = left @ right
    atol = 8 * EPS * shape[1]
    np.testing.assert_allclose(product(left, right), expected, atol=atol)
    flipped = np.asfortranarray(right)
    np.testing.assert_allclose(product(left, flipped), expected, atol=atol)


@pytest.mark.parametrize("n", [1, 7, 5000, 100_001])
def test_vector_operations(n):
    """add_up and transposed are what NumPy says."""
    arrays = np.random.default_rng(0).standard_normal((6, n))
    np.testing.assert_allclose(add_up(arrays), arrays.sum(axis=0), atol=16 * EPS)
    np.testing.assert_array_equal(transposed(arrays.T[:, 1:4]), arrays[1:4])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 5000, 100_001])
def test_combinations_and_inner_products(n, dtype):
    """Of float32 vectors too: exact products, added in float32 over short stretches only."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((6, n)).astype(dtype)
    exact = vectors.astype(np.float64)
    eps = np.finfo(dtype).eps
    stretch = min(n, algebra._STRETCH)
    actual = inner_products(vectors, [4, 1])
    assert actual.dtype == np.float64
    # |sum of rounding errors| <= stretch eps sum |a b|, and far below it by chance.
    np.testing.assert_allclose(
        actual, exact @ exact[[4, 1]].T, atol=8 * eps * np.sqrt(stretch * n)
    )
    weights = rng.standard_normal(6)
    actual = combination(weights, vectors, 2.0)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, 2 * (weights @ exact), atol=128 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 511), (30, 513), (40, 5000), (700, 3000)])
def test_products_of_centred_columns(shape, dtype):
    """Gram matrix and combinations of the rows of X - mean, formed in float64."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal(shape) + 3).astype(dtype)
    mean = X.mean(axis=0, dtype=np.float64)
    before = X.copy()
    centred = X - mean
    gram, left = centred_gram(X, mean), rng.standard_normal((3, shape[0]))
    atol = 64 * EPS * np.sqrt(shape[1]) * np.abs(centred).max() ** 2 * 8
    np.testing.assert_allclose(gram, centred @ centred.T, atol=atol)
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_allclose(
        centred_product(left, X, mean), left @ centred, atol=64 * EPS * shape[0]
    )
    np.testing.assert_array_equal(X, before)


def test_parts_follow_from_lengths_alone():
    """They cover the range, and never ask for the number of threads."""
    for length, grain, work, most in (
        (0, 10, 0, 1), (5, 10, 5e9, 1), (100, 10, 1e3, 10), (10**6, 4096, 1e6, CALL_COUNTS[0]),
        (10**6, 4096, 1e12, CALL_COUNTS[-1]),
    ):
        parts = algebra.parts(length, grain, work)
        covered = [index for part in parts for index in range(part.start, part.stop)]
        assert covered == list(range(length))
        assert len(parts) == most
