"""Rows on the device, or on their way there, in blocks ready for products."""

import numpy as np

from .device import array_module
from .tf32 import split_product

# Largest size in bytes of a block's arrays: smaller ones slow cuBLAS down, larger ones take scarce
# memory.
_BLOCK_BYTES = 2**29
# Largest number of rows of a block.
MAX_ROWS = 65_536
# Multiple to which the number of columns is padded with zeros, for aligned products.
_ALIGNED = 32


def rows_at_a_time(bytes_a_row):
    """Return the number of rows of a block, whose arrays take `bytes_a_row` bytes for each row."""
    return max(1, min(MAX_ROWS, _BLOCK_BYTES // bytes_a_row))


class Blocks:
    """Blocks of rows as ``[x - shift, 1, 0 ...]``, and arrays and products that fit them.

    All blocks use one buffer: each is valid until the next.

    Parameters
    ----------
    rows : DeviceRows
    shift : (n_features,) on the host
    dtype : of the arithmetic
    n_columns : int
        Total number of columns of the caller's arrays with a row for each row of the block.
    """

    def __init__(self, rows, shift, dtype, n_columns):
        self.xp = array_module()
        self.rows, self.dtype = rows, np.dtype(dtype)
        self.is_split = rows.is_split and self.dtype == np.float32
        self.n_features = rows.n_features
        self.width = -(-(rows.n_features + 1) // _ALIGNED) * _ALIGNED
        # A split product also holds two halves of each factor, and one array more to make them.
        copies = 4 if self.is_split else 1
        most = rows_at_a_time(self.dtype.itemsize * copies * (2 * self.width + n_columns))
        n_blocks = -(-rows.n_samples // most)
        self.size = -(-rows.n_samples // n_blocks)
        self.shift = self.xp.asarray(shift)
        self._design = self.xp.zeros((self.size, self.width), dtype=self.dtype)
        self._design[:, rows.n_features] = 1.0

    def __iter__(self):
        """Yield (slice of rows, their design)."""
        for part, some in self.rows.blocks(self.size):
            design = self._design[:len(some)]
            self.xp.subtract(
                some, self.shift, out=design[:, :self.n_features], casting="same_kind"
            )
            yield part, design

    def empty(self, n_columns):
        """Return an uninitialised array with one row for each row of a block."""
        return self.xp.empty((self.size, n_columns), dtype=self.dtype)

    def transposed(self, theta):
        """Return theta as the right factor of a design, (width, n_rows)."""
        out = np.zeros((self.width, len(theta)), dtype=self.dtype)
        out[:theta.shape[1]] = theta.T
        return self.xp.asarray(out)

    def zeros(self, *shape):
        """Return float64 zeros, for a sum over blocks."""
        return self.xp.zeros(shape, dtype=np.float64)

    def product(self, left, right, out=None):
        """Compute left @ right at the precision of the blocks."""
        if not self.is_split:
            return self.xp.matmul(left, right, out=out)
        if out is None:
            out = self.xp.empty((left.shape[0], right.shape[1]), dtype=self.dtype)
        split_product(left, right, out)
        return out
