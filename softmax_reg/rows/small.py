"""Few dense rows in memory, with passes in NumPy: no kernel has to be compiled for them.

Every pass is as accurate as the kernels', also where probabilities are next to 0 or 1:
differences from 1 are sums of the other probabilities. Results do not depend on the number of
threads: products are those of einsum, or of BLAS on one thread.

Arrays have one column for each row of X, so that sums run along contiguous memory.
"""

import numpy as np

from ..kernels.columns import dense_summary
from .algebra import HOST_ALGEBRA
from .assembly import assembled, class_pairs
from .base import CPU_RATES, Rows, some_columns

# Largest number of rows times columns of [x, 1] times rows of theta. Up to this size, a pass in
# NumPy or in kernels spends most of its time in calls from Python.
MAX_SIZE = 60_000

# No warnings: an overflow becomes inf or NaN, which solvers check for.
_silent = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def are_small(n_samples, n_features, n_rows):
    """Return whether rows of this shape are `SmallRows`, for a theta of `n_rows` rows."""
    return n_samples * (n_features + 1) * n_rows <= MAX_SIZE


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

    def class_sums(self, shares, shift):
        """See `Rows.class_sums`."""
        with HOST_ALGEBRA.one_blas_thread():
            return np.column_stack([shares.T @ (self.X - shift), shares.sum(axis=0)])

    @_silent
    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        design = self._design(shift, theta.dtype)
        with HOST_ALGEBRA.one_blas_thread():
            loss, residuals, n_errors, _ = _cross_entropy(_logits(theta, design), *sample)
            return loss, residuals @ design.T, n_errors

    @_silent
    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            loss, residuals, n_errors, products = _cross_entropy(_logits(theta, design), *sample)
            if len(theta) > 1:
                first, second = class_pairs(len(theta))
                products = products[first] * products[second]
            products *= sample.weight
            pairs = (products[:, np.newaxis] * design) @ design.T
            grad = residuals @ design.T
        return loss, grad, n_errors, assembled((pairs + pairs.swapaxes(1, 2)) / 2, len(theta))

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self.value_grad_hessian(sample, shift, theta)[3][np.ix_(index, index)]

    @_silent
    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            logits, change = _logits(theta, design), direction @ design
            if len(theta) == 1:
                change *= _spread(logits)
            else:
                q = _probabilities(logits)
                change -= np.add.reduce(q * change)
                change *= q
            return (change * sample.weight) @ design.T

    @_silent
    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        design = self._design(shift, np.float64)
        with HOST_ALGEBRA.one_blas_thread():
            logits = _logits(theta, design)
            spreads = sample.weight * _spread(logits)
            weighted = design * np.add.reduce(spreads)
            if full:
                moments = weighted @ design.T
                moments = (moments + moments.T) / 2
            else:
                moments = np.stack([weighted.sum(axis=1), (weighted * design).sum(axis=1)])
            if len(theta) == 1 or not full_classes:
                classes = spreads.sum(axis=1)
                return classes.reshape(-1, 1) if len(theta) == 1 else classes, moments
            q = _probabilities(logits)
            classes = -(q * sample.weight) @ q.T
        classes = (classes + classes.T) / 2
        np.fill_diagonal(classes, 0.0)
        # Rows sum to zero. q - q q would cancel for q near 1.
        np.fill_diagonal(classes, -classes.sum(axis=1))
        return classes, moments

    @_silent
    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        design = self._design(None, theta.dtype)
        logits = _logits(theta, design)
        if len(logits) == 1:
            logits = np.concatenate([np.zeros_like(logits), logits])
        finite = bool(np.isfinite(logits).all())
        if kind == "probabilities":
            logits = _probabilities(logits)
        elif kind == "log_probabilities":
            exponentials, rest = _exponentials(logits)
            logits -= np.maximum.reduce(logits)
            logits -= np.log1p(rest)
        return np.ascontiguousarray(logits.T), finite

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


def _logits(theta, design):
    """Return the logits, (n_rows, n_samples).

    With einsum, unlike BLAS, the logits of a row have the same bits whatever other rows are in X.
    So the certified objective is that of the predictions' own logits, rounding errors included.
    """
    return np.einsum("kj,ji->ki", theta, design)


def _cross_entropy(logits, y, weight):
    """Compute the weighted cross-entropy, its gradient in the logits, errors and probabilities.

    Parameters
    ----------
    logits : (n_rows, n_samples), overwritten
    y : (n_samples,) integers
    weight : (n_samples,)

    Returns
    -------
    loss : float
    residuals : (n_rows, n_samples)
        Gradient in the logits.
    n_errors : int
    q : (n_rows, n_samples)
        Probabilities; in the binary model q (1 - q).
    """
    if len(logits) == 1:
        odds = np.where(y == 1, -logits[0], logits[0])    # log-odds of the other class
        small = np.exp(-np.abs(odds))
        total = 1 + small
        losses = np.maximum(odds, 0) + np.log1p(small)
        residuals = np.where(y == 1, -weight, weight) * (np.where(odds > 0, 1, small) / total)
        q = small / total**2
        is_wrong = ~(odds < 0)
    else:
        n_samples = logits.shape[1]
        own = y.astype(np.intp) * n_samples + np.arange(n_samples)
        logits -= np.maximum.reduce(logits)
        right = logits.take(own)
        logits.put(own, -np.inf)
        is_wrong = ~(np.maximum.reduce(logits) < right)
        q = np.exp(logits, out=logits)
        rest, term = np.add.reduce(q), np.exp(right)
        losses = np.log1p(rest + (term - 1)) - right    # log1p(rest) if the largest is right
        total = rest + term
        q.put(own, term)
        q /= total
        residuals = q * weight
        residuals.put(own, -weight * rest / total)
    n_errors = int(np.count_nonzero(is_wrong & (weight > 0)))
    return float(weight @ losses), np.atleast_2d(residuals), n_errors, np.atleast_2d(q)


def _exponentials(logits):
    """Return exp(z - max) and its sums over the classes without the largest term."""
    exponentials = np.exp(logits - np.maximum.reduce(logits))
    top = logits.argmax(axis=0) * logits.shape[1] + np.arange(logits.shape[1])
    exponentials.put(top, 0)
    rest = np.add.reduce(exponentials)
    exponentials.put(top, 1)
    return exponentials, rest


def _probabilities(logits):
    """Return the softmax of every column, two classes or more."""
    q = np.exp(logits - np.maximum.reduce(logits))
    q /= np.add.reduce(q)
    return q


def _spread(logits):
    """Return q (1 - q) of every logit, accurate near certainty; one logit is the binary model."""
    if len(logits) == 1:
        small = np.exp(-np.abs(logits))
        return small / (1 + small) ** 2
    exponentials, rest = _exponentials(logits)
    total = 1 + rest
    others = np.where(exponentials == 1, rest, total - exponentials)
    return exponentials * others / total**2
