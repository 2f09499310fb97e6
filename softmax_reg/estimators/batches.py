"""Validation of the arguments of `partial_fit`; the estimator is never changed."""

import numpy as np

from ..rows.choice import check_device
from ..rows.row_blocks import RowBlocks
from .array_api import as_numpy, on_host
from .offsets import check_offset
from .targets import are_distributions, check_distributions, column_names, smoothed_labels
from .validation import (
    TrainingData,
    check_sample_weight,
    times_class_weight,
    validated,
    weight_of_classes,
)


def check_batch(estimator, X, y, classes, sample_weight, offset):
    """Validate the arguments of ``partial_fit``, and refuse parameters that it does not support.

    Returns
    -------
    TrainingData
        `classes` are those of all batches. A `mixture` has a row for each row of X.
    """
    _check_parameters(estimator)
    check_device("cpu", X, precision=estimator.precision)
    X, y, classes, sample_weight = on_host(X, y, classes, sample_weight)
    if isinstance(X, RowBlocks):
        X = X[:]    # a batch is in memory
    is_first = not hasattr(estimator, "_stream")
    X, y, names = validated(estimator, X, y, reset=is_first)
    is_soft = are_distributions(y)
    given = None if classes is None else _check_classes(classes)
    known = _classes_of_all(estimator, y if is_soft else None, given, classes, is_first)
    weight = check_sample_weight(sample_weight, X.shape[0])
    if is_soft:
        index, weight, mixture = _distributions(estimator, y, weight, known, given)
    else:
        index, weight, mixture = _labels(estimator, y, weight, known)
    if offset is not None:
        offset = check_offset(offset, X, len(known))
    if not is_first and (offset is not None) != getattr(estimator, "has_offset_", False):
        raise ValueError(
            f"All batches have an offset or none has: the batches before had "
            f"{'none' if offset is not None else 'one'}. fit starts anew, and so does partial_fit "
            "on a clone."
        )
    return TrainingData(X, np.asarray(y), known, index, weight, names, mixture, offset=offset)


def _check_classes(classes):
    """Return the different labels given as `classes` of `partial_fit`, in the order given."""
    if np.ndim(classes) != 1:
        raise ValueError(f"classes must be an array-like of labels, got {classes!r}.")
    classes = np.asarray(classes)
    if classes.dtype.kind == "f" and not np.all(np.isfinite(classes)):
        raise ValueError(f"classes must not hold NaN or infinity, got {classes!r}.")
    _, first = np.unique(classes, return_index=True)
    classes = classes[np.sort(first)]
    if len(classes) < 2:
        raise ValueError(f"classes must name at least 2 different labels, got {classes!r}.")
    return classes


def _classes_of_all(estimator, distributions, given, classes, is_first):
    """Return the classes of all batches, in their order.

    Parameters
    ----------
    distributions : y of shape (n_samples, n_classes), or None for labels
    given : ndarray of the labels in `classes`, or None
    classes : argument of `partial_fit`, for messages
    is_first : bool
        Whether this batch is the first.
    """
    known = as_numpy(estimator.classes_) if hasattr(estimator, "classes_") else None
    if given is None:
        if known is not None:
            return known
        if distributions is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        names = column_names(distributions)
        return np.arange(np.shape(distributions)[1]) if names is None else names
    if is_first:
        return np.unique(given) if distributions is None else given
    if not np.array_equal(np.unique(known), np.unique(given)):
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
            f"{known!r}. fit starts anew, and so does partial_fit on a clone."
        )
    return known


def _labels(estimator, y, weight, classes):
    """Return index, weight and `mixture` of `TrainingData` for labels."""
    labels, index = np.unique(y, return_inverse=True)
    place = _places(classes)
    unknown = [label for label in labels.tolist() if label not in place]
    if unknown:
        raise ValueError(
            f"y contains labels {unknown[:10]} that are not in classes, {classes!r}. Name all "
            "classes in the first call to partial_fit."
        )
    index = np.array([place[label] for label in labels.tolist()])[index.ravel()]
    smoothing, mixture = estimator.label_smoothing, None
    if estimator.class_weight is None and smoothing == 0:
        return index, weight, None
    weights = _class_weights(estimator, classes)
    if smoothing > 0 and np.any(weights):
        weights, mixture = smoothed_labels(smoothing, weights)
    weight = times_class_weight(weight, weights[index])
    if mixture is not None:
        # A class of weight 0 has no share, so its rows need another label: the most probable.
        mixture, index = mixture[index], mixture.argmax(axis=1)[index]
    return index, weight, mixture


def _distributions(estimator, y, weight, classes, given):
    """Return index, weight and `mixture` of `TrainingData` for y of shape (n_samples, n_classes).

    given : ndarray or None
        Order of the columns. With None, columns without names are in the order of `classes`.
    """
    columns, place, shape = column_names(y), _places(classes), np.shape(y)
    got = f"shape {shape}" if columns is None else f"the columns {columns.tolist()}"
    if columns is None:
        columns = classes if given is None else given
    if shape[1] != len(classes) or set(columns.tolist()) != place.keys():
        raise ValueError(
            "y of shape (n_samples, n_classes) must have a column for each class, "
            f"{classes.tolist()}, got {got}. Name all classes in the first call to partial_fit."
        )
    weights = _class_weights(estimator, columns)
    found = check_distributions(y, weight, lambda *_: weights, estimator.label_smoothing)
    to = np.array([place[label] for label in columns.tolist()])
    mixture = found.mixture
    if mixture is not None:
        mixture = np.empty_like(mixture)
        mixture[:, to] = found.mixture
    return to[found.index], found.weight, mixture


def _places(classes):
    """Return the position of every label, a dict."""
    return {label: k for k, label in enumerate(classes.tolist())}


def _class_weights(estimator, classes):
    """Return the class weight of every label in `classes`."""
    if estimator.class_weight is None:
        return np.ones(len(classes))
    return weight_of_classes(estimator.class_weight, classes, classes, None)


def _check_parameters(estimator):
    """Raise a ValueError for parameter values that `partial_fit` does not support."""
    for name, refused, advice in (
        ("prior", "jeffreys", "Use prior=None: the Fisher information of all rows is needed."),
        ("device", "cuda", "Use device='cpu': partial_fit runs on the CPU."),
        ("C", np.inf, "Use a finite C: a first batch without a penalty may have no optimum."),
        ("class_weight", "balanced",
         "Use a dict, for example of compute_class_weight('balanced', classes=classes, y=y) on "
         "labels that you have: the class frequencies of later batches are not known."),
    ):
        value = getattr(estimator, name)
        if isinstance(value, type(refused)) and value == refused:
            raise ValueError(f"partial_fit does not take {name}={value!r}. {advice}")
    if estimator.bounds is not None:
        raise ValueError(
            f"partial_fit does not take bounds, got bounds={estimator.bounds!r}. Use bounds=None, "
            "or fit."
        )
    if estimator.l1_ratio != 0:
        raise ValueError(
            f"partial_fit does not take l1_ratio={estimator.l1_ratio!r}, an L1 penalty. Use "
            "l1_ratio=0, or fit."
        )
