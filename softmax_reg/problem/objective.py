"""The function that solvers minimise, composed of rows, sample, penalty and coordinates."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..parallel.elementwise import cast
from ..parallel.lazy import lazy
from ..rows.base import Rows, Sample
from .certificate import OffsetSums, duality_gap
from .coordinates import Centring, check_squares
from .curvature import MAX_FULL_CLASSES, MAX_FULL_COVARIANCE, Curvature, mean_and_covariance
from .null_model import class_sums, is_null, null_hessian, null_theta
from .penalty import add_gradient
from .point import Passes, Point
from .soft_targets import SoftTargets


@dataclass(frozen=True, eq=False)
class Objective:
    """Mean loss plus penalty and further terms, as a function of theta.

        f(theta) = sum_i s_i cross_entropy(y_i, W x_i + b) / sum_i s_i + h(W) + t(theta)

    No attribute is assigned after construction: `with_penalty` and `restricted` return new
    objectives. A `Point` belongs to one objective; `repenalised` converts it to another penalty.

    Attributes
    ----------
    rows : Rows
    sample : Sample
        Result of ``rows.place``. With an intercept every class has positive weight.
    penalty : `L2Penalty`, `SparsePenalty` or `BoundedPenalty`
        Penalty on the scale of the mean loss.
    coordinates : Centring
        Map between theta and the coefficients of X.
    passes : Passes
        Counter that objectives made from this one share, except restrictions.
    null_point : Point
        Null model: W = 0, with intercepts that predict each class at its share. `minimise` and
        `Monitor` need it, a single solver does not. None in an objective that `Objective.of`
        did not make (`streaming`).
    terms : tuple of objects with the methods of `streaming.terms.Past`
        Smooth convex functions of theta, one t each. With terms there is no certificate, and
        `restricted` and `delivered_value` are not defined.
    soft : SoftTargets or None
        What distributions in `sample` add to the loss of its labels.
    """

    rows: Rows
    sample: Sample
    penalty: object
    coordinates: Centring
    passes: Passes = field(default_factory=Passes)
    null_point: Point | None = None
    terms: tuple = ()
    soft: SoftTargets | None = None
    _row_mean: np.ndarray | None = None
    _class_sums: np.ndarray | None = None
    _offset: OffsetSums | None = None

    @classmethod
    def of(
        cls, rows, sample, *, n_classes, binary, penalty, fit_intercept, passes=None,
    ):
        """Return the objective for new rows; two passes, three with a mixture of each row.

        Parameters
        ----------
        rows : Rows
            Finite values, float32 or float64.
        sample : Sample
            Argument of ``rows.place``.
        n_classes : int
        binary : bool
            Whether the model is one row of parameters with the sigmoid, instead of two rows
            with the softmax.
        penalty : `L2Penalty` or `SparsePenalty`
        fit_intercept : bool
        passes : Passes, optional
            Counter of passes, which these and all later ones increase.
        """
        passes = Passes() if passes is None else passes
        labels = sample
        sample, shares = rows.place(sample, n_classes)
        mean, ranges = rows.column_summary(sample)
        passes.n += 1
        coordinates = Centring.of(mean, ranges, fit_intercept, 1 if binary else n_classes)
        bare = cls(rows, sample, penalty, coordinates, passes)
        null_shares, mixture = shares, sample.label_mixture
        if mixture is not None:
            null_shares = shares @ mixture
        elif sample.is_mixed:
            bare = replace(bare, soft=SoftTargets.of(rows, sample, coordinates))
            passes.n += 1
        plain = replace(bare, rows=rows.without_offset)
        null_point = plain.evaluate(null_theta(null_shares, *bare.shape, fit_intercept))
        row_mean = np.where(coordinates.is_constant, 0.0, mean - coordinates.shift)
        row_sums = np.append(row_mean, 1.0)
        sums = class_sums(null_point.loss_grad, shares, null_shares, row_sums, fit_intercept)
        if mixture is not None:
            whole = np.stack([row_sums - sums[0], sums[0]]) if binary else sums
            soft = SoftTargets.of_labels(mixture, whole, coordinates)
            bare, sums = replace(bare, soft=soft), sums - soft.tilt
            null_point = bare._completed(soft.tilted(null_point))
        offset = None
        if rows.offset is not None:
            bare, offset = bare._with_offset(labels)
            theta = null_point.theta
            if fit_intercept:    # balance the mean offset: probabilities of 0 and 1 have no slope
                level = 0.0 if binary else offset.mean.mean()
                theta[:, -1] -= offset.mean - level
            null_point = bare.evaluate(theta)
        return replace(
            bare, null_point=null_point, _row_mean=row_mean, _class_sums=sums, _offset=offset
        )

    def _with_offset(self, labels):
        """Return the objective with all that offsets add to the loss, and their `OffsetSums`."""
        sums = OffsetSums.of(self.rows.offset, labels)
        if self.soft is None:
            return self, sums
        constant = self.sample.times_rest(lambda rows: self.rows.offset[rows])
        return replace(self, soft=self.soft._replace(constant=constant)), sums._replace(
            of_targets=sums.of_targets - constant
        )

    def with_penalty(self, penalty):
        """Return the objective with the same loss and another penalty."""
        # The null point is the same: every penalty is 0 at W = 0.
        return replace(self, penalty=penalty)

    def with_null_point(self, theta):
        """Return the objective with another null model, W = 0; one pass."""
        return replace(self, null_point=self.evaluate(theta))

    def restricted(self, features):
        """Return the objective in the coefficients of some features; the others are zero.

        The result holds a copy of the columns of these features.

        features : (m,) integers, ascending
        """
        assert not self.terms
        columns, null = np.append(features, self.n_features), self.null_point
        return replace(
            self, rows=self.rows.columns(features), penalty=self.penalty.restricted(features),
            coordinates=self.coordinates.restricted(features), passes=Passes(),
            null_point=null._replace(
                theta=null.theta[:, columns], grad=null.grad[:, columns],
                loss_grad=null.loss_grad[:, columns],
            ),
            _row_mean=self._row_mean[features], _class_sums=self._class_sums[:, columns],
            soft=None if self.soft is None else self.soft.restricted(columns),
        )

    n_samples = property(lambda self: self.rows.n_samples, doc="Number of rows of X.")
    n_features = property(lambda self: self.rows.n_features, doc="Number of columns of X.")
    n_entries = property(lambda self: self.rows.n_entries, doc="Number of entries X stores.")
    is_sparse = property(lambda self: self.rows.is_sparse, doc="Whether X is sparse.")
    rates = property(lambda self: self.rows.rates, doc="`Rates` of the passes.")
    algebra = property(lambda self: self.rows.algebra, doc="`HostAlgebra` of the rows.")

    @property
    def n_rows(self):
        """Number of rows of theta: the number of classes, or 1 for the binary model."""
        return self.coordinates.n_rows

    @property
    def fit_intercept(self):
        """Whether the last column of theta is free."""
        return self.coordinates.fit_intercept

    @property
    def shape(self):
        """Shape of theta."""
        return self.n_rows, self.n_features + 1

    @property
    def surely_overlap(self):
        """Whether targets have shares of all classes, so that no direction separates any."""
        return self.sample.surely_overlap

    @lazy
    def is_penalised(self):
        """Whether the duality gap is finite: all features are penalised and there are no terms."""
        return self.penalty.is_strict and not self.terms

    @lazy
    def free_shifts(self):
        """Sets of parameters whose common shift changes nothing, a list of arrays of indices.

        A set is the intercepts of all classes, or all classes' coefficients of a feature
        without a penalty or term. Indices are those of theta.ravel().
        """
        if self.n_rows == 1:
            return []
        is_free = np.broadcast_to(self.penalty.weight, self.n_features) == 0
        for term in self.terms:
            is_free = is_free & term.is_free
        columns = np.append(np.flatnonzero(is_free), self.n_features)
        width = self.n_features + 1
        return [np.arange(j, self.n_rows * width, width) for j in columns]

    @property
    def evaluation_flops(self):
        """Number of floating-point operations of `evaluate`, products only."""
        return 4.0 * self.n_entries * self.n_rows

    @property
    def has_full_covariance(self):
        """Whether `curvature` can give the full covariance, not only its diagonal."""
        return self.n_features <= MAX_FULL_COVARIANCE

    def evaluate(self, theta, with_hessian=False, dtype=np.float64):
        """Return the `Point` at theta; one pass, 4 n_samples n_features n_rows flops.

        Columns in `coordinates.zeros` are read as zero, and are zero in the returned `Point`.

        Parameters
        ----------
        theta : (n_rows, n_features + 1)
        with_hessian : bool
            Whether to compute the dense Hessian in theta.ravel() too, n_samples theta.size^2
            flops. For parameters that stay zero its rows and columns are the identity's.
        dtype : float32 or float64
            Arithmetic within blocks of rows. float32 is twice as fast, with errors of about 1e-7
            of the terms: enough until the last iterations. Certificates require float64.
        """
        self.passes.n += 1
        hessian = None
        theta = self.coordinates.feasible(theta)
        data = self.sample, self.coordinates.shift
        if with_hessian:
            loss, loss_grad, n_errors, hessian = self.rows.value_grad_hessian(*data, theta)
            self._complete(hessian, theta)
        else:
            loss, loss_grad, n_errors = self.rows.value_grad(*data, cast(theta, dtype))
        point = Point(theta, loss, loss_grad, loss, loss_grad, n_errors, hessian)
        return self._completed(point if self.soft is None else self.soft.tilted(point))

    def _completed(self, point):
        """Return the `Point` of a loss with penalty and terms added to it."""
        self.coordinates.project(point.loss_grad)
        value, grad = self._with_penalty(point.theta, point.loss, point.loss_grad)
        return point._replace(value=value, grad=grad)

    def repenalised(self, point):
        """Convert a `Point` under another penalty to the present one; no pass."""
        value, grad = self._with_penalty(point.theta, point.loss, point.loss_grad)
        return point._replace(value=value, grad=grad, hessian=None)

    def _with_penalty(self, theta, loss, loss_grad):
        """Return the value and gradient of the objective, from those of the loss."""
        grad = np.empty_like(loss_grad)
        grad[:, -1] = loss_grad[:, -1]
        value = loss + add_gradient(self.penalty, theta[:, :-1], loss_grad[:, :-1], grad[:, :-1])
        for term in self.terms:
            more, more_grad = term.value_grad(theta)
            value += more
            grad += more_grad
        return value, grad

    def delivered_value(self, coef, intercept, order=None):
        """Return the objective of (coef, intercept), a float, as predictions compute it; one pass.

        Columns are not centred. The arithmetic is float32 if X, coef and intercept are float32.
        The value is inf or NaN where logits overflow.

        Parameters
        ----------
        coef : (n_rows, n_features)
        intercept : (n_rows,)
        order : (n_features,) int, optional
            Index of the features in the user's order, in which predictions add up a row's
            products. The columns are copied.
        """
        assert not self.terms
        self.passes.n += 1
        rows, columns = self.rows, coef
        if order is not None:
            rows, columns = rows.columns(order), coef[:, order]
        theta = np.column_stack([columns, intercept])
        dtype = np.result_type(theta.dtype, rows.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            theta = theta.astype(dtype, copy=False)
            loss = rows.predicted_loss(self.sample, theta)
            return float(loss + self.penalty.value(coef.astype(np.float64)))

    def hessian(self, theta, index):
        """Return the Hessian in theta.ravel()[index], index ascending; one pass.

        About n_samples len(index)^2 flops, or those of the whole Hessian if these are fewer.
        """
        self.passes.n += 1
        out = self.rows.hessian(self.sample, self.coordinates.shift, theta, index)
        self._complete(out, theta, index)
        return out

    def hessian_of(self, point):
        """Return the Hessian at a `Point`; one pass, unless it comes with it."""
        if point.hessian is None and self.has_full_covariance and is_null(self.rows, point.theta):
            self.passes.n += 1
            out = null_hessian(self.rows, self.sample, self.coordinates.shift, point.theta)
            self._complete(out, point.theta)
            return out
        if point.hessian is None:
            point = self.evaluate(point.theta, with_hessian=True)
        return point.hessian

    def _complete(self, hessian, theta, index=None):
        """Add penalty and terms to the loss's Hessian in theta.ravel()[index], in place.

        index : (m,) integers, ascending; None for all
        """
        check_squares(hessian.diagonal())
        for term in self.terms:
            more = term.hessian(theta)
            hessian += more if index is None else more[np.ix_(index, index)]
        curvature = self._penalty_curvature if index is None else self._penalty_curvature[index]
        np.einsum("ii->i", hessian)[:] += curvature    # einsum gives a view of the diagonal
        if len(self.coordinates.zeros):
            index = np.arange(theta.size) if index is None else index
            self.coordinates.fix_zeros(hessian, index)

    @lazy
    def _penalty_curvature(self):
        """Second derivatives of the penalty in theta.ravel()."""
        row = np.append(np.broadcast_to(self.penalty.curvature, self.n_features), 0.0)
        return np.tile(row, self.n_rows)

    def hess_prod(self, theta, direction):
        """Return the Hessian at theta times `direction`; 6 n_samples n_features n_rows flops."""
        self.passes.n += 1
        out = self.rows.hess_prod(self.sample, self.coordinates.shift, theta, direction)
        self.coordinates.project(out)
        out[:, :-1] += self.penalty.grad(direction[:, :-1])
        for term in self.terms:
            out += term.hess_prod(theta, direction)
        return out

    def curvature(self, theta, full=True):
        """Return the Kronecker factors of the Hessian of the loss at theta; one pass.

        Their covariance is a diagonal unless `full` and `has_full_covariance`.

        Raises
        ------
        ValueError
            If squares of X overflow.
        """
        self.passes.n += 1
        full, is_constant = full and self.has_full_covariance, self.coordinates.is_constant
        classes, moments = self.rows.curvature(
            self.sample, self.coordinates.shift, theta, full, self.n_rows <= MAX_FULL_CLASSES
        )
        check_squares(moments)
        mean, covariance = mean_and_covariance(moments, full, self.fit_intercept)
        mean[is_constant] = 0.0
        covariance[is_constant] = 0.0
        if full:
            covariance[:, is_constant] = 0.0
        return Curvature(classes, mean, covariance)

    def gap(self, point):
        """Return a certified bound on point.value minus the optimum; no pass over the rows.

        The bound is at most point.value, because the optimum is not negative. Without a
        penalty on every feature the bound is infinite.
        """
        if not self.is_penalised:
            return np.inf
        gap = duality_gap(
            self.penalty, point.theta, point.loss, point.loss_grad, self._class_sums,
            self._row_mean, self.fit_intercept, self._offset,
        )
        return gap if gap < point.value >= self.rows.least_proven else point.value

    def on_host(self, expanded=False):
        """Return (X, y, weight, shift) as NumPy or SciPy arrays; None where X is elsewhere.

        expanded: whether a row comes once for each class of positive share, not with its label.
        """
        found = self.rows.on_host(self.sample)
        if found is None:
            return None
        X, sample = found
        some = sample.as_labels(X) if expanded else (X, *sample.labels)
        return *some, self.coordinates.shift

    def to_coef(self, theta, dtype=np.float64):
        """Return (coef, intercept) of the columns of X; see `Centring.to_coef`."""
        return self.coordinates.to_coef(
            theta, dtype, not self.penalty.has_kinks, self.penalty.cast
        )

    def from_coef(self, coef, intercept):
        """Return theta from (coef, intercept), the inverse of `to_coef`."""
        return self.coordinates.from_coef(coef, intercept)
