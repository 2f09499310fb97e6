"""The compiled backend: every kernel on all rows, on the threads there are.

Same functions as `reference`. The dtype of `theta` is that of the arithmetic within a
block of rows, whatever that of X; float32 is twice as fast. Sums over blocks of dense rows
are float64 still, sums over blocks of a range of sparse rows are not. Results are float64.
They do not depend on the number of threads: rows are cut by shape alone and partial sums
are added in order.
"""

import functools
import operator

import numpy as np

from . import _chunks, _csr, _predict
from ._blas import one_blas_thread
from ._columns import csr_summary, dense_summary
from ._descent import (
    coordinate_descent,
    group_descent,
    kronecker_descent,
    kronecker_group_descent,
)
from ._hessian import hessian_of
from ._launch import chunk_bounds, launch
from ._linear import (
    add_up,
    centred_gram,
    centred_product,
    combination,
    empty_vectors,
    inner_products,
    kept,
    product,
    set_vector,
)
from ._passes import (
    centred,
    class_columns,
    count_classes,
    csr_pass,
    dense_pass,
    entries_per_row,
    mirrored,
    padded_shape,
    rows_per_block,
    uncentred,
)
from ._products import padded
from ._rates import Rates
from ._rows import make_rows
from ._rows import read_only as place

__all__ = [
    "RATES", "centred_gram", "centred_product", "column_summary", "combination",
    "coordinate_descent", "curvature", "empty_vectors", "group_descent", "hess_prod", "hessian",
    "inner_products", "kept", "kronecker_descent", "kronecker_group_descent", "make_rows",
    "one_blas_thread", "place", "predictions", "product", "set_vector", "value_grad",
    "value_grad_hessian",
]

# Of an ordinary two-core machine.
RATES = Rates(
    product=1e11, sparse_product=1e10, factor=3e10, memory=3e10, softmax=2e8, pass_seconds=0.0
)

_KINDS = {
    "logits": _predict.LOGITS,
    "probabilities": _predict.PROBABILITIES,
    "log_probabilities": _predict.LOG_PROBABILITIES,
}


def column_summary(rows, weight):
    """Weighted column sums of X and the range of its columns; see `reference.column_summary`."""
    work = 2 * entries_per_row(rows) * rows.n_samples
    bounds = chunk_bounds(rows.n_samples, _csr.CSR_BLOCK, 24 * rows.n_features, work)

    def summary(start, stop):
        if not rows.is_sparse:
            return dense_summary(rows.dense[start:stop], weight[start:stop])
        return csr_summary(
            rows.data, rows.indices, rows.indptr[start:stop + 1], rows.n_features,
            weight[start:stop],
        )

    sums, ranges = zip(*launch(summary, bounds, work), strict=True)
    return add_up(np.array(sums)), functools.reduce(operator.add, ranges)


def value_grad(rows, y, weight, shift, theta):
    """Loss, gradient, number of errors; see `reference.value_grad`."""
    if not rows.is_sparse:
        return _value_grad(rows, y, weight, shift, theta, 0)[:3]
    raw = uncentred(theta, shift)
    (grad_t,), parts = csr_pass(
        _csr.value_grad_csr, (y, weight, raw, count_classes(theta)), rows, [raw.shape],
        4 * len(theta) * entries_per_row(rows), theta.dtype,
    )
    grad = centred(grad_t, theta, shift)
    return sum(part[0] for part in parts), grad, sum(part[1] for part in parts)


def value_grad_hessian(rows, y, weight, shift, theta):
    """`value_grad` and the dense Hessian; see `reference.value_grad_hessian`."""
    n_classes = count_classes(theta)
    n_pairs = n_classes * (n_classes - 1) // 2
    loss, grad, n_errors, pairs = _value_grad(rows, y, weight, shift, theta, n_pairs)
    return loss, grad, n_errors, _assembled(mirrored(pairs), len(theta))


def _value_grad(rows, y, weight, shift, theta, n_pairs):
    """Both of the above in one pass over blocks; the Hessian as `_chunks.value_grad` has it."""
    width = theta.shape[1]
    n_rows, columns = padded_shape(theta)
    (grad, pairs), parts = dense_pass(
        _chunks.value_grad, (y, weight, shift, class_columns(theta), count_classes(theta)), rows,
        theta, [(n_rows, columns), (n_pairs, width, columns)],
        4 * n_rows * entries_per_row(rows) + n_pairs * width**2,
    )
    loss, n_errors = sum(part[0] for part in parts), sum(part[1] for part in parts)
    return loss, np.ascontiguousarray(grad[:, :width]), n_errors, pairs[:, :, :width]


