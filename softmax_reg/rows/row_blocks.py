"""An array that is larger than memory, read in blocks of rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ..functional.narrow_floats import is_narrow
from ..typing import ArrayOfRows, FloatArray

# Size of a block in bytes: long reads, and little memory for two of them.
BLOCK_BYTES = 2**26
# Size of a memory page in bytes, or less.
_PAGE = 4096


class RowBlocks:
    """A 2-D array whose rows are read in blocks, one ahead, instead of as a whole.

    Pass it as X to `SoftmaxRegression` or `softmax_path`, which read a block or two at a time,
    so the array may be larger than memory. Large memory-mapped arrays of NumPy are wrapped
    automatically.

    Parameters
    ----------
    array : object with ``shape``, ``dtype`` and ``array[start:stop]``
        A dataset of h5py's, an array of zarr's, ``numpy.load(path, mmap_mode="r")``, ... of
        shape (n_samples, n_features) and real numbers, whose slices `array[start:stop]` are
        dense arrays of rows. The first row is read at once. Later slices are read from another
        thread, one at a time. The array must not change during a fit.

    Attributes
    ----------
    shape : tuple of (n_samples, n_features)
    dtype : numpy.dtype
        Dtype of the blocks: float32 of float32, float16 and bfloat16, else float64.

    Raises
    ------
    TypeError
        If the array has no shape or dtype of NumPy's kind, is sparse, or has slices that are
        sparse (AnnData's on disk) or cannot become ndarrays.
    ValueError
        If the array is not 2-D, has no rows or columns, or does not hold real numbers, or if
        its slices have another shape. Masked values (netCDF4) are refused when they are read.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_reg import RowBlocks, SoftmaxRegression
    >>> X = np.repeat(np.eye(3), 4, axis=0)    # stands for an open h5py.Dataset
    >>> y = np.repeat(["a", "b", "c"], 4)
    >>> model = SoftmaxRegression().fit(RowBlocks(X), y)
    >>> model.predict(RowBlocks(X))[::4]
    array(['a', 'b', 'c'], dtype='<U1')
    """

    ndim: int = 2
    shape: tuple[int, int]
    dtype: np.dtype[np.floating[Any]]

    def __init__(self, array: ArrayOfRows) -> None:
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            raise TypeError(
                "RowBlocks needs an array with shape, dtype and slices of rows, got "
                f"{type(array).__name__}."
            )
        if sparse.issparse(array):
            raise TypeError(
                f"RowBlocks needs a dense array, got {type(array).__name__}. Pass the sparse "
                "matrix itself, in CSR form."
            )
        if len(array.shape) != 2 or 0 in array.shape:
            raise ValueError(
                "RowBlocks needs a 2-D array with at least one sample and one feature, got "
                f"shape {tuple(array.shape)}."
            )
        try:
            given = np.dtype(array.dtype)
        except TypeError as error:
            raise TypeError(
                f"RowBlocks needs an array with a dtype of NumPy's, got {type(array).__name__} "
                f"with dtype {array.dtype!r}. Wrap what numpy.asarray makes of it."
            ) from error
        if not _is_real(given):
            raise ValueError(f"RowBlocks needs real numbers, got dtype {given}.")
        self._array = array
        self._columns = None
        self.shape = tuple(int(length) for length in array.shape)
        _check_slice(array, self.shape[1])
        is_single = is_narrow(given) or (given.kind == "f" and given.itemsize == 4)
        self.dtype = np.dtype(np.float32 if is_single else np.float64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all blocks together in bytes."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, rows: slice | ArrayLike | tuple[Any, ...]) -> FloatArray:
        """Return some rows as an ndarray: a slice of step 1, or an array of indices.

        The result has all columns: ``[rows, ...]``, as scikit-learn asks for folds, is the same.
        """
        if isinstance(rows, tuple) and rows[1:] in ((), (...,), (slice(None),)):
            rows = rows[0]
        if isinstance(rows, slice):
            if rows.step not in (None, 1):
                raise TypeError(f"RowBlocks has slices of step 1, got {rows!r}.")
            # Some sources accept neither negative ends nor ends after the last row.
            rows = slice(*rows.indices(self.shape[0])[:2])
            block = np.asanyarray(self._array[rows])
            if not _is_real(block.dtype):
                raise ValueError(
                    f"RowBlocks needs real numbers, and the rows from {rows.start} have dtype "
                    f"{block.dtype}."
                )
            if self._columns is not None:
                block = block.take(self._columns, axis=1)
            if np.ma.is_masked(block):
                first = rows.start + int(np.ma.getmaskarray(block).any(axis=1).argmax())
                raise ValueError(
                    f"Input X contains masked values, in row {first}. Fill them, or leave the "
                    "rows out."
                )
            return np.ascontiguousarray(block, dtype=self.dtype)
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != self.shape[:1]:
                raise IndexError(
                    f"A mask of rows must have shape {self.shape[:1]}, got {rows.shape}."
                )
            rows = np.flatnonzero(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise TypeError(f"RowBlocks has slices and 1-D arrays of rows, got {rows!r}.")
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"Rows must be from 0 to {self.shape[0] - 1}, got {rows!r}.")
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for part, block in self.blocks():
            some = slice(*np.searchsorted(ascending, (part.start, part.stop)))
            out[order[some]] = block[ascending[some] - part.start]
        return out

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise TypeError: the rows are not read as a whole."""
        raise TypeError("RowBlocks are not read as a whole; X[:] does that where it fits.")

    def take(self, columns: NDArray[np.integer[Any]], axis: int = 1) -> RowBlocks:
        """Return some of the columns as another `RowBlocks`; nothing is read."""
        if axis != 1:
            raise ValueError(f"axis must be 1, got {axis!r}.")
        out = copy.copy(self)
        out._columns = columns if self._columns is None else self._columns[columns]
        out.shape = self.shape[0], len(columns)
        return out

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield (slice, rows as ndarray), while the next block is read in another thread."""
        size = max(1, BLOCK_BYTES // (self.dtype.itemsize * self.shape[1]))
        starts = range(0, self.shape[0], size)
        parts = [slice(start, min(start + size, self.shape[0])) for start in starts]
        with ThreadPoolExecutor(1, thread_name_prefix="softmax_reg-reader") as reader:
            coming = reader.submit(self._read, parts[0])
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                block = coming.result()
                if following is not None:
                    coming = reader.submit(self._read, following)
                yield part, block
                del block    # keep at most two blocks in memory

    def check_finite(self) -> None:
        """Raise a ValueError if X holds NaN or infinity."""
        for part, block in self.blocks():
            bad = ~np.isfinite(block).all(axis=1)
            if bad.any():
                raise ValueError(
                    f"Input X contains NaN or infinity, in row {part.start + int(bad.argmax())}."
                )

    def _read(self, part):
        """Read rows into memory, instead of only mapping them there."""
        block = self[part]
        expected = part.stop - part.start, self.shape[1]
        if block.shape != expected:
            raise ValueError(
                f"Rows {part.start} to {part.stop} of the array of RowBlocks must have shape "
                f"{expected}, got {block.shape}."
            )
        if isinstance(self._array, np.memmap):
            # Access a byte of every page, to read the file here and not in the kernels.
            block.view(np.uint8).reshape(-1)[::_PAGE].max()
        return block


def _is_real(dtype):
    """Whether a dtype is one of real numbers."""
    return dtype.kind in "fiub" or is_narrow(dtype)


def _check_slice(array, n_features):
    """Raise TypeError or ValueError unless the first row of `array` is a dense row of numbers."""
    name, row = type(array).__name__, array[0:1]
    if sparse.issparse(row):
        raise TypeError(
            f"RowBlocks needs dense slices of rows, and those of {name} are sparse "
            f"({type(row).__name__}). Read it into memory and pass the matrix itself, in CSR form."
        )
    try:
        row = np.asanyarray(row)
    except (TypeError, RuntimeError) as error:    # CuPy's arrays, those of pydata's sparse
        raise TypeError(
            f"RowBlocks needs slices that NumPy can read, and those of {name} it cannot: {error}"
        ) from error
    if row.shape != (1, n_features):
        raise ValueError(
            f"RowBlocks needs slices of rows, and [0:1] of {name} must have shape "
            f"{(1, n_features)}, got {row.shape}."
        )
    if not _is_real(row.dtype):
        raise ValueError(
            f"RowBlocks needs real numbers, and a slice of {name} has dtype {row.dtype}."
        )
