"""Few rows in memory, with passes in NumPy and SciPy: no kernel has to be compiled for them.

Every pass is as accurate as the kernels', also where probabilities are next to 0 or 1. Results
do not depend on the number of threads: products are those of einsum, or of BLAS on one thread.
Threads share nothing but the blocks of a Hessian, since the rest is short calls of NumPy, which
hold Python's lock about as long as they work.
"""

import numpy as np
from scipy import sparse

from ..kernels.columns import csr_summary, dense_summary
from ..parallel.elementwise import each
from .algebra import HOST_ALGEBRA
from .assembly import assembled, class_pairs
from .base import CPU_RATES, Rows, n_entries_of, some_columns
from .designs import DenseDesign, SparseDesign, weighted_moments
from .softmax import Labels, cross_entropy, log_probabilities, probabilities, spread
from .stacked import Part

# Largest number of rows times rows of theta, and of entries of [x, 1] times rows of theta. Up to
# these sizes, fits take at most about twice as long as with kernels, which compile for seconds.
MAX_LOGITS = 20_000
MAX_SIZE = 1_250_000
# The same for sparse rows; largest number of parameters of an exact Hessian, and of entries of the
# dense array of their columns.
MAX_SPARSE_LOGITS = 50_000
MAX_SPARSE_SIZE = 1_250_000
_MAX_PARAMETERS, _MAX_COLUMNS = 8192, 2**24
# Number of entries of a stack of weighted designs, which stays in a core's cache.
_GROUP_SIZE = 2**17

