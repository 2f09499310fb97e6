"""Fits with ``prior="jeffreys"``, Firth's penalty: what goes with it, the fit, and its test."""

import numpy as np
from scipy import sparse

from ..inference.comparison import likelihood_ratio
from ..inference.jeffreys import JeffreysLikelihood
from ..problem.problem import Problem
from ..rows.device_input import is_on_device
from ..rows.row_blocks import RowBlocks
from ..solvers.fisher_scoring import fisher_scoring
from .array_api import as_numpy
from .callbacks import FitCallbacks
from .outcome import history_by_name, warn_of_scoring
from .parameters import problem_options
from .progress import Iterations, progress_of
from .validation import check_warm_start

# Name of the solver in `solver_` and in messages.
SOLVER = "fisher-scoring"
# Largest distance of stored coefficients from the optimum, in standard errors, beyond that of the
# solver's last point, that gives no warning.
_SILENT = 1e-6


def check_prior(model, data):
    """Raise a ValueError for parameters and data that do not go with the prior of the model.

    Parameters
    ----------
    model : SoftmaxRegression
        With a prior.
    data : TrainingData
    """
    for name, needed in (
        ("C", np.inf), ("l1_ratio", 0), ("class_weight", None), ("solver", "auto"),
        ("grouped", False), ("penalty_factor", None), ("groups", None), ("device", "cpu"),
        ("precision", "auto"), ("label_smoothing", 0), ("bounds", None),
    ):
        given = getattr(model, name)
        if given is not needed and not (np.isscalar(given) and given == needed):
            needed = "np.inf" if name == "C" else repr(needed)
            raise ValueError(
                f"prior={model.prior!r} needs {name}={needed}, got {name}={given!r}. The prior is "
                "the only penalty, on the likelihood of rows."
            )
    if isinstance(data.X, RowBlocks) or is_on_device(data.X):
        raise ValueError(
            f"prior={model.prior!r} needs X in memory on the host, got {type(data.X).__name__}."
        )
    if data.mixture is not None:
        counts = data.y[data.weight > 0]
        if not np.array_equal(counts, np.round(counts)):
            raise ValueError(
                f"prior={model.prior!r} needs labels or whole counts: distributions are no "
                "observations, whose number sets the weight of the prior. Pass counts in y, got "
                "fractions."
            )
    if not np.isfinite(data.weight.sum()):
        raise ValueError("The sum of sample_weight overflows float64: pass frequencies of rows.")


def likelihood_of(model, data, fixed=()):
    """Return the `Problem` of a model with a prior, and its `JeffreysLikelihood`.

    fixed : sequence of int
        Indices of features whose coefficients stay 0.
    """
    problem = Problem(data, C=np.inf, **problem_options(model, data))
    if problem.weightless.any():
        raise ValueError(
            f"The classes {data.classes[problem.weightless].tolist()} have no rows of positive "
            "weight here, so their parameters have no estimates. Fit the model without them."
        )
    names = [str(name) for name in data.names.get(
        "feature_names_in_", [f"x{j}" for j in range(data.X.shape[1])]
    )]
    total_weight = float(data.weight.sum())
    return problem, JeffreysLikelihood(problem.objective, total_weight, names, fixed)


def fitted_with_prior(model, data, metadata):
    """Fit a model with a prior to validated data.

    Parameters
    ----------
    model : SoftmaxRegression
        Is not changed.
    data : TrainingData
    metadata : dict or None
        For callbacks.

    Returns
    -------
    attributes : dict
        The fitted attributes.

    Warns
    -----
    ConvergenceWarning
        If the optimum was not reached, or the stored coefficients are off it.
    """
    check_prior(model, data)
    previous = check_warm_start(model, data)
    problem, likelihood = likelihood_of(model, data)
    objective = problem.objective

    def attributes(coef, intercept):
        return {
            "coef_": coef, "intercept_": intercept, "classes_": data.classes, **data.names,
            "has_offset_": data.offset is not None,
        }

    with progress_of(model) as progress, objective.algebra.one_blas_thread():
        callbacks = FitCallbacks(
            model, {"X": data.X, "y": data.y, "metadata": metadata}, SOLVER,
            lambda theta: attributes(*problem.coef_and_intercept(theta, data.X.dtype)),
            model.max_iter, Iterations(progress, SOLVER, model.tol, None),
        )
        start = likelihood.start()
        if previous is not None:
            warm = likelihood.at(*previous)
            start = warm if warm.value < start.value else start
        found = fisher_scoring(
            likelihood, start, tol=model.tol, max_iter=model.max_iter, callbacks=callbacks
        )
        coef, intercept, stored = _delivered(problem, likelihood, found.point, model.tol, data)
        progress.ended(found.status == "converged")
    total = likelihood.total_weight
    value = objective.delivered_value(coef, intercept) - stored.log_det / (2 * total)
    found.history["objective"][-1] = value
    fitted = {
        **attributes(coef, intercept),
        "objective_": float(value),
        "dual_gap_": np.inf,
        "newton_decrement_": float(stored.distance / np.sqrt(total)),
        "n_iter_": np.array([found.n_iter], dtype=np.int32),
        "n_evaluations_": likelihood.n_evaluations,
        "solver_": SOLVER,
        "history_": history_by_name(found.history),
    }
    callbacks.close(fitted)
    is_off = stored.distance > max(model.tol, found.point.distance) + _SILENT
    warn_of_scoring(found, stored.distance, is_off, model.tol, model.max_iter)
    return fitted


def _delivered(problem, likelihood, point, tol, data):
    """Return coefficients in the dtype of X if these are within `tol`, else in float64.

    Returns
    -------
    coef, intercept : as `coef_` and `intercept_`
    stored : JeffreysPoint
        At the coefficients as they are stored.
    """
    for dtype in (data.X.dtype, np.dtype(np.float64)):
        coef, intercept = problem.coef_and_intercept(point.theta, dtype)
        stored = likelihood.at(coef.astype(np.float64), intercept.astype(np.float64))
        if stored.distance <= tol:
            break
    return coef, intercept, stored


def penalised_likelihood_ratio(model, data, left_out, full):
    """Test that features have no effect by the likelihood with its prior.

    Parameters
    ----------
    model : SoftmaxRegression
        Fitted, with a prior.
    data : TrainingData
    left_out : list of int
        Indices of the features.
    full : InferenceResult
        Result of `inference` for the model.

    Returns
    -------
    LikelihoodRatioTest

    Warns
    -----
    ConvergenceWarning
        If the maximum without the effects was not reached.
    """
    _, likelihood = likelihood_of(model, data, left_out)
    value, slack = full.llf_penalised, full.newton_decrement**2
    with likelihood.objective.algebra.one_blas_thread():
        start = likelihood.start()
        if not len(start.x):
            return likelihood_ratio(value, -start.value, likelihood.n_fixed, slack)
        tol = min(model.tol, _SILENT)
        found = fisher_scoring(likelihood, start, tol=tol, max_iter=model.max_iter)
    warn_of_scoring(found, found.point.distance, False, tol, model.max_iter)
    slack += found.point.distance**2 + found.point.rounding
    return likelihood_ratio(value, -found.point.value, likelihood.n_fixed, slack)


def dense_coefficients(model):
    """Return `coef_` and `intercept_` as dense float64 arrays on the host."""
    coef = as_numpy(model.coef_)
    coef = coef.toarray() if sparse.issparse(coef) else coef
    return coef.astype(np.float64), as_numpy(model.intercept_).astype(np.float64)
