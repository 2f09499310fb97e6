"""The dense Hessian from its blocks for pairs of classes."""

import functools

import numpy as np


@functools.cache
def class_pairs(n_rows):
    """Return the classes (k, m) of all pairs k < m, in the order of the blocks: two arrays."""
    return np.triu_indices(n_rows, 1)


def assembled(pairs, n_rows):
    """Return the Hessian from its negated blocks (k, m) with k < m.

    Parameters
    ----------
    pairs : (..., n_pairs, width, width)
        Symmetric blocks in the order of `class_pairs`, overwritten. In the binary model, the
        single block is the Hessian itself. Leading dimensions give a stack of Hessians.
    n_rows : int
    """
    *stack, _, _, width = pairs.shape
    if n_rows == 1:
        return pairs[..., 0, :, :]
    first, second = class_pairs(n_rows)
    out = np.zeros((*stack, n_rows, width, n_rows, width))
    blocks = out.swapaxes(-3, -2)    # a view
    np.negative(pairs, out=pairs)
    blocks[..., first, second, :, :] = pairs
    blocks[..., second, first, :, :] = pairs
    # The blocks of each row of blocks sum to zero, which gives (k, k), still zero in this sum.
    np.einsum("...kikj->...kij", out)[:] = -np.add.reduce(out, axis=-2)
    return out.reshape(*stack, n_rows * width, n_rows * width)
