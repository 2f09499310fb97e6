"""Rows on a GPU: X stays on the device if it fits, and only sums return to the host.

X is dense, and the passes are those of smooth penalties. A pass takes rows in blocks: a block is
centred, gets a last column of ones and is multiplied by cuBLAS. One CUDA kernel replaces logits
with residuals in place (`cuda.softmax`). So no n_samples x n_classes array exists. The dtype of
`theta` is that of the arithmetic in a block; sums over blocks are float64.

Long vectors and large matrices that solvers keep are on the device too (`cuda.algebra`).
Factorisations and other work of solvers on vectors stay on the host.
"""

import numpy as np

from ..cuda import algebra
from ..cuda import softmax as device_kernels
from ..cuda.blocks import Blocks, rows_at_a_time
from ..cuda.device import (
    ROWS_A_BLOCK,
    array_module,
    free_bytes,
    launch,
    moved,
    n_threads,
    to_device,
    to_host,
)
from ..kernels.columns import ColumnRange
from .algebra import HostAlgebra
from .base import Rates, Rows
from .device_input import as_numpy
from .row_blocks import RowBlocks

# Largest share of the free memory for X. The rest is for blocks and cuBLAS's workspace.
_SHARE_OF_X = 0.7


class DeviceAlgebra(HostAlgebra):
    """Products of large matrices and long vectors on the device; see `cuda.algebra`."""

    product = staticmethod(algebra.product)
    resident = staticmethod(algebra.resident)
    empty_vectors = staticmethod(algebra.empty_vectors)
    set_vector = staticmethod(algebra.set_vector)
    inner_products = staticmethod(algebra.inner_products)
    combination = staticmethod(algebra.combination)


