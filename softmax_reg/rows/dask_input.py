"""Dask arrays and DataFrames as aligned blocks of rows."""

import dask.array
import numpy as np


def as_dask_array(X):
    """Return X as a Dask array, all features in one chunk, and the features' names or None."""
    names = _checked_names(X)
    if _is_frame(X):
        X = X.to_dask_array()
    return _joined(X), names


def aligned_parts(X, others):
    """Return delayed blocks of X and of other collections, one of each for every partition.

    Parameters
    ----------
    X : 2-D Dask array or DataFrame
    others : dict of str to 1-D Dask array or Series
        The value of "sample_weight" may be None. That of "y" may have several columns.

    Returns
    -------
    names : ndarray of object, or None
        Names of the features.
    blocks : list of delayed
        Blocks of X.
    other_blocks : dict of str to list of delayed
        Blocks of `others`; None where the value is None.
    """
    names = _checked_names(X)
    X = X if _is_frame(X) else _joined(X)
    out = {}
    for name, other in others.items():
        if other is None and name == "sample_weight":
            out[name] = None
            continue
        if isinstance(other, np.ndarray) and other.ndim in (1, 2) and _is_known(X):
            other = dask.array.from_array(other, chunks=other.shape)
        if not hasattr(other, "dask"):
            raise TypeError(
                f"{name} must be a Dask array or Series as X is, got {type(other).__name__}."
            )
        if other.ndim == 2 and other.shape[1] == 1:
            other = other.iloc[:, 0] if _is_frame(other) else other[:, 0]
        has_columns = name == "y" and other.ndim == 2
        if other.ndim != 1 and not has_columns:
            shapes = "(n_samples,)" + " or (n_samples, n_classes)" * (name == "y")
            raise ValueError(f"{name} must have shape {shapes}, got {other.ndim} dimensions.")
        if has_columns and not _is_frame(other):
            other = _joined(other)
        if _is_known(X) and _is_known(other):
            if other.shape[0] != X.shape[0]:
                raise ValueError(
                    f"X has {X.shape[0]} rows, and {name} has {other.shape[0]}."
                )
            other = other.rechunk((X.chunks[0], *other.chunks[1:]))
        elif other.npartitions != X.npartitions:
            raise ValueError(
                f"X has {X.npartitions} partitions and {name} has {other.npartitions}, of "
                "unknown lengths. Partition them alike, or call compute_chunk_sizes() on them."
            )
        out[name] = _blocks(other)
    return names, _blocks(X), out


def _checked_names(X):
    """Return the features' names, or None unless all are strings.

    Raises
    ------
    TypeError
        If X is no 2-D Dask collection.
    """
    if not hasattr(X, "dask") or getattr(X, "ndim", 0) != 2:
        raise TypeError(
            "X must be a 2-D Dask array or a Dask DataFrame, got "
            f"{type(X).__module__}.{type(X).__name__}. Use SoftmaxRegression for local arrays."
        )
    if _is_frame(X) and all(isinstance(name, str) for name in X.columns):
        return np.array(list(X.columns), dtype=object)
    return None


def _is_frame(collection):
    return hasattr(collection, "to_dask_array")


def _is_known(collection):
    """Return whether the lengths of the partitions are known."""
    return not _is_frame(collection) and not np.isnan(collection.shape[0])


def _joined(array):
    return array.rechunk({1: -1}) if array.numblocks[1] > 1 else array


def _blocks(collection):
    if _is_frame(collection):
        # Optimisation of the graph may give a Series fewer partitions than its DataFrame.
        return list(collection.to_delayed(optimize_graph=False))
    return list(collection.to_delayed().ravel())
