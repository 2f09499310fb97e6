"""Kernels over one range of rows: what one thread runs, with private sums.

Each kernel goes through its range block by block; no array that it allocates grows with
n_samples. theta_t is theta transposed, (n_features + 1, n_classes padded), its last row the
intercepts; in the binary model, class 0 has a column of zeros. `weight` holds s_i / sum(s). The
dtype of theta_t is that of the arithmetic within a block; sums over blocks are float64. Widths
are padded to whole vector registers.
"""

import numpy as np

from .jit import inner_kernel, kernel
from .predict import LOSS, losses_or_predictions
from .softmax import (
    curved,
    empty_block,
    load_block,
    probabilities,
    products,
    residuals,
)
from .tiles import add_lower_gram, add_lower_product, add_product, aligned_empty, transpose


@inner_kernel
def logit_space(theta_t, block):
    """Return uninitialised by_row and logits of `products`, and work of `cross_entropies`."""
    n_padded = theta_t.shape[1]
    return (
        aligned_empty(block, n_padded, theta_t),
        aligned_empty(n_padded, block, theta_t),
        aligned_empty(4, block, theta_t),
    )


@inner_kernel
def following_rows(rows, first, last):
    """Return (address, number of bytes) of dense rows first .. last; 0 bytes if sparse."""
    if rows.is_sparse:
        return rows.data.ctypes.data, 0
    row_bytes = rows.n_features * rows.dense.itemsize
    return rows.dense.ctypes.data + first * row_bytes, (last - first) * row_bytes


@inner_kernel
def weigh_pair(exponentials, k, m, size, work):
    """Set work[3] to s_i q_ik q_im, after `cross_entropies`; 0 beyond `size` rows."""
    factor, rest, pair_weight = work[0], work[1], work[3]
    one = exponentials.dtype.type(1)
    for i in range(size):
        q = exponentials[m, i] / (rest[i] + one)
        pair_weight[i] = factor[i] * exponentials[k, i] * q
    for i in range(size, len(pair_weight)):
        pair_weight[i] = 0.0


@inner_kernel
def add_pairs(exponentials, size, work, x, wx, pairs):
    """Add a block's share of the Hessian, after `cross_entropies`; see `evaluate`.

    wx : of the shape of x, overwritten
    """
    n_classes, block = exponentials.shape
    pair = 0
    for k in range(n_classes):
        for m in range(k + 1, n_classes):
            weigh_pair(exponentials, k, m, size, work)
            for i in range(block):
                for j in range(x.shape[1]):
                    wx[i, j] = work[3, i] * x[i, j]
            add_lower_gram(wx, x, pairs[pair])
            pair += 1


@kernel
def evaluate(
    rows, y, weight, shift, theta_t, n_classes, kind, told, block, start, stop, out, pairs
):
    """Compute the loss, its gradient in theta and, if asked for, its Hessian; or predictions.

    One kernel serves all uses: compiling others would take as long again.

    Parameters
    ----------
    kind : {LOSS, LOGITS, PROBABILITIES, LOG_PROBABILITIES}
        With a kind of predictions, y, weight and pairs are not read, and the width of `out` is.
    told : (n_samples, n_classes)
        Rows start to stop are overwritten by the predictions.
    out : (rows of theta, width)
        Overwritten by the gradient.
    pairs : (n_pairs, n_features + 1, width)
        Overwritten; n_pairs may be 0. Pair (k, m), k < m, in row-major order holds
        sum_i s_i q_k q_m [x_i, 1] [x_i, 1]', the negative of the Hessian's block. Diagonal
        blocks follow from these, because the blocks of a row sum to zero. Only lower triangles
        are valid.

    Returns
    -------
    loss : float
        As `cross_entropies` returns it.
    n_errors : int
        Likewise; or the number of logits that are not finite.
    """
    width = out.shape[1]
    x = empty_block(block, width, rows.n_features, theta_t)
    wx = aligned_empty(block if len(pairs) > 0 else 1, width, theta_t)
    by_row, padded_logits, work = logit_space(theta_t, block)
    logits = padded_logits[:n_classes]
    residual = padded_logits[n_classes - len(out):n_classes]
    if kind == LOSS:
        out[:] = 0.0
        pairs[:] = 0.0
    losses = np.empty(block)
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, block):
        last = min(first + block, stop)
        size = last - first
        load_block(rows, shift, first, last, x)
        # Prefetch three quarters of the next block during the product for the logits, which
        # takes longer than that for the gradient if classes are few.
        ahead, n_bytes = following_rows(rows, last, min(last + block, rows.n_samples))
        early = n_bytes // 4 * 3
        products(x, theta_t, by_row, padded_logits, ahead, early)
        part, n = losses_or_predictions(logits, kind, y, weight, first, size, work, losses, told)
        loss += part
        n_errors += n
        if kind == LOSS:
            if len(pairs) > 0:
                add_pairs(logits, size, work, x, wx, pairs)
            residuals(logits, y, first, size, work)
            add_product(residual, x, out, ahead + early, n_bytes - early)
    return loss, n_errors


