"""Predictions from coefficients, in blocks of rows; only the result has n x K numbers."""

import numpy as np
from scipy import sparse

from ..functional import cross_entropy
from ..rows.choice import rows_of
from ..rows.device_input import as_numpy
from ..rows.row_blocks import RowBlocks

# Number of rows at a time where X has to be converted or copied first.
_ROWS = 16_384
# Largest number of rows on which the effect of rounding is looked at.
_SAMPLED_ROWS = 2048


def predictions(X, coef, intercept, kind, device="cpu"):
    """Compute the logits, probabilities or log-probabilities of every row.

    A value of X that is not finite makes the logits of its row not finite either. So X has to
    be checked only where logits are not finite. Checking X itself would take as long as all
    the rest.

    Parameters
    ----------
    X : array or CSR of shape (n_samples, n_features), any real dtype; validated, but for
        values that are not finite. On a device: C-ordered and of its dtypes
    coef : ndarray or sparse of shape (1 or n_classes, n_features)
    intercept : array of shape (1 or n_classes,) or a number
    kind : {"logits", "probabilities", "log_probabilities"}
    device : {"cpu", "cuda"}

    Returns
    -------
    out : array of shape (n_samples, n_classes)
        NumPy's or the device's. The dtype is that of X and coef together, float64 at most.
        Two classes have logits 0 and z.
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


def rounded(coef, intercept, X, y, tol):
    """Round parameters to the dtype of X where predictions do not suffer.

    Parameters
    ----------
    coef : ndarray of shape (1 or n_classes, n_features), float64
    intercept : ndarray of shape (1 or n_classes,), float64
    X : ndarray or CSR of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        Class indices.
    tol : float
        Relative change of the mean loss, on some 2,000 rows at most, up to which they are
        rounded.

    Returns
    -------
    coef, intercept
        As they were given, where the loss would change by more.
    """
    if X.dtype == np.float64:
        return coef, intercept
    some = slice(None, None, -(-X.shape[0] // _SAMPLED_ROWS))
    X, y = X[some], y[some]

    def loss(X, coef, intercept):
        logits = X @ coef.T + intercept
        if logits.shape[1] == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        return float(cross_entropy(y, logits))

    single = coef.astype(X.dtype), intercept.astype(X.dtype)
    exact = loss(X.astype(np.float64), coef, intercept)
    return single if abs(loss(X, *single) - exact) <= tol * exact else (coef, intercept)
