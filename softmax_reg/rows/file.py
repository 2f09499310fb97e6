"""Rows of an array that is larger than memory: a pass is a sum over its blocks."""

import numpy as np

from ..kernels.passes import count_classes
from .algebra import HOST_ALGEBRA
from .base import CPU_RATES, Rows
from .memory import MemoryRows


class FileRows(Rows):
    """The rows of `RowBlocks`; each block's part is that of `MemoryRows`.

    Parameters
    ----------
    X : RowBlocks
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA

    def __init__(self, X):
        self.X = X
        super().__init__(X.shape, X.dtype, X.size, False)

    def like(self, X):
        """Return rows in memory; see `Rows.like`."""
        return MemoryRows(X)

    def columns(self, index):
        """See `Rows.columns`; nothing is copied."""
        return FileRows(self.X.take(index))

    def _summed(self, one_pass, sample, *args):
        """Sum `one_pass`, a method of `MemoryRows`, over all blocks."""
        total = None
        for part, block in self.X.blocks():
            total = added(total, one_pass(MemoryRows(block), sample.take(part), *args))
        return total

    def column_summary(self, sample):
        """See `Rows.column_summary`; this first pass of a fit also checks that X is finite.

        Raises
        ------
        ValueError
            On NaN or infinity in X.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            sums, ranges = self._summed(MemoryRows.column_summary, sample)
        if not np.all(np.isfinite(sums)):
            self.X.check_finite()    # does not raise if X is finite and only the sums overflow
        return sums, ranges

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        return self._summed(MemoryRows.rest_sums, sample, shift)

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        return self._summed(MemoryRows.value_grad, sample, shift, theta)

    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        return self._summed(MemoryRows.predicted_loss, sample, theta)

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        return self._summed(MemoryRows.value_grad_hessian, sample, shift, theta)

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self._summed(MemoryRows.hessian, sample, shift, theta, index)

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        return self._summed(MemoryRows.hess_prod, sample, shift, theta, direction)

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        return self._summed(MemoryRows.curvature, sample, shift, theta, full, full_classes)

    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        out = np.empty((self.n_samples, count_classes(theta)), dtype=theta.dtype)
        all_finite = True
        for part, block in self.X.blocks():
            out[part], finite = MemoryRows(block).predictions(theta, kind)
            all_finite = all_finite and finite
        return out, all_finite


def added(total, part):
    """Add two results of a pass, each a number, array or tuple of these; `total` may be None."""
    if total is None:
        return part
    if isinstance(part, tuple):
        return tuple(added(left, right) for left, right in zip(total, part, strict=True))
    return total + part
