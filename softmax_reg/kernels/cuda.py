"""The CUDA backend: X stays on the device if it fits, rows are walked in blocks, sums come back.

Same functions as `reference`, for dense X and what smooth penalties need. A block of rows is
centred, gets a last column of ones and is multiplied by cuBLAS; one kernel of ours turns logits
into residuals in place (`_cuda_rows`). So no n_samples x n_classes array exists. The dtype of
`theta` is that of the arithmetic in a block; sums over blocks are float64.

What solvers do with vectors and small matrices stays on the host, with the functions of `cpu`.
"""

from typing import NamedTuple

import numpy as np

from . import _cuda_rows
from ._cuda_device import ROWS_A_BLOCK, array_module, free_bytes, n_threads, to_host
from .cpu import (
    centred_gram,
    centred_product,
    combination,
    inner_products,
    one_blas_thread,
    product,
)

__all__ = [
    "centred_gram", "centred_product", "column_sums", "combination", "curvature", "hess_prod",
    "inner_products", "make_rows", "one_blas_thread", "place", "predictions", "product",
    "value_grad", "value_grad_hessian",
]

# Bytes of a block's arrays; below, cuBLAS does not run at its rate, and memory is scarce.
_BLOCK_BYTES = 2**29
_MOST_ROWS = 65_536
# Columns are padded with zeros to a multiple of this, for aligned products.
_ALIGNED = 32
# Share of the free memory that X may take; blocks, and what cuBLAS wants, take the rest.
_SHARE_OF_X = 0.7


class DeviceRows(NamedTuple):
    """X on the device; or where it does not fit, on the host, from where blocks are moved."""

    X: object    # (n_samples, n_features) float32 or float64
    n_samples: int
    n_features: int

    def block(self, part):
        """Some rows, on the device."""
        return array_module().asarray(self.X[part])


def make_rows(X):
    """Move a validated dense X to the device, once, if it fits."""
    fits = X.nbytes <= _SHARE_OF_X * free_bytes()
    return DeviceRows(array_module().asarray(X) if fits else X, *X.shape)


def place(array):
    """A copy of a vector of the rows on the device."""
    return array_module().array(array)


