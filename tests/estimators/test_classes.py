"""`classes` of the fits: names of a matrix's columns, and labels without rows."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softmax_reg import (
    RowBlocks,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    cross_entropy,
    softmax_path,
)

from ..problems import EPS
from .test_soft_targets import problem

NAMES = ["b", "a", "c"]
WEIGHTLESS = pytest.mark.filterwarnings("ignore:Classes .* have a total weight of zero")


def labelled(names=("a", "b", "d"), n=120):
    """X, and labels that depend on it."""
    X, T, _ = problem(n, 4, len(names))
    return X, np.array(names)[T.argmax(axis=1)]


def fits(X, y, **options):
    """The classes of all three fits."""
    return [
        SoftmaxRegression().fit(X, y, **options).classes_,
        SoftmaxRegressionCV(Cs=1, cv=KFold(2)).fit(X, y, **options).classes_,
        softmax_path(X, y, Cs=[1.0], **options).classes,
    ]


@pytest.mark.parametrize("given", [NAMES, tuple(NAMES), np.array(NAMES), np.array(NAMES, object)],
                         ids=["list", "tuple", "array", "objects"])
def test_names_of_columns(given):
    """In their order, in the fit of one model, of a cross-validation and of a path."""
    X, T, _ = problem(100, 4, 3)
    for classes in fits(X, T, classes=given):
        assert classes.tolist() == NAMES
    plain, model = SoftmaxRegression().fit(X, T), SoftmaxRegression().fit(X, T, classes=given)
    np.testing.assert_array_equal(model.predict(X), np.array(NAMES)[plain.predict(X)])
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.score(X, T) == plain.score(X, T)


def test_names_and_those_of_a_frame():
    """The same names in the same order, or a ValueError."""
    pandas = pytest.importorskip("pandas")
    X, T, _ = problem(100, 4, 3)
    frame = pandas.DataFrame(T, columns=NAMES)
    for classes in fits(X, frame, classes=NAMES):
        assert classes.tolist() == NAMES
    for wrong in (sorted(NAMES), ["b", "a", "d"]):
        with pytest.raises(ValueError, match=r"classes must equal .*\['b', 'a', 'c'\].*got"):
            SoftmaxRegression().fit(X, frame, classes=wrong)
    with pytest.raises(ValueError, match="classes must not hold NaN"):
        SoftmaxRegression().fit(X, frame, classes=["b", "a", pandas.NA])
    mixed = pandas.DataFrame(T, columns=[1, "a", "c"])
    assert SoftmaxRegression().fit(X, mixed).classes_.tolist() == [1, "a", "c"]


@WEIGHTLESS
@pytest.mark.parametrize("options", [
    {}, {"class_weight": "balanced"}, {"class_weight": {"a": 2.0}}, {"l1_ratio": 0.5},
    {"C": 100.0, "solver": "lbfgs"},
], ids=str)
def test_a_label_without_rows_changes_no_other(options):
    """It is in `classes_`, sorted, and never predicted; the optimum is that without it."""
    X, y = labelled()
    plain = SoftmaxRegression(tol=1e-10, **options).fit(X, y)
    with pytest.warns(UserWarning, match=r"Classes \['c'\] have a total weight of zero"):
        model = SoftmaxRegression(tol=1e-10, **options).fit(X, y, classes=["d", "c", "b", "a"])
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-9)
    proba = model.predict_proba(X)
    assert proba[:, 2].max() < EPS and "c" not in model.predict(X)
    np.testing.assert_allclose(proba[:, [0, 1, 3]], plain.predict_proba(X), atol=1e-4)
    path = softmax_path(X, y, n_Cs=3, classes=list("dcba"))
    np.testing.assert_allclose(
        path.objectives, softmax_path(X, y, n_Cs=3).objectives, rtol=2e-4
    )


def test_all_labels_in_any_order_change_nothing():
    """Sorted as without `classes`; of numbers the dtype is that of `classes`."""
    X, y = labelled()
    model, plain = SoftmaxRegression().fit(X, y, classes=["d", "a", "b"]), SoftmaxRegression()
    np.testing.assert_array_equal(model.coef_, plain.fit(X, y).coef_)
    assert model.classes_.tolist() == ["a", "b", "d"]
    _, numbers = np.unique(y, return_inverse=True)
    for given in (range(3), [2.0, 0.0, 1.0]):
        model.fit(X, numbers, classes=given)
        np.testing.assert_array_equal(model.coef_, plain.coef_)
        assert model.classes_.dtype == np.asarray(given).dtype
    model.fit(X, numbers > 0, classes=[True, False])
    assert model.classes_.tolist() == [False, True]


@WEIGHTLESS
def test_one_label_of_two():
    """Its probability is 1; without `classes` it is refused."""
    X, y = labelled()
    model = SoftmaxRegression().fit(X, np.repeat("a", 120), classes=["b", "a"])
    assert set(model.predict(X)) == {"a"} and model.objective_ == 0
    with pytest.raises(ValueError, match="at least 2 classes"):
        SoftmaxRegression().fit(X, np.repeat("a", 120))


def test_label_smoothing_counts_all_classes():
    """Each of K named classes has the share e / K."""
    X, y = labelled()
    model = SoftmaxRegression(label_smoothing=0.2, tol=1e-10).fit(X, y, classes=list("abcd"))
    T = 0.8 * (y[:, np.newaxis] == np.array(list("abcd"))) + 0.2 / 4
    expected = SoftmaxRegression(tol=1e-10).fit(X, T)
    assert model.objective_ == pytest.approx(expected.objective_, rel=1e-9)


@WEIGHTLESS
@pytest.mark.parametrize("refit", [True, False])
def test_cross_validation_and_scores(refit):
    """Scores of probabilities of all named classes; warm starts go on with them."""
    X, y = labelled()
    search = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=KFold(3), refit=refit)
    search.fit(X, y, classes=["d", "b", "a", "c"])
    plain = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=KFold(3), refit=refit).fit(X, y)
    np.testing.assert_allclose(search.scores_, plain.scores_, rtol=1e-3)
    assert search.C_ == plain.C_ and search.predict_proba(X).shape == (120, 4)
    expected = -log_loss(y, search.predict_proba(X), labels=["a", "b", "c", "d"])
    assert search.score(X, y) == pytest.approx(expected, rel=1e-9)
    model = SoftmaxRegression(warm_start=True).fit(X, y, classes=list("abcd"))
    some = y != "b"
    model.fit(X[some], y[some], classes=list("abcd"))
    assert model.classes_.tolist() == list("abcd")


def test_log_loss_of_labels_after_a_fit_to_a_matrix():
    """scikit-learn's assumes sorted classes; here their order is that of the columns."""
    X, T, weight = problem(120, 4, 3)
    model = SoftmaxRegressionCV(Cs=1, cv=KFold(2)).fit(X, T, classes=NAMES)
    labels = np.array(NAMES)[T.argmax(axis=1)]
    own = model.predict_proba(X)[np.arange(120), T.argmax(axis=1)]
    expected = np.average(np.log(own), weights=weight)
    assert model.score(X, labels, sample_weight=weight) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"y contains labels .* \['b', 'a', 'c'\]"):
        model.score(X, np.repeat("d", 120))


