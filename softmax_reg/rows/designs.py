"""Rows [x - shift, 1] as the columns of a matrix, and products with it, in NumPy and SciPy.

The matrix has a column for each row of X, so that sums over classes run along contiguous memory.
"""

import numpy as np
from scipy import sparse

# Number of entries of a block of a sparse design that is made dense.
_BLOCK_SIZE = 2**20


class DenseDesign:
    """A design as an array, (n_features + 1, n_samples).

    Parameters
    ----------
    X : ndarray (n_samples, n_features)
    shift : (n_features,), or None for zeros
    dtype : of the array
    """

    def __init__(self, X, shift, dtype):
        self.dtype = dtype
        self.array = np.empty((X.shape[1] + 1, len(X)), dtype=dtype)
        self.array[-1] = 1
        if shift is None:
            self.array[:-1] = X.T
        else:
            np.subtract(X.T, shift[:, np.newaxis], out=self.array[:-1], casting="same_kind")
        self.array.flags.writeable = False

    def logits(self, theta):
        """Return theta times the design, (n_rows, n_samples)."""
        return theta @ self.array

    def predicted_logits(self, theta):
        """Return the logits of predictions: those of a row do not depend on other rows."""
        return predicted_logits(theta, self.array)

    def sums(self, residuals):
        """Return sum_i r_i [x_i - shift, 1]' of columns r_i, (n_rows, n_features + 1)."""
        return residuals @ self.array.T

    def moments(self, weight):
        """Return sum_i w_i [x_i - shift, 1] [x_i - shift, 1]', for w_i >= 0."""
        return weighted_moments(self.array, weight)

    def diagonal_moments(self, weight):
        """Return the last row and the diagonal of `moments`, (2, n_features + 1)."""
        weighted = self.array * weight
        return np.stack([weighted.sum(axis=1), (weighted * self.array).sum(axis=1)])

    def features(self, index):
        """Return some rows of the design as a new array, (len(index), n_samples)."""
        return self.array[index]

    def blocks(self):
        """Yield (slice of samples, their columns of the design as an array)."""
        yield slice(None), self.array


class SparseDesign:
    """A design of CSR rows, centred implicitly; methods as of `DenseDesign`.

    Parameters
    ----------
    X : CSR array (n_samples, n_features)
    shift, dtype : as in `DenseDesign`
    """

    def __init__(self, X, shift, dtype):
        self.dtype = dtype
        self._X = sparse.csr_array(X, dtype=dtype)
        self._shift = np.zeros(X.shape[1]) if shift is None else shift

    def logits(self, theta):
        """See `DenseDesign.logits`."""
        out = np.ascontiguousarray((self._X @ theta[:, :-1].T).T)
        out += (theta[:, -1] - theta[:, :-1] @ self._shift)[:, np.newaxis].astype(self.dtype)
        return out

    def predicted_logits(self, theta):
        """See `DenseDesign.predicted_logits`; of a design without a shift."""
        return self.logits(theta)

    def sums(self, residuals):
        """See `DenseDesign.sums`."""
        totals = residuals.sum(axis=1)
        of_x = (self._X.T @ residuals.T).T - np.outer(totals, self._shift)
        return np.column_stack([of_x, totals])

    def moments(self, weight):
        """See `DenseDesign.moments`."""
        n_features = self._X.shape[1]
        out, shift = np.empty((n_features + 1, n_features + 1)), self._shift
        weighted = self._X.multiply(weight[:, np.newaxis]).tocsr()
        first, total = np.asarray(weighted.sum(axis=0)), weight.sum()
        inner = out[:-1, :-1]
        inner[:] = (self._X.T @ weighted).toarray()
        inner -= np.outer(first, shift)
        inner -= np.outer(shift, first - total * shift)
        inner[:] = (inner + inner.T) / 2    # by rounding it is not symmetric
        out[-1, :-1] = out[:-1, -1] = first - total * shift
        out[-1, -1] = total
        return out

    def diagonal_moments(self, weight):
        """See `DenseDesign.diagonal_moments`."""
        weighted, shift = self._X.multiply(weight[:, np.newaxis]).tocsr(), self._shift
        first, total = np.asarray(weighted.sum(axis=0)), weight.sum()
        squares = np.asarray(weighted.multiply(self._X).sum(axis=0))
        squares = squares - shift * (2 * first - total * shift)
        return np.stack([np.append(first - total * shift, total), np.append(squares, total)])

    def features(self, index):
        """See `DenseDesign.features`."""
        out = np.ones((len(index), self._X.shape[0]), dtype=self.dtype)
        is_x = index < self._X.shape[1]
        some = index[is_x]
        out[is_x] = self._X[:, some].T.toarray() - self._shift[some, np.newaxis]
        return out

    def blocks(self):
        """See `DenseDesign.blocks`."""
        n_samples, n_features = self._X.shape
        size = max(1, _BLOCK_SIZE // (n_features + 1))
        for start in range(0, n_samples, size):
            rows = slice(start, min(start + size, n_samples))
            yield rows, DenseDesign(self._X[rows].toarray(), self._shift, self.dtype).array


def predicted_logits(theta, array):
    """Return the logits of predictions, (n_rows, n_samples), for a design as an array.

    With einsum, unlike BLAS, the logits of a row have the same bits whatever other rows are in X.
    So the certified objective is that of the predictions' own logits, rounding errors included.
    """
    return np.einsum("kj,ji->ki", theta, array)


def weighted_moments(array, weight):
    """Return sum_i w_i x_i x_i' of the columns x_i of an array, symmetric, for w_i >= 0.

    Leading dimensions of `weight` give stacks.
    """
    root = array * np.sqrt(weight)[..., np.newaxis, :]
    return root @ root.swapaxes(-1, -2)    # BLAS computes one triangle and copies it
