"""The compiled backend: every kernel on all rows, on the threads there are.

Same functions as `reference`. All arithmetic is float64; a float32 X is
converted block by block. Results do not depend on the number of threads:
rows are cut by shape alone and partial sums are added in order.
"""

import numpy as np

from . import _chunks
from ._blocks import BLOCK
from ._launch import chunk_bounds, launch
from ._rows import make_rows

__all__ = ["column_sums", "curvature", "hess_prod", "hessian", "make_rows", "value_grad"]


def _sum_over_chunks(kernel, args, rows, shapes, flops_per_row):
    """Run ``kernel(*args, start, stop, *outs)`` on every chunk and add what it wrote.

    Returns the summed outs and the list of what each call returned.
    """
    n_values = sum(int(np.prod(shape)) for shape in shapes)
    bounds = chunk_bounds(rows.n_samples, BLOCK, 8 * n_values)
    outs = [np.empty((len(bounds), *shape)) for shape in shapes]
    calls = [
        (*args, start, stop, *(out[c] for out in outs)) for c, (start, stop) in enumerate(bounds)
    ]
    returned = launch(kernel, calls, flops_per_row * rows.n_samples)
    return [out.sum(axis=0) for out in outs], returned


def _mirrored(lower):
    """The symmetric matrices whose lower triangles are given; last two axes."""
    return np.tril(lower) + np.swapaxes(np.tril(lower, -1), -1, -2)


def _entries_per_row(rows):
    if rows.is_sparse:
        return 1 + len(rows.data) / max(1, rows.n_samples)
    return 1 + rows.n_features


def _uncentred(theta, shift):
    """theta.T for raw rows: logits of x - shift under `theta` are those of x."""
    raw = theta.T.copy()
    raw[-1] -= np.einsum("kj,j->k", theta[:, :-1], shift)
    return raw


def _centred(out_t, shift):
    """Gradient for raw rows, transposed back to that for x - shift."""
    out = out_t.T.copy()
    out[:, :-1] -= out[:, -1:] * shift
    return out


def column_sums(rows, weight):
    """Weighted column sums of X; see `reference.column_sums`."""
    (sums,), _ = _sum_over_chunks(
        _chunks.column_sums, (rows, weight), rows, [(rows.n_features,)], 2 * _entries_per_row(rows)
    )
    return sums


def value_grad(rows, y, weight, shift, theta):
    """Loss, gradient, number of errors; see `reference.value_grad`."""
    flops = 4 * theta.shape[0] * _entries_per_row(rows)
    if rows.is_sparse:
        raw = _uncentred(theta, shift)
        (grad_t,), parts = _sum_over_chunks(
            _chunks.value_grad_csr, (rows, y, weight, raw), rows, [raw.shape], flops
        )
        grad = _centred(grad_t, shift)
    else:
        (grad,), parts = _sum_over_chunks(
            _chunks.value_grad, (rows, y, weight, shift, theta), rows, [theta.shape], flops
        )
    return sum(part[0] for part in parts), grad, sum(part[1] for part in parts)


def hess_prod(rows, weight, shift, theta, direction):
    """Hessian of the loss times `direction`; see `reference.hess_prod`."""
    flops = 6 * theta.shape[0] * _entries_per_row(rows)
    if rows.is_sparse:
        args = rows, weight, _uncentred(theta, shift), _uncentred(direction, shift)
        (out_t,), _ = _sum_over_chunks(
            _chunks.hess_prod_csr, args, rows, [theta.T.shape], flops
        )
        return _centred(out_t, shift)
    args = rows, weight, shift, theta, direction
    (out,), _ = _sum_over_chunks(_chunks.hess_prod, args, rows, [theta.shape], flops)
    return out


def curvature(rows, weight, shift, theta, full):
    """Kronecker factors of the Hessian; see `reference.curvature`."""
    n_rows, width = theta.shape
    if full:
        shapes = [(n_rows, n_rows), (width, width)]
        flops = 2 * width * (width + n_rows) + 2 * n_rows**2
    else:
        shapes = [(n_rows, n_rows), (2, width)]
        flops = 2 * n_rows * (n_rows + _entries_per_row(rows))
    if rows.is_sparse and not full:
        (classes, moments), _ = _sum_over_chunks(
            _chunks.curvature_csr, (rows, weight, _uncentred(theta, shift)), rows, shapes, flops
        )
        # Centre the sums: sum w (x - m)^2 = sum w x^2 - m (2 sum w x - m sum w).
        sums, total = moments[0, :-1], moments[0, -1]
        moments[1, :-1] -= shift * (2 * sums - shift * total)
        np.maximum(moments[1], 0.0, out=moments[1])
        moments[0, :-1] -= shift * total
        return _mirrored(classes), moments
    (classes, moments), _ = _sum_over_chunks(
        _chunks.curvature, (rows, weight, shift, theta, full), rows, shapes, flops
    )
    return _mirrored(classes), _mirrored(moments) if full else moments


def hessian(rows, weight, shift, theta):
    """Dense Hessian of the loss; see `reference.hessian`."""
    n_rows, width = theta.shape
    n_pairs = n_rows * (n_rows + 1) // 2
    (pairs,), _ = _sum_over_chunks(
        _chunks.hessian,
        (rows, weight, shift, theta),
        rows,
        [(n_pairs, width, width)],
        n_pairs * width**2,
    )
    pairs = _mirrored(pairs)
    out = np.empty((n_rows, width, n_rows, width))
    for pair, (k, m) in enumerate(zip(*np.triu_indices(n_rows), strict=True)):
        out[k, :, m] = pairs[pair]
        out[m, :, k] = pairs[pair]
    return out.reshape(n_rows * width, n_rows * width)
