"""Kernels over one range of rows: what one thread runs, with private sums.

Each walks its range block by block; nothing it allocates grows with n_samples.
Shapes: theta (n_rows, n_features + 1), the last column the intercept; n_rows is
n_classes, or 1 for the binary model. `weight` already holds s_i / sum(s).
"""

import numpy as np

from ._blocks import (
    BLOCK,
    accumulate,
    curved,
    load_block,
    probabilities,
    products,
    residuals,
)
from ._jit import kernel


@kernel
def value_grad(rows, y, weight, shift, theta, start, stop, out):
    """Loss and its gradient in `theta`; out (n_rows, n_features + 1), overwritten.

    Returns (loss, n_errors) as `residuals` does.
    """
    n_rows, width = theta.shape
    xt = np.empty((width, BLOCK))
    logits = np.empty((n_rows, BLOCK))
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    out[:] = 0.0
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        load_block(rows, shift, first, last, xt)
        products(theta, xt, logits)
        part, wrong = residuals(logits, y, weight, first, last - first, largest, rest, ties)
        loss += part
        n_errors += wrong
        accumulate(logits, xt, False, out)
    return loss, n_errors


@kernel
def _csr_logits(rows, theta_t, first, last, logits):
    """logits[i] = x_i @ theta_t[:-1] + theta_t[-1], row by row; (BLOCK, n_rows)."""
    n_features = rows.n_features
    n_rows = theta_t.shape[1]
    logits[last - first:] = 0.0
    for i in range(last - first):
        logits[i] = theta_t[n_features]
        for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
            x = rows.data[e]
            j = rows.indices[e]
            for k in range(n_rows):
                logits[i, k] += x * theta_t[j, k]


@kernel
def _csr_accumulate(rows, first, last, residual, out_t):
    """out_t += [X, 1].T @ residual over the rows first .. last."""
    n_features = rows.n_features
    n_rows = out_t.shape[1]
    for i in range(last - first):
        for k in range(n_rows):
            out_t[n_features, k] += residual[i, k]
        for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
            x = rows.data[e]
            j = rows.indices[e]
            for k in range(n_rows):
                out_t[j, k] += x * residual[i, k]


@kernel
def value_grad_csr(rows, y, weight, theta_t, start, stop, out_t):
    """As `value_grad`, touching only stored entries; theta_t, out_t transposed."""
    n_rows = theta_t.shape[1]
    logits = np.empty((BLOCK, n_rows))
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    out_t[:] = 0.0
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        _csr_logits(rows, theta_t, first, last, logits)
        part, wrong = residuals(logits.T, y, weight, first, last - first, largest, rest, ties)
        loss += part
        n_errors += wrong
        _csr_accumulate(rows, first, last, logits, out_t)
    return loss, n_errors


