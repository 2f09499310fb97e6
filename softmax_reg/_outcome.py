"""Warnings about the end of a fit, or of many."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .exceptions import SeparationWarning


def warn_of_outcome(result, absent, tol, max_iter):
    """Say what is wrong with the end of a fit, if anything is.

    Parameters
    ----------
    result : SolverResult
    absent : array
        Classes without weight.
    tol, max_iter : as in `SoftmaxRegression`
    """
    if len(absent):
        warnings.warn(
            f"Classes {absent.tolist()} have a total weight of zero; they stay in "
            "classes_ but are never predicted.",
            UserWarning,
            stacklevel=3,
        )
    if result.status == "separable":
        warnings.warn(
            "The classes can be separated (at least in part) by coefficients that nothing "
            f"penalises, as a proof shows, so there is no optimum: {result.solver} stopped after "
            f"{result.n_iter} iteration(s) with objective {result.value:.1e}. "
            "Use a finite C, and no penalty factor of 0.",
            SeparationWarning,
            stacklevel=3,
        )
    elif result.status == "uncertified":
        warnings.warn(
            f"{result.solver} stopped at the rounding floor after {result.n_iter} "
            "iteration(s): Newton's decrement puts the objective within "
            f"{result.newton_decrement**2 / 2:.1e} of the optimum, but rounding hides the "
            f"duality gap (<= {result.gap:.1e}) where columns of X or weights differ by so "
            "many orders of magnitude. Scale them for a certificate.",
            ConvergenceWarning,
            stacklevel=3,
        )
    elif result.status in ("max_iter", "stalled", "undecided"):
        reached = (
            f"duality gap {result.gap:.1e} > tol * objective = "
            f"{tol * result.value:.1e}"
            if np.isfinite(result.gap)
            else f"objective {result.value:.6g}, no certificate where something is not penalised. "
            "The classes may be separable, or nearly collinear columns may leave the "
            "coefficients undetermined: a finite C settles both"
        )
        advice = (
            f"Increase the number of iterations (max_iter={max_iter})."
            if result.status == "max_iter"
            else "Rounding stops it from going on: scale the data or raise tol."
            if result.status == "stalled"
            else "The objective is within tol of its infimum as far as Newton's decrement tells."
        )
        warnings.warn(
            f"{result.solver} failed to converge after {result.n_iter} iteration(s): "
            f"{reached}. {advice}",
            ConvergenceWarning,
            stacklevel=3,
        )


def warn_of_path(results, max_iter):
    """One warning for all fits of a path, or of several, that fell short.

    Parameters
    ----------
    results : list of SolverResult
    max_iter : int
    """
    short = [result for result in results if result.status not in ("converged", "stopped")]
    if short:
        worst = max(short, key=lambda result: result.gap / result.value)
        warnings.warn(
            f"{worst.solver} failed to converge for {len(short)} of {len(results)} values of C; "
            f"the largest duality gap is {worst.gap:.1e} at objective {worst.value:.6g} "
            f"({worst.status}). Increase the number of iterations (max_iter={max_iter}), or "
            "leave out the largest values of C.",
            ConvergenceWarning,
            stacklevel=3,
        )
