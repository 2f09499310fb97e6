"""Dask's arrays and DataFrames as blocks of rows that belong together."""

import dask.array
import numpy as np


def as_dask_array(X):
    """(X as a Dask array with all features in one chunk, names of the features or None)."""
    names = _checked_names(X)
    if _is_frame(X):
        X = X.to_dask_array()
    return _joined(X), names


def aligned_parts(X, others):
    """(names, a delayed block of X for every partition, {name: as many of those, or None}).

    Parameters
    ----------
    X : 2-D Dask array or DataFrame
    others : dict
        Of 1-D Dask arrays or Series; "sample_weight" may be None.
    """
    names = _checked_names(X)
    X = X if _is_frame(X) else _joined(X)
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
        if other.ndim == 2 and other.shape[1] == 1:
            other = other.iloc[:, 0] if _is_frame(other) else other[:, 0]
        if other.ndim != 1:
            raise ValueError(f"{name} must be 1-D, (n_samples,), got {other.ndim} dimensions.")
        if _is_known(X) and _is_known(other):
            if other.shape[0] != X.shape[0]:
                raise ValueError(
                    f"X has {X.shape[0]} rows, and {name} has {other.shape[0]}."
                )
            other = other.rechunk((X.chunks[0],))
        elif other.npartitions != X.npartitions:
            raise ValueError(
                f"X has {X.npartitions} partitions and {name} has {other.npartitions}, of "
                "unknown lengths. Partition them alike, or call compute_chunk_sizes() on them."
            )
        out[name] = _blocks(other)
    return names, _blocks(X), out


def _checked_names(X):
    """Names of the features if they are strings; TypeError where X is no 2-D collection."""
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
    """Whether the lengths of the partitions are known."""
    return not _is_frame(collection) and not np.isnan(collection.shape[0])


def _joined(array):
    return array.rechunk({1: -1}) if array.numblocks[1] > 1 else array


def _blocks(collection):
    if _is_frame(collection):
        # Optimised, those of one column may be fewer than those of all others.
        return list(collection.to_delayed(optimize_graph=False))
    return list(collection.to_delayed().ravel())
