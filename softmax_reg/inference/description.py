"""What a summary says of a result, whatever it is written as: facts, names of rows, notes."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

_ERRORS = {
    "nonrobust": "inverse Hessian of the log-likelihood",
    "HC0": "sandwich by rows",
    "HC1": "sandwich by rows, times n / (n - parameters)",
    "cluster": "sandwich by clusters, times G / (G - 1)",
    "bayes": "inverse Hessian of the penalised log-likelihood (Laplace)",
    "frequentist": "sandwich of the penalised estimator",
}
# Kind of a marginal effect: what it is, for the probability q of a class and a feature x.
EFFECTS = {
    "dydx": "change of the probability per unit of the feature",
    "eyex": "elasticity of the probability, d log q / d log x",
    "dyex": "change of the probability, d q / d log x",
    "eydx": "relative change of the probability, d log q / d x",
}
Effect: TypeAlias = Literal["dydx", "eyex", "dyex", "eydx"]
Place: TypeAlias = Literal["overall", "mean"]
PLACES = {"overall": "mean over the rows", "mean": "in the mean row"}


class Description(NamedTuple):
    """Text around a table of estimates.

    Attributes
    ----------
    title : str
    estimate : str
        Head of the column of estimates.
    heads : list of str
        Name of each row of estimates: a class, and what it is compared with.
    facts : list of (name, value)
        An even number.
    notes : list of str
    """

    title: str
    estimate: str
    heads: list[str]
    facts: list[tuple[str, str]]
    notes: list[str]


def description_of_fit(result):
    """Return the `Description` of an `InferenceResult`."""
    against = "" if result.reference is None else f" against {result.reference}"
    parameters = "parameters (effective)" if result.C < np.inf else "parameters"
    return Description(
        title="Multinomial logistic regression",
        estimate="coef",
        heads=[f"{name}{against}" for name in result.class_names],
        facts=[
            ("observations", f"{result.nobs:.10g}"), ("log-likelihood", f"{result.llf:.6f}"),
            (parameters, f"{result.edf:.6g}"),
            ("log-likelihood, null", f"{result.llnull:.6f}"),
            ("df of the residuals", f"{result.df_resid:.10g}"),
            ("pseudo R-squared", f"{result.prsquared:.6f}"),
            ("AIC", f"{result.aic:.6f}"), ("LR statistic", f"{result.llr:.6f}"),
            ("BIC", f"{result.bic:.6f}"), ("LR p-value", f"{result.llr_pvalue:.4g}"),
        ],
        notes=_notes_on_fit(result),
    )


def _notes_on_fit(result):
    """Return notes on the covariance, the coding and the penalty."""
    notes = [f"Standard errors: {result.cov_type}, {_ERRORS[result.cov_type]}."]
    if result.n_clusters is not None:
        notes.append(
            f"Clusters: {result.n_clusters}. Tests and intervals: Student's t with "
            f"{result.df_inference:g} degrees of freedom."
        )
    if result.reference is None:
        notes.append("Rows sum to zero over the classes; reference=label gives contrasts.")
    if result.prior is not None:
        notes.append(
            "Jeffreys prior (Firth): estimates maximise the log-likelihood plus half the "
            f"log-determinant of the information, {result.llf_penalised:.6f}. Intervals are "
            "Wald's."
        )
    if result.C < np.inf:
        notes.append(
            f"Conditional on C={result.C:g}: estimates are shrunken towards 0, and intervals do "
            "not cover the parameters of a model without a penalty."
        )
    if not np.isfinite(result.llr_pvalue):
        notes.append(
            "LR p-value: none with a penalty." if result.prior is None else
            "LR p-value: none with a prior; lr_test compares penalised likelihoods."
        )
    return notes


def description_of_effects(effects):
    """Return the `Description` of `MarginalEffects`."""
    notes = [f"Effects: {EFFECTS[effects.kind]}; {PLACES[effects.at]}.",
             "Standard errors: delta method, X as given."]
    if effects.dummy:
        change = "log q" if effects.kind.startswith("ey") else "the probability"
        notes.append(f"Change of {change} from 0 to 1: {', '.join(effects.dummy)}.")
    return Description(
        title="Marginal effects on probabilities",
        estimate=f"{effects.kind[:2]}/{effects.kind[2:]}",
        heads=[str(name) for name in effects.class_names],
        facts=[("kind", effects.kind), ("at", effects.at)],
        notes=notes,
    )
