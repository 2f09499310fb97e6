"""Fewer columns where X has more of them than rows, exactly.

With an L2 penalty the optimal W is a combination of the (centred) rows of X: a component
orthogonal to all of them changes no logit and costs penalty. Let Xc Xc' = V diag(s^2) V'
with the positive eigenvalues only. The rows of R = diag(1/s) V' Xc are an orthonormal basis
of the row space, Xc = V diag(s) R, and for W = U R

    W x_i = U (V diag(s))_i,    ||W||_F = ||U||_F:

the same problem for U with the n columns V diag(s) instead of the p of X. One product of
n^2 p operations and an eigendecomposition, and n instead of p sets the cost of every
evaluation, and of every value of C.
"""

import numpy as np
from scipy.linalg import eigh

from .objective import Objective


def reduction_pays(n_samples, n_features, n_rows):
    """Whether fitting in the row space, 100 evaluations assumed, takes fewer flops."""
    if n_features <= n_samples:
        return False
    evaluations = 400 * n_samples * n_rows
    factors = n_samples**2 * n_features + 9 * n_samples**3
    return factors + evaluations * n_samples < evaluations * n_features


class RowSpaceObjective(Objective):
    """The objective in the coordinates U above; takes and gives coefficients of X.

    Parameters are those of `Objective`; X is dense and the penalty not zero.
    Eigenvalues that are rounding errors of the largest are left out: what the columns
    they stand for could add is found by evaluating the result on X itself.
    """

    def __init__(self, X, y, sample_weight, **options):
        self._X = X
        backend = options["backend"]
        n_samples, n_features = X.shape
        weight = sample_weight / sample_weight.max()
        if options["fit_intercept"]:
            rows = backend.make_rows(X)
            mean, ranges = backend.column_summary(rows, weight / weight.sum())
            self._mean = np.where(ranges.is_constant, ranges.low, mean)
        else:
            self._mean = np.zeros(n_features)
        with backend.one_blas_thread():
            squares, basis = eigh(backend.centred_gram(X, self._mean), driver="evd")
        kept = squares > len(squares) * np.finfo(np.float64).eps * squares[-1]
        # One column of zeros where X is constant.
        kept[-1] = True
        self._scale = np.sqrt(np.maximum(squares[kept], np.finfo(np.float64).tiny))
        self._basis = basis[:, kept]
        reduced = np.ascontiguousarray(self._basis * self._scale)
        super().__init__(reduced, y, sample_weight, **options)

    def to_coef(self, theta, dtype=np.float64):
        """(coef, intercept) of the columns of X; see `Objective.to_coef`."""
        reduced, intercept = super().to_coef(theta)
        weights = (reduced / self._scale) @ self._basis.T
        with self.backend.one_blas_thread():
            coef = self.backend.centred_product(weights, self._X, self._mean)
        coef = coef.astype(dtype, copy=False)
        intercept = intercept - np.einsum("kj,j->k", coef, self._mean, dtype=np.float64)
        return coef, intercept.astype(dtype, copy=False)

    def from_coef(self, coef, intercept):
        """The point of the row space closest to `coef`, with the same logits."""
        offsets = np.einsum("kj,j->k", coef, self._mean)
        with self.backend.one_blas_thread():
            logits = self.backend.product(coef, self._X.T) - offsets[:, np.newaxis]
        reduced = (logits @ self._basis) / self._scale
        return super().from_coef(reduced, intercept + offsets)
