"""Learning from batches of rows, one pass: the past is a quadratic function of theta.

Of the batches 1..t a stream keeps the point theta_t and a precision P_t. The next one, with
rows i of weights s_i, is taken in by

    theta_{t+1} = argmin  sum_i s_i CE_i(theta) + 1/2 (theta - theta_t)' P_t (theta - theta_t),
    P_{t+1}     = P_t + H_{t+1},

H_{t+1} the Hessian of the batch's loss at theta_{t+1}; P_0 is 1/C (times the penalty factor)
on W and 0 on the intercept, theta_0 = 0. So the first batch gets the optimum of the full
objective, and later ones that of their own loss plus the second-order Taylor expansion of
all before: recursive least squares, were the loss quadratic, the online Laplace approximation
in Bayesian terms. What is lost is how curvatures of past rows change as theta moves on.

Two forms of P: the matrix itself (`DensePrecision`), or where that gets too large the sums
of Kronecker factors of `solvers.kronecker` (`KroneckerPrecision`), A (x) M / trace(A) + P_0.

Classes that have not come yet are not in the model. A past without them would pull their
intercepts to minus infinity, where no curvature is left to tell of it. When they come first,
in a batch after a past of weight n and mean row m, that past is

    n log(1 + sum_new exp(z_k - c)),    z = theta [m, 1],    c = H(p) + sum_old p_j z_j,

p the old classes' softmax at m and H(p) its entropy: of n rows of old classes at m the loss
that new ones add, with the logsumexp of the old logits replaced by its tangent at theta_t,
so that nothing that P_t knows is told twice. It is convex, and its Hessian goes into P_{t+1}.

References
----------
Bottou & Le Cun (2004), Large scale online learning, NIPS 16: one pass of such steps gets as
near to the expected loss's minimum as the optimum over all rows, asymptotically.
Murata (1998), A statistical study of on-line learning, in Saad (ed.), On-line Learning in
Neural Networks.
Ritter, Botev & Barber (2018), Online structured Laplace approximations for overcoming
catastrophic forgetting, NeurIPS 31: with Kronecker factors.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import entr, softmax

from ._problem import ABSENT_INTERCEPT
from .kernels import cpu
from .objective import MAX_FULL_CLASSES, MAX_FULL_COVARIANCE, Curvature, Point, mean_and_covariance
from .solvers.hessian import fill_null_space, newton_step
from .solvers.kronecker import KroneckerTransform
from .solvers.line_search import inner, line_search
from .solvers.newton import conjugate_gradients

# Parameters up to which the precision is one matrix (128 MiB).
MAX_DENSE_SIZE = 4096
# The last Newton step promises less than this, relative to the value at the start.
_ENOUGH = 1e-9
_MAX_STEPS = 100
# The same with Kronecker factors, which are good to far less than that.
_ENOUGH_FACTORED = 1e-5
_MAX_STEPS_FACTORED = 10
_REDUCTION = 0.1
_MAX_CG = 10
# Growth of the weight seen at which the factors are decomposed anew.
_REFRESH = 1.3


class DensePrecision(NamedTuple):
    """P as a matrix in theta.ravel(), (size, size)."""

    matrix: np.ndarray

    @classmethod
    def prior(cls, n_rows, n_features, l2, fit_intercept):
        """P_0; without an intercept its last columns are those of the identity."""
        row = np.append(np.broadcast_to(l2, n_features), 0.0 if fit_intercept else 1.0)
        return cls(np.diag(np.tile(row, n_rows)))

    def of_rows(self, kept):
        """That of some rows of theta, a mask; the others do not move."""
        if kept.all():
            return self
        index = np.flatnonzero(np.repeat(kept, len(self.matrix) // len(kept)))
        return DensePrecision(self.matrix[np.ix_(index, index)])

    def with_rows(self, kept, part):
        """With `part` in the place of these rows and columns."""
        if kept.all():
            return part
        index = np.flatnonzero(np.repeat(kept, len(self.matrix) // len(kept)))
        matrix = self.matrix.copy()
        matrix[np.ix_(index, index)] = part.matrix
        return DensePrecision(matrix)

    def product(self, change):
        """P times a change of theta."""
        return (self.matrix @ change.ravel()).reshape(change.shape)


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

    def plus(self, classes, moments):
        """With these added to the sums."""
        return self._replace(classes=self.classes + classes, moments=self.moments + moments)

    def factors(self):
        """`Curvature`, as the solvers' transforms take it."""
        return Curvature(
            self.classes, *mean_and_covariance(self.moments, self.full, self.fit_intercept)
        )

    def product(self, change):
        """P times a change of theta; 2 n_rows n_features (n_rows + n_features) flops."""
        classes, mean, covariance = self.factors()
        coef, intercept = change[:, :-1], change[:, -1:]
        moved = np.empty(change.shape)
        # Of the logits at the mean, and of the features around it.
        moved[:, -1:] = intercept + (coef @ mean)[:, np.newaxis] if self.fit_intercept else 0.0
        moved[:, :-1] = (
            cpu.product(coef, covariance) if covariance.ndim == 2 else coef * covariance
        )
        moved[:, :-1] += moved[:, -1:] * mean
        out = (
            cpu.product(classes, moved) if classes.ndim == 2 else classes[:, np.newaxis] * moved
        )
        out[:, :-1] += self.l2 * coef
        return out


