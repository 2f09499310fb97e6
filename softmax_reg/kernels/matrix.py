"""Arrays of X as one argument of kernels, for dense and for CSR X."""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class Matrix(NamedTuple):
    """Rows of X, dense or CSR, as one type: one compilation of a kernel serves both.

    Attributes
    ----------
    is_sparse : bool
    dense : (n_samples, n_features) float32 or float64, C-contiguous; (0, 0) if sparse
    data, indices, indptr : the CSR arrays; empty if dense
    n_samples, n_features : int

    Arrays are read-only views: a kernel then has one signature for the user's
    own array and for the read-only memory map that joblib hands to a worker.
    """

    is_sparse: bool
    dense: np.ndarray
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_samples: int
    n_features: int


def read_only(array):
    """Return a read-only C-contiguous view of `array` (a copy only if it is strided)."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def make_matrix(X):
    """Wrap a validated X in a `Matrix`.

    Parameters
    ----------
    X : ndarray or CSR matrix or array of shape (n_samples, n_features), float32 or float64
        For CSR the caller has checked that `indptr` and `indices` are in range, and that no
        entry of a row is stored twice: products of entries would not be those of their sum.
    """
    n_samples, n_features = X.shape
    if sparse.issparse(X):
        # One index type for both arrays; 32 bits whenever they suffice.
        wide = X.nnz > np.iinfo(np.int32).max or n_features > np.iinfo(np.int32).max
        index = np.int64 if wide else np.int32
        return Matrix(
            True,
            read_only(np.empty((0, 0), dtype=X.dtype)),
            read_only(X.data),
            read_only(X.indices.astype(index, copy=False)),
            read_only(X.indptr.astype(index, copy=False)),
            n_samples,
            n_features,
        )
    return Matrix(
        False,
        read_only(X),
        read_only(np.empty(0, dtype=X.dtype)),
        read_only(np.empty(0, dtype=np.int32)),
        read_only(np.zeros(1, dtype=np.int32)),
        n_samples,
        n_features,
    )
