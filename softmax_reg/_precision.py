"""The curvature of all past batches: one matrix, or sums of Kronecker factors.

P_t = P_0 + sum of the batches' Hessians, P_0 that of the penalty; see `_online`.
"""

from typing import NamedTuple

import numpy as np

from .kernels import cpu
from .objective import MAX_FULL_CLASSES, MAX_FULL_COVARIANCE, Curvature, mean_and_covariance


class DensePrecision(NamedTuple):
    """P as a matrix in theta.ravel(), (size, size), and the diagonal of P_0."""

    matrix: np.ndarray
    start: np.ndarray

    @classmethod
    def prior(cls, n_rows, n_features, l2, fit_intercept):
        """P_0; without an intercept its last columns are those of the identity."""
        row = np.append(np.broadcast_to(l2, n_features), 0.0 if fit_intercept else 1.0)
        start = np.tile(row, n_rows)
        return cls(np.diag(start), start)

    def of_rows(self, kept):
        """That of some rows of theta, a mask; the others do not move."""
        if kept.all():
            return self
        index = np.flatnonzero(np.repeat(kept, len(self.matrix) // len(kept)))
        return DensePrecision(self.matrix[np.ix_(index, index)], self.start[index])

    def with_rows(self, kept, part):
        """With `part` in the place of these rows and columns."""
        if kept.all():
            return part
        index = np.flatnonzero(np.repeat(kept, len(self.matrix) // len(kept)))
        matrix = self.matrix.copy()
        matrix[np.ix_(index, index)] = part.matrix
        return self._replace(matrix=matrix)

    def scaled(self, factor):
        """With what has come since P_0 times a factor."""
        matrix = factor * self.matrix
        np.einsum("ii->i", matrix)[:] += (1 - factor) * self.start
        return self._replace(matrix=matrix)

    def operator(self):
        """The function that gives P times a change of theta."""
        return lambda change: (self.matrix @ change.ravel()).reshape(change.shape)


class KroneckerPrecision(NamedTuple):
    """P as P_0 and the sums of `curvature` over all batches, each at its own theta.

    Attributes
    ----------
    classes : (n_rows, n_rows), or its diagonal (n_rows,)
    moments : (n_features + 1, n_features + 1) or (2, n_features + 1)
    l2 : float, or (n_features,)
    fit_intercept : bool
    """

    classes: np.ndarray
    moments: np.ndarray
    l2: np.ndarray | float
    fit_intercept: bool

    @classmethod
    def prior(cls, n_rows, n_features, l2, fit_intercept):
        """P_0."""
        classes = np.zeros((n_rows, n_rows) if n_rows <= MAX_FULL_CLASSES else n_rows)
        height = n_features + 1 if n_features <= MAX_FULL_COVARIANCE else 2
        return cls(classes, np.zeros((height, n_features + 1)), l2, fit_intercept)

    @property
    def full(self):
        """Whether the moments are all there, or their mean and diagonal."""
        return self.moments.shape[1] - 1 <= MAX_FULL_COVARIANCE

    def of_rows(self, kept):
        """As `DensePrecision.of_rows`."""
        index = np.ix_(kept, kept) if self.classes.ndim == 2 else kept
        return self._replace(classes=self.classes[index])

    def with_rows(self, kept, part):
        """As `DensePrecision.with_rows`."""
        index = np.ix_(kept, kept) if self.classes.ndim == 2 else kept
        classes = self.classes.copy()
        classes[index] = part.classes
        return part._replace(classes=classes)

    def scaled(self, factor):
        """As `DensePrecision.scaled`."""
        return self._replace(classes=factor * self.classes, moments=factor * self.moments)

    def plus(self, classes, moments):
        """With these added to the sums."""
        return self._replace(classes=self.classes + classes, moments=self.moments + moments)

    def halfway_to(self, other):
        """The mean of two sums."""
        return self._replace(
            classes=(self.classes + other.classes) / 2, moments=(self.moments + other.moments) / 2
        )

    def factors(self):
        """`Curvature`, as the solvers' transforms take it."""
        return Curvature(
            self.classes, *mean_and_covariance(self.moments, self.full, self.fit_intercept)
        )

    def operator(self):
        """As `DensePrecision.operator`; 2 n_rows n_features (n_rows + n_features) flops."""
        classes, mean, covariance = self.factors()

        def product(change):
            coef, intercept = change[:, :-1], change[:, -1:]
            moved = np.zeros(change.shape)
            # Of the logits at the mean, and of the features around it.
            if self.fit_intercept:
                moved[:, -1:] = intercept + (coef @ mean)[:, np.newaxis]
            full = covariance.ndim == 2
            moved[:, :-1] = cpu.product(coef, covariance) if full else coef * covariance
            moved[:, :-1] += moved[:, -1:] * mean
            full = classes.ndim == 2
            out = cpu.product(classes, moved) if full else classes[:, np.newaxis] * moved
            out[:, :-1] += self.l2 * coef
            return out

        return product
