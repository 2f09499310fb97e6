"""The features that a sparse fit works on: those in the model, and those about to enter."""

import numpy as np

# Features let in at a time: at least so many, and at most this multiple of those in the model.
_LEAST_ROOM = 32
_GROWTH = 2
_ROUNDING = 16 * np.finfo(np.float64).eps
# Along a path those whose gradients are this close to the threshold are let in too: few are
# left to enter at the next strengths of the penalty.
_CLOSE = 0.25


class WorkingSet:
    """Keeps the objective restricted to the features that matter.

    A feature whose coefficients are all zero stays out as long as its gradient is within the
    threshold: at the optimum nothing else is asked for, and most features of most sparse
    models never have to be looked at.

    Parameters
    ----------
    objective : Objective
        Of all features.
    everything : bool, default=False
        No feature stays out.
    features : ndarray of int, default=None
        To begin with, those of the last fit of a path.

    Attributes
    ----------
    features : ndarray of int, ascending
    """

    def __init__(self, objective, everything=False, features=None):
        self._whole = objective
        self._everything = everything
        self._margin = _ROUNDING if features is None else -_CLOSE
        self._is_free = np.broadcast_to(objective.penalty.threshold == 0, objective.n_features)
        self.features = features
        self._objective = None

    @property
    def objective(self):
        """Restricted to the features; holds a copy of their columns from the first use."""
        if self._objective is None:
            everything = len(self.features) == self._whole.n_features
            self._objective = (
                self._whole if everything else self._whole.restricted(self.features)
            )
        return self._objective

    @property
    def threshold(self):
        """(n_features in the set + 1,): of every column of theta, the intercept's 0."""
        threshold = np.broadcast_to(self._whole.penalty.threshold, self._whole.n_features)
        return np.append(threshold[self.features], 0.0)

    def update(self, point):
        """Let in what violates its optimality condition at `point` the most.

        Returns
        -------
        changed : bool
        """
        coef, grad = point.theta[:, :-1], point.grad[:, :-1]
        penalty = self._whole.penalty
        keeps = np.any(coef != 0, axis=0) | self._is_free | self._everything
        sizes = penalty.sizes(grad).max(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(keeps, -np.inf, sizes / penalty.threshold - 1)
        if self.features is not None:
            held = np.zeros(len(keeps), dtype=bool)
            held[self.features] = True
            if held[keeps | (excess > _ROUNDING)].all():
                return False
        entering = np.flatnonzero(excess > self._margin)
        room = max(_LEAST_ROOM, (_GROWTH - 1) * np.count_nonzero(keeps))
        if len(entering) > room:
            entering = entering[np.argsort(-excess[entering], kind="stable")[:room]]
        keeps[entering] = True
        self.features, self._objective = np.flatnonzero(keeps), None
        return True

    def gather(self, theta):
        """Columns of theta in the working set, intercept last."""
        return theta[:, np.append(self.features, theta.shape[1] - 1)]

    def scatter(self, theta):
        """The inverse: zero elsewhere."""
        out = np.zeros(self._whole.shape)
        out[:, np.append(self.features, out.shape[1] - 1)] = theta
        return out
