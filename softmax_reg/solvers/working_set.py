"""The features that a sparse fit works on: those in the model, and those about to enter."""

import numpy as np

# Features let in at a time: at least so many, and at most this multiple of those in the model.
_LEAST_ROOM = 32
_GROWTH = 2
_ROUNDING = 16 * np.finfo(np.float64).eps


class WorkingSet:
    """Keeps the objective restricted to the features that matter.

    A feature whose coefficients are all zero stays out as long as its gradient is within the
    threshold: at the optimum nothing else is asked for, and most features of most sparse
    models never have to be looked at.

    Attributes
    ----------
    features : ndarray of int, ascending
    objective : Objective
        Restricted to them.
    threshold : ndarray, (n_features in the set + 1,)
        Of every column of theta, the intercept's 0.
    """

    def __init__(self, objective, everything=False):
        self._whole = objective
        self._everything = everything
        self._is_free = np.broadcast_to(objective.penalty.threshold == 0, objective.n_features)
        self.features = self.objective = self.threshold = None

    def update(self, point):
        """Let in what violates its optimality condition at `point` the most.

        Returns
        -------
        changed : bool
        """
        coef, grad = point.theta[:, :-1], point.grad[:, :-1]
        penalty = self._whole.penalty
        is_in = np.any(coef != 0, axis=0) | self._is_free
        sizes = penalty.sizes(grad).max(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(is_in, 0.0, sizes / penalty.threshold - 1)
        violators = np.flatnonzero(excess > _ROUNDING)
        room = max(_LEAST_ROOM, (_GROWTH - 1) * np.count_nonzero(is_in))
        if self._everything:
            violators = np.arange(len(is_in))
        elif len(violators) > room:
            violators = violators[np.argsort(-excess[violators], kind="stable")[:room]]
        is_in[violators] = True
        if self.features is not None:
            held = np.zeros(len(is_in), dtype=bool)
            held[self.features] = True
            if not np.any(is_in & ~held):
                return False
        self.features = np.flatnonzero(is_in)
        everything = len(self.features) == self._whole.n_features
        self.objective = self._whole if everything else self._whole.restricted(self.features)
        penalty = self.objective.penalty
        self.threshold = np.append(
            np.broadcast_to(penalty.threshold, self.objective.n_features), 0.0
        )
        return True

    def gather(self, theta):
        """Columns of theta in the working set, intercept last."""
        return theta[:, np.append(self.features, theta.shape[1] - 1)]

    def scatter(self, theta):
        """The inverse: zero elsewhere."""
        out = np.zeros(self._whole.shape)
        out[:, np.append(self.features, out.shape[1] - 1)] = theta
        return out
