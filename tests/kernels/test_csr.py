"""What is special to CSR: duplicates, unsorted entries, width of indices, bounds."""

import numpy as np
import pytest
from scipy import sparse

from softmax_reg.kernels.chunks_csr import _accumulate, sparse_products
from softmax_reg.kernels.matrix import make_matrix
from softmax_reg.kernels.registers import REGISTER_BYTES
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows

from ..problems import EPS, random_problem


def test_duplicate_and_unsorted_csr_entries_add_up():
    """CSR with duplicates and unsorted indices is the matrix SciPy says it is."""
    X = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0, -1.0, 0.0]), np.array([2, 0, 2, 1, 0]), np.array([0, 3, 5])),
        shape=(2, 3),
    )
    sample, theta = Sample(np.array([0, 1], np.int32), np.array([0.5, 0.5])), np.ones((2, 4))
    theta[0, :] = [0.3, -0.2, 0.7, 0.1]
    dense = MemoryRows(X.toarray()).value_grad(sample, np.ones(3), theta)
    csr = MemoryRows(X).value_grad(sample, np.ones(3), theta)
    assert csr[0] == pytest.approx(dense[0], rel=8 * EPS)
    np.testing.assert_allclose(csr[1], dense[1], atol=16 * EPS)


def test_products_of_duplicate_csr_entries_are_those_of_their_sum():
    """Second derivatives: (x + x)^2 is not x^2 + x^2; the caller's matrix keeps its entries."""
    n = 50
    X = sparse.csr_array(
        (np.ones(2 * n), np.repeat(np.arange(n), 2), 2 * np.arange(n + 1)), shape=(n, n)
    )
    whole = MemoryRows(sparse.csr_array(2 * np.eye(n)))
    sample = Sample(np.arange(n, dtype=np.int32) % 3, np.full(n, 1 / n))
    shift, theta = np.zeros(n), np.zeros((3, n + 1))
    rows, index = MemoryRows(X), np.arange(n)
    for full in (True, False):
        for actual, expected in zip(rows.curvature(sample, shift, theta, full),
                                    whole.curvature(sample, shift, theta, full), strict=True):
            np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(
        rows.hessian(sample, shift, theta, index), whole.hessian(sample, shift, theta, index)
    )
    assert X.nnz == 2 * n


def test_int64_indices_are_used_where_32_bits_do():
    """Index width does not change the numbers."""
    X, y, weight, theta = random_problem(30, 6, 3, sparse_X=True)
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    sample, shift = Sample(y, weight), np.zeros(6)
    narrow = MemoryRows(X).value_grad(sample, shift, theta)
    np.testing.assert_array_equal(
        narrow[1], MemoryRows(wide).value_grad(sample, shift, theta)[1]
    )


@pytest.mark.compiled
def test_sparse_products_refuse_shapes_that_do_not_fit():
    """As the compiled tiles check no bounds."""
    lanes = REGISTER_BYTES // 8
    rows = make_matrix(sparse.csr_array(np.eye(4)))
    table, by_row = np.ones((5, lanes)), np.zeros((4, lanes))
    sparse_products(rows, 0, 4, table, by_row)
    np.testing.assert_array_equal(by_row, 2.0)
    bad = [
        (0, 4, table[1:], by_row), (0, 4, np.ones((5, 2 * lanes)), by_row),
        (0, 4, np.ones((5, lanes - 1)), np.zeros((4, lanes - 1))),
        (2, 5, table, by_row), (-1, 3, table, by_row), (0, 4, table, by_row[:3]),
    ]
    for first, last, left, right in bad:
        with pytest.raises(ValueError, match="shapes do not fit"):
            sparse_products(rows, first, last, left, right)
        with pytest.raises(ValueError, match="shapes do not fit"):
            _accumulate(rows, first, last, right, left)
