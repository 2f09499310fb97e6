"""The null model, W = 0, whose probabilities are the same for all rows."""

import numpy as np


def null_theta(shares, n_rows, width, fit_intercept):
    """Return the parameters of the null model, (n_rows, width), with the intercept last.

    shares : (n_classes,), weights of the classes, which it predicts if it has an intercept
    """
    theta = np.zeros((n_rows, width))
    if fit_intercept:
        logits = np.log(shares)
        theta[:, -1] = logits[1] - logits[0] if n_rows == 1 else logits - logits.mean()
    return theta


def class_sums(loss_grad, shares, null_shares, row_sums, fit_intercept):
    """Return sum_i s_i T_i [x_i, 1]' of the targets T_i, from the gradient of the null model.

    All rows have the same probabilities q there, so the gradient is q [xbar, 1]' - class_sums.

    Parameters
    ----------
    loss_grad : (n_rows, n_features + 1)
    shares : (n_classes,), sums of s_i T_i
    null_shares : (n_classes,), q if there is an intercept
    row_sums : (n_features + 1,), [xbar, 1]
    fit_intercept : bool

    Returns
    -------
    class_sums : (n_rows, n_features + 1)
        With one row in loss_grad: of the second of two classes.
    """
    first, n_classes = len(shares) - len(loss_grad), len(shares)
    q = null_shares if fit_intercept else np.full(n_classes, 1 / n_classes)
    sums = q[first:, np.newaxis] * row_sums - loss_grad
    if fit_intercept:
        sums[:, -1] = shares[first:]
    return sums


def is_null(rows, theta):
    """Return whether all rows have the same probabilities, of three classes or more."""
    return len(theta) > 1 and rows.offset is None and not theta[:, :-1].any()


def null_hessian(rows, sample, shift, theta):
    """Return the Hessian of the loss in theta.ravel() where `is_null`; one pass.

    With the same probabilities q in every row it is the Kronecker product of diag(q) - q q' and
    the second moments of the columns. So the pass takes n_samples n_features^2 flops in place of
    n_samples theta.size^2.
    """
    classes, moments = rows.curvature(sample, shift, theta, True)
    return np.kron(classes, moments / moments[-1, -1])
