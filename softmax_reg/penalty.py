"""Penalties on the coefficients: value, gradient, and their share of the duality gap.

A penalty h acts on coef (n_rows, n_features), never on the intercept.
"""

from typing import NamedTuple

import numpy as np


class L2Penalty(NamedTuple):
    """h(W) = l2 / 2 ||W||_F^2.

    Attributes
    ----------
    l2 : float >= 0
        On the scale of the mean loss: 1 / (C * sum of weights). 0 is no penalty.
    """

    l2: float

    def value(self, coef):
        """h(W)."""
        return 0.5 * self.l2 * np.einsum("kj,kj->", coef, coef)

    def grad(self, coef):
        """Gradient of h at W."""
        return self.l2 * coef

    def fenchel_gap(self, coef, loss_grad):
        """<G, W> + h(W) + h*(-G) = ||G + l2 W||_F^2 / (2 l2), free of cancellation.

        Zero exactly when -G is the gradient of h at W. Without a penalty h* is
        infinite everywhere but at 0, and so is the gap.
        """
        if self.l2 == 0:
            return np.inf
        slack = loss_grad + self.l2 * coef
        # Divide first: slack**2 could underflow where the gap does not.
        scaled = slack / np.sqrt(2 * self.l2)
        return np.einsum("kj,kj->", scaled, scaled)
