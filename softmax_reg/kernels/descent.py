"""Descent on quadratic models with an L1 or grouped penalty, one coordinate or group at a time.

The model is slope' d + d' H d / 2 + sum of threshold |x + d|. Exact minimisation over one
coordinate, or one group, after the other reaches the minimum from any start, whatever the
scales of the coordinates: the kinks are separable (Tseng 2001, Convergence of a block
coordinate descent method for nondifferentiable minimization, J. Optim. Theory Appl. 109(3)).
"""

import math

import numpy as np

from .jit import inner_kernel, kernel

# Largest number of Newton iterations on the equation for the length of a group.
_MAX_LENGTHS = 60
EPS = np.finfo(np.float64).eps


@inner_kernel
def coordinate_minimum(curvature, slope, x, threshold):
    """Return the minimum over one coordinate, x being its value now."""
    target = curvature * x - slope
    size = abs(target) - threshold
    return math.copysign(size, target) / curvature if size > 0 else 0.0


@kernel
def coordinate_descent(hessian, slope, x, threshold, lower, upper, n_sweeps):
    """Make n_sweeps passes of descent over all coordinates; x and slope are overwritten.

    Parameters
    ----------
    hessian : (m, m), symmetric and positive semidefinite
    slope : (m,), gradient of the quadratic at x
    x : (m,)
    threshold : (m,), non-negative
    lower, upper : (m,), bounds of x, not positive and not negative
    n_sweeps : int

    Returns
    -------
    largest : float
        Largest h d^2 of the last pass, h the curvature and d the change of a coordinate.
    """
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for i in range(len(x)):
            curvature = hessian[i, i]
            if not curvature > 0:
                continue
            new = coordinate_minimum(curvature, slope[i], x[i], threshold[i])
            new = min(max(new, lower[i]), upper[i])
            change = new - x[i]
            if change != 0:
                x[i] = new
                for j in range(len(x)):
                    slope[j] += change * hessian[i, j]
                largest = max(largest, curvature * change * change)
        if largest == 0:
            break
    return largest


@kernel
def group_descent(hessian, members, starts, values, vectors, slope, x, threshold, n_sweeps):
    """Descend as `coordinate_descent` does, over groups of coordinates.

    With M the block of a group, c = slope - M x and t its threshold, the minimum u of
    c' u + u' M u / 2 + t |u| is 0 where |c| <= t. Elsewhere (M + t / r) u = -c with r = |u|,
    the r at which |(r M + t)^-1 c| = 1. Newton's method on 1 / |.| finds it. This
    function is concave and increasing in r, so the iterates grow towards the solution.

    Parameters
    ----------
    members : (m,) int
        Indices of the coordinates, group after group.
    starts : (n_groups + 1,) int
        Where groups start in `members`.
    values : (m,)
        Eigenvalues of the groups' blocks, non-negative, ascending within a group.
    vectors : (sum of squared sizes,)
        Eigenvectors of the blocks, as the columns of one matrix after the other.
    threshold : (n_groups,)
    hessian, slope, x, n_sweeps : as in `coordinate_descent`
    """
    most = 0
    for g in range(len(threshold)):
        most = max(most, starts[g + 1] - starts[g])
    turned = np.empty(most)
    lengths = np.empty(most)
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        first = 0
        for g in range(len(threshold)):
            size = starts[g + 1] - starts[g]
            group = members[starts[g]:starts[g + 1]]
            value = values[starts[g]:starts[g + 1]]
            basis = vectors[first:first + size * size].reshape(size, size)
            first += size * size
            top = value[size - 1]
            if not top > 0:
                continue
            for i in range(size):    # coordinates of the group in its eigenvectors
                turned[i] = 0.0
                lengths[i] = 0.0
                for k in range(size):
                    turned[i] += basis[k, i] * slope[group[k]]
                    lengths[i] += basis[k, i] * x[group[k]]
                turned[i] -= value[i] * lengths[i]
            r, moved = shrink(value, turned, lengths, threshold[g], top)
            if r == 0:    # set to exactly zero, without the errors of a rotation
                for k in range(size):
                    lengths[k] = -x[group[k]]
            else:
                for k in range(size):
                    lengths[k] = 0.0
                    for i in range(size):
                        lengths[k] += basis[k, i] * turned[i]
            for k in range(size):
                change = lengths[k]
                if change != 0:
                    index = group[k]
                    x[index] = 0.0 if r == 0 else x[index] + change
                    for i in range(len(x)):
                        slope[i] += change * hessian[index, i]
            largest = max(largest, moved)
        if largest == 0:
            break
    return largest


@inner_kernel
def shrink(values, turned, lengths, t, top):
    """Replace `turned` by the change that takes a group to its minimum, in its eigenvectors.

    Parameters
    ----------
    values : (size,)
        Eigenvalues of the group's block.
    turned : (size,) or more
        c of `group_descent`, then the change.
    lengths : (size,) or more
        The group before the change.
    t : float
        Threshold of the group.
    top : float
        Largest eigenvalue.

    Returns
    -------
    r : float
        Norm of the group at the minimum: 0 where the group becomes zero; 1 where t = 0.
    moved : float
        h d^2 of the change.
    """
    r = length_of(values, turned, t) if t > 0 else 1.0
    moved = 0.0
    for i in range(len(values)):
        new = lengths[i]
        if t > 0:
            new = -turned[i] * r / (values[i] * r + t)
        elif values[i] > len(values) * EPS * top:
            new = -turned[i] / values[i]
        turned[i] = new - lengths[i]
        moved += values[i] * turned[i] * turned[i]
    return r, moved


@kernel
def length_of(values, turned, t):
    """Return r with |(r diag(values) + t)^-1 turned| = 1, or 0 where |turned| <= t."""
    r = 0.0
    for _ in range(_MAX_LENGTHS):
        squares, change = 0.0, 0.0
        for i in range(len(values)):
            share = turned[i] / (values[i] * r + t)
            squares += share * share
            change += share * share * values[i] / (values[i] * r + t)
        if squares <= 1.0 or not change > 0:
            break
        # g = squares^-1/2, g' = squares^-3/2 change.
        step = (math.sqrt(squares) - 1.0) * squares / change
        r += step
        if step <= 4 * EPS * r:
            break
    return r
