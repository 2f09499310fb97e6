"""All that has one entry per row: labels, weights, and distributions in place of labels.

Let T_i be the distribution of row i, and y_i its label: its most probable class. For logits z_i,

    -sum_k T_ik log q_ik = logsumexp(z_i) - <T_i, z_i> = [logsumexp(z_i) - z_i[y_i]] + <R_i, z_i>

with R_i = e_{y_i} - T_i. So passes over the rows need labels only, and the rest R_i adds a term
that is linear in the logits (`problem.soft_targets`).
"""

from typing import NamedTuple

import numpy as np

from ..parallel.vectors import class_totals

# Number of rows whose rest is computed together.
_ROWS = 16_384


def blocks_of(n_samples):
    """Yield slices of at most `_ROWS` rows that make up all."""
    for start in range(0, n_samples, _ROWS):
        yield slice(start, min(start + _ROWS, n_samples))


class Sample(NamedTuple):
    """All that has one entry per row.

    Attributes
    ----------
    target : (n_samples,) int32
        Index of each row's class: its label.
    weight : (n_samples,) float64, non-negative
    mixture : (n_samples, n_classes), optional, on the host
        Distribution of each row; the label is its most probable class. Rows sum to 1.
    label_mixture : (n_classes, n_classes), optional, on the host
        In place of `mixture`: the distribution of all rows of each label.
    """

    target: np.ndarray
    weight: np.ndarray
    mixture: np.ndarray | None = None
    label_mixture: np.ndarray | None = None

    @property
    def labels(self):
        """Targets and weights, without the distributions."""
        return self.target, self.weight

    @property
    def is_mixed(self):
        """Whether each row has a distribution of its own."""
        return self.mixture is not None

    @property
    def distributions(self):
        """Distributions of rows or of labels, (n, n_classes); None for labels alone."""
        return self.mixture if self.is_mixed else self.label_mixture

    @property
    def surely_overlap(self):
        """Whether all rows have a share of every class, so that no direction separates any."""
        return self.distributions is not None and bool(self.distributions.min() > 0)

    def take(self, index):
        """Return the sample of the rows in `index`, a slice or an array."""
        mixture = None if self.mixture is None else self.mixture[index]
        return Sample(self.target[index], self.weight[index], mixture, self.label_mixture)

    def of_classes(self, present):
        """Return the sample with the classes of a mask only: all rows have one of them as label.

        present : (n_classes,) bool
        """
        target = (np.cumsum(present) - 1)[self.target].astype(np.int32)
        mixture = self.mixture
        if mixture is not None and not present.all():
            mixture = mixture[:, present]
        return Sample(target, self.weight, mixture)

    def class_totals(self, n_classes):
        """Return the weight of every class, (n_classes,); with `label_mixture`, of every label."""
        if self.is_mixed:
            return np.einsum("i,ik->k", self.weight, self.mixture)
        return class_totals(*self.labels, n_classes)

    def rest(self, rows):
        """Return s_i R_i of some rows, a slice: (n, n_classes); not for labels alone."""
        target, weight = self.target[rows], self.weight[rows]
        mixture = self.mixture[rows] if self.is_mixed else self.label_mixture[target]
        out = -weight[:, np.newaxis] * mixture
        out[np.arange(len(weight)), target] += weight
        return out

    def times_rest(self, values):
        """Return sum_i <s_i R_i, v_i> in float64; 0 for labels alone.

        values : callable
            slice of rows -> v_i of these rows, (n, n_classes), or (n, 1) for the last of two.
        """
        if self.distributions is None:
            return 0.0
        total = 0.0
        for some in blocks_of(len(self.weight)):
            v = values(some)
            total += np.einsum("ik,ik->", self.rest(some)[:, -v.shape[1]:], v, dtype=np.float64)
        return total

    def as_labels(self, X):
        """Return (X, labels, weights) with a row for each class of positive share.

        X : array or CSR (n_samples, n_features)
        """
        if self.distributions is None:
            return X, self.target, self.weight
        mixture = self.mixture if self.is_mixed else self.label_mixture[self.target]
        row, label = np.nonzero(mixture)
        return X[row], label.astype(np.int32), self.weight[row] * mixture[row, label]
