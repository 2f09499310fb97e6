"""Solvers' products of large matrices and long vectors, on the device.

The functions are those of `parallel.algebra`, which also does the work on small arrays: moving
these to the device would take longer. Large arrays kept from one iteration to the next, made by
`empty_vectors` and `resident`, stay on the device. Other arguments come from the host, and
results return there.
"""

import numpy as np

from ..parallel import algebra
from .device import array_module, to_host

# Smallest number of entries of an array that is moved to the device.
LEAST_SIZE = 2**16
# Number of columns converted to float64 at a time.
_STRETCH = 2**18


def _is_here(*arrays):
    """Return whether to work on the device: an array is there, or is large enough to move."""
    return any(not isinstance(a, np.ndarray) or a.size >= LEAST_SIZE for a in arrays)


def resident(matrix):
    """Return `matrix` for many calls of `product`, on the device if it is large."""
    return array_module().asarray(matrix) if _is_here(matrix) else matrix


def product(left, right, out=None):
    """Compute left @ right; the result is on the host, in `out`, if given."""
    if not _is_here(left, right):
        return algebra.product(left, right, out)
    xp = array_module()
    result = to_host(xp.asarray(left) @ xp.asarray(right))
    if out is None:
        return result
    out[...] = result
    return out


def empty_vectors(shape, dtype):
    """Return an uninitialised array of vectors, whose rows `set_vector` sets."""
    xp = array_module() if np.prod(shape) >= LEAST_SIZE else np
    return xp.empty(shape, dtype=dtype)


def set_vector(vectors, row, vector, divisor):
    """Set vectors[row] to vector / divisor."""
    if _is_here(vectors):
        vector = array_module().asarray((vector / divisor).astype(vectors.dtype))
        vectors[row] = vector
    else:
        algebra.set_vector(vectors, row, vector, divisor)


def inner_products(vectors, which):
    """Compute vectors @ vectors[which].T in float64; `which` is a list of rows."""
    if not _is_here(vectors):
        return algebra.inner_products(vectors, which)
    total = array_module().zeros((len(vectors), len(which)))
    for start in range(0, vectors.shape[1], _STRETCH):
        piece = vectors[:, start:start + _STRETCH].astype(np.float64)
        total += piece @ piece[which].T
    return to_host(total)


def combination(weights, vectors, factor):
    """Compute factor * (weights @ vectors) in the dtype of the vectors; float64 on the host."""
    if not _is_here(vectors):
        return algebra.combination(weights, vectors, factor)
    weights = array_module().asarray(weights.astype(vectors.dtype))
    out = to_host(weights @ vectors).astype(np.float64)
    out *= factor
    return out