@WEIGHTLESS
def test_rows_in_files_and_callers_arrays():
    """`RowBlocks` as arrays; nothing given is written to."""
    X, y = labelled()
    given = np.array(list("dcab"))
    given.flags.writeable = y.flags.writeable = False
    model = SoftmaxRegression().fit(RowBlocks(X), y, classes=given)
    np.testing.assert_allclose(
        model.coef_, SoftmaxRegression().fit(X, y, classes=given).coef_, atol=1e-2
    )
    assert given.tolist() == list("dcab")
    T = problem(120, 4, 3)[1]
    model.fit(RowBlocks(X), T, classes=NAMES)
    loss = cross_entropy(T, model.predict_log_proba(X))
    assert model.objective_ == pytest.approx(
        float(loss) + (model.coef_**2).sum() / 2 / 120, rel=1e-12
    )


@pytest.mark.parametrize("matrix", [True, False])
@pytest.mark.parametrize("classes, match", [
    (["a", "b", "a"], "different labels, got"), (["a", "b", None], "NaN, infinity or None"),
    (["a", "b", np.nan], "NaN, infinity or None"), ([0.0, 1.0, np.nan], "NaN, infinity"),
    ([0.0, 1.0, np.inf], "NaN, infinity"), ([["a"], ["b"], ["d"]], "array-like of at least 2"),
    (["a"], "at least 2"), ("abd", "array-like"), (3, "array-like"), ([["a"], "b"], "array-like"),
], ids=str)
def test_bad_names(classes, match, matrix):
    """A ValueError that names `classes` and what was given; the estimator stays as it was."""
    X, y = labelled()
    y = problem(120, 4, 3)[1] if matrix else y
    model = SoftmaxRegression().fit(X, y)
    before = dict(vars(model))
    for fit in (model.fit, SoftmaxRegressionCV().fit, softmax_path):
        with pytest.raises(ValueError, match="classes must .*" + match):
            fit(X, y, classes=classes)
    assert vars(model) == before


def test_names_that_do_not_fit_y():
    """Too many, too few, or not those of the labels."""
    X, y = labelled()
    T = problem(120, 4, 3)[1]
    for names in (["a", "b"], list("abcd")):
        with pytest.raises(ValueError, match=r"classes must name the 3 columns of y, got \d"):
            SoftmaxRegression().fit(X, T, classes=names)
    with pytest.raises(ValueError, match=r"y contains labels \['d'\] that are not in classes"):
        SoftmaxRegression().fit(X, y, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"y contains labels .* not in classes, \[0, 1, 2\]"):
        SoftmaxRegression().fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be labels that can be sorted"):
        SoftmaxRegression().fit(X, y, classes=np.array(["a", 1, "b"], dtype=object))
    with pytest.raises(ValueError, match="offset needs every class to have weight"):
        SoftmaxRegression().fit(X, y, offset=np.zeros((120, 4)), classes=list("abcd"))


@WEIGHTLESS
def test_searches_and_pipelines_pass_them_on():
    """With and without metadata routing, where it is a request of `fit`."""
    X, y = labelled()
    names = list("abcd")
    search = GridSearchCV(SoftmaxRegression(), {"C": [0.1, 1.0]}, cv=3).fit(X, y, classes=names)
    assert search.best_estimator_.classes_.tolist() == names
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Classes .* have a total weight of zero")
        for model in (SoftmaxRegression(), SoftmaxRegressionCV(Cs=1, cv=2)):
            model.set_fit_request(classes=True)
            pipeline = make_pipeline(StandardScaler(), model).fit(X, y, classes=names)
            assert pipeline.classes_.tolist() == names
