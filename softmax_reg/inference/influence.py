"""Influence of single rows on a fit: leverages, Cook's distances and residuals.

Row i with frequency w has the design X_i = I kron [x - m, 1] in the contrasts of `coding`, the
target T and the probabilities q. Let A = S (H + P) be the Hessian of the penalised log-likelihood,
V = diag(q) - q q', r = q - T, and M = X_i A^-1 X_i', the covariance of the logits of the row. Then

    leverage            h = w tr V M
    Pearson             X^2 = w r' V^- r = w sum_k r_k^2 / q_k
    deviance            d^2 = 2 w sum_k T_k log(T_k / q_k)
    studentised         w r' (V - w V M V)^- r
    Cook's distance     D = w^2 u' M u / edf,   u = (I - w V M)^-1 r

Leverages sum to edf. Without row i, one Newton step changes the contrasts by w A^-1 X_i' u, whose
norm in the metric of A, over edf, is D.

For all K classes let N = w Q diag(q)^(1/2) M diag(q)^(1/2) Q with the projection Q = I - a a',
a = q^(1/2). N is symmetric with the eigenvalues of w V M, which lie between 0 and 1. With
s = diag(q)^(-1/2) r and y = (I - N)^-1 s: h = tr N, X^2 = w s's, the studentised square is w s'y,
and D = w y' N y / edf. Constants added to logits change nothing, so M is taken against the most
probable class of the row: then no digits are lost where its probability is near 1.

References
----------
Lesaffre & Albert (1989), Multiple-group logistic regression diagnostics, JRSS C 38(3). Pregibon
(1981), Logistic regression diagnostics, Annals of Statistics 9(4).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ..parallel.blas import one_blas_thread
from .contrasts import complements, proba_of, rows_of_fit

# Leverage up to which no eigenvalue of N needs a check: none is larger than their sum.
_SAFE = 0.99
# Distance of an eigenvalue of N from 1 that rounding explains.
_ROUNDING = 1e-8
# Least logarithm of a probability whose inverse is finite.
_LEAST = -700.0


@dataclass(frozen=True, eq=False, repr=False)
class Influence:
    """Influence of each row on a fit, and residuals; made by `influence`.

    Names are those of statsmodels' GLM, and for two classes so are the values. Arrays are
    read-only, of shape (n_samples,). A row of weight w, or of counts, is one group of as many
    observations; a row of weight 0 has zeros. The sign of residuals is that of the share of the
    second class minus its probability for two classes; for more they are not negative.

    Attributes
    ----------
    hat_matrix_diag : ndarray
        Leverages, with a sum of `edf`; at most n_classes - 1 each.
    cooks_distance : ndarray
        Squared change of the estimates if the row is left out, by one Newton step, in the metric
        of the Hessian (with the penalty), divided by `edf`.
    resid_pearson : ndarray
        Signed square roots of Pearson's statistic of the row.
    resid_deviance : ndarray
        Signed square roots of the deviance of the row, for a label sqrt(-2 w log q).
    resid_studentized : ndarray
        Pearson residuals divided by the standard deviation that the fit leaves them, for two
        classes sqrt(1 - h). With a penalty the same formula.
    resid_deviance_studentized : ndarray
        Deviance residuals times the ratio of `resid_studentized` to `resid_pearson`.
    edf : float
        Number of free parameters; with a penalty the effective degrees of freedom.

    Notes
    -----
    `cooks_distance` and studentised residuals are NaN for rows that alone determine a parameter,
    which has no estimate without them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from softmax_reg import SoftmaxRegression
    >>> iris = load_iris()
    >>> X, y = iris.data[:, :1], iris.target_names[iris.target]
    >>> found = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y).influence(X, y)
    >>> round(float(found.hat_matrix_diag.sum()), 6)    # two slopes, two intercepts
    4.0
    >>> i = int(found.cooks_distance.argmax())    # a virginica with short sepals
    >>> i, float(X[i, 0]), str(y[i])
    (106, 4.9, 'virginica')
    """

    hat_matrix_diag: NDArray[np.float64]
    cooks_distance: NDArray[np.float64]
    resid_pearson: NDArray[np.float64]
    resid_deviance: NDArray[np.float64]
    resid_studentized: NDArray[np.float64]
    resid_deviance_studentized: NDArray[np.float64]
    edf: float

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for field in fields(self)[:-1]:
            getattr(self, field.name).flags.writeable = False

    def __repr__(self) -> str:
        """Return the class with sizes, not the arrays."""
        return f"<Influence: {len(self.cooks_distance)} rows, edf={self.edf:.6g}>"


def influence_at(objective, contrasts, total_weight, edf):
    """Return the `Influence` of all rows; one pass, n_samples (t^2 + n_classes^3) flops.

    Parameters
    ----------
    objective : Objective
        Objective of the fit, with X in memory.
    contrasts : Contrasts
        With the covariance A^-1.
    total_weight, edf : float

    Raises
    ------
    ValueError
        If `edf` is 0.
    """
    if not edf > 0:
        raise ValueError(
            "influence needs rows with probabilities other than 0 and 1, got none: the likelihood "
            "has no curvature, and its leverages are zero."
        )
    rows, sample = rows_of_fit(objective)
    n_classes = contrasts.n_classes
    arrays = np.zeros((6, rows.X.shape[0]))
    width = max(contrasts.theta.shape[1], n_classes**2)
    with one_blas_thread():
        for some, columns, offset, share in rows.blocks(width):
            design = contrasts.design(columns)
            proba, log_proba = proba_of(contrasts.logits(design, offset))
            target, residual = _targets(sample.take(some), proba)
            weight = total_weight * share
            root, scaled = _scaled(proba, log_proba, target, residual)
            hat = _hat(contrasts.logit_covariances(design), root, weight)
            signs = np.sign(-residual[:, 1]) if n_classes == 2 else 1.0
            arrays[0, some], arrays[1, some], ratio, pearson = _diagnostics(hat, scaled)
            arrays[1, some] *= weight / edf
            with np.errstate(over="ignore"):
                pearson *= _excess(target, log_proba)
            pearson *= signs * np.sqrt(weight)
            deviance = signs * np.sqrt(2 * weight * _divergence(target, proba, log_proba))
            arrays[2:, some] = pearson, deviance, pearson * ratio, deviance * ratio
    return Influence(*arrays, edf=edf)


def _targets(sample, proba):
    """Return (T, q - T) of some rows, each (n, n_classes); T is q where a row has no weight."""
    if sample.distributions is None:
        target = np.zeros_like(proba)
        target[np.arange(len(proba)), sample.target] = 1.0
    else:
        target = np.array(sample.mixture, dtype=np.float64)
    residual = np.where(target == 1, -complements(proba), proba - target)
    is_out = sample.weight == 0
    target[is_out], residual[is_out] = proba[is_out], 0.0
    return target, residual


def _scaled(proba, log_proba, target, residual):
    """Return (a, s) of the module's docstring, finite for any probabilities; each (n, K)."""
    root = np.exp(np.maximum(log_proba, _LEAST) / 2)
    return root, np.where(target == 0, root, residual / root)


