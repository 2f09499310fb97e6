"""Predictions in blocks of rows: no temporary array of n_samples x n_classes numbers."""

import numpy as np
from scipy import sparse

from ..functional import cross_entropy
from ..rows.choice import rows_of
from ..rows.device_input import as_numpy
from ..rows.row_blocks import RowBlocks

# Number of rows in a block where X has to be converted or copied.
_ROWS = 16_384
# Largest number of rows on which the effect of rounding is measured.
_SAMPLED_ROWS = 2048


def predictions(X, coef, intercept, kind, device="cpu"):
    """Compute the logits, probabilities or log-probabilities of every row.

    If a value of X is not finite, the logits of its row are not finite either. So callers check
    X only if some logits are not finite: a check of X takes as long as the predictions.

    Parameters
    ----------
    X : array or CSR of shape (n_samples, n_features), any real dtype; validated, except that
        values may not be finite. On a device: C-ordered, float32 or float64
    coef : ndarray or sparse of shape (1 or n_classes, n_features)
    intercept : array of shape (1 or n_classes,) or a number
    kind : {"logits", "probabilities", "log_probabilities"}
    device : {"cpu", "cuda"}

    Returns
    -------
    out : array of shape (n_samples, n_classes)
        On the host or the device. float32 where X and coef both fit into it, else float64.
        If there are two classes, the logit of the first is 0.
    all_finite : bool
        Whether all logits are finite.
    """
    if sparse.issparse(X):
        # Kernels do not check indices.
        X.check_format(full_check=True)
    coef = coef.toarray() if sparse.issparse(coef) else np.asarray(coef)
    if coef.ndim != 2 or coef.shape[1] != X.shape[1]:
        raise ValueError(
            f"coef_ must have shape (n_rows, {X.shape[1]}) for this X, got {coef.shape}. "
            "Was it assigned after fit?"
        )
    if np.ndim(intercept) > 0 and np.shape(intercept) not in ((1,), (len(coef),)):
        raise ValueError(
            f"intercept_ must have shape ({len(coef)},) to go with coef_, got "
            f"{np.shape(intercept)}."
        )
    is_single = np.result_type(X.dtype, coef.dtype, np.float32) == np.float32
    dtype = np.float32 if is_single else np.float64    # for long doubles, too
    intercept = np.broadcast_to(intercept, len(coef))
    theta = np.column_stack([coef, intercept]).astype(dtype)
    if isinstance(X, RowBlocks):
        return rows_of(X, len(theta), device).predictions(theta, kind)
    fits = X.dtype in (np.float32, np.float64) and X.dtype.isnative
    if fits and (sparse.issparse(X) or X.flags.c_contiguous):
        return rows_of(X, len(theta), device).predictions(theta, kind)
    blocks = [X[start:start + _ROWS] for start in range(0, X.shape[0], _ROWS)]
    parts = [
        rows_of(_native(block, dtype), len(theta), device).predictions(theta, kind)
        for block in blocks
    ]
    outs, all_finite = zip(*parts, strict=True)
    return np.concatenate([as_numpy(out) for out in outs]), all(all_finite)


def _native(block, dtype):
    return block.astype(dtype) if sparse.issparse(block) else np.ascontiguousarray(block, dtype)


def rounded(coef, intercept, X, y, tol, offset=None):
    """Round parameters to the dtype of X, unless this changes the loss by more than `tol`.

    Parameters
    ----------
    coef : ndarray of shape (1 or n_classes, n_features), float64
    intercept : ndarray of shape (1 or n_classes,), float64
    X : ndarray or CSR of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Class indices, or distributions.
    tol : float
        Largest relative change of the mean loss, measured on at most 2,048 rows, that rounding
        may make.
    offset : ndarray of shape (n_samples, 1 or n_classes), optional

    Returns
    -------
    coef, intercept
        As given, where rounding would change the loss by more.
    """
    if X.dtype == np.float64:
        return coef, intercept
    some = slice(None, None, -(-X.shape[0] // _SAMPLED_ROWS))
    X, y = X[some], y[some]
    offset = 0.0 if offset is None else offset[some].astype(X.dtype)

    def loss(X, coef, intercept):
        logits = X @ coef.T + intercept + offset
        if logits.shape[1] == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        return float(cross_entropy(y, logits))

    single = coef.astype(X.dtype), intercept.astype(X.dtype)
    exact = loss(X.astype(np.float64), coef, intercept)
    return single if abs(loss(X, *single) - exact) <= tol * exact else (coef, intercept)
