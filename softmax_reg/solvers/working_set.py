"""The working set of a sparse fit: coefficients in the model, and candidates to enter."""

import numpy as np

from .factor import fill_null_space

# Largest number of coefficients (or features) that enter a small set in one update.
_LEAST_ROOM = 256
# Largest growth factor of a larger set in one update.
_GROWTH = 2
# Largest relative excess of a gradient over its threshold that counts as rounding.
_ROUNDING = 16 * np.finfo(np.float64).eps
# Relative distance below the threshold within which coefficients enter early, after a warm start
# along a path: fewer are left to enter at the next strengths of the penalty.
_CLOSE = 0.25


class WorkingSet:
    """The working set: the intercepts, and the coefficients or features that may be nonzero.

    A zero coefficient is optimal, and stays out, while its gradient is within the threshold, or
    points out of its bounds. Most coefficients of most sparse models never enter.

    Parameters
    ----------
    objective : Objective
        Objective in all features.
    by_feature : bool
        Whether a feature enters with its coefficients for all classes.
    everything : bool, default=False
        Whether all coefficients are members from the first update on.
    members : ndarray of bool, default=None
        Initial members, as a warm start from the last fit of a path.

    Attributes
    ----------
    members : ndarray of bool, (n_rows, n_features) or by feature (1, n_features)
        Mask of the set; None before the first update, unless given.
    shape : (int, int)
        Shape of the result of `gather`: (n_rows, features in the set + 1) by feature, or
        (1, parameters).
    """

    def __init__(self, objective, *, by_feature, everything=False, members=None):
        self._whole = objective
        self._by_feature = by_feature
        self._everything = everything
        self._margin = _ROUNDING if members is None else -_CLOSE
        is_free = np.broadcast_to(
            objective.penalty.is_free, (objective.n_rows, objective.n_features)
        )
        self._is_free = is_free.any(axis=0, keepdims=True) if by_feature else is_free
        self.members = None
        if members is not None:
            self._take(members)

    def _take(self, members):
        """Make `members` the set, and compute the indices of its parameters."""
        n_rows, n_features = self._whole.n_rows, self._whole.n_features
        self.members = members
        self._features = np.flatnonzero(members.any(axis=0))
        width = len(self._features) + 1
        self.shape = n_rows, width
        columns = np.append(self._features, n_features)
        chosen = np.ones((n_rows, width), dtype=bool)
        chosen[:, :-1] = members[:, self._features]
        # Indices of the parameters: `_inside` in theta.ravel() of the restricted objective,
        # `_index` in theta.ravel() of the whole one.
        self._inside = np.flatnonzero(chosen)
        row, column = np.divmod(self._inside, width)
        self._columns = columns[column]
        self._index = row * (n_features + 1) + self._columns
        if not self._by_feature:
            self.shape = 1, len(self._index)
        self._objective = None

    @property
    def objective(self):
        """Objective restricted to the set's features; the first use copies their columns."""
        if self._objective is None:
            everything = len(self._features) == self._whole.n_features
            self._objective = (
                self._whole if everything else self._whole.restricted(self._features)
            )
        return self._objective

    @property
    def blocks(self):
        """`Blocks` of the columns of `gather`, the intercepts' last; None without blocks."""
        blocks = self._whole.penalty.blocks
        return None if blocks is None else blocks.restricted(self._features).with_column()

    @property
    def threshold(self):
        """Threshold of every column of `gather`, (shape[1],); 0 for intercepts."""
        threshold = np.broadcast_to(self._whole.penalty.threshold, self._whole.n_features)
        return np.append(threshold, 0.0)[self._columns[:self.shape[1]]]

    @property
    def bounds(self):
        """Bounds of the parameters of `gather`, (lower, upper), or None; none for intercepts."""
        if self._whole.penalty.bounds is None:
            return None
        return tuple(
            self.gather(np.column_stack([bound, np.full(len(bound), infinite)]))
            for bound, infinite in zip(self._whole.penalty.bounds, (-np.inf, np.inf), strict=True)
        )

    def update(self, point):
        """Add the candidates that violate their optimality conditions at `point` the most.

        If any candidate does, other members with zero coefficients leave at the same time.

        Returns
        -------
        changed : bool
            False where no candidate violates its condition. The set is then unchanged.
        """
        coef, grad = point.theta[:, :-1], point.grad[:, :-1]
        penalty, blocks = self._whole.penalty, self._whole.penalty.blocks
        is_in, sizes = coef != 0, penalty.pull(grad)
        if self._by_feature:
            is_in, sizes = is_in.any(axis=0, keepdims=True), sizes.max(axis=0, keepdims=True)
        keeps = is_in | self._is_free | self._everything
        if blocks is not None:
            keeps[0] = blocks.whole(keeps[0])
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            ratio = np.where(sizes > 0, sizes / penalty.threshold, 0.0)
        excess = np.where(keeps, -np.inf, ratio - 1)
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
        if blocks is not None:    # the limit on entries may have split a block
            keeps[0] = blocks.whole(keeps[0])
        self._take(keeps)
        return True

    def gather(self, theta):
        """Return the parameters in the working set, of `shape`."""
        return theta.ravel()[self._index].reshape(self.shape)

    def scatter(self, values):
        """Return theta with `values` in the set and zeros elsewhere, the inverse of `gather`."""
        out = np.zeros(self._whole.shape)
        out.ravel()[self._index] = values.ravel()
        return out

    def hessian(self, theta):
        """Compute the smooth part's Hessian in the parameters of `gather`, at a full theta."""
        columns = np.append(self._features, self._whole.n_features)
        out = self.objective.hessian(np.ascontiguousarray(theta[:, columns]), self._inside)
        fill_null_space(
            out, (np.searchsorted(self._inside, shift) for shift in self.objective.free_shifts)
        )
        return out

    def add_curvature(self, hessian, change):
        """Add `change`, a number or (n_features,), to the diagonal of `hessian`, in place."""
        change = np.append(np.broadcast_to(change, self._whole.n_features), 0.0)
        np.einsum("ii->i", hessian)[:] += change[self._columns]    # einsum gives a view
