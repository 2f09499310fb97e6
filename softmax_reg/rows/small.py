"""Few dense rows in memory, with passes in NumPy: no kernel has to be compiled for them.

Every pass is as accurate as the kernels', also where probabilities are next to 0 or 1. Results
do not depend on the number of threads: products are those of einsum, or of BLAS on one thread.
Threads share nothing but the blocks of a Hessian, since the rest is short calls of NumPy, which
hold Python's lock about as long as they work.
"""

import numpy as np

from ..kernels.columns import dense_summary
from ..parallel.elementwise import each
from .algebra import HOST_ALGEBRA
from .assembly import assembled, class_pairs
from .base import CPU_RATES, Rows, some_columns
from .softmax import Labels, cross_entropy, log_probabilities, probabilities, spread
from .stacked import Part, predicted_logits

# Largest number of rows times rows of theta, and of that times the columns of [x, 1]. Up to these
# sizes, fits take at most about twice as long as with kernels, which take seconds to compile.
MAX_LOGITS = 20_000
MAX_SIZE = 1_250_000
# Number of entries of a stack of weighted designs, which stays in a core's cache.
_GROUP_SIZE = 2**17

# No warnings: an overflow becomes inf or NaN, which solvers check for.
_silent = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def are_small(n_samples, n_features, n_rows):
    """Return whether rows of this shape are `SmallRows`, for a theta of `n_rows` rows."""
    n_logits = n_samples * n_rows
    return n_logits <= MAX_LOGITS and n_logits * (n_features + 1) <= MAX_SIZE


class SmallRows(Rows):
    """Rows of a small array in memory.

    Parameters
    ----------
    X : ndarray (n_samples, n_features), float32 or float64
        Finite values.
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA

    def __init__(self, X):
        super().__init__(X.shape, X.dtype, X.size, False)
        self.X = X
        self._last = None, None    # shift and design of the last pass
        self._known = None, None    # sample and labels of the last pass

    def on_host(self, sample):
        """See `Rows.on_host`."""
        return self.X, sample

    def as_dense(self):
        """See `Rows.as_dense`."""
        return self.X

    def like(self, X):
        """See `Rows.like`."""
        return SmallRows(X)

    def columns(self, index):
        """See `Rows.columns`."""
        return SmallRows(some_columns(self.X, index))

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        return dense_summary(self.X, sample.weight)

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        rest = sample.rest(slice(None))
        with HOST_ALGEBRA.one_blas_thread():
            return np.column_stack([rest.T @ (self.X - shift), rest.sum(axis=0)])

    @_silent
    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        design = self._design(shift, theta.dtype)
        with HOST_ALGEBRA.one_blas_thread():
            loss, residuals, n_errors, _ = cross_entropy(theta @ design, self._labels(sample))
            return loss, residuals @ design.T, n_errors

    @_silent
    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        logits = predicted_logits(theta, self._design(None, theta.dtype))
        loss = cross_entropy(logits, self._labels(sample))[0]
        return loss + self._predicted_rest(sample, theta)

    def as_part(self, sample, shift):
        """See `Rows.as_part`."""
        design, raw = self._design(shift, np.float64), self._design(None, self.dtype)
        return Part.of(design, raw, self._labels(sample))

    @_silent
    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        n_rows, design, labels = len(theta), self._design(shift, np.float64), self._labels(sample)
        with HOST_ALGEBRA.one_blas_thread():
            loss, residuals, n_errors, q = cross_entropy(theta @ design, labels, True)
            grad = residuals @ design.T
            if n_rows == 1:
                blocks = _moments(design, labels.weight * q)[np.newaxis]
            else:
                weighted = q * labels.weight
                first, second = class_pairs(n_rows)
                groups = range(0, len(first), max(1, _GROUP_SIZE // design.size))

                def of_group(start):
                    some = slice(start, start + groups.step)
                    return _moments(design, weighted[first[some]] * q[second[some]])

                work = float(self.n_samples * len(design) ** 2 * len(first))
                blocks = each(of_group, groups, work)
                blocks = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return loss, grad, n_errors, assembled(blocks, n_rows)

    @_silent
    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        design, labels = self._design(shift, np.float64), self._labels(sample)
        n_rows, width = theta.shape
        classes, columns = np.divmod(index, width)
        places = [np.flatnonzero(classes == k) for k in range(n_rows)]
        out = np.empty((len(index), len(index)))
        with HOST_ALGEBRA.one_blas_thread():
            logits = theta @ design
            own = labels.weight * spread(logits)
            q = probabilities(logits) if n_rows > 1 else None

            def fill(pair):
                k, m = pair
                left = design[columns[places[k]]]
                if k == m:
                    block = _moments(left, own[k])
                else:
                    right = design[columns[places[m]]]
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
            logits, change = theta @ design, direction @ design
            if len(theta) == 1:
                change *= spread(logits)
            else:
                q = probabilities(logits)
                change -= np.add.reduce(q * change)
                change *= q
            return (change * sample.weight) @ design.T

    @_silent
    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            logits = theta @ design
            spreads = spread(logits)
            spreads *= sample.weight
            total = np.add.reduce(spreads)
            if full:
                moments = _moments(design, total)
            else:
                weighted = design * total
                moments = np.stack([weighted.sum(axis=1), (weighted * design).sum(axis=1)])
            if len(theta) == 1 or not full_classes:
                classes = spreads.sum(axis=1)
                return classes.reshape(-1, 1) if len(theta) == 1 else classes, moments
            classes = -_moments(probabilities(logits), sample.weight)
        np.fill_diagonal(classes, 0.0)
        # Rows sum to zero. q - q q would cancel for q near 1.
        np.fill_diagonal(classes, -classes.sum(axis=1))
        return classes, moments

    @_silent
    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        logits = predicted_logits(theta, self._design(None, theta.dtype))
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
        """Return [x - shift, 1] of every row as a column, (n_features + 1, n_samples), read-only.

        All passes of a fit subtract the same array `shift`, so the last design is kept for it.
        """
        known, design = self._last
        if shift is not None and known is shift and design.dtype == dtype:
            return design
        design = np.empty((self.n_features + 1, self.n_samples), dtype=dtype)
        design[-1] = 1
        if shift is None:
            design[:-1] = self.X.T
            return design
        np.subtract(self.X.T, shift[:, np.newaxis], out=design[:-1], casting="same_kind")
        design.flags.writeable = False
        self._last = shift, design
        return design


def _moments(design, weight):
    """Return sum_i w_i x_i x_i' of the columns x_i of `design`, symmetric, for w_i >= 0.

    Leading dimensions of `weight` give stacks.
    """
    root = design * np.sqrt(weight)[..., np.newaxis, :]
    return root @ root.swapaxes(-1, -2)    # BLAS computes one triangle and copies it
