"""Kernels over one range of dense rows where features and classes are few.

A block holds one row of X in each lane: x_t (n_features + 1, block), whose last row are ones. Then
neither features nor classes are padded to whole vector registers, X is transposed while it is
read, and logits are a product that needs no transpose.
"""

import numpy as np

from .chunks import add_own_curvatures, following_rows, spreads, weigh_pair
from .jit import inner_kernel, kernel, outlined_kernel
from .predict import LOSS, losses_or_predictions
from .simd_tall import DOT_HEIGHTS, DOT_WIDTHS, add_dots, load_transposed
from .softmax import curved, probabilities, residuals
from .tiles import add_product_of_transposed, aligned_empty, lanes_of, product_steps

# Largest numbers of features and of classes. Blocks of more features have fewer rows, and the sums
# over their lanes would take longer than padding does.
MAX_FEATURES, MAX_CLASSES = 64, 32


def serves(n_features, n_classes):
    """Return whether the kernels here serve dense rows of this shape."""
    return n_features <= MAX_FEATURES and n_classes <= MAX_CLASSES


@outlined_kernel
def load(source, first, last, shift, x_t, ahead):
    """Set x_t[:n_features, :last - first] to (source[first:last] - shift).T, and zeros after.

    ahead : int
        Each row prefetches the one that comes so many rows later; 0 for none.
    """
    n_features, size, block = source.shape[1], last - first, x_t.shape[1]
    if not (
        0 <= first <= last <= len(source) and size <= block
        and len(x_t) == n_features + 1 and len(shift) == n_features
    ):
        raise ValueError("load: shapes do not fit")
    lanes = lanes_of(x_t)
    if size >= lanes and n_features >= lanes:
        # The last tiles overlap others where lengths are no multiples of the lanes.
        for row in range(0, size, lanes):
            place = min(row, size - lanes)
            for column in range(0, n_features, lanes):
                load_transposed(
                    source, first + place, shift, min(column, n_features - lanes), x_t, place,
                    ahead,
                )
    else:
        for i in range(size):
            for j in range(n_features):
                x_t[j, i] = source[first + i, j] - shift[j]
    for j in range(n_features + 1):
        for i in range(size, block):
            x_t[j, i] = 0.0


