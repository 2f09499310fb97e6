"""Scores of the rows left out of a fold: arguments of scorers, and which scores count."""

import copy
import inspect

import numpy as np
from scipy import sparse
from sklearn.metrics import get_scorer
from sklearn.utils import check_array

from ..exceptions import warn
from ..rows.device_input import as_numpy
from ..rows.small import are_small
from ..rows.softmax import probabilities
from .offsets import bound, joined
from .prediction import predictions
from .scikit_learn import check_method_params
from .targets import are_distributions, share_right

# Largest number of folds that a message names one by one.
_MOST_NAMED = 5


def scorer_of(scoring):
    """Return scikit-learn's scorer for a name, or a callable unchanged; None means accuracy."""
    return get_scorer("accuracy" if scoring is None else scoring)


def scorer_for(scoring, classes, y):
    """Return the scorer of targets y: (estimator, X, y, **params) -> float.

    Scorers of labels get all classes of the fit (`knowing_classes`). For y of shape
    (n_samples, n_classes) there are two: the mean of sum_k T_ik log q_ik, each row counted by
    the sum of its targets, and the share of the targets on the predicted classes.

    Parameters
    ----------
    scoring : str, callable or None
    classes : (n_classes,), those of the fit
    y : array-like
    """
    if not are_distributions(y):
        if isinstance(scoring, str) and scoring == "neg_log_loss" and not _are_sorted(classes):
            return _log_loss_of_labels
        return knowing_classes(scorer_of(scoring), classes)
    if callable(scoring):
        return scoring
    if scoring not in _OF_DISTRIBUTIONS:
        raise ValueError(
            f"scoring={scoring!r} takes labels, and y has the shape {np.shape(y)}. Use "
            "'neg_log_loss', 'accuracy', or a callable (estimator, X, y, **params)."
        )
    return _OF_DISTRIBUTIONS[scoring]


def _soft_log_loss(model, X, y, sample_weight=None):
    q = as_numpy(model.predict_proba(X))
    shares = check_array(y, dtype=np.float64, input_name="y")
    if shares.shape != q.shape:
        raise ValueError(f"y must have shape {q.shape}, a column for each class, got "
                         f"{shares.shape}.")
    if sample_weight is not None:
        shares = shares * np.asarray(sample_weight, dtype=np.float64)[:, np.newaxis]
    eps = np.finfo(q.dtype).eps    # scikit-learn clips, too
    return float(np.average(np.log(np.clip(q, eps, 1 - eps)), weights=shares))


def _are_sorted(classes):
    """Return whether classes are in the order that scikit-learn's metrics expect."""
    try:
        return bool(np.all(classes[:-1] < classes[1:]))
    except TypeError:    # names of columns that cannot be compared
        return False


def _log_loss_of_labels(model, X, y, sample_weight=None):
    """Compute neg_log_loss of labels where classes are in the order of the columns of a matrix."""
    one_hot = np.asarray(y)[:, np.newaxis] == model.classes_
    if not one_hot.any(axis=1).all():
        raise ValueError(f"y contains labels that are not in classes_, {model.classes_.tolist()}.")
    return _soft_log_loss(model, X, one_hot, sample_weight)


def _soft_accuracy(model, X, y, sample_weight=None):
    return share_right(y, as_numpy(model.predict(X)), model.classes_, sample_weight)


# Scorers of distributions and counts, by the names of scikit-learn's.
_OF_DISTRIBUTIONS = {
    "neg_log_loss": _soft_log_loss, "accuracy": _soft_accuracy, None: _soft_accuracy,
}


def fold_scorer(scoring, data, params):
    """Return a function that maps rows to a function, models -> scores of them on these rows.

    Parameters
    ----------
    scoring : str, callable or None
        A callable takes (estimator, X, y, **params) and returns a float.
    data : TrainingData
        With an offset, scorers get models whose predictions add that of their rows.
    params : dict
        Other arguments of the scorer. An argument with an entry for each row is restricted to
        the rows to score.
    """
    scorer = scorer_for(scoring, data.classes, data.y)
    has_labels = data.y.ndim == 1
    is_log_loss = has_labels and isinstance(scoring, str) and scoring == "neg_log_loss"

    def on_rows(rows):    # neg_log_loss takes weights only
        some = check_method_params(X=data.X, params=params, indices=rows)
        weight = some.get("sample_weight")
        if weight is not None and not np.any(weight):
            raise ValueError("The rows left out of a fold have no weight: sample_weight is 0.")
        X, y, index = data.X[rows], data.y[rows], data.index[rows]
        offset = None if data.offset is None else data.offset[rows]

        def scores(models):
            values = [None] * len(models)
            if is_log_loss:
                values = _neg_log_losses(models, X, index, weight, offset)
            return [
                scorer(bound(model, offset), X, y, **some) if value is None else value
                for model, value in zip(models, values, strict=True)
            ]

        return scores

    return on_rows


