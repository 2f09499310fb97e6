"""Kernels over one range of sparse rows, touching only stored entries.

As `_chunks`, with uncentred rows and everything transposed: theta_t and out_t are
(n_features + 1, rows of theta), so that one stored entry meets one contiguous row of each.
n_classes is 2 for the binary model, whose theta has one row.
"""

import numpy as np

from ._blocks import curved, probabilities, residuals
from ._chunks import class_curvature
from ._jit import inner_kernel, kernel
from ._products import aligned_empty

# Rows at a time.
CSR_BLOCK = 64


@inner_kernel
def _logits(rows, theta_t, first, last, by_row, logits):
    """logits[:, i] = theta_t[:-1].T @ x_i + theta_t[-1], after a 0 if binary.

    by_row : (CSR_BLOCK, rows of theta) work space, overwritten
    """
    n_features = rows.n_features
    n_rows = theta_t.shape[1]
    by_row[last - first:] = 0.0
    for i in range(last - first):
        by_row[i] = theta_t[n_features]
        for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
            x = rows.data[e]
            j = rows.indices[e]
            for k in range(n_rows):
                by_row[i, k] += x * theta_t[j, k]
    n_zero = len(logits) - n_rows
    logits[:n_zero] = 0.0
    logits[n_zero:] = by_row.T


@inner_kernel
def _accumulate(rows, first, last, residual, by_row, out_t):
    """out_t += [X, 1].T @ residual.T over the rows first .. last; by_row as in `_logits`."""
    n_features = rows.n_features
    n_rows = out_t.shape[1]
    by_row[:] = residual[len(residual) - n_rows:].T
    for i in range(last - first):
        for k in range(n_rows):
            out_t[n_features, k] += by_row[i, k]
        for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
            x = rows.data[e]
            j = rows.indices[e]
            for k in range(n_rows):
                out_t[j, k] += x * by_row[i, k]


@kernel
def value_grad_csr(rows, y, weight, theta_t, n_classes, start, stop, out_t):
    """Loss and its gradient, transposed; returns (loss, n_errors)."""
    n_rows = theta_t.shape[1]
    by_row = np.empty((CSR_BLOCK, n_rows), dtype=theta_t.dtype)
    logits = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    work = aligned_empty(4, CSR_BLOCK, theta_t)
    out_t[:] = 0.0
    losses = np.empty(CSR_BLOCK)
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        _logits(rows, theta_t, first, last, by_row, logits)
        part, wrong = residuals(logits, y, weight, first, last - first, work, losses)
        loss += part
        n_errors += wrong
        _accumulate(rows, first, last, logits, by_row, out_t)
    return loss, n_errors


@kernel
def hess_prod_csr(rows, weight, theta_t, direction_t, n_classes, start, stop, out_t):
    """Hessian of the loss times a direction, transposed."""
    n_rows = theta_t.shape[1]
    by_row = np.empty((CSR_BLOCK, n_rows), dtype=theta_t.dtype)
    proba = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    change = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    work = aligned_empty(4, CSR_BLOCK, theta_t)
    out_t[:] = 0.0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        _logits(rows, theta_t, first, last, by_row, proba)
        probabilities(proba, work)
        _logits(rows, direction_t, first, last, by_row, change)
        curved(proba, change, weight, first, last - first, work[0])
        _accumulate(rows, first, last, change, by_row, out_t)


@kernel
def curvature_csr(rows, weight, theta_t, n_classes, start, stop, classes, moments):
    """As `_chunks.curvature` with full=False."""
    n_features = rows.n_features
    n_rows = theta_t.shape[1]
    by_row = np.empty((CSR_BLOCK, n_rows), dtype=theta_t.dtype)
    weighted = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    padded_proba = aligned_empty(classes.shape[1], CSR_BLOCK, theta_t)
    padded_by_row = aligned_empty(CSR_BLOCK, classes.shape[1], theta_t)
    work = aligned_empty(4, CSR_BLOCK, theta_t)
    spread = work[3]
    classes[:] = 0.0
    moments[:] = 0.0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        _logits(rows, theta_t, first, last, by_row, padded_proba[:n_classes])
        probabilities(padded_proba[:n_classes], work)
        class_curvature(
            padded_proba, n_classes, weight, first, last - first, spread, weighted, padded_by_row,
            classes,
        )
        for i in range(last - first):
            moments[0, n_features] += spread[i]
            moments[1, n_features] += spread[i]
            for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
                x = rows.data[e]
                moments[0, rows.indices[e]] += spread[i] * x
                moments[1, rows.indices[e]] += spread[i] * x * x
