"""Dense linear algebra for the solvers, on the kernel threads instead of BLAS's own.

BLAS itself is held to one thread meanwhile (`blas`). Large operations are cut into parts by
shape alone and the parts run on the kernel threads.
"""

import numpy as np

from .launch import launch, n_calls_worth

# Smallest number of entries of a part, and of columns of a part of several vectors.
_GRAIN = 4096
_LEAST_WIDTH = 512
# Floating-point operations that kernels do in the time NumPy takes for an entry in cache, which it
# reads and writes. Factor of this time where entries are in memory, as those of large arrays.
ENTRY_WORK = 8
MEMORY_SLOWNESS = 8
# Number of entries of a long vector that are processed together.
_STRETCH = 8192
# Seconds of an operation of a product with one vector or few, relative to those of large products.
_SKINNY_SLOWNESS = 4
# Number of rows transposed together.
_TILE = 256
# Number of columns centred together, and largest size in bytes of the sums of all parts.
_COLUMNS = 512
_SUM_BYTES = 32 * 2**20


def parts(length, grain, work):
    """Return slices that cover range(length); their number follows from the arguments alone.

    grain : least length of a part
    work : floating-point operations of all parts together
    """
    n_parts = max(1, min(n_calls_worth(work), length // max(1, grain)))
    if n_parts == 1:
        return [slice(0, length)]
    cuts = [length * part // n_parts for part in range(n_parts + 1)]
    return [slice(*ends) for ends in zip(cuts[:-1], cuts[1:], strict=True)]


def product(left, right, out=None):
    """Compute left @ right of 2-D arrays, in float64; in `out`, if given."""
    (n_rows, depth), n_columns = left.shape, right.shape[1]
    out = np.empty((n_rows, n_columns)) if out is None else out
    by_rows = n_rows >= n_columns
    work = 2.0 * n_rows * depth * n_columns
    length = n_rows if by_rows else n_columns
    grain = max(16, int(length * _GRAIN * 32 / max(1.0, work)))

    def multiply(part):
        if by_rows:
            np.matmul(left[part], right, out=out[part])
        else:
            np.matmul(left, right[:, part], out=out[:, part])

    launch(multiply, [(part,) for part in parts(length, grain, work)], work)
    return out


def _centred_blocks(X, mean, part):
    """Yield (columns, X[:, columns] - mean[columns]) for slices that cover `part`.

    The arrays share one buffer: each is valid until the next.
    """
    buffer = np.empty((len(X), min(_COLUMNS, part.stop - part.start)))
    for start in range(part.start, part.stop, _COLUMNS):
        columns = slice(start, min(start + _COLUMNS, part.stop))
        centred = buffer[:, :columns.stop - start]
        yield columns, np.subtract(X[:, columns], mean[columns], out=centred)


def centred_gram(X, mean):
    """Compute (X - mean) @ (X - mean).T in float64, without a copy of X."""
    n_rows, n_columns = X.shape
    grain = max(_COLUMNS, n_columns * 8 * n_rows**2 // _SUM_BYTES)

    def gram(part):
        total = np.zeros((n_rows, n_rows))
        for _, centred in _centred_blocks(X, mean, part):
            # For a matrix times its own transpose, NumPy calls BLAS's syrk: half the operations.
            total += centred @ centred.T
        return total

    work = 1.0 * n_rows**2 * n_columns
    sums = launch(gram, [(part,) for part in parts(n_columns, grain, work)], work)
    return sum(sums[1:], sums[0])


def centred_product(left, X, mean):
    """Compute left @ (X - mean) in float64, without a copy of X."""
    out = np.empty((len(left), X.shape[1]))

    def multiply(part):
        for columns, centred in _centred_blocks(X, mean, part):
            np.matmul(left, centred, out=out[:, columns])

    work = 2.0 * X.size * len(left)
    launch(multiply, [(part,) for part in parts(X.shape[1], _COLUMNS, work)], work)
    return out


def resident(matrix):
    """Return `matrix` where many calls of `product` are quickest: on the host, as it is."""
    return matrix


def empty_vectors(shape, dtype):
    """Return an uninitialised array of vectors, whose rows `set_vector` sets."""
    return np.empty(shape, dtype=dtype)


def set_vector(vectors, row, vector, divisor):
    """Set vectors[row] to vector / divisor."""
    out = vectors[row]

    def divide(part):
        np.divide(vector[part], divisor, out=out[part], casting="same_kind")

    work = float(ENTRY_WORK * out.size)
    launch(divide, [(part,) for part in parts(out.size, _GRAIN, MEMORY_SLOWNESS * work)], work)


def inner_products(vectors, which):
    """Compute vectors @ vectors[which].T, for few long vectors; `which` is a list of rows.

    Within `_STRETCH` numbers, sums have the dtype of the vectors; beyond, float64.
    """

    def add(part):
        total = np.zeros((len(vectors), len(which)))
        for columns in _stretches(part):
            piece = vectors[:, columns]
            total += piece @ piece[which].T
        return total

    work = 2.0 * vectors.size * len(which)
    found = parts(vectors.shape[1], _GRAIN, _SKINNY_SLOWNESS * work)
    sums = launch(add, [(part,) for part in found], work)
    return sum(sums[1:], sums[0])


def combination(weights, vectors, factor):
    """Compute factor * (weights @ vectors), (m,) and (m, n), as a float64 array.

    Sums have the dtype of the vectors.
    """
    out = np.empty(vectors.shape[1])
    weights = weights.astype(vectors.dtype)

    def combine(part):
        for columns in _stretches(part):
            out[columns] = weights @ vectors[:, columns]
            out[columns] *= factor

    work = 2.0 * vectors.size
    found = parts(vectors.shape[1], _GRAIN, _SKINNY_SLOWNESS * work)
    launch(combine, [(part,) for part in found], work)
    return out


def _stretches(part):
    """Yield slices of at most `_STRETCH` numbers that cover `part`."""
    for start in range(part.start, part.stop, _STRETCH):
        yield slice(start, min(start + _STRETCH, part.stop))


def add_up(arrays):
    """Compute arrays.sum(axis=0) in float64, in the order of the first axis."""
    if len(arrays) == 1:
        return arrays[0].astype(np.float64)
    flat = arrays.reshape(len(arrays), -1)
    out = np.empty(flat.shape[1])

    def add(part):
        np.add.reduce(flat[:, part], dtype=np.float64, out=out[part])

    work = ENTRY_WORK / 2 * flat.size    # one of two operands stays in cache
    grain = max(_LEAST_WIDTH, _GRAIN // len(arrays))
    found = parts(flat.shape[1], grain, MEMORY_SLOWNESS * work)
    launch(add, [(part,) for part in found], work)
    return out.reshape(arrays.shape[1:])


def transposed(array, column=None, row=None):
    """Compute array.T, or array.T - column @ row for (n_columns, 1) and (n_rows,), in float64.

    The result is C-contiguous, made in tiles that stay in cache.
    """
    n_rows, n_columns = array.shape
    out = np.empty((n_columns, n_rows))

    def copy(part):
        for start in range(part.start, part.stop, _TILE):
            rows = slice(start, min(start + _TILE, part.stop))
            out[:, rows] = array[rows].T
            if column is not None:
                out[:, rows] -= column * row[rows]

    work = float(ENTRY_WORK * array.size)
    grain = max(_TILE, _GRAIN // max(1, n_columns))
    launch(copy, [(part,) for part in parts(n_rows, grain, MEMORY_SLOWNESS * work)], work)
    return out
