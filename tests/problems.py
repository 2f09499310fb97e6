"""Problems, and an independent long-double reference for their optima."""

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from sklearn import datasets
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

from softmax_reg.problem.objective import Objective
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows

EPS = np.finfo(np.float64).eps
BUNDLED = ("iris", "wine", "breast_cancer", "digits")


def objective_of(X, y, weight, *, kind=MemoryRows, **options):
    """`Objective` of arrays; `kind` is a class of `Rows`.

    Options are those of `Objective.of`, and the distributions of a `Sample`.
    """
    names = ("mixture", "label_mixture")
    sample = Sample(y, weight, **{name: options.pop(name) for name in names if name in options})
    return Objective.of(kind(X), sample, **options)


def bundled(name, standardised=False, dtype=np.float64):
    """(X, y) of a data set that ships with scikit-learn."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (scale(X) if standardised else X).astype(dtype), y


def random_problem(n_samples, n_features, n_rows, seed=0, sparse_X=False, dtype=np.float64):
    """X, y, weight (sums to 1, some zero), theta; n_rows = 1 is binary."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) * 3 + 1
    X[rng.random(X.shape) < 0.4] = 0
    y = rng.integers(0, max(n_rows, 2), n_samples).astype(np.int32)
    y[: max(n_rows, 2)] = np.arange(max(n_rows, 2))[:n_samples]
    weight = rng.uniform(0.5, 2, n_samples)
    weight[n_samples // 2 + 1 :: 5] = 0
    theta = rng.standard_normal((n_rows, n_features + 1)) / 2
    X = X.astype(dtype)
    return sparse.csr_array(X) if sparse_X else X, y, weight / weight.sum(), theta


def long_double_objective(X, y, weight, coef, intercept, l2):
    """(value, gradient in [coef, intercept]) in long double; `weight` sums to 1."""
    X = np.asarray(X, dtype=np.longdouble)
    coef = np.asarray(coef, dtype=np.longdouble)
    weight = np.asarray(weight, dtype=np.longdouble)
    logits = X @ coef.T + np.asarray(intercept, dtype=np.longdouble)
    if len(coef) == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    index = np.arange(len(y))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_proba = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    value = -(weight @ log_proba[index, y]) + l2 * (coef**2).sum() / 2
    residual = np.exp(log_proba)
    residual[index, y] -= 1
    residual *= weight[:, np.newaxis]
    residual = residual[:, -len(coef):]
    grad = residual.T @ X + l2 * coef
    return value, np.column_stack([grad, residual.sum(axis=0)])


# BLAS's own threads would wait for each other where tests run side by side.
@threadpool_limits.wrap(limits=1, user_api="blas")
def long_double_optimum(X, y, weight, n_rows, l2):
    """(value, relative gap) of the L2-penalised optimum with intercept.

    Damped Newton in standardised columns, long-double gradients and values; the
    Hessian, which only steers, in float64. Ends when steps stop helping, or at a gap
    of 1e-16. The gap is ||G + l2 W||^2 / (2 l2) / value, plus the first-order effect of
    the intercept's residual gradient.
    """
    counts = weight > 0
    X, y, weight = np.asarray(X, dtype=np.longdouble)[counts], y[counts], weight[counts]
    X = X - X.mean(axis=0)    # rounds a nearly constant column to more than its spread
    X = X - X.mean(axis=0)
    spread = X.std(axis=0).astype(np.float64)
    spread[spread == 0] = 1
    longer = X / spread
    design = np.column_stack([longer.astype(np.float64), np.ones(len(X))])
    penalty = np.append(l2 / spread**2, 0)

    def evaluate(theta):
        # Penalised in the original units: W_original = W / spread.
        value, grad = long_double_objective(longer, y, weight, theta[:, :-1], theta[:, -1], 0)
        value = value + (penalty * theta**2).sum() / 2
        return value, grad + penalty * theta

    def relative_gap():
        slack = grad[:, :-1] / spread    # back to original units
        gap = (slack**2).sum() / (2 * l2) + np.abs(grad[:, -1] * theta[:, -1]).sum()
        return float(gap / value)

    theta = np.zeros((n_rows, design.shape[1]), dtype=np.longdouble)
    value, grad = evaluate(theta)
    for _ in range(100):
        if relative_gap() <= 1e-16:
            break
        hessian = _hessian(design, weight, theta.astype(np.float64))
        hessian += np.diag(np.tile(penalty, n_rows))
        step = _steer(hessian, grad.astype(np.float64), n_rows)
        length = 1.0
        while length > 1e-6:
            new_value, new_grad = evaluate(theta + length * step)
            # Near the optimum values tie even in long double; gradients still tell.
            if new_value < value or np.abs(new_grad).max() < np.abs(grad).max() / 2:
                break
            length /= 2
        else:
            break
        theta, value, grad = theta + length * step, new_value, new_grad
    return value, relative_gap()


def _steer(hessian, grad, n_rows):
    """-H^-1 g, H made definite along shifts common to all classes, where g is 0."""
    shape = n_rows, len(hessian) // n_rows
    blocks = hessian.reshape(*shape, *shape)
    for j in range(shape[1] if n_rows > 1 else 0):
        blocks[:, j, :, j] += np.trace(blocks[:, j, :, j]) / n_rows**2
    scale = 1 / np.sqrt(np.diag(hessian))
    scaled = hessian * scale * scale[:, np.newaxis]
    step = -scale * cho_solve(cho_factor(scaled), scale * grad.ravel())
    return step.reshape(grad.shape)


def _hessian(design, weight, theta):
    logits = design @ theta.T
    if len(theta) == 1:
        q = 1 / (1 + np.exp(-logits))
        return (design * (weight[:, np.newaxis] * q * (1 - q))).T @ design
    q = np.exp(logits - logits.max(axis=1, keepdims=True))
    q /= q.sum(axis=1, keepdims=True)
    n_rows, width = theta.shape
    hessian = np.empty((n_rows, width, n_rows, width))
    for k in range(n_rows):
        for m in range(k + 1):
            w = weight * q[:, k] * ((k == m) - q[:, m])
            hessian[k, :, m] = (design * w[:, np.newaxis]).T @ design
            hessian[m, :, k] = hessian[k, :, m]    # each block is symmetric
    return hessian.reshape(theta.size, theta.size)


def assert_derivatives(objective, theta, step=1e-5):
    """Check gradient, Hessian and its products at theta by central differences."""
    point = objective.evaluate(theta, with_hessian=True)
    for k, j in np.ndindex(objective.shape):
        if j in objective.coordinates.zeros:
            continue
        change = np.zeros(objective.shape)
        change[k, j] = step
        up, down = objective.evaluate(theta + change), objective.evaluate(theta - change)
        slope = (up.value - down.value) / (2 * step)
        assert abs(point.grad[k, j] - slope) <= 1e-8 * (1 + abs(slope))
        row = (up.grad - down.grad) / (2 * step)
        told = point.hessian[k * objective.shape[1] + j]
        np.testing.assert_allclose(told, row.ravel(), atol=1e-6)
        np.testing.assert_allclose(objective.hess_prod(theta, change / step), row, atol=1e-6)
