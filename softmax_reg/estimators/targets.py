"""Targets y of shape (n_samples, n_classes), distributions or counts; names of the classes."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from ..rows.distributions import checked_shares, smoothed, weighed

# Number of rows whose targets are looked at together.
_ROWS = 16_384


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


def check_classes(classes):
    """Return the names given as `classes` of `fit`, in their order, (n_classes,).

    Raises
    ------
    ValueError
        Unless they are at least two different labels, none of them missing or infinite.
    """
    try:
        names = np.asarray(classes)
    except ValueError as error:    # rows of different lengths
        raise ValueError(f"classes must be an array-like of labels: {error}") from error
    if names.ndim != 1 or len(names) < 2:
        raise ValueError(
            f"classes must be an array-like of at least 2 different labels, got {classes!r}."
        )
    # Beside strings NumPy makes a string of NaN.
    if any(_is_missing(label) for label in (*classes, *names.tolist())):
        raise ValueError(f"classes must not hold NaN, infinity or None, got {classes!r}.")
    if len(set(names.tolist())) < len(names):
        raise ValueError(f"classes must be different labels, got {classes!r}.")
    return names


def _is_missing(label):
    """Return whether a label is None, infinite, NaN, or a missing value of pandas."""
    try:
        return label is None or bool(label != label) or label in (np.inf, -np.inf)
    except TypeError:    # comparisons with pandas.NA have no truth value
        return True


def among_classes(classes, labels, index):
    """Return all classes, sorted, and the position of every row's label among them.

    Parameters
    ----------
    classes : array-like, as given to `fit`
    labels : ndarray, the different labels of y, sorted
    index : (n_samples,) int, position of every row's label in `labels`

    Raises
    ------
    ValueError
        If y has other labels, or `check_classes` refuses the classes.
    """
    names = check_classes(classes)
    try:
        names = np.sort(names)
    except TypeError as error:
        raise ValueError(f"classes must be labels that can be sorted, got {classes!r}.") from error
    place = {label: k for k, label in enumerate(names.tolist())}
    unknown = [label for label in labels.tolist() if label not in place]
    if unknown:
        raise ValueError(
            f"y contains labels {unknown[:10]} that are not in classes, {names.tolist()}. Name "
            "all classes, or leave classes out."
        )
    return names, np.array([place[label] for label in labels.tolist()])[index]


def names_of_columns(y, classes=None):
    """Return the classes of y (n_samples, n_classes): those given, its columns' names or 0, 1, ...

    classes : array-like, as given to `fit`, or None
    """
    n_classes, columns = np.shape(y)[1], column_names(y)
    if classes is None:
        names = np.arange(n_classes) if columns is None else columns
        if len(set(names.tolist())) < n_classes:
            raise ValueError(
                f"The columns of y must have different names, got {names.tolist()}."
            )
        return names
    names = check_classes(classes)
    if len(names) != n_classes:
        raise ValueError(
            f"classes must name the {n_classes} columns of y, got {len(names)} names, {classes!r}."
        )
    if columns is not None and list(columns) != names.tolist():
        raise ValueError(
            f"classes must equal the names of the columns of y, {list(columns)}, in their order, "
            f"got {classes!r}."
        )
    return names


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


def labels_of(y, weight):
    """Return the class and the sum of every row, if the targets of each are all of one class.

    One-hot rows, or counts of a single class, are labels with weights. Only arrays of a block of
    rows are made.

    Parameters
    ----------
    y : array-like or DataFrame of shape (n_samples, n_classes)
        Not checked.
    weight : (n_samples,), checked weights of the rows
        Rows of weight 0 may have any targets.

    Returns
    -------
    (index, sums) : (n_samples,) int, (n_samples,) float64
        Or None if they are not all labels, or `check_distributions` refuses or converts y.
    """
    shares = np.asarray(y)
    if shares.dtype.kind not in "fiub":
        return None
    index, sums = np.empty(len(shares), dtype=np.intp), np.empty(len(shares))
    for start in range(0, len(shares), _ROWS):
        rows = slice(start, start + _ROWS)
        some, counts = shares[rows], weight[rows] > 0
        n_counted = np.count_nonzero(counts)
        if n_counted == len(some):
            n_positive = np.count_nonzero(some)
        elif some.min() >= 0 and np.isfinite(some.max()):
            n_positive = np.count_nonzero(some[counts])
        else:
            return None
        if n_positive != n_counted:
            return None
        some.argmax(axis=1, out=index[rows])
        own = np.take_along_axis(some, index[rows, np.newaxis], axis=1)[:, 0]
        sums[rows] = np.where(counts, own, 0)
        # As many positive entries as rows, and one in each: there are no others.
        if not (np.all(own[counts] > 0) and np.all(np.isfinite(sums[rows]))):
            return None
    return index, sums


def check_products(weight):
    """Raise a ValueError if targets times weights of rows are not all finite."""
    if not np.all(np.isfinite(weight)):
        raise ValueError("y times sample_weight overflows float64: scale one of them down.")


def check_distributions(y, weight, weights_of_classes, smoothing, classes=None):
    """Validate targets of shape (n_samples, n_classes).

    Parameters
    ----------
    y : array-like or DataFrame
        As `checked_shares` takes it.
    weight : (n_samples,), checked weights of the rows
    weights_of_classes : callable
        (classes, totals of the columns) -> (n_classes,) factors of the columns.
    smoothing : float, as `label_smoothing`
    classes : (n_classes,), or None
        Names of the columns, checked; None takes those of `names_of_columns`.

    Returns
    -------
    Distributions

    Raises
    ------
    ValueError
    """
    classes = names_of_columns(y) if classes is None else classes
    shares = checked_shares(y, weight, "y")
    with np.errstate(over="ignore", invalid="ignore"):
        factors = weights_of_classes(classes, np.einsum("i,ik->k", weight, shares))
        shares = smoothed(shares, smoothing)
    index, weight, mixture = weighed(shares, weight, factors)
    check_products(weight)
    counts = weight > 0
    n_positive = np.count_nonzero(mixture) - np.count_nonzero(mixture[~counts])
    if n_positive == np.count_nonzero(counts):
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
