"""Few dense rows in memory, with passes in NumPy: no kernel has to be compiled for them.

Every pass is as accurate as the kernels', also where probabilities are next to 0 or 1:
differences from 1 are sums of the other probabilities. Results do not depend on the number of
threads: products are those of einsum, or of BLAS on one thread.
"""

import numpy as np
from scipy.special import expit

from ..kernels.columns import dense_summary
from .algebra import HOST_ALGEBRA
from .assembly import assembled
from .base import CPU_RATES, Rows, some_columns

# Largest number of rows times columns of [x, 1] times classes. Up to it the time of a pass is
# that of calls from Python, of NumPy or of kernels.
MAX_SIZE = 60_000

# What overflows becomes inf or NaN, which solvers look for.
_silent = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def are_small(n_samples, n_features, n_rows):
    """Tell whether `SmallRows` serve rows of this shape, for a theta of `n_rows` rows."""
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

    @_silent
    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        y, weight = sample
        design = self._design(shift, theta.dtype)
        loss, residual, n_errors = losses_and_residuals(_logits(design, theta), y, weight)
        return loss, np.einsum("ik,ij->kj", residual, design), n_errors

    @_silent
    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        return *self.value_grad(sample, shift, theta), self._hessian(sample, shift, theta)

    @_silent
    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self._hessian(sample, shift, theta)[np.ix_(index, index)]

    def _hessian(self, sample, shift, theta):
        """Return the whole Hessian of the loss."""
        design = self._design(shift, np.float64)
        q, rest = probabilities(_logits(design, theta))
        if len(theta) == 1:
            products = q * rest
        else:
            first, second = np.triu_indices(len(theta), 1)
            products = q[:, first] * q[:, second]
        weighted = (sample.weight[:, np.newaxis] * products).T
        with HOST_ALGEBRA.one_blas_thread():
            pairs = (weighted[:, np.newaxis] * design.T) @ design
        return assembled((pairs + pairs.swapaxes(1, 2)) / 2, len(theta))

    @_silent
    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        design = self._design(shift, np.float64)
        q, rest = probabilities(_logits(design, theta))
        change = _logits(design, direction)
        if len(theta) == 1:
            change *= q * rest
        else:
            change = q * (change - np.einsum("ik,ik->i", q, change)[:, np.newaxis])
        return np.einsum("ik,ij->kj", sample.weight[:, np.newaxis] * change, design)

    @_silent
    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        design = self._design(shift, np.float64)
        q, rest = probabilities(_logits(design, theta))
        spreads = sample.weight[:, np.newaxis] * q * rest
        spread = spreads.sum(axis=1)
        if full:
            with HOST_ALGEBRA.one_blas_thread():
                moments = (spread[:, np.newaxis] * design).T @ design
            moments = (moments + moments.T) / 2
        else:
            moments = np.stack([
                np.einsum("i,ij->j", spread, power) for power in (design, design**2)
            ])
        if len(theta) == 1:
            return spreads.sum(axis=0)[np.newaxis], moments
        if not full_classes:
            return spreads.sum(axis=0), moments
        classes = -np.einsum("i,ik,im->km", sample.weight, q, q)
        np.fill_diagonal(classes, 0.0)
        np.fill_diagonal(classes, -classes.sum(axis=1))
        return classes, moments

    @_silent
    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        logits = _logits(self._design(np.zeros(self.n_features), theta.dtype), theta)
        if logits.shape[1] == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        finite = bool(np.isfinite(logits).all())
        if kind == "logits":
            return logits, finite
        if kind == "probabilities":
            return probabilities(logits)[0], finite
        _, high, rest, top = _exponentials(logits)
        out = logits - high
        out[np.arange(len(top)), top] = 0.0
        return out - np.log1p(rest), finite

    def _design(self, shift, dtype):
        """Return [x - shift, 1] of every row, (n_samples, n_features + 1)."""
        design = np.ones((self.n_samples, self.n_features + 1), dtype=dtype)
        np.subtract(self.X, shift, out=design[:, :-1], casting="same_kind")
        return design


def _logits(design, theta):
    """Return the logits of all rows, (n_samples, n_rows)."""
    return np.einsum("ij,kj->ik", design, theta)


def _exponentials(logits):
    """Return exp(z - max), max, the sum without the largest term, and its index, by rows.

    Logits of two classes or more.
    """
    top = logits.argmax(axis=1)
    index = np.arange(len(top)), top
    high = logits[index][:, np.newaxis]
    exponentials = np.exp(logits - high)
    exponentials[index] = 0.0
    rest = exponentials.sum(axis=1)[:, np.newaxis]
    exponentials[index] = 1.0
    return exponentials, high, rest, top


def probabilities(logits):
    """Return q and 1 - q, both relatively accurate, of one logit or all logits of rows."""
    if logits.shape[1] == 1:
        return expit(logits), expit(-logits)
    exponentials, _, rest, top = _exponentials(logits)
    q = exponentials / (1 + rest)
    complement = 1 - q
    complement[np.arange(len(top)), top] = (rest / (1 + rest))[:, 0]
    return q, complement


def losses_and_residuals(logits, y, weight):
    """Return the weighted cross-entropy, its gradient in the logits and the number of errors.

    Parameters
    ----------
    logits : (n_samples, n_rows)
    y : (n_samples,) integers
    weight : (n_samples,)

    Returns
    -------
    loss : float
    residuals : (n_samples, n_rows) float64
    n_errors : int
        As in `Rows.value_grad`.
    """
    if logits.shape[1] == 1:
        odds = np.where(y == 1, logits[:, 0], -logits[:, 0])
        losses = np.maximum(-odds, 0) + np.log1p(np.exp(-np.abs(odds)))
        residuals = np.where(y == 1, -expit(-odds), expit(-odds))[:, np.newaxis]
        is_right = odds > 0
    else:
        own = np.arange(len(y)), y
        exponentials, high, rest, _ = _exponentials(logits)
        losses = (np.log1p(rest) + (high - logits[own][:, np.newaxis]))[:, 0]
        residuals = exponentials / (1 + rest)
        residuals[own] = 0.0
        residuals[own] = -residuals.sum(axis=1)
        others = logits.copy()
        others[own] = -np.inf
        is_right = logits[own] > others.max(axis=1)
    loss = np.einsum("i,i->", weight, losses, dtype=np.float64)
    n_errors = int(np.count_nonzero(~is_right & (weight > 0)))
    return float(loss), weight[:, np.newaxis] * residuals, n_errors
