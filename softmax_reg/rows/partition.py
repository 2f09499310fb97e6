"""One partition of rows on a Dask worker: its checks, and its share of every pass.

Workers call these functions; nothing here needs Dask.
"""

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ..functional.narrow_floats import is_narrow
from .algebra import HOST_ALGEBRA
from .base import Sample
from .distributions import checked_shares
from .file import added
from .memory import MemoryRows
from .subsample import one_of_many, with_rare


class Partition(NamedTuple):
    """Rows as they were given, checked.

    Attributes
    ----------
    X : ndarray (C-ordered) or CSR, float32 or float64, finite; may have no rows
    y : ndarray of the user's labels, or of float64 distributions or counts, (n_samples, n_classes)
    weight : ndarray of float64, non-negative
    fingerprint : int
        Checksum of X, y and weight: a different one means different rows.
    """

    X: object
    y: np.ndarray
    weight: np.ndarray
    fingerprint: int


class Summary(NamedTuple):
    """Properties of a partition that a fit needs to know."""

    n_samples: int
    n_features: int
    n_entries: int
    is_sparse: bool
    dtype: np.dtype
    classes: np.ndarray    # labels, or the numbers of the columns of y
    class_weights: np.ndarray    # total weight of each class
    class_counts: np.ndarray    # number of rows of each class; for distributions, their weight
    fingerprint: int


class Block(NamedTuple):
    """A partition with targets and weights, ready for passes."""

    rows: MemoryRows
    sample: Sample    # weights of all blocks sum to 1
    fingerprint: int


class Part(NamedTuple):
    """One worker's share of a pass: the sum over its blocks, and their fingerprints."""

    total: object
    fingerprints: tuple
    worker: str


def checked(X, y, weight, number, n_columns=None):
    """Return a `Partition`; errors name it by its number.

    Parameters
    ----------
    X : array, DataFrame or CSR
    y : array, Series or DataFrame
    weight : array, Series or None
    number : int
    n_columns : int, optional
        Number of columns of y; None for labels.
    """
    name = f"partition {number}"
    n_samples, lengths = X.shape[0], {"y": y.shape[0]}
    if weight is not None:
        lengths["sample_weight"] = len(weight)
    for other, length in lengths.items():
        if length != n_samples:
            raise ValueError(
                f"{name} of X has {n_samples} rows, and that of {other} has {length}. X, y and "
                "sample_weight must be partitioned alike: rechunk or repartition them."
            )
    dtype = np.float32 if is_narrow(getattr(X, "dtype", None)) else [np.float64, np.float32]
    X = check_array(
        X, accept_sparse="csr", dtype=dtype, order="C", ensure_min_samples=0,
        input_name=f"{name} of X",
    )
    if sparse.issparse(X):
        # Kernels do not check indices.
        X.check_format(full_check=True)
    weight = np.ones(n_samples) if weight is None else check_array(
        np.asarray(weight), ensure_2d=False, dtype=np.float64, ensure_min_samples=0,
        input_name=f"{name} of sample_weight",
    )
    if weight.shape != (n_samples,):
        raise ValueError(
            f"{name} of sample_weight must have shape ({n_samples},), got {weight.shape}."
        )
    if np.any(weight < 0):
        raise ValueError(
            f"sample_weight must be non-negative, got {float(weight.min())} in {name}."
        )
    if n_columns is None:
        y = _checked_labels(y, name)
    else:
        y = checked_shares(y, weight, f"{name} of y")
        if y.shape[1] != n_columns:
            raise ValueError(f"{name} of y has {y.shape[1]} columns, expected {n_columns}.")
    return Partition(X, y, weight, _fingerprint(X, y, weight))


def _checked_labels(y, name):
    y = column_or_1d(np.asarray(y))
    if y.dtype.kind in "fO" and np.any(y != y):    # only NaN differs from itself
        raise ValueError(f"{name} of y contains NaN.")
    if len(y) and y.dtype.kind not in "iu":
        check_classification_targets(y)
    return y


def _fingerprint(X, y, weight):
    parts = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
    out = 0
    for array in [*parts, weight, y if y.dtype != object else y.astype(str)]:
        out = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, out)
    return out


def summarised(partition):
    """Return the `Summary` of a partition."""
    X, y, weight, fingerprint = partition
    if y.ndim == 2:
        classes = np.arange(y.shape[1])
        with np.errstate(over="ignore"):
            weights = counts = np.einsum("i,ik->k", weight, y)
    else:
        classes, index, counts = np.unique(y, return_inverse=True, return_counts=True)
        weights = np.bincount(index, weights=weight, minlength=len(classes))
    return Summary(
        *X.shape, X.nnz if sparse.issparse(X) else X.size, sparse.issparse(X), X.dtype, classes,
        weights, counts, fingerprint,
    )


def prepared(partition, targets, columns):
    """Return the `Block` of a partition.

    Parameters
    ----------
    partition : Partition
    targets : `LabelTargets` or `ColumnTargets` of `block_targets`
    columns : array of int, or slice
    """
    X, y, weight, fingerprint = partition
    X = X[:, columns] if sparse.issparse(X) else np.ascontiguousarray(X[:, columns])
    return Block(MemoryRows(X), targets.sample(y, weight), fingerprint)


def restricted(block, columns):
    """Return a `Block` of some of the columns."""
    return block._replace(rows=block.rows.columns(columns))


def counts_of_sample(block, number, fraction, n_classes):
    """Return the number of rows of every class among one in `fraction` of the block's."""
    target, weight = block.sample.labels
    return np.bincount(target[one_of_many(weight, fraction, seed=number)], minlength=n_classes)


def sampled(block, number, fraction, is_rare):
    """Return (X, sample) of some rows: one in `fraction`, and all rows of the rare classes."""
    target, weight = block.sample.labels
    rows = with_rare(one_of_many(weight, fraction, seed=number), target, is_rare)
    return block.rows.X[rows], block.sample.take(rows)


def summed(one_pass, blocks, args, n_threads, worker):
    """Return a worker's `Part` of a pass: the sum over its blocks, in their order.

    Parameters
    ----------
    one_pass : callable
        A method of `MemoryRows`.
    blocks : list of Block
    args : tuple
        Arguments of the pass after the sample.
    n_threads : int
        Threads of the worker; one block a thread.
    worker : str
        Address of the worker that this runs on.
    """
    def part(block):
        return one_pass(block.rows, block.sample, *args)

    total = None
    with HOST_ALGEBRA.one_blas_thread():
        if n_threads == 1 or len(blocks) == 1:
            for block in blocks:
                total = added(total, part(block))
        else:
            with ThreadPoolExecutor(n_threads) as threads:
                for result in threads.map(part, blocks):
                    total = added(total, result)
    return Part(total, tuple(block.fingerprint for block in blocks), worker)
