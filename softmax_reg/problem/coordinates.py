"""Maps between the user's columns and classes and the theta that solvers work on.

From the outside in: `Selection` leaves out absent classes and excluded features, `RowSpace`
replaces many columns by few, `Centring` shifts columns to their means.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ..parallel.elementwise import minus_column_means, times_vector
from ..parallel.lazy import lazy

# Intercept of a class of weight 0, whose optimum is minus infinity, where the other intercepts
# average 0. Where the coefficients of the other classes average 0, too, a row's largest logit is
# not negative: the class, with zero coefficients, is never predicted, and adds less than a
# rounding error to the loss.
ABSENT_INTERCEPT = np.log(np.finfo(np.float64).eps)
# Intercept of a class of weight 0 where the coefficients of the others need not average 0, so that
# the largest logit of a row may have any size. float32 holds it, and differences of it.
_UNREACHED_INTERCEPT = -1e30


def check_squares(values):
    """Raise a ValueError unless these squares or products of columns of X are finite."""
    if not np.all(np.isfinite(values)):
        raise ValueError(
            "X holds values whose squares overflow float64. Scale its columns down, or "
            "leave out those that hold no measurements."
        )


@dataclass(frozen=True)
class Centring:
    """Map from the coefficients of columns x to the theta of columns x - shift.

    Solvers work on theta (n_rows, n_features + 1), C-ordered float64, intercept last. n_rows is
    n_classes, or 1 for the binary model. With an intercept the features are centred at their
    weighted means (dense blocks on the fly, CSR implicitly). The model is the same, because
    W x + b = W (x - m) + (b + W m) and the intercept is not penalised. On raw columns the
    centred problem is far better conditioned. Without an intercept the last column of theta
    stays zero.

    A column that is constant among the rows of positive weight has the effect of the intercept,
    which has no penalty. The coefficients of such a column stay exactly zero. This is the
    optimum, and the optimum of least norm where the column is not penalised. Without an
    intercept this holds for columns of zeros.

    Attributes
    ----------
    shift : (n_features,)
    is_constant : (n_features,) bool
    fit_intercept : bool
    n_rows : int
    is_tiny : (n_features,) bool, or False
        Mask of the columns that are not constant, but whose centred squares underflow.
    """

    shift: np.ndarray
    is_constant: np.ndarray
    fit_intercept: bool
    n_rows: int
    is_tiny: np.ndarray | bool = False

    @classmethod
    def of(cls, mean, ranges, fit_intercept, n_rows):
        """Return the coordinates centred at `mean`, for columns of `ranges`, a `ColumnRange`.

        Raises
        ------
        ValueError
            If squares of the centred columns overflow.
        """
        shift, is_constant = np.zeros(len(mean)), (ranges.low == 0) & (ranges.high == 0)
        if fit_intercept:
            is_constant = ranges.is_constant
            # A constant column is shifted by its value: its rounded mean would leave a remainder.
            shift = np.where(is_constant, ranges.low, mean)
        # CSR rows give infinite ranges. `Objective` checks their squares in Hessians and moments.
        known = np.isfinite(ranges.low) & np.isfinite(ranges.high)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            span = np.maximum(ranges.high - shift, shift - ranges.low)
            squares = span**2
        check_squares(squares[known])
        is_tiny = (squares < np.finfo(np.float64).tiny) & ~is_constant
        return cls(shift, is_constant, fit_intercept, n_rows, is_tiny)

    @lazy
    def zeros(self):
        """Columns of theta that stay zero: constant features, and the missing intercept."""
        return np.flatnonzero(np.append(self.is_constant, not self.fit_intercept))

    def restricted(self, features):
        """Return the coordinates of some of the features."""
        return Centring(
            self.shift[features], self.is_constant[features], self.fit_intercept, self.n_rows,
            np.broadcast_to(self.is_tiny, self.shift.shape)[features],
        )

    def feasible(self, theta):
        """Return theta, or a copy with zeros in the columns that stay zero."""
        if len(self.zeros) and np.any(theta[:, self.zeros]):
            theta = theta.copy()
            theta[:, self.zeros] = 0.0
        return theta

    def project(self, change):
        """Make derivatives of the loss sum to zero over the classes, in place.

        In exact arithmetic the sum is zero. Rounding errors in the sum would lead solvers, near
        the optimum, along a shift common to all intercepts, until the loss had no digits left.
        Columns of theta that stay zero get derivatives of zero, too.
        """
        if len(change) > 1:
            minus_column_means(change)
        if len(self.zeros):
            change[:, self.zeros] = 0.0

    def fix_zeros(self, hessian, index):
        """Set rows and columns of parameters that stay zero to the identity's, in place.

        hessian : (m, m), in theta.ravel()[index]
        """
        zeros = np.flatnonzero(np.isin(index % (len(self.shift) + 1), self.zeros))
        hessian[zeros] = 0.0
        hessian[:, zeros] = 0.0
        hessian[zeros, zeros] = 1.0

    def to_coef(self, theta, dtype=np.float64, centre_classes=True, cast=np.ndarray.astype):
        """Return (coef, intercept) of the columns x, rounded to `dtype`.

        The intercept compensates for the effect of rounded coefficients on the mean logits.

        Parameters
        ----------
        theta : (..., n_rows, n_features + 1)
            Leading dimensions give stacks.
        dtype : dtype of the results
        centre_classes : bool
            Whether to shift coefficients to a sum of zero over the classes. A shift common to
            all classes changes no probability. Without a penalty the sum is free, and zero
            gives the least norm. With L2 the sum is zero at the optimum, except for rounding.
            With L1 or bounds it need not be zero.
        cast : callable
            (coefficients, dtype) -> coefficients rounded to `dtype`.
        """
        coef = theta[..., :-1].copy()
        if self.n_rows > 1 and centre_classes:
            coef -= coef.mean(axis=-2, keepdims=True)
        coef = cast(coef, dtype)
        intercept = theta[..., -1]
        offsets = times_vector(coef.reshape(intercept.size, coef.shape[-1]), self.shift)
        intercept = intercept - offsets.reshape(intercept.shape)
        if self.n_rows > 1:
            intercept -= intercept.mean(axis=-1, keepdims=True)
        return coef, intercept.astype(dtype, copy=False)

    def from_coef(self, coef, intercept):
        """Return theta from (coef, intercept), the inverse of `to_coef`."""
        shifted = intercept + times_vector(coef, self.shift)
        return np.column_stack([coef, shifted if self.fit_intercept else np.zeros(self.n_rows)])


@dataclass(frozen=True)
class RowSpace:
    """Exact reduction of an X of n rows and p > n columns to at most n columns.

    With an L2 penalty the optimal W is a combination of the (centred) rows of X: a component
    orthogonal to all rows changes no logit and increases the penalty. Let
    Xc Xc' = V diag(s^2) V' with the positive eigenvalues only. The rows of R = diag(1/s) V' Xc
    are an orthonormal basis of the row space, Xc = V diag(s) R, and for W = U R

        W x_i = U (V diag(s))_i,    ||W||_F = ||U||_F.

    So U solves the same problem with the n columns V diag(s) instead of the p columns of X. The
    reduction takes one product of n^2 p operations and an eigendecomposition. Then n instead of
    p sets the cost of every evaluation, for every value of C.

    Eigenvalues that are rounding errors of the largest are left out. An evaluation of the
    result on X itself accounts for the effect of their columns.

    Attributes
    ----------
    X : (n_samples, n_features), on the host
    mean : (n_features,)
        Centre of the rows.
    scale : (rank,), s
    basis : (n_samples, rank), V
    algebra : HostAlgebra
    """

    X: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    algebra: object

    @classmethod
    def of(cls, X, mean, algebra):
        """Return the row space of X around `mean`."""
        with algebra.one_blas_thread():
            squares, basis = eigh(algebra.centred_gram(X, mean), driver="evd")
        enough = squares > len(squares) * np.finfo(np.float64).eps * squares[-1]
        # Keep one column even where X is constant. Its entries are then zero.
        enough[-1] = True
        scale = np.sqrt(np.maximum(squares[enough], np.finfo(np.float64).tiny))
        return cls(X, mean, scale, basis[:, enough], algebra)

    @property
    def columns(self):
        """Columns of the reduced problem, V diag(s), (n_samples, rank)."""
        return np.ascontiguousarray(self.basis * self.scale)

    def to_coef(self, reduced, intercept, dtype=np.float64):
        """Return (coef, intercept) of X, rounded to `dtype`, from those of `columns`."""
        weights = (reduced / self.scale) @ self.basis.T
        with self.algebra.one_blas_thread():
            coef = self.algebra.centred_product(weights, self.X, self.mean)
        coef = coef.astype(dtype, copy=False)
        intercept = intercept - times_vector(coef, self.mean)
        return coef, intercept.astype(dtype, copy=False)

    def from_coef(self, coef, intercept):
        """Return the (coef, intercept) of `columns` whose logits are closest to those of X."""
        offsets = times_vector(coef, self.mean)
        with self.algebra.one_blas_thread():
            logits = self.algebra.product(coef, self.X.T) - offsets[:, np.newaxis]
        return (logits @ self.basis) / self.scale, intercept + offsets


def reduction_pays(n_samples, n_features, n_rows):
    """Tell whether a fit of 100 evaluations takes fewer flops in the row space than on X."""
    if n_features <= n_samples:
        return False
    evaluations = 400 * n_samples * n_rows
    factors = n_samples**2 * n_features + 9 * n_samples**3
    return factors + evaluations * n_samples < evaluations * n_features


@dataclass(frozen=True)
class Selection:
    """Map between the user's classes and features and those that are fitted.

    Attributes
    ----------
    absent : (n_classes,) bool
        Mask of the classes that are left out. The coefficients of an absent class are 0.
    features : slice or (m,) int
        Indices of the allowed features.
    n_features : int
        Number of the user's features.
    is_centred : bool
        Whether fitted coefficients average 0 over the classes: without an L1 part or bounds.
    """

    absent: np.ndarray
    features: slice | np.ndarray
    n_features: int
    is_centred: bool

    @property
    def is_binary(self):
        """Whether one row of parameters stands for two classes."""
        return len(self.absent) == 2 and not self.absent.any()

    @lazy
    def n_present(self):
        """Number of fitted classes."""
        return len(self.absent) - int(np.count_nonzero(self.absent))

    @property
    def new_index(self):
        """Index of every class among the fitted ones, (n_classes,).

        Rows of an absent class have weight 0: the value for it is any index in range.
        """
        return np.maximum(np.cumsum(~self.absent) - 1, 0)

    @property
    def users_order(self):
        """Index that sorts the fitted features as the user has them; None if they are sorted."""
        if isinstance(self.features, slice) or np.all(np.diff(self.features) > 0):
            return None
        return np.argsort(self.features)

    @property
    def absent_intercept(self):
        """Intercept of an absent class, where those of the others average 0."""
        is_centred = self.is_centred or self.n_present == 1
        return ABSENT_INTERCEPT if is_centred else _UNREACHED_INTERCEPT

    @lazy
    def absent_loss(self):
        """Upper bound on the part of the loss from absent classes, in nats.

        Where the coefficients average 0 over the classes, the fitted logits of a row do, too, and
        their logsumexp is at least log(n_present).
        """
        n_absent = len(self.absent) - self.n_present
        return n_absent / self.n_present * np.exp(self.absent_intercept)

    def to_user(self, coef, intercept):
        """Return coef_ and intercept_ for all classes and features, in the dtype of `coef`.

        coef, intercept : (..., n_rows, n_features), (..., n_rows)
        """
        dtype, stack = coef.dtype, coef.shape[:-2]
        if self.is_binary:
            whole = np.zeros((*stack, 1, self.n_features), dtype=dtype)
            whole[..., self.features] = coef
            return whole, intercept
        n_classes = len(self.absent)
        whole = np.zeros((*stack, n_classes, self.n_features), dtype=dtype)
        # Index one axis at a time: NumPy pairs the entries of two index arrays.
        present = np.zeros((*coef.shape[:-1], self.n_features), dtype=dtype)
        present[..., self.features] = coef
        whole[..., ~self.absent, :] = present
        intercepts = np.full((*stack, n_classes), self.absent_intercept)
        intercepts[..., ~self.absent] = intercept
        if self.absent.any() and self.absent_intercept == ABSENT_INTERCEPT:
            intercepts -= intercepts.mean(axis=-1, keepdims=True)
        intercepts = intercepts.astype(dtype)
        if n_classes == 2:
            return whole[..., 1:, :] - whole[..., :1, :], intercepts[..., 1:] - intercepts[..., :1]
        return whole, intercepts

    def coef_of(self, coef):
        """Return the fitted rows and columns of an array of the shape of coef_."""
        return np.ascontiguousarray(coef[..., self._present, :][..., self.features])

    def rows_of(self, coef, intercept):
        """Return the fitted rows and columns of the result of `to_user`."""
        return self.coef_of(coef), intercept[..., self._present]

    @property
    def _present(self):
        return np.flatnonzero(~self.absent) if self.absent.any() else slice(None)

    def from_user(self, coef, intercept, centre_classes):
        """Return the fitted parameters (coef, intercept) from coef_ and intercept_.

        centre_classes : bool
            Whether to remove a shift common to all classes from coefficients. Such a shift
            changes no probability and increases the penalty. The shift of the intercepts is
            always removed.
        """
        coef = coef[:, self.features]
        if self.is_binary:
            return coef, intercept
        coef, intercept = coef[~self.absent], intercept[~self.absent]
        if centre_classes:
            coef = coef - coef.mean(axis=0)
        return coef, intercept - intercept.mean()


def order_of(penalty_factor, groups, n_features):
    """Return the index of the allowed features, groups contiguous; slice(None) if unchanged."""
    order = np.arange(n_features)
    if groups is not None:
        order = np.argsort(groups, kind="stable")
    order = order[np.isfinite(np.broadcast_to(penalty_factor, n_features)[order])]
    return slice(None) if np.array_equal(order, np.arange(n_features)) else order
