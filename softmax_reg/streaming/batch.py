"""What a batch minimises: its own loss and a quadratic function for all before; see `stream`."""

import numpy as np
from scipy.special import entr, softmax

from ..problem.objective import Point
from ..solvers.factor import fill_null_space, newton_step
from ..solvers.line_search import inner, line_search
from ..solvers.newton import conjugate_gradients
from .dual import LogitObjective, dual_flops, minimise_dual

# Decrease promised by the last Newton step, relative to the value at the start, and largest
# number of steps.
_ENOUGH = 1e-9
_MAX_STEPS = 100
# Same with Kronecker factors, which are good to far less than that.
_ENOUGH_FACTORED = 1e-5
_MAX_STEPS_FACTORED = 10
_REDUCTION = 0.1
_MAX_CG = 10
# Largest number of entries of an array of `dual`: 32 MiB.
_MAX_DUAL_NUMBERS = 2**22
# Largest relative difference of the values in theta and in the logits that is rounding.
_AGREEMENT = 1e-8
_OVERFLOW = (
    "X or sample_weight holds values whose products overflow float64. Scale them down, or leave "
    "out columns that hold no measurements."
)


class NewClasses:
    """Past rows to classes that come first now: n log(1 + sum_k exp((L theta m)_k + o)).

    Parameters
    ----------
    rows : (k, n_rows), L of `stream`
    offset : float, o
    mean : (n_features + 1,), m with a one
    weight : float, n
    """

    def __init__(self, rows, offset, mean, weight):
        self._rows, self._offset, self.mean, self._weight = rows, offset, mean, weight

    @classmethod
    def after(cls, past, theta, is_new):
        """Return the past of the stream `past`, in all rows of theta now in the model."""
        mean = np.append(past.mean - past.shift, 1.0)
        if len(theta) == 1:    # its logit is that of class 1
            return cls(np.array([[1.0 if past.seen[0] else -1.0]]), 0.0, mean, past.weight_seen)
        proba = softmax(theta[~is_new] @ mean)
        rows = np.eye(len(theta))[is_new]
        rows[:, ~is_new] = -proba
        return cls(rows, -entr(proba).sum(), mean, past.weight_seen)

    def of_logits(self, logits):
        """Return value, gradient (n_rows,) and Hessian (n_rows, n_rows) in the logits at m."""
        rows, weight = self._rows, self._weight
        added = np.append(rows @ logits + self._offset, 0.0)
        largest = added.max()
        value = largest + np.log(np.exp(added - largest).sum())
        proba = softmax(added)[:-1]
        curvature = rows.T @ (np.diag(proba) - np.outer(proba, proba)) @ rows
        # Exactly symmetric, as half of it is what a pickle holds.
        return weight * value, weight * (proba @ rows), weight / 2 * (curvature + curvature.T)

    def value_grad(self, theta):
        """Return value and gradient, (n_rows, n_features + 1)."""
        value, grad, _ = self.of_logits(theta @ self.mean)
        return value, np.outer(grad, self.mean)

    def factors(self, theta):
        """Return A and m of the Hessian A (x) m m'."""
        return self.of_logits(theta @ self.mean)[2], self.mean


