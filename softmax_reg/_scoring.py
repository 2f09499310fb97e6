"""Scores of the rows that a fold left out."""

import inspect

from sklearn.metrics import get_scorer, make_scorer
from sklearn.utils.validation import _check_method_params


def scorer_of(scoring):
    """scikit-learn's scorer of that name, a callable as it is; None is accuracy."""
    return get_scorer("accuracy" if scoring is None else scoring)


def fold_scorer(scorer, data, params):
    """A function (model, rows) -> score of the model on these rows.

    Parameters
    ----------
    scorer : callable
        (estimator, X, y, **params) -> float.
    data : TrainingData
    params : dict
        The scorer's others; what has one entry a row is cut to the rows.
    """
    scorer = _knowing_all_classes(scorer, data.classes)

    def score(model, rows):
        some = _check_method_params(X=data.X, params=params, indices=rows)
        return scorer(model, data.X[rows], data.y[rows], **some)

    return score


def _knowing_all_classes(scorer, classes):
    """The scorer told of all labels, where it can be: rows left out may lack some."""
    metric = getattr(scorer, "_score_func", None)
    if metric is None:
        return scorer
    options = dict(getattr(scorer, "_kwargs", {}))
    accepted = inspect.signature(metric).parameters
    if "labels" not in accepted or "labels" in options:
        return scorer
    options["labels"] = classes
    if len(classes) == 2 and "pos_label" in accepted:
        options.setdefault("pos_label", classes[1])
    return make_scorer(
        metric, greater_is_better=scorer._sign == 1, response_method=scorer._response_method,
        **options,
    )
