"""The function that solvers minimise; binds X, y, weights, penalty and backend.

Coordinates
-----------
Solvers work on theta (n_rows, n_features + 1), C-ordered float64, intercept last.
n_rows is n_classes, or 1 for the binary model. With an intercept the features
are centred at their weighted means (dense blocks on the fly, CSR implicitly):
the same model, for W x + b = W (x - m) + (b + W m) and the intercept is not
penalised, but a far better conditioned one on raw columns. Without an intercept
the last column of theta stays zero.

A column that is constant among the rows of positive weight can do nothing that the intercept
cannot do without a penalty. Its coefficients stay exactly zero: the optimum, and the one of
least norm where nothing penalises them. Without an intercept that holds for columns of zeros.
"""

import copy
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .certificate import duality_gap
from .kernels import cpu

# Above this many features the n_features x n_features covariance of the
# preconditioner costs more than it saves; its diagonal is used instead.
MAX_FULL_COVARIANCE = 2000
# The same for the n_classes x n_classes matrix of the classes.
MAX_FULL_CLASSES = 2000


class Point(NamedTuple):
    """The objective evaluated at `theta`."""

    theta: np.ndarray
    value: float    # loss + penalty, nats
    grad: np.ndarray    # of what is smooth in it
    loss: float
    loss_grad: np.ndarray
    n_errors: int    # rows of positive weight not strictly classified right
    hessian: np.ndarray | None = None


class Curvature(NamedTuple):
    """Factors of the approximation Hessian ~ classes (x) covariance of the features."""

    classes: np.ndarray    # (n_rows, n_rows), or its diagonal (n_rows,)
    mean: np.ndarray    # (n_features,)
    covariance: np.ndarray    # (n_features, n_features), or its diagonal (n_features,)


def mean_and_covariance(moments, full, fit_intercept):
    """(mean, covariance or its diagonal) from the moments of `reference.curvature`.

    Without an intercept the mean is zero, and the covariance the second moments.
    """
    total = moments[-1, -1]
    if total > 0:
        moments = moments / total
    mean = moments[-1, :-1] if full else moments[0, :-1]
    if not fit_intercept:
        mean = np.zeros_like(mean)
    if full:
        return mean, moments[:-1, :-1] - mean[:, np.newaxis] * mean
    return mean, np.maximum(moments[1, :-1] - mean**2, 0.0)


