"""A fitted model and its data for inference: what has standard errors, and what is refused."""

from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from ..exceptions import warn
from ..inference.covariance import PENALISED, UNPENALISED, WITH_PRIOR, inference_at
from ..problem.problem import Problem
from .array_api import as_numpy, on_host
from .firth import check_prior, dense_coefficients
from .offsets import with_offset
from .parameters import problem_options
from .validation import check_training_data

# Largest distance from the optimum, in standard errors, without a warning, and without an error.
# A distance of 0.1 takes the coverage of a 95 % interval to 94.9 %. Rows drawn anew from the same
# population give one of the order of sqrt(2 t) for t parameters.
_CLOSE, _FAR = 0.1, 0.5


class CheckedFit(NamedTuple):
    """A fitted model with its data, checked and placed for computation.

    Attributes
    ----------
    objective : Objective
        On the columns of X, with the penalty of the fit.
    coef, intercept : as `coef_` and `intercept_`, float64
    weight : (n_samples,) float64; None for rows on a cluster
    total_weight : float
        Number of observations.
    classes, features : lists of names
    """

    objective: object
    coef: np.ndarray
    intercept: np.ndarray
    weight: np.ndarray | None
    total_weight: float
    classes: list
    features: list


def checked_fit(model, X, y, sample_weight, offset):
    """Return the `CheckedFit` of a model that `check_model` takes; arguments of `inference`."""
    data = check_training_data(model, X, y, sample_weight, as_numpy(model.classes_))
    check_columns(model, data)
    data = with_offset(data, model._offset_for(offset))
    if model.prior is not None:
        check_prior(model, data)
    return placed_fit(model, Problem, data, data.weight, float(data.weight.sum()))


def placed_fit(model, problem_type, data, weight, total_weight):
    """Return the `CheckedFit` of a model on validated data.

    Parameters
    ----------
    model : estimator
    problem_type : type
        `Problem`, or a subclass for rows on other machines.
    data : TrainingData, or PartitionedData
    weight : (n_samples,), or None
    total_weight : float

    Raises
    ------
    ValueError
        If a class has no rows of positive weight.
    """
    problem = problem_type(
        data, C=model.C, **problem_options(model, data) | {"grouped": False, "groups": None}
    )
    if problem.weightless.any():
        raise ValueError(
            f"The classes {data.classes[problem.weightless].tolist()} have no rows of positive "
            "weight here, so their parameters have no estimates. Fit the model without them."
        )
    n_features = data.X.shape[1]
    names = data.names.get("feature_names_in_", [f"x{j}" for j in range(n_features)])
    return CheckedFit(
        problem.whole(), *dense_coefficients(model), weight, total_weight, data.classes.tolist(),
        [str(name) for name in names],
    )


def inference_of(model, X, y, sample_weight, offset, cov_type, groups, reference):
    """Return the `InferenceResult` of a fitted model; arguments of `inference`."""
    check_model(model)
    check_cov_type(model, cov_type, groups)
    if hasattr(X, "dask"):
        raise ValueError(
            "inference of this model takes no Dask collections: DaskSoftmaxRegression does."
        )
    fit = checked_fit(model, X, y, sample_weight, offset)
    return result_of(model, fit, cov_type, _clusters(groups, fit.weight), reference)


def result_of(model, fit, cov_type, cluster, reference):
    """Return the `InferenceResult` of a `CheckedFit`; raise or warn if it is off its optimum."""
    result = inference_at(
        fit.objective, fit.coef, fit.intercept, total_weight=fit.total_weight, cov_type=cov_type,
        cluster=cluster, reference=_position(reference, fit.classes),
        classes=fit.classes, features=fit.features, C=float(model.C), prior=model.prior,
    )
    check_distance(result.newton_decrement)
    return result


def check_model(model, method="inference"):
    """Raise a ValueError if the parameters of the estimator leave no likelihood or L2 penalty.

    method : str
        Name of the method, for messages.
    """
    check_is_fitted(model)
    model._validate_params()
    if model.C < np.inf and model.l1_ratio > 0:
        raise ValueError(
            f"{method} needs a fit without an L1 part, got l1_ratio={model.l1_ratio!r} with "
            f"C={model.C!r}: the data have chosen the nonzero coefficients, which ordinary "
            "standard errors ignore. Refit the chosen features with C=np.inf on other rows, or "
            "use the bootstrap."
        )
    for name, default, why in (
        ("bounds", None, "estimates at a bound are not normal. Refit without"),
        ("label_smoothing", 0, "smoothed labels have no likelihood. Refit without"),
        ("class_weight", None, "with it the objective is no likelihood of the rows. Refit "
         "without, or pass frequencies of rows as sample_weight"),
    ):
        given = getattr(model, name)
        if given is not None and given != default:
            raise ValueError(f"{method} refuses {name}={given!r}: {why}.")
    factor = model.penalty_factor
    if factor is not None and not np.isfinite(np.asarray(factor, dtype=np.float64)).all():
        raise ValueError(
            f"{method} needs finite penalty factors, got infinite ones. Leave the columns out."
        )


