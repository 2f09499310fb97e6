"""Targets that are distributions or counts: y of shape (n_samples, n_classes)."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from ..rows.distributions import checked_shares, smoothed, weighed


class Distributions(NamedTuple):
    """Validated targets of all rows.

    Attributes
    ----------
    classes : (n_classes,), names of the columns of y
    index : (n_samples,) int, the class with the largest share
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


def refuse_distributions(estimator, y):
    """Raise a ValueError if y has a column for each class."""
    if are_distributions(y):
        raise ValueError(
            f"{type(estimator).__name__} takes one label for each row here: y should be a 1d "
            f"array, got an array of shape {np.shape(y)} instead. The fits of SoftmaxRegression, "
            "SoftmaxRegressionCV, DaskSoftmaxRegression and softmax_path take distributions."
        )


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


def names_of_columns(y):
    """Return the classes of y (n_samples, n_classes): a DataFrame's names, or 0, 1, ..."""
    names = getattr(y, "columns", None)
    classes = np.arange(np.shape(y)[1]) if names is None else np.asarray(names)
    if len(np.unique(classes)) < len(classes):
        raise ValueError(f"The columns of y must have different names, got {classes.tolist()}.")
    return classes


def check_distributions(y, weight, weights_of_classes, smoothing):
    """Validate targets of shape (n_samples, n_classes).

    Parameters
    ----------
    y : array-like or DataFrame
        As `checked_shares` takes it.
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
    classes = names_of_columns(y)
    shares = checked_shares(y, weight, "y")
    with np.errstate(over="ignore", invalid="ignore"):
        shares = smoothed(shares, smoothing)
        factors = weights_of_classes(classes, np.einsum("i,ik->k", weight, shares))
    index, weight, mixture = weighed(shares, weight, factors)
    if not np.all(np.isfinite(weight)):
        raise ValueError("y times sample_weight overflows float64: scale one of them down.")
    counts = weight > 0
    if not counts.any():
        raise ValueError("class_weight leaves no row a non-zero weight.")
    if np.count_nonzero(mixture[counts]) == np.count_nonzero(counts):
        mixture = None
    return Distributions(classes, index, weight, mixture)


def share_right(y, predicted, classes, weight):
    """Return the share of all targets that falls on the predicted classes.

    y : (n_samples, n_classes), non-negative
    predicted : (n_samples,), labels among `classes`
    weight : (n_samples,) or None
    """
    right, total = targets_right(y, predicted, classes, weight)
    return right / total


def targets_right(y, predicted, classes, weight):
    """Return the weighted sums of the targets of predicted classes, and of all targets.

    Arguments are those of `share_right`.
    """
    shares = check_array(y, dtype=np.float64, input_name="y")
    if shares.shape != (len(predicted), len(classes)):
        raise ValueError(
            f"y must have shape {(len(predicted), len(classes))}, a column for each class, got "
            f"{shares.shape}."
        )
    weight = np.ones(len(shares)) if weight is None else weight
    column = np.argmax(predicted[:, np.newaxis] == classes, axis=1)
    return float(weight @ shares[np.arange(len(shares)), column]), float((weight @ shares).sum())
