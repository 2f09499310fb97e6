"""Validation of the arguments of `fit`; the estimator is never changed."""

import inspect
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from ..functional.narrow_floats import is_narrow
from ..parallel.elementwise import all_finite
from ..parallel.vectors import entries, filled, summed
from ..rows.choice import check_device
from ..rows.device_input import check_finite, checked_device_array, is_on_device
from ..rows.row_blocks import RowBlocks
from .array_api import as_numpy, on_host
from .targets import (
    among_classes,
    are_distributions,
    check_distributions,
    check_products,
    labels_of,
    names_of_columns,
    smoothed_labels,
)

# Smallest size in bytes of a memory-mapped array that is read block by block.
LARGE_FILE = 2**30
# Number of entries of X from which a check on all threads pays.
_MANY_ENTRIES = 2**22


class TrainingData(NamedTuple):
    """Validated input of a fit.

    Attributes
    ----------
    X : ndarray (C-ordered) or CSR, float32 or float64, finite; such an array on a device; or
        `RowBlocks`
    y : ndarray of the user's labels
    classes : ndarray, sorted
    index : ndarray of int, position of each label in `classes`
    weight : ndarray of float64, sample weights times class weights
    names : dict
        `n_features_in_` and, where X has names, `feature_names_in_`.
    mixture : ndarray of shape (n_samples, n_classes), rows sum to 1, or None
        Distributions as targets, in place of `index`, which holds their most probable classes.
    by_label : bool
        Whether `mixture` has a row for each class, the distribution of all rows of this label.
    offset : ndarray of shape (n_samples, 1 or n_classes), or None
        Added to the logits.
    """

    X: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    names: dict
    mixture: np.ndarray | None = None
    by_label: bool = False
    offset: np.ndarray | None = None


def in_blocks(X):
    """Return X, or `RowBlocks` of it where it is a large array in a file."""
    if isinstance(X, np.memmap) and X.ndim == 2 and X.nbytes >= LARGE_FILE:
        return RowBlocks(X)
    return X


def real_array(name, values, **options):
    """Return values as a new float64 array, or raise a ValueError that names the parameter.

    options : dict
        Of `check_array`.
    """
    try:
        return check_array(
            on_host(values), ensure_2d=False, allow_nd=True, dtype=np.float64, copy=True,
            input_name=name, **options,
        )
    except (TypeError, ValueError) as error:
        if name in str(error):
            raise
        raise ValueError(f"{name} must hold real numbers: {error}") from error


def check_sample_weight(sample_weight, n_samples):
    """Return sample weights as a new float64 array: 1-D, finite, non-negative, not all zero."""
    if sample_weight is None:
        return np.ones(n_samples)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    weight = real_array("sample_weight", sample_weight)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must have shape ({n_samples},), one weight for each row of X, "
            f"got shape {weight.shape}."
        )
    if np.any(weight < 0):
        raise ValueError(f"sample_weight must be non-negative, got {float(weight.min())}.")
    if not np.any(weight):
        raise ValueError(
            "sample_weight must contain at least one non-zero weight, got all zero weights."
        )
    return weight


def weight_of_classes(class_weight, classes, y, sample_weight):
    """Compute the weight of every class; with "balanced", 0 for a class without weight."""
    if isinstance(class_weight, dict):
        values = list(class_weight.values())
        weights = real_array("class_weight", values, ensure_all_finite=False, ensure_min_samples=0)
        if weights.ndim != 1 or not np.all((weights >= 0) & (weights < np.inf)):
            raise ValueError(
                f"class_weight must be finite and non-negative, got {class_weight!r}."
            )
    arguments = {"classes": classes, "y": y}
    # "balanced" counts rows in older releases of scikit-learn and adds up weights
    # in newer ones: follow the LogisticRegression that is installed.
    if "sample_weight" in inspect.signature(compute_class_weight).parameters:
        arguments["sample_weight"] = sample_weight
    with np.errstate(divide="ignore"):
        weights = compute_class_weight(class_weight, **arguments).astype(np.float64)
    return np.where(np.isfinite(weights), weights, 0.0)


def times_class_weight(sample_weight, class_weight):
    """Return the products of both weights of every row; raise a ValueError if they overflow."""
    with np.errstate(over="ignore"):
        product = sample_weight * class_weight
    if not np.all(np.isfinite(product)):
        raise ValueError("class_weight times sample_weight overflows float64: scale one down.")
    return product