class _NewClasses:
    """n log(1 + sum_k exp(L theta m)_k + o_k)): the past, to classes that come first now.

    Parameters
    ----------
    rows : (k, n_rows), L of the module's docstring
    offset : float, o
    mean : (n_features + 1,), m with a one
    weight : float, n
    """

    def __init__(self, rows, offset, mean, weight):
        self._rows, self._offset, self._mean, self._weight = rows, offset, mean, weight

    @classmethod
    def after(cls, past, theta, is_new):
        """Of the stream `past`, in rows of theta (all that are in the model now)."""
        mean = np.append(past.mean - past.shift, 1.0)
        if len(theta) == 1:    # its logit is that of class 1
            return cls(np.array([[1.0 if past.seen[0] else -1.0]]), 0.0, mean, past.weight_seen)
        proba = softmax(theta[~is_new] @ mean)
        rows = np.eye(len(theta))[is_new]
        rows[:, ~is_new] = -proba
        return cls(rows, -entr(proba).sum(), mean, past.weight_seen)

    def _proba(self, theta):
        logits = np.append(self._rows @ (theta @ self._mean) + self._offset, 0.0)
        largest = logits.max()
        return softmax(logits)[:-1], largest + np.log(np.exp(logits - largest).sum())

    def value_grad(self, theta):
        proba, value = self._proba(theta)
        return self._weight * value, self._weight * np.outer(proba @ self._rows, self._mean)

    def factors(self, theta):
        """A and m: the Hessian is A (x) m m'."""
        proba, _ = self._proba(theta)
        covariance = np.diag(proba) - np.outer(proba, proba)
        return self._weight * (self._rows.T @ covariance @ self._rows), self._mean


class BatchObjective:
    """The function of the module's docstring, of the classes that have come.

    Parameters
    ----------
    data : tuple of rows, y, weight, shift
        As kernels take them.
    center : theta_t
    precision : P_t
    new_classes : _NewClasses or None
    fit_intercept : bool
    """

    eps = float(np.finfo(np.float64).eps)

    def __init__(self, data, center, precision, new_classes, fit_intercept):
        self._rows, self._y, self._weight, self._shift = data
        self._center = center
        self._precision = precision
        self._new = new_classes
        self._fit_intercept = fit_intercept

    def evaluate(self, theta, with_hessian=False):
        """A `Point`; one pass over the batch, as `Objective.evaluate`."""
        data = self._rows, self._y, self._weight, self._shift, theta
        hessian = None
        if with_hessian:
            loss, loss_grad, n_errors, hessian = cpu.value_grad_hessian(*data)
            hessian += self._precision.matrix
            if self._new is not None:
                classes, mean = self._new.factors(theta)
                hessian += np.kron(classes, np.outer(mean, mean))
            if not self._fit_intercept:
                self._fix_intercepts(hessian)
        else:
            loss, loss_grad, n_errors = cpu.value_grad(*data)
        if self._new is not None:
            more, more_grad = self._new.value_grad(theta)
            loss, loss_grad = loss + more, loss_grad + more_grad
        self._project(loss_grad)
        change = theta - self._center
        pull = self._precision.product(change)
        value = loss + inner(change, pull) / 2
        return Point(theta, value, loss_grad + pull, loss, loss_grad, n_errors, hessian)

    def hess_prod(self, theta, direction):
        """Hessian at theta times direction; one pass over the batch."""
        out = cpu.hess_prod(self._rows, self._weight, self._shift, theta, direction)
        if self._new is not None:
            classes, mean = self._new.factors(theta)
            out += np.outer(classes @ (direction @ mean), mean)
        self._project(out)
        return out + self._precision.product(direction)

    def grown(self, theta):
        """`KroneckerPrecision` P_t with the factors at theta; one pass over the batch."""
        past = self._precision
        classes, moments = cpu.curvature(
            self._rows, self._weight, self._shift, theta, past.full, past.classes.ndim == 2
        )
        if self._new is not None:
            more, mean = self._new.factors(theta)
            squares = np.outer(mean, mean) if past.full else np.stack([mean, mean**2])
            moments = moments + np.trace(more) * squares
            classes = classes + (more if past.classes.ndim == 2 else np.diag(more))
        return past.plus(classes, moments)

    def _project(self, change):
        """As `Objective._project`."""
        if len(change) > 1:
            change -= np.add.reduce(change) / len(change)
        if not self._fit_intercept:
            change[:, -1] = 0.0

    def _fix_intercepts(self, hessian):
        width = self._center.shape[1]
        intercepts = np.arange(width - 1, len(hessian), width)
        hessian[intercepts] = 0.0
        hessian[:, intercepts] = 0.0
        hessian[intercepts, intercepts] = 1.0


