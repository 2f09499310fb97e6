"""What an evaluation of the objective returns, and the count of evaluations."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Point(NamedTuple):
    """The objective evaluated at `theta`."""

    theta: np.ndarray
    value: float    # loss + penalty + terms, nats
    grad: np.ndarray    # gradient of the smooth part of value
    loss: float
    loss_grad: np.ndarray
    n_errors: int    # rows of positive weight whose class is not strictly the most probable
    hessian: np.ndarray | None = None

    @property
    def rank(self):
        """The value, or inf for NaN, to order points by."""
        return np.inf if np.isnan(self.value) else self.value


@dataclass
class Passes:
    """Counter of the passes over the rows, of any kind."""

    n: int = 0
