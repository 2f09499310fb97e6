"""The CUDA backend: X stays on the device if it fits, rows are walked in blocks, sums come back.

Same functions as `reference`, for dense X and what smooth penalties need. A block of rows is
centred, gets a last column of ones and is multiplied by cuBLAS; one kernel of ours turns logits
into residuals in place (`_cuda_rows`). So no n_samples x n_classes array exists. The dtype of
`theta` is that of the arithmetic in a block; sums over blocks are float64.

Long vectors and large matrices that solvers keep are on the device too (`_cuda_linear`);
factorisations and what else they do with vectors stay on the host.
"""

import functools
from types import SimpleNamespace

import numpy as np

from . import _cuda_rows
from ._columns import ColumnRange
from ._cuda_blocks import Blocks, make_rows, rows_at_a_time
from ._cuda_device import ROWS_A_BLOCK, array_module, launch, n_threads, to_host
from ._cuda_linear import combination, empty_vectors, inner_products, kept, product, set_vector
from ._rates import Rates
from .cpu import centred_gram, centred_product, one_blas_thread

__all__ = [
    "RATES", "centred_gram", "centred_product", "column_summary", "combination", "curvature",
    "empty_vectors", "hess_prod", "inner_products", "kept", "make_rows", "one_blas_thread",
    "place", "predictions", "product", "set_vector", "value_grad", "value_grad_hessian",
]

# By the data sheets of data-centre GPUs, float64, with their hosts' factorisations; not
# measured.
RATES = Rates(
    product=3e13, sparse_product=1e10, factor=3e10, memory=2e12, softmax=2e10, pass_seconds=1e-3
)


def place(array):
    """A copy of a vector of the rows on the device."""
    return array_module().array(array)


