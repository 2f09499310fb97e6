"""Warnings at the end of a fit, or of all fits of a path."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..exceptions import SeparationWarning, warn

# Largest excess of a batch without a warning. Kronecker factors stand for the past with larger
# errors.
_OPEN_BATCH = 1e-2


def history_by_name(history):
    """Return `history_`, a dict of arrays, from the structured array of a solver."""
    return {name: history[name].copy() for name in history.dtype.names}


def warn_of_weightless(classes, fit_intercept):
    """Warn if classes have no weight.

    Parameters
    ----------
    classes : array
        Classes without weight.
    fit_intercept : bool
    """
    if len(classes):
        end = "but are never predicted" if fit_intercept else (
            "and may be predicted, because there is no intercept to rule them out"
        )
        warn(
            f"Classes {classes.tolist()} have a total weight of zero; they stay in classes_ {end}."
        )


def warn_of_folds(lacking):
    """Warn if the training rows of some folds lack classes.

    lacking : list of lists
        Classes that each fold lacks.
    """
    few = [k for k, classes in enumerate(lacking) if classes]
    if few:
        warn(
            f"The training rows of {len(few)} of {len(lacking)} folds lack classes, or hold them "
            f"with weight 0: classes {lacking[few[0]]} in fold {few[0] + 1}. Their fits learn "
            "nothing of these classes, and scores say little. Use stratified or shuffled folds."
        )


def warn_of_outcome(result, tol, max_iter):
    """Warn if a fit ended short of its tolerance.

    Parameters
    ----------
    result : Fit
    tol, max_iter : as in `SoftmaxRegression`
    """
    if result.status == "separable":
        warn(
            "The classes can be separated (at least in part) by coefficients that nothing "
            f"penalises, as a proof shows, so there is no optimum: {result.solver} stopped after "
            f"{result.n_iter} iteration(s) with objective {result.value:.1e}. Use a finite C, "
            "and no penalty factor of 0.",
            SeparationWarning,
        )
    elif result.status == "rounded":
        above = f", up to {result.gap:.1e} above the optimum" if np.isfinite(result.gap) else ""
        warn(
            f"{result.solver} failed to converge in coef_ and intercept_ as they are stored: "
            f"rounding them to {result.coef.dtype} takes the objective to {result.value:.9g}"
            f"{above}. The means of some columns are large beside their spread: subtract the "
            "means first (StandardScaler, say).",
            ConvergenceWarning,
        )
    elif result.status == "uncertified":
        warn(
            f"{result.solver} stopped at the rounding floor after {result.n_iter} "
            "iteration(s): Newton's decrement puts the objective within "
            f"{result.newton_decrement**2 / 2:.1e} of the optimum, but rounding hides the "
            f"duality gap (<= {result.gap:.1e}): columns of X, or weights, differ by many "
            "orders of magnitude. Scale them for a certificate.",
            ConvergenceWarning,
        )
    elif result.status in ("max_iter", "stalled", "undecided"):
        reached = (
            f"duality gap {result.gap:.1e} > tol * objective = "
            f"{tol * result.value:.1e}"
            if np.isfinite(result.gap)
            else f"objective {result.value:.6g}, no certificate: not all coefficients are "
            "penalised. "
            "The classes may be separable, or nearly collinear columns may leave the "
            "coefficients undetermined: a finite C settles both"
        )
        advice = (
            f"Increase the number of iterations (max_iter={max_iter})."
            if result.status == "max_iter"
            else "Rounding prevents further progress: scale the data or raise tol."
            if result.status == "stalled"
            else "Newton's decrement estimates that the objective is within tol of its infimum."
        )
        warn(
            f"{result.solver} failed to converge after {result.n_iter} iteration(s): "
            f"{reached}. {advice}",
            ConvergenceWarning,
        )


def warn_of_scoring(found, distance, is_off, tol, max_iter):
    """Warn if a fit with a prior ended short of its tolerance.

    Parameters
    ----------
    found : Scored
    distance : float
        Distance of the stored coefficients from the optimum, in standard errors.
    is_off : bool
        Whether rounding has moved the stored coefficients from the point that was found.
    tol, max_iter : as in `SoftmaxRegression`
    """
    reached = f"coefficients may be {distance:.1e} standard errors away from the optimum"
    if found.status in ("max_iter", "stalled"):
        advice = (
            f"Increase the number of iterations (max_iter={max_iter})."
            if found.status == "max_iter" else
            "Rounding prevents further progress: nearly collinear columns may be the reason."
        )
        warn(
            f"fisher-scoring failed to converge after {found.n_iter} iteration(s): {reached} > "
            f"tol = {tol:.1e}. {advice}",
            ConvergenceWarning,
        )
    elif found.status == "converged" and is_off:
        warn(
            f"fisher-scoring failed to converge in coef_ and intercept_ as they are stored: "
            f"{reached}. The means of some columns are large beside their spread: subtract the "
            "means first (StandardScaler, say).",
            ConvergenceWarning,
        )


def warn_of_batch(excess, is_free):
    """Warn if the minimum for a batch of `partial_fit` was not reached.

    excess : float
        `Stream.excess` after the batch.
    is_free : bool
        Whether coefficients have no penalty.
    """
    if not excess <= _OPEN_BATCH:    # NaN is no minimum either
        warn(
            "partial_fit failed to converge on this batch: the last step promised to lower its "
            f"objective by {excess:.1e} of the value that was reached. "
            + ("Unpenalised coefficients may separate the classes of the rows so far: begin with "
               "more rows in a batch, or use a small positive penalty_factor." if is_free else
               "Values far outside of the range of earlier batches may be the reason: scale or "
               "correct them."),
            ConvergenceWarning,
        )


def warn_of_path(results, Cs, max_iter):
    """Warn once of the fits that ended short of tol, and once of those on separable classes.

    Parameters
    ----------
    results : list of Fit
        Fits of a path, or of several.
    Cs : array of shape (n_results,)
        The C of each fit; each C occurs once in every path.
    max_iter : int
    """
    Cs, statuses = np.asarray(Cs), np.array([result.status for result in results])

    def counted(is_meant):
        values, n_fits = len(np.unique(Cs[is_meant])), int(np.sum(is_meant))
        n_values = len(np.unique(Cs))
        fits = "" if n_values == len(Cs) else f" ({n_fits} of {len(Cs)} fits)"
        return f"{values} of {n_values} values of C{fits}"

    is_separable = statuses == "separable"
    if np.any(is_separable):
        smallest = Cs[is_separable].min()
        advice = "Leave out C=inf" if smallest == np.inf else "Use no penalty factor of 0"
        warn(
            "The classes can be separated (at least in part) by coefficients that nothing "
            f"penalises, so there is no optimum for {counted(is_separable)}. {advice}.",
            SeparationWarning,
        )
    is_short = ~np.isin(statuses, ("converged", "stopped", "separable"))
    if np.any(is_short):
        short = [result for result, meant in zip(results, is_short, strict=True) if meant]
        worst = max(short, key=lambda result: (result.gap, -result.value))
        advice = {
            "max_iter": f"Increase the number of iterations (max_iter={max_iter}), or leave out "
                        "the largest values of C.",
            "undecided": "The classes may be separable, or columns nearly collinear: use a "
                         "finite C and no penalty factor of 0.",
            "stalled": "Rounding prevents further progress: scale the data or raise tol.",
            "uncertified": "Rounding hides the gap: scale the columns for a certificate.",
            "rounded": "Rounding coef_ and intercept_ costs more than tol: subtract the means "
                       "of the columns first.",
        }
        endings = [status for status in advice if status in statuses]
        warn(
            f"{worst.solver} failed to converge for {counted(is_short)}; the largest duality "
            f"gap is {worst.gap:.1e} at objective {worst.value:.6g} ({worst.status}). "
            + " ".join(advice[status] for status in endings),
            ConvergenceWarning,
        )
