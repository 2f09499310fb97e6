"""Arithmetic on one block of rows, the innermost layer.

A block holds `BLOCK` rows feature by feature: ``xt[j, i]`` is feature j of row i.
Rows run along the contiguous axis, so every loop below is one SIMD stream
whatever the number of classes or features, and a constant trip count lets LLVM
unroll it. A block that is not full is padded with rows of zeros and weight 0.

Logits and probabilities are ``(n_rows, BLOCK)`` where n_rows is the number of
rows of `theta`: n_classes for the softmax model, 1 for the binary one, in which
the single logit is that of class 1 and the probability is the sigmoid.
"""

import math

import numpy as np

from ._exp import exp
from ._jit import kernel

BLOCK = 64
# Features per tile: a tile of xt (32 x 64 float64 = 16 KiB) stays in L1 while
# the classes pass over it.
_TILE = 32


@kernel
def load_block(rows, shift, start, stop, xt):
    """Rows start..stop of X minus `shift`, transposed; a last row of ones.

    xt : (n_features + 1, BLOCK) float64, overwritten
    """
    n_features = rows.n_features
    size = stop - start
    if rows.is_sparse:
        for j in range(n_features):
            for i in range(size):
                xt[j, i] = -shift[j]
        for i in range(size):
            for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
                xt[rows.indices[e], i] += rows.data[e]
    else:
        # Eight features at a time: reads and writes both stay in cache lines.
        for first in range(0, n_features, 8):
            last = min(first + 8, n_features)
            for i in range(size):
                for j in range(first, last):
                    xt[j, i] = rows.dense[start + i, j] - shift[j]
    for i in range(size):
        xt[n_features, i] = 1.0
    if size < BLOCK:
        for j in range(n_features + 1):
            for i in range(size, BLOCK):
                xt[j, i] = 0.0


@kernel
def products(theta, xt, logits):
    """logits = theta @ xt, two classes by four features at a time."""
    n_rows, width = theta.shape
    logits[:] = 0.0
    for first in range(0, width, _TILE):
        last = min(first + _TILE, width)
        fours = first + (last - first) // 4 * 4
        for k in range(0, n_rows - 1, 2):
            for j in range(first, fours, 4):
                a0, a1, a2, a3 = theta[k, j], theta[k, j + 1], theta[k, j + 2], theta[k, j + 3]
                b0, b1, b2, b3 = (
                    theta[k + 1, j], theta[k + 1, j + 1], theta[k + 1, j + 2], theta[k + 1, j + 3]
                )
                for i in range(BLOCK):
                    x0, x1, x2, x3 = xt[j, i], xt[j + 1, i], xt[j + 2, i], xt[j + 3, i]
                    logits[k, i] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
                    logits[k + 1, i] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)
            for j in range(fours, last):
                a0, b0 = theta[k, j], theta[k + 1, j]
                for i in range(BLOCK):
                    logits[k, i] += a0 * xt[j, i]
                    logits[k + 1, i] += b0 * xt[j, i]
        if n_rows % 2:
            k = n_rows - 1
            for j in range(first, fours, 4):
                a0, a1, a2, a3 = theta[k, j], theta[k, j + 1], theta[k, j + 2], theta[k, j + 3]
                for i in range(BLOCK):
                    logits[k, i] += (a0 * xt[j, i] + a1 * xt[j + 1, i]) + (
                        a2 * xt[j + 2, i] + a3 * xt[j + 3, i]
                    )
            for j in range(fours, last):
                a0 = theta[k, j]
                for i in range(BLOCK):
                    logits[k, i] += a0 * xt[j, i]


@kernel
def accumulate(left, right, lower, out):
    """out += left @ right.T, two rows of `left` by four of `right` at a time.

    With `lower` the product is known to be symmetric, and what lies above its
    diagonal (but for tiles on it) is left out.
    """
    n_left, n_right = out.shape
    for first in range(0, n_right, _TILE):
        last = min(first + _TILE, n_right)
        fours = first + (last - first) // 4 * 4
        # A tile starts at an even row, so pairs of rows stay pairs.
        for k in range(first if lower else 0, n_left - 1, 2):
            for j in range(first, fours, 4):
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
                for i in range(BLOCK):
                    u, v = left[k, i], left[k + 1, i]
                    x0, x1, x2, x3 = right[j, i], right[j + 1, i], right[j + 2, i], right[j + 3, i]
                    a0 += u * x0
                    a1 += u * x1
                    a2 += u * x2
                    a3 += u * x3
                    b0 += v * x0
                    b1 += v * x1
                    b2 += v * x2
                    b3 += v * x3
                out[k, j] += a0
                out[k, j + 1] += a1
                out[k, j + 2] += a2
                out[k, j + 3] += a3
                out[k + 1, j] += b0
                out[k + 1, j + 1] += b1
                out[k + 1, j + 2] += b2
                out[k + 1, j + 3] += b3
            for j in range(fours, last):
                a0 = b0 = 0.0
                for i in range(BLOCK):
                    a0 += left[k, i] * right[j, i]
                    b0 += left[k + 1, i] * right[j, i]
                out[k, j] += a0
                out[k + 1, j] += b0
        if n_left % 2:
            k = n_left - 1
            for j in range(first, last):
                a0 = 0.0
                for i in range(BLOCK):
                    a0 += left[k, i] * right[j, i]
                out[k, j] += a0


