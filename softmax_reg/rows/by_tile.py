"""Passes over dense rows with many parameters: large products, which BLAS computes in parts.

A kernel of `chunks` reads and writes its own gradient for every block of rows. A large gradient
leaves the core's cache meanwhile, and one for each thread does not fit in memory. Here threads
share the rows of a long stretch to compute residuals, which are kept; and then the entries of the
gradient, in tiles, and the rows, in few parts, to sum it. The cut follows from shapes alone, BLAS
has one thread in each call, and sums are added in order: results do not depend on the number of
threads.
"""

import itertools
import math

import numpy as np

from ..kernels import predict, stretches
from ..kernels.matrix import read_only
from ..kernels.passes import class_columns, count_classes
from ..kernels.tiles import padded
from ..parallel.algebra import add_up
from ..parallel.blas import one_blas_thread
from ..parallel.launch import CALL_COUNTS, launch

# Least size in bytes of theta, and least number of classes.
_LEAST_BYTES = 7 * 2**18
_LEAST_CLASSES = 128
# Largest size in bytes of the rows and logits of a stretch, and of the sums of all parts of the
# rows, where a twentieth of the logits of all rows is less; where it is more, up to `_MOST_BYTES`.
_STRETCH_BYTES, _SUM_BYTES = 2**27, 2**25
_LOGITS_TO_BYTES = 20
_MOST_BYTES = 2**28
# Numbers of rows of a call, and sides of tiles: with fewer, BLAS copies its operands for much of
# the time. Where there would be fewer calls than `_CALLS`, the least number of rows and half the
# sides do. Calls start at multiples of the least number.
_ROWS, _LEAST_ROWS = 256, 128
_TILE = 512
_CALLS = 64
# Largest number of rows of one product, and least number of a part of the rows. Within a product,
# sums have the dtype of theta; beyond, float64.
_DEPTH, _LEAST_DEPTH = 1024, 512


def serves(matrix, theta):
    """Return whether there are so many parameters that rows are passed in stretches."""
    return (
        not matrix.is_sparse
        and theta.nbytes >= _LEAST_BYTES
        and count_classes(theta) >= _LEAST_CLASSES
    )


