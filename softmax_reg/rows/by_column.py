"""Gradients of sparse rows with many parameters, summed column by column.

A thread that sums over its share of the rows needs a gradient of its own, and few of those fit
in memory. Here threads share the rows to compute residuals, and then the columns to sum them:
each entry of the gradient is written by one thread. That takes a copy of X in CSC form.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import chunks_csr, transpose_csr
from ..kernels.matrix import Matrix, read_only
from ..kernels.passes import SPARSE_SLOWNESS, csr_pass
from ..parallel.launch import chunk_bounds, launch, n_calls_worth

# Largest size in bytes of a gradient that each chunk of rows has its own of.
_MOST_BY_ROW = 2**21
# Largest size in bytes of the residuals of the rows that are summed together.
_RESIDUAL_BYTES = 2**26
# Floating-point operations that kernels do in the time it takes to move an entry to its column.
_ENTRY_WORK = 200


class Stretch(NamedTuple):
    """Successive rows, and the same as columns.

    Attributes
    ----------
    rows : slice
    matrix : Matrix of these rows
    columns : Matrix of their transpose
    """

    rows: slice
    matrix: Matrix
    columns: Matrix


def serves(matrix, theta_t):
    """Return whether a gradient of the shape of `theta_t` is too large for each chunk's own."""
    return matrix.is_sparse and theta_t.nbytes > _MOST_BY_ROW


def rows_together(theta_t):
    """Return the number of rows of a stretch."""
    a_row = theta_t.shape[1] * theta_t.itemsize
    block = chunks_csr.CSR_BLOCK
    return max(block, _RESIDUAL_BYTES // a_row // block * block)


def cut(matrix, n_rows):
    """Cut sparse rows into stretches of `n_rows`."""
    return [
        _stretch(matrix, slice(start, min(start + n_rows, matrix.n_samples)))
        for start in range(0, matrix.n_samples, n_rows)
    ]


def _stretch(matrix, rows):
    indptr = matrix.indptr[rows.start:rows.stop + 1]
    some = matrix._replace(indptr=indptr, n_samples=rows.stop - rows.start)
    return Stretch(rows, some, transposed(some))


def transposed(matrix):
    """Return the transpose of sparse rows, made on the kernel threads.

    The entries of a column are in the order of the rows.

    matrix : Matrix
        The first number of `indptr` need not be 0.
    """
    n_rows, n_columns, index = matrix.n_samples, matrix.n_features, matrix.indices.dtype
    n_entries = int(matrix.indptr[-1] - matrix.indptr[0])
    work = float(_ENTRY_WORK * n_entries)
    ranges = chunk_bounds(n_rows, chunks_csr.CSR_BLOCK, index.itemsize * n_columns, work)
    counts = np.empty((len(ranges), n_columns), dtype=index)
    calls = [(matrix, *ends, of_range) for ends, of_range in zip(ranges, counts, strict=True)]
    launch(transpose_csr.count_columns, calls, work)
    indptr = np.zeros(n_columns + 1, dtype=index)
    np.cumsum(counts.sum(axis=0, dtype=index), out=indptr[1:])
    before = indptr[:-1].copy()
    for of_range in counts:    # becomes the place of the first entry of each column
        of_range[:], before = before, before + of_range
    indices, data = np.empty(n_entries, dtype=index), np.empty(n_entries, matrix.data.dtype)
    calls = [(*args, indices, data) for args in calls]
    launch(transpose_csr.place_entries, calls, work)
    return matrix._replace(
        data=read_only(data), indices=read_only(indices), indptr=read_only(indptr),
        n_samples=n_columns, n_features=n_rows,
    )


def summed(kernel, args_of, stretches, theta, theta_t, flops_per_row):
    """Compute [X, 1].T @ the residuals of all rows, transposed like theta_t.

    Parameters
    ----------
    kernel : of `chunks_csr`
        Called with `residuals`, (rows of the stretch + 1, columns of theta_t), before start and
        stop, and with an `out_t` of one row.
    args_of : callable
        Maps a stretch's slice of rows to the arguments of `kernel` before `residuals`.
    flops_per_row : float
        Floating-point operations of the sums; the residuals take as many.

    Returns
    -------
    out_t : float64
    returned : list of what each call of `kernel` returned
    """
    out_t = np.empty(theta_t.shape) if stretches else np.zeros(theta_t.shape)
    out_t[-1] = 0.0
    longest = max((stretch.matrix.n_samples for stretch in stretches), default=0)
    space = np.empty((longest + 1, theta_t.shape[1]), dtype=theta_t.dtype)
    returned = []
    for rows, matrix, columns in stretches:
        residuals = space[:matrix.n_samples + 1]
        residuals[-1] = 0.0    # in place of the intercepts of `sparse_products`
        (intercepts,), parts = csr_pass(
            kernel, (*args_of(rows), residuals), matrix, theta, [(1, theta_t.shape[1])],
            flops_per_row,
        )
        out_t[-1] += intercepts[0]
        returned += parts
        work = flops_per_row * matrix.n_samples
        calls = [
            (columns, residuals, rows.start == 0, start, stop, out_t)
            for start, stop in _column_bounds(columns, n_calls_worth(SPARSE_SLOWNESS * work))
        ]
        launch(chunks_csr.add_columns, calls, work)
    return out_t, returned


def _column_bounds(columns, n_calls):
    """Cut columns into ranges with about as many entries each; a column counts as one more."""
    costs = columns.indptr + np.arange(len(columns.indptr))
    cuts = np.searchsorted(costs, np.linspace(0, costs[-1], n_calls + 1))
    cuts = np.unique(cuts)    # a column of many entries can be a range of its own
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))