class BatchObjective:
    """The function of `stream`, of the classes that have come.

    Parameters
    ----------
    rows : MemoryRows
    sample : Sample
    shift : (n_features,)
    center : (n_rows, n_features + 1), theta_t
    posterior : DensePosterior or KroneckerPosterior, P_t
    new_classes : NewClasses or None
    fit_intercept : bool
    """

    def __init__(self, rows, sample, shift, center, posterior, new_classes, fit_intercept):
        self._rows, self._sample, self._shift = rows, sample, shift
        self._center = center
        self._posterior = posterior
        self._pull = posterior.operator()
        self._new = new_classes
        self._fit_intercept = fit_intercept

    def evaluate(self, theta, with_hessian=False):
        """Return a `Point`, as `Objective.evaluate`; one pass over the batch."""
        data = self._sample, self._shift, theta
        hessian = None
        if with_hessian:
            loss, loss_grad, n_errors, hessian = self._rows.value_grad_hessian(*data)
            hessian += self._posterior.matrix
            if self._new is not None:
                classes, mean = self._new.factors(theta)
                hessian += np.kron(classes, np.outer(mean, mean))
            if not self._fit_intercept:
                self._fix_intercepts(hessian)
        else:
            loss, loss_grad, n_errors = self._rows.value_grad(*data)
        if self._new is not None:
            more, more_grad = self._new.value_grad(theta)
            loss, loss_grad = loss + more, loss_grad + more_grad
        self._project(loss_grad)
        change = theta - self._center
        pull = self._pull(change)
        value = loss + inner(change, pull) / 2
        return Point(theta, value, loss_grad + pull, loss, loss_grad, n_errors, hessian)

    def minimise_in_logits(self, theta, free):
        """Minimise in the space of the batch's logits, where that takes fewer flops.

        theta : (n_rows, n_features + 1)
            The centre.
        free : (n_anchors,)
            Columns of theta without a penalty.

        Returns
        -------
        Point or None
            With its Hessian where the posterior is dense. None where it takes more flops, or
            rounding is too large.
        """
        rows, (n_rows, width) = self._rows, theta.shape
        n = rows.n_samples + (self._new is not None) + len(free)
        flops = dual_flops(n, n_rows) + self._posterior.dual_flops(n, width)
        is_large = n * n_rows * max(width, n * n_rows) > _MAX_DUAL_NUMBERS
        if is_large or flops > self._posterior.minimisation_flops(rows):
            return None
        X = self._centred_rows()
        share = np.einsum("i,ij->j", self._sample.weight, X[:, free] ** 2)
        deltas = np.where(share > 0, share, self._sample.weight.sum())
        if self._new is not None:
            X = np.concatenate([X, self._new.mean[np.newaxis]])
        dual = self._posterior.dual(X, free, deltas)
        if dual is None:
            return None
        gram, change = dual
        logits = X @ theta.T
        in_logits = LogitObjective(
            logits[:rows.n_samples], *self._sample, self._new, logits[-1], deltas, gram
        )
        found = minimise_dual(in_logits, (n, n_rows), _ENOUGH)
        if found is None:
            return None
        point = self.evaluate(theta + change(found.theta))
        # Rounding in the Gram matrix shows as a difference between the two.
        if not abs(point.value - found.value) <= _AGREEMENT * abs(found.value):
            return None
        if self._posterior.is_dense:
            blocks = found.hessian[:len(X)]    # not of the anchors
            point = point._replace(hessian=self._posterior.plus_rows(X, blocks))
        return _checked(point)

    def _centred_rows(self):
        """[x - shift, 1] of every row, dense float64; a last column of 0 without intercept."""
        rows = self._rows
        X = np.full((rows.n_samples, rows.n_features + 1), float(self._fit_intercept))
        X[:, :-1] = rows.X.toarray() if rows.is_sparse else rows.X
        X[:, :-1] -= self._shift
        return X

    def hess_prod(self, theta, direction):
        """Hessian at theta times direction; one pass over the batch."""
        out = self._rows.hess_prod(self._sample, self._shift, theta, direction)
        if self._new is not None:
            classes, mean = self._new.factors(theta)
            out += np.outer(classes @ (direction @ mean), mean)
        self._project(out)
        return out + self._pull(direction)

    def grown(self, theta):
        """`KroneckerPosterior` P_t with the factors at theta; one pass over the batch."""
        past = self._posterior
        classes, moments = self._rows.curvature(
            self._sample, self._shift, theta, past.full, past.classes.ndim == 2
        )
        if self._new is not None:
            more, mean = self._new.factors(theta)
            squares = np.outer(mean, mean) if past.full else np.stack([mean, mean**2])
            moments = moments + np.trace(more) * squares
            classes = classes + (more if past.classes.ndim == 2 else np.diag(more))
        if not np.all(np.isfinite(moments)):
            raise ValueError(_OVERFLOW)
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


def minimise_exactly(objective, theta, shifts):
    """Damped Newton from theta; `Point` with its Hessian.

    shifts : list of index arrays, as `Objective.free_shifts`
    """
    point = objective.evaluate(theta, with_hessian=True)
    enough = _ENOUGH * point.value
    for _ in range(_MAX_STEPS):
        system = point.hessian.copy()
        fill_null_space(system, shifts)
        step = newton_step(system, point.grad)
        if step is None:
            raise ValueError(_OVERFLOW)
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
    return _checked(point)


def minimise_nearly(objective, theta, transform):
    """Run truncated Newton from theta in the variables of `transform`; return a `Point`.

    transform : KroneckerTransform
    """
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
    return _checked(point)


def _checked(point):
    """Return `point`, or raise ValueError where any of it has overflowed."""
    for part in (point.value, point.grad, point.hessian):
        if part is not None and not np.all(np.isfinite(part)):
            raise ValueError(_OVERFLOW)
    return point