@kernel
def hess_prod(rows, weight, shift, theta, direction, start, stop, out):
    """Hessian of the loss times `direction`; all (n_rows, n_features + 1)."""
    n_rows, width = theta.shape
    xt = np.empty((width, BLOCK))
    proba, change = np.empty((n_rows, BLOCK)), np.empty((n_rows, BLOCK))
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    out[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        load_block(rows, shift, first, last, xt)
        products(theta, xt, proba)
        probabilities(proba, largest, rest, ties)
        products(direction, xt, change)
        curved(proba, change, weight, first, last - first, rest)
        accumulate(change, xt, False, out)


@kernel
def hess_prod_csr(rows, weight, theta_t, direction_t, start, stop, out_t):
    """As `hess_prod`, touching only stored entries; arguments transposed."""
    n_rows = theta_t.shape[1]
    proba, change = np.empty((BLOCK, n_rows)), np.empty((BLOCK, n_rows))
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    out_t[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        _csr_logits(rows, theta_t, first, last, proba)
        probabilities(proba.T, largest, rest, ties)
        _csr_logits(rows, direction_t, first, last, change)
        curved(proba.T, change.T, weight, first, last - first, rest)
        _csr_accumulate(rows, first, last, change, out_t)


@kernel
def _class_curvature(proba, weight, first, size, spread, weighted, classes, diagonal):
    """Add -sum_i s_i q_i q_i' to `classes` and sum_i s_i q_i (1 - q_i) to `diagonal`.

    Two sums, for q - q q would cancel where q is close to 1. Also
    spread_i = s_i sum_k q_ik (1 - q_ik).
    weighted : (n_rows, BLOCK) work space, overwritten
    """
    n_rows = proba.shape[0]
    for i in range(BLOCK):
        spread[i] = 0.0
    for k in range(n_rows):
        for i in range(size):
            variance = weight[first + i] * proba[k, i] * (1.0 - proba[k, i])
            diagonal[k] += variance
            spread[i] += variance
            weighted[k, i] = -weight[first + i] * proba[k, i]
        for i in range(size, BLOCK):
            weighted[k, i] = 0.0
    accumulate(weighted, proba, True, classes)


@kernel
def _set_diagonal(classes, diagonal):
    for k in range(len(diagonal)):
        classes[k, k] = diagonal[k]


@kernel
def curvature(rows, weight, shift, theta, full, start, stop, classes, moments):
    """Kronecker factors of the Hessian of the loss, as sums.

    With q_i the probabilities, A_i = diag(q_i) - q_i q_i' (binary: q (1 - q)) and
    w_i = s_i trace(A_i):
        classes : (n_rows, n_rows)   sum_i s_i A_i
        moments : sum_i w_i [x_i, 1] [x_i, 1]', (width, width), if `full`, else
                  its last row and its diagonal, (2, width).
    Both are overwritten; of a symmetric sum only the lower triangle is valid.
    """
    n_rows, width = theta.shape
    xt, wx = np.empty((width, BLOCK)), np.empty((width if full else 1, BLOCK))
    proba, weighted = np.empty((n_rows, BLOCK)), np.empty((n_rows, BLOCK))
    spread, diagonal = np.empty(BLOCK), np.zeros(n_rows)
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    classes[:] = 0.0
    moments[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        load_block(rows, shift, first, last, xt)
        products(theta, xt, proba)
        probabilities(proba, largest, rest, ties)
        _class_curvature(proba, weight, first, last - first, spread, weighted, classes, diagonal)
        if full:
            for j in range(width):
                for i in range(BLOCK):
                    wx[j, i] = spread[i] * xt[j, i]
            accumulate(wx, xt, True, moments)
        else:
            for j in range(width):
                for i in range(BLOCK):
                    moments[0, j] += spread[i] * xt[j, i]
                    moments[1, j] += spread[i] * xt[j, i] * xt[j, i]
    _set_diagonal(classes, diagonal)


@kernel
def curvature_csr(rows, weight, theta_t, start, stop, classes, moments):
    """As `curvature` with full=False, touching only stored entries; uncentred."""
    n_features = rows.n_features
    n_rows = theta_t.shape[1]
    logits = np.empty((BLOCK, n_rows))
    proba, weighted = np.empty((n_rows, BLOCK)), np.empty((n_rows, BLOCK))
    spread, diagonal = np.empty(BLOCK), np.zeros(n_rows)
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    classes[:] = 0.0
    moments[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        _csr_logits(rows, theta_t, first, last, logits)
        proba[:] = logits.T
        probabilities(proba, largest, rest, ties)
        _class_curvature(proba, weight, first, last - first, spread, weighted, classes, diagonal)
        for i in range(last - first):
            moments[0, n_features] += spread[i]
            moments[1, n_features] += spread[i]
            for e in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
                x = rows.data[e]
                moments[0, rows.indices[e]] += spread[i] * x
                moments[1, rows.indices[e]] += spread[i] * x * x
    _set_diagonal(classes, diagonal)


@kernel
def hessian(rows, weight, shift, theta, start, stop, out):
    """Class-pair blocks of the Hessian of the loss.

    out : (n_pairs, width, width), overwritten; pair (k, l), k <= l, in row-major
    order holds sum_i s_i (delta_kl q_k - q_k q_l) [x_i, 1] [x_i, 1]', of which only
    the lower triangle is valid.
    """
    n_rows, width = theta.shape
    xt, wx = np.empty((width, BLOCK)), np.empty((width, BLOCK))
    proba = np.empty((n_rows, BLOCK))
    pair_weight = np.empty(BLOCK)
    largest, rest, ties = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    out[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        size = last - first
        load_block(rows, shift, first, last, xt)
        products(theta, xt, proba)
        probabilities(proba, largest, rest, ties)
        pair_weight[:] = 0.0
        pair = 0
        for k in range(n_rows):
            for m in range(k, n_rows):
                for i in range(size):
                    other = proba[m, i] - 1.0 if m == k else proba[m, i]
                    pair_weight[i] = -weight[first + i] * proba[k, i] * other
                for j in range(width):
                    for i in range(BLOCK):
                        wx[j, i] = pair_weight[i] * xt[j, i]
                accumulate(wx, xt, True, out[pair])
                pair += 1


@kernel
def column_sums(rows, weight, start, stop, out):
    """out (n_features,) = sum_i s_i x_i over the range, overwritten."""
    out[:] = 0.0
    for i in range(start, stop):
        if rows.is_sparse:
            for e in range(rows.indptr[i], rows.indptr[i + 1]):
                out[rows.indices[e]] += weight[i] * rows.data[e]
        else:
            for j in range(rows.n_features):
                out[j] += weight[i] * rows.dense[i, j]
