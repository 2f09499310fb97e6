"""Targets that are distributions, as labels plus a linear function of theta.

Let T_i be the distribution of row i, and y_i its most probable class. For logits z_i,

    -sum_k T_ik log q_ik = logsumexp(z_i) - <T_i, z_i> = [logsumexp(z_i) - z_i[y_i]] + <R_i, z_i>,

with R_i = e_{y_i} - T_i: the loss of the label y_i, plus a term that is linear in z_i and so in
theta, <sum_i s_i R_i [x_i, 1]', theta>. So passes over the rows need labels only, and curvature
is that of the labels. Nothing large cancels: where T_i is close to a label, R_i is small.

The sums of R take one product with X. In the duality gap the labels y_i may be any distributions
(`certificate`): only their sums with [x_i, 1] enter.
"""

from typing import NamedTuple

import numpy as np

from ..parallel.elementwise import inner

# Number of rows whose logits are computed together.
_ROWS = 16_384


class SoftTargets(NamedTuple):
    """Distributions over the fitted classes.

    Attributes
    ----------
    mixture : (n_samples, n_classes), rows sum to 1; not all of them are labels
    target : (n_samples,) int, index of the most probable class
    weight : (n_samples,), non-negative, sums to 1
    tilt : (n_rows, n_features + 1)
        The linear function of theta that is added to the labels' loss: its gradient.
    """

    mixture: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    tilt: np.ndarray

    @classmethod
    def of(cls, rows, labels, mixture, coordinates):
        """Return the targets; one product with X.

        Parameters
        ----------
        rows : Rows
        labels : Sample
            The most probable class of each row, and its weight, as `Rows.place` takes them.
        mixture : (n_samples, n_classes)
        coordinates : Centring
        """
        weight = labels.weight / labels.weight.max()    # the sum of huge weights could overflow
        weight /= weight.sum()
        bare = cls(mixture, labels.target, weight, None)
        tilt = rows.class_sums(bare.rest(slice(None)), coordinates.shift)
        tilt[:, coordinates.zeros] = 0.0
        return bare._replace(tilt=tilt[1:].copy() if coordinates.n_rows == 1 else tilt)

    def rest(self, rows):
        """Return s_i R_i of some rows, a slice: (n, n_classes)."""
        weight = self.weight[rows]
        out = -weight[:, np.newaxis] * self.mixture[rows]
        out[np.arange(len(weight)), self.target[rows]] += weight
        return out

    @property
    def shares(self):
        """Weight of every class, (n_classes,)."""
        return np.einsum("i,ik->k", self.weight, self.mixture)

    def value(self, theta):
        """Return the linear function at theta, in nats."""
        return inner(self.tilt, theta)

    def delivered_value(self, rows, theta):
        """Return the sum of <s_i R_i, z_i>, in nats, of logits as predictions compute them.

        rows : Rows, on the host
        theta : (n_rows, n_features + 1), for x, not for x - shift; its dtype is the arithmetic's
        """
        total = 0.0
        for start in range(0, rows.n_samples, _ROWS):
            some = slice(start, min(start + _ROWS, rows.n_samples))
            logits, _ = rows.like(rows.X[some]).predictions(theta, "logits")
            # In a row, s_i R_i sums to 0: a shift common to the logits has no effect.
            logits = logits - logits.max(axis=1, keepdims=True)
            total += np.einsum("ik,ik->", self.rest(some), logits, dtype=np.float64)
        return total

    def restricted(self, columns):
        """Return the same for some columns of theta."""
        return self._replace(tilt=self.tilt[:, columns])

    def as_labels(self, X):
        """Return (X, labels, weights) with a row for each class of positive share.

        X : array or CSR (n_samples, n_features)
        """
        row, label = np.nonzero(self.mixture)
        return X[row], label.astype(np.int32), self.weight[row] * self.mixture[row, label]
