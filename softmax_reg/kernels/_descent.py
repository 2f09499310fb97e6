"""Descent on quadratic models with an L1 or grouped penalty, one coordinate or group at a time.

The model is slope' d + d' H d / 2 + sum of threshold |x + d|. Exact minimisation over one
coordinate, or one group, after the other reaches the minimum from anywhere, whatever the
scales of the coordinates: the kinks are separable (Tseng 2001, Convergence of a block
coordinate descent method for nondifferentiable minimization, J. Optim. Theory Appl. 109(3)).
"""

import math

import numpy as np

from ._jit import inner_kernel, kernel

# Newton iterations on the equation for the length of a group.
_MAX_LENGTHS = 60
_EPS = np.finfo(np.float64).eps


@kernel
def coordinate_descent(hessian, slope, x, threshold, n_sweeps):
    """n_sweeps passes over all coordinates; x and slope are overwritten.

    Parameters
    ----------
    hessian : (m, m), symmetric and positive semidefinite
    slope : (m,), gradient of the quadratic at x
    x : (m,)
    threshold : (m,), non-negative
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
            target = curvature * x[i] - slope[i]
            size = abs(target) - threshold[i]
            new = math.copysign(size, target) / curvature if size > 0 else 0.0
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
def group_descent(hessian, values, vectors, slope, x, threshold, n_sweeps):
    """As `coordinate_descent`, over groups of coordinates i, i + width, i + 2 width, ...

    With M the block of a group, c = slope - M x and t its threshold, the minimum u of
    c' u + u' M u / 2 + t |u| is 0 where |c| <= t. Elsewhere (M + t / r) u = -c with r = |u|:
    the r at which |(r M + t)^-1 c| = 1, found by Newton's method on 1 / |.|, which is concave
    and increasing in r: the iterates grow towards the solution.

    Parameters
    ----------
    values, vectors : (width, n_rows) and (width, n_rows, n_rows)
        Eigenvalues, not negative, and eigenvectors (as columns) of the blocks.
    threshold : (width,)
    hessian, slope, x, n_sweeps : as there
        m = n_rows * width.
    """
    width, n_rows = values.shape
    turned = np.empty(n_rows)
    lengths = np.empty(n_rows)
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for j in range(width):
            top = values[j, n_rows - 1]
            if not top > 0:
                continue
            for i in range(n_rows):    # the group in its eigenvectors
                turned[i] = 0.0
                lengths[i] = 0.0
                for k in range(n_rows):
                    turned[i] += vectors[j, k, i] * slope[k * width + j]
                    lengths[i] += vectors[j, k, i] * x[k * width + j]
                turned[i] -= values[j, i] * lengths[i]
            t = threshold[j]
            r = _length(values[j], turned, t) if t > 0 else 1.0
            moved = 0.0
            for i in range(n_rows):
                new = lengths[i]
                if t > 0:
                    new = -turned[i] * r / (values[j, i] * r + t)
                elif values[j, i] > n_rows * _EPS * top:
                    new = -turned[i] / values[j, i]
                turned[i] = new - lengths[i]
                moved += values[j, i] * turned[i] * turned[i]
            if r == 0:    # exactly, not by rotation and back
                for k in range(n_rows):
                    lengths[k] = -x[k * width + j]
            else:
                for k in range(n_rows):
                    lengths[k] = 0.0
                    for i in range(n_rows):
                        lengths[k] += vectors[j, k, i] * turned[i]
            for k in range(n_rows):
                change = lengths[k]
                if change != 0:
                    index = k * width + j
                    x[index] = 0.0 if r == 0 else x[index] + change
                    for i in range(len(x)):
                        slope[i] += change * hessian[index, i]
            largest = max(largest, moved)
        if largest == 0:
            break
    return largest


@kernel
def _length(values, turned, t):
    """r with |(r diag(values) + t)^-1 turned| = 1, or 0 where |turned| <= t."""
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
        if step <= 4 * _EPS * r:
            break
    return r


@inner_kernel
def _slope(j, k, classes, ridge, left, grad, start, x, spread, seen):
    """Of the model below in one coordinate."""
    out = grad[j, k] + ridge[j] * (x[j, k] - start[j, k])
    for m in range(classes.shape[0]):
        out += classes[k, m] * spread[j, m]
    for i in range(seen.shape[0]):
        out -= left[j, k, i] * seen[i]
    return out


@kernel
def kronecker_descent(
    classes, moments, ridge, left, right, grad, curvature, start, x, threshold, spread, seen,
    n_sweeps,
):
    """Coordinate descent where H = moments (x) classes + diag(ridge) - left right'.

    Never forms H: with d = x - start, keeps moments d and right' d up to date. Features in
    order, and the classes of one after the other.

    Parameters
    ----------
    classes : (n_rows, n_rows), symmetric
    moments : (width, width), symmetric, or its diagonal (1, width)
    ridge : (width,)
    left, right : (width, n_rows, rank)
        Whose product, over the last axis, is symmetric; rank may be 0.
    grad : (width, n_rows), at start
    curvature : (width, n_rows), the diagonal of H, positive where x may move
    start, x : (width, n_rows)
        x is overwritten.
    threshold : (width,)
    spread : (width, n_rows), moments d; overwritten
    seen : (rank,), right' d; overwritten
    n_sweeps : int

    Returns
    -------
    largest : float
        Largest h d^2 of the last pass.
    """
    width, n_rows = grad.shape
    rank = left.shape[2]
    is_full = len(moments) == width
    changes = np.empty(n_rows)
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for j in range(width):
            t = threshold[j]
            own = moments[j, j] if is_full else moments[0, j]
            moved = False
            for k in range(n_rows):
                changes[k] = 0.0
                h = curvature[j, k]
                if not h > 0:
                    continue
                slope = _slope(j, k, classes, ridge, left, grad, start, x, spread, seen)
                target = h * x[j, k] - slope
                size = abs(target) - t
                new = math.copysign(size, target) / h if size > 0 else 0.0
                change = new - x[j, k]
                if change != 0:
                    moved = True
                    x[j, k] = new
                    changes[k] = change
                    spread[j, k] += own * change
                    for i in range(rank):
                        seen[i] += right[j, k, i] * change
                    largest = max(largest, h * change * change)
            if moved and is_full:
                for i in range(width):
                    if i != j:
                        share = moments[i, j]
                        for k in range(n_rows):
                            spread[i, k] += share * changes[k]
    return largest


@kernel
def kronecker_group_descent(
    classes, moments, ridge, left, right, grad, curvature, start, x, threshold, spread, seen,
    n_sweeps,
):
    """As `kronecker_descent`, for the Euclidean norm of every feature's coefficients.

    Minimises a bound on the model over one feature after the other: its block of H is at most
    `curvature`, (width,), times the identity, and the minimum of that a step along the
    gradient, shortened by threshold / curvature. The others are as there.
    """
    width, n_rows = grad.shape
    rank = left.shape[2]
    is_full = len(moments) == width
    changes = np.empty(n_rows)
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for j in range(width):
            h = curvature[j]
            if not h > 0:
                continue
            squares = 0.0
            for k in range(n_rows):
                slope = _slope(j, k, classes, ridge, left, grad, start, x, spread, seen)
                changes[k] = x[j, k] - slope / h
                squares += changes[k] * changes[k]
            length = math.sqrt(squares)
            kept = 1.0 - threshold[j] / (h * length) if h * length > threshold[j] else 0.0
            moved = 0.0
            for k in range(n_rows):
                new = kept * changes[k]
                changes[k] = new - x[j, k]
                x[j, k] = new
                moved += h * changes[k] * changes[k]
                for i in range(rank):
                    seen[i] += right[j, k, i] * changes[k]
            largest = max(largest, moved)
            if moved == 0:
                continue
            if is_full:
                for i in range(width):
                    share = moments[i, j]
                    for k in range(n_rows):
                        spread[i, k] += share * changes[k]
            else:
                for k in range(n_rows):
                    spread[j, k] += moments[0, j] * changes[k]
    return largest