@inner_kernel
def _dot_steps(n_rows, n_columns, n_vectors):
    """Return the number of steps of the tiles of `add_inner_products`, or a few less."""
    return -(-n_rows // DOT_HEIGHTS[0]) * -(-n_columns // DOT_WIDTHS[0]) * n_vectors


@inner_kernel
def _prefetched(n_bytes, kind, n_classes, n_rows, n_columns, n_vectors):
    """Return how many bytes of the next block the two products prefetch, of `n_bytes`.

    A step of the first fetches a cache line, one of the second two. Where these are too few, as
    for few classes, both numbers are 0, and `load` prefetches instead.
    """
    first = 64 * product_steps(n_classes, n_columns, n_vectors)
    second = 128 * _dot_steps(n_rows, n_columns, n_vectors) if kind == LOSS else 0
    if first + second < n_bytes:
        return 0, 0
    early = n_bytes * first // (first + second)
    return early, n_bytes - early if kind == LOSS else 0


@outlined_kernel
def add_inner_products(left, right, out, is_lower, address, n_bytes):
    """Add left @ right.T to out, and prefetch the `n_bytes` of memory at `address` into L2.

    If `is_lower`, only the part of `out` below and on the diagonal is valid.

    left, right : (n_rows, block) and (n_columns, block)
    out : (n_rows, n_columns) or wider
    """
    n_rows, n_columns, length = len(left), len(right), left.shape[1]
    if not (
        right.shape[1] == length and length % lanes_of(left) == 0
        and len(out) >= n_rows and out.shape[1] >= n_columns
    ):
        raise ValueError("add_inner_products: shapes do not fit")
    stride = 0
    if n_bytes > 0:
        stride = n_bytes // _dot_steps(n_rows, n_columns, length // lanes_of(left)) + 1
    row = 0
    while row < n_rows:
        # As even as possible: five rows are 3 + 2.
        n_tiles = -(-(n_rows - row) // DOT_HEIGHTS[0])
        height = -(-(n_rows - row) // n_tiles)
        column = 0
        while column < n_columns and (is_lower == 0 or column < row + height):
            width = DOT_WIDTHS[0]
            for narrower in DOT_WIDTHS:
                if column + width > n_columns:
                    width = narrower
            add_dots(
                height, width, left, row, right, column, length, out, address, stride
            )
            address += length // lanes_of(left) * stride
            column += width
        row += height


@inner_kernel
def _weighted(weights, x_t, wx_t):
    """Set wx_t to the columns of x_t, each row of X times its weight."""
    for j in range(len(x_t)):
        for i in range(x_t.shape[1]):
            wx_t[j, i] = weights[i] * x_t[j, i]


@inner_kernel
def _add_pairs(exponentials, size, work, x_t, wx_t, pairs):
    """Add a block's share of the Hessian; see `chunks.add_pairs`."""
    n_classes = len(exponentials)
    pair = 0
    for k in range(n_classes):
        for m in range(k + 1, n_classes):
            weigh_pair(exponentials, k, m, size, work)
            _weighted(work[3], x_t, wx_t)
            add_inner_products(
                wx_t, x_t, pairs[pair], np.int64(1), x_t.ctypes.data, np.int64(0)
            )
            pair += 1


@inner_kernel
def _products(theta_t, x_t, logits, address, n_bytes):
    """Compute logits = theta @ x_t; `address` and `n_bytes` as in `add_product`."""
    logits[:] = 0.0
    add_product_of_transposed(theta_t, x_t, logits, address, n_bytes)


@kernel
def evaluate_tall(
    rows, y, weight, shift, theta_t, n_classes, kind, told, block, start, stop, out, pairs
):
    """Compute what `chunks.evaluate` does, with the same arguments."""
    n_columns = len(theta_t)
    x_t = aligned_empty(n_columns, block, theta_t)
    wx_t = aligned_empty(n_columns if len(pairs) > 0 else 1, block, theta_t)
    logits, work = aligned_empty(n_classes, block, theta_t), aligned_empty(4, block, theta_t)
    residual = logits[n_classes - len(out):]
    x_t[n_columns - 1] = 1.0
    if kind == LOSS:
        out[:] = 0.0
        pairs[:] = 0.0
    losses = np.empty(block)
    _, n_bytes = following_rows(rows, 0, block)
    early, late = _prefetched(
        n_bytes, kind, n_classes, len(out), n_columns, block // lanes_of(x_t)
    )
    rows_ahead = np.int64(block if early == 0 else 0)
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, block):
        last = min(first + block, stop)
        size = last - first
        load(rows.dense, first, last, shift, x_t, rows_ahead)
        ahead, _ = following_rows(rows, last, last)
        _products(theta_t, x_t, logits, ahead, early)
        part, n = losses_or_predictions(logits, kind, y, weight, first, size, work, losses, told)
        loss += part
        n_errors += n
        if kind == LOSS:
            if len(pairs) > 0:
                _add_pairs(logits, size, work, x_t, wx_t, pairs)
            residuals(logits, y, first, size, work)
            add_inner_products(residual, x_t, out, np.int64(0), ahead + early, late)
    return loss, n_errors


@kernel
def hess_prod_tall(rows, weight, shift, theta_t, direction_t, n_classes, block, start, stop, out):
    """Compute what `chunks.hess_prod` does, with the same arguments."""
    n_columns = len(theta_t)
    x_t, work = aligned_empty(n_columns, block, theta_t), aligned_empty(3, block, theta_t)
    proba = aligned_empty(n_classes, block, theta_t)
    change = aligned_empty(n_classes, block, theta_t)
    residual = change[n_classes - len(out):]
    x_t[n_columns - 1] = 1.0
    out[:] = 0.0
    address = x_t.ctypes.data
    for first in range(start, stop, block):
        last = min(first + block, stop)
        load(rows.dense, first, last, shift, x_t, np.int64(block))
        _products(theta_t, x_t, proba, address, 0)
        probabilities(proba, work)
        _products(direction_t, x_t, change, address, 0)
        curved(proba, change, weight, first, last - first, work[0])
        add_inner_products(residual, x_t, out, np.int64(0), address, np.int64(0))


@kernel
def curvature_tall(
    rows, weight, shift, theta_t, n_classes, full, block, start, stop, classes, moments
):
    """Compute what `chunks.curvature` does, with the same arguments."""
    n_columns = len(theta_t)
    x_t, work = aligned_empty(n_columns, block, theta_t), aligned_empty(4, block, theta_t)
    wx_t = aligned_empty(n_columns, block, theta_t)
    proba = aligned_empty(n_classes, block, theta_t)
    weighted = aligned_empty(n_classes, block, theta_t)
    spread = work[3]
    x_t[n_columns - 1] = 1.0
    classes[:] = 0.0
    moments[:] = 0.0
    address = x_t.ctypes.data
    for first in range(start, stop, block):
        last = min(first + block, stop)
        load(rows.dense, first, last, shift, x_t, np.int64(block))
        _products(theta_t, x_t, proba, address, 0)
        probabilities(proba, work)
        spreads(proba, weight, first, last - first, spread, weighted)
        if len(classes) == 1:
            add_own_curvatures(proba, last - first, weighted, classes)
        else:
            add_inner_products(weighted, proba, classes, np.int64(1), address, np.int64(0))
        _weighted(spread, x_t, wx_t)
        if full:
            add_inner_products(wx_t, x_t, moments, np.int64(1), address, np.int64(0))
        else:
            for j in range(n_columns):
                first_moment, second_moment = 0.0, 0.0
                for i in range(block):
                    first_moment += wx_t[j, i]
                    second_moment += wx_t[j, i] * x_t[j, i]
                moments[0, j] += first_moment
                moments[1, j] += second_moment
