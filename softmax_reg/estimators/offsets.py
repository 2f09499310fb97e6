"""Offsets: known numbers that are added to the logits of every row."""

import numpy as np
from scipy import sparse

from ..functional.narrow_floats import is_narrow
from ..rows.device_input import is_on_device
from ..rows.offset import with_columns
from ..rows.row_blocks import RowBlocks
from .validation import real_array


def with_offset(data, offset):
    """Return `TrainingData` with an offset, checked by `check_offset`; None changes nothing."""
    if offset is None:
        return data
    return data._replace(offset=check_offset(offset, data.X, len(data.classes)))


def bound(model, offset):
    """Return a copy of a fitted model whose predictions add an offset where they get none.

    Scorers predict without an offset. The copy shares the attributes of `model`.

    Parameters
    ----------
    model : LinearSoftmaxClassifier
        Fitted with an offset.
    offset : array-like, or None
        As in `check_offset`, for the rows that will be predicted; with None, `model` itself is
        returned.
    """
    if offset is None:
        return model
    copy = object.__new__(type(model))    # much faster than `copy.copy`
    vars(copy).update(vars(model), _bound_offset=offset)
    return copy


def check_offset(offset, X, n_classes):
    """Validate offsets for the rows of X.

    Parameters
    ----------
    offset : array-like of shape (n_samples, n_classes); or (n_samples,), the log-odds of the
        second of two classes
    X : validated
    n_classes : int

    Returns
    -------
    offset : ndarray of shape (n_samples, n_rows), float64
        With two classes: log-odds of the second.

    Raises
    ------
    ValueError
    """
    if isinstance(X, RowBlocks) or is_on_device(X):
        raise ValueError(f"offset needs X in memory, got {type(X).__name__}.")
    offset = real_array("offset", offset)
    n_samples = X.shape[0]
    shapes = [(n_samples, n_classes)]
    if n_classes == 2:
        shapes += [(n_samples,), (n_samples, 1)]
    if offset.shape not in shapes:
        raise ValueError(
            f"offset must have shape {' or '.join(map(str, shapes))} for these rows and classes, "
            f"got {offset.shape}."
        )
    if n_classes == 2:
        offset = offset[:, 1:] - offset[:, :1] if offset.shape == shapes[0] else (
            offset.reshape(-1, 1)
        )
    with np.errstate(over="ignore"):
        if not np.all(np.isfinite(offset.astype(_float_of(X.dtype)))):
            raise ValueError(f"offset overflows {_float_of(X.dtype)}, the dtype of X.")
    return offset


def joined(X, coef, offset, n_classes):
    """Return X with the offset as further columns, and coef with the identity for them.

    X : array or CSR of any real dtype, validated but for values that are not finite
    """
    offset = check_offset(offset, X, n_classes)
    coef = coef.toarray() if sparse.issparse(coef) else np.asarray(coef)
    X = X.astype(_float_of(X.dtype), copy=False)
    return with_columns(X, offset), np.column_stack([coef, np.eye(len(coef), dtype=coef.dtype)])


def _float_of(dtype):
    if is_narrow(dtype):
        return np.float32
    return np.float32 if np.result_type(dtype, np.float32) == np.float32 else np.float64
