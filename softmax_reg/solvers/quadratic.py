"""Minimisation of a quadratic model with an L1 or grouped penalty or bounds.

Coordinate descent finds the support of the minimum from anywhere, but is slow where coordinates
are correlated. Newton's method is fast there, but moves only the support, the nonzeros. So
`minimise_model` alternates between both. Only the models know the form of the Hessian.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from ..parallel.elementwise import inner
from .factor import newton_step

# Newton steps that change signs are halved down to this length. The last candidate ends where the
# first sign changes. Largest number of halvings of a step on groups.
_SHORTEST = 1e-3
_MAX_HALVINGS = 12
# Largest relative change of a coordinate that counts as rounding: descent computes the new x from
# h x minus the slope, where h is the coordinate's curvature.
_FLOOR = 16 * np.finfo(np.float64).eps
# Largest support whose Hessian is factorised.
MAX_SUPPORT = 3000


class ModelMinimum(NamedTuple):
    """The minimum of a model, to the accuracy asked for.

    Attributes
    ----------
    x : ndarray, shape of the parameters
    slope : float
        grad' d plus the change of the kinks, d = x - start: the decrease of which a line search
        asks for a fraction. Negative except for rounding.
    decrease : float
        Decrease of the model from the start to x. Positive except for rounding.
    """

    x: np.ndarray
    slope: float
    decrease: float


class QuadraticModel(ABC):
    """The model grad' d + d' H d / 2 + kinks(start + d), as `minimise_model` needs it.

    Its domain is what lies within the bounds, if there are any.

    Parameters
    ----------
    grad : (n_rows, width)
    threshold : (width,)
        Threshold of every coefficient of a column, or of its block; 0 where there is no kink.
    blocks : Blocks or None
        Columns that share a norm.
    bounds : (lower, upper), each (n_rows, width), or None
        Each on its side of 0; -inf and inf for none. Without blocks only.
    """

    def __init__(self, grad, threshold, blocks, bounds=None):
        self.grad = grad
        self.threshold = threshold
        self.blocks = blocks
        self.is_bounded = bounds is not None
        if bounds is None:
            bounds = np.full(grad.shape, -np.inf), np.full(grad.shape, np.inf)
        self.lower, self.upper = bounds

    @property
    def grouped(self):
        """Whether columns share norms."""
        return self.blocks is not None

    @abstractmethod
    def curvature(self, shape):
        """Return the diagonal of H, or the bound that descent uses, broadcast to `shape`."""

    @abstractmethod
    def times(self, change):
        """Compute H d."""

    @abstractmethod
    def descend(self, start, x, n_sweeps):
        """Run passes of descent over all coordinates of x, overwritten.

        Returns
        -------
        largest : float
            Largest h d^2 of the last pass, h the curvature and d the change of a coordinate.
        """

    @abstractmethod
    def newton(self, x, support, slope):
        """Return the step on the support, a mask, that takes `slope` to zero there; or None."""

    def kinks_gained(self, old, new):
        """Return the penalty's kinks at `new` minus those at `old`.

        Differences are taken before sums, so that close points lose few digits.
        """
        if self.grouped:
            gained = self.threshold * (self.blocks.norms(new) - self.blocks.norms(old))
            return self.blocks.one_each(gained).sum()
        return (self.threshold * (np.abs(new) - np.abs(old))).sum()

    def pull(self, x):
        """Return the gradient of the kinks at x; 0 where x is zero."""
        return self.threshold * (self.blocks.unit(x) if self.grouped else np.sign(x))

    def support(self, x, slope):
        """Return the mask of the parameters that a Newton step moves.

        These are not at a kink, nor at a bound where `slope`, the gradient there, points out.
        """
        out = (x != 0) | (self.threshold == 0)
        if self.is_bounded:
            out &= ~((x <= self.lower) & (slope >= 0) | (x >= self.upper) & (slope <= 0))
        return out

    def stopped(self, x, new):
        """Return `new`, with each parameter stopped at the first kink or bound on its way from x.

        Only without blocks.
        """
        new = np.where((self.threshold > 0) & (new * x < 0), 0.0, new)
        return np.clip(new, self.lower, self.upper) if self.is_bounded else new

    def bend(self, x, change):
        """Compute the Hessian of the kinks at x times a change.

        For a block it is threshold (I - u u') / |x|, u = x / |x|. Absolute values have none.
        """
        if not self.grouped:
            return 0.0
        norms, unit = self.blocks.norms(x), self.blocks.unit(x)
        share = np.divide(self.threshold, norms, out=np.zeros_like(norms), where=norms > 0)
        return share * (change - unit * self.blocks.inner(unit, change))


def minimise_model(model, start, *, sweeps, rounds, newton_steps, accuracy):
    """Minimise a `QuadraticModel` from `start`.

    Parameters
    ----------
    sweeps, rounds, newton_steps : int
        Largest number of passes of descent in a round, of rounds, and of Newton steps in a round.
    accuracy : float
        Iterations end once h d^2 of every coordinate (`QuadraticModel.descend`) is at most this
        fraction of the largest one in the first pass, or within rounding.

    Returns
    -------
    ModelMinimum
    """
    x = start.copy()
    first = model.descend(start, x, 1)
    for _ in range(rounds):
        model.descend(start, x, sweeps)
        for _ in range(newton_steps):
            if not _newton(model, start, x):
                break
        kinks = float(model.kinks_gained(np.zeros_like(x), x))
        floor = _FLOOR**2 * max(kinks, float((model.curvature(x.shape) * x**2).max()))
        if model.descend(start, x, 1) <= max(accuracy * first, floor):
            break
    change = x - start
    slope = inner(model.grad, change) + float(model.kinks_gained(start, x))
    return ModelMinimum(x, slope, -slope - inner(change, model.times(change)) / 2)


def _newton(model, start, x):
    """Take a Newton step on the support of x, overwritten, as far as it lowers the model.

    Returns
    -------
    shortened : bool
        Whether coefficients met zero or a bound on the way, so that another step may help.
    """
    slope = model.grad + model.times(x - start)
    support = model.support(x, slope + model.pull(x))
    if not np.any(support):
        return False
    step = model.newton(x, support, np.where(support, slope + model.pull(x), 0.0))
    if step is None:
        return False
    best, taken, is_whole = 0.0, None, False
    for change in _candidates(model, x, step):
        new = x + change    # exactly 0 where change is -x
        if model.is_bounded:
            new = np.clip(new, model.lower, model.upper)    # of the rounded sum
        gained = inner(slope, change) + inner(change, model.times(change)) / 2
        gained += model.kinks_gained(x, new)
        if gained < best:
            best, taken, is_whole = gained, new, change is step
    if taken is None:
        return False
    x[:] = taken
    return not is_whole


def _candidates(model, x, step):
    """Yield changes of x to try: the step and shorter ones.

    A coordinate with a kink that would change its sign ends at 0, and at a bound that it would
    cross.
    """
    if model.grouped:
        for halving in range(_MAX_HALVINGS):
            yield step / 2**halving if halving else step
        return
    stops = model.stopped(x, x + step)
    crosses = stops != x + step
    if not np.any(crosses):
        yield step
        return
    room = stops - x
    first = (room[crosses] / step[crosses]).min()
    length = 1.0
    while length > first and length > _SHORTEST:
        shorter = length * step
        yield np.where(crosses & (np.abs(room) < np.abs(shorter)), room, shorter)
        length /= 2
    # Up to the first of these stops the model has no kink, and only decreases.
    shorter = first * step
    yield np.where(crosses & (np.abs(room) <= np.abs(shorter)), room, shorter)


class DenseModel(QuadraticModel):
    """A model whose Hessian, (m, m) with m = n_rows * width, is held in memory.

    Parameters
    ----------
    algebra : HostAlgebra
    hessian : (m, m)
    grad, threshold, blocks, bounds : as in `QuadraticModel`
    """

    def __init__(self, algebra, hessian, grad, threshold, blocks, bounds=None):
        super().__init__(grad, threshold, blocks, bounds)
        self._algebra = algebra
        self._hessian = hessian
        if blocks is not None:
            self._groups = _decomposed(hessian, blocks, len(grad))

    def curvature(self, shape):
        """See `QuadraticModel.curvature`."""
        return np.diag(self._hessian).reshape(shape)

    def times(self, change):
        """See `QuadraticModel.times`."""
        moved = np.flatnonzero(change)
        if 2 * len(moved) > change.size:
            return (self._hessian @ change.ravel()).reshape(change.shape)
        return (change.ravel()[moved] @ self._hessian[moved]).reshape(change.shape)

    def descend(self, start, x, n_sweeps):
        """See `QuadraticModel.descend`."""
        slope = (self.grad + self.times(x - start)).ravel()
        flat = x.ravel()
        if self.grouped:
            threshold = self.blocks.one_each(self.threshold)
            largest = self._algebra.group_descent(
                self._hessian, *self._groups, slope, flat, threshold, n_sweeps
            )
        else:
            threshold = np.tile(self.threshold, len(x))
            largest = self._algebra.coordinate_descent(
                self._hessian, slope, flat, threshold, self.lower.ravel(), self.upper.ravel(),
                n_sweeps,
            )
        x[:] = flat.reshape(x.shape)
        return largest

    def newton(self, x, support, slope):
        """See `QuadraticModel.newton`."""
        index = np.flatnonzero(support)
        if len(index) > MAX_SUPPORT:
            return None
        hessian = self._hessian[np.ix_(index, index)]
        if self.grouped:
            hessian += self._bend(x, index)
        step = newton_step(hessian, slope.ravel()[index][np.newaxis])
        if step is None:
            return None
        out = np.zeros(x.shape)
        out.ravel()[index] = step[0]
        return out

    def _bend(self, x, index):
        """Compute the Hessian of the blocks' norms: threshold (I - u u') / |x| for every block."""
        width = x.shape[1]
        norms = self.blocks.norms(x)
        share = np.divide(self.threshold, norms, out=np.zeros(width), where=norms > 0)
        column, unit = index % width, self.blocks.unit(x).ravel()[index]
        share, block = share[column], self.blocks.labels[column]
        same = block[:, np.newaxis] == block
        return np.diag(share) - np.where(same, share * np.outer(unit, unit), 0.0)


def _decomposed(hessian, blocks, n_rows):
    """Return (members, starts, values, vectors) for `kernels.descent.group_descent`."""
    width = blocks.n_columns
    index = np.arange(n_rows * width).reshape(n_rows, width)
    starts = n_rows * np.append(blocks.starts, width)
    if blocks.are_single:
        square = np.einsum("kjmj->jkm", hessian.reshape(n_rows, width, n_rows, width))
        values, vectors = np.linalg.eigh(square)
        return index.T.ravel(), starts, np.maximum(values, 0.0).ravel(), vectors.ravel()
    members, values, vectors = [], [], []
    for start, end in zip(blocks.starts, blocks.ends, strict=True):
        group = index[:, start:end].T.ravel()
        value, basis = np.linalg.eigh(hessian[np.ix_(group, group)])
        members.append(group)
        values.append(np.maximum(value, 0.0))
        vectors.append(basis.ravel())
    return np.concatenate(members), starts, np.concatenate(values), np.concatenate(vectors)
