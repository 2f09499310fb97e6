"""Summary of the columns of X from one pass: weighted sums, and the range of their values.

The pass is in NumPy: it runs once a fit, and no kernel has to be compiled for it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Number of entries converted to float64 at a time, which stay in a core's cache, and the least
# number of rows, whatever their length.
_BLOCK_SIZE, _LEAST_ROWS = 2**17, 16
# Least number of entries that NumPy reduces along at a time: along short rows it takes up to ten
# times as long.
_WIDTH = 1024
# Largest width of a range, relative to its values, that rounding alone can give: a few units
# in the last place.
_ROUNDING = 4 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class ColumnRange:
    """Least and largest value of every column among rows of positive weight.

    The sum of two ranges, ``a + b``, is the range of the rows of both together.

    Attributes
    ----------
    low, high : ndarray of shape (n_features,)
        inf and -inf where there are no such rows.
    """

    low: np.ndarray
    high: np.ndarray

    def __add__(self, other):
        """Return the range of the values in either of two sets of rows."""
        return ColumnRange(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def is_constant(self):
        """Mask of the columns whose values differ by no more than rounding, (n_features,)."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        with np.errstate(over="ignore"):    # the width may overflow where the values do not
            return np.isfinite(size) & (self.high - self.low <= _ROUNDING * size)


def range_of(X, weight):
    """Return the `ColumnRange` of a dense X (n_samples, n_features) of any real dtype."""
    if not np.all(weight > 0):
        X = X[weight > 0]
    low, high = _reduced(np.minimum, X, np.inf), _reduced(np.maximum, X, -np.inf)
    return ColumnRange(low.astype(np.float64), high.astype(np.float64))


def _reduced(ufunc, X, initial):
    """Return ufunc.reduce(X, axis=0, initial=initial), with several rows side by side."""
    n_rows, n_columns = X.shape
    fold = _WIDTH // max(1, n_columns)
    if fold <= 1 or n_rows < 2 * fold:
        return ufunc.reduce(X, axis=0, initial=initial)
    n_wide = n_rows // fold
    wide = X[:n_wide * fold].reshape(n_wide, fold * n_columns)
    wide = ufunc.reduce(wide, axis=0, initial=initial).reshape(fold, n_columns)
    return ufunc.reduce(np.concatenate([wide, X[n_wide * fold:]]), axis=0)


def _blocks(n_rows, n_columns):
    """Return slices of rows that hold about `_BLOCK_SIZE` entries."""
    step = max(_LEAST_ROWS, _BLOCK_SIZE // max(1, n_columns))
    return [slice(first, first + step) for first in range(0, n_rows, step)]


def dense_summary(X, weight):
    """Return sum_i s_i x_i and the `ColumnRange` of dense rows; X (n_samples, n_features)."""
    total = np.zeros(X.shape[1])
    found = range_of(X[:0], weight[:0])
    for part in _blocks(*X.shape):
        block = X[part].astype(np.float64, copy=False)
        total += np.einsum("i,ij->j", weight[part], block)
        found += range_of(block, weight[part])
    return total, found


def csr_summary(data, indices, indptr, n_features, weight):
    """Return sum_i s_i x_i and the `ColumnRange` of CSR rows, whose duplicate entries add up.

    A column with entries in only some of the rows is 0 in the others. The range of such a column
    is not computed: if one of its entries is not zero, the result is (-inf, inf). This is not
    constant, and neither is the true range.
    """
    counts_row = weight > 0
    lengths = np.diff(indptr)
    entries = slice(indptr[0], indptr[-1])
    data, indices = data[entries], indices[entries]
    total = np.bincount(indices, np.repeat(weight, lengths) * data, n_features)
    n_rows = int(np.count_nonzero(counts_row))
    if n_rows == 0:
        return total, range_of(np.empty((0, n_features)), weight[:0])
    counted = np.ones(len(data), dtype=bool) if n_rows == len(weight) else (
        np.repeat(counts_row, lengths)
    )
    n_entries = np.bincount(indices[counted & (data != 0)], minlength=n_features)
    low = np.where(n_entries == 0, 0.0, -np.inf)
    high = np.where(n_entries == 0, 0.0, np.inf)
    full = np.flatnonzero(n_entries >= n_rows)
    if len(full):
        rows = sparse.csr_array((data, indices, indptr - indptr[0]), (len(weight), n_features))
        columns = rows[:, full]
        found = range_of(np.empty((0, len(full))), weight[:0])
        for part in _blocks(len(weight), len(full)):
            found += range_of(columns[part].toarray(), weight[part])
        low[full], high[full] = found.low, found.high
    return total, ColumnRange(low, high)