def _excess(target, log_proba):
    """Return ratios of Pearson residuals to those of probabilities exp(_LEAST)."""
    least = np.min(log_proba, axis=1, where=target > 0, initial=0.0)
    return np.exp(np.maximum(_LEAST - least, 0.0) / 2)


def _hat(covariances, root, weight):
    """Return N, (n, K, K).

    covariances : (n, K - 1, K - 1), of logits against the first class
    root : (n, K), a
    """
    n_samples, n_classes = root.shape
    out = np.zeros((n_samples, n_classes, n_classes))
    out[:, 1:, 1:] = covariances
    rows, top = np.arange(n_samples), root.argmax(axis=1)
    row = out[rows, top]
    out -= row[:, np.newaxis]
    out -= (row - row[rows, top][:, np.newaxis])[:, :, np.newaxis]
    out *= root[:, :, np.newaxis]
    out *= (weight[:, np.newaxis] * root)[:, np.newaxis]
    means = (out @ root[:, :, np.newaxis])[:, :, 0]
    means -= root * (np.einsum("ik,ik->i", means, root) / 2)[:, np.newaxis]
    out -= means[:, :, np.newaxis] * root[:, np.newaxis]
    out -= root[:, :, np.newaxis] * means[:, np.newaxis]
    return out


def _diagnostics(hat, scaled):
    """Return (tr N, y'Ny, sqrt(s'y / s's), sqrt(s's)) of rows, each (n,).

    hat : (n, K, K), N, overwritten
    scaled : (n, K), s
    """
    leverage = np.maximum(np.einsum("ikk->i", hat), 0.0)
    some = np.flatnonzero(leverage > _SAFE)
    alone = some[np.linalg.eigvalsh(hat[some])[:, -1] > 1 - _ROUNDING]
    hat[alone] = 0.0
    size = np.sqrt(np.einsum("ik,ik->i", scaled, scaled))
    unit = scaled / np.where(size > 0, size, 1.0)[:, np.newaxis]
    moved = np.linalg.solve(np.eye(hat.shape[1]) - hat, unit[:, :, np.newaxis])
    change = np.einsum("ikm,ik,im->i", hat, moved[:, :, 0], moved[:, :, 0])
    distance = np.maximum(change, 0.0) * size**2
    ratio = np.where(size > 0, np.sqrt(np.einsum("ik,ik->i", unit, moved[:, :, 0])), 1.0)
    distance[alone] = ratio[alone] = np.nan
    return leverage, distance, ratio, size


def _divergence(target, proba, log_proba):
    """Return sum_k T_k log(T_k / q_k) of rows, to a few eps also where T is near q."""
    is_label = target.max(axis=1) == 1
    out = np.empty(len(target))
    own = np.argmax(target[is_label], axis=1)[:, np.newaxis]
    others = np.take_along_axis(complements(proba[is_label]), own, axis=1)[:, 0]
    logs = np.take_along_axis(log_proba[is_label], own, axis=1)[:, 0]
    out[is_label] = np.where(others < 0.5, -np.log1p(-np.minimum(others, 0.5)), -logs)
    T, q, log_q = target[~is_label], proba[~is_label], log_proba[~is_label]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = (T - q) / q
        near = q * ((1 + excess) * np.log1p(excess) - excess)
    # The sum of T - q is 0, so each term is T log(T / q) - T + q, which is not negative.
    far = xlogy(T, T) - np.where(T > 0, T * log_q, 0.0) - T + q
    terms = np.where(np.abs(T - q) < q / 2, near, far)
    out[~is_label] = np.maximum(terms, 0.0).sum(axis=1)
    return out
