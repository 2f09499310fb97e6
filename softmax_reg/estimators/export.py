"""A fitted model as scikit-learn's `LogisticRegression`."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from .array_api import as_numpy

# Whether the parameter `penalty` of LogisticRegression is in use, as in scikit-learn < 1.8.
_HAS_PENALTY = LogisticRegression().penalty != "deprecated"
_PREDICTIONS = "decision_function", "predict", "predict_log_proba", "predict_proba"


def logistic_regression(model, C, l1_ratio):
    """Return an unfitted `LogisticRegression` with the parameters of `model` that it has too.

    Parameters
    ----------
    model : LinearSoftmaxClassifier
    C, l1_ratio : float
        Penalty of the fit.

    Returns
    -------
    LogisticRegression
        The solver is saga for an L1 part, else lbfgs.
    """
    has_l1 = l1_ratio > 0 and C != np.inf
    if not _HAS_PENALTY:
        # SelectFromModel takes l1_ratio=1 for an L1 penalty, also with C=np.inf.
        penalty = {"l1_ratio": l1_ratio if has_l1 else 0.0}
    elif C == np.inf:
        penalty, C = {"penalty": None}, 1.0
    elif has_l1 and l1_ratio < 1:
        penalty = {"penalty": "elasticnet", "l1_ratio": l1_ratio}
    else:
        penalty = {"penalty": "l1"} if has_l1 else {}
    return LogisticRegression(
        C=C, fit_intercept=model.fit_intercept, class_weight=model.class_weight,
        random_state=model.random_state, solver="saga" if has_l1 else "lbfgs", **penalty,
    )


def fitted_logistic_regression(model, C, l1_ratio):
    """Return a `LogisticRegression` with the fitted attributes of `model`.

    Parameters
    ----------
    model : fitted LinearSoftmaxClassifier
    C, l1_ratio : float
        Penalty of the fit.

    Returns
    -------
    LogisticRegression
        With copies of the coefficients. The parameters define the same objective, as far as
        `LogisticRegression` has them.
    """
    _check_predictions(type(model))
    exported = logistic_regression(model, C, l1_ratio)
    exported.coef_ = as_numpy(model.coef_).copy()    # ndarray, or CSR after `sparsify`
    exported.intercept_ = as_numpy(model.intercept_).copy()
    exported.classes_ = as_numpy(model.classes_).copy()
    if hasattr(model, "n_iter_"):    # not after partial_fit
        exported.n_iter_ = np.array([np.max(as_numpy(model.n_iter_))], dtype=np.int32)
    exported.n_features_in_ = model.n_features_in_
    if hasattr(model, "feature_names_in_"):
        exported.feature_names_in_ = model.feature_names_in_.copy()
    return exported


def _check_predictions(kind):
    """Raise TypeError for a class that predicts in its own way, and so not as the export does."""
    for name in _PREDICTIONS:
        owner = next(base for base in kind.__mro__ if name in vars(base))
        if owner.__module__.partition(".")[0] not in (__name__.partition(".")[0], "sklearn"):
            raise TypeError(
                f"{kind.__name__} cannot be exported, because {owner.__name__} has its own "
                f"{name}, which LogisticRegression has not. Give {kind.__name__} a method "
                "to_sklearn."
            )
