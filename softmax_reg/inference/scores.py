"""Sums of outer products of scores, the middle of sandwich covariances, in blocks of rows.

The score of row i is the gradient of its loss, (q_i - T_i) kron [x_i - m, 1], for its
probabilities q_i and its target T_i (one-hot for a label). It is taken in the contrasts of
`coding`: for all classes but the first. Weights v_i sum to 1.
"""

import numpy as np
from scipy import sparse

from ..functional import sigmoid, softmax

# Number of entries of a block of scores, 1 MiB: sums by cluster take 0.8 times as long as with
# 8 MiB.
_BLOCK_SIZE = 2**17
# Least number of rows in a block, of labels: fewer make products of matrices slow.
_LEAST_ROWS = 128


class Scores:
    """The scores of all rows at some parameters, for an X in memory.

    Parameters
    ----------
    objective : Objective
    theta : (n_rows, n_features + 1)

    Raises
    ------
    ValueError
        If X is not in memory on the host.
    """

    def __init__(self, objective, theta):
        found = objective.rows.on_host(objective.sample)
        if found is None:
            raise ValueError(
                "Robust covariances ('HC0', 'HC1', 'cluster') need X in memory, as an array or a "
                "CSR matrix. Use cov_type='nonrobust', or pass such an X."
            )
        self._X, self._sample = found
        self._offset = objective.rows.offset
        self._shift = objective.coordinates.shift
        self._fit_intercept = objective.fit_intercept
        self._theta = theta
        self.n_classes = max(2, len(theta))
        width = theta.shape[1] if self._fit_intercept else theta.shape[1] - 1
        self.n_parameters = (self.n_classes - 1) * width
        repeats = 1 if self._sample.distributions is None else self.n_classes
        size = max(_BLOCK_SIZE, _LEAST_ROWS * self.n_parameters)
        self._n_block = max(1, size // (repeats * max(self.n_parameters, width)))

    def by_row(self):
        """Return sum_i v_i sum_k T_ik g_ik g_ik', g_ik the score of row i with the label k.

        A row of counts stands for rows of one label each, weights for repetitions of a row.
        """
        out = np.zeros((self.n_parameters, self.n_parameters))
        for rows in self._slices():
            design, proba = self._design_and_proba(rows)
            sample = self._sample.take(rows)
            weight, target = sample.weight, sample.target
            if sample.distributions is not None:
                both = np.hstack([design, proba])
                both, target, weight = sample.as_labels(both)
                design, proba = both[:, :design.shape[1]], both[:, design.shape[1]:]
            proba[np.arange(len(target)), target] -= 1.0
            proba *= np.sqrt(weight)[:, np.newaxis]
            scores = _products(proba, design)
            out += scores.T @ scores
        return out

    def by_cluster(self, cluster):
        """Return sum_c u_c u_c', u_c = sum_(i in c) v_i g_i the score of a cluster.

        cluster : (n_samples,) int
        """
        out = np.zeros((self.n_parameters, self.n_parameters))
        order = np.argsort(cluster, kind="stable")
        open_cluster, open_sum = -1, np.zeros(self.n_parameters)
        for some in self._slices():
            rows = order[some]
            design, proba = self._design_and_proba(rows)
            scores = _products(self._residual(rows, proba), design)
            names = cluster[rows]
            starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
            sums = np.add.reduceat(scores, starts, axis=0)
            if names[0] == open_cluster:
                sums[0] += open_sum
            else:
                out += np.outer(open_sum, open_sum)
            open_cluster, open_sum = names[-1], sums[-1].copy()
            out += sums[:-1].T @ sums[:-1]
        return out + np.outer(open_sum, open_sum)

    def blocks(self):
        """Yield the design, the probabilities and the weights v_i of blocks of all rows."""
        for rows in self._slices():
            yield *self._design_and_proba(rows), self._sample.weight[rows]

    def moved_pairs(self, step, least):
        """Return pairs of classes (k, m), k < m, that a step takes apart.

        The logit of k minus that of m changes by `least` or more in a row of k, in favour of k,
        or the other way round.

        step : (n_rows, n_features + 1)
            Change of theta.
        """
        found = np.zeros((self.n_classes, self.n_classes), dtype=bool)
        for rows in self._slices():
            change = self._design(rows, full=True) @ step.T
            if change.shape[1] == 1:
                change = np.hstack([np.zeros_like(change), change])
            sample = self._sample.take(rows)
            own = np.take_along_axis(change, sample.target[:, np.newaxis], axis=1)
            row, other = np.nonzero((own - change >= least) & (sample.weight > 0)[:, np.newaxis])
            found[sample.target[row], other] = True
        return np.argwhere(np.triu(found | found.T, 1))

    def _slices(self):
        n_samples = self._X.shape[0]
        for start in range(0, n_samples, self._n_block):
            yield slice(start, min(start + self._n_block, n_samples))

    def _design(self, rows, full=False):
        """Return [x - shift, 1] of some rows in float64; without 1 where nothing multiplies it."""
        x = self._X[rows]
        x = x.toarray() if sparse.issparse(x) else x
        out = np.ones((len(x), x.shape[1] + (full or self._fit_intercept)))
        np.subtract(x, self._shift, out=out[:, :x.shape[1]], dtype=np.float64)
        return out

    def _design_and_proba(self, rows):
        """Return the design of some rows, and their probabilities (n, n_classes)."""
        design = self._design(rows)
        logits = design @ self._theta[:, :design.shape[1]].T
        if self._offset is not None:
            logits += self._offset[rows]
        if logits.shape[1] > 1:
            return design, softmax(logits)
        return design, np.hstack([sigmoid(-logits), sigmoid(logits)])

    def _residual(self, rows, proba):
        """Return v_i (q_i - T_i) of some rows, (n, n_classes); `proba` is overwritten."""
        sample = self._sample.take(rows)
        if sample.distributions is None:
            proba[np.arange(len(proba)), sample.target] -= 1.0
        elif sample.is_mixed:
            proba -= sample.mixture
        proba *= sample.weight[:, np.newaxis]
        return proba


def _products(residual, design):
    """Return the scores, (n, n_parameters), from residuals of all classes and the design."""
    out = residual[:, 1:, np.newaxis] * design[:, np.newaxis, :]
    return out.reshape(len(design), -1)