@kernel
def exponentials(logits, largest, rest, ties):
    """Softmax of each column, up to the division; accurate near certainty.

    With m = max_k z_k of a column:
        logits[k]  = exp(z_k - m)
        largest    = m
        ties       = number of k with z_k = m  (1 but for exact ties)
        rest       = sum of the other exponentials
    so that logsumexp(z) - m = log1p(rest + ties - 1) keeps its relative accuracy
    when one class takes all, where log(sum) would round to 0.

    References
    ----------
    Blanchard, Higham & Higham (2021), Accurately computing the log-sum-exp
    and softmax functions, IMA J. Numer. Anal. 41(4).
    """
    n_rows, size = logits.shape
    for i in range(size):
        largest[i] = logits[0, i]
        rest[i] = 0.0
        ties[i] = 0.0
    for k in range(1, n_rows):
        for i in range(size):
            largest[i] = max(largest[i], logits[k, i])
    for k in range(n_rows):
        for i in range(size):
            if logits[k, i] == largest[i]:
                ties[i] += 1.0
                logits[k, i] = 1.0
            else:
                e = exp(logits[k, i] - largest[i])
                rest[i] += e
                logits[k, i] = e


@kernel
def residuals(logits, y, weight, start, size, largest, rest, ties):
    """Weighted cross-entropy of a block; `logits` becomes its gradient.

    With z the logits of a row, s its weight and k its class:
        loss   += s * (logsumexp(z) - z[k])               in nats
        logits  = s * (softmax(z) - onehot(k))
    Binary (one row of logits): loss = s * (log(1 + exp(z)) - k z),
    logits = s * (sigmoid(z) - k).

    Parameters
    ----------
    logits : (n_rows, BLOCK), overwritten
    y : (n_samples,) class indices, checked by the caller
    weight : (n_samples,)
    start, size : the block is rows start .. start + size
    largest, rest, ties : (BLOCK,) work space, overwritten

    Returns
    -------
    loss : float
    n_errors : int
        Rows of positive weight whose class is not strictly the most probable.
    """
    n_rows = logits.shape[0]
    loss = 0.0
    n_errors = 0
    if n_rows == 1:
        for i in range(size):
            s = weight[start + i]
            z = logits[0, i]
            # Log-odds of the true class; everything below is exact in its sign.
            odds = z if y[start + i] == 1 else -z
            e = exp(-abs(z))
            loss += s * (math.log1p(e) + max(0.0, -odds))
            wrong = (e if odds > 0.0 else 1.0) / (1.0 + e)
            logits[0, i] = -s * wrong if y[start + i] == 1 else s * wrong
            # `not >` so that NaN counts as an error.
            if s > 0.0 and not odds > 0.0:
                n_errors += 1
        for i in range(size, BLOCK):
            logits[0, i] = 0.0
        return loss, n_errors
    true_logit = np.empty(size)
    for i in range(size):
        true_logit[i] = logits[y[start + i], i]    # read before it is overwritten
    exponentials(logits, largest, rest, ties)
    for i in range(size):
        s = weight[start + i]
        below = largest[i] - true_logit[i]
        others = rest[i] + (ties[i] - 1.0)
        loss += s * (below + math.log1p(others))
        if s > 0.0 and not (below == 0.0 and ties[i] == 1.0):
            n_errors += 1
        largest[i] = s / (others + 1.0)
        # softmax - 1 of the true class: minus the sum of the others, when it is
        # the largest, keeps digits that q - 1 would lose.
        ties[i] = -others if below == 0.0 else logits[y[start + i], i] - (others + 1.0)
    for k in range(n_rows):
        for i in range(BLOCK):
            logits[k, i] *= largest[i]
        # Not by a factor of 0: with an infinite theta padding holds NaN.
        for i in range(size, BLOCK):
            logits[k, i] = 0.0
    for i in range(size):
        logits[y[start + i], i] = largest[i] * ties[i]
    return loss, n_errors


@kernel
def probabilities(logits, largest, rest, ties):
    """Softmax (binary: sigmoid) of a block, in place."""
    n_rows, size = logits.shape
    if n_rows == 1:
        for i in range(size):
            z = logits[0, i]
            e = exp(-abs(z))
            logits[0, i] = (1.0 if z >= 0.0 else e) / (1.0 + e)
        return
    exponentials(logits, largest, rest, ties)
    for i in range(size):
        largest[i] = 1.0 / (rest[i] + ties[i])
    for k in range(n_rows):
        for i in range(size):
            logits[k, i] *= largest[i]


@kernel
def curved(proba, change, weight, start, size, total):
    """Second derivative along a direction; `change` is overwritten.

    With q the probabilities of a row and u the change of its logits:
        change = s * q * (u - sum_k q_k u_k);   binary: s q (1 - q) u.
    total : (BLOCK,) work space, overwritten
    """
    n_rows = proba.shape[0]
    for i in range(BLOCK):
        total[i] = 0.0
    if n_rows == 1:
        for i in range(size):
            q = proba[0, i]
            change[0, i] *= weight[start + i] * q * (1.0 - q)
        for i in range(size, BLOCK):
            change[0, i] = 0.0
        return
    for k in range(n_rows):
        for i in range(BLOCK):
            total[i] += proba[k, i] * change[k, i]
    for k in range(n_rows):
        for i in range(size):
            change[k, i] = weight[start + i] * proba[k, i] * (change[k, i] - total[i])
        for i in range(size, BLOCK):
            change[k, i] = 0.0
