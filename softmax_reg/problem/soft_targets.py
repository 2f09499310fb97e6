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


class SoftTargets(NamedTuple):
    """The linear function of theta that distributions add to the loss of labels.

    Attributes
    ----------
    tilt : (n_rows, n_features + 1)
        Gradient of the function.
    by_label : bool
        Whether the distribution of a row depends on its label alone.
    constant : float
        sum_i <s_i R_i, o_i> of offsets o_i, in nats.
    """

    tilt: np.ndarray
    by_label: bool = False
    constant: float = 0.0

    @classmethod
    def of(cls, rows, sample, coordinates):
        """Return the function for a mixture of each row; one pass over the rows.

        Parameters
        ----------
        rows : Rows
        sample : Sample
            As `Rows.place` returns it.
        coordinates : Centring
        """
        return cls(_tilt(rows.rest_sums(sample, coordinates.shift), coordinates))

    @classmethod
    def of_labels(cls, mixture, class_sums, coordinates):
        """Return the function for a mixture of each label, from their class sums; no pass.

        Parameters
        ----------
        mixture : (n_classes, n_classes)
        class_sums : (n_classes, n_features + 1)
            Sums of s_i [x_i - shift, 1] of each label.
        coordinates : Centring
        """
        return cls(_tilt(class_sums - mixture.T @ class_sums, coordinates), by_label=True)

    def value(self, theta):
        """Return the linear function at theta, with the part of offsets, in nats."""
        return inner(self.tilt, theta) + self.constant

    def tilted(self, point):
        """Return a `Point` of the labels' loss with the linear function added to its loss."""
        return point._replace(
            loss=point.loss + self.value(point.theta), loss_grad=point.loss_grad + self.tilt,
            n_errors=max(point.n_errors, 1),    # no model predicts all of a distribution
        )

    def restricted(self, columns):
        """Return the same for some columns of theta."""
        return self._replace(tilt=self.tilt[:, columns])


def _tilt(sums, coordinates):
    """Return the gradient in theta from that in the logits' parameters of all classes."""
    sums[:, coordinates.zeros] = 0.0
    return sums[1:].copy() if coordinates.n_rows == 1 else sums
