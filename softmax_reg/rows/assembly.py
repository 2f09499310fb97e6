"""The dense Hessian from its blocks for pairs of classes."""

import numpy as np


def assembled(pairs, n_rows):
    """Return the Hessian from its negated blocks (k, m) with k < m."""
    width = pairs.shape[-1]
    if n_rows == 1:
        return pairs[0]
    out = np.zeros((n_rows, width, n_rows, width))
    first = 0
    for k in range(n_rows):
        others = pairs[first:first + n_rows - 1 - k]    # blocks (k, m) for every m > k
        first += len(others)
        np.negative(others.swapaxes(0, 1), out=out[k, :, k + 1:])
        np.negative(others, out=out[k + 1:, :, k])
        out[k, :, k] = -out[k].sum(axis=1)    # block (k, k) is still zero in the sum
    return out.reshape(n_rows * width, n_rows * width)
