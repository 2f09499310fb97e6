"""Kernels over one range of sparse rows, touching only stored entries.

The kernels are those of `chunks`, for uncentred rows, with results out_t transposed like theta_t:
one stored entry uses one contiguous row of each, n_classes padded to whole vector registers.
Sums over blocks have the dtype of out_t, that of theta_t or float64.
"""

import numpy as np

from .chunks import class_curvature, logit_space
from .jit import inner_kernel, kernel, outlined_kernel
from .predict import LOSS, losses_or_predictions
from .simd_sparse import add_sparse_row, spread_sparse_row
from .softmax import curved, probabilities, residuals
from .tiles import aligned_empty, lanes_of, transpose

# Number of rows of a block.
CSR_BLOCK = 64


@inner_kernel
def _fits(rows, first, last, table, by_row):
    """Return whether rows first .. last, a table like theta_t and a block by_row fit together."""
    n_columns = by_row.shape[1]
    return (
        len(table) == rows.n_features + 1
        and table.shape[1] == n_columns
        and n_columns % lanes_of(by_row) == 0
        and 0 <= first <= last <= rows.n_samples
        and last - first <= len(by_row)
    )


@outlined_kernel
def sparse_products(rows, first, last, theta_t, by_row):
    """Set by_row[i] to [x, 1] @ theta_t for the rows first .. last, and to 0 beyond."""
    n_features, lanes = rows.n_features, lanes_of(theta_t)
    n_columns = by_row.shape[1]
    if not _fits(rows, first, last, theta_t, by_row):
        raise ValueError("sparse_products: shapes do not fit")
    for i in range(len(by_row)):
        inside = i < last - first
        for k in range(n_columns):
            by_row[i, k] = theta_t[n_features, k] if inside else 0.0
        if inside:
            start, stop = rows.indptr[first + i], rows.indptr[first + i + 1]
            column = 0
            width = 8
            while column < n_columns:
                while column + width * lanes > n_columns:
                    width //= 2
                add_sparse_row(
                    width, rows.data, rows.indices, start, stop, theta_t, by_row, i, column
                )
                column += width * lanes


@outlined_kernel
def _accumulate(rows, first, last, by_row, out_t):
    """Add [X, 1].T @ by_row over the rows first .. last to out_t."""
    n_features, lanes = rows.n_features, lanes_of(out_t)
    n_columns = by_row.shape[1]
    if not _fits(rows, first, last, out_t, by_row):
        raise ValueError("_accumulate: shapes do not fit")
    for i in range(last - first):
        for k in range(n_columns):
            out_t[n_features, k] += by_row[i, k]
        start, stop = rows.indptr[first + i], rows.indptr[first + i + 1]
        column = 0
        width = 8
        while column < n_columns:
            while column + width * lanes > n_columns:
                width //= 2
            spread_sparse_row(
                width, rows.data, rows.indices, start, stop, out_t, by_row, i, column
            )
            column += width * lanes


@inner_kernel
def _logits(rows, first, last, theta_t, by_row, logits):
    """Compute logits = theta @ [x, 1].T; by_row is work space."""
    sparse_products(rows, first, last, theta_t, by_row)
    transpose(by_row, logits)


@inner_kernel
def _accumulate_or_keep(rows, first, last, by_row, residuals, out_t):
    """Add [X, 1].T @ by_row to out_t; or, if that has one row, its last row, and keep by_row."""
    if len(out_t) > 1:
        _accumulate(rows, first, last, by_row, out_t)
    else:
        for i in range(last - first):
            for k in range(by_row.shape[1]):
                residuals[first + i, k] = by_row[i, k]
                out_t[0, k] += by_row[i, k]


@kernel
def add_columns(columns, residuals, is_first, start, stop, out_t):
    """Add X.T @ residuals, rows start to stop of X.T, to out_t, or overwrite it if `is_first`.

    columns : Matrix of X.T
    residuals : (n_samples + 1, n_classes padded), the last row 0
    """
    by_column = aligned_empty(CSR_BLOCK, residuals.shape[1], residuals)
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        sparse_products(columns, first, last, residuals, by_column)
        for i in range(last - first):
            for k in range(residuals.shape[1]):
                before = 0.0 if is_first else out_t[first + i, k]
                out_t[first + i, k] = before + by_column[i, k]


@kernel
def evaluate_csr(rows, y, weight, theta_t, n_classes, kind, told, start, stop, out_t):
    """Compute the loss and its gradient, transposed, or predictions; see `chunks.evaluate`.

    told : (n_samples, n_classes), overwritten by predictions
        For a loss with an out_t of one row, (n_samples or more, n_classes padded): overwritten by
        the residuals, of which out_t is then the sum.
    """
    by_row, padded_logits, work = logit_space(theta_t, CSR_BLOCK)
    logits = padded_logits[:n_classes]
    if kind == LOSS:
        out_t[:] = 0.0
    losses = np.empty(CSR_BLOCK)
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        size = last - first
        _logits(rows, first, last, theta_t, by_row, padded_logits)
        part, n = losses_or_predictions(logits, kind, y, weight, first, size, work, losses, told)
        loss += part
        n_errors += n
        if kind == LOSS:
            residuals(logits, y, first, size, work)
            padded_logits[n_classes:] = 0.0
            transpose(padded_logits, by_row)
            _accumulate_or_keep(rows, first, last, by_row, told, out_t)
    return loss, n_errors


@kernel
def hess_prod_csr(
    rows, weight, theta_t, direction_t, n_classes, changes, start, stop, out_t
):
    """Compute the Hessian of the loss times a direction, transposed.

    changes : (n_samples or more, n_classes padded)
        With an out_t of one row, overwritten by the changes of the residuals; else not read.
    """
    by_row, padded_proba, work = logit_space(theta_t, CSR_BLOCK)
    padded_change = aligned_empty(theta_t.shape[1], CSR_BLOCK, theta_t)
    proba, change = padded_proba[:n_classes], padded_change[:n_classes]
    out_t[:] = 0.0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        _logits(rows, first, last, theta_t, by_row, padded_proba)
        probabilities(proba, work)
        _logits(rows, first, last, direction_t, by_row, padded_change)
        curved(proba, change, weight, first, last - first, work[0])
        padded_change[n_classes:] = 0.0
        transpose(padded_change, by_row)
        _accumulate_or_keep(rows, first, last, by_row, changes, out_t)


@kernel
def curvature_csr(rows, weight, theta_t, n_classes, start, stop, classes, moments):
    """Compute `chunks.curvature` with full=False, for uncentred rows."""
    n_features = rows.n_features
    by_row, padded_proba, work = logit_space(theta_t, CSR_BLOCK)
    weighted = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    spread = work[3]
    classes[:] = 0.0
    moments[:] = 0.0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        _logits(rows, first, last, theta_t, by_row, padded_proba)
        probabilities(padded_proba[:n_classes], work)
        class_curvature(
            padded_proba, n_classes, weight, first, last - first, spread, weighted, by_row,
            classes,
        )
        for i in range(last - first):
            moments[0, n_features] += spread[i]
            moments[1, n_features] += spread[i]
            for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
                x = rows.data[e]
                moments[0, rows.indices[e]] += spread[i] * x
                moments[1, rows.indices[e]] += spread[i] * x * x
