"""Arithmetic on one block of rows.

A block is ``x (block, width)``: rows of X, centred, then a one, then zeros up to whole
vector registers. Logits and probabilities are ``(n_classes, block)``; rows of X run along
their contiguous axis, so every loop here is vectorised whatever the number of classes.
The binary model, whose theta has a single row, is the softmax of the logits 0 and z.

A block that is not full is padded with rows of zeros and weight 0. Blocks are float64 or
float32 throughout.
"""

import numpy as np

from .exp_log import exp, log1p
from .jit import inner_kernel, outlined_kernel
from .tiles import add_product, aligned_empty, load_rows, transpose

# Least exponential, of a row whose largest is 1, that adds to derivatives, in float32 and float64.
# Smaller ones are set to 0: times weights and x they would give subnormal numbers, which take
# processors a hundred times as long. In float32 they are no part of any digit; in float64 they
# are next to the smallest numbers that it has.
_LEAST_32, _LEAST_64 = 1e-24, 1e-300


@inner_kernel
def _least(like):
    """Return the least exponential of the dtype of `like`."""
    return like.dtype.type(_LEAST_32 if like.itemsize == 4 else _LEAST_64)


@outlined_kernel
def empty_block(block, width, n_features, like):
    """Return a block for `load_block`, with the columns that are the same in all blocks."""
    x = aligned_empty(block, width, like)
    for i in range(block):
        x[i, n_features] = 1.0
        for j in range(n_features + 1, width):
            x[i, j] = 0.0
    return x


@outlined_kernel
def load_block(rows, shift, start, stop, x):
    """Set x, of `empty_block`, to rows start .. stop of X minus `shift`, then a one, then zeros.

    Rows beyond these become zero, so a block that is not full must be the last.
    """
    n_features = rows.n_features
    block, width = x.shape
    size = stop - start
    if rows.is_sparse:
        for i in range(size):
            for j in range(n_features):
                x[i, j] = -shift[j]
            for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
                x[i, rows.indices[e]] += rows.data[e]
    else:
        load_rows(rows.dense, start, stop, shift, x)
    for i in range(size, block):
        for j in range(width):
            x[i, j] = 0.0


@inner_kernel
def products(x, theta_t, by_row, logits, address, n_bytes):
    """Compute logits = theta @ x.T; `address` and `n_bytes` as in `add_product`.

    theta_t : (n_features + 1, n_classes padded)
    by_row : (block, n_classes padded) work space, overwritten
    logits : (n_classes padded, block)
    """
    by_row[:] = 0.0
    add_product(x, theta_t, by_row, address, n_bytes)
    transpose(by_row, logits)


@outlined_kernel
def exponentials(logits, largest, rest, more):
    """Compute the softmax of each column, up to the division; accurate near certainty.

    With m = max_k z_k of a column:
        logits[k]  = exp(z_k - m)
        largest    = m
        more       = number of further k with z_k = m  (0 except for exact ties)
        rest       = sum of the other exponentials
    so that logsumexp(z) - m = log1p(rest + more) keeps its relative accuracy
    when the probability of one class is almost 1, where log(sum) would round to 0. The count
    `more` starts at -1: if 1 were subtracted at the end, the compiler might first add `rest` to
    the count, and lose its digits.

    References
    ----------
    Blanchard, Higham & Higham (2021), Accurately computing the log-sum-exp
    and softmax functions, IMA J. Numer. Anal. 41(4).
    """
    n_classes, size = logits.shape
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    for i in range(size):
        largest[i] = logits[0, i]
        rest[i] = 0.0
        more[i] = -1.0
    for k in range(1, n_classes):
        for i in range(size):
            largest[i] = max(largest[i], logits[k, i])
    for k in range(n_classes):
        for i in range(size):
            # Select values instead of branching, so that the loop is vectorised.
            z = logits[k, i]
            is_largest = z == largest[i]
            e = one if is_largest else exp(z - largest[i])
            logits[k, i] = e
            rest[i] += zero if is_largest else e
            more[i] += one if is_largest else zero


@inner_kernel
def total_of(numbers, size):
    """Sum the first `size` numbers, in a loop of its own.

    In a loop that also stores, LLVM checks at run time whether arrays overlap, and adds
    in another order if they might: the result would depend on their addresses.
    """
    total = 0.0
    for i in range(size):
        total += numbers[i]
    return total


