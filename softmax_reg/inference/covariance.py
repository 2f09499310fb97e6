"""Covariances of the estimates, and the `InferenceResult` that holds them.

With H the Hessian of the mean loss, P that of the penalty on it, S the total weight and M the sum
of outer products of scores:

    nonrobust      H^-1 / S, also at the estimates with Jeffreys' prior
    HC0, HC1       H^-1 M H^-1 / S, M by rows; HC1 times n / (n - t) for t parameters
    cluster        H^-1 M H^-1 G / (G - 1), M by G clusters; with quantiles of t and F, see `table`
    bayes          (H + P)^-1 / S
    frequentist    (H + P)^-1 H (H + P)^-1 / S

References
----------
Cameron & Miller (2015), A practitioner's guide to cluster-robust inference, Journal of Human
Resources 50(2), for G - 1 degrees of freedom. White (1982), Maximum likelihood estimation of
misspecified models, Econometrica 50(1). Gray (1992), Flexible methods for analyzing survival data
using splines, JASA 87(420), for both covariances of penalised estimates and their degrees of
freedom.
"""

import numpy as np

from .coding import classes_coded, columns_uncentred, user_parameters
from .contrasts import Contrasts
from .information import information_at
from .jeffreys import JeffreysLikelihood
from .result import InferenceResult
from .scores import Scores

# Values of cov_type without a penalty, with an L2 penalty, and with Jeffreys' prior.
UNPENALISED = ("nonrobust", "HC0", "HC1", "cluster")
PENALISED = ("bayes", "frequentist")
WITH_PRIOR = ("nonrobust",)


def inference_at(
    objective, coef, intercept, *, total_weight, cov_type, cluster, reference, classes, features,
    C, prior,
):
    """Return the `InferenceResult` of fitted parameters.

    Parameters
    ----------
    objective : Objective
        On the columns of X, with the penalty of the fit (L2 or none).
    coef, intercept : as `coef_` and `intercept_`, float64
    total_weight : float
    cov_type : str, of `UNPENALISED` or `PENALISED` as the penalty is
    cluster : (n_samples,) int from 0, or None
        Cluster of each row; -1 for rows of weight 0.
    reference : int or None
        Index of the reference class.
    classes, features : lists of names
    C : float
    prior : "jeffreys" or None

    Raises
    ------
    ValueError
        See `information_at`, `JeffreysLikelihood` and `Scores`.
    """
    with objective.algebra.one_blas_thread():
        point = objective.evaluate(objective.from_coef(coef, intercept))
        penalised = None
        if prior is None:
            found = information_at(objective, point, total_weight, (classes, features))
        else:
            found, penalised = JeffreysLikelihood(
                objective, total_weight, features
            ).information_at(point.theta)
        to_user = np.kron(
            classes_coded(len(classes), reference),
            columns_uncentred(objective.coordinates.shift, objective.fit_intercept),
        )
        of_contrasts = _covariance(objective, point, found, total_weight, cov_type, cluster)
        covariance = to_user @ of_contrasts @ to_user.T
    fit_intercept = objective.fit_intercept
    if len(classes) == 2 and reference is None:
        reference = 0
    return InferenceResult(
        params=user_parameters(coef, intercept, fit_intercept, reference),
        covariance=(covariance + covariance.T) / 2,
        class_names=tuple(label for k, label in enumerate(classes) if k != reference),
        feature_names=(("Intercept",) if fit_intercept else ()) + tuple(features),
        reference=None if reference is None else classes[reference],
        cov_type=cov_type,
        C=C,
        prior=prior,
        llf=-total_weight * point.loss,
        llf_penalised=penalised,
        llnull=-total_weight * objective.null_point.loss,
        nobs=total_weight,
        n_clusters=None if cluster is None else int(cluster.max()) + 1,
        edf=found.edf,
        n_intercepts=(len(classes) - 1) * fit_intercept,
        newton_decrement=found.newton_decrement,
        classes=tuple(classes),
        contrasts=contrasts_of(objective, point.theta, of_contrasts, features),
    )


def contrasts_of(objective, theta, covariance, features):
    """Return the `Contrasts` of a theta of `objective`, with their covariance (t, t)."""
    theta = theta[1:] - theta[0] if len(theta) > 1 else theta.copy()
    return Contrasts(
        theta if objective.fit_intercept else theta[:, :-1], covariance,
        np.array(objective.coordinates.shift), tuple(features),
        objective.rows.offset is not None,
    )


def inverse_hessian(found, total_weight):
    """Return (H + P)^-1 / S of an `Information`, the covariance "nonrobust" or "bayes", (t, t)."""
    root = found.factor.half_solve(np.eye(len(found.hessian)))
    return root.T @ root / total_weight


def _covariance(objective, point, found, total_weight, cov_type, cluster):
    """Return the covariance of the contrasts, (t, t)."""
    if cov_type in ("nonrobust", "bayes"):
        return inverse_hessian(found, total_weight)
    columns = np.eye(len(found.hessian))
    bread = found.factor.solve_columns(columns)
    if cov_type == "frequentist":
        middle, factor = found.hessian, 1 / total_weight
    elif cov_type == "cluster":
        n_clusters = int(cluster.max()) + 1
        middle = Scores(objective, point.theta).by_cluster(cluster)
        factor = n_clusters / (n_clusters - 1)
    else:
        middle, factor = Scores(objective, point.theta).by_row(), 1 / total_weight
        if cov_type == "HC1":
            n_parameters = len(columns)
            if not total_weight > n_parameters:
                raise ValueError(
                    f"cov_type='HC1' needs more observations than parameters, got {total_weight:g}"
                    f" and {n_parameters}. Use 'HC0' or 'nonrobust'."
                )
            factor *= total_weight / (total_weight - n_parameters)
    out = bread.T @ (middle @ bread) * factor
    return (out + out.T) / 2