def stretch_rows(n_samples, n_classes, n_columns, itemsize):
    """Return the number of rows of a stretch, a multiple of the least number of a call.

    n_columns : int
        Columns of the rows and of their logits together.
    """
    most = _most_bytes(_STRETCH_BYTES, itemsize * n_samples * n_classes)
    n_stretches = max(1, -(-n_samples * n_columns * itemsize // most))
    n_units = max(1, -(-n_samples // _LEAST_ROWS))
    return -(-n_units // n_stretches) * _LEAST_ROWS


def cut_rows(n):
    """Cut the rows of a stretch into (start, stop) of each call."""
    n_calls = n // _ROWS
    if n_calls < _CALLS:
        n_calls = min(_CALLS, n // _LEAST_ROWS)
    n_calls = max([count for count in CALL_COUNTS if count <= n_calls], default=max(1, n_calls))
    n_units = -(-n // _LEAST_ROWS)
    cuts = [n_units * c // n_calls * _LEAST_ROWS for c in range(n_calls)] + [n]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def cut_sums(shape, length, logit_bytes):
    """Return into how many parts of the rows, and tiles of each side, to cut sums of `shape`.

    length : int
        Rows of a stretch.
    logit_bytes : int
        Size of the logits of all rows.
    """
    n_tiles = [max(1, round(side / _TILE)) for side in shape]
    most = _most_bytes(_SUM_BYTES, logit_bytes) // (8 * math.prod(shape))
    n_parts = max(1, min(length // _LEAST_DEPTH, most, CALL_COUNTS[-1] // math.prod(n_tiles)))
    while n_parts * math.prod(n_tiles) < _CALLS:
        lengths = [side // n for side, n in zip(shape, n_tiles, strict=True)]
        longest = lengths.index(max(lengths))
        if lengths[longest] <= _TILE // 2:
            break
        n_tiles[longest] *= 2
    return n_parts, n_tiles


def _most_bytes(least, logit_bytes):
    return min(_MOST_BYTES, max(least, logit_bytes // _LOGITS_TO_BYTES))


class _Stretches:
    """Successive rows [x - shift, 1] and their logits, in memory that each stretch overwrites.

    Parameters
    ----------
    matrix : Matrix
    shift : (n_features,)
    thetas : list of (n_rows, n_features + 1), of one dtype
        Logits are computed for each.
    is_alike : bool
        Whether the logits of a row must have the same bits, whatever other rows there are. Then
        all products have the same shape: BLAS may add up in another order for another one.
    """

    def __init__(self, matrix, shift, thetas, is_alike=False):
        self._matrix, self._shift = matrix, read_only(shift)
        self._tables = [class_columns(theta) for theta in thetas]
        n_classes, self._width = count_classes(thetas[0]), thetas[0].shape[1]
        dtype = thetas[0].dtype
        columns = [padded(self._width, dtype.itemsize)]
        columns += [table.shape[1] for table in self._tables]
        self.logit_bytes = dtype.itemsize * matrix.n_samples * n_classes
        self.length = stretch_rows(matrix.n_samples, n_classes, sum(columns), dtype.itemsize)
        self._x, *self._logits = (np.empty((self.length, n), dtype=dtype) for n in columns)
        self._product_rows = _LEAST_ROWS if is_alike else self.length

    def compute(self, finish):
        """Compute logits on all threads, and yield each stretch after ``finish`` of its parts.

        finish : callable
            Called with (x, logits of each theta, start, stop) for rows start to stop.

        Yields
        ------
        x, logits : (rows, n_features + 1), list of (rows, n_classes padded)
            As `finish` left them. The last rows may be padding, which `finish` sets to zero.
        returned : list of what each call of `finish` returned
        """
        for start in range(0, self._matrix.n_samples, self.length):
            n = min(self.length, self._matrix.n_samples - start)
            work = 2.0 * n * sum(table.size for table in self._tables)

            def of_part(first, last, start=start):
                x, logits = self._rows(first, last)
                ends = start + first, start + last
                stretches.centre_rows(self._matrix, self._shift, *ends, x)
                self._multiply(first, last)
                return finish(x, logits, *ends)

            returned = launch(of_part, cut_rows(n), work)
            x, logits = self._rows(0, n)
            yield x[:, :self._width], logits, returned

    def _multiply(self, first, last):
        """Compute the logits of some rows, and of more up to a multiple of `_LEAST_ROWS`."""
        last = -(-last // _LEAST_ROWS) * _LEAST_ROWS
        with _silent():
            for start in range(first, last, self._product_rows):
                rows = slice(start, min(start + self._product_rows, last))
                for table, logits in zip(self._tables, self._logits, strict=True):
                    np.matmul(self._x[rows, :self._width], table, out=logits[rows])

    def _rows(self, first, last):
        """Return rows and logits from `first`, in whole blocks; `first` is where one starts."""
        rows = slice(first, -(-last // stretches.BLOCK) * stretches.BLOCK)
        return self._x[rows], [logits[rows] for logits in self._logits]


class _Sums:
    """The sum of left.T @ right over stretches, on all threads.

    Parameters
    ----------
    n_left, n_right : int
        Numbers of columns.
    passed : _Stretches
    is_lower : bool
        Whether `left` is `right`, so that the lower triangle is enough; other entries are not
        valid.
    """

    def __init__(self, n_left, n_right, passed, is_lower=False):
        self._work = (1.0 if is_lower else 2.0) * n_left * n_right * passed.length
        shape = n_left, n_right
        n_parts, n_tiles = cut_sums(shape, passed.length, passed.logit_bytes)
        self._tiles = [
            tile for tile in itertools.product(*map(_cut, shape, n_tiles))
            if not is_lower or tile[0].stop > tile[1].start
        ]
        self._parts = np.zeros((n_parts, *shape))

    def add(self, left, right):
        """Add left.T @ right, for the rows of a stretch."""
        rows = _cut(len(left), len(self._parts))

        def add_tile(part, columns, others):
            out = self._parts[part, columns, others]
            for first in range(rows[part].start, rows[part].stop, _DEPTH):
                some = slice(first, min(first + _DEPTH, rows[part].stop))
                with _silent():
                    out += left[some, columns].T @ right[some, others]

        calls = [(part, *tile) for part in range(len(rows)) for tile in self._tiles]
        launch(add_tile, calls, self._work)

    def total(self):
        """Return the sum."""
        return add_up(self._parts)


def _silent():
    """Return a context without warnings of overflow: a line search may try any theta."""
    return np.errstate(over="ignore", invalid="ignore")


def _cut(length, n):
    """Return `n` slices that cover range(length)."""
    cuts = [length * c // n for c in range(n + 1)]
    return [slice(*ends) for ends in zip(cuts[:-1], cuts[1:], strict=True)]


def value_grad(matrix, sample, shift, theta):
    """Compute `Rows.value_grad`."""
    n_classes, finish = count_classes(theta), _losses(sample, theta)
    loss, n_errors = 0.0, 0
    with one_blas_thread():
        passed = _Stretches(matrix, shift, [theta])
        sums = _Sums(n_classes, theta.shape[1], passed)
        for x, (residuals,), returned in passed.compute(finish):
            sums.add(residuals[:, :n_classes], x)
            loss += sum(part for part, _ in returned)
            n_errors += sum(n for _, n in returned)
        return loss, sums.total(), n_errors


def predicted_loss(matrix, sample, theta):
    """Compute the loss of `value_grad` from the logits of `predictions`."""
    finish, shift = _losses(sample, theta), np.zeros(matrix.n_features)
    with one_blas_thread():
        passed = _Stretches(matrix, shift, [theta], is_alike=True)
        return sum(sum(loss for loss, _ in parts) for _, _, parts in passed.compute(finish))


def _losses(sample, theta):
    """Return a function for `_Stretches.compute`: logits become residuals of the labels."""
    n_classes = count_classes(theta)
    told = np.empty((0, n_classes), dtype=theta.dtype)
    labels = [read_only(array) for array in sample.labels]

    def finish(x, logits, start, stop):
        return stretches.losses_of_logits(
            logits[0], *labels, n_classes, predict.LOSS, told, start, stop
        )

    return finish


def hess_prod(matrix, sample, shift, theta, direction):
    """Compute `Rows.hess_prod`."""
    n_classes, width = count_classes(theta), theta.shape[1]
    weight = read_only(sample.weight)

    def finish(x, logits, start, stop):
        stretches.changes_of_logits(*logits, weight, n_classes, start, stop)

    with one_blas_thread():
        passed = _Stretches(matrix, shift, [theta, direction])
        sums = _Sums(n_classes, width, passed)
        for x, (_, changes), _ in passed.compute(finish):
            sums.add(changes[:, :n_classes], x)
        return sums.total()


def curvature(matrix, weight, shift, theta, full, full_classes):
    """Compute the sums of `chunks.curvature`: (classes, moments)."""
    n_classes, width = count_classes(theta), theta.shape[1]
    weight = read_only(weight)

    def finish(x, logits, start, stop):
        own = np.empty((1, n_classes))
        stretches.curvature_of_logits(logits[0], x, weight, n_classes, start, stop, own)
        if full:
            return own, 0.0
        some = x[:, :width]
        return own, np.stack([
            np.einsum("i,ij->j", some[:, -1], some, dtype=np.float64),
            np.einsum("ij,ij->j", some, some, dtype=np.float64),
        ])

    own, diagonal = np.zeros((1, n_classes)), np.zeros((2, width))
    with one_blas_thread():
        passed = _Stretches(matrix, shift, [theta])
        of_classes = _Sums(n_classes, n_classes, passed, is_lower=True) if full_classes else None
        of_features = _Sums(width, width, passed, is_lower=True) if full else None
        for x, (proba,), returned in passed.compute(finish):
            if full_classes:
                of_classes.add(proba[:, :n_classes], proba[:, :n_classes])
            if full:
                of_features.add(x, x)
            own = sum((part for part, _ in returned), own)
            diagonal = sum((part for _, part in returned), diagonal)
        classes = -of_classes.total() if full_classes else own
        return classes, of_features.total() if full else diagonal


def predictions(matrix, theta, kind):
    """Compute `Rows.predictions`, of a `kind` of `predict`."""
    n_classes = count_classes(theta)
    told = np.empty((matrix.n_samples, n_classes), dtype=theta.dtype)
    nobody = read_only(np.empty(0, dtype=np.int32)), read_only(np.empty(0))

    def finish(x, logits, start, stop):
        return stretches.losses_of_logits(
            logits[0], *nobody, n_classes, kind, told, start, stop
        )[1]

    with one_blas_thread():
        passed = _Stretches(matrix, np.zeros(matrix.n_features), [theta], is_alike=True)
        n_not_finite = sum(sum(returned) for _, _, returned in passed.compute(finish))
    return told, n_not_finite == 0
