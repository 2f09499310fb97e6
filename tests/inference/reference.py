"""The same covariances in plain NumPy: raw columns, contrasts against class 0, no blocks."""

import numpy as np


def design_of(X, fit_intercept):
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    X = X.astype(np.longdouble)
    return np.column_stack([np.ones(len(X)), X]) if fit_intercept else X


def log_likelihood(params, design, counts, offset):
    """Sum of T_ik log q_ik in long double; params (n_classes - 1, m) against class 0."""
    logits = np.column_stack([np.zeros(len(design)), design @ params.T]) + offset
    top = logits.max(axis=1, keepdims=True)
    log_q = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return (counts * log_q).sum()


def hessian_by_differences(params, steps, design, counts, offset):
    """Second differences of fourth order of minus the log-likelihood, (t, t).

    steps : (t,), of the size of standard errors
    """
    size = params.size
    points, weights = (-2, -1, 1, 2), (1 / 12, -2 / 3, 2 / 3, -1 / 12)
    out = np.empty((size, size))

    def value(change):
        return log_likelihood(params + change.reshape(params.shape), design, counts, offset)

    unit = np.diag(steps).astype(np.longdouble)
    for i in range(size):
        for j in range(i, size):
            total = sum(
                a * b * value(k * unit[i] + m * unit[j])
                for k, a in zip(points, weights, strict=True)
                for m, b in zip(points, weights, strict=True)
            )
            out[i, j] = out[j, i] = -total / (steps[i] * steps[j])
    return out


def inverse(matrix):
    scale = 1 / np.sqrt(matrix.diagonal())
    return np.linalg.inv(matrix * scale * scale[:, None]) * scale * scale[:, None]


def proba_of(params, design, offset):
    logits = np.column_stack([np.zeros(len(design)), design @ params.T]) + offset
    q = np.exp(logits - logits.max(axis=1, keepdims=True))
    return q / q.sum(axis=1, keepdims=True)


def hessian(params, design, weight, offset):
    """Minus the second derivatives of the log-likelihood, (t, t), in float64."""
    q = proba_of(params, design, offset)[:, 1:]
    t = params.size
    out = np.zeros((t, t))
    for row, p, w in zip(design, q, weight, strict=True):
        out += w * np.kron(np.diag(p) - np.outer(p, p), np.outer(row, row)).astype(float)
    return out


def scores(params, design, target, offset):
    """Gradients of the log-likelihood of every row, (n, t)."""
    q = proba_of(params, design, offset)
    residual = np.eye(q.shape[1])[target] - q
    return np.stack([np.kron(r[1:], row) for r, row in zip(residual, design, strict=True)])


def penalty_hessian(n_classes, strengths):
    """Second derivatives of the penalty in the contrasts; strengths (m,), 0 for the intercept."""
    if n_classes == 2:
        return np.diag(strengths)
    coded = np.eye(n_classes)[:, 1:] - 1 / n_classes
    return np.kron(coded.T @ coded, np.diag(strengths))
