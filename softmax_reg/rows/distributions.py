"""Targets that are distributions or counts, as arrays of shape (n_samples, n_classes)."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array


def checked_shares(y, weight, name):
    """Return y as a float64 array: dense, finite, non-negative.

    Parameters
    ----------
    y : array-like or DataFrame of shape (n_samples, n_classes)
        A row of zeros needs a weight of 0.
    weight : (n_samples,), checked weights of the rows
    name : str
        Name of y in messages.

    Raises
    ------
    ValueError
    """
    if sparse.issparse(y):
        raise ValueError(
            f"{name} of shape (n_samples, n_classes) must be dense; got a sparse matrix."
        )
    shares = check_array(y, dtype=np.float64, input_name=name, ensure_min_samples=0)
    if np.any(shares < 0):
        raise ValueError(
            f"{name} of shape (n_samples, n_classes) must be non-negative, got {shares.min()}."
        )
    is_bare = ~shares.any(axis=1) & (weight > 0)
    if np.any(is_bare):
        raise ValueError(
            f"{name} has a row of zeros, row {int(is_bare.argmax())}, whose weight is not 0: it "
            "has no distribution."
        )
    return shares


def smoothed(shares, smoothing):
    """Return a copy with every row mixed with equal shares of all classes: label smoothing."""
    shares = shares.copy()
    if smoothing > 0:
        rest = smoothing / shares.shape[1] * shares.sum(axis=1, keepdims=True)
        shares *= 1 - smoothing
        shares += rest
    return shares


def weighed(shares, weight, factors):
    """Return each row's most probable class, its weight, and its distribution.

    Parameters
    ----------
    shares : (n_samples, n_classes), overwritten
    weight : (n_samples,)
    factors : (n_classes,), weights of the classes, which multiply the columns

    Returns
    -------
    index : (n_samples,) int
    weight : (n_samples,)
        Times the sum of the row; may overflow.
    mixture : (n_samples, n_classes), rows sum to 1
    """
    with np.errstate(over="ignore", invalid="ignore"):
        shares *= factors
        totals = shares.sum(axis=1)
        weight = weight * totals
        index = shares.argmax(axis=1)
        shares[totals == 0, 0] = totals[totals == 0] = 1.0    # any distribution: the weight is 0
        shares /= totals[:, np.newaxis]
    return index, weight, shares
