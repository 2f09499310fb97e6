"""Sums along an axis, in float64."""

import numpy as np


def sum_along(x, axis):
    """Sum along any axis, pairwise in float64; the result has the dtype of `x`."""
    x_last = np.ascontiguousarray(np.moveaxis(x, axis, -1))     # NumPy adds pairwise only there
    return x_last.sum(axis=-1, dtype=np.float64).astype(x.dtype)


def compensated_sum(x, axis):
    """Sum float64 numbers as if in twice the precision and rounded once; inf and NaN as usual.

    Numbers are added in pairs, and each addition's rounding error (two-sum) is carried along.

    References
    ----------
    Ogita, Rump & Oishi (2005), Accurate sum and dot product, SIAM J. Sci. Comput. 26(6).
    """
    x = np.moveaxis(x, axis, -1)
    error = np.zeros_like(x)
    while x.shape[-1] > 1:
        if x.shape[-1] % 2:
            x, error = (np.concatenate([a, np.zeros_like(a[..., :1])], axis=-1)
                        for a in (x, error))
        a, b = x[..., ::2], x[..., 1::2]
        x = a + b
        b_added = x - a
        lost = (a - (x - b_added)) + (b - b_added)
        error = error[..., ::2] + error[..., 1::2] + lost
    total, error = x[..., 0], error[..., 0]
    return np.where(np.isfinite(total), total + error, total)
