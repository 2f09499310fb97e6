"""Types of arguments and results in public signatures, for annotations of callers too.

Results are annotated as NumPy's arrays. For arrays of other libraries as input (CuPy, PyTorch on
a device or under scikit-learn's array API dispatch) they are of that library at run time: which
one depends on the configuration, and no static type can say it.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ArrayOfRows", "CovarianceType", "DaskCollection", "Float", "FloatArray", "FloatOrArray",
    "MatrixLike", "RandomState", "SparseMatrix", "Splitter",
]

# float32 or float64: the dtype follows that of the input.
FloatArray: TypeAlias = NDArray[np.floating[Any]]
# A scalar of a single vector, an array of several: types do not tell the number of axes. With Any
# in the union checkers accept what either could do.
FloatOrArray: TypeAlias = FloatArray | Any
Float = TypeVar("Float", np.float32, np.float64)

# As in scikit-learn.
RandomState: TypeAlias = int | np.random.RandomState | None
CovarianceType: TypeAlias = Literal[
    "nonrobust", "HC0", "HC1", "cluster", "bayes", "frequentist"
]


class SparseMatrix(Protocol):
    """A sparse array or matrix of SciPy's."""

    def tocsr(self) -> Any:
        """Convert to CSR."""
        ...


# NumPy's arrays, nested lists, DataFrames and others with `__array__`; SciPy's sparse ones.
MatrixLike: TypeAlias = ArrayLike | SparseMatrix


class ArrayOfRows(Protocol):
    """What `RowBlocks` wraps: datasets of h5py, arrays of zarr, memory-mapped arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...

    @property
    def dtype(self) -> Any:
        """What `numpy.dtype` takes."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """Return rows as an array."""
        ...


class DaskCollection(Protocol):
    """A Dask array, DataFrame or Series."""

    @property
    def dask(self) -> Any:
        """Return the graph."""
        ...


class Splitter(Protocol):
    """A cross-validation generator of scikit-learn's, or one with the same method."""

    def split(self, *args: Any, **kwargs: Any) -> Any:
        """Yield (train, test), the indices of the rows of each fold."""
        ...