class Objective:
    """f(theta) = sum_i s_i cross_entropy(y_i, W x_i + b) / sum_i s_i + h(W).

    Parameters
    ----------
    X : array or CSR of shape (n_samples, n_features), float32 or float64
        What `backend` takes; finite; C-ordered if dense; CSR indices in range.
    y : (n_samples,) integers in [0, n_classes); with an intercept
        every class has positive weight
    sample_weight : (n_samples,) float64, non-negative, not all zero
    n_classes : int
    binary : bool
        One row of parameters and the sigmoid instead of two and the softmax.
    penalty : `L2Penalty` or `SparsePenalty`
        Already on the scale of the mean loss. May be assigned anew: points evaluated before
        are then of another objective.
    fit_intercept : bool
    backend : module, default=`kernels.cpu`

    Attributes
    ----------
    is_sparse : bool
    n_entries : int
        Numbers that X stores.
    n_evaluations : int
        Passes over the rows so far, of any kind.
    kept : object or None
        What a solver leaves there for its next start from another strength of the penalty.
    is_single : bool
        Whether `evaluate` works in float32, twice as fast, within blocks of rows. Its
        values and gradients are then good to some 1e-7 of their terms, which serves
        until the end is near; certificates are for float64.
    """

    def __init__(
        self, X, y, sample_weight, *, n_classes, binary, penalty, fit_intercept, backend=cpu
    ):
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.backend = backend
        self.n_samples, self.n_features = X.shape
        self.is_sparse = sparse.issparse(X)
        self.n_entries = X.nnz if self.is_sparse else X.size
        self.n_rows = 1 if binary else n_classes
        self.n_evaluations = 0
        self.is_single = False
        self.kept = None
        self._matrix = X
        self._rows = backend.make_rows(X)
        frequencies = self._place(y, sample_weight, n_classes)
        null_theta = np.zeros(self.shape)
        if fit_intercept:
            log_frequencies = np.log(frequencies)
            null_theta[:, -1] = (
                log_frequencies[1] - log_frequencies[0]
                if binary
                else log_frequencies - log_frequencies.mean()
            )
        mean, ranges = backend.column_summary(self._rows, self._weight)
        self.n_evaluations += 1
        if fit_intercept:
            self._is_constant = ranges.is_constant
            # Not the mean, whose rounding would leave something of a constant column.
            self._shift = np.where(self._is_constant, ranges.low, mean)
        else:
            self._is_constant = (ranges.low == 0) & (ranges.high == 0)
            self._shift = np.zeros(self.n_features)
        self._zeros = self._zero_columns()
        # At W = 0 all rows have the same probabilities, so the gradient there
        # also tells the sums of every class that the certificate needs.
        self.null_point = self.evaluate(null_theta)
        self._row_mean = np.where(self._is_constant, 0.0, mean - self._shift)
        null_proba = frequencies[1:] if binary else frequencies
        if not fit_intercept:
            null_proba = np.full(self.n_rows, 1 / n_classes)
        self._class_sums = (
            null_proba[:, np.newaxis] * np.append(self._row_mean, 1.0)
            - self.null_point.loss_grad
        )
        if fit_intercept:
            self._class_sums[:, -1] = null_proba

    def _place(self, y, sample_weight, n_classes):
        """Labels and weights where the backend wants them; shares of the classes, on the host."""
        y = np.array(y, dtype=np.int32)
        # Scale by the largest first: the sum of huge weights could overflow.
        weight = sample_weight / sample_weight.max()
        weight /= weight.sum()
        self._y, self._weight = self.backend.place(y), self.backend.place(weight)
        return np.bincount(y, weights=weight, minlength=n_classes)

    @property
    def shape(self):
        """Shape of theta."""
        return self.n_rows, self.n_features + 1

    @property
    def is_penalised(self):
        """Whether all features are penalised and the duality gap finite."""
        return self.penalty.is_strict

    @property
    def free_shifts(self):
        """Parameters that may all move by the same amount at no change: arrays of indices.

        Of the intercepts of all classes, and of their coefficients of a feature without a
        penalty. Indices are those of theta.ravel().
        """
        if self.n_rows == 1:
            return []
        factor = np.broadcast_to(self.penalty.weight, self.n_features)
        columns = np.append(np.flatnonzero(factor == 0), self.n_features)
        width = self.n_features + 1
        return [np.arange(j, self.n_rows * width, width) for j in columns]

    @property
    def eps(self):
        """Relative rounding error of the arithmetic of `evaluate`."""
        return float(np.finfo(np.float32 if self.is_single else np.float64).eps)

    @property
    def evaluation_flops(self):
        """Floating-point operations of `evaluate`, the products only."""
        return 4.0 * self.n_entries * self.n_rows

    @property
    def has_full_covariance(self):
        """Whether `curvature` gives the covariance of the features or its diagonal."""
        return self.n_features <= MAX_FULL_COVARIANCE

    def evaluate(self, theta, with_hessian=False):
        """Value and gradient at theta; one pass, 4 n_samples n_features n_rows flops.

        What stays zero in theta is taken for zero, and is in the `Point` that is returned.

        with_hessian : bool
            Also the dense Hessian in theta.ravel(), about n_samples theta.size^2 flops.
            The rows and columns of what stays zero are those of the identity.
        """
        self.n_evaluations += 1
        data = self._rows, self._y, self._weight, self._shift
        hessian = None
        theta = self._feasible(theta)
        if with_hessian:
            loss, loss_grad, n_errors, hessian = self.backend.value_grad_hessian(*data, theta)
            self._penalise(hessian, np.arange(theta.size))
        else:
            loss, loss_grad, n_errors = self.backend.value_grad(
                *data, theta.astype(np.float32) if self.is_single else theta
            )
        self._project(loss_grad)
        grad = loss_grad.copy()
        grad[:, :-1] += self.penalty.grad(theta[:, :-1])
        value = loss + self.penalty.value(theta[:, :-1])
        return Point(theta, value, grad, loss, loss_grad, n_errors, hessian)

    def _zero_columns(self):
        """Columns of theta that stay zero: of constant features, and of no intercept."""
        return np.flatnonzero(np.append(self._is_constant, not self.fit_intercept))

    def _feasible(self, theta):
        """theta, or a copy in which all that stays zero is."""
        if len(self._zeros) and np.any(theta[:, self._zeros]):
            theta = theta.copy()
            theta[:, self._zeros] = 0.0
        return theta

    def delivered_value(self, coef, intercept):
        """The objective of (coef, intercept) as predictions compute it; one pass.

        On columns as they are, uncentred, in float32 where X and both are float32.

        Parameters
        ----------
        coef : (n_rows, n_features)
        intercept : (n_rows,)

        Returns
        -------
        value : float
            In nats; inf or NaN where logits overflow.
        """
        self.n_evaluations += 1
        theta = np.column_stack([coef, intercept])
        dtype = np.result_type(theta.dtype, self._matrix.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            loss, _, _ = self.backend.value_grad(
                self._rows, self._y, self._weight, np.zeros(self.n_features),
                theta.astype(dtype, copy=False),
            )
            return float(loss + self.penalty.value(coef.astype(np.float64)))

    def repenalised(self, point):
        """A `Point` of this function with another penalty, with the present one; no pass."""
        coef = point.theta[:, :-1]
        grad = point.loss_grad.copy()
        grad[:, :-1] += self.penalty.grad(coef)
        value = point.loss + self.penalty.value(coef)
        return point._replace(value=value, grad=grad, hessian=None)

    def hessian(self, theta, index):
        """The part of the Hessian for theta.ravel()[index], ascending; one pass.

        About n_samples len(index)^2 flops, or those of the whole if that takes fewer. As
        that of `evaluate`.
        """
        self.n_evaluations += 1
        out = self.backend.hessian(self._rows, self._weight, self._shift, theta, index)
        self._penalise(out, index)
        return out

    def _penalise(self, hessian, index):
        """Add the penalty's part to the Hessian of the loss in theta.ravel()[index]."""
        width = self.n_features + 1
        curvature = np.append(np.broadcast_to(self.penalty.curvature, self.n_features), 0.0)
        np.einsum("ii->i", hessian)[:] += curvature[index % width]    # a view
        zeros = np.flatnonzero(np.isin(index % width, self._zeros))
        hessian[zeros] = 0.0
        hessian[:, zeros] = 0.0
        hessian[zeros, zeros] = 1.0

    def rows_on_host(self):
        """(X, y, weight, shift), NumPy's or SciPy's in memory; None where they are elsewhere."""
        is_here = isinstance(self._matrix, np.ndarray) or sparse.issparse(self._matrix)
        if not (is_here and isinstance(self._y, np.ndarray)):
            return None
        return self._matrix, self._y, self._weight, self._shift

    def gap(self, point):
        """Certified bound on point.value minus the optimum; no pass over the rows.

        The optimum is not negative, so point.value itself is one where rounding leaves
        nothing better. Without a penalty it is infinite.
        """
        if not self.is_penalised:
            return np.inf
        gap = duality_gap(
            self.penalty,
            point.theta,
            point.loss,
            point.loss_grad,
            self._class_sums,
            self._row_mean,
            self.fit_intercept,
        )
        return gap if gap < point.value else point.value

    def hess_prod(self, theta, direction):
        """Hessian at theta times direction; one pass, 6 n_samples n_features n_rows flops."""
        self.n_evaluations += 1
        out = self.backend.hess_prod(self._rows, self._weight, self._shift, theta, direction)
        self._project(out)
        out[:, :-1] += self.penalty.grad(direction[:, :-1])
        return out

    def _project(self, change):
        """Derivatives of the loss sum to zero over the classes, but for rounding.

        Nothing but rounding would speak against a shift common to all intercepts: near the
        optimum solvers would follow it to where the loss has no digits left.
        """
        if len(change) > 1:
            change -= np.add.reduce(change) / len(change)
        change[:, self._zeros] = 0.0

    def curvature(self, theta):
        """Kronecker factors of the Hessian of the loss at theta; one pass."""
        self.n_evaluations += 1
        full = self.has_full_covariance
        classes, moments = self.backend.curvature(
            self._rows, self._weight, self._shift, theta, full, self.n_rows <= MAX_FULL_CLASSES
        )
        if not np.all(np.isfinite(moments)):
            raise ValueError(
                "X holds values whose squares overflow float64. Scale its columns down, or "
                "leave out those that hold no measurements."
            )
        mean, covariance = mean_and_covariance(moments, full, self.fit_intercept)
        mean[self._is_constant] = 0.0
        covariance[self._is_constant] = 0.0
        if full:
            covariance[:, self._is_constant] = 0.0
        return Curvature(classes, mean, covariance)

    def restricted(self, features):
        """The same function of the coefficients of some features, the others being zero.

        Holds a copy of their columns.

        features : (m,) integers, ascending
        """
        out = copy.copy(self)
        X = self._matrix
        out._matrix = X[:, features] if sparse.issparse(X) else X.take(features, axis=1)
        out._rows = self.backend.make_rows(out._matrix)
        out.n_features = len(features)
        out.n_entries = out._matrix.nnz if sparse.issparse(out._matrix) else out._matrix.size
        out.n_evaluations = 0
        out.kept = None
        out.penalty = self.penalty.restricted(features)
        kept = np.append(features, self.n_features)
        out._shift, out._row_mean = self._shift[features], self._row_mean[features]
        out._is_constant = self._is_constant[features]
        out._zeros = out._zero_columns()
        out._class_sums = self._class_sums[:, kept]
        null = self.null_point
        out.null_point = null._replace(
            theta=null.theta[:, kept], grad=null.grad[:, kept], loss_grad=null.loss_grad[:, kept]
        )
        return out

    def to_coef(self, theta, dtype=np.float64):
        """(coef, intercept) of the user's columns, rounded to `dtype`; classes sum to zero.

        A shift common to all classes changes no probability: without a penalty the
        sum is free and this is the representative of least norm, with L2 it is zero
        at the optimum and rounding before. With L1 the sums of `coef` are what they are.
        The intercept makes up for what rounding the coefficients does to the mean logits.
        """
        coef = theta[:, :-1].copy()
        if self.n_rows > 1 and not self.penalty.has_kinks:
            coef -= coef.mean(axis=0)
        coef = coef.astype(dtype, copy=False)
        intercept = theta[:, -1] - np.einsum("kj,j->k", coef, self._shift, dtype=np.float64)
        if self.n_rows > 1:
            intercept -= intercept.mean()
        return coef, intercept.astype(dtype, copy=False)

    def from_coef(self, coef, intercept):
        """Inverse of `to_coef`."""
        shifted = intercept + np.einsum("kj,j->k", coef, self._shift)
        return np.column_stack([coef, shifted if self.fit_intercept else np.zeros(self.n_rows)])
