"""What a sparse fit works on: what is in the model, and what is about to enter."""

import numpy as np

from .factor import fill_null_space

# Largest growth of the set at a time: by this many, or to this multiple if that is more.
_LEAST_ROOM = 256
_GROWTH = 2
_ROUNDING = 16 * np.finfo(np.float64).eps
# Relative distance from the threshold of gradients that are let in early along a path: few are
# left to enter at the next strengths of the penalty.
_CLOSE = 0.25


class WorkingSet:
    """The coefficients, or features with all of theirs, that matter, and the intercepts.

    A coefficient that is zero stays out as long as its gradient is within the threshold: at
    the optimum nothing else is asked for, and most coefficients of most sparse models never
    have to be looked at.

    Parameters
    ----------
    objective : Objective
        Objective in all features.
    by_feature : bool
        Let in features with their coefficients for all classes.
    everything : bool, default=False
        Nothing stays out.
    members : ndarray of bool, default=None
        To begin with, those of the last fit of a path.

    Attributes
    ----------
    members : ndarray of bool, (n_rows, n_features) or by feature (1, n_features)
    shape : (int, int)
        Shape of what `gather` gives: (n_rows, features in the set + 1), or (1, parameters).
    """

    def __init__(self, objective, *, by_feature, everything=False, members=None):
        self._whole = objective
        self._by_feature = by_feature
        self._everything = everything
        self._margin = _ROUNDING if members is None else -_CLOSE
        self._is_free = np.broadcast_to(objective.penalty.threshold == 0, objective.n_features)
        self.members = None
        if members is not None:
            self._take(members)

    def _take(self, members):
        n_rows, n_features = self._whole.n_rows, self._whole.n_features
        self.members = members
        self._features = np.flatnonzero(members.any(axis=0))
        width = len(self._features) + 1
        self.shape = n_rows, width
        columns = np.append(self._features, n_features)
        chosen = np.ones((n_rows, width), dtype=bool)
        chosen[:, :-1] = members[:, self._features]
        # Indices of the parameters in theta.ravel(), and in the restricted objective's.
        self._inside = np.flatnonzero(chosen)
        row, column = np.divmod(self._inside, width)
        self._columns = columns[column]
        self._index = row * (n_features + 1) + self._columns
        if not self._by_feature:
            self.shape = 1, len(self._index)
        self._objective = None

    @property
    def objective(self):
        """Restricted to the features; holds a copy of their columns from the first use."""
        if self._objective is None:
            everything = len(self._features) == self._whole.n_features
            self._objective = (
                self._whole if everything else self._whole.restricted(self._features)
            )
        return self._objective

    @property
    def blocks(self):
        """`Blocks` of the columns of `gather`, the intercepts' last; None without."""
        blocks = self._whole.penalty.blocks
        return None if blocks is None else blocks.restricted(self._features).with_column()

    @property
    def threshold(self):
        """(shape[1],): of every parameter or column of them, the intercepts' 0."""
        threshold = np.broadcast_to(self._whole.penalty.threshold, self._whole.n_features)
        return np.append(threshold, 0.0)[self._columns[:self.shape[1]]]

    def update(self, point):
        """Let in what violates its optimality condition at `point` the most.

        Returns
        -------
        changed : bool
        """
        coef, grad = point.theta[:, :-1], point.grad[:, :-1]
        penalty, blocks = self._whole.penalty, self._whole.penalty.blocks
        is_in, sizes = coef != 0, penalty.sizes(grad)
        if self._by_feature:
            is_in, sizes = is_in.any(axis=0, keepdims=True), sizes.max(axis=0, keepdims=True)
        keeps = is_in | self._is_free | self._everything
        if blocks is not None:
            keeps[0] = blocks.whole(keeps[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(keeps, -np.inf, sizes / penalty.threshold - 1)
        if self.members is not None and not np.any(
            (keeps | (excess > _ROUNDING)) & ~self.members
        ):
            return False
        entering = np.flatnonzero(excess > self._margin)
        room = max(_LEAST_ROOM, (_GROWTH - 1) * np.count_nonzero(keeps))
        if len(entering) > room:
            order = np.argsort(-excess.ravel()[entering], kind="stable")
            entering = entering[order[:room]]
        keeps.ravel()[entering] = True
        if blocks is not None:    # what is let in is cut to size between blocks
            keeps[0] = blocks.whole(keeps[0])
        self._take(keeps)
        return True

    def gather(self, theta):
        """Return the parameters in the working set, of `shape`."""
        return theta.ravel()[self._index].reshape(self.shape)

    def scatter(self, values):
        """Return theta of these parameters, zero elsewhere: the inverse of `gather`."""
        out = np.zeros(self._whole.shape)
        out.ravel()[self._index] = values.ravel()
        return out

    def hessian(self, theta):
        """Return the smooth part's Hessian in what `gather` gives, at theta of all features."""
        columns = np.append(self._features, self._whole.n_features)
        out = self.objective.hessian(np.ascontiguousarray(theta[:, columns]), self._inside)
        fill_null_space(
            out, (np.searchsorted(self._inside, shift) for shift in self.objective.free_shifts)
        )
        return out

    def add_curvature(self, hessian, change):
        """Add to the diagonal; `change` is a number or of every feature."""
        change = np.append(np.broadcast_to(change, self._whole.n_features), 0.0)
        np.einsum("ii->i", hessian)[:] += change[self._columns]    # a view