def weight_of_counted_classes(class_weight, classes, counts, totals):
    """Compute class weights from the number of rows of each class, or their total weights.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    classes : sorted array of labels
    counts : (n_classes,) number of rows of each class
    totals : (n_classes,) total weight of each class, or None without sample weights
    """
    if class_weight is None:
        return np.ones(len(classes))
    by_weight = "sample_weight" in inspect.signature(compute_class_weight).parameters
    if class_weight == "balanced" and not by_weight:
        return counts.sum() / (len(classes) * counts)
    # One row stands for all rows of its class.
    rows = counts if totals is None else totals
    return weight_of_classes(class_weight, classes, classes, rows.astype(np.float64))


def weight_of_columns(class_weight, classes, totals):
    """Compute class weights from the totals of the columns of y (n_samples, n_classes)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = weight_of_counted_classes(class_weight, classes, totals, totals)
    return np.where(np.isfinite(weights), weights, 0.0)


def _classes_and_index(y):
    """Return the sorted labels and every row's position among them; y (n_samples,)."""
    is_integer = y.dtype.kind in "iu"
    if not is_integer:
        check_classification_targets(y)
    low, high = (int(y.min()), int(y.max())) if is_integer else (0, 0)
    if is_integer and high - low <= len(y):
        # Counting takes a tenth of the time of sorting.
        wide = np.uint64 if y.dtype.kind == "u" else np.int64
        size = high - low + 1
        offset = filled(lambda part: y[part].astype(wide) - wide(low), len(y), np.intp)
        is_present = summed(
            lambda part: np.bincount(offset[part], minlength=size), len(y), size
        ) > 0
        classes = (np.flatnonzero(is_present).astype(wide) + wide(low)).astype(y.dtype)
        index = entries(np.cumsum(is_present) - 1, offset)
    else:
        classes, index = np.unique(y, return_inverse=True)
    if is_integer and 2 * len(classes) > len(y):
        check_classification_targets(y)    # only warns of many classes
    return classes, index


def check_training_data(estimator, X, y, sample_weight, classes=None):
    """Validate the arguments of ``fit``; `estimator` is left as it was.

    An X on a CUDA device stays there and needs ``estimator.device == "cuda"``; y and weights
    are copied to the host. Arrays of other libraries become NumPy's (`array_api`). `RowBlocks`
    and large arrays in files are not read: the first pass over the rows checks that they are
    finite.

    classes : array-like of shape (n_classes,), or None
        As in `SoftmaxRegression.fit`.

    Returns
    -------
    TrainingData
    """
    y, sample_weight, classes = on_host(y, sample_weight, classes)
    if is_on_device(X):
        check_device(estimator.device, X)
        X = checked_device_array(X, (np.float64, np.float32))
        check_finite(X)
    else:
        X = in_blocks(on_host(X))
    if is_on_device(X) or isinstance(X, RowBlocks):
        y, names = _checked_beside(estimator, X, y), {"n_features_in_": X.shape[1]}
    else:
        X, y, names = validated(estimator, X, y, reset=True)
    if are_distributions(y):
        return _distributions(estimator, X, y, sample_weight, names, classes)
    return _labels(estimator, X, y, sample_weight, names, classes)


def _is_known_finite(X):
    """Return whether X is a large array of finite numbers, checked on all kernel threads.

    scikit-learn's own check runs on one thread. It raises the error where this one fails.
    """
    is_plain = type(X) in (np.ndarray, np.memmap) and X.ndim == 2
    if not is_plain or X.dtype not in (np.float64, np.float32) or X.size < _MANY_ENTRIES:
        return False
    return not get_config()["assume_finite"] and all_finite(X)


def validated(estimator, X, y, reset):
    """Return validated (X, y, names) on the host; `estimator` does not change.

    Without `reset` the columns of X must be those of `estimator`.
    """
    # scikit-learn's validation writes n_features_in_ to the estimator that it gets, here a copy.
    # `copy.copy` goes through a pickle's state and takes as long as the validation of a small X.
    scratch = object.__new__(type(estimator))
    vars(scratch).update(vars(estimator))
    dtype = np.float32 if is_narrow(getattr(X, "dtype", None)) else [np.float64, np.float32]
    labels = {} if are_distributions(y) else {"y": y}
    X = validate_data(
        scratch, X, **labels, accept_sparse="csr", dtype=dtype, order="C", reset=reset,
        accept_large_sparse=True, ensure_all_finite=not _is_known_finite(X),
    )
    if labels:
        X, y = X
    else:
        check_consistent_length(X, y)
    if sparse.issparse(X):
        # Kernels do not check indices.
        X.check_format(full_check=True)
    names = {
        name: getattr(scratch, name)
        for name in ("n_features_in_", "feature_names_in_")
        if hasattr(scratch, name)
    }
    return X, y, names


