"""Probabilities of rows, with intervals by the delta method on log-odds.

The log-odds of class k against all others are z_k - logsumexp_(l != k) z_l for logits z, with the
gradient c_k = e_k - softmax_(l != k)(z) in z. With S the covariance of the logits of the row, the
variance is c_k' S c_k. The interval of the log-odds is transformed to one of the probability, so
its ends lie between 0 and 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..functional import logsumexp, sigmoid, softmax
from ..parallel.blas import one_blas_thread
from .table import quantile_of


class PredictionInterval(NamedTuple):
    """Probabilities, each array (n_samples, n_classes), columns in the order of `classes`.

    `log_odds` are those of each class against all others together, `bse` their standard errors;
    `lower` and `upper` are ends of intervals of `proba`.
    """

    proba: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    log_odds: NDArray[np.float64]
    bse: NDArray[np.float64]


def intervals_at(contrasts, rows, alpha, df_inference):
    """Return the `PredictionInterval` of `NewRows`; see `table.quantile_of` for the last two."""
    quantile = quantile_of(alpha, df_inference)
    shape = rows.X.shape[0], contrasts.n_classes
    found = PredictionInterval(*(np.empty(shape) for _ in range(5)))
    width = max(contrasts.theta.shape[1], contrasts.n_classes**2)
    with one_blas_thread():
        for some, columns, offset, _ in rows.blocks(width):
            design = contrasts.design(columns)
            logits = contrasts.logits(design, offset)
            log_odds, variance = _log_odds(logits, contrasts.logit_covariances(design))
            bse = np.sqrt(np.maximum(variance, 0.0))
            half = quantile * bse
            ends = sigmoid(log_odds - half), sigmoid(log_odds + half)
            for whole, part in zip(found, (softmax(logits), *ends, log_odds, bse), strict=True):
                whole[some] = part
    return found


def _log_odds(logits, covariances):
    """Return (log-odds of each class against the others, their variances), each (n, K)."""
    n_samples, n_classes = logits.shape
    log_odds, variance = np.empty((2, n_samples, n_classes))
    for k in range(n_classes):
        others = np.delete(np.arange(n_classes), k)
        total = logsumexp(logits[:, others])
        log_odds[:, k] = logits[:, k] - total
        gradient = np.zeros((n_samples, n_classes))
        gradient[:, others] = -np.exp(logits[:, others] - total[:, np.newaxis])
        gradient[:, k] = 1.0
        gradient = gradient[:, 1:]
        variance[:, k] = np.einsum("ik,ikm,im->i", gradient, covariances, gradient)
    return log_odds, variance


def proba_of_params(contrasts, rows, params, classes, reference):
    """Return probabilities (n_samples, n_classes) of parameters in the user's coding.

    Parameters
    ----------
    contrasts : Contrasts
    rows : NewRows
    params : (n_rows, m), finite; or None for the estimates
    classes : tuple of labels
    reference : label, or None
    """
    n_classes = contrasts.n_classes
    shape = n_classes - (reference is not None), contrasts.theta.shape[1]
    slopes = None
    if params is not None:
        params = np.asarray(params, dtype=np.float64)
        if params.size != np.prod(shape) or not np.isfinite(params).all():
            raise ValueError(
                f"params must be finite, of shape {shape} or flat, got shape {params.shape}."
            )
        slopes = np.zeros((n_classes, shape[1]))
        kept = [k for k, label in enumerate(classes) if reference is None or label != reference]
        slopes[kept] = params.reshape(shape)
    out = np.empty((rows.X.shape[0], n_classes))
    has_intercept = shape[1] > len(contrasts.features)
    for some, columns, offset, _ in rows.blocks(shape[1]):
        if slopes is None:
            logits = contrasts.logits(contrasts.design(columns), offset)
        else:
            logits = columns @ slopes[:, has_intercept:].T + offset
            logits += slopes[:, 0] * has_intercept
        out[some] = softmax(logits)
    return out