def _exactly(objective, theta, shifts):
    """Damped Newton from theta; `Point` with its Hessian.

    shifts : as `Objective.free_shifts`
    """
    point = objective.evaluate(theta, with_hessian=True)
    enough = _ENOUGH * point.value
    for _ in range(_MAX_STEPS):
        system = point.hessian.copy()
        fill_null_space(system, shifts)
        step = newton_step(system, point.grad)
        if step is None:
            raise ValueError(
                "X or sample_weight holds values whose products overflow float64, or columns "
                "of too different sizes. Scale the columns of X, or leave out those that hold "
                "no measurements."
            )
        slope = inner(point.grad, step)
        new = None
        if slope < 0:
            new, _ = line_search(objective, point, step, slope, with_hessian=True)
        if new is None:    # rounding rules here
            break
        point = new
        if point.hessian is None:    # the first step tried was not taken
            point = objective.evaluate(point.theta, with_hessian=True)
        if -slope <= 2 * enough:
            break
    return point


def _nearly(objective, theta, transform):
    """Truncated Newton from theta in the variables of a `KroneckerTransform`; `Point`."""
    point = objective.evaluate(theta)
    enough = _ENOUGH_FACTORED * point.value
    for _ in range(_MAX_STEPS_FACTORED):
        grad = transform.apply_transposed(point.grad)

        def product(v, theta=point.theta):
            return transform.apply_transposed(objective.hess_prod(theta, transform.apply(v)))

        v = conjugate_gradients(product, grad, _REDUCTION, _MAX_CG)
        slope = inner(grad, v)
        new = None
        if slope < 0:
            new, _ = line_search(objective, point, transform.apply(v), slope)
        if new is None:
            break
        point = new
        if -slope <= 2 * enough:
            break
    return point


