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
        """Every column a block of its own."""
        return cls(np.arange(n_columns), n_columns)

    @classmethod
    def of_labels(cls, labels):
        """Return a block for every run of equal labels, (n_columns,)."""
        starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])[:len(labels)])
        return cls(starts, len(labels))

    @property
    def are_single(self):
        """Whether every column is a block of its own."""
        return len(self.starts) == self.n_columns

    @property
    def ends(self):
        """(n_blocks,) first column after every block."""
        return np.append(self.starts[1:], self.n_columns)

    @property
    def labels(self):
        """(n_columns,) number of the block of every column."""
        return self.spread(np.arange(len(self.starts)))

    def spread(self, values):
        """(n_columns,) from one value a block."""
        return values if self.are_single else np.repeat(values, self.ends - self.starts)

    def totals(self, columns):
        """(n_blocks,) sums of one value a column."""
        return columns if self.are_single else np.add.reduceat(columns, self.starts)

    def inner(self, left, right):
        """(n_columns,) inner product of the block of every column."""
        return self.spread(self.totals(np.einsum("kj,kj->j", left, right)))

    def norms(self, array):
        """(n_columns,) Euclidean norm of the block of every column."""
        return np.sqrt(self.inner(array, array))

    def unit(self, array):
        """Every block over its norm; zeros stay."""
        norms = self.norms(array)
        return np.divide(array, norms, out=np.zeros_like(array), where=norms > 0)

    def one_each(self, columns):
        """(n_blocks,) from values that are equal within blocks, one a column."""
        return columns[self.starts]

    def restricted(self, features):
        """Blocks of some of the columns, an index or a slice."""
        if self.are_single:
            if isinstance(features, slice):
                features = range(*features.indices(self.n_columns))
            return Blocks.single(len(features))
        return Blocks.of_labels(self.labels[features])

    def whole(self, mask):
        """Mask of the columns whose block has a column in `mask`, (n_columns,) bool."""
        return self.spread(self.totals(mask.astype(np.intp))) > 0

    def with_column(self):
        """One more column, a block of its own: that of the intercept."""
        return Blocks(np.append(self.starts, self.n_columns), self.n_columns + 1)

    def slices(self, width):
        """Slices of about `width` columns that cut no block."""
        ends = self.ends
        start = 0
        while start < self.n_columns:
            stop = int(ends[max(np.searchsorted(ends, start + width, side="right") - 1,
                                np.searchsorted(ends, start, side="right"))])
            yield slice(start, stop)
            start = stop
