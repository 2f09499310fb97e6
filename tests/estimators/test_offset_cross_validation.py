"""Offsets in `SoftmaxRegressionCV`, and in scikit-learn's searches and pipelines."""

import warnings

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.metrics import get_scorer, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, cross_entropy
from softmax_reg.estimators.validation import weight_of_classes

from .test_offset import problem, soft

CS = [0.01, 1.0]
# Whether scores of pipelines get metadata in this scikit-learn.
ROUTES_SCORES = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8)
FOLDS = [(np.flatnonzero(np.arange(120) % 3 != k), np.flatnonzero(np.arange(120) % 3 == k))
         for k in range(3)]


def scores_of_single_fits(X, y, weight, offset, score, **options):
    """A loop over folds and C: (n_folds, n_Cs); score(model, rows) -> float."""
    return np.array([[
        score(SoftmaxRegression(C=C, tol=1e-9, **options).fit(
            X[train], y[train], weight[train], offset=offset[train]), test)
        for C in CS] for train, test in FOLDS])


@pytest.mark.parametrize("form", [
    np.asarray, pytest.param(sparse.csr_array, marks=pytest.mark.compiled)
])
@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"class_weight": "balanced"}, {"fit_intercept": False}
], ids=str)
@pytest.mark.parametrize("targets", ["labels", "soft"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_as_a_loop_over_folds(n_classes, targets, options, form):
    """Scores, the C of the best mean score, and the model of all rows."""
    X, y, weight, offset = problem(n_classes)
    T = soft(y, n_classes) if targets == "soft" else np.eye(n_classes)[y]
    given, X = T if targets == "soft" else y, form(X)

    def score(model, rows):
        log_proba = model.predict_log_proba(X[rows], offset=offset[rows])
        return -float(cross_entropy(T[rows], log_proba, sample_weight=weight[rows]))

    if "class_weight" in options:    # the cross-validation's are those of all rows
        totals = weight @ T
        balanced = totals.sum() / (n_classes * totals)
        if targets == "labels":    # older releases of scikit-learn count rows
            balanced = weight_of_classes("balanced", np.arange(n_classes), y, weight)
        balanced = dict(enumerate(balanced))
        expected = scores_of_single_fits(X, given, weight, offset, score, class_weight=balanced)
    else:
        expected = scores_of_single_fits(X, given, weight, offset, score, **options)
    search = SoftmaxRegressionCV(Cs=CS, cv=FOLDS, tol=1e-9, **options)
    search.fit(X, given, weight, offset=offset)
    np.testing.assert_allclose(search.scores_[:, 0], expected, rtol=1e-4)
    assert search.C_ == CS[expected.mean(axis=0).argmax()]
    one = SoftmaxRegression(C=search.C_, tol=1e-9, **options)
    one.fit(X, given, weight, offset=offset)
    assert search.has_offset_ and search.objective_ == pytest.approx(one.objective_, rel=2e-9)
    np.testing.assert_allclose(
        search.predict_proba(X, offset=offset), one.predict_proba(X, offset=offset), atol=1e-3
    )
    np.testing.assert_array_equal(
        search.predict(X, offset=offset),
        search.predict_log_proba(X, offset=offset).argmax(axis=1),
    )
    told = search.score(X, given, sample_weight=weight, offset=offset)
    assert told == pytest.approx(score(search, slice(None)), rel=1e-12)


@pytest.mark.parametrize("scoring", [
    "accuracy", None, "roc_auc_ovr", "f1_macro", "neg_brier_score",
    lambda model, X, y: float(np.mean(model.predict(X) == y)),
])
def test_scorers_get_models_with_the_offset(scoring):
    """scikit-learn's and callables, in folds and in `score`."""
    X, y, _, offset = problem(3)
    if scoring == "neg_brier_score":    # of two classes only in older releases
        X, y, offset = X, np.minimum(y, 1), offset[:, :2]
    scorer = scoring if callable(scoring) else get_scorer(scoring or "accuracy")

    class Model:    # all that a scorer sees of a model, with an offset
        _estimator_type = "classifier"

        def __init__(self, model, rows):
            self.classes_, self.model, self.offset = model.classes_, model, offset[rows]

        def predict(self, X):
            return self.model.predict(X, offset=self.offset)

        def predict_proba(self, X):
            return self.model.predict_proba(X, offset=self.offset)

        def __sklearn_tags__(self):
            return SoftmaxRegression().__sklearn_tags__()

    def score(model, rows):
        return scorer(Model(model, rows), X[rows], y[rows])

    expected = scores_of_single_fits(X, y, np.ones(120), offset, score)
    search = SoftmaxRegressionCV(Cs=CS, cv=FOLDS, scoring=scoring, tol=1e-9)
    search.fit(X, y, offset=offset)
    np.testing.assert_allclose(search.scores_[:, 0], expected, rtol=1e-4)
    assert search.score(X, y, offset=offset) == pytest.approx(score(search, slice(None)))
    assert "_bound_offset" not in vars(search)


def test_an_offset_of_zeros_is_none():
    """The same scores, choice and coefficients."""
    X, y, weight, offset = problem(3)
    options = {"Cs": 4, "cv": FOLDS, "tol": 1e-10, "l1_ratios": (0.0, 0.5)}
    zeros = SoftmaxRegressionCV(**options).fit(X, y, weight, offset=np.zeros((120, 3)))
    plain = SoftmaxRegressionCV(**options).fit(X, y, weight)
    np.testing.assert_allclose(zeros.scores_, plain.scores_, rtol=1e-4)
    assert (zeros.C_, zeros.l1_ratio_) == (plain.C_, plain.l1_ratio_)
    np.testing.assert_allclose(zeros.coef_, plain.coef_, atol=1e-4)
    assert not plain.has_offset_


def test_one_number_a_row_for_two_classes():
    """The log-odds of the second class, flat, as a column or as two."""
    X, y, weight, offset = problem(2)
    odds = offset[:, 1] - offset[:, 0]
    models = [SoftmaxRegressionCV(Cs=CS, cv=FOLDS).fit(X, y, weight, offset=given)
              for given in (offset, odds, odds[:, np.newaxis], odds.tolist())]
    for model in models[1:]:
        np.testing.assert_allclose(model.scores_, models[0].scores_, rtol=1e-12)
        scores = [model.score(X, y, offset=given) for given in (offset, odds)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-12)


def test_without_a_refit_and_one_standard_error():
    """Means over folds; the same choice as from the scores."""
    X, y, weight, offset = problem(3)
    model = SoftmaxRegressionCV(Cs=CS, cv=FOLDS, refit=False).fit(X, y, weight, offset=offset)
    best = model.scores_[:, 0].argmax(axis=1)
    joined = np.mean([model.coefs_paths_[k, 0, j] for k, j in enumerate(best)], axis=0)
    np.testing.assert_allclose(model.coef_, joined[:, :-1])
    assert model.has_offset_
    with pytest.raises(ValueError, match="fitted with an offset and needs one"):
        model.predict(X)
    assert not model.fit(X, y, weight).has_offset_
    simple = SoftmaxRegressionCV(Cs=[1e-3, 0.1, 1.0], cv=FOLDS, selection="one_se")
    simple.fit(X, y, weight, offset=offset)
    mean = simple.scores_[:, 0].mean(axis=0)
    error = simple.scores_[:, 0, mean.argmax()].std(ddof=1) / np.sqrt(3)
    assert simple.C_ == simple.Cs_[np.flatnonzero(mean >= mean.max() - error)[0]]


@pytest.mark.parametrize("change, match", [
    (lambda o: o[:, :2], r"offset must have shape \(120, 3\)"),
    (lambda o: o[:-1], r"offset must have shape \(120, 3\)"),
    (lambda o: np.where(o == o.max(), np.nan, o), "offset contains NaN"),
], ids=["narrow", "short", "nan"])
def test_bad_offsets(change, match):
    """A ValueError that names it, in `fit` and `score`; the estimator stays as it was."""
    X, y, weight, offset = problem(3)
    model = SoftmaxRegressionCV(Cs=1, cv=FOLDS).fit(X, y, weight, offset=offset)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=match):
        model.fit(X, y, weight, offset=change(offset))
    with pytest.raises(ValueError, match=match):
        model.score(X, y, offset=change(offset))
    assert vars(model) == before


def test_refusals():
    """Rows in files, folds that lack a class, predictions without what the fit had."""
    X, y, _, offset = problem(3)
    model = SoftmaxRegressionCV(Cs=1, cv=FOLDS)
    with pytest.raises(ValueError, match="X in memory, got RowBlocks"):
        model.fit(RowBlocks(X), y, offset=offset)
    without, others = np.flatnonzero(y != 1), np.flatnonzero(y == 1)
    model.set_params(cv=[FOLDS[0], (without, others)])
    with pytest.raises(ValueError, match=r"offset needs .* fold 2 of 2 lack the classes \[1\]"):
        model.fit(X, y, offset=offset)
    model.set_params(cv=FOLDS).fit(X, y, offset=offset)
    with pytest.raises(ValueError, match="fitted with an offset and needs one"):
        model.score(X, y)
    model.fit(X, y)
    with pytest.raises(ValueError, match="fitted without an offset and takes none"):
        model.score(X, y, offset=offset)


def test_metadata_routing():
    """From pipelines by requests; a scorer that asks for the offset gets it, too."""
    X, y, _, offset = problem(3)
    seen = []

    def loss(y_true, proba, offset=None):
        seen.append(np.shape(offset))
        return log_loss(y_true, proba, labels=[0, 1, 2])

    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer = make_scorer(loss, greater_is_better=False, response_method="predict_proba")
        scorer.set_score_request(offset=True, sample_weight=None)
        for scoring in ("neg_log_loss", scorer):
            search = SoftmaxRegressionCV(Cs=CS, cv=FOLDS, scoring=scoring)
            search.set_fit_request(offset=True).set_score_request(offset=True)
            pipeline = make_pipeline(StandardScaler(), search).fit(X, y, offset=offset)
            alone = SoftmaxRegressionCV(Cs=CS, cv=FOLDS)
            scaled = StandardScaler().fit_transform(X)
            alone.fit(scaled, y, offset=offset)
            np.testing.assert_array_equal(search.coef_, alone.coef_)
            np.testing.assert_allclose(search.scores_, alone.scores_, rtol=1e-9)
            told = alone.score(scaled, y, offset=offset)
            assert search.score(scaled, y, offset=offset) == pytest.approx(told, rel=1e-9)
            if ROUTES_SCORES:
                assert pipeline.score(X, y, offset=offset) == pytest.approx(told, rel=1e-9)
    assert set(seen) == {(40, 3), (120, 3)}


def routed():
    """A model whose requests ask for the offset."""
    model = SoftmaxRegression().set_fit_request(offset=True).set_score_request(offset=True)
    return model.set_predict_request(offset=True)


def test_searches_and_pipelines_route_it():
    """By metadata requests; scoring=None is `score`, which gets the offset, too."""
    X, y, _, offset = problem(3, n=90)
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        search = GridSearchCV(routed(), {"C": [0.01, 1.0]}, cv=3).fit(X, y, offset=offset)
        best = SoftmaxRegression(C=search.best_params_["C"]).fit(X, y, offset=offset)
        np.testing.assert_array_equal(search.best_estimator_.coef_, best.coef_)
        assert search.score(X, y, offset=offset) == best.score(X, y, offset=offset)
        pipeline = make_pipeline(StandardScaler(), routed()).fit(X, y, offset=offset)
        X = StandardScaler().fit_transform(X)
        alone = SoftmaxRegression().fit(X, y, offset=offset)
        np.testing.assert_array_equal(pipeline[-1].coef_, alone.coef_)


@pytest.mark.skipif(
    not ROUTES_SCORES,
    reason="in searches over pipelines, this scikit-learn's score gets no metadata",
)
def test_searches_over_pipelines_route_it():
    """To the fits and to the scores."""
    X, y, _, offset = problem(3, n=90)
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = make_pipeline(StandardScaler(), routed())
        search = GridSearchCV(pipeline, {"softmaxregression__C": [0.01, 1.0]}, cv=3)
        search.fit(X, y, offset=offset)
        predicted = search.best_estimator_.predict(X, offset=offset)
        assert np.mean(predicted == y) == search.score(X, y, offset=offset)
