"""Rows with an offset: known numbers that are added to the logits.

The offset of a row is one number for each row of theta. It is kept as further columns of X, whose
coefficients are the identity matrix: [W, I, b] [x, o, 1]' = W x + o + b. So every kind of rows and
every pass takes offsets as it is; derivatives in the fixed coefficients are left out. A pass then
costs as much as with that many more features.
"""

import numpy as np
from scipy import sparse

from ..kernels.columns import ColumnRange
from .base import Rows


def with_columns(X, offset):
    """Return [X, offset], an array or CSR in the dtype of X, C-ordered.

    Parameters
    ----------
    X : array or CSR (n_samples, n_features), float32 or float64
    offset : (n_samples, n_rows)
    """
    offset = offset.astype(X.dtype, copy=False)
    if sparse.issparse(X):
        return sparse.hstack([X, sparse.csr_array(offset)], format="csr", dtype=X.dtype)
    return np.column_stack([X, offset])


class OffsetRows(Rows):
    """Rows whose last columns but that of the intercept are offsets.

    Parameters
    ----------
    inner : Rows
        Of `with_columns`.
    offset : (n_samples, n_classes or 1)
        The last columns of `inner`, in its dtype.
    present : (n_classes or 1,) bool, optional
        Columns of `offset` that belong to rows of theta. All by default.
    """

    def __init__(self, inner, offset, present=None):
        n_samples, n_columns = inner.shape
        shape = n_samples, n_columns - offset.shape[1]
        super().__init__(shape, inner.dtype, inner.n_entries, inner.is_sparse)
        self._given, self._present = offset, present
        self.offset = offset if present is None else offset[:, present]
        self.rates, self.algebra = inner.rates, inner.algebra
        self.least_proven = inner.least_proven
        self._inner = inner
        self._shifts = None, None    # the last shift, and with zeros for the offsets
        self._factor = 1.0

    @property
    def X(self):
        """Columns of X and offsets, for `like`."""
        return self._inner.X

    @property
    def without_offset(self):
        """The same rows, with logits without offsets."""
        plain = OffsetRows(self._inner, self._given, self._present)
        plain._factor = 0.0
        return plain

    def with_factor(self, factor):
        """Return the same rows with `factor` times the offsets.

        `for_classes`, `columns` and `like` of the result forget the factor.
        """
        rows = OffsetRows(self._inner, self._given, self._present)
        rows.offset, rows._factor = factor * self.offset, factor
        return rows

    def for_classes(self, present):
        """See `Rows.for_classes`."""
        if self._present is None and present.all():
            return self
        return OffsetRows(self._inner, self._given, present)

    def place(self, sample, n_classes):
        """See `Rows.place`."""
        return self._inner.place(sample, n_classes)

    def on_host(self, sample):
        """See `Rows.on_host`; without the offsets."""
        X, sample = self._inner.on_host(sample)
        return X[:, :self.n_features], sample

    def like(self, X):
        """See `Rows.like`; X holds the offsets."""
        offset = X[:, self.n_features:]
        offset = offset.toarray() if sparse.issparse(offset) else offset
        return OffsetRows(self._inner.like(X), offset, self._present)

    def columns(self, index):
        """See `Rows.columns`."""
        kept = np.append(np.arange(self.n_features)[index], self._fixed)
        return OffsetRows(self._inner.columns(kept), self._given, self._present)

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        sums, ranges = self._inner.column_summary(sample)
        some = slice(self.n_features)
        return sums[some], ColumnRange(ranges.low[some], ranges.high[some])

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        return self._of_x(self._inner.rest_sums(sample, self._shift(shift)))

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        loss, grad, n_errors = self._inner.value_grad(
            sample, self._shift(shift), self._theta(theta)
        )
        return loss, self._of_x(grad), n_errors

    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        return self._inner.predicted_loss(sample, self._theta(theta))

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`; two passes."""
        hessian = self.hessian(sample, shift, theta, np.arange(theta.size))
        return *self.value_grad(sample, shift, theta), hessian

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        k, j = np.divmod(index, theta.shape[1])
        j = np.where(j == self.n_features, self._inner.n_features, j)
        return self._inner.hessian(
            sample, self._shift(shift), self._theta(theta), k * (self._inner.n_features + 1) + j
        )

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        return self._of_x(self._inner.hess_prod(
            sample, self._shift(shift), self._theta(theta), self._theta(direction, 0.0)
        ))

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        classes, moments = self._inner.curvature(
            sample, self._shift(shift), self._theta(theta), full, full_classes
        )
        moments = self._of_x(moments)
        return classes, self._of_x(moments.T).T if full else moments

    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        return self._inner.predictions(self._theta(theta), kind)

    @property
    def _fixed(self):
        return np.arange(self.n_features, self._inner.n_features)

    def _theta(self, theta, factor=None):
        """Return the parameters of all columns, with `factor` times the identity."""
        identity = np.eye(self._given.shape[1], dtype=theta.dtype)
        if self._present is not None:
            identity = identity[self._present]
        identity *= self._factor if factor is None else factor
        return np.concatenate([theta[:, :-1], identity, theta[:, -1:]], axis=1)

    def _shift(self, shift):
        """Return the shift of all columns: the same array for the same `shift`."""
        known, whole = self._shifts
        if known is not shift:
            whole = np.append(shift, np.zeros(len(self._fixed)))
            self._shifts = shift, whole
        return whole

    def _of_x(self, array):
        """Return the entries of an array (..., n_columns + 1) that belong to [x, 1]."""
        return np.delete(array, self._fixed, axis=1)