def check_cov_type(model, cov_type, groups):
    """Raise a ValueError unless a kind of error, and groups, go with the penalty or prior."""
    C = model.C
    known = (*UNPENALISED, *PENALISED)
    if cov_type not in known:
        raise ValueError(f"cov_type must be one of {list(known)}, got {cov_type!r}.")
    if model.prior is not None and cov_type not in WITH_PRIOR:
        raise ValueError(
            f"cov_type={cov_type!r} does not exist for prior={model.prior!r}: robust covariances "
            "and those of L2 penalties do not hold for its estimates, which are meant for few "
            f"rows. Use one of {list(WITH_PRIOR)}, or lr_test."
        )
    allowed = UNPENALISED if C == np.inf else PENALISED
    if cov_type not in allowed:
        why = (
            "there is no penalty" if C == np.inf else
            "the penalty shrinks the estimates, so standard errors of maximum likelihood do not "
            "hold. Refit with C=np.inf for these"
        )
        raise ValueError(
            f"cov_type={cov_type!r} does not exist for C={C!r}: {why}. Or use one of "
            f"{list(allowed)}."
        )
    if (cov_type == "cluster") != (groups is not None):
        raise ValueError(
            "groups must be given with cov_type='cluster', and only then; got "
            f"cov_type={cov_type!r} and {'no groups' if groups is None else 'groups'}."
        )


def check_columns(model, data):
    """Raise a ValueError if X has other columns than in `fit`."""
    expected = model.n_features_in_
    if data.X.shape[1] != expected:
        raise ValueError(
            f"X has {data.X.shape[1]} features, but {type(model).__name__} is expecting "
            f"{expected} features as input."
        )
    known, names = (
        names.get("feature_names_in_") for names in (vars(model), data.names)
    )
    if known is not None and names is not None and list(known) != list(names):
        raise ValueError(
            f"The feature names should match those that were passed during fit, {list(known)}, "
            f"got {list(names)}."
        )


def _clusters(groups, weight):
    """Return the cluster of each row, counted from 0, -1 for rows of weight 0; or None.

    Raises
    ------
    ValueError
        If names are missing or cannot be sorted, or fewer than two clusters have weight.
    """
    if groups is None:
        return None
    groups = np.asarray(on_host(groups))
    if groups.shape != weight.shape:
        raise ValueError(
            f"groups must have shape {weight.shape}, a cluster for each row of X, got "
            f"{groups.shape}."
        )
    cluster = np.full(len(weight), -1)
    try:
        names, cluster[weight > 0] = np.unique(groups[weight > 0], return_inverse=True)
        is_missing = bool(np.any(names != names))
    except TypeError as error:
        raise ValueError(f"groups must be numbers or names that can be sorted: {error}") from error
    if is_missing:
        raise ValueError("groups must not hold NaN: name the cluster of every row.")
    if len(names) < 2:
        raise ValueError(
            f"groups must hold at least 2 clusters of positive weight, got {len(names)}."
        )
    return cluster


def _position(reference, classes):
    """Return the position of the reference among the classes, or None."""
    if reference is None:
        return None
    found = [k for k, label in enumerate(classes) if label == reference]
    if not found:
        raise ValueError(
            f"reference must be one of the classes {classes}, got {reference!r}."
        )
    return found[0]


def check_distance(distance):
    """Raise a ValueError, or warn, if the model is not at its optimum.

    distance : float
        `InferenceResult.newton_decrement`.
    """
    if not distance <= _FAR:
        raise ValueError(
            "The model is not at its optimum for this X, y, sample_weight and offset: estimates "
            f"may be {distance:.2g} standard errors away from it (sqrt(g' H^-1 g)). Pass the data "
            "and parameters of the fit, or fit with a smaller tol."
        )
    if distance > _CLOSE:
        warn(
            f"Estimates may be {distance:.2g} standard errors away from the optimum for these "
            "data. Fit with a smaller tol, on float64, if these are the data of the fit.",
            ConvergenceWarning,
        )
