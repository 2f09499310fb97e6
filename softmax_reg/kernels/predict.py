"""Predictions for one range of rows."""

import numpy as np

from .chunks import logit_space
from .chunks_csr import sparse_products
from .exp_log import log1p
from .jit import kernel
from .softmax import exponentials, load_block, products
from .tiles import aligned_empty, transpose

# Kinds of output of `predictions`.
LOGITS, PROBABILITIES, LOG_PROBABILITIES = range(3)


@kernel
def predictions(rows, shift, theta_t, n_classes, width, kind, block, start, stop, out):
    """Write the logits, probabilities or log-probabilities of rows start to stop.

    Parameters
    ----------
    theta_t : (n_features + 1, n_classes padded)
    width : int
        Number of features and intercept, padded to whole vector registers.
    kind : {LOGITS, PROBABILITIES, LOG_PROBABILITIES}
    out : (n_samples, n_classes)
        out[start:stop] is overwritten.

    Returns
    -------
    n_not_finite : int
        Number of logits that are not finite.
    """
    x = aligned_empty(0 if rows.is_sparse else block, width, theta_t)
    by_row, padded_logits, work = logit_space(theta_t, block)
    logits = padded_logits[:n_classes]
    largest, rest, more = work[0], work[1], work[2]
    one = theta_t.dtype.type(1)
    n_not_finite = 0
    for first in range(start, stop, block):
        size = min(block, stop - first)
        if rows.is_sparse:
            sparse_products(rows, first, first + size, theta_t, by_row)
            transpose(by_row, padded_logits)
        else:
            load_block(rows, shift, first, first + size, x)
            products(x, theta_t, by_row, padded_logits, x.ctypes.data, 0)
        for k in range(n_classes):
            for i in range(size):
                n_not_finite += 0 if abs(logits[k, i]) < np.inf else 1
        if kind == LOG_PROBABILITIES:
            for k in range(n_classes):
                for i in range(size):
                    out[first + i, k] = logits[k, i]
        if kind != LOGITS:
            exponentials(logits, largest, rest, more)
            for i in range(size):
                rest[i] += more[i]
        if kind == LOG_PROBABILITIES:
            for i in range(size):
                rest[i] = log1p(rest[i] * 1.0)    # the product is float64, as log1p needs
            for i in range(size):
                for k in range(n_classes):
                    out[first + i, k] = (out[first + i, k] - largest[i]) - rest[i]
        else:
            if kind == PROBABILITIES:
                for i in range(size):
                    rest[i] = one / (one + rest[i])
                for k in range(n_classes):
                    for i in range(size):
                        logits[k, i] *= rest[i]
            for i in range(size):
                for k in range(n_classes):
                    out[first + i, k] = logits[k, i]
    return n_not_finite