class _Blocks:
    """Blocks of rows as ``[x - shift, 1, 0 ...]``, in one buffer, and parameters to go with them.

    Parameters
    ----------
    rows : DeviceRows
    shift : (n_features,) on the host
    dtype : of the arithmetic
    n_columns : int
        Of other arrays with a row for each of the block's.
    """

    def __init__(self, rows, shift, dtype, n_columns):
        self.xp = array_module()
        self.rows, self.dtype = rows, np.dtype(dtype)
        self.n_features = rows.n_features
        self.width = -(-(rows.n_features + 1) // _ALIGNED) * _ALIGNED
        bytes_a_row = self.dtype.itemsize * (2 * self.width + n_columns)
        most = max(1, min(_MOST_ROWS, _BLOCK_BYTES // bytes_a_row))
        n_blocks = -(-rows.n_samples // most)
        self.size = -(-rows.n_samples // n_blocks)
        self.shift = self.xp.asarray(shift)
        self._design = self.xp.zeros((self.size, self.width), dtype=self.dtype)
        self._design[:, rows.n_features] = 1.0

    def __iter__(self):
        """(slice of rows, their design)."""
        for start in range(0, self.rows.n_samples, self.size):
            part = slice(start, min(start + self.size, self.rows.n_samples))
            design = self._design[:part.stop - part.start]
            self.xp.subtract(
                self.rows.block(part), self.shift, out=design[:, :self.n_features],
                casting="same_kind",
            )
            yield part, design

    def empty(self, n_columns):
        """An array with a row for each of a block's."""
        return self.xp.empty((self.size, n_columns), dtype=self.dtype)

    def transposed(self, theta):
        """theta as a factor of a design, (width, n_rows)."""
        out = np.zeros((self.width, len(theta)), dtype=self.dtype)
        out[:theta.shape[1]] = theta.T
        return self.xp.asarray(out)

    def zeros(self, *shape):
        """A sum over blocks."""
        return self.xp.zeros(shape, dtype=np.float64)


def _launch(multinomial, binary, logits, *arrays):
    """Run the kernel for this number of classes on all rows of `logits`."""
    n_rows, n_classes = logits.shape
    if n_classes == 1:
        binary[-(-n_rows // ROWS_A_BLOCK), ROWS_A_BLOCK](logits, *arrays)
    else:
        multinomial[n_rows, n_threads(n_classes)](logits, *arrays)


def column_sums(rows, weight):
    """Weighted column sums of X; see `reference.column_sums`."""
    xp = array_module()
    total = xp.zeros(rows.n_features)
    weight = xp.asarray(weight)
    size = max(1, min(_MOST_ROWS, _BLOCK_BYTES // (8 * rows.n_features)))
    for start in range(0, rows.n_samples, size):
        part = slice(start, start + size)
        total += weight[part] @ rows.block(part).astype(np.float64, copy=False)
    return to_host(total)


def value_grad(rows, y, weight, shift, theta):
    """Loss, gradient, number of errors; see `reference.value_grad`."""
    return _value_grad(rows, y, weight, shift, theta, with_hessian=False)[:3]


def value_grad_hessian(rows, y, weight, shift, theta):
    """`value_grad` and the dense Hessian; see `reference.value_grad_hessian`."""
    return _value_grad(rows, y, weight, shift, theta, with_hessian=True)


def _value_grad(rows, y, weight, shift, theta, with_hessian):
    n_rows, width = theta.shape
    blocks = _Blocks(rows, shift, theta.dtype, 3 * n_rows)
    xp = blocks.xp
    factor, y, weight = blocks.transposed(theta), xp.asarray(y), xp.asarray(weight)
    buffer = blocks.empty(n_rows)
    losses, wrong = xp.empty(rows.n_samples), xp.empty(rows.n_samples, dtype=np.int32)
    grad = blocks.zeros(n_rows, blocks.width)
    hessian = blocks.zeros(n_rows, width, n_rows, width) if with_hessian else None
    for part, design in blocks:
        logits = buffer[:len(design)]
        xp.matmul(design, factor, out=logits)
        if with_hessian:
            _add_hessian(hessian, logits.copy(), weight[part], design[:, :width], xp)
        _launch(_cuda_rows.residuals, _cuda_rows.binary_residuals, logits, y[part],
                weight[part], losses[part], wrong[part])
        grad += logits.T @ design
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
    blocks = _Blocks(rows, shift, theta.dtype, 2 * n_rows)
    xp = blocks.xp
    factors = blocks.transposed(theta), blocks.transposed(direction)
    buffers, weight = (blocks.empty(n_rows), blocks.empty(n_rows)), xp.asarray(weight)
    out = blocks.zeros(n_rows, blocks.width)
    for part, design in blocks:
        logits, change = (buffer[:len(design)] for buffer in buffers)
        xp.matmul(design, factors[0], out=logits)
        xp.matmul(design, factors[1], out=change)
        _launch(_cuda_rows.hessian_rows, _cuda_rows.binary_hessian_rows, logits, change,
                weight[part])
        out += change.T @ design
    return np.ascontiguousarray(to_host(out)[:, :width])


def curvature(rows, weight, shift, theta, full, full_classes=True):
    """Kronecker factors of the Hessian; see `reference.curvature`."""
    n_rows, width = theta.shape
    blocks = _Blocks(rows, shift, theta.dtype, 2 * n_rows)
    xp = blocks.xp
    factor, buffer, weight = blocks.transposed(theta), blocks.empty(n_rows), xp.asarray(weight)
    spread = xp.empty(blocks.size)
    full_classes = full_classes or n_rows == 1
    classes = blocks.zeros(*(n_rows, n_rows) if full_classes else (n_rows,))
    moments = blocks.zeros(blocks.width if full else 2, blocks.width)
    for part, design in blocks:
        logits, some, share = buffer[:len(design)], spread[:len(design)], weight[part]
        xp.matmul(design, factor, out=logits)
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
    """Logits or what follows from them, and whether they are finite; see `reference`."""
    n_rows = len(theta)
    blocks = _Blocks(rows, np.zeros(rows.n_features), theta.dtype, 2 * n_rows)
    xp, factor = blocks.xp, blocks.transposed(theta)
    out = np.empty((rows.n_samples, max(2, n_rows)), dtype=theta.dtype)
    all_finite = True
    for part, design in blocks:
        logits = design @ factor
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
        out[part] = to_host(logits)
    return out, all_finite