def _launch(multinomial, binary, logits, *arrays):
    """Run the kernel for this number of classes on all rows of `logits`."""
    n_rows, n_classes = logits.shape
    if n_classes == 1:
        launch(binary, -(-n_rows // ROWS_A_BLOCK), ROWS_A_BLOCK, logits, *arrays)
    else:
        launch(multinomial, n_rows, n_threads(n_classes), logits, *arrays)


def column_summary(rows, weight):
    """Weighted column sums of X and the range of its columns; see `reference.column_summary`."""
    xp = array_module()
    total = xp.zeros(rows.n_features)
    low, high = xp.full(rows.n_features, np.inf), xp.full(rows.n_features, -np.inf)
    weight = xp.asarray(weight)
    for part, X in rows.blocks(rows_at_a_time(8 * rows.n_features)):
        X = X.astype(np.float64, copy=False)
        total += weight[part] @ X
        counts = (weight[part] > 0)[:, np.newaxis]
        low = xp.minimum(low, xp.where(counts, X, np.inf).min(axis=0))
        high = xp.maximum(high, xp.where(counts, X, -np.inf).max(axis=0))
    return to_host(total), ColumnRange(to_host(low), to_host(high))


def value_grad(rows, y, weight, shift, theta):
    """Loss, gradient, number of errors; see `reference.value_grad`."""
    return _value_grad(rows, y, weight, shift, theta, with_hessian=False)[:3]


def value_grad_hessian(rows, y, weight, shift, theta):
    """`value_grad` and the dense Hessian; see `reference.value_grad_hessian`."""
    return _value_grad(rows, y, weight, shift, theta, with_hessian=True)


def _value_grad(rows, y, weight, shift, theta, with_hessian):
    n_rows, width = theta.shape
    blocks = Blocks(rows, shift, theta.dtype, 3 * n_rows)
    xp = blocks.xp
    factor, y, weight = blocks.transposed(theta), xp.asarray(y), xp.asarray(weight)
    buffer = blocks.empty(n_rows)
    losses, wrong = xp.empty(rows.n_samples), xp.empty(rows.n_samples, dtype=np.int32)
    grad = blocks.zeros(n_rows, blocks.width)
    hessian = blocks.zeros(n_rows, width, n_rows, width) if with_hessian else None
    for part, design in blocks:
        logits = buffer[:len(design)]
        blocks.product(design, factor, out=logits)
        if with_hessian:
            _add_hessian(hessian, logits.copy(), weight[part], design[:, :width], xp)
        _launch(_cuda_rows.residuals, _cuda_rows.binary_residuals, logits, y[part],
                weight[part], losses[part], wrong[part])
        grad += blocks.product(logits.T, design)
    out = float(losses.sum()), np.ascontiguousarray(to_host(grad)[:, :width]), int(wrong.sum())
    return *out, None if hessian is None else to_host(hessian).reshape(theta.size, theta.size)


def _add_hessian(hessian, logits, weight, design, xp):
    """Add a block's; between classes, and from those the diagonal blocks.

    Each row's sum over the classes is zero: q - q^2 would cancel where q is near 1.
    """
    n_rows = len(hessian)
    spread = xp.empty(len(logits))
    _launch(_cuda_rows.spreads, _cuda_rows.binary_spreads, logits, weight, spread)
    if n_rows == 1:
        hessian[0, :, 0] += (spread[:, np.newaxis] * design).T @ design
        return
    for k in range(n_rows):
        for m in range(k + 1, n_rows):
            scale = weight * logits[:, k] * logits[:, m]
            pair = (scale[:, np.newaxis] * design).T @ design
            hessian[k, :, m] -= pair
            hessian[m, :, k] -= pair
            hessian[k, :, k] += pair
            hessian[m, :, m] += pair


def hess_prod(rows, weight, shift, theta, direction):
    """Hessian of the loss times `direction`; see `reference.hess_prod`."""
    n_rows, width = theta.shape
    blocks = Blocks(rows, shift, theta.dtype, 2 * n_rows)
    xp = blocks.xp
    factors = blocks.transposed(theta), blocks.transposed(direction)
    buffers, weight = (blocks.empty(n_rows), blocks.empty(n_rows)), xp.asarray(weight)
    out = blocks.zeros(n_rows, blocks.width)
    for part, design in blocks:
        logits, change = (buffer[:len(design)] for buffer in buffers)
        blocks.product(design, factors[0], out=logits)
        blocks.product(design, factors[1], out=change)
        _launch(_cuda_rows.hessian_rows, _cuda_rows.binary_hessian_rows, logits, change,
                weight[part])
        out += blocks.product(change.T, design)
    return np.ascontiguousarray(to_host(out)[:, :width])


def curvature(rows, weight, shift, theta, full, full_classes=True):
    """Kronecker factors of the Hessian; see `reference.curvature`."""
    n_rows, width = theta.shape
    blocks = Blocks(rows, shift, theta.dtype, 2 * n_rows)
    xp = blocks.xp
    factor, buffer, weight = blocks.transposed(theta), blocks.empty(n_rows), xp.asarray(weight)
    spread = xp.empty(blocks.size)
    full_classes = full_classes or n_rows == 1
    classes = blocks.zeros(*(n_rows, n_rows) if full_classes else (n_rows,))
    moments = blocks.zeros(blocks.width if full else 2, blocks.width)
    for part, design in blocks:
        logits, some, share = buffer[:len(design)], spread[:len(design)], weight[part]
        blocks.product(design, factor, out=logits)
        _launch(_cuda_rows.spreads, _cuda_rows.binary_spreads, logits, share, some)
        scale = some.astype(blocks.dtype)[:, np.newaxis]
        if full:
            moments += (scale * design).T @ design
        else:
            moments[0] += (scale * design).sum(axis=0)
            moments[1] += (scale * design * design).sum(axis=0)
        share = share.astype(blocks.dtype)[:, np.newaxis]
        if n_rows == 1:
            classes += some.sum()
        elif full_classes:
            classes -= (share * logits).T @ logits
        else:
            classes += (share * logits * (1 - logits)).sum(axis=0)
    classes, moments = to_host(classes), to_host(moments)
    moments = moments[:width, :width] if full else moments[:, :width]
    if full_classes and n_rows > 1:
        # Rows sum to zero. Not by q - q q, which cancels where q is close to 1.
        np.fill_diagonal(classes, 0.0)
        np.fill_diagonal(classes, -classes.sum(axis=1))
    return classes, np.ascontiguousarray(moments)


def predictions(rows, theta, kind):
    """Logits or what follows from them, and whether they are finite; see `reference`.

    On the device where the rows are there.
    """
    n_rows = len(theta)
    blocks = Blocks(rows, np.zeros(rows.n_features), theta.dtype, 2 * n_rows)
    xp, factor = blocks.xp, blocks.transposed(theta)
    shape = rows.n_samples, max(2, n_rows)
    out = (xp if rows.is_resident else np).empty(shape, dtype=theta.dtype)
    all_finite = True
    for part, design in blocks:
        logits = blocks.product(design, factor)
        if n_rows == 1:
            logits = xp.concatenate([xp.zeros_like(logits), logits], axis=1)
        all_finite = all_finite and bool(xp.isfinite(logits).all())
        if kind != "logits":
            logits -= logits.max(axis=1, keepdims=True)
            total = xp.exp(logits).sum(axis=1, keepdims=True)
            if kind == "probabilities":
                logits = xp.exp(logits) / total
            else:
                logits -= xp.log(total)
        out[part] = logits if rows.is_resident else to_host(logits)
    return out, all_finite


@functools.cache
def with_split_products():
    """This backend with float32 products on tensor cores, in halves; see `_cuda_tf32`."""
    functions = {name: globals()[name] for name in __all__}
    functions["make_rows"] = functools.partial(make_rows, is_split=True)
    return SimpleNamespace(**functions)
