"""Tables of estimates: text of an `InferenceResult`, and DataFrames."""

import numpy as np

_WIDTH = 80
_OF_TYPE = {
    "nonrobust": "inverse Hessian of the log-likelihood",
    "HC0": "sandwich by rows",
    "HC1": "sandwich by rows, times n / (n - parameters)",
    "cluster": "sandwich by clusters, times G / (G - 1)",
    "bayes": "inverse Hessian of the penalised log-likelihood (Laplace)",
    "frequentist": "sandwich of the penalised estimator",
}


def _columns(result, alpha):
    """Return the names and the flat values of the table's columns."""
    ends = result.conf_int(alpha)
    names = (result._name_of_estimates, "std err", "z", "P>|z|", f"[{alpha / 2:.3g}",
             f"{1 - alpha / 2:.3g}]")
    values = (result._estimates, result.bse, result.zvalues, result.pvalues, ends[..., 0],
              ends[..., 1])
    return names, [value.ravel() for value in values]


def frame_of(result, alpha):
    """Return the table as a pandas DataFrame; see `EstimateTable.summary_frame`."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(
            "summary_frame needs pandas: python -m pip install pandas. The attributes, and "
            "InferenceResult.summary(), do without."
        ) from None
    names, values = _columns(result, alpha)
    index = pd.MultiIndex.from_product(
        [result.class_names, result.feature_names], names=["class", "feature"]
    )
    return pd.DataFrame(dict(zip(names, values, strict=True)), index=index)


def text_of(result, alpha):
    """Return the table as text; see `InferenceResult.summary`."""
    names, values = _columns(result, alpha)
    against = "" if result.reference is None else f" against {result.reference}"
    heads = [f"{name}{against}" for name in result.class_names]
    label = max(12, *(len(str(name)) for name in (*heads, *result.feature_names))) + 2
    rule = "=" * max(_WIDTH, label + 6 * 11)
    lines = ["Multinomial logistic regression", rule, *_facts(result), rule]
    n_columns = len(result.feature_names)
    for k, head in enumerate(heads):
        lines.append(head.ljust(label) + "".join(f"{name:>11}" for name in names))
        for j, feature in enumerate(result.feature_names):
            numbers = [column[k * n_columns + j] for column in values]
            lines.append(str(feature).ljust(label) + "".join(map(_number, numbers)))
        lines.append("-" * len(rule))
    return "\n".join([*lines[:-1], rule, *_notes(result)])


def _number(value):
    size = abs(value)
    text = f"{value:.4f}" if size == 0 or 1e-3 <= size < 1e5 else f"{value:.3e}"
    return f"{text:>11}"


def _facts(result):
    """Return lines of two facts each: sizes and fit."""
    facts = [
        ("observations", f"{result.nobs:.10g}"), ("log-likelihood", f"{result.llf:.6f}"),
        ("parameters (effective)" if result.C < np.inf else "parameters", f"{result.edf:.6g}"),
        ("log-likelihood, null", f"{result.llnull:.6f}"),
        ("df of the residuals", f"{result.df_resid:.10g}"),
        ("pseudo R-squared", f"{result.prsquared:.6f}"),
        ("AIC", f"{result.aic:.6f}"), ("LR statistic", f"{result.llr:.6f}"),
        ("BIC", f"{result.bic:.6f}"), ("LR p-value", f"{result.llr_pvalue:.4g}"),
    ]
    pairs = zip(facts[::2], facts[1::2], strict=True)
    return ["    ".join(f"{name + ':':<24}{value:>14}" for name, value in pair) for pair in pairs]


def _notes(result):
    """Return lines on the covariance, the coding and the penalty."""
    notes = [f"Standard errors: {result.cov_type}, {_OF_TYPE[result.cov_type]}."]
    if result.n_clusters is not None:
        notes.append(f"Clusters: {result.n_clusters}.")
    if result.reference is None:
        notes.append("Rows sum to zero over the classes; reference=label gives contrasts.")
    if result.prior is not None:
        notes.append(
            "Jeffreys prior (Firth): estimates maximise the log-likelihood plus half the log-\n"
            f"determinant of the information, {result.llf_penalised:.6f}. Intervals are Wald's."
        )
    if result.C < np.inf:
        notes.append(
            f"Conditional on C={result.C:g}: estimates are shrunken towards 0, and intervals do "
            "not cover\nthe parameters of a model without a penalty."
        )
    if not np.isfinite(result.llr_pvalue):
        notes.append(
            "LR p-value: none with a penalty." if result.prior is None else
            "LR p-value: none with a prior; lr_test compares penalised likelihoods."
        )
    return notes
