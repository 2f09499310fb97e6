"""Matrix products and transposes of blocks, from `simd_dense`'s tiles."""

import numpy as np

from .jit import inner_kernel, outlined_kernel
from .registers import REGISTER_BYTES
from .simd_dense import HEIGHTS, MAX_ROWS, MAX_WIDTH, add_tile_product, load_vector, transpose_tile

# Number of rows of a wide right factor per pass. MAX_WIDTH registers of each of these rows, 32 KiB
# in all with AVX-512 and 8 KiB with others, stay in L1 while a pass goes through the left factor.
_DEPTH = 128


def padded(length, itemsize):
    """Return `length` rounded up to whole vector registers of numbers of `itemsize` bytes.

    From eight registers on, their number is odd: rows that start an even number of cache
    lines apart would compete for few of the cache's sets.
    """
    lanes = REGISTER_BYTES // itemsize
    registers = -(-length // lanes)
    if registers >= 8 and registers % 2 == 0:
        registers += 1
    return registers * lanes


@inner_kernel
def lanes_of(array):
    """Return how many numbers of the array's dtype a vector register holds."""
    return REGISTER_BYTES // array.itemsize


@inner_kernel
def aligned_empty(n_rows, n_columns, like):
    """Return an uninitialised array of the dtype of `like`, aligned to a cache line."""
    # Casts, because Numba would compile a function for each combination of literal arguments.
    return _aligned_empty(np.int64(n_rows), np.int64(n_columns), like)


@outlined_kernel
def _aligned_empty(n_rows, n_columns, like):
    line = 64 // like.itemsize
    raw = np.empty(n_rows * n_columns + line, dtype=like.dtype)
    start = (-raw.ctypes.data // like.itemsize) % line
    return raw[start:start + n_rows * n_columns].reshape(n_rows, n_columns)


@inner_kernel
def add_product(left, right, out, address, n_bytes):
    """Add left @ right to out, and prefetch the `n_bytes` of memory at `address` into L2.

    left : (n_rows, depth) or more
    right : (depth, n_columns)
    out : (n_rows, n_columns), n_columns whole vector registers; float64 or of the factors'
        dtype. Terms are summed in the factors' dtype and then added to `out`: all `depth` terms
        at once if `out` is at most MAX_WIDTH registers wide, else `_DEPTH` at a time.
    n_bytes : 0 for no prefetch
    """
    if left.shape[0] < out.shape[0] or left.shape[1] < right.shape[0]:
        raise ValueError("add_product: shapes do not fit")
    _add_tiles(
        left, np.int64(left.shape[1]), np.int64(1), right, out, np.int64(0), np.int64(address),
        np.int64(n_bytes),
    )


@inner_kernel
def add_product_of_transposed(left, right, out, address, n_bytes):
    """Add left.T @ right to out, as `add_product` does."""
    if left.shape[1] < out.shape[0] or left.shape[0] < right.shape[0]:
        raise ValueError("add_product_of_transposed: shapes do not fit")
    _add_tiles(
        left, np.int64(1), np.int64(left.shape[1]), right, out, np.int64(0), np.int64(address),
        np.int64(n_bytes),
    )


@inner_kernel
def add_lower_product(left, right, out):
    """Add as `add_product` does, for a symmetric product; skip tiles above its diagonal."""
    if left.shape[0] < out.shape[0] or left.shape[1] < right.shape[0]:
        raise ValueError("add_lower_product: shapes do not fit")
    _add_tiles(
        left, np.int64(left.shape[1]), np.int64(1), right, out, np.int64(1),
        np.int64(left.ctypes.data), np.int64(0),
    )


@inner_kernel
def add_lower_gram(left, right, out):
    """Add left.T @ right to out, as `add_lower_product` does."""
    if left.shape[1] < out.shape[0] or left.shape[0] < right.shape[0]:
        raise ValueError("add_lower_gram: shapes do not fit")
    _add_tiles(
        left, np.int64(1), np.int64(left.shape[1]), right, out, np.int64(1),
        np.int64(left.ctypes.data), np.int64(0),
    )


@inner_kernel
def product_steps(n_rows, depth, n_vectors):
    """Return the number of steps of the tiles of a product, n_vectors registers wide."""
    return -(-n_rows // 6) * -(-n_vectors // MAX_WIDTH) * depth


@outlined_kernel
def _add_tiles(left, left_row, left_step, right, out, is_lower, address, n_bytes):
    """Add a product to out by tiles, for the functions above; they cast integers to int64."""
    n_rows, n_columns = out.shape
    depth = len(right)
    lanes = lanes_of(left)
    if right.shape[1] != n_columns or n_columns % lanes:
        raise ValueError("_add_tiles: shapes do not fit")
    stride = 0
    if n_bytes > 0:
        # Each step of a tile fetches one cache line, `stride` bytes after the last one. The count
        # of tiles is exact where n_columns is a multiple of the greatest width, whose tiles have
        # up to 6 rows. The remaining columns take one or two columns of narrower tiles, of 1, 2,
        # 4 or 8 rows. If these are more than counted, the last fetches are beyond the memory,
        # which is harmless. If they are fewer, the end of the memory is not fetched.
        stride = n_bytes // product_steps(n_rows, depth, n_columns // lanes) + 1
    # A narrow right factor stays in L2 as a whole, and the left one is read in one go.
    step = _DEPTH if n_columns > MAX_WIDTH * lanes else depth
    for first in range(0, depth, step):
        last = min(first + step, depth)
        column = 0
        while column < n_columns:
            width = MAX_WIDTH
            while column + width * lanes > n_columns:
                width //= 2
            row = 0
            while row < n_rows:
                height = HEIGHTS[width, min(MAX_ROWS, n_rows - row)]
                if is_lower == 0 or column < row + height:
                    add_tile_product(
                        height, width, left, left_row, left_step, right, out, row, column,
                        first, last, address - first * stride, stride,
                    )
                    address += (last - first) * stride
                row += height
            column += width * lanes


@outlined_kernel
def load_rows(source, first, last, shift, target):
    """Set target[:last - first, :n_columns] = source[first:last] - shift, formed in float64."""
    n_columns = source.shape[1]
    if not (
        0 <= first <= last <= len(source)
        and len(target) >= last - first
        and target.shape[1] >= n_columns
        and len(shift) == n_columns
    ):
        raise ValueError("load_rows: shapes do not fit")
    lanes = lanes_of(target)
    for i in range(last - first):
        # LLVM's own vector loop would leave up to 31 numbers to a scalar loop.
        for column in range(0, n_columns - lanes + 1, lanes):
            load_vector(source, first + i, shift, i, column, target)
        if n_columns >= lanes:    # the last columns; some are loaded a second time
            load_vector(source, first + i, shift, i, n_columns - lanes, target)
        else:
            for column in range(n_columns):
                target[i, column] = source[first + i, column] - shift[column]


@outlined_kernel
def transpose(source, target):
    """Copy source.T to target; both lengths are multiples of the lanes of a vector register."""
    n_rows, n_columns = source.shape
    lanes = lanes_of(source)
    if target.shape != (n_columns, n_rows) or n_rows % lanes or n_columns % lanes:
        raise ValueError("transpose: shapes do not fit")
    for row in range(0, n_rows, lanes):
        for column in range(0, n_columns, lanes):
            transpose_tile(source, row, column, target)