# No warnings: an overflow becomes inf or NaN, which solvers check for.
_silent = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def are_small(X, n_rows):
    """Return whether the rows of X are `SmallRows`, for a theta of `n_rows` rows.

    X : array or CSR (n_samples, n_features)
    """
    n_samples, n_features = X.shape
    n_logits, size = n_samples * n_rows, (n_entries_of(X) + n_samples) * n_rows
    if not sparse.issparse(X):
        return n_logits <= MAX_LOGITS and size <= MAX_SIZE
    n_columns = min(n_features + 1, _MAX_PARAMETERS // n_rows)
    return bool(
        n_logits <= MAX_SPARSE_LOGITS and size <= MAX_SPARSE_SIZE
        and n_samples * n_columns <= _MAX_COLUMNS
    )


class SmallRows(Rows):
    """Rows of a small array in memory.

    Parameters
    ----------
    X : ndarray or CSR (n_samples, n_features), float32 or float64
        Finite values.
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA
    least_proven = 0.0    # nothing is left out

    def __init__(self, X):
        super().__init__(X.shape, X.dtype, n_entries_of(X), sparse.issparse(X))
        self.X = X
        self._last = None, None    # shift and design of the last pass
        self._known = None, None    # sample and labels of the last pass

    def on_host(self, sample):
        """See `Rows.on_host`."""
        return self.X, sample

    def as_dense(self):
        """See `Rows.as_dense`."""
        return None if self.is_sparse else self.X

    def like(self, X):
        """See `Rows.like`."""
        return SmallRows(X)

    def columns(self, index):
        """See `Rows.columns`."""
        return SmallRows(some_columns(self.X, index))

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        if self.is_sparse:
            X = self.X
            return csr_summary(X.data, X.indices, X.indptr, self.n_features, sample.weight)
        return dense_summary(self.X, sample.weight)

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        with HOST_ALGEBRA.one_blas_thread():
            return self._design(shift, np.float64).sums(sample.rest(slice(None)).T)

    @_silent
    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        design = self._design(shift, theta.dtype)
        with HOST_ALGEBRA.one_blas_thread():
            logits = design.logits(theta)
            loss, residuals, n_errors, _ = cross_entropy(logits, self._labels(sample))
            return loss, design.sums(residuals), n_errors

    @_silent
    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        logits = self._design(None, theta.dtype).predicted_logits(theta)
        loss = cross_entropy(logits, self._labels(sample))[0]
        return loss + self._predicted_rest(sample, theta)

    def as_part(self, sample, shift):
        """See `Rows.as_part`."""
        if self.is_sparse:
            return None
        design, raw = self._design(shift, np.float64), self._design(None, self.dtype)
        return Part.of(design.array, raw.array, self._labels(sample))

    @_silent
    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        n_rows, design, labels = len(theta), self._design(shift, np.float64), self._labels(sample)
        with HOST_ALGEBRA.one_blas_thread():
            loss, residuals, n_errors, q = cross_entropy(design.logits(theta), labels, True)
            grad = design.sums(residuals)
            if n_rows == 1:
                blocks = design.moments(labels.weight * q)[np.newaxis]
            else:
                blocks = sum(
                    _of_pairs(array, q[:, rows], labels.weight[rows])
                    for rows, array in design.blocks()
                )
        return loss, grad, n_errors, assembled(blocks, n_rows)

    @_silent
    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        design, labels = self._design(shift, np.float64), self._labels(sample)
        n_rows, width = theta.shape
        classes, columns = np.divmod(index, width)
        places = [np.flatnonzero(classes == k) for k in range(n_rows)]
        found, place = np.unique(columns, return_inverse=True)
        features, out = design.features(found), np.empty((len(index), len(index)))
        with HOST_ALGEBRA.one_blas_thread():
            logits = design.logits(theta)
            own = labels.weight * spread(logits)
            q = probabilities(logits) if n_rows > 1 else None

            def fill(pair):
                k, m = pair
                left = features[place[places[k]]]
                if k == m:
                    block = weighted_moments(left, own[k])
                else:
                    right = features[place[places[m]]]
                    right *= labels.weight * -q[k] * q[m]
                    block = left @ right.T
                    out[np.ix_(places[m], places[k])] = block.T
                out[np.ix_(places[k], places[m])] = block

            pairs = [(k, m) for k in range(n_rows) for m in range(k, n_rows)]
            each(fill, pairs, float(self.n_samples * len(index) ** 2))
        return out

    @_silent
    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            logits, change = design.logits(theta), design.logits(direction)
            if len(theta) == 1:
                change *= spread(logits)
            else:
                q = probabilities(logits)
                change -= np.add.reduce(q * change)
                change *= q
            return design.sums(change * sample.weight)

    @_silent
    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            logits = design.logits(theta)
            spreads = spread(logits)
            spreads *= sample.weight
            total = np.add.reduce(spreads)
            moments = design.moments(total) if full else design.diagonal_moments(total)
            if len(theta) == 1 or not full_classes:
                classes = spreads.sum(axis=1)
                return classes.reshape(-1, 1) if len(theta) == 1 else classes, moments
            classes = -weighted_moments(probabilities(logits), sample.weight)
        np.fill_diagonal(classes, 0.0)
        # Rows sum to zero. q - q q would cancel for q near 1.
        np.fill_diagonal(classes, -classes.sum(axis=1))
        return classes, moments

    @_silent
    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        logits = self._design(None, theta.dtype).predicted_logits(theta)
        if len(logits) == 1:
            logits = np.concatenate([np.zeros_like(logits), logits])
        finite = bool(np.isfinite(logits).all())
        if kind == "probabilities":
            logits = probabilities(logits)
        elif kind == "log_probabilities":
            logits = log_probabilities(logits)
        return np.ascontiguousarray(logits.T), finite

    def _labels(self, sample):
        """Return the `Labels` of a sample; those of the last one are kept."""
        known, labels = self._known
        if known is not sample:
            labels = Labels.of(*sample.labels)
            self._known = sample, labels
        return labels

    def _design(self, shift, dtype):
        """Return the design of [x - shift, 1].

        All passes of a fit subtract the same array `shift`, so the last design is kept for it.
        """
        known, design = self._last
        if shift is not None and known is shift and design.dtype == dtype:
            return design
        design = (SparseDesign if self.is_sparse else DenseDesign)(self.X, shift, dtype)
        if shift is not None:
            self._last = shift, design
        return design


def _of_pairs(array, q, weight):
    """Return sum_i w_i q_ik q_im x_i x_i' of the columns x_i of an array, for pairs of classes."""
    n_rows, n_samples = q.shape
    weighted = q * weight
    first, second = class_pairs(n_rows)
    groups = range(0, len(first), max(1, _GROUP_SIZE // array.size))

    def of_group(start):
        some = slice(start, start + groups.step)
        return weighted_moments(array, weighted[first[some]] * q[second[some]])

    work = float(n_samples * len(array) ** 2 * len(first))
    blocks = each(of_group, groups, work)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
