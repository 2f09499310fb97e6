"""Problems with an L1 part, and an independent, slow reference for their optima.

Accelerated proximal gradients on all coefficients, and a dual point formed row by row in
long double: nothing here is shared with the package.
"""

import numpy as np

LONG = np.longdouble


def group_sizes(array, grouped):
    """Norm of the group of every column; `grouped` is True, or a label for every column."""
    squares = (array**2).sum(axis=0)
    if grouped is not True:
        same = np.asarray(grouped)[:, np.newaxis] == grouped
        squares = same.astype(array.dtype) @ squares
    return np.sqrt(squares)


def penalty_value(coef, l1, l2, factor, grouped):
    """sum_j v_j (l1 |W_j| + l2 / 2 ||W_j||^2), or with one term v_G l1 ||W_G|| a group."""
    if grouped is False:
        sizes = np.abs(coef).sum(axis=0)
    else:
        sizes = group_sizes(coef, grouped)
        if grouped is not True:    # a group of n columns occurs n times
            sizes = sizes / (np.asarray(grouped)[:, np.newaxis] == grouped).sum(axis=0)
    return (factor * (l1 * sizes + l2 / 2 * (coef**2).sum(axis=0))).sum()


def _log_proba(X, coef, intercept):
    logits = X @ coef.T + intercept
    if len(coef) == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def value_and_bound(X, y, weight, coef, intercept, l1, l2, factor, grouped, fit_intercept):
    """(objective, lower bound on its minimum, gradient of the loss in W), in long double.

    The bound is the dual value of the model's probabilities, mixed with one distribution so
    that classes occur as often as observed, and with the labels so that no gradient exceeds
    its threshold (only as far as pays where l2 > 0).
    """
    X, weight = np.asarray(X, LONG), np.asarray(weight, LONG)
    coef, intercept = np.asarray(coef, LONG), np.asarray(intercept, LONG)
    index = np.arange(len(y))
    log_proba = _log_proba(X, coef, intercept)
    loss = -(weight @ log_proba[index, y])
    value = loss + penalty_value(coef, LONG(l1), LONG(l2), factor, grouped)
    proba = np.exp(log_proba)
    onehot = np.zeros_like(proba)
    onehot[index, y] = 1

    def grad_of(q):
        return ((weight[:, np.newaxis] * (q - onehot)).T @ X)[-len(coef):]

    q = proba
    if fit_intercept:
        predicted, observed = weight @ proba, weight @ onehot
        t = max(LONG(0), (1 - observed / predicted).max())
        if t > 0:
            q = (1 - t) * proba + (observed - (1 - t) * predicted)
    grad = grad_of(q)
    sizes = np.abs(grad).max(axis=0) if grouped is False else group_sizes(grad, grouped)
    norm = (sizes / (l1 * factor)).max()
    bounds = []
    for u in {LONG(0), max(LONG(0), 1 - 1 / norm)}:
        mixed = (1 - u) * q + u * onehot
        entropy = -(weight @ np.where(mixed > 0, mixed * np.log(np.maximum(mixed, 1e-4900)), 0)
                    .sum(axis=1))
        scaled = (1 - u) * grad
        sizes = np.abs(scaled) if grouped is False else group_sizes(scaled, grouped)
        excess = np.maximum(sizes - l1 * factor, 0)
        repeats = 1
        if grouped is not False and grouped is not True:
            repeats = (np.asarray(grouped)[:, np.newaxis] == grouped).sum(axis=0)
        if l2 == 0:
            bounds.append(entropy if (excess <= 1e-17 * sizes).all() else -LONG(np.inf))
        else:
            bounds.append(entropy - (excess**2 / (2 * l2 * factor) / repeats).sum())
    return value, max(bounds), grad_of(proba)


def reference_optimum(X, y, weight, n_rows, l1, l2, *, factor=None, grouped=False,
                      fit_intercept=True, accuracy=1e-12, max_iter=400_000):
    """(coef, intercept, value, relative gap) by FISTA with restarts, on scaled columns.

    References
    ----------
    Beck & Teboulle (2009), SIAM J. Imaging Sci. 2(1); O'Donoghue & Candes (2015), Adaptive
    restart for accelerated gradient schemes, Found. Comput. Math. 15.
    """
    X = np.asarray(X, dtype=np.float64)
    n, p = X.shape
    factor = np.ones(p) if factor is None else factor
    mean = weight @ X if fit_intercept else np.zeros(p)
    centred = X - mean
    spread = np.sqrt(weight @ centred**2)
    spread[spread == 0] = 1
    if grouped is not False and grouped is not True:    # a norm does not take scales of its own
        spread = np.array([spread[np.asarray(grouped) == label].max() for label in grouped])
    design = np.column_stack([centred / spread, np.full(n, float(fit_intercept))])
    onehot = np.zeros((n, max(n_rows, 2)))
    onehot[np.arange(n), y] = 1
    # In units of the scaled columns W = V / spread.
    threshold, ridge = l1 * factor / spread, l2 * factor / spread**2
    theta = np.zeros((n_rows, p + 1))
    lipschitz = 0.5 * np.linalg.eigvalsh((design * weight[:, None]).T @ design)[-1] + ridge.max()

    def smooth_grad(point):
        q = np.exp(_log_proba(design, point, 0.0))
        grad = ((weight[:, None] * (q - onehot)).T @ design)[-n_rows:]
        grad[:, :-1] += ridge * point[:, :-1]
        return grad

    def prox(point, step):
        out = point.copy()
        if grouped is not False:
            sizes = group_sizes(out[:, :-1], grouped)
            keep = np.maximum(sizes - step * threshold, 0)
            out[:, :-1] *= np.divide(keep, sizes, out=np.zeros(p), where=sizes > 0)
        else:
            out[:, :-1] = np.sign(out[:, :-1]) * np.maximum(
                np.abs(out[:, :-1]) - step * threshold, 0
            )
        return out

    def certified(point):
        coef = point[:, :-1] / spread
        intercept = point[:, -1] - coef @ mean
        value, bound, _ = value_and_bound(
            X, y, weight, coef, intercept, l1, l2, factor, grouped, fit_intercept
        )
        return coef, intercept, float(value), float((value - bound) / value)

    momentum, ahead = 1.0, theta
    for iteration in range(max_iter):
        new = prox(ahead - smooth_grad(ahead) / lipschitz, 1 / lipschitz)
        if ((ahead - new) * (new - theta)).sum() > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - theta)
        theta, momentum = new, following
        if iteration % 1000 == 999:
            best = certified(theta)
            if best[-1] <= accuracy:
                break
    return certified(theta)
