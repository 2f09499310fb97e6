"""Minima of several small quadratic models with an L1 penalty.

Coordinate descent finds the support of a minimum, Newton's method moves it: `solvers.quadratic`
does the same with one large model.
"""

import math

import numpy as np

from .descent import coordinate_minimum
from .jit import inner_kernel, kernel

# Numbers of passes of descent in a round, of rounds, and of Newton steps in a round.
_SWEEPS, _ROUNDS, _STEPS = 4, 50, 16
# Ridge on Hessians of a unit diagonal. It slows Newton's method only along directions of less
# curvature; without curvature a step leads to the first kink.
_RIDGE = 1e-13
# Square of the relative change of a coordinate that counts as rounding.
_FLOOR = (16 * np.finfo(np.float64).eps) ** 2


@kernel
def minimise_models(hessians, slopes, x, thresholds, accuracy):
    """Minimise every model over x; x and slopes are overwritten.

    Parameters
    ----------
    hessians : (n, m, m), symmetric and positive semidefinite
    slopes : (n, m), gradient of each quadratic at x
    x : (n, m)
    thresholds : (n, m), non-negative
    accuracy : float
        Iterations end once a pass of descent changes no coordinate by more: h d^2 is at most this
        fraction of the largest one in the first pass, h the curvature and d the change.
    """
    n, m = x.shape
    factor, step = np.empty((m, m)), np.empty(m)
    support = np.empty(m, dtype=np.int64)
    for b in range(n):
        hessian, slope, at, threshold = hessians[b], slopes[b], x[b], thresholds[b]
        enough = -1.0
        for _ in range(_ROUNDS):
            n_passes = 0
            while n_passes < _SWEEPS:
                largest, size = descend(hessian, slope, at, threshold)
                n_passes += 1
                is_first = enough < 0
                enough = accuracy * largest if is_first else max(enough, _FLOOR * size)
                if largest <= enough:
                    break
            if n_passes == 1 and largest <= enough:
                break
            for _ in range(_STEPS):
                if not move_support(hessian, slope, at, threshold, factor, step, support):
                    break


@inner_kernel
def descend(hessian, slope, x, threshold):
    """Make a pass of descent over all coordinates; x and slope are overwritten.

    Returns
    -------
    largest, size : float
        Largest h d^2 and largest h x^2, h the curvature and d the change of a coordinate.
    """
    largest, size = 0.0, 0.0
    for i in range(len(x)):
        curvature = hessian[i, i]
        if not curvature > 0:
            continue
        new = coordinate_minimum(curvature, slope[i], x[i], threshold[i])
        change = new - x[i]
        size = max(size, curvature * new * new)
        if change != 0:
            x[i] = new
            for j in range(len(x)):
                slope[j] += change * hessian[i, j]
            largest = max(largest, curvature * change * change)
    return largest, size


@inner_kernel
def move_support(hessian, slope, x, threshold, factor, step, support):
    """Take a Newton step on the support of x, at most up to the first kink; in place.

    Parameters
    ----------
    factor, step, support : as in `newton_step`

    Returns
    -------
    stopped : bool
        Whether a coordinate has become 0.
    """
    n = newton_step(hessian, slope, x, threshold, factor, step, support)
    length = 1.0
    for k in range(n):
        i = support[k]
        if threshold[i] > 0 and (x[i] + step[k]) * x[i] < 0:
            length = min(length, -x[i] / step[k])
    for k in range(n):
        i = support[k]
        change = length * step[k]
        if threshold[i] > 0 and length < 1 and -x[i] / step[k] == length:
            change = -x[i]
        x[i] += change
        for j in range(len(x)):
            slope[j] += change * hessian[i, j]
    return length < 1


@inner_kernel
def newton_step(hessian, slope, x, threshold, factor, step, support):
    """Solve for the step to the minimum of a model where only its support moves.

    Parameters
    ----------
    factor : (m, m), overwritten
        The Cholesky factor of the support's Hessian. Entries keep their relative accuracy
        whatever the units of the coordinates.
    step : (m,), overwritten
        The first n entries become the step.
    support : (m,) int, overwritten
        The first n entries become the indices of the coordinates with a curvature that are not 0
        or have no threshold.

    Returns
    -------
    n : int
        Size of the support; 0 where there is no factor, or the step is not finite.
    """
    n = 0
    for i in range(len(x)):
        if hessian[i, i] > 0 and (x[i] != 0 or threshold[i] == 0):
            support[n] = i
            step[n] = -slope[i] - threshold[i] * np.sign(x[i])
            n += 1
    for k in range(n):
        row = hessian[support[k]]
        for q in range(k + 1):
            entry = row[support[q]]
            if q == k:
                pivot = _RIDGE * entry
                entry += pivot
            for r in range(q):
                entry -= factor[k, r] * factor[q, r]
            if q < k:
                factor[k, q] = entry / factor[q, q]
                step[k] -= factor[k, q] * step[q]
        if not entry > pivot / 2:
            return 0
        factor[k, k] = math.sqrt(entry)
        step[k] /= factor[k, k]
    size = 0.0
    for k in range(n - 1, -1, -1):
        step[k] /= factor[k, k]
        size += abs(step[k])
        for r in range(k):
            step[r] -= factor[k, r] * step[k]
    return n if size < np.inf else 0
