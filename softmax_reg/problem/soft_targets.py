"""Targets that are distributions, as labels plus a linear function of theta.

Let T_i be the distribution of row i, and y_i its most probable class. For logits z_i,

    -sum_k T_ik log q_ik = logsumexp(z_i) - <T_i, z_i> = [logsumexp(z_i) - z_i[y_i]] + <R_i, z_i>,

with R_i = e_{y_i} - T_i: the loss of the label y_i, plus a term that is linear in z_i and so in
theta, <sum_i s_i R_i [x_i, 1]', theta>. So passes over the rows need labels only, and curvature
is that of the labels. Nothing large cancels: where T_i is close to a label, R_i is small.

The sums of R take one product with X. Where T_i depends on the label alone, as with label
smoothing, they follow from the sums of [x_i, 1] over each label. In the duality gap the labels
y_i may be any distributions (`certificate`): only their sums with [x_i, 1] enter.
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
    mixture : (n_samples, n_classes) or (n_classes, n_classes), rows sum to 1
        The distribution of each row, not all of them labels; or with `by_label` that of all rows
        of a label.
    target : (n_samples,) int, index of the row's label: of its most probable class, or as given
    weight : (n_samples,), non-negative
    tilt : (n_rows, n_features + 1)
        The linear function of theta that is added to the labels' loss: its gradient.
    by_label : bool
    constant : float
        sum_i <s_i R_i, o_i> of offsets o_i, in nats.
    """

    mixture: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    tilt: np.ndarray
    by_label: bool = False
    constant: float = 0.0

    @classmethod
    def of(cls, rows, labels, mixture, coordinates):
        """Return the targets of a mixture for each row; one product with X.

        Parameters
        ----------
        rows : Rows
        labels : Sample
            The most probable class of each row, and its weight in the objective.
        mixture : (n_samples, n_classes)
        coordinates : Centring
        """
        bare = cls(mixture, labels.target, labels.weight, None)
        sums = rows.class_sums(bare.rest(slice(None)), coordinates.shift)
        return bare._tilted(sums, coordinates)

    @classmethod
    def of_labels(cls, labels, mixture, class_sums, coordinates):
        """Return the targets of a mixture for each label, and their class sums; no pass.

        Parameters
        ----------
        labels : Sample
            Labels and their weights in the objective.
        mixture : (n_classes, n_classes)
        class_sums : (n_rows, n_features + 1)
            Sums of s_i [x_i - shift, 1] of the labels; for two classes those of the second.
        coordinates : Centring
        """
        bare = cls(mixture, labels.target, labels.weight, None, True)
        return bare._tilted(class_sums - mixture.T @ class_sums, coordinates)

    def _tilted(self, tilt, coordinates):
        tilt[:, coordinates.zeros] = 0.0
        return self._replace(tilt=tilt[1:].copy() if coordinates.n_rows == 1 else tilt)

    def rest(self, rows):
        """Return s_i R_i of some rows, a slice: (n, n_classes)."""
        weight, target = self.weight[rows], self.target[rows]
        mixture = self.mixture[target if self.by_label else rows]
        out = -weight[:, np.newaxis] * mixture
        out[np.arange(len(weight)), target] += weight
        return out

    @property
    def shares(self):
        """Weight of every class, (n_classes,)."""
        if self.by_label:
            totals = np.bincount(self.target, self.weight, minlength=len(self.mixture))
            return totals @ self.mixture
        return np.einsum("i,ik->k", self.weight, self.mixture)

    @property
    def surely_overlap(self):
        """Whether all rows have a share of every class, so that no direction separates any."""
        is_whole = (self.mixture > 0).all(axis=1)
        return bool(np.all(is_whole[self.target] if self.by_label else is_whole))

    def value(self, theta):
        """Return the linear function at theta, with the part of offsets, in nats."""
        return inner(self.tilt, theta) + self.constant

    def of_offset(self, offset):
        """Return sum_i <s_i R_i, o_i> in nats; offset (n_samples, n_rows)."""
        total = 0.0
        for start in range(0, len(offset), _ROWS):
            some = slice(start, start + _ROWS)
            rest = self.rest(some)[:, -offset.shape[1]:]
            total += np.einsum("ik,ik->", rest, offset[some], dtype=np.float64)
        return total

    def tilted(self, point):
        """Return a `Point` of the labels' loss with the linear function added to its loss."""
        return point._replace(
            loss=point.loss + self.value(point.theta), loss_grad=point.loss_grad + self.tilt,
            n_errors=max(point.n_errors, 1),    # no model predicts all of a distribution
        )

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
        mixture = self.mixture[self.target] if self.by_label else self.mixture
        row, label = np.nonzero(mixture)
        return X[row], label.astype(np.int32), self.weight[row] * mixture[row, label]


def scaled(sample):
    """Return a sample with weights scaled to a sum of 1, although their sum may overflow."""
    weight = sample.weight / sample.weight.max()
    return sample._replace(weight=weight / weight.sum())
