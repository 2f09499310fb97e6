"""The definition of right: every kernel as its formula, in plain NumPy.

Slow, and n_samples x n_classes arrays everywhere. Each compiled backend is
tested against this one, and this one against SciPy and finite differences.

Shapes shared by all functions
------------------------------
rows : the matrix X, (n_samples, n_features), as `make_rows` wraps it
y : (n_samples,) class indices
weight : (n_samples,) sample weights divided by their sum
shift : (n_features,) subtracted from every row: the model sees x - shift
theta : (n_rows, n_features + 1), the last column the intercept; n_rows is
    n_classes, or 1 for the binary model, whose logit is that of class 1
"""

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax

from ._blas import one_blas_thread
from ._columns import range_of
from ._linear import centred_gram, centred_product, combination, inner_products, product
from ._rows import read_only as place

__all__ = [
    "centred_gram", "centred_product", "column_summary", "combination", "curvature",
    "hess_prod", "hessian", "inner_products", "make_rows", "one_blas_thread", "place",
    "predictions", "product", "value_grad", "value_grad_hessian",
]


def make_rows(X):
    """X as float64, dense."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)


def _with_ones(rows, shift):
    return np.column_stack([rows - shift, np.ones(len(rows))])


def _proba(logits):
    return expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1)


def column_summary(rows, weight):
    """sum_i s_i x_i, (n_features,), and the `ColumnRange` of the rows of positive weight."""
    return weight @ rows, range_of(rows, weight)


def value_grad(rows, y, weight, shift, theta):
    """Weighted cross-entropy, its gradient, and how many rows it gets wrong.

    Returns
    -------
    loss : float
        sum_i s_i (logsumexp(z_i) - z_i[y_i]) in nats.
    grad : (n_rows, n_features + 1)
    n_errors : int
        Rows of positive weight whose class is not strictly the most probable.
    """
    design = _with_ones(rows, shift)
    logits = design @ theta.T
    index = np.arange(len(y))
    if len(theta) == 1:
        odds = np.where(y == 1, logits[:, 0], -logits[:, 0])
        losses = -log_expit(odds)
        residual = _proba(logits) - y[:, np.newaxis]
        right = odds > 0
    else:
        losses = -log_softmax(logits, axis=1)[index, y]
        residual = _proba(logits)
        residual[index, y] -= 1
        others = logits.copy()
        others[index, y] = -np.inf
        right = logits[index, y] > others.max(axis=1)
    grad = (weight[:, np.newaxis] * residual).T @ design
    return weight @ losses, grad, int(np.sum(~right & (weight > 0)))


def hess_prod(rows, weight, shift, theta, direction):
    """Hessian of the loss times `direction`, (n_rows, n_features + 1)."""
    return (_hessian(rows, weight, shift, theta) @ direction.ravel()).reshape(theta.shape)


def _class_covariances(design, theta):
    """diag(q_i) - q_i q_i' for every row, (n_samples, n_rows, n_rows)."""
    q = _proba(design @ theta.T)
    if len(theta) == 1:
        return (q * (1 - q))[:, :, np.newaxis]
    return q[:, :, np.newaxis] * np.eye(len(theta)) - q[:, :, np.newaxis] * q[:, np.newaxis]


def curvature(rows, weight, shift, theta, full, full_classes=True):
    """Sums behind the Kronecker factors of the Hessian of the loss.

    Returns
    -------
    classes : (n_rows, n_rows) or (n_rows,)
        sum_i s_i A_i with A_i = diag(q_i) - q_i q_i'; with full_classes=False the diagonal,
        but for the binary model.
    moments : (n_features + 1, n_features + 1) or (2, n_features + 1)
        sum_i s_i trace(A_i) [x_i, 1] [x_i, 1]'; with full=False its last row
        and its diagonal.
    """
    design = _with_ones(rows, shift)
    covariances = _class_covariances(design, theta)
    spread = weight * np.trace(covariances, axis1=1, axis2=2)
    moments = (spread[:, np.newaxis] * design).T @ design
    if not full:
        moments = np.stack([moments[-1], np.diag(moments)])
    classes = np.einsum("i,ikl->kl", weight, covariances)
    return classes if full_classes or len(theta) == 1 else np.diag(classes), moments


def value_grad_hessian(rows, y, weight, shift, theta):
    """`value_grad`, and the Hessian of the loss in theta.ravel().

    Its blocks are sum_i s_i A_i (x) [x_i, 1] [x_i, 1]'.
    """
    return *value_grad(rows, y, weight, shift, theta), _hessian(rows, weight, shift, theta)


def hessian(rows, weight, shift, theta, index):
    """The Hessian of the loss in theta.ravel()[index]; index ascending."""
    return _hessian(rows, weight, shift, theta)[np.ix_(index, index)]


def _hessian(rows, weight, shift, theta):
    design = _with_ones(rows, shift)
    covariances = _class_covariances(design, theta)
    out = np.einsum("i,ikl,ij,im->kjlm", weight, covariances, design, design, optimize=True)
    return out.reshape(theta.size, theta.size)


def predictions(rows, theta, kind):
    """Logits (the first 0 if binary), probabilities or their logarithms.

    kind : "logits", "probabilities" or "log_probabilities"; (n_samples, n_classes)

    Also returns whether all logits are finite.
    """
    logits = _with_ones(rows, 0.0) @ theta.T
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(logits)), logits])
    apply = {"logits": np.array, "probabilities": softmax, "log_probabilities": log_softmax}
    out = apply[kind](logits) if kind == "logits" else apply[kind](logits, axis=1)
    return out, bool(np.isfinite(logits).all())