def _neg_log_losses(models, X, index, weight, offset):
    """Compute the `_neg_log_loss` of every model; with few rows, of all models at once."""
    n_rows, n_samples = len(models[0].coef_), len(index)
    dtypes = {(model.coef_.dtype, model.intercept_.dtype) for model in models}
    if (
        offset is None and len(models) > 1 and len(dtypes) == 1 and models[0].device == "cpu"
        and isinstance(X, np.ndarray) and are_small(X, n_rows * len(models))
    ):
        coef, intercept = (
            np.concatenate([getattr(model, name) for model in models])
            for name in ("coef_", "intercept_")
        )
        logits, all_finite = predictions(X, coef, intercept, "logits")
        if all_finite:
            logits = logits.T.reshape(-1, n_rows, n_samples).swapaxes(0, 1).reshape(n_rows, -1)
            if n_rows == 1:
                logits = np.concatenate([np.zeros_like(logits), logits])
            columns = np.arange(logits.shape[1])
            own = probabilities(logits)[np.tile(index, len(models)), columns]
            return _mean_log(own.reshape(-1, n_samples), weight).tolist()
    return [_neg_log_loss(model, X, index, weight, offset) for model in models]


def _mean_log(own, weight):
    """Return the means of the logarithms along the last axis, clipped as scikit-learn does."""
    eps = np.finfo(own.dtype).eps
    return np.average(np.log(np.clip(own, eps, 1 - eps)), axis=-1, weights=weight)


def _neg_log_loss(model, X, index, weight, offset):
    """Compute scikit-learn's score neg_log_loss; None if logits overflow.

    On small folds, scikit-learn's own takes longer than the fit, for checks of labels and
    probabilities that hold here. With two classes it gets one probability q of each row, and
    1 - q has lost digits where q is near 1; here both are exact.

    model : SoftmaxRegression, of all classes
    X, index, weight, offset : validated rows, the indices of their classes, and their weights
        and offsets, or None
    """
    device, coef = "cpu" if sparse.issparse(X) else model.device, model.coef_
    if offset is not None:
        X, coef = joined(X, coef, offset, len(model.classes_))
    proba, all_finite = predictions(X, coef, model.intercept_, "probabilities", device)
    if not all_finite:
        return None
    return float(_mean_log(as_numpy(proba)[np.arange(len(index)), index], weight))


def knowing_classes(scorer, classes):
    """Return the scorer with the labels of all classes of the fit: rows to score may lack some.

    Metrics of probabilities, and metrics without averages, get all labels. Averages over
    classes stay averages over the classes present, as in scikit-learn. With two classes the
    positive one is the metric's default, if it is a class. Otherwise it is ``classes[1]``, the
    class whose probability scorers pass to metrics. Arguments given to `make_scorer` stay.

    Parameters
    ----------
    scorer : callable
        Scorers that scikit-learn's `make_scorer` did not create are returned unchanged.
    classes : ndarray of shape (n_classes,), sorted
    """
    metric = getattr(scorer, "_score_func", None)
    if metric is None:
        return scorer
    accepted = inspect.signature(metric).parameters
    defaults = {name: parameter.default for name, parameter in accepted.items()}
    given, told = dict(scorer._kwargs), {}
    of_predictions = scorer._response_method == "predict"
    is_untold = defaults.get("labels") in (None, inspect.Parameter.empty)
    if "labels" in accepted and is_untold and not (of_predictions and "average" in accepted):
        told["labels"] = classes
    known = classes.tolist()
    if "pos_label" in accepted and defaults["pos_label"] not in known:
        average = given.get("average", defaults.get("average", "binary"))
        if of_predictions and average != "binary":
            told["pos_label"] = None    # unused, and scikit-learn would refuse the default
        elif len(known) == 2:
            told["pos_label"] = known[1]
    scorer = copy.copy(scorer)    # keeps its metadata requests
    scorer._kwargs = told | given
    return scorer


def folds_that_count(scores, Cs, l1_ratios, lacking):
    """Return the mask of the folds with a finite score, (n_folds,); warn of scores not finite.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
    Cs, l1_ratios : ndarray
    lacking : list of lists
        Classes missing from the rows left out of each fold.

    Raises
    ------
    ValueError
        If no candidate has a finite score in all folds that have one.

    Warns
    -----
    UserWarning
        If any score is not finite.
    """
    is_finite = np.isfinite(scores)
    counts = is_finite.any(axis=(1, 2))
    if is_finite.all():
        return counts
    parts, n_folds = [], len(scores)
    for k in np.flatnonzero(~is_finite.all(axis=(1, 2))):
        i, j = np.argwhere(~is_finite[k])[0]
        reason = f"scoring returned {scores[k, i, j]}"
        if lacking[k]:
            reason += f", and the rows left out lack classes {lacking[k]}"
        parts.append(
            f"in fold {k + 1} of {n_folds} the scores of {np.sum(~is_finite[k])} of "
            f"{is_finite[k].size} candidates, first C={Cs[j]:g}, l1_ratio={l1_ratios[i]:g} "
            f"({reason})" if counts[k] else
            f"no score of fold {k + 1} of {n_folds} is finite ({reason})"
        )
    more = f"; {len(parts) - _MOST_NAMED} more folds" if len(parts) > _MOST_NAMED else ""
    told = "; ".join(parts[:_MOST_NAMED]) + more
    if not counts.any() or not is_finite[counts].all(axis=0).any():
        raise ValueError(
            "scoring gives no candidate a finite score in every fold: "
            f"{told}. Use another scoring, or folds that hold rows of every class."
        )
    warn(
        f"Some scores are not finite: {told}. Such a candidate is not chosen; a fold without a "
        "finite score does not count."
    )
    return counts
