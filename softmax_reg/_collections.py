"""Dask's arrays and DataFrames as blocks of rows that belong together."""

import dask.array
import numpy as np


def as_dask_array(X):
    """(X as a Dask array with all features in one chunk, names of the features or None)."""
    if not hasattr(X, "dask") or getattr(X, "ndim", 0) != 2:
        raise TypeError(
            "X must be a 2-D Dask array or a Dask DataFrame, got "
            f"{type(X).__module__}.{type(X).__name__}. Use SoftmaxRegression for local arrays."
        )
    names = None
    if hasattr(X, "columns"):
        if all(isinstance(name, str) for name in X.columns):
            names = np.array(list(X.columns), dtype=object)
        X = X.to_dask_array()
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    return X, names


def aligned_parts(X, others):
    """(names, a delayed block of X for every partition, {name: as many of those, or None})."""
    X, names = as_dask_array(X)
    out = {}
    for name, other in others.items():
        if other is None and name == "sample_weight":
            out[name] = None
            continue
        if isinstance(other, np.ndarray) and other.ndim == 1 and _is_known(X):
            other = dask.array.from_array(other, chunks=len(other))
        if not hasattr(other, "dask"):
            raise TypeError(
                f"{name} must be a Dask array or Series as X is, got {type(other).__name__}."
            )
        if hasattr(other, "to_dask_array"):
            other = other.to_dask_array()
        if other.ndim == 2 and other.shape[1] == 1:
            other = other[:, 0]
        if other.ndim != 1:
            raise ValueError(f"{name} must be 1-D, (n_samples,), got {other.ndim} dimensions.")
        if _is_known(X) and _is_known(other):
            if other.shape[0] != X.shape[0]:
                raise ValueError(
                    f"X has {X.shape[0]} rows, and {name} has {other.shape[0]}."
                )
            other = other.rechunk((X.chunks[0],))
        elif other.numblocks[0] != X.numblocks[0]:
            raise ValueError(
                f"X has {X.numblocks[0]} partitions and {name} has {other.numblocks[0]}, of "
                "unknown lengths. Partition them alike, or call compute_chunk_sizes() on them."
            )
        out[name] = list(other.to_delayed().ravel())
    return names, list(X.to_delayed().ravel()), out


def _is_known(array):
    return not np.isnan(array.shape[0])
