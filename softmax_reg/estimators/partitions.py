"""Validation of the arguments of `DaskSoftmaxRegression.fit`, partition by partition."""

from concurrent.futures import CancelledError
from typing import NamedTuple

import numpy as np
from dask import delayed

from ..rows import partition
from ..rows.block_targets import ColumnTargets, LabelTargets, numbers_of_shares
from ..rows.cluster import gathered
from ..rows.dask_input import aligned_parts
from ..rows.distributions import smoothed
from .targets import are_distributions, names_of_columns, smoothed_labels
from .validation import weight_of_columns, weight_of_counted_classes


class GivenRows(NamedTuple):
    """X after the checks: tasks, futures and sizes of all its partitions."""

    delayed: list    # tasks that compute a `rows.partition.Partition` each
    partitions: list    # futures of these tasks
    fingerprints: list
    shape: tuple
    dtype: np.dtype
    n_entries: int
    is_sparse: bool

    def take(self, columns):
        """Return a copy with the sizes of X[:, columns].

        The partitions keep all columns; the blocks of the fit have only `columns`.
        """
        n_samples, n_features = self.shape
        return self._replace(
            shape=(n_samples, len(columns)),
            n_entries=self.n_entries // n_features * len(columns),
        )


class PartitionedData(NamedTuple):
    """Validated input of a fit on a cluster, in place of `TrainingData`."""

    client: object
    X: GivenRows
    y: None
    classes: np.ndarray
    targets: LabelTargets | ColumnTargets
    label_totals: np.ndarray    # total weight of the rows of each label, or column of y
    class_totals: np.ndarray    # total weight of each class; with label smoothing, not the same
    names: dict
    offset = None


def check_partitions(estimator, client, X, y, sample_weight):
    """Validate the arguments of `fit` on the workers; `estimator` is left as it was.

    Returns
    -------
    PartitionedData
    """
    names, parts, others = aligned_parts(X, {"y": y, "sample_weight": sample_weight})
    targets, weights = others["y"], others["sample_weight"]
    columns = names_of_columns(y) if are_distributions(y) else None
    tasks = [
        delayed(partition.checked)(
            part, targets[i], weights and weights[i], i, None if columns is None else len(columns)
        )
        for i, part in enumerate(parts)
    ]
    partitions = client.compute(tasks)
    found = _mapped(client, partition.summarised, partitions)
    n_features = sorted({summary.n_features for summary in found})
    if len(n_features) > 1:
        raise ValueError(f"Partitions of X differ in their number of features: {n_features}.")
    some = [summary for summary in found if summary.n_samples]
    if not some:
        raise ValueError("X has no rows: all of its partitions are empty.")
    rows = GivenRows(
        tasks, partitions, [summary.fingerprint for summary in found],
        (sum(summary.n_samples for summary in some), n_features[0]),
        np.result_type(*(summary.dtype for summary in some)),
        sum(summary.n_entries for summary in some), any(summary.is_sparse for summary in some),
    )
    fitted_names = {"n_features_in_": n_features[0]}
    if names is not None:
        fitted_names["feature_names_in_"] = names
    if columns is not None:
        fitted = columns, *_columns(estimator, client, partitions, some, columns)
    else:
        fitted = _labels(estimator, some, sample_weight is not None)
    return PartitionedData(client, rows, None, *fitted, fitted_names)


def _mapped(client, function, partitions, **options):
    """Return the results of a function of each partition."""
    try:
        return gathered(client, client.map(function, partitions, pure=False, **options))
    except CancelledError as error:
        raise RuntimeError(
            "Partitions were lost with a worker and cannot be computed again, because their data "
            "was scattered: let the graph read it from where it is stored."
        ) from error


def _labels(estimator, summaries, has_weights):
    """Return the classes, the `LabelTargets`, and the totals of labels and of classes."""
    classes = np.unique(np.concatenate([summary.classes for summary in summaries]))
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs samples of at least 2 classes in the data, but "
            f"the data contains only one class: {classes.tolist()[0]!r}."
        )
    totals, counts = np.zeros(len(classes)), np.zeros(len(classes), dtype=np.int64)
    for summary in summaries:
        index = np.searchsorted(classes, summary.classes)
        totals[index] += summary.class_weights
        counts[index] += summary.class_counts
    _check_totals(totals, "sample_weight")
    factors = weight_of_counted_classes(
        estimator.class_weight, classes, counts, totals if has_weights else None
    )
    mixture = None
    if estimator.label_smoothing > 0 and np.any(factors):
        factors, mixture = smoothed_labels(estimator.label_smoothing, factors)
    label_totals = _weighed_totals(totals, factors)
    class_totals = label_totals if mixture is None else label_totals @ mixture
    targets = LabelTargets(
        classes, factors, mixture, class_totals.sum(), np.ones(len(classes), dtype=bool)
    )
    return classes, targets, label_totals, class_totals


def _columns(estimator, client, partitions, summaries, classes):
    """Return the `ColumnTargets`, and twice the totals of the columns."""
    smoothing = estimator.label_smoothing
    totals = np.sum([summary.class_weights for summary in summaries], axis=0)
    _check_totals(totals, "y times sample_weight")
    factors = weight_of_columns(estimator.class_weight, classes, totals)
    totals = _weighed_totals(smoothed(totals[np.newaxis], smoothing)[0], factors)
    numbers = _mapped(
        client, numbers_of_shares, partitions, factors=factors, smoothing=smoothing
    )
    least, most = np.array(numbers).T
    targets = ColumnTargets(
        factors, smoothing, int(least.min()), int(most.max()), totals.sum(),
        np.ones(len(classes), dtype=bool),
    )
    return targets, totals, totals


def _check_totals(totals, name):
    """Raise a ValueError unless the weights of all rows have a positive, finite sum."""
    if not np.any(totals):
        raise ValueError(
            "sample_weight must contain at least one non-zero weight, got all zero weights."
        )
    with np.errstate(over="ignore"):
        total = totals.sum()
    if not np.finfo(np.float64).tiny <= total < np.inf:
        raise ValueError(
            f"{name} must have a sum that float64 can hold, got {total}. Divide the weights by "
            "the largest."
        )


def _weighed_totals(totals, factors):
    """Return the products of totals and class weights, or raise a ValueError."""
    with np.errstate(over="ignore"):
        totals = totals * factors
        total = totals.sum()
    if not np.any(totals):
        raise ValueError("class_weight leaves no row a non-zero weight.")
    if not np.isfinite(total):
        raise ValueError("class_weight times sample_weight overflows float64: scale one down.")
    return totals
