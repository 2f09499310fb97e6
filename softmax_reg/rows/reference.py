"""The reference implementation of the passes: every pass as its formula, in plain NumPy.

The passes are slow and hold n_samples x n_classes arrays. Every other kind of rows is tested
against this one, and this one against SciPy and finite differences. All solvers run on it.
"""

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax

from ..kernels.columns import range_of
from .algebra import HOST_ALGEBRA
from .base import Rates, Rows


class ReferenceRows(Rows):
    """Rows as a dense float64 array.

    Parameters
    ----------
    X : array or sparse matrix of shape (n_samples, n_features)
    """

    rates = Rates(
        product=1e10, sparse_product=1e10, factor=3e10, memory=1e10, softmax=5e7,
        pass_seconds=1e-4,
    )
    algebra = HOST_ALGEBRA

    def __init__(self, X):
        self.X = np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
        super().__init__(self.X.shape, self.X.dtype, self.X.size, False)

    def on_host(self, sample):
        """See `Rows.on_host`."""
        return self.X, sample

    def as_dense(self):
        """See `Rows.as_dense`."""
        return self.X

    def like(self, X):
        """See `Rows.like`."""
        return ReferenceRows(X)

    def columns(self, index):
        """See `Rows.columns`."""
        return ReferenceRows(self.X[:, index])

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        return sample.weight @ self.X, range_of(self.X, sample.weight)

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        return sample.rest(slice(None)).T @ self._design(shift)

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        y, weight = sample.labels
        design = self._design(shift)
        logits = design @ theta.T
        index = np.arange(len(y))
        if len(theta) == 1:
            odds = np.where(y == 1, logits[:, 0], -logits[:, 0])
            losses = -log_expit(odds)
            residual = _proba(logits) - y[:, np.newaxis]
            right = odds > 0
        else:
            losses = -log_softmax(logits, axis=1)[index, y]
            residual = _proba(logits)
            residual[index, y] -= 1
            others = logits.copy()
            others[index, y] = -np.inf
            right = logits[index, y] > others.max(axis=1)
        grad = (weight[:, np.newaxis] * residual).T @ design
        return weight @ losses, grad, int(np.sum(~right & (weight > 0)))

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        value_grad = self.value_grad(sample, shift, theta)
        return *value_grad, self._hessian(sample, shift, theta)

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self._hessian(sample, shift, theta)[np.ix_(index, index)]

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        return (self._hessian(sample, shift, theta) @ direction.ravel()).reshape(theta.shape)

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        design = self._design(shift)
        covariances = _class_covariances(design, theta)
        spread = sample.weight * np.trace(covariances, axis1=1, axis2=2)
        moments = (spread[:, np.newaxis] * design).T @ design
        if not full:
            moments = np.stack([moments[-1], np.diag(moments)])
        classes = np.einsum("i,ikl->kl", sample.weight, covariances)
        return classes if full_classes or len(theta) == 1 else np.diag(classes), moments

    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        logits = self._design(0.0) @ theta.T
        if logits.shape[1] == 1:
            logits = np.column_stack([np.zeros(len(logits)), logits])
        finite = bool(np.isfinite(logits).all())
        if kind == "logits":
            return logits, finite
        apply = {"probabilities": softmax, "log_probabilities": log_softmax}[kind]
        return apply(logits, axis=1), finite

    def _design(self, shift):
        """Return [x - shift, 1] of every row, (n_samples, n_features + 1)."""
        return np.column_stack([self.X - shift, np.ones(len(self.X))])

    def _hessian(self, sample, shift, theta):
        design = self._design(shift)
        covariances = _class_covariances(design, theta)
        out = np.einsum(
            "i,ikl,ij,im->kjlm", sample.weight, covariances, design, design, optimize=True
        )
        return out.reshape(theta.size, theta.size)


def _proba(logits):
    return expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1)


def _class_covariances(design, theta):
    """Return diag(q_i) - q_i q_i' for every row, (n_samples, n_rows, n_rows)."""
    q = _proba(design @ theta.T)
    if len(theta) == 1:
        return (q * (1 - q))[:, :, np.newaxis]
    return q[:, :, np.newaxis] * np.eye(len(theta)) - q[:, :, np.newaxis] * q[:, np.newaxis]
