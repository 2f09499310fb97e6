"""Targets that are distributions or counts: y of shape (n_samples, n_classes)."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array


class Distributions(NamedTuple):
    """Validated targets of all rows.

    Attributes
    ----------
    classes : (n_classes,), names of the columns of y
    index : (n_samples,) int, the column with the largest share
    weight : (n_samples,), weight of a row times the sum of its targets
    mixture : (n_samples, n_classes), shares that sum to 1; None if all rows are labels
    """

    classes: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    mixture: np.ndarray | None


def are_distributions(y):
    """Return whether y has a column for each of two classes or more."""
    if not hasattr(y, "shape"):
        try:
            y = np.asarray(y)
        except ValueError:    # rows of different lengths: the checks of labels say so
            return False
    return len(y.shape) == 2 and y.shape[1] >= 2


def column_names(y):
    """Return the names of the columns of a DataFrame, or None."""
    names = getattr(y, "columns", None)
    return None if names is None else np.asarray(names)


def smoothed_labels(smoothing, weights):
    """Return what label smoothing makes of each label: its weight, and its distribution.

    The label y becomes (1 - e) e_y + e / K, and class weights multiply the entries, as in PyTorch.

    Parameters
    ----------
    smoothing : float, e
    weights : (n_classes,), weights of the classes

    Returns
    -------
    totals : (n_classes,)
    mixture : (n_classes, n_classes), rows sum to 1
    """
    mixture = np.tile(smoothing / len(weights) * weights, (len(weights), 1))
    mixture[np.diag_indices(len(weights))] += (1 - smoothing) * weights
    totals = mixture.sum(axis=1)
    return totals, mixture / totals[:, np.newaxis]


def check_distributions(y, weight, weights_of_classes, smoothing):
    """Validate targets of shape (n_samples, n_classes).

    Parameters
    ----------
    y : array-like or DataFrame
        Non-negative and finite. A row of zeros needs a weight of 0.
    weight : (n_samples,), checked weights of the rows
    weights_of_classes : callable
        (classes, totals of the columns) -> (n_classes,) factors of the columns.
    smoothing : float, as `label_smoothing`

    Returns
    -------
    Distributions

    Raises
    ------
    ValueError
    """
    if sparse.issparse(y):
        raise ValueError("y of shape (n_samples, n_classes) must be dense; got a sparse matrix.")
    names = column_names(y)
    classes = np.arange(np.shape(y)[1]) if names is None else names
    if len(np.unique(classes)) < len(classes):
        raise ValueError(f"The columns of y must have different names, got {classes.tolist()}.")
    shares = check_array(y, dtype=np.float64, copy=True, input_name="y")
    if np.any(shares < 0):
        raise ValueError(
            f"y of shape (n_samples, n_classes) must be non-negative, got {shares.min()}."
        )
    is_zero, rows_weight = ~shares.any(axis=1), weight
    with np.errstate(over="ignore", invalid="ignore"):
        if smoothing > 0:
            rest = smoothing / len(classes) * shares.sum(axis=1, keepdims=True)
            shares *= 1 - smoothing
            shares += rest
        shares *= weights_of_classes(classes, np.einsum("i,ik->k", weight, shares))
        totals = shares.sum(axis=1)
        weight = weight * totals
    if not np.all(np.isfinite(weight)):
        raise ValueError("y times sample_weight overflows float64: scale one of them down.")
    given = rows_weight > 0
    if np.any(is_zero & given):
        first = int(np.flatnonzero(is_zero & given)[0])
        raise ValueError(
            f"y has a row of zeros, row {first}, whose weight is not 0: it has no distribution."
        )
    index = shares.argmax(axis=1)
    counts = weight > 0
    if np.count_nonzero(shares[counts]) == np.count_nonzero(counts):
        return Distributions(classes, index, weight, None)
    shares[totals == 0, 0] = totals[totals == 0] = 1.0    # any distribution: the weight is 0
    shares /= totals[:, np.newaxis]
    return Distributions(classes, index, weight, shares)


def share_right(y, predicted, classes, weight):
    """Return the share of all targets that falls on the predicted classes.

    y : (n_samples, n_classes), non-negative
    predicted : (n_samples,), labels among `classes`
    weight : (n_samples,) or None
    """
    shares = check_array(y, dtype=np.float64, input_name="y")
    if shares.shape != (len(predicted), len(classes)):
        raise ValueError(
            f"y must have shape {(len(predicted), len(classes))}, a column for each class, got "
            f"{shares.shape}."
        )
    weight = np.ones(len(shares)) if weight is None else weight
    column = np.argmax(predicted[:, np.newaxis] == classes, axis=1)
    return float(weight @ shares[np.arange(len(shares)), column] / (weight @ shares).sum())
