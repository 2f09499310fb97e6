"""Terms that stand for past batches in the objective of a new batch; see `stream`.

A term of `Objective.terms` has ``is_free``, ``value_grad``, ``hess_prod`` and, for solvers that
compute Hessians, ``hessian``.
"""

import numpy as np
from scipy.special import entr, softmax

from ..parallel.elementwise import inner


class Past:
    """Quadratic term 1/2 (theta - theta_t)' P_t (theta - theta_t).

    Parameters
    ----------
    center : (n_rows, n_features + 1), theta_t
    posterior : DensePosterior or KroneckerPosterior, P_t
    is_free : (n_features,) bool
        Unpenalised features. A shift of their coefficients common to all classes does not
        change the term.
    """

    def __init__(self, center, posterior, is_free):
        self.center, self.posterior, self.is_free = center, posterior, is_free
        self._product = posterior.operator()

    def value_grad(self, theta):
        """Return value and gradient, (n_rows, n_features + 1)."""
        change = theta - self.center
        pull = self._product(change)
        return inner(change, pull) / 2, pull

    def hess_prod(self, theta, direction):
        """Return P_t times a direction."""
        return self._product(direction)

    def hessian(self, theta):
        """Return the matrix P_t; only a `DensePosterior` has one."""
        return self.posterior.matrix


class NewClasses:
    """Loss of past rows from new classes: n log(1 + sum_k exp((L theta m)_k + o_k)).

    This is the term of `stream` in matrix form, (L theta m)_k + o_k = z_k - c.

    Parameters
    ----------
    rows : (number of new classes, n_rows), L
        1 for a new class k, and minus the softmax p of the old classes at m.
    offset : (number of new classes,), o
        Minus the entropy of p, plus L times the mean offset of past rows.
    mean : (n_features + 1,), m
        Mean past row, centred like the batch, and 1.
    weight : float, n
        Weight of the past rows.
    """

    is_free = True    # for all features: a shift common to all classes does not change the term

    def __init__(self, rows, offset, mean, weight):
        self._rows, self._offset, self.mean, self._weight = rows, offset, mean, weight

    @classmethod
    def after(cls, past, theta, is_new, mean_offset):
        """Return the term for the past rows of a stream.

        Parameters
        ----------
        past : Stream
        theta : (n_rows, n_features + 1)
            Parameters of all classes in the model, at the start of the batch.
        is_new : (n_rows,) bool
            Mask of the new classes. Not used for the binary model.
        mean_offset : (n_rows,)
            Mean offset of the past rows.
        """
        mean = np.append(past.mean - past.shift, 1.0)
        if len(theta) == 1:    # the one logit is that of class 1 minus that of class 0
            rows = np.array([[1.0 if past.seen[0] else -1.0]])
            return cls(rows, rows @ mean_offset, mean, past.weight_seen)
        proba = softmax((theta @ mean + mean_offset)[~is_new])
        rows = np.eye(len(theta))[is_new]
        rows[:, ~is_new] = -proba
        return cls(rows, rows @ mean_offset - entr(proba).sum(), mean, past.weight_seen)

    def at_temperature(self, temperature):
        """Return the term of `Batch.at_temperature`."""
        return NewClasses(self._rows, self._offset / temperature, self.mean, self._weight)

    def of_logits(self, logits):
        """Return value, gradient (n_rows,) and Hessian (n_rows, n_rows) in the logits at m."""
        rows, weight = self._rows, self._weight
        added = np.append(rows @ logits + self._offset, 0.0)
        largest = added.max()
        value = largest + np.log(np.exp(added - largest).sum())
        proba = softmax(added)[:-1]
        curvature = rows.T @ (np.diag(proba) - np.outer(proba, proba)) @ rows
        # Exactly symmetric, because only half of it is kept between batches.
        return weight * value, weight * (proba @ rows), weight / 2 * (curvature + curvature.T)

    def value_grad(self, theta):
        """Return value and gradient, (n_rows, n_features + 1)."""
        value, grad, _ = self.of_logits(theta @ self.mean)
        if len(grad) > 1:    # the mean is rounding error, which would shift all intercepts
            grad -= grad.mean()
        return value, np.outer(grad, self.mean)

    def factors(self, theta):
        """Return A and m of the Hessian A (x) m m'."""
        return self.of_logits(theta @ self.mean)[2], self.mean

    def hess_prod(self, theta, direction):
        """Return the Hessian at theta times a direction."""
        classes, mean = self.factors(theta)
        return np.outer(classes @ (direction @ mean), mean)

    def hessian(self, theta):
        """Return the Hessian in theta.ravel()."""
        classes, mean = self.factors(theta)
        return np.kron(classes, np.outer(mean, mean))
