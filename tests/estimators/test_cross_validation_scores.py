"""Scores of `SoftmaxRegressionCV`: scores that are not finite, and the arguments of scorers."""

import warnings

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import f1_score, get_scorer, log_loss, make_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import scale

from softmax_reg import SeparationWarning, SoftmaxRegression, SoftmaxRegressionCV, softmax_path

from ..problems import bundled

X, y = bundled("wine", standardised=True)
CS = [0.01, 1.0]
BINARY_X, BINARY_Y = load_breast_cancer(return_X_y=True)
BINARY_X, BINARY_Y = scale(BINARY_X)[:150], BINARY_Y[:150]


class Scorer:
    """Accuracy, but `value` where the fold's first row and C are these."""

    def __init__(self, value, bad):
        self.value, self.bad = value, bad

    def __call__(self, model, rows, labels):
        if self.bad(model, rows):
            return self.value
        return np.mean(model.predict(rows) == labels)


def first_of(fold, rows):
    """Whether these are the rows that this one of three folds leaves out."""
    test = list(StratifiedKFold(3).split(X, y))[fold][1]
    return len(rows) == len(test) and np.array_equal(rows, X[test])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("refit", [True, False])
def test_a_score_that_is_not_finite_loses(value, refit):
    """The candidate is not chosen; the warning names fold, C, l1_ratio and reason."""
    scorer = Scorer(value, lambda model, rows: model.C == 0.01 and first_of(1, rows))
    model = SoftmaxRegressionCV(Cs=CS, cv=3, scoring=scorer, refit=refit)
    with pytest.warns(UserWarning, match=r"fold 2 of 3 .*1 of 2 .*C=0\.01.*scoring returned"):
        model.fit(X, y)
    assert not np.isfinite(model.scores_[1, 0, 0]) and np.isfinite(model.scores_).sum() == 5
    if refit:
        assert model.C_ == 1.0
    else:
        best = [0.01 if fold[0, 0] >= fold[0, 1] else 1.0 for fold in model.scores_]
        best[1] = 1.0
        assert model.C_ == np.mean(best)


@pytest.mark.parametrize("selection", ["best", "one_se"])
def test_a_fold_without_scores_has_no_say(selection):
    """The choice is that of the other folds, with a warning."""
    scorer = Scorer(np.nan, lambda model, rows: first_of(2, rows))
    options = {"Cs": [1e-6, 1e-3, 1.0], "scoring": scorer, "selection": selection}
    folds = list(StratifiedKFold(3).split(X, y))
    with pytest.warns(UserWarning, match="no score of fold 3 of 3 is finite"):
        model = SoftmaxRegressionCV(cv=folds, **options).fit(X, y)
    assert model.C_ == SoftmaxRegressionCV(cv=folds[:2], **options).fit(X, y).C_


def test_no_finite_score_is_refused():
    """ValueError that names folds and reason; the fitted state stays."""
    model = SoftmaxRegressionCV(Cs=CS, cv=2).fit(X, y)
    before = dict(vars(model))
    model.scoring = Scorer(np.nan, lambda model, rows: True)
    with pytest.raises(ValueError, match="scoring .*no score of fold 1 of 2 is finite"):
        model.fit(X, y)
    assert {**before, "scoring": model.scoring} == vars(model)
    # Another fold misses for each candidate.
    model.set_params(cv=3, scoring=Scorer(np.nan, lambda model, rows: first_of(
        CS.index(model.C), rows)))
    with pytest.raises(ValueError, match="fold 1 of 3 .*fold 2 of 3"):
        model.fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_reason_is_a_class_that_rows_lack():
    """roc_auc is undefined where the rows left out are of one class."""
    order = np.argsort(BINARY_Y, kind="stable")
    labels = np.array(["no", "yes"])[BINARY_Y[order]]
    with pytest.warns(UserWarning, match=r"fold 1 of 3 .*lack classes \['yes'\]"):
        model = SoftmaxRegressionCV(Cs=CS, cv=KFold(3), scoring="roc_auc")
        model.fit(BINARY_X[order], labels)
    assert np.isnan(model.scores_[0]).all() and np.isfinite(model.scores_[1]).all()


def test_rows_left_out_without_weight_are_refused():
    """ValueError, as for training rows, when scores are weighted."""
    folds = list(StratifiedKFold(3).split(X, y))
    weight = np.ones(len(y))
    weight[folds[1][1]] = 0
    with pytest.raises(ValueError, match="rows left out .* no weight"):
        SoftmaxRegressionCV(Cs=CS, cv=folds).fit(X, y, weight)


