"""Cholesky factors: of small matrices by LAPACK, of large ones by tiles on the kernel threads."""

import numpy as np
from scipy.linalg.lapack import dpotrf

from . import lapack
from .blas import one_blas_thread
from .elementwise import elementwise
from .launch import launch

# Smallest number of rows of a matrix that is factorised by tiles. On one thread LAPACK is about
# as fast there, on two threads tiles take 0.7 times as long.
TILED_SIZE = 1024
# Number of rows of R that are computed together.
_BLOCK = 256
# Number of columns that are solved for together, and of rows and columns of a tile. Products of
# smaller tiles are slower, larger tiles leave some of 64 threads without work.
_COLUMNS = 128
_TILE = 384


def cholesky(matrix):
    """Compute R with A = R'R, R upper triangular.

    Parameters
    ----------
    matrix : (m, m) float64, symmetric, C-contiguous

    Returns
    -------
    factor : (m, m), Fortran-ordered
        R in the upper triangle; the rest is arbitrary.
    failed : bool
        Whether A is not positive definite to rounding; R is incomplete then.
    """
    if len(matrix) < TILED_SIZE:
        # Call LAPACK itself: SciPy's wrappers take as long as a small factor. The transpose is
        # in Fortran's order, so it is copied once.
        factor, info = dpotrf(matrix.T, lower=False, clean=False)
        return factor, info != 0
    factor = elementwise(np.positive, matrix).T
    return factor, _factorise_tiles(factor)


def _factorise_tiles(matrix):
    """Overwrite the upper triangle of A, Fortran-ordered, by R; return whether this failed.

    The blocked right-looking algorithm: solve for a block of rows of R, then subtract their
    products from the rest of A. Tiles follow from the shape alone, and each is computed by one
    thread in a fixed order, so bits do not depend on the number of threads. The thread of the
    first tile also factorises it, while others subtract from the rest: in turn, not at once, are
    only two launches a block.

    References
    ----------
    Golub & Van Loan (2013), Matrix Computations, section 4.2.9.
    """
    with one_blas_thread():
        failed = lapack.factorise(matrix[:_BLOCK, :_BLOCK])
        for start in range(0, len(matrix) - _BLOCK, _BLOCK):
            if failed:
                break
            stop = start + _BLOCK
            rows, rest = matrix[start:stop, stop:], matrix[stop:, stop:]
            _half_solve(matrix[start:stop, start:stop], rows)
            failed = _subtract_gram(rows, rest)
    return failed


def _cuts(start, stop, width):
    """Return slices of `width` that cover range(start, stop)."""
    return [slice(at, min(at + width, stop)) for at in range(start, stop, width)]


def _half_solve(factor, rows):
    """Overwrite `rows` by R'^-1 rows, a part of the columns at a time."""

    def solve(columns):
        lapack.half_solve(factor, rows[:, columns])

    calls = [(columns,) for columns in _cuts(0, rows.shape[1], _COLUMNS)]
    launch(solve, calls, float(len(rows)) * rows.size)


def _subtract_gram(rows, rest):
    """Subtract rows' @ rows from the upper triangle of `rest`; factorise its first block.

    Returns
    -------
    failed : bool
        Whether the first block is not positive definite to rounding.
    """
    size = len(rest)
    first = slice(0, min(_BLOCK, size))

    def subtract(i, j):
        if i != j:
            lapack.subtract_product(rows[:, i], rows[:, j], rest[i, j])
            return False
        lapack.subtract_gram(rows[:, i], rest[i, i])
        return i == first and lapack.factorise(rest[i, i])

    cuts = [first, *_cuts(first.stop, size, _TILE)]
    tiles = [(i, j) for at, i in enumerate(cuts) for j in cuts[at:]]
    return any(launch(subtract, tiles, float(len(rows)) * size**2))