def _checked_beside(estimator, X, y):
    """Return y of the rows of a checked X, on a device or in `RowBlocks`."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y "
                         "is None.")
    y = y if are_distributions(y) else column_or_1d(as_numpy(y), warn=True)
    check_consistent_length(range(X.shape[0]), y)
    return y


def _labels(estimator, X, y, sample_weight, names, classes):
    """Return `TrainingData` for labels y of shape (n_samples,)."""
    present, index = _classes_and_index(y)
    if classes is None:
        classes = present
    else:
        classes, index = among_classes(classes, present, index)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs samples of at least 2 classes in the data, but "
            f"the data contains only one class: {classes.tolist()[0]!r}."
        )
    weight = check_sample_weight(sample_weight, X.shape[0])
    weights = None
    if estimator.class_weight is not None:
        given = None if sample_weight is None else weight
        has_weight = slice(None)
        if isinstance(estimator.class_weight, str):    # "balanced": not of classes without rows
            has_weight = np.bincount(index, minlength=len(classes)) > 0
        weights = np.zeros(len(classes))
        weights[has_weight] = weight_of_classes(
            estimator.class_weight, classes[has_weight], y, given
        )
    return _weighed(estimator, TrainingData(X, y, classes, index, weight, names), weights)


def _weighed(estimator, data, weights):
    """Return `TrainingData` of labels with class weights, and smoothed.

    weights : (n_classes,), weights of the classes, or None
    """
    classes, index, weight = data.classes, data.index, data.weight
    mixture, by_label = None, False
    if estimator.label_smoothing > 0 and (weights is None or np.any(weights)):
        weights, mixture = smoothed_labels(
            estimator.label_smoothing, np.ones(len(classes)) if weights is None else weights
        )
        by_label = bool(np.all(mixture > 0))
    if weights is not None:
        weight = times_class_weight(weight, weights[index])
        if not np.any(weight):
            raise ValueError("class_weight leaves no row a non-zero weight.")
    if mixture is not None and not by_label:
        # A class of weight 0 is left out, so its rows need another label: the most probable.
        mixture, index = mixture[index], mixture.argmax(axis=1)[index]
    return data._replace(index=index, weight=weight, mixture=mixture, by_label=by_label)


def _distributions(estimator, X, y, sample_weight, names, classes):
    """Return `TrainingData` for y of shape (n_samples, n_classes)."""
    def weights_of_classes(classes, totals):
        return weight_of_columns(estimator.class_weight, classes, totals)

    weight = check_sample_weight(sample_weight, X.shape[0])
    classes = names_of_columns(y, classes)
    labels = labels_of(y, weight)
    if labels is not None:
        index, sums = labels
        with np.errstate(over="ignore"):
            weight *= sums
        check_products(weight)
        weights = None
        if estimator.class_weight is not None:
            weights = weights_of_classes(classes, np.bincount(index, weight, len(classes)))
        data = TrainingData(X, np.asarray(y), classes, index, weight, names)
        return _weighed(estimator, data, weights)
    found = check_distributions(
        y, weight, weights_of_classes, estimator.label_smoothing, classes
    )
    if not np.any(found.weight):
        raise ValueError("class_weight leaves no row a non-zero weight.")
    return TrainingData(
        X, np.asarray(y), classes, found.index, found.weight, names, found.mixture
    )


def check_warm_start(estimator, data):
    """Return the previous (coef, intercept) as dense float64, or None for a cold start."""
    if not estimator.warm_start or not hasattr(estimator, "coef_"):
        return None
    if not np.array_equal(as_numpy(estimator.classes_), data.classes):
        raise ValueError(
            f"warm_start=True needs the classes of the previous fit, {estimator.classes_!r}, "
            f"got {data.classes!r}. Use warm_start=False for a new problem."
        )
    n_rows = 1 if len(data.classes) == 2 else len(data.classes)
    expected = n_rows, data.X.shape[1]
    coef = as_numpy(estimator.coef_)
    coef = coef.toarray() if sparse.issparse(coef) else coef
    if coef.shape != expected:
        raise ValueError(
            f"warm_start=True needs coef_ of shape {expected} for this X and y, got "
            f"{coef.shape}. Use warm_start=False for a new problem."
        )
    intercept = as_numpy(estimator.intercept_)
    if intercept.shape not in ((), (1,), (n_rows,)):
        raise ValueError(
            f"warm_start=True needs intercept_ of shape {(n_rows,)}, got {intercept.shape}. Use "
            "warm_start=False."
        )
    intercept = np.broadcast_to(intercept, (n_rows,)).astype(np.float64)
    coef = np.asarray(coef, dtype=np.float64)
    for name, array in (("coef_", coef), ("intercept_", intercept)):
        if not np.all(np.isfinite(array)):
            raise ValueError(
                f"warm_start=True needs a finite {name} to start from, got NaN or infinity in "
                f"the {name} of the previous fit. Use warm_start=False."
            )
    return coef, intercept