class DeviceRows(Rows):
    """Rows of a dense X on the device; where X does not fit, blocks are moved from the host.

    Parameters
    ----------
    X : ndarray, RowBlocks or array on the device, of shape (n_samples, n_features)
        float32 or float64, C-ordered. X is moved once, if it fits and is on the host.
    is_split : bool, default=False
        Whether float32 products are those of `cuda.tf32`, split for tensor cores.

    Attributes
    ----------
    is_resident : bool
        Whether X is on the device.
    """

    # Rates of data-centre GPUs in float64, from data sheets, not measured. `factor` is the host's
    # rate, because factorisations run there.
    rates = Rates(
        product=3e13, sparse_product=1e10, factor=3e10, memory=2e12, softmax=2e10,
        pass_seconds=1e-3,
    )
    algebra = DeviceAlgebra()

    def __init__(self, X, is_split=False):
        super().__init__(X.shape, X.dtype, X.size, False)
        self.is_split = is_split
        on_host = isinstance(X, (np.ndarray, RowBlocks))
        self.is_resident = not on_host or X.nbytes <= _SHARE_OF_X * free_bytes()
        self.X = X
        if self.is_resident:
            self.X = self._filled(X) if isinstance(X, RowBlocks) else to_device(X)

    def _filled(self, source):
        """Return `RowBlocks` as one array on the device."""
        X = array_module().empty(source.shape, source.dtype)
        for part, block in moved(source, self._parts(rows_at_a_time(2 * X.nbytes // len(X)))):
            X[part] = block
        return X

    def _parts(self, size):
        starts = range(0, self.n_samples, size)
        return [slice(start, min(start + size, self.n_samples)) for start in starts]

    def blocks(self, size):
        """Yield (slice of rows, those rows on the device), `size` at a time."""
        if not self.is_resident:
            yield from moved(self.X, self._parts(size))
            return
        for part in self._parts(size):
            yield part, self.X[part]

    def _placed(self, vector):
        return array_module().array(vector)

    def as_dense(self):
        """See `Rows.as_dense`."""
        return None if isinstance(self.X, RowBlocks) else as_numpy(self.X)

    def like(self, X):
        """See `Rows.like`."""
        return DeviceRows(X, self.is_split)

    def columns(self, index):
        """See `Rows.columns`."""
        return self.like(self.X.take(index, axis=1))

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        xp = array_module()
        total = xp.zeros(self.n_features)
        low, high = xp.full(self.n_features, np.inf), xp.full(self.n_features, -np.inf)
        weight = xp.asarray(sample.weight)
        for part, X in self.blocks(rows_at_a_time(8 * self.n_features)):
            X = X.astype(np.float64, copy=False)
            total += weight[part] @ X
            counts = (weight[part] > 0)[:, np.newaxis]
            low = xp.minimum(low, xp.where(counts, X, np.inf).min(axis=0))
            high = xp.maximum(high, xp.where(counts, X, -np.inf).max(axis=0))
        total = to_host(total)
        if isinstance(self.X, RowBlocks) and not np.all(np.isfinite(total)):
            self.X.check_finite()    # does not raise if X is finite and only the sums overflow
        return total, ColumnRange(to_host(low), to_host(high))

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`; mixtures are moved to the device block by block."""
        n_classes = sample.distributions.shape[1]
        blocks = Blocks(self, shift, np.float64, 2 * n_classes)
        sums = blocks.zeros(n_classes, blocks.width)
        for part, design in blocks:
            sums += _rest(sample, part, blocks.xp).T @ design
        return np.ascontiguousarray(to_host(sums)[:, :self.n_features + 1])

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        return self._value_grad(sample, shift, theta, with_hessian=False)[:3]

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        return self._value_grad(sample, shift, theta, with_hessian=True)

    def _value_grad(self, sample, shift, theta, with_hessian):
        n_rows, width = theta.shape
        blocks = Blocks(self, shift, theta.dtype, 3 * n_rows)
        xp = blocks.xp
        factor, (y, weight) = blocks.transposed(theta), map(xp.asarray, sample.labels)
        buffer = blocks.empty(n_rows)
        losses, wrong = xp.empty(self.n_samples), xp.empty(self.n_samples, dtype=np.int32)
        grad = blocks.zeros(n_rows, blocks.width)
        hessian = blocks.zeros(n_rows, width, n_rows, width) if with_hessian else None
        for part, design in blocks:
            logits = buffer[:len(design)]
            blocks.product(design, factor, out=logits)
            if with_hessian:
                _add_hessian(hessian, logits.copy(), weight[part], design[:, :width], xp)
            _launch(device_kernels.residuals, device_kernels.binary_residuals, logits, y[part],
                    weight[part], losses[part], wrong[part])
            grad += blocks.product(logits.T, design)
        out = float(losses.sum()), np.ascontiguousarray(to_host(grad)[:, :width]), int(wrong.sum())
        return *out, None if hessian is None else to_host(hessian).reshape(theta.size, theta.size)

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self.value_grad_hessian(sample, shift, theta)[3][np.ix_(index, index)]

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        n_rows, width = theta.shape
        blocks = Blocks(self, shift, theta.dtype, 2 * n_rows)
        xp = blocks.xp
        factors = blocks.transposed(theta), blocks.transposed(direction)
        buffers, weight = (blocks.empty(n_rows), blocks.empty(n_rows)), xp.asarray(sample.weight)
        out = blocks.zeros(n_rows, blocks.width)
        for part, design in blocks:
            logits, change = (buffer[:len(design)] for buffer in buffers)
            blocks.product(design, factors[0], out=logits)
            blocks.product(design, factors[1], out=change)
            _launch(device_kernels.hessian_rows, device_kernels.binary_hessian_rows, logits,
                    change, weight[part])
            out += blocks.product(change.T, design)
        return np.ascontiguousarray(to_host(out)[:, :width])

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        n_rows, width = theta.shape
        blocks = Blocks(self, shift, theta.dtype, 2 * n_rows)
        xp = blocks.xp
        factor, buffer = blocks.transposed(theta), blocks.empty(n_rows)
        weight = xp.asarray(sample.weight)
        spread = xp.empty(blocks.size)
        full_classes = full_classes or n_rows == 1
        classes = blocks.zeros(*(n_rows, n_rows) if full_classes else (n_rows,))
        moments = blocks.zeros(blocks.width if full else 2, blocks.width)
        for part, design in blocks:
            logits, some, share = buffer[:len(design)], spread[:len(design)], weight[part]
            blocks.product(design, factor, out=logits)
            _launch(device_kernels.spreads, device_kernels.binary_spreads, logits, share, some)
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
            # Rows sum to zero, which gives the diagonal. q - q q would cancel for q near 1.
            np.fill_diagonal(classes, 0.0)
            np.fill_diagonal(classes, -classes.sum(axis=1))
        return classes, np.ascontiguousarray(moments)

    def predictions(self, theta, kind):
        """See `Rows.predictions`.

        The array is on the device if the rows are.
        """
        xp = array_module()
        shape = self.n_samples, max(2, len(theta))
        out = (xp if self.is_resident else np).empty(shape, dtype=theta.dtype)
        all_finite = True
        for part, logits in self._logits(theta):
            all_finite = all_finite and bool(xp.isfinite(logits).all())
            if kind != "logits":
                logits -= logits.max(axis=1, keepdims=True)
                total = xp.exp(logits).sum(axis=1, keepdims=True)
                if kind == "probabilities":
                    logits = xp.exp(logits) / total
                else:
                    logits -= xp.log(total)
            out[part] = logits if self.is_resident else to_host(logits)
        return out, all_finite

    def _logits(self, theta):
        """Yield (slice of rows, their logits as predictions have them, on the device)."""
        blocks = Blocks(self, np.zeros(self.n_features), theta.dtype, 2 * len(theta))
        factor = blocks.transposed(theta)
        for part, design in blocks:
            logits = blocks.product(design, factor)
            if len(theta) == 1:
                logits = blocks.xp.concatenate([blocks.xp.zeros_like(logits), logits], axis=1)
            yield part, logits

    def _predicted_rest(self, sample, theta):
        """See `Rows._predicted_rest`."""
        if sample.distributions is None:
            return 0.0
        xp = array_module()
        total = xp.zeros(1)
        for part, logits in self._logits(theta):
            logits -= logits.max(axis=1, keepdims=True)
            total += (_rest(sample, part, xp) * logits).sum()
        return float(to_host(total)[0])


def _rest(sample, part, xp):
    """Return `Sample.rest` of a slice of rows on the device, float64."""
    target, weight = xp.asarray(sample.target[part]), xp.asarray(sample.weight[part])
    if sample.is_mixed:
        mixture = xp.asarray(sample.mixture[part])
    else:
        mixture = xp.asarray(sample.label_mixture)[target]
    out = -weight[:, np.newaxis] * mixture
    out[xp.arange(len(target)), target] += weight
    return out


def _launch(multinomial, binary, logits, *arrays):
    """Launch the multinomial or the binary kernel on all rows of `logits`."""
    n_rows, n_classes = logits.shape
    if n_classes == 1:
        launch(binary, -(-n_rows // ROWS_A_BLOCK), ROWS_A_BLOCK, logits, *arrays)
    else:
        launch(multinomial, n_rows, n_threads(n_classes), logits, *arrays)


def _add_hessian(hessian, logits, weight, design, xp):
    """Add the Hessian of a block of rows to `hessian`.

    Only the parts between different classes are computed. The diagonal parts are minus their
    sum over the classes: q - q^2 would cancel for q near 1.
    """
    n_rows = len(hessian)
    spread = xp.empty(len(logits))
    _launch(device_kernels.spreads, device_kernels.binary_spreads, logits, weight, spread)
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
