"""How kernels pass over all rows: in chunks and blocks, with padded and transposed parameters."""

import math

import numpy as np

from ..parallel.algebra import ENTRY_WORK, MEMORY_SLOWNESS, add_up, parts, transposed
from ..parallel.elementwise import each
from ..parallel.launch import chunk_bounds, launch
from . import chunks_csr
from .matrix import read_only
from .registers import REGISTER_BYTES
from .tiles import padded

# Largest size in bytes of a block of rows and twice its logits (half of an L2 cache).
_BLOCK_BYTES = 2**18
# Largest number of rows of a block, in vector registers: logits are stored with rows of X along
# the contiguous axis.
_MAX_BLOCK_REGISTERS = 31
# Smallest number of features whose parameters are transposed together.
_TRANSPOSED = 256
# Seconds of an operation on stored entries, relative to those of products of dense blocks.
SPARSE_SLOWNESS = 6.0


def rows_per_block(width, n_rows, itemsize):
    """Return the number of rows of a block: 4 m + 3 vector registers, from 7 to 31.

    The number of registers is odd: with an even one, the logits of all classes of a row would
    compete for few of the cache's sets.
    """
    lanes = REGISTER_BYTES // itemsize
    fitting = _BLOCK_BYTES // (itemsize * (width + 2 * n_rows)) // lanes
    return lanes * (min(_MAX_BLOCK_REGISTERS, max(7, fitting)) // 4 * 4 + 3)


def sum_over_chunks(
    kernel, args, rows, block, n_classes, shapes, flops_per_row, dtype=np.float64
):
    """Run ``kernel(*args, start, stop, *outs)`` on every chunk and add the outs of all chunks.

    dtype : of the outs of a chunk, which are added in float64

    Vectors among `args` are passed as read-only views: one signature, and so one compilation,
    whether the caller's are writeable or not. Matrices are made for the pass and writeable, as
    are those that the kernel makes.

    Returns the summed outs and the list of what each call returned.
    """
    args = [read_only(arg) if getattr(arg, "ndim", 0) == 1 else arg for arg in args]
    sum_bytes = np.dtype(dtype).itemsize * sum(math.prod(shape) for shape in shapes)
    work = flops_per_row * rows.n_samples
    logit_bytes = 8 * n_classes * rows.n_samples
    data_bytes = 0 if rows.is_sparse else rows.dense.itemsize * rows.n_features * rows.n_samples
    slowness = SPARSE_SLOWNESS if rows.is_sparse else 1.0
    bounds = chunk_bounds(
        rows.n_samples, block, sum_bytes, work, logit_bytes, data_bytes, slowness
    )
    outs = [np.empty((len(bounds), *shape), dtype=dtype) for shape in shapes]
    calls = [
        (*args, start, stop, *(out[c] for out in outs)) for c, (start, stop) in enumerate(bounds)
    ]
    returned = launch(kernel, calls, work)
    return [add_up(out) for out in outs], returned


def count_classes(theta):
    """Return the number of logits of a row.

    One row of theta is the binary model, the softmax of the two logits 0 and z.
    """
    return max(2, len(theta))


def class_columns(theta):
    """Return theta.T, after a column of zeros if binary; columns padded with zeros."""
    return _columns_and_product(theta)[0]


def _columns_and_product(theta, vector=None):
    """Return `class_columns`, and theta @ vector in float64 if there is a vector."""
    n_classes = count_classes(theta)
    out = np.empty((theta.shape[1], padded(n_classes, theta.itemsize)), dtype=theta.dtype)
    first = n_classes - len(theta)

    def copy(columns):
        some = theta[:, columns]
        out[columns, :first] = 0
        out[columns, first:n_classes] = some.T
        out[columns, n_classes:] = 0
        if vector is None:
            return 0.0
        # Not BLAS, whose bits depend on its threads.
        return np.einsum("kj,j->k", some, vector[columns], dtype=np.float64)

    work = float(ENTRY_WORK * theta.size)
    found = parts(theta.shape[1], _TRANSPOSED, MEMORY_SLOWNESS * work)
    return out, sum(each(copy, found, work))


def padded_shape(theta):
    """Return the shape of theta with columns padded to whole vector registers."""
    return len(theta), padded(theta.shape[1], theta.itemsize)


def dense_pass(kernel, args, rows, theta, shapes, flops_per_row):
    """Run `sum_over_chunks` for a kernel of `chunks`, with the block size as last of `args`."""
    itemsize = theta.itemsize
    block = rows_per_block(padded(theta.shape[1], itemsize), len(theta), itemsize)
    return sum_over_chunks(
        kernel, (rows, *args, block), rows, block, count_classes(theta), shapes, flops_per_row
    )


def csr_pass(kernel, args, rows, theta, shapes, flops_per_row, dtype=np.float64):
    """Run `sum_over_chunks` for a kernel of `chunks_csr`."""
    return sum_over_chunks(
        kernel, (rows, *args), rows, chunks_csr.CSR_BLOCK, count_classes(theta), shapes,
        flops_per_row, dtype,
    )


def mirrored(lower):
    """Return the symmetric matrices with the given lower triangles, in the last two axes."""
    is_lower = np.tri(lower.shape[-1], dtype=bool)
    return np.where(is_lower, lower, np.swapaxes(lower, -1, -2))


def entries_per_row(rows):
    """Return the mean number of stored entries of a row [x, 1]."""
    if rows.is_sparse:
        return 1 + len(rows.data) / max(1, rows.n_samples)
    return 1 + rows.n_features


def uncentred(theta, shift):
    """Return `class_columns` that give raw rows x the logits of x - shift under `theta`."""
    raw, offset = _columns_and_product(theta, np.append(shift, 0.0))
    raw[-1, count_classes(theta) - len(theta):count_classes(theta)] -= offset
    return raw


def centred(out_t, theta, shift):
    """Return the gradient for x - shift from that for raw rows, transposed and padded."""
    n_classes = count_classes(theta)
    sums = out_t[:, n_classes - len(theta):n_classes]
    return transposed(sums, sums[-1, :, np.newaxis], np.append(shift, 0.0))
