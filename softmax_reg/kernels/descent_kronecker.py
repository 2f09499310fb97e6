"""Descent on quadratic models whose Hessian is a Kronecker product plus low rank, never formed.

The methods are those of `descent`, for the metric of `solvers.proximal_lbfgs`.
"""

import math

import numpy as np

from .descent import coordinate_minimum, shrink
from .jit import inner_kernel, kernel


@inner_kernel
def _slope(j, k, classes, ridge, left, grad, start, x, spread, seen):
    """Return the slope of the model of `kronecker_descent` in coordinate (j, k)."""
    out = grad[j, k] + ridge[j] * (x[j, k] - start[j, k])
    for m in range(classes.shape[0]):
        out += classes[k, m] * spread[j, m]
    for i in range(seen.shape[0]):
        out -= left[j, k, i] * seen[i]
    return out


@kernel
def kronecker_descent(
    classes, moments, ridge, left, right, grad, curvature, start, x, threshold, spread, seen,
    lower, upper, n_sweeps,
):
    """Minimise by coordinate descent, for H = moments (x) classes + diag(ridge) - left right'.

    H is never formed: with d = x - start, moments d and right' d are kept up to date.
    Coordinates are in the order of features, and of classes within a feature.

    Parameters
    ----------
    classes : (n_rows, n_rows), symmetric
    moments : (width, width), symmetric, or its diagonal (1, width)
    ridge : (width,)
    left, right : (width, n_rows, rank)
        The product over the last axis is symmetric; rank may be 0.
    grad : (width, n_rows), at start
    curvature : (width, n_rows), the diagonal of H, positive where x may move
    start, x : (width, n_rows)
        Centre of the model, and the initial point; x is overwritten.
    threshold : (width,)
    spread : (width, n_rows), moments d; overwritten
    seen : (rank,), right' d; overwritten
    lower, upper : (width, n_rows), bounds of x, not positive and not negative
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
                new = coordinate_minimum(h, slope, x[j, k], t)
                new = min(max(new, lower[j, k]), upper[j, k])
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
    """Minimise as `kronecker_descent`, for the Euclidean norm of every feature's coefficients.

    For one feature after the other, an upper bound on the model is minimised: in the bound, the
    identity times `curvature`, (width,), replaces the feature's block of H, which is no larger.
    The minimum of the bound is a gradient step whose result is shortened by threshold /
    curvature. Other arguments are as in `kronecker_descent`.
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


@kernel
def kronecker_block_descent(
    classes, moments, ridge, left, right, grad, bound, start, x, threshold, spread, seen, starts,
    class_basis, vectors, n_sweeps,
):
    """Minimise as `kronecker_descent`, for the Euclidean norm of blocks of features.

    For one block after the other, an upper bound on the model is minimised: a matrix no smaller
    than the block's part of H replaces it. This matrix is diagonal, `bound`, in the basis of the
    eigenvectors of the block's moments and of the classes. In this basis the minimum is that of
    `group_descent`.

    Parameters
    ----------
    bound : (width, n_rows)
        Diagonal of the bound; 0 for a block that cannot move.
    threshold : (n_blocks,)
    starts : (n_blocks + 1,) int
        First feature of every block, and `width`.
    class_basis : (n_rows, n_rows)
        Eigenvectors as columns.
    vectors : (sum of squared sizes,)
        Eigenvectors of each block's moments, as the columns of one matrix after another.
    others : as in `kronecker_descent`
    """
    width, n_rows = grad.shape
    rank = left.shape[2]
    is_full = len(moments) == width
    most = 0
    for g in range(len(threshold)):
        most = max(most, starts[g + 1] - starts[g])
    slopes, changes = np.empty((most, n_rows)), np.empty((most, n_rows))
    turned, lengths = np.empty(most * n_rows), np.empty(most * n_rows)
    largest = 0.0
    for _ in range(n_sweeps):
        largest, offset = 0.0, 0
        for g in range(len(threshold)):
            first, size = starts[g], starts[g + 1] - starts[g]
            basis = vectors[offset:offset + size * size].reshape(size, size)
            offset += size * size
            value = bound[first:first + size].reshape(size * n_rows)
            top = 0.0
            for i in range(size * n_rows):
                top = max(top, value[i])
            if not top > 0:
                continue
            for j in range(size):
                for k in range(n_rows):
                    slopes[j, k] = _slope(
                        first + j, k, classes, ridge, left, grad, start, x, spread, seen
                    )
            _turn(slopes, basis, class_basis, changes, turned)
            _turn(x[first:first + size], basis, class_basis, changes, lengths)
            for i in range(size * n_rows):
                turned[i] -= value[i] * lengths[i]
            r, moved = shrink(value, turned, lengths, threshold[g], top)
            largest = max(largest, moved)
            if moved == 0:
                continue
            _turn_back(turned, basis, class_basis, slopes, changes)
            for j in range(size):
                for k in range(n_rows):
                    if r == 0:    # set to exactly zero, without the errors of a rotation
                        changes[j, k] = -x[first + j, k]
                        x[first + j, k] = 0.0
                    else:
                        x[first + j, k] += changes[j, k]
                    for i in range(rank):
                        seen[i] += right[first + j, k, i] * changes[j, k]
            for j in range(size):
                if is_full:
                    for i in range(width):
                        moment = moments[i, first + j]
                        for k in range(n_rows):
                            spread[i, k] += moment * changes[j, k]
                else:
                    for k in range(n_rows):
                        spread[first + j, k] += moments[0, first + j] * changes[j, k]
    return largest


@inner_kernel
def _turn(block, basis, class_basis, work, out):
    """Compute out = basis' block class_basis, raveled.

    basis : (size, size), with `size` the number of rows of `block` in use
    """
    size, n_rows = len(basis), len(class_basis)
    for i in range(size):
        for k in range(n_rows):
            work[i, k] = 0.0
            for j in range(size):
                work[i, k] += basis[j, i] * block[j, k]
    for i in range(size):
        for m in range(n_rows):
            total = 0.0
            for k in range(n_rows):
                total += work[i, k] * class_basis[k, m]
            out[i * n_rows + m] = total


@inner_kernel
def _turn_back(turned, basis, class_basis, work, out):
    """Compute out = basis turned class_basis', the inverse of `_turn`."""
    size, n_rows = len(basis), len(class_basis)
    for i in range(size):
        for k in range(n_rows):
            work[i, k] = 0.0
            for m in range(n_rows):
                work[i, k] += turned[i * n_rows + m] * class_basis[k, m]
    for j in range(size):
        for k in range(n_rows):
            total = 0.0
            for i in range(size):
                total += basis[j, i] * work[i, k]
            out[j, k] = total
