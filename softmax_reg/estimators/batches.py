"""Validation of the arguments of `partial_fit`; the estimator is never changed."""

import numpy as np

from ..rows.choice import check_device
from ..rows.device_input import as_numpy, is_on_device
from ..rows.row_blocks import RowBlocks
from .targets import refuse_distributions
from .validation import (
    TrainingData,
    check_sample_weight,
    times_class_weight,
    validated,
    weight_of_classes,
)


def check_batch(estimator, X, y, classes, sample_weight):
    """Validate the arguments of ``partial_fit``, and refuse parameters that it does not support.

    Returns
    -------
    TrainingData
        `classes` are those of all batches.
    """
    _check_parameters(estimator)
    y, sample_weight = (as_numpy(a) if is_on_device(a) else a for a in (y, sample_weight))
    refuse_distributions(estimator, y)
    check_device("cpu", X, precision=estimator.precision)
    if isinstance(X, RowBlocks):
        X = X[:]    # a batch is in memory
    is_first = not hasattr(estimator, "_stream")
    X, y, names = validated(estimator, X, y, reset=is_first)
    known = getattr(estimator, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        classes = known
    else:
        given, classes = classes, _check_classes(classes)
        if not is_first and not np.array_equal(known, classes):
            raise ValueError(
                f"`classes={given!r}` is not the same as on last call to partial_fit, was: "
                f"{known!r}. fit starts anew, and so does partial_fit on a clone."
            )
    labels, index = np.unique(y, return_inverse=True)
    place = {label: k for k, label in enumerate(classes.tolist())}
    unknown = [label for label in labels.tolist() if label not in place]
    if unknown:
        raise ValueError(
            f"y contains labels {unknown[:10]} that are not in classes, {classes!r}. Name all "
            "classes in the first call to partial_fit."
        )
    index = np.array([place[label] for label in labels.tolist()])[index.ravel()]
    weight = check_sample_weight(sample_weight, X.shape[0])
    if estimator.class_weight is not None:
        weight = times_class_weight(
            weight, weight_of_classes(estimator.class_weight, classes, classes, None)[index]
        )
    return TrainingData(X, y, classes, index, weight, names)


def _check_classes(classes):
    """Return the labels given as `classes` of `partial_fit`, sorted."""
    if np.ndim(classes) != 1:
        raise ValueError(f"classes must be an array-like of labels, got {classes!r}.")
    classes = np.asarray(classes)
    if classes.dtype.kind == "f" and not np.all(np.isfinite(classes)):
        raise ValueError(f"classes must not hold NaN or infinity, got {classes!r}.")
    classes = np.unique(classes)
    if len(classes) < 2:
        raise ValueError(f"classes must name at least 2 different labels, got {classes!r}.")
    return classes


def _check_parameters(estimator):
    """Raise a ValueError for parameter values that `partial_fit` does not support."""
    for name, refused, advice in (
        ("device", "cuda", "Use device='cpu': partial_fit runs on the CPU."),
        ("C", np.inf, "Use a finite C: a first batch without a penalty may have no optimum."),
        ("class_weight", "balanced",
         "Use a dict, for example of compute_class_weight('balanced', classes=classes, y=y) on "
         "labels that you have: the class frequencies of later batches are not known."),
    ):
        value = getattr(estimator, name)
        if isinstance(value, type(refused)) and value == refused:
            raise ValueError(f"partial_fit does not take {name}={value!r}. {advice}")
    for name, what in (("l1_ratio", "an L1 penalty"), ("label_smoothing", "smoothed labels")):
        value = getattr(estimator, name)
        if value != 0:
            raise ValueError(
                f"partial_fit does not take {name}={value!r}, {what}. Use {name}=0, or fit."
            )
