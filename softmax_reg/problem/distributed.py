"""The training problem of rows on the workers of a cluster."""

import numpy as np

from ..rows import partition
from ..rows.cluster import ClassTotals, ClusterRows, alive
from .problem import Problem


class DistributedProblem(Problem):
    """`Problem` of rows on the workers of a cluster; data are `PartitionedData`."""

    def _weigh(self, data):
        self._largest_weight, self._relative_total = 1.0, data.class_totals.sum()
        return data.class_totals

    def _rows_and_sample(self, data, penalty, device, precision):
        X, selection = data.X, self._selection
        targets = data.targets._replace(present=~selection.absent)

        def make():
            X.partitions[:] = alive(X.partitions, lambda: data.client.compute(X.delayed))
            return data.client.map(
                partition.prepared, X.partitions, targets=targets, columns=selection.features,
                pure=False,
            )

        some = X
        if not isinstance(selection.features, slice):
            some = X.take(selection.features)
        rows = ClusterRows(
            data.client, make, X.fingerprints, some.shape, X.dtype, some.n_entries, X.is_sparse
        )
        weight = data.class_totals if targets.label_mixture is None else data.label_totals
        weight = np.bincount(selection.new_index, weights=weight)
        return rows, ClassTotals(
            weight / weight.sum(), targets.label_mixture, targets.is_mixed, targets.surely_overlap
        )
