"""The Hessian of the loss in some of the coefficients, over one range of rows.

The kernel is like those of `chunks`. In sparse models each class has few nonzero coefficients,
of other features than the next class. `chunks.evaluate` would compute the Hessian in all
coefficients of these features, of which a small part is wanted.
"""

import numpy as np

from .chunks import logit_space
from .jit import inner_kernel, kernel
from .softmax import empty_block, exponentials, load_block, products
from .tiles import add_lower_gram, aligned_empty, lanes_of


@inner_kernel
def _fits(theta_t, n_classes, columns, classes, bounds, cross):
    """Return whether the coefficients are in theta, and their bounds in order."""
    n = len(classes)
    fits = len(bounds) == n + 1 and bounds[0] == 0 and bounds[n] == len(columns)
    fits = fits and (len(cross) == 0 or len(cross) == len(columns))
    for c in range(n):
        fits = fits and bounds[c] < bounds[c + 1] and 0 <= classes[c] < n_classes
    for column in columns:
        fits = fits and 0 <= column < len(theta_t)
    return fits


@inner_kernel
def _shares(logits, k, weight, first, size, rest, own, other):
    """Compute own = s q_k (1 - q_k) and other = q_k of a block, after `exponentials`.

    rest : (block,), the sum of a row's exponentials except one of the largest
    """
    for i in range(size):
        e = logits[k, i]
        total = rest[i] + 1.0
        q = e / total
        # The largest exponential is 1: the others keep digits that 1 - q would lose.
        own[i] = weight[first + i] * q * ((rest[i] if e == 1.0 else total - e) / total)
        other[i] = q


@kernel
def hessian(
    rows, weight, shift, theta_t, n_classes, classes, columns, bounds, block, start, stop,
    cross, own,
):
    """Sum the Hessian over the rows; only lower triangles are valid.

    Parameters
    ----------
    classes, bounds : (n,) and (n + 1,) int64, ascending
        Coefficients bounds[c] to bounds[c + 1] are of class classes[c]; at least one each.
    columns : (m,) int64
        Column of [x, 1] of every coefficient.
    cross : (m, m padded) or (0, any), overwritten
        -sum_i s_i q_k q_l x_ij x_ih for the coefficients (k, j) and (l, h): the Hessian where
        k and l differ. It has no rows if it is not wanted, as with a single class.
    own : 1-D, overwritten
        sum_i s_i q_k (1 - q_k) x_ij x_ih for the coefficients of one class after the other,
        each (m_k, m_k padded). `cross` does not give it: that cancels where q_k is close to 1.
    """
    if not _fits(theta_t, n_classes, columns, classes, bounds, cross):
        raise ValueError("hessian: coefficients out of range")
    lanes = lanes_of(theta_t)
    widest = 0
    for c in range(len(classes)):
        widest = max(widest, -(-(bounds[c + 1] - bounds[c]) // lanes) * lanes)
    has_cross = len(cross) > 0
    height, width = block if has_cross else 1, cross.shape[1] if has_cross else 1
    x = empty_block(block, -(-len(theta_t) // lanes) * lanes, rows.n_features, theta_t)
    by_row, padded_logits, work = logit_space(theta_t, block)
    logits = padded_logits[:n_classes]
    largest, rest, more = work[0], work[1], work[2]
    share = np.empty(block)
    # scaled: q x of all coefficients; weighted: -s q x. picked: x of the coefficients of one
    # class; curved: s q (1 - q) x of these.
    scaled, weighted = aligned_empty(height, width, theta_t), aligned_empty(height, width, theta_t)
    picked = aligned_empty(1, block * widest, theta_t)[0]
    curved = aligned_empty(1, block * widest, theta_t)[0]
    scaled[:] = 0.0
    weighted[:] = 0.0
    cross[:] = 0.0
    own[:] = 0.0
    for first in range(start, stop, block):
        last = min(first + block, stop)
        size = last - first
        load_block(rows, shift, first, last, x)
        products(x, theta_t, by_row, padded_logits, x.ctypes.data, 0)
        exponentials(logits, largest, rest, more)
        for i in range(size):
            rest[i] += more[i]
        if has_cross and size < block:
            scaled[size:] = 0.0
            weighted[size:] = 0.0
        place = 0
        for c in range(len(classes)):
            a, n = bounds[c], bounds[c + 1] - bounds[c]
            n_padded = -(-n // lanes) * lanes
            # `largest` is not needed any more: it takes q.
            _shares(logits, classes[c], weight, first, size, rest, share, largest)
            x_own = picked[:block * n_padded].reshape(block, n_padded)
            wx_own = curved[:block * n_padded].reshape(block, n_padded)
            x_own[:] = 0.0
            wx_own[:] = 0.0
            for i in range(size):
                minus = -weight[first + i]
                for e in range(n):
                    value = x[i, columns[a + e]]
                    x_own[i, e] = value
                    wx_own[i, e] = share[i] * value
                    if has_cross:
                        scaled[i, a + e] = largest[i] * value
                        weighted[i, a + e] = minus * largest[i] * value
            out = own[place:place + n * n_padded].reshape(n, n_padded)
            add_lower_gram(wx_own, x_own, out)
            place += n * n_padded
        if has_cross:
            add_lower_gram(weighted, scaled, cross)
