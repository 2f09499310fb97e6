"""NumPy on large matrices, a part of the rows or columns for each thread.

Parts follow from the shape alone, and sums over them are added in order, so bits do not depend
on the number of threads. NumPy's error state belongs to a thread: each thread gets the caller's.
"""

import numpy as np

from .algebra import ENTRY_WORK, MEMORY_SLOWNESS, parts
from .launch import CALL_COUNTS, SERIAL_WORK, launch

# Number of entries below which a matrix is one part.
_FEW = SERIAL_WORK // ENTRY_WORK
# Smallest number of columns of a part.
_LEAST_COLUMNS = 512
_WHOLE = slice(None), slice(None)


def each(function, items, work):
    """Return [function(item) for item in items], computed on the kernel threads.

    work : floating-point operations of all items together
    """
    if len(items) == 1:
        return [function(items[0])]
    state = np.geterr()

    def with_state(item):
        with np.errstate(**state):
            return function(item)

    return launch(with_state, [(item,) for item in items], work)


def indexes(shape):
    """Return indexes of parts that cover a matrix: (rows, columns), two slices each.

    Rows are cut where there are enough of them, because NumPy takes up to four times as long for
    slices of columns.
    """
    n_rows, n_columns = shape
    if n_rows * n_columns < _FEW:
        return [_WHOLE]
    work, every = float(MEMORY_SLOWNESS * ENTRY_WORK * n_rows * n_columns), slice(None)
    if n_rows >= CALL_COUNTS[0]:
        return [(rows, every) for rows in parts(n_rows, 1, work)]
    return [(every, columns) for columns in parts(n_columns, _LEAST_COLUMNS, work)]


def over_parts(function, shape):
    """Return what `function` returns for each of `indexes`, in order."""
    if shape[0] * shape[1] < _FEW:
        return [function(_WHOLE)]
    return each(function, indexes(shape), float(ENTRY_WORK * shape[0] * shape[1]))


def elementwise(function, *operands, out=None):
    """Compute function(*operands), elementwise, as a float64 matrix.

    Parameters
    ----------
    function : callable
        Maps operands, or the same part of each, to a matrix.
    *operands : (n_rows, n_columns) first; then such ones, (n_columns,), (n_rows, 1) or numbers
    out : (n_rows, n_columns), optional

    Returns
    -------
    out : (n_rows, n_columns)
    """
    out = np.empty(operands[0].shape) if out is None else out
    if out.size < _FEW:
        out[...] = function(*operands)
        return out

    def compute(index):
        some = [_part(operand, index) for operand in operands]
        if isinstance(function, np.ufunc):
            function(*some, out=out[index])
        else:
            out[index] = function(*some)

    over_parts(compute, out.shape)
    return out


def _part(operand, index):
    """Return the part of an operand that broadcasts with that of a matrix."""
    if np.ndim(operand) == 0:
        return operand
    rows, columns = index
    if operand.ndim == 1:
        return operand[columns]
    return operand[rows] if operand.shape[1] == 1 else operand[index]


def cast(matrix, dtype):
    """Return matrix.astype(dtype, copy=False), C-contiguous where it is copied."""
    if matrix.dtype == dtype:
        return matrix
    out = np.empty(matrix.shape, dtype=dtype)

    def convert(index):
        out[index] = matrix[index]

    over_parts(convert, matrix.shape)
    return out


def rows_of(matrix, index):
    """Return matrix[index] for a 1-D array of integers; C-contiguous."""
    out = np.empty((len(index), matrix.shape[1]), dtype=matrix.dtype)

    def take(part):
        rows, columns = part
        out[part] = matrix[index[rows], columns]

    over_parts(take, out.shape)
    return out


def all_finite(matrix):
    """Return whether a matrix of floats holds neither NaN nor infinity."""
    def check(index):
        part = matrix[index]
        with np.errstate(over="ignore", invalid="ignore"):
            # A sum takes half the time of `isfinite`, and no memory. The sum of finite numbers
            # can overflow.
            return bool(np.isfinite(np.sum(part)) or np.isfinite(part).all())

    return all(over_parts(check, matrix.shape))


def minus_outer(matrix, column, row, out=None):
    """Compute matrix - column @ row, for (n_rows, 1) and (n_columns,)."""
    return elementwise(_minus_outer, matrix, column, row, out=out)


def _minus_outer(matrix, column, row):
    return matrix - column * row


def inner(left, right):
    """Compute the inner product of matrices without BLAS, whose bits depend on its threads."""
    if left.size < _FEW:    # small fits call this often
        return float(np.einsum("kj,kj->", left, right))

    def multiply(index):
        return np.einsum("kj,kj->", left[index], right[index])

    return float(sum(over_parts(multiply, left.shape)))


def times_vector(matrix, vector):
    """Compute matrix @ vector in float64, without BLAS."""
    if matrix.size < _FEW:
        return np.einsum("kj,j->k", matrix, vector, dtype=np.float64)
    out = np.zeros(len(matrix))
    found = indexes(matrix.shape)

    def multiply(index):
        return np.einsum("kj,j->k", matrix[index], vector[index[1]], dtype=np.float64)

    for (rows, _), product in zip(found, over_parts(multiply, matrix.shape), strict=True):
        out[rows] += product
    return out


def minus_column_means(matrix):
    """Subtract from each column of a float64 matrix its mean, in place."""
    n_rows, n_columns = matrix.shape

    def subtract(columns):
        part = matrix[:, columns]
        part -= np.add.reduce(part) / n_rows

    if matrix.size < _FEW:
        subtract(slice(None))
        return
    work = float(ENTRY_WORK * matrix.size)
    each(subtract, parts(n_columns, _LEAST_COLUMNS, MEMORY_SLOWNESS * work), work)
