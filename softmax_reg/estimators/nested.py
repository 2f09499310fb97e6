"""Our models inside other estimators: copies in which they are scikit-learn's."""

from __future__ import annotations

import copy
import functools
import types
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from .base import LinearSoftmaxClassifier
from .export import logistic_regression

# What holds no estimators; the search does not look into it.
_ATOMS = (str, bytes, bool, int, float, complex, np.generic, type(None), type, types.ModuleType,
          types.FunctionType, types.BuiltinFunctionType)


def to_sklearn(estimator: BaseEstimator) -> Any:
    """Return a copy of an estimator in which our fitted models are `LogisticRegression`.

    Use it for tools that know only the classes of scikit-learn, or where this package is not
    installed. Pipelines, searches, calibrated classifiers, ensembles and other estimators may
    hold models at any depth, in attributes, lists, tuples, dicts, sets, arrays of objects, methods
    (``FunctionTransformer(model.predict_proba)``) and `functools.partial`.

    Parameters
    ----------
    estimator : estimator
        `SoftmaxRegression`, `SoftmaxRegressionCV`, or anything that holds some of them, fitted.
        It is not changed.

    Returns
    -------
    estimator
        Deep copy, which shares nothing with the given estimator. Every fitted model is what its
        method `to_sklearn` returns: predictions are the same, and probabilities up to rounding.
        Models that are not fitted, as ``GridSearchCV.estimator``, become a `LogisticRegression`
        that is not fitted, with those parameters that it has too. So a new fit of the copy need
        not give the same model: `LogisticRegression` has no `grouped`, `groups`,
        `penalty_factor`, `bounds`, `label_smoothing` and `prior`, and does not choose C. Its
        `score` is the accuracy, also in the place of a `SoftmaxRegressionCV`.

    Raises
    ------
    NotFittedError
        If none of the models is fitted.
    TypeError
        If `estimator` is no estimator, but a class or a list, say. If a model is of a subclass
        with its own `predict`, `decision_function` or probabilities.
    ValueError
        If it holds none of our models, or one that was fitted with an offset, or a method of one,
        which `LogisticRegression` has not.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from softmax_reg import SoftmaxRegression, to_sklearn
    >>> X, y = load_wine(return_X_y=True)
    >>> pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(C=0.1)).fit(X, y)
    >>> exported = to_sklearn(pipeline)
    >>> exported.steps[-1][1]
    LogisticRegression(C=0.1)
    >>> bool((exported.predict(X) == pipeline.predict(X)).all())
    True
    """
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"estimator must be a fitted estimator, got {estimator!r}.")
    parts = _parts_of(estimator)
    models = [part for part in parts if isinstance(part, LinearSoftmaxClassifier)]
    name = type(estimator).__name__
    if not models:
        raise ValueError(
            f"estimator must hold a SoftmaxRegression or SoftmaxRegressionCV, and this {name} "
            "holds none."
        )
    if not any(map(_is_fitted, models)):
        raise NotFittedError(
            f"This {name} holds no fitted SoftmaxRegression. Call 'fit' first; a search needs "
            "refit=True."
        )
    # `deepcopy` takes the copies of objects that it meets from this dict, by identity.
    copies = {id(model): copy.deepcopy(_exported(model)) for model in models}
    for part in parts:
        if isinstance(part, types.MethodType) and id(part.__self__) in copies:
            # `deepcopy` would bind the function of our class to the copy.
            copies[id(part)] = _same_method(part, copies[id(part.__self__)])
    for part in parts:    # after all methods are in the dict
        if isinstance(part, np.ma.MaskedArray) and part.dtype.hasobject:    # in `cv_results_`
            # NumPy copies the entries of such an array without regard to the dict.
            masked = part.copy()
            masked.data[...] = copy.deepcopy(part.data, copies)
            copies[id(part)] = masked
    return copy.deepcopy(estimator, copies)


def _same_method(method, model):
    """Return the method of `model` with the name of `method`, a method of one of our models."""
    if not hasattr(model, method.__name__):
        raise ValueError(
            f"estimator holds the method {method.__name__!r} of a {type(method.__self__).__name__}"
            ", which LogisticRegression does not have."
        )
    return getattr(model, method.__name__)


def _parts_of(estimator):
    """Return all objects that an estimator holds, itself included, each once.

    Numbers, strings and the like are left out, and what our own models hold.
    """
    seen, left = {}, [estimator]
    while left:
        part = left.pop()
        if not isinstance(part, _ATOMS) and id(part) not in seen:
            seen[id(part)] = part    # alive, so that no other object gets its id
            if not isinstance(part, LinearSoftmaxClassifier):
                left.extend(_held_by(part))
    return list(seen.values())


def _held_by(holder):
    """Return the objects that a container or the attributes of an object hold."""
    if isinstance(holder, np.ndarray):
        return np.ma.getdata(holder).ravel().tolist() if holder.dtype.hasobject else []
    if isinstance(holder, types.MethodType):
        return [holder.__self__]
    if isinstance(holder, functools.partial):
        return [holder.func, *holder.args, *holder.keywords.values()]
    held = list(getattr(holder, "__dict__", {}).values())
    if isinstance(holder, dict):
        held.extend(holder.values())
    elif isinstance(holder, (list, tuple, set, frozenset)):
        held.extend(holder)
    return held


def _is_fitted(model):
    return "coef_" in vars(model)


def _exported(model):
    """Return the `LogisticRegression` for one of our models, fitted if the model is."""
    if _is_fitted(model):
        return model.to_sklearn()
    parameters = model.get_params(deep=False)
    return logistic_regression(
        model, parameters.get("C", 1.0), parameters.get("l1_ratio", 0.0)
    )