def _assembled(pairs, n_rows):
    """The Hessian from its negated blocks (k, m), k < m."""
    width = pairs.shape[-1]
    if n_rows == 1:
        return pairs[0]
    out = np.zeros((n_rows, width, n_rows, width))
    first = 0
    for k in range(n_rows):
        others = pairs[first:first + n_rows - 1 - k]    # of k and every m > k
        first += len(others)
        np.negative(others.swapaxes(0, 1), out=out[k, :, k + 1:])
        np.negative(others, out=out[k + 1:, :, k])
        out[k, :, k] = -out[k].sum(axis=1)    # still zero itself
    return out.reshape(n_rows * width, n_rows * width)


def hessian(rows, weight, shift, theta, index):
    """The Hessian in some coefficients; see `reference.hessian`."""
    def whole():
        y = np.zeros(rows.n_samples, dtype=np.int32)    # the Hessian does not depend on it
        return value_grad_hessian(rows, y, weight, shift, theta)[3]

    return hessian_of(rows, weight, shift, theta, index, whole)


def hess_prod(rows, weight, shift, theta, direction):
    """Hessian of the loss times `direction`; see `reference.hess_prod`."""
    flops = 6 * len(theta) * entries_per_row(rows)
    if rows.is_sparse:
        args = weight, uncentred(theta, shift), uncentred(direction, shift), count_classes(theta)
        (out_t,), _ = csr_pass(
            _csr.hess_prod_csr, args, rows, [args[1].shape], flops, theta.dtype
        )
        return centred(out_t, theta, shift)
    args = weight, shift, class_columns(theta), class_columns(direction), count_classes(theta)
    (out,), _ = dense_pass(
        _chunks.hess_prod, args, rows, theta, [padded_shape(theta)], flops
    )
    return np.ascontiguousarray(out[:, :theta.shape[1]])


def curvature(rows, weight, shift, theta, full, full_classes=True):
    """Kronecker factors of the Hessian; see `reference.curvature`."""
    width, n_classes = theta.shape[1], count_classes(theta)
    full_classes = full_classes or len(theta) == 1
    class_shape = n_classes if full_classes else 1, padded(n_classes, theta.itemsize)
    of_classes = n_classes if full_classes else 1
    if rows.is_sparse and not full:
        flops = 2 * n_classes * (of_classes + entries_per_row(rows))
        (classes, moments), _ = csr_pass(
            _csr.curvature_csr, (weight, uncentred(theta, shift), n_classes), rows,
            [class_shape, (2, width)], flops,
        )
        # Centre the sums: sum w (x - m)^2 = sum w x^2 - m (2 sum w x - m sum w).
        sums, total = moments[0, :-1], moments[0, -1]
        moments[1, :-1] -= shift * (2 * sums - shift * total)
        np.maximum(moments[1], 0.0, out=moments[1])
        moments[0, :-1] -= shift * total
    else:
        columns = padded(width, theta.itemsize)
        flops = 2 * width * (width + n_classes) + 2 * n_classes * of_classes
        (classes, moments), _ = dense_pass(
            _chunks.curvature, (weight, shift, class_columns(theta), n_classes, full), rows,
            theta, [class_shape, (width if full else 2, columns)], flops,
        )
        moments = moments[:, :width]
        if full:
            moments = mirrored(moments)
    if not full_classes:
        return classes[0, :n_classes].copy(), moments
    classes = mirrored(np.tril(classes[:, :n_classes], -1))
    # Rows sum to zero. Not by q - q q, which cancels where q is close to 1.
    classes[np.diag_indices(n_classes)] = -classes.sum(axis=1)
    if len(theta) == 1:
        # Of [q, -q; -q, q] (1 - q) the binary model has one entry, and half the trace.
        return classes[1:, 1:].copy(), moments / 2
    return classes, moments


def predictions(rows, theta, kind):
    """Logits or what follows from them, and whether they are finite; see `reference`."""
    n_classes = count_classes(theta)
    width = padded(theta.shape[1], theta.itemsize)
    block = _csr.CSR_BLOCK if rows.is_sparse else rows_per_block(width, n_classes, theta.itemsize)
    work = 2 * n_classes * entries_per_row(rows) * rows.n_samples
    out = np.empty((rows.n_samples, n_classes), dtype=theta.dtype)
    calls = [
        (
            rows, np.zeros(rows.n_features), class_columns(theta), n_classes, width,
            _KINDS[kind], block, start, stop, out,
        )
        for start, stop in chunk_bounds(rows.n_samples, block, 0, work)
    ]
    return out, not any(launch(_predict.predictions, calls, work))