@inner_kernel
def cross_entropies(logits, y, weight, start, size, work, losses):
    """Compute the weighted cross-entropy of a block, after `exponentials`.

    With z the logits of a row, s its weight and k its class, the loss is the sum of
    s * (logsumexp(z) - z[k]), in nats.

    Parameters
    ----------
    logits : (n_classes, block)
        exp(z - max(z)).
    y : (n_samples,) class indices, checked by the caller
    weight : (n_samples,)
    start, size : the block is rows start .. start + size
    work : (4 or more, block) of the dtype of logits
        Rows 0 to 2 as `exponentials` leaves them, and the true classes' logits. Overwritten by:
        s / sum of the exponentials; this sum - 1; the true class's exponential - this sum; the
        largest logit - the true one.
    losses : (block,) float64, overwritten

    Returns
    -------
    loss : float
        In float64, whatever the dtype.
    n_errors : int
        Rows of positive weight whose class is not strictly the most probable.
    """
    largest, rest, more, below = work[0], work[1], work[2], work[3]
    one = logits.dtype.type(1)
    n_errors = 0
    for i in range(size):
        below[i] = largest[i] - below[i]
        rest[i] += more[i]    # all exponentials but one of the largest
        losses[i] = weight[start + i] * (below[i] + log1p(np.float64(rest[i])))
        largest[i] = weight[start + i] / (rest[i] + one)
    for i in range(size):
        if weight[start + i] > 0.0 and not (below[i] == 0.0 and more[i] == 0.0):
            n_errors += 1
        # The true class's residual q - 1, times the sum of the exponentials. If this class is
        # the largest, minus the sum of the others keeps digits that q - 1 would lose.
        true = logits[y[start + i], i] - (rest[i] + one)
        more[i] = -rest[i] if below[i] == 0.0 else true
    return total_of(losses, size), n_errors


@inner_kernel
def residuals(logits, y, start, size, work):
    """Compute the gradient after `cross_entropies`: logits = s * (softmax(z) - onehot(k))."""
    n_classes, block = logits.shape
    factor, true = work[0], work[2]
    zero, least = logits.dtype.type(0), _least(logits)
    _drop_small(logits)
    for k in range(n_classes):
        for i in range(block):
            logits[k, i] *= factor[i]
    # Set zeros instead of multiplying by 0: with an infinite theta, padding holds NaN.
    if size < block:
        for k in range(n_classes):
            for i in range(size, block):
                logits[k, i] = 0.0
    for i in range(size):
        logits[y[start + i], i] = factor[i] * (zero if abs(true[i]) < least else true[i])


@inner_kernel
def probabilities(logits, work):
    """Compute the softmax of a block, in place; work : (3 or more, block)."""
    n_classes, size = logits.shape
    one = logits.dtype.type(1)
    largest, rest, more = work[0], work[1], work[2]
    exponentials(logits, largest, rest, more)
    for i in range(size):
        largest[i] = one / (rest[i] + more[i] + one)
    for k in range(n_classes):
        for i in range(size):
            logits[k, i] *= largest[i]


@inner_kernel
def _drop_small(exponentials):
    """Set exponentials or probabilities that would give subnormal numbers to 0.

    The loop does nothing else: LLVM could compute a product of three factors in one order where
    arrays might overlap, and in another where not.
    """
    zero, least = exponentials.dtype.type(0), _least(exponentials)
    for k in range(len(exponentials)):
        for i in range(exponentials.shape[1]):
            e = exponentials[k, i]
            exponentials[k, i] = zero if e < least else e


@inner_kernel
def curved(proba, change, weight, start, size, total):
    """Compute the second derivative along a direction; `change` and `proba` are overwritten.

    With q the probabilities of a row and u the change of its logits:
        change = s * q * (u - sum_k q_k u_k).
    total : (block,) work space, overwritten
    """
    n_classes, block = proba.shape
    _drop_small(proba)
    for i in range(block):
        total[i] = 0.0
    for k in range(n_classes):
        for i in range(block):
            total[i] += proba[k, i] * change[k, i]
    for k in range(n_classes):
        for i in range(size):
            change[k, i] = weight[start + i] * proba[k, i] * (change[k, i] - total[i])
        for i in range(size, block):
            change[k, i] = 0.0