class Stream(NamedTuple):
    """What is known after some batches; its size does not depend on how many.

    Attributes
    ----------
    theta : (n_rows, n_features + 1) float64
        theta_t, of rows x - shift; 0 for classes that have not come.
    precision : DensePrecision or KroneckerPrecision
    seen : (n_classes,) bool
        Classes that have come, with a weight; without an intercept all are in the model.
    shift : (n_features,)
        Weighted mean row of the first batch, 0 without an intercept.
    mean : (n_features,)
        Weighted mean row of all batches.
    weight_seen : float
        Of all rows so far.
    free : (m,) integers
        Features without a penalty.
    fit_intercept : bool
    transform : None, or (KroneckerTransform, the weight seen, the number of classes seen)
    """

    theta: np.ndarray
    precision: DensePrecision | KroneckerPrecision
    seen: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    weight_seen: float
    free: np.ndarray
    fit_intercept: bool
    transform: tuple | None = None

    @classmethod
    def start(cls, n_features, n_classes, *, C, fit_intercept, penalty_factor=1.0):
        """Before the first batch.

        penalty_factor : (n_features,) float64, finite, or 1.0
        """
        n_rows = 1 if n_classes == 2 else n_classes
        l2 = penalty_factor / C
        size = n_rows * (n_features + 1)
        form = DensePrecision if size <= MAX_DENSE_SIZE else KroneckerPrecision
        return cls(
            theta=np.zeros((n_rows, n_features + 1)),
            precision=form.prior(n_rows, n_features, l2, fit_intercept),
            seen=np.full(n_classes, not fit_intercept),
            shift=np.zeros(n_features),
            mean=np.zeros(n_features),
            weight_seen=0.0,
            free=np.flatnonzero(np.broadcast_to(l2, n_features) == 0),
            fit_intercept=fit_intercept,
        )

    def after(self, X, y, weight):
        """The stream after one more batch.

        Parameters
        ----------
        X : ndarray or CSR of shape (n_samples, n_features), validated
        y : (n_samples,) integers in [0, n_classes)
        weight : (n_samples,) float64, non-negative

        Dense P: a few passes over the batch with the Hessian (n_samples size^2 flops each),
        as many Cholesky factorisations (size^3 / 3). Kronecker factors: some 10 to 50 passes
        of 6 n_samples n_features n_rows flops, 2 n_samples n_features^2 for the factors, and
        seldom an eigendecomposition of each.
        """
        counts = weight > 0
        if not counts.any():
            return self
        if not counts.all():
            X, y, weight = X[counts], y[counts], weight[counts]
        rows = cpu.make_rows(X)
        share = weight / weight.max()
        mean = cpu.column_sums(rows, share / share.sum())
        total = weight.sum()
        weight_seen = self.weight_seen + total
        past = self
        if self.weight_seen == 0 and self.fit_intercept:
            past = self._replace(shift=mean)
        of_classes = np.bincount(y, weights=weight, minlength=len(self.seen))
        after = past._replace(
            seen=past.seen | (of_classes > 0),
            mean=past.mean + (mean - past.mean) * (total / weight_seen),
            weight_seen=weight_seen,
        )
        if np.count_nonzero(after.seen) < 2:
            return after
        with cpu.one_blas_thread():
            return past._solved(after, rows, y, weight, of_classes)

    def _solved(self, after, rows, y, weight, of_classes):
        """`after`, with its theta and its precision."""
        binary = len(self.theta) == 1
        kept = np.ones(1, dtype=bool) if binary else after.seen
        theta, new_classes = self._entered(after.seen, kept, of_classes)
        y = (y if binary else (np.cumsum(kept) - 1)[y]).astype(np.int32)
        objective = BatchObjective(
            (rows, y, weight, self.shift), theta, self.precision.of_rows(kept), new_classes,
            self.fit_intercept,
        )
        if isinstance(self.precision, DensePrecision):
            shifts = self._free_shifts(len(theta))
            point = _exactly(objective, theta, shifts)
            precision, transform = DensePrecision(point.hessian), None
        else:
            transform = self._transform(after, objective, theta)
            point = _nearly(objective, theta, transform[0])
            precision = objective.grown(point.theta)
        whole = self.theta.copy()
        whole[kept] = point.theta
        return after._replace(
            theta=whole, precision=self.precision.with_rows(kept, precision),
            transform=transform,
        )

    def _entered(self, seen, kept, of_classes):
        """(theta, _NewClasses or None): intercepts of classes that are new, by their share."""
        theta = self.theta[kept]
        if not self.fit_intercept or np.array_equal(seen, self.seen):
            return theta, None
        is_new = (seen & ~self.seen)[seen]
        share = np.log(of_classes[seen] / of_classes.sum())
        if len(theta) == 1:
            others = of_classes + self.weight_seen * self.seen
            theta[:, -1] = np.log(others[1] / others[0])
        elif is_new.all():
            theta[:, -1] = share - share.mean()
        else:
            old = theta[~is_new] @ np.append(self.mean - self.shift, 1.0)
            level = old.max() + np.log(np.exp(old - old.max()).sum())
            level += np.log(of_classes.sum() / (of_classes.sum() + self.weight_seen))
            theta[is_new, -1] = level + share[is_new]
        if is_new.all():
            return theta, None
        return theta, _NewClasses.after(self, theta, is_new)

    def _free_shifts(self, n_rows):
        """As `Objective.free_shifts`, of `n_rows` rows of theta."""
        width = self.theta.shape[1]
        if n_rows == 1:
            return []
        return [
            np.arange(j, n_rows * width, width) for j in np.append(self.free, width - 1)
        ]

    def _transform(self, after, objective, theta):
        """The last one, or where much has come since, that of the factors at theta."""
        n_seen = np.count_nonzero(after.seen)
        if self.transform is not None:
            _, weight, n_rows = self.transform
            if n_rows == n_seen and after.weight_seen <= _REFRESH * weight:
                return self.transform
        factors = objective.grown(theta).factors()
        transform = KroneckerTransform(factors, self.precision.l2, self.fit_intercept, cpu)
        return transform, after.weight_seen, n_seen

    def coef_and_intercept(self):
        """coef_ and intercept_ of the user's columns in float64, of all classes."""
        coef = self.theta[:, :-1].copy()
        intercept = self.theta[:, -1] - np.einsum("kj,j->k", coef, self.shift)
        if len(coef) == 1:
            if not self.seen.all():
                intercept[:] = ABSENT_INTERCEPT * (int(self.seen[0]) - int(self.seen[1]))
            return coef, intercept
        if self.seen.any():
            coef[self.seen] -= coef[self.seen].mean(axis=0)
            intercept = self.theta[:, -1] - np.einsum("kj,j->k", coef, self.shift)
            intercept[self.seen] -= intercept[self.seen].mean()
            intercept[~self.seen] = ABSENT_INTERCEPT
        return coef, intercept - intercept.mean()
