"""Minimisation of several small quadratic models with an L1 penalty at once.

The steps are those of `quadratic`: coordinate descent finds the support of every minimum, and
Newton's method moves it. Descents run one model after another, all else in calls of NumPy that
the models share.
"""

import numpy as np

# Numbers of passes of descent in a round, and of rounds.
_SWEEPS, _ROUNDS = 4, 25
# Largest ratio of h d^2 in the last pass to that in the first, h the curvature and d the change
# of a coordinate, at which a minimum is found; the relative change that counts as rounding.
_ACCURACY = 1e-10
_FLOOR = 16 * np.finfo(np.float64).eps
# Ridge on Hessians of a unit diagonal. It slows Newton's method only along directions of less
# curvature; without curvature a step leads to the first kink.
_RIDGE = 1e-13


def minimise_models(hessians, grads, thresholds, starts, descend):
    """Minimise g' d + d' H d / 2 + sum of threshold |x + d| for every model.

    Parameters
    ----------
    hessians : (n, m, m), symmetric, positive semidefinite
    grads, thresholds, starts : (n, m)
        g, thresholds and x of every model.
    descend : callable
        As `HostAlgebra.coordinate_descent`.

    Returns
    -------
    ends : (n, m)
        The x + d.
    slopes : (n,)
        g' d plus the change of the kinks, not positive except for rounding.
    decreases : (n,)
        Decreases of the models.
    """
    x, slopes = starts.copy(), grads.copy()
    lower = np.full(x.shape[1], -np.inf)

    def passes(some, n_sweeps):
        return np.array([
            descend(hessians[b], slopes[b], x[b], thresholds[b], lower, -lower, n_sweeps)
            for b in some
        ])

    left = np.arange(len(x))
    curvatures = np.einsum("bii->bi", hessians)
    enough = _ACCURACY * passes(left, 1)
    for _ in range(_ROUNDS):
        passes(left, _SWEEPS)
        _move_supports(hessians, thresholds, x, slopes, left)
        last = passes(left, 1)
        floor = _FLOOR**2 * (curvatures[left] * x[left] ** 2).max(axis=1)
        left = left[last > np.maximum(enough[left], floor)]
        if not len(left):
            break
    change = x - starts
    gained = np.einsum("bi,bi->b", grads, change)
    gained += (thresholds * (np.abs(x) - np.abs(starts))).sum(axis=1)
    bent = np.einsum("bij,bi,bj->b", hessians, change, change) / 2
    return x, gained, -gained - bent


def _move_supports(hessians, thresholds, x, slopes, index):
    """Take the Newton step on the support of some models, as far as it lowers them; in place.

    The coordinates that would change their sign become 0. Where this does not lower a model, its
    step ends at the first kink instead.
    """
    hessian, threshold, old = hessians[index], thresholds[index], x[index]
    still = (old == 0) & (threshold > 0)
    step = _steps(hessian, slopes[index] + threshold * np.sign(old), still)
    new = old + step
    crosses = (threshold > 0) & (new * old < 0)
    if crosses.any():
        new[crosses] = 0.0
        change = new - old
        gained = np.einsum("bi,bi->b", slopes[index] + 0.5 * _times(hessian, change), change)
        gained += (threshold * (np.abs(new) - np.abs(old))).sum(axis=1)
        is_higher = crosses.any(axis=1) & ~(gained < 0)
        if is_higher.any():
            room = np.where(crosses, -old / np.where(crosses, step, 1.0), 1.0)
            first = room.min(axis=1, keepdims=True)
            shorter = np.where(crosses & (room == first), 0.0, old + first * step)
            new[is_higher] = shorter[is_higher]
    change = new - old
    x[index] = new
    slopes[index] += _times(hessian, change)


def _times(matrices, vectors):
    """Return the product of each matrix with its vector."""
    return np.einsum("bij,bj->bi", matrices, vectors)


def _steps(hessian, slope, still):
    """Return Newton steps without the coordinates `still`; 0 where there is none.

    hessian : (n, m, m)
    slope, still : (n, m)
    """
    hessian, slope = hessian.copy(), np.where(still, 0.0, slope)
    hessian[still] = 0.0
    hessian.swapaxes(1, 2)[still] = 0.0
    diagonal = np.einsum("bii->bi", hessian)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    hessian *= scale[:, np.newaxis]
    hessian *= scale[..., np.newaxis]
    diagonal[:] = 1.0 + _RIDGE
    try:
        step = -scale * np.linalg.solve(hessian, (scale * slope)[..., np.newaxis])[..., 0]
    except np.linalg.LinAlgError:    # one of them is singular
        return np.zeros_like(slope)
    step[~np.isfinite(step).all(axis=1)] = 0.0
    return step
