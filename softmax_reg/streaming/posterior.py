"""The curvature of all past batches: one matrix, or sums of Kronecker factors.

P_t is P_0, the Hessian of the penalty, plus the sum of the batches' Hessians; see `stream`.
Between batches symmetric matrices are kept as their lower triangles.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from ..problem.curvature import (
    MAX_FULL_CLASSES,
    MAX_FULL_COVARIANCE,
    Curvature,
    mean_and_covariance,
)
from ..rows.algebra import HOST_ALGEBRA
from ..solvers.factor import factorisations

# Typical number of Newton steps on a batch in theta, and of Hessian products of all steps of
# truncated Newton, for estimates of the cost.
_NEWTON_STEPS = 5
_PRODUCTS = 60
# Number of rows that are transposed together: 3.5 ms for 650 x 650, which takes 10 ms at once.
_TILE = 64


def _packed(matrix):
    """Return the lower triangle of a symmetric matrix as a vector; other shapes as they are."""
    if matrix.ndim == 1 or matrix.shape[0] != matrix.shape[1]:
        return matrix
    return matrix[np.tri(len(matrix), dtype=bool)]


def _unpacked(packed, shape):
    """Return the array of this shape from the result of `_packed`."""
    if packed.shape == shape:
        return packed
    matrix, lower = np.empty(shape), np.tri(shape[0], dtype=bool)
    matrix[lower] = packed
    for start in range(0, len(matrix), _TILE):
        rows = slice(start, start + _TILE)
        matrix[:start, rows] = matrix[rows, :start].T
        tile, part = matrix[rows, rows], lower[rows, rows]
        tile.T[part] = tile[part]
    return matrix


def _with_anchors(X, free):
    """Return X with one more row for each column in `free`, one in that column and 0 elsewhere."""
    rows = np.zeros((len(X) + len(free), X.shape[1]))
    rows[:len(X)] = X
    rows[np.arange(len(X), len(rows)), free] = 1.0
    return rows


class DensePosterior(NamedTuple):
    """P_t as a dense matrix.

    Attributes
    ----------
    matrix : (size, size), P_t in theta.ravel()
    start : (size,), the diagonal of P_0
    """

    matrix: np.ndarray
    start: np.ndarray

    is_dense = True

    @classmethod
    def prior(cls, n_rows, n_features, l2, fit_intercept):
        """Return P_0; without an intercept, the intercepts' entries are those of the identity."""
        row = np.append(np.broadcast_to(l2, n_features), 0.0 if fit_intercept else 1.0)
        start = np.tile(row, n_rows)
        return cls(np.diag(start), start)

    def of_rows(self, present):
        """Return the posterior of some rows of theta, a mask, with the other rows held fixed."""
        if present.all():
            return self
        index = np.flatnonzero(np.repeat(present, len(self.matrix) // len(present)))
        return DensePosterior(self.matrix[np.ix_(index, index)], self.start[index])

    def with_rows(self, present, part):
        """Return the posterior with `part`, a result of `of_rows`, in the place of these rows."""
        if present.all():
            return part
        index = np.flatnonzero(np.repeat(present, len(self.matrix) // len(present)))
        matrix = self.matrix.copy()
        matrix[np.ix_(index, index)] = part.matrix
        return self._replace(matrix=matrix)

    def scaled(self, factor):
        """Return the posterior with P_t - P_0 multiplied by a factor."""
        matrix = factor * self.matrix
        np.einsum("ii->i", matrix)[:] += (1 - factor) * self.start
        return self._replace(matrix=matrix)

    def times(self, factor):
        """Return the posterior with P_t and P_0 multiplied by a factor."""
        return DensePosterior(factor * self.matrix, factor * self.start)

    def operator(self):
        """Return a function that computes P_t times a change of theta."""
        return lambda change: (self.matrix @ change.ravel()).reshape(change.shape)

    def plus_rows(self, X, blocks):
        """Return P_t plus sum_i blocks[i] (x) x_i x_i', a new matrix that is exactly symmetric.

        X : (n, n_features + 1)
        blocks : (n, n_rows, n_rows), symmetric
        """
        (n, width), n_rows = X.shape, blocks.shape[1]
        out = self.matrix.copy().reshape(n_rows, width, n_rows, width)
        for k in range(n_rows):
            columns = blocks[:, k, k:, np.newaxis] * X[:, np.newaxis]
            part = (X.T @ columns.reshape(n, -1)).reshape(width, -1, width)
            part[:, 0] = (part[:, 0] + part[:, 0].T) / 2
            out[k, :, k:] += part
            out[k + 1:, :, k] += part[:, 1:].transpose(1, 2, 0)
        return out.reshape(self.matrix.shape)

    def minimisation_flops(self, rows):
        """Estimate the flops of `Batch.minimise`: a Hessian and its factor for each step."""
        size = len(self.matrix)
        return _NEWTON_STEPS * (rows.n_samples * size**2 / 2 + size**3 / 3)

    def dual_flops(self, n, width):
        """Estimate the flops of `dual` for n rows: a factorisation and a triangular solve."""
        size = len(self.matrix)
        return size**3 / 3 + size**2 * n * (size // width)

    def dual(self, X, free, deltas):
        """Compute G and the function a -> Q^-1 J' a of `streaming.dual`.

        The result is None if Q does not factorise.

        Parameters
        ----------
        X : (n, n_features + 1)
            Rows of J before those of the anchors.
        free, deltas : (n_anchors,)
            Columns of theta with anchors, and the curvatures that Q adds there.
        """
        width = X.shape[1]
        n_rows = len(self.matrix) // width
        added = np.zeros(width)
        added[free] = deltas
        matrix = self.matrix.copy()
        np.einsum("ii->i", matrix)[:] += np.tile(added, n_rows)
        transform = next(factorisations(matrix), None)
        if transform is None:
            return None
        rows = _with_anchors(X, free)
        columns = np.zeros((n_rows, width, len(rows), n_rows))
        for k in range(n_rows):
            columns[k, :, :, k] = rows.T
        half = transform.half_solve(columns.reshape(len(matrix), -1))

        def change(a):
            return transform.apply(half @ a.ravel()).reshape(n_rows, width)

        return HOST_ALGEBRA.product(half.T, half), change

    def as_plain(self):
        """Return the posterior as a dict of arrays, for `posterior_of`."""
        return {"matrix": _packed(self.matrix), "start": self.start}


def _unpacked_dense(packed, start):
    """Return a `DensePosterior` from the lower triangle of P_t; pickles of 0.1 call it, too."""
    return DensePosterior(_unpacked(packed, 2 * start.shape), start)


class KroneckerPosterior(NamedTuple):
    """P_t as P_0 plus classes (x) moments / total, total the last entry of the moments.

    Classes and moments are sums of `Rows.curvature` over all batches; `stream` says at which
    theta.

    Attributes
    ----------
    classes : (n_rows, n_rows), or its diagonal (n_rows,)
    moments : (n_features + 1, n_features + 1) or (2, n_features + 1)
        With two rows, the last row and the diagonal of the full matrix.
    l2 : float, or (n_features,)
    fit_intercept : bool
    """

    classes: np.ndarray
    moments: np.ndarray
    l2: np.ndarray | float
    fit_intercept: bool

    is_dense = False

    @classmethod
    def prior(cls, n_rows, n_features, l2, fit_intercept):
        """Return P_0."""
        classes = np.zeros((n_rows, n_rows) if n_rows <= MAX_FULL_CLASSES else n_rows)
        height = n_features + 1 if n_features <= MAX_FULL_COVARIANCE else 2
        return cls(classes, np.zeros((height, n_features + 1)), l2, fit_intercept)

    @property
    def full(self):
        """Whether the moments are a full matrix, not only its last row and diagonal."""
        return self.moments.shape[1] - 1 <= MAX_FULL_COVARIANCE

    def of_rows(self, present):
        """See `DensePosterior.of_rows`."""
        index = np.ix_(present, present) if self.classes.ndim == 2 else present
        return self._replace(classes=self.classes[index])

    def with_rows(self, present, part):
        """See `DensePosterior.with_rows`."""
        index = np.ix_(present, present) if self.classes.ndim == 2 else present
        classes = self.classes.copy()
        classes[index] = part.classes
        return part._replace(classes=classes)

    def scaled(self, factor):
        """See `DensePosterior.scaled`."""
        return self._replace(classes=factor * self.classes, moments=factor * self.moments)

    def times(self, factor):
        """See `DensePosterior.times`."""
        return self.scaled(factor)._replace(l2=factor * self.l2)

    def plus(self, classes, moments):
        """Return the posterior with `classes` and `moments` added to the sums."""
        return self._replace(classes=self.classes + classes, moments=self.moments + moments)

    def halfway_to(self, other):
        """Return the posterior halfway to `other`: the mean of both sums."""
        return self._replace(
            classes=(self.classes + other.classes) / 2, moments=(self.moments + other.moments) / 2
        )

    def factors(self):
        """Return the `Curvature` of which `KroneckerTransform` makes its variables."""
        return Curvature(
            self.classes, *mean_and_covariance(self.moments, self.full, self.fit_intercept)
        )

    def operator(self):
        """See `DensePosterior.operator`.

        A call takes 2 n_rows n_features (n_rows + n_features) flops.
        """
        classes, mean, covariance = self.factors()

        def product(change):
            coef, intercept = change[:, :-1], change[:, -1:]
            moved = np.zeros(change.shape)
            # The product has a part from the logits at the mean, and one from the features
            # around the mean.
            if self.fit_intercept:
                moved[:, -1:] = intercept + (coef @ mean)[:, np.newaxis]
            full = covariance.ndim == 2
            moved[:, :-1] = HOST_ALGEBRA.product(coef, covariance) if full else coef * covariance
            moved[:, :-1] += moved[:, -1:] * mean
            full = classes.ndim == 2
            out = HOST_ALGEBRA.product(classes, moved) if full else classes[:, np.newaxis] * moved
            out[:, :-1] += self.l2 * coef
            return out

        return product

    def minimisation_flops(self, rows):
        """Estimate the flops of `Batch.minimise_nearly`: products with Hessian and transform."""
        n_rows, width = len(self.classes), self.moments.shape[1]
        of_factors = width * ((width if self.full else 1) + n_rows)
        return _PRODUCTS * 6 * n_rows * (rows.n_entries + of_factors)

    def dual_flops(self, n, width):
        """Estimate the flops of `dual` for n rows: factorisations of one matrix per class."""
        if self.classes.ndim == 1:    # thousands of classes
            return np.inf
        n_rows, size = len(self.classes), width - 1
        factor = size**3 / 3 + size**2 * n if self.full else 0
        return n_rows * (factor + n**2 * (size + n_rows**2))

    def dual(self, X, free, deltas):
        """See `DensePosterior.dual`.

        With A = U diag(gamma) U', and intercepts b~ = b + W mu at the mean mu of the past,
        Q is block-diagonal in (U' W, U' b~): the blocks are gamma_k Sigma + diag(l2) for U' W and
        gamma_k for U' b~, plus the deltas.
        """
        classes, mean, covariance = self.factors()
        gamma, basis = eigh(classes)
        gamma = np.maximum(gamma, 0.0)
        added = np.zeros(X.shape[1])
        added[free] = deltas
        of_coef = np.broadcast_to(self.l2 + added[:-1], len(mean))
        centred = X.copy()
        centred[:, :-1] -= X[:, -1:] * mean
        rows = _with_anchors(centred, free)
        coef, last = np.ascontiguousarray(rows[:, :-1].T), rows[:, -1]
        of_last = gamma + added[-1] if self.fit_intercept else np.ones(len(gamma))
        halves, solves, grams = [], [], []
        for one, intercept in zip(gamma, of_last, strict=True):
            if covariance.ndim == 1:
                scale = 1 / np.sqrt(one * covariance + of_coef)
                half, solve = scale[:, np.newaxis] * coef, partial(np.multiply, scale)
            else:
                matrix = one * covariance
                np.einsum("ii->i", matrix)[:] += of_coef
                transform = next(factorisations(matrix), None)
                if transform is None:
                    return None
                half, solve = transform.half_solve(coef), transform.apply
            halves.append(half)
            solves.append(solve)
            grams.append(HOST_ALGEBRA.product(half.T, half) + np.outer(last, last) / intercept)
        n_rows = len(gamma)
        by_pair = np.array(grams).transpose(1, 2, 0)[:, :, np.newaxis]
        gram = ((basis * by_pair) @ basis.T).transpose(0, 2, 1, 3)
        gram = gram.reshape(len(rows) * n_rows, -1)

        def change(a):
            turned = basis.T @ a.T
            moved = np.empty((n_rows, len(mean) + 1))
            for k in range(n_rows):
                moved[k, :-1] = solves[k](halves[k] @ turned[k])
            moved[:, -1] = turned @ last / of_last
            out = basis @ moved
            out[:, -1] -= np.einsum("kj,j->k", out[:, :-1], mean)
            return out

        return gram, change

    def as_plain(self):
        """See `DensePosterior.as_plain`."""
        return {
            "classes": _packed(self.classes), "moments": _packed(self.moments),
            "classes_shape": list(self.classes.shape), "moments_shape": list(self.moments.shape),
        }


def _unpacked_kronecker(packed, shapes, l2, fit_intercept):
    """Return a `KroneckerPosterior` from lower triangles; pickles of 0.1 call it, too."""
    classes, moments = map(_unpacked, packed, shapes)
    return KroneckerPosterior(classes, moments, l2, fit_intercept)


def posterior_of(plain, l2, fit_intercept):
    """Return the posterior that `as_plain` described.

    plain : dict
    l2, fit_intercept : as in `KroneckerPosterior`
    """
    if "matrix" in plain:
        return _unpacked_dense(plain["matrix"], plain["start"])
    shapes = tuple(plain["classes_shape"]), tuple(plain["moments_shape"])
    return _unpacked_kronecker(
        (plain["classes"], plain["moments"]), shapes, l2, fit_intercept
    )