@kernel
def hess_prod(rows, weight, shift, theta_t, direction_t, n_classes, block, start, stop, out):
    """Compute the Hessian of the loss times a direction.

    out : (rows of theta, width), overwritten by the product
    """
    x = empty_block(block, out.shape[1], rows.n_features, theta_t)
    by_row, padded_proba, work = logit_space(theta_t, block)
    padded_change = aligned_empty(theta_t.shape[1], block, theta_t)
    proba, change = padded_proba[:n_classes], padded_change[:n_classes]
    residual = padded_change[n_classes - len(out):n_classes]
    out[:] = 0.0
    for first in range(start, stop, block):
        last = min(first + block, stop)
        load_block(rows, shift, first, last, x)
        ahead, n_bytes = following_rows(rows, last, min(last + block, rows.n_samples))
        products(x, theta_t, by_row, padded_proba, ahead, n_bytes)
        probabilities(proba, work)
        products(x, direction_t, by_row, padded_change, x.ctypes.data, 0)
        curved(proba, change, weight, first, last - first, work[0])
        add_product(residual, x, out, x.ctypes.data, 0)


@inner_kernel
def spreads(proba, weight, first, size, spread, weighted):
    """Set weighted = -s_i q_ik and spread_i = s_i sum_k q_ik (1 - q_ik); 0 beyond `size` rows.

    proba : (n_classes, block), zeros are written beyond `size` rows
    """
    n_classes, block = proba.shape
    one = proba.dtype.type(1)
    for i in range(block):
        spread[i] = 0.0
    for k in range(n_classes):
        for i in range(size):
            weighted[k, i] = -weight[first + i] * proba[k, i]
            spread[i] -= weighted[k, i] * (one - proba[k, i])
        for i in range(size, block):
            weighted[k, i] = 0.0
            proba[k, i] = 0.0


@inner_kernel
def add_own_curvatures(proba, size, weighted, out):
    """Add sum_i s_i q_ik (1 - q_ik) to out[0, k], after `spreads`."""
    one = proba.dtype.type(1)
    for k in range(len(proba)):
        total = 0.0
        for i in range(size):
            total -= weighted[k, i] * (one - proba[k, i])
        out[0, k] += total


@inner_kernel
def class_curvature(padded_proba, n_classes, weight, first, size, spread, weighted, by_row, out):
    """Add -sum_i s_i q_i q_i' to out, and set the arrays of `spreads`.

    padded_proba : (n_classes padded, block), its padding is overwritten
    out : (n_classes, n_classes padded): only the part below the diagonal is valid, the caller
        sets the diagonal. Or (1, n_classes padded): sum_i s_i q_ik (1 - q_ik) is added instead.
    weighted (n_classes, block), by_row (block, n_classes padded) : overwritten
    """
    spreads(padded_proba[:n_classes], weight, first, size, spread, weighted)
    if len(out) == 1:
        add_own_curvatures(padded_proba[:n_classes], size, weighted, out)
    else:
        padded_proba[n_classes:] = 0.0
        transpose(padded_proba, by_row)
        add_lower_product(weighted, by_row, out)


@kernel
def curvature(
    rows, weight, shift, theta_t, n_classes, full, block, start, stop, classes, moments
):
    """Compute the Kronecker factors of the Hessian of the loss, as sums.

    With q_i the probabilities, A_i = diag(q_i) - q_i q_i' and w_i = s_i trace(A_i):
        classes : (n_classes, n_classes padded)   sum_i s_i A_i without its diagonal,
                  or the diagonal alone, (1, n_classes padded)
        moments : sum_i w_i [x_i, 1] [x_i, 1]', (n_features + 1, width), if `full`,
                  else its row n_features and its diagonal, (2, width).
    The arguments `classes` and `moments` are overwritten. Only the lower triangle of a symmetric
    sum is valid.
    """
    width = moments.shape[1]
    x = empty_block(block, width, rows.n_features, theta_t)
    wx = aligned_empty(block if full else 1, width, theta_t)
    by_row, padded_proba, work = logit_space(theta_t, block)
    weighted = aligned_empty(n_classes, block, theta_t)
    spread = work[3]
    classes[:] = 0.0
    moments[:] = 0.0
    for first in range(start, stop, block):
        last = min(first + block, stop)
        load_block(rows, shift, first, last, x)
        products(x, theta_t, by_row, padded_proba, x.ctypes.data, 0)
        probabilities(padded_proba[:n_classes], work)
        class_curvature(
            padded_proba, n_classes, weight, first, last - first, spread, weighted, by_row,
            classes,
        )
        if full:
            for i in range(block):
                for j in range(width):
                    wx[i, j] = spread[i] * x[i, j]
            add_lower_gram(wx, x, moments)
        else:
            for i in range(block):
                for j in range(width):
                    moments[0, j] += spread[i] * x[i, j]
                    moments[1, j] += spread[i] * x[i, j] * x[i, j]
