"""NumPy on long vectors of labels and weights, a part for each thread.

Parts follow from the lengths alone, so bits do not depend on the number of threads.
"""

import numpy as np

from .algebra import ENTRY_WORK, MEMORY_SLOWNESS, parts
from .elementwise import each
from .launch import SERIAL_WORK

# Length below which a vector is one part.
_FEW = SERIAL_WORK // (MEMORY_SLOWNESS * ENTRY_WORK)
# Smallest length of a part, as a multiple of the length of what is computed of it.
_GRAIN = 16


def filled(function, length, dtype):
    """Return an array (length,) with function(part) in every part, a slice."""
    out = np.empty(length, dtype=dtype)

    def fill(part):
        out[part] = function(part)

    _of_parts(fill, length, 1)
    return out


def entries(table, index):
    """Return table[index] for two vectors."""
    return filled(lambda part: table[index[part]], len(index), table.dtype)


def summed(function, length, size):
    """Return the sum of function(part), an array (size,), over all parts of `length` entries."""
    return sum(_of_parts(function, length, size))


def class_totals(index, weight, n_classes):
    """Return the sum of the weights of every class, (n_classes,).

    index, weight : (n_samples,), classes 0, 1, ... and weights
    """
    def total(part):
        return np.bincount(index[part], weights=weight[part], minlength=n_classes)

    return summed(total, len(index), n_classes)


def largest_and_total(weight):
    """Return the largest of positive weights, and the sum of all as a multiple of it."""
    largest = weight.max()    # the sum itself may overflow
    return largest, summed(lambda part: np.sum(weight[part] / largest), len(weight), 1)


def _of_parts(function, length, size):
    if length < _FEW:    # small fits call this often
        return [function(slice(0, length))]
    work = float(MEMORY_SLOWNESS * ENTRY_WORK * length)
    return each(function, parts(length, _GRAIN * size, work), work)
