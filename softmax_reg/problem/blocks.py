"""Groups of features whose coefficients share one Euclidean norm."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Blocks:
    """Consecutive columns of coefficients (n_rows, n_columns), one block after the other.

    A block holds the coefficients of its columns for all classes.

    Attributes
    ----------
    starts : (n_blocks,) int, ascending from 0
        First column of every block.
    n_columns : int
    """

    starts: np.ndarray
    n_columns: int

    @classmethod
    def single(cls, n_columns):
        """Return blocks of one column each."""
        return cls(np.arange(n_columns), n_columns)

    @classmethod
    def of_labels(cls, labels):
        """Return the blocks, one for every run of equal entries of `labels`, (n_columns,)."""
        starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])[:len(labels)])
        return cls(starts, len(labels))

    @property
    def are_single(self):
        """Whether every column is a block of its own."""
        return len(self.starts) == self.n_columns

    @property
    def ends(self):
        """First column after every block, (n_blocks,)."""
        return np.append(self.starts[1:], self.n_columns)

    @property
    def labels(self):
        """Index of the block of every column, (n_columns,)."""
        return self.spread(np.arange(len(self.starts)))

    def spread(self, values):
        """Return the value of every column's block, (n_columns,), from one value per block."""
        return values if self.are_single else np.repeat(values, self.ends - self.starts)

    def totals(self, columns):
        """Return the sum over each block, (n_blocks,), of one value per column."""
        return columns if self.are_single else np.add.reduceat(columns, self.starts)

    def inner(self, left, right):
        """Return the inner product over the block of every column, (n_columns,)."""
        return self.spread(self.totals(np.einsum("kj,kj->j", left, right)))

    def norms(self, array):
        """Return the Euclidean norm of the block of every column, (n_columns,)."""
        return np.sqrt(self.inner(array, array))

    def unit(self, array):
        """Return the array with every block divided by its norm; zero blocks stay zero."""
        norms = self.norms(array)
        return np.divide(array, norms, out=np.zeros_like(array), where=norms > 0)

    def one_each(self, columns):
        """Return one value per block, (n_blocks,), from one per column, equal within blocks."""
        return columns[self.starts]

    def restricted(self, features):
        """Return the blocks of some of the columns, an index or a slice."""
        if self.are_single:
            if isinstance(features, slice):
                features = range(*features.indices(self.n_columns))
            return Blocks.single(len(features))
        return Blocks.of_labels(self.labels[features])

    def whole(self, mask):
        """Return `mask`, (n_columns,) bool, extended to all columns of every block it touches."""
        return self.spread(self.totals(mask.astype(np.intp))) > 0

    def with_column(self):
        """Return the blocks with one more column, the intercept, as a block of its own."""
        return Blocks(np.append(self.starts, self.n_columns), self.n_columns + 1)

    def slices(self, width):
        """Yield slices of at most `width` columns that cut no block, or of one wider block."""
        ends = self.ends
        start = 0
        while start < self.n_columns:
            stop = int(ends[max(np.searchsorted(ends, start + width, side="right") - 1,
                                np.searchsorted(ends, start, side="right"))])
            yield slice(start, stop)
            start = stop
