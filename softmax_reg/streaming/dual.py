"""Newton's method in the logits of a few rows, for a quadratic penalty around a centre.

The problem is to minimise sum_i f_i(u_i) + 1/2 d'Q d over d, the change of theta. Here u = J d
are the changes of the logits of N rows, and Q is positive definite. At the minimum
d = Q^-1 J' a with

    a_i = -f_i'(u_i),    u = G a,    G = J Q^-1 J'    of shape (N n_rows, N n_rows),

where n_rows is the number of rows of theta.

Once G is computed, the cost does not depend on the number of features. Let B be the
block-diagonal matrix of the Hessians f_i''. A Newton step from a is a+ - a, where

    (I + B G) a+ = B u - f'(u).

This is algorithm 3.1 of Rasmussen & Williams without the square roots of B, which do not exist
here: some blocks are negative.

The curvature P of the past is zero along three kinds of directions: the intercept of a new
class, an unpenalised feature, and a shift of all classes' intercepts. Q has to be positive
definite, so it is P with delta_j > 0 added to the diagonal, in all classes, for each column j of
theta without a penalty. For each j a further row of J, the anchor, has a one in column j and the
loss

    f_j(u) = -delta_j / 2 ||u - mean(u)||^2    (two classes: -delta_j / 2 u^2).

The anchors remove the added curvature, except along a shift of all classes. Nothing depends on
such a shift, and the curvature that is left there keeps the system regular.

References
----------
Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, section 3.4.
"""

import numpy as np
from scipy.linalg.lapack import dgesv
from scipy.special import expit, log_softmax, softmax

from ..parallel.elementwise import inner
from ..problem.objective import Point
from ..solvers.line_search import line_search

# Typical number of Newton steps, for the estimate of the cost.
_EXPECTED_STEPS = 8
_MAX_STEPS = 100


def dual_flops(n_rows, n_classes):
    """Estimate the flops of all Newton steps, 2/3 (n_rows n_classes)^3 each, once G is known.

    n_rows : int
        Number N of rows of J.
    n_classes : int
        Number of rows of theta.
    """
    return _EXPECTED_STEPS * 2 / 3 * (n_rows * n_classes) ** 3


def cross_entropy_blocks(logits, y, weight):
    """Compute the weighted sum of the rows' losses, and its derivatives in the logits.

    Returns
    -------
    value : float
    grad : (n_samples, n_rows)
    blocks : (n_samples, n_rows, n_rows)
        Hessian of every row's loss.
    """
    if logits.shape[1] == 1:
        z = logits[:, 0]
        loss = np.logaddexp(0.0, np.where(y == 1, -z, z))
        grad = np.where(y == 1, -expit(-z), expit(z))
        curvature = weight * expit(z) * expit(-z)
        return weight @ loss, (weight * grad)[:, None], curvature[:, None, None]
    at = np.arange(len(y)), y
    loss = -log_softmax(logits, axis=1)[at]
    proba = softmax(logits, axis=1)
    blocks = -weight[:, None, None] * proba[:, :, None] * proba[:, None, :]
    k = np.arange(logits.shape[1])
    # Compute the diagonal from row sums, which are zero: q - q q would cancel where q is near 1.
    blocks[:, k, k] = 0.0
    blocks[:, k, k] = -blocks.sum(axis=2)
    proba[at] = 0.0
    proba[at] = -proba.sum(axis=1)
    return weight @ loss, weight[:, None] * proba, blocks


class LogitObjective:
    """The function of the module's docstring in terms of a, for `line_search`.

    Parameters
    ----------
    logits : (n_samples, n_rows)
        Logits of the batch with its offsets, before the change.
    y, weight : (n_samples,)
    rest : (n_samples, n_rows), or None
        With distributions as targets, the gradient of what they add to the labels' loss:
        `SoftTargets.rest`.
    new_classes : NewClasses or None
        Loss of past rows from new classes: one row of J, after those of the batch.
    mean_logits : (n_rows,)
        Logits of that row before the change; not used without `new_classes`.
    deltas : (n_anchors,)
        The delta_j of the anchors, which are the last rows of J.
    gram : (N n_rows, N n_rows), G
    """

    def __init__(self, logits, y, weight, rest, new_classes, mean_logits, deltas, gram):
        self._logits, self._y, self._weight, self._rest = logits, y, weight, rest
        self._new, self._mean_logits = new_classes, mean_logits
        n_rows = logits.shape[1]
        self._deltas = deltas
        self._contrast = np.eye(n_rows) - (0 if n_rows == 1 else 1 / n_rows)
        self._gram = gram

    def times_gram(self, a):
        """Compute G a, of the shape of `a`, (N, n_rows)."""
        return (self._gram @ a.ravel()).reshape(a.shape)

    def evaluate(self, a, with_hessian=False):
        """Return the `Point` at `a`; `loss_grad` is f'(u), and `hessian` the blocks of B."""
        u, n = self.times_gram(a), len(self._y)
        logits = self._logits + u[:n]
        value, grad, blocks = cross_entropy_blocks(logits, self._y, self._weight)
        if self._rest is not None:
            value += inner(self._rest, logits)
            grad += self._rest
        parts, curvatures = [grad], [blocks]
        if self._new is not None:
            more, grad, curvature = self._new.of_logits(self._mean_logits + u[n])
            value += more
            parts.append(grad[np.newaxis])
            curvatures.append(curvature[np.newaxis])
        anchors = u[len(u) - len(self._deltas):]
        pull = -self._deltas[:, None] * (anchors @ self._contrast)
        parts.append(pull)
        curvatures.append(-self._deltas[:, None, None] * self._contrast)
        value += (inner(pull, anchors) + inner(a, u)) / 2
        loss_grad = np.concatenate(parts)
        grad = self.times_gram(loss_grad + a)
        return Point(a, value, grad, value, loss_grad, 0, np.concatenate(curvatures))

    def newton_step(self, point):
        """Return the Newton step a+ - a, or None where the system is singular."""
        a, blocks = point.theta, point.hessian
        n, n_rows = a.shape
        right = blocks @ self.times_gram(a)[:, :, None]
        system = (blocks @ self._gram.reshape(n, n_rows, -1)).reshape(a.size, -1)
        np.einsum("ii->i", system)[:] += 1.0
        _, _, solution, failed = dgesv(system, right.ravel() - point.loss_grad.ravel())
        if failed or not np.isfinite(solution).all():
            return None
        return solution.reshape(a.shape) - a


def minimise_dual(objective, shape, enough):
    """Minimise by damped Newton from a = 0; return a `Point`.

    The result is None if a system is singular, or if the minimum is not reached.

    Parameters
    ----------
    objective : LogitObjective
    shape : (N, n_rows)
    enough : float
        Decrease predicted for a step, relative to the value after it, below which the step is the
        last.
    """
    point = objective.evaluate(np.zeros(shape))
    for _ in range(_MAX_STEPS):
        step = objective.newton_step(point)
        if step is None:
            return None
        slope = inner(point.grad, step)
        new = line_search(objective, point, step, slope)[0] if slope < 0 else None
        if new is not None:
            point = new
        if abs(slope) <= 2 * enough * point.value:
            return point
        if new is None:
            return None
    return None