def test_score_knows_the_classes_of_the_fit():
    """The log loss of rows that lack classes is that with all labels."""
    labels = np.array(["a", "b", "c"])[y]
    model = SoftmaxRegressionCV(Cs=[1.0], cv=2).fit(X, labels)
    for some in (labels != "b", labels == "c"):
        expected = -log_loss(labels[some], model.predict_proba(X[some]), labels=["a", "b", "c"])
        assert model.score(X[some], labels[some]) == expected


def _with_positive(name, label):
    """scikit-learn's scorer of that name, told the positive label where it takes one."""
    scorer = get_scorer(name)
    return make_scorer(
        scorer._score_func, greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method, **{"pos_label": label, **scorer._kwargs},
    )


@pytest.mark.parametrize("scoring", [
    "f1", "precision", "recall", "jaccard", "average_precision", "neg_brier_score",
])
@pytest.mark.parametrize(
    "names", [["a", "b"], [0, 1], [1, 2], [False, True], [-1.0, 1.0]], ids=str
)
def test_scorers_of_a_positive_label(scoring, names):
    """Folds and `score` equal scikit-learn's scorer with the right pos_label.

    Right is the metric's own default if it is a class, otherwise the second class.
    """
    labels = np.array(names)[BINARY_Y]
    folds = list(StratifiedKFold(2).split(BINARY_X, labels))
    model = SoftmaxRegressionCV(Cs=[0.1], cv=folds, scoring=scoring, tol=1e-9)
    model.fit(BINARY_X, labels)
    keeps_default = names == [1, 2] and scoring != "neg_brier_score"
    scorer = _with_positive(scoring, names[0] if keeps_default else names[1])
    assert model.score(BINARY_X, labels) == scorer(model, BINARY_X, labels)
    for k, (train, test) in enumerate(folds):
        single = SoftmaxRegression(C=0.1, tol=1e-9).fit(BINARY_X[train], labels[train])
        expected = scorer(single, BINARY_X[test], labels[test])
        assert model.scores_[k, 0, 0] == pytest.approx(expected, rel=1e-6)
    some = labels == names[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", message="No positive class found in y_true")
        assert model.score(BINARY_X[some], labels[some]) == scorer(
            model, BINARY_X[some], labels[some]
        )


@pytest.mark.parametrize("scoring", ["f1_macro", "f1_weighted", make_scorer(
    f1_score, average="macro")], ids=str)
def test_averages_are_over_the_classes_present(scoring):
    """As in scikit-learn: a fold's macro F1 leaves out what it neither holds nor predicts."""
    order = np.argsort(y, kind="stable")
    rows, labels = X[order], np.array(["a", "b", "c"])[y[order]]
    model = SoftmaxRegressionCV(Cs=[1.0], cv=3, scoring=scoring, tol=1e-9).fit(rows, labels)
    some = labels == "a"
    average = get_scorer(scoring)._kwargs["average"]
    expected = f1_score(labels[some], model.predict(rows[some]), average=average)
    assert model.score(rows[some], labels[some]) == expected == 1
    two = SoftmaxRegressionCV(Cs=[0.1], cv=2, scoring=scoring)
    names = np.array(["a", "b"])[BINARY_Y]
    score = two.fit(BINARY_X, names).score(BINARY_X, names)
    assert score == f1_score(names, two.predict(BINARY_X), average=average)


def test_what_a_scorer_was_given_stays():
    """An explicit pos_label or labels is used; routing requests survive."""
    names = np.array(["a", "b"])[BINARY_Y]
    scorer = make_scorer(f1_score, pos_label="a")
    model = SoftmaxRegressionCV(Cs=[0.1], cv=2, scoring=scorer).fit(BINARY_X, names)
    assert model.score(BINARY_X, names) == scorer(model, BINARY_X, names)
    model.scoring = make_scorer(f1_score, pos_label="c")
    with pytest.raises(ValueError, match="pos_label=c is not a valid label"):
        model.fit(BINARY_X, names)
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = make_scorer(f1_score).set_score_request(sample_weight=True)
        model.set_params(scoring=weighted).set_fit_request(sample_weight=True)
        weight = np.linspace(0.5, 2, len(names))
        model.fit(BINARY_X, names, sample_weight=weight)
        expected = f1_score(
            names, model.predict(BINARY_X), pos_label="b", sample_weight=weight
        )
        assert model.score(BINARY_X, names, sample_weight=weight) == expected


@pytest.mark.parametrize("options, expected", [
    ({"l1_ratios": [0.0]}, "l2"), ({"l1_ratios": [1.0]}, "l1"),
    ({"l1_ratios": [0.5]}, "elasticnet"), ({"l1_ratios": [0, 1]}, "elasticnet"),
    ({"Cs": [np.inf]}, None), ({"Cs": 3}, "l2"),
])
def test_penalty_before_a_fit(options, expected):
    """What the parameters allow, in scikit-learn's words."""
    model = SoftmaxRegressionCV(**options)
    assert model.penalty == expected
    assert "penalty" not in model.get_params()
    with pytest.raises(AttributeError):
        model.penalty = "l1"


def test_select_from_model_keeps_the_nonzero_columns():
    """After a fit `penalty` is of C_ and l1_ratio_; with "l1" exactly nonzero columns stay."""
    model = SoftmaxRegressionCV(Cs=[0.02, 0.05], l1_ratios=[1.0], cv=3)
    selector = SelectFromModel(model).fit(X, y)
    chosen = selector.estimator_
    assert chosen.penalty == "l1"
    nonzero = np.any(chosen.coef_ != 0, axis=0)
    assert 0 < nonzero.sum() < X.shape[1]
    np.testing.assert_array_equal(selector.get_support(), nonzero)
    chosen.l1_ratio_, chosen.C_ = 0.0, np.inf
    assert chosen.penalty is None


def test_fit_keeps_what_a_subclass_has_set():
    """Attributes that end in "_" and are not of a fit stay; those of a refit go with it."""
    class Named(SoftmaxRegressionCV):
        def fit(self, X, y):
            self.columns_ = ["kept"]
            return super().fit(X, y)

    model = Named(Cs=[1.0], cv=2).fit(X, y)
    model.note_ = "mine"
    assert model.columns_ == ["kept"] and hasattr(model, "history_")
    model.set_params(refit=False).fit(X, y)
    assert (model.columns_, model.note_) == (["kept"], "mine")
    assert not {"objective_", "dual_gap_", "newton_decrement_", "n_evaluations_", "solver_",
                "history_"} & set(vars(model))


@pytest.mark.filterwarnings("ignore:The classes")
def test_separable_folds_are_told_of_separation():
    """SeparationWarning that names C = inf; raising max_iter is no advice, values are counted."""
    with pytest.warns(SeparationWarning, match=r"1 of 2 values of C \(3 of 6 fits\)") as record:
        SoftmaxRegressionCV(Cs=[1.0, np.inf], cv=3).fit(X, y)
    assert not any("max_iter" in str(warning.message) for warning in record)
    assert any("C=inf" in str(warning.message) for warning in record)


def test_values_of_C_are_counted_not_fits():
    """On a path and in a search; the advice is that of how the fits ended."""
    with pytest.warns(ConvergenceWarning) as record:
        SoftmaxRegressionCV(Cs=[1.0, 10.0], l1_ratios=[0, 1], cv=3, max_iter=0).fit(X, y)
    messages = [str(warning.message) for warning in record]
    assert any("2 of 2 values of C (12 of 12 fits)" in message for message in messages)
    assert all("max_iter=0" in message for message in messages)
    with pytest.warns(ConvergenceWarning, match="for 2 of 2 values of C;"):
        softmax_path(X, y, Cs=CS, l1_ratio=0.0, max_iter=0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("problem", ["wine", "binary", "sparse", "absent"])
def test_the_log_loss_is_scikit_learns(problem, dtype, weighted):
    """scoring="neg_log_loss" is computed here: as `log_loss` of the probabilities of all classes.

    Equal up to the rounding of sums. At large C some probabilities are below eps, where both clip.
    (scikit-learn's scorer passes one of two columns to `log_loss`, and loses digits near 1.)
    """
    rows, labels = (BINARY_X, BINARY_Y) if problem == "binary" else (X, y)
    rows = sparse.csr_array(rows.astype(dtype)) if problem == "sparse" else rows.astype(dtype)
    folds = list(KFold(3).split(labels) if problem == "absent"    # labels are sorted
                 else StratifiedKFold(3).split(rows, labels))
    options = {"sample_weight": np.linspace(0, 2, len(labels))} if weighted else {}
    found = []

    def reference(model, X, y, sample_weight=None):
        proba = model.predict_proba(X)
        return -log_loss(y, proba, labels=np.unique(labels), sample_weight=sample_weight)

    for scoring in ("neg_log_loss", reference):
        model = SoftmaxRegressionCV(Cs=[1e-3, 1.0, 1e6], cv=folds, scoring=scoring, refit=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # of classes that folds lack
            found.append(model.fit(rows, labels, **options).scores_)
    np.testing.assert_allclose(*found, rtol=64 * np.finfo(dtype).eps)
    assert np.ptp(found[0]) > 0.01
