"""`SoftmaxRegressionCV`: what it chooses, and how it is like scikit-learn's."""

import warnings

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, log_loss, make_scorer
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.estimators.folds import selected

from ..problems import bundled

X, y = bundled("wine")
CS = [0.001, 0.1, 10.0]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:Classes .* have a total weight of zero")
@parametrize_with_checks([SoftmaxRegressionCV(Cs=2, cv=2)])
def test_scikit_learns_estimator_checks(estimator, check):
    """All that apply."""
    check(estimator)


@pytest.mark.compiled
@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", None, "neg_brier_score"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_scores_are_those_of_single_fits(kind, scoring):
    """Every fold and C; the refit is the best one's, within the certificates."""
    if scoring == "neg_brier_score" and sklearn.__version__ < "1.7":
        pytest.skip("this scikit-learn has it for two classes only")
    model = SoftmaxRegressionCV(Cs=CS, l1_ratios=(0.0, 0.7), cv=3, scoring=scoring, tol=1e-9)
    model.fit(kind(X), y)
    scorer = get_scorer(scoring or "accuracy")
    for k, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        for i, l1_ratio in enumerate(model.l1_ratios_):
            for j, C in enumerate(model.Cs_):
                single = SoftmaxRegression(C=C, l1_ratio=l1_ratio, tol=1e-9)
                single.fit(kind(X[train]), y[train])
                assert model.scores_[k, i, j] == pytest.approx(
                    scorer(single, kind(X[test]), y[test]), abs=1e-3
                )
                assert model.gaps_paths_[k, i, j] <= 1e-9
    mean = model.scores_.mean(axis=0)
    i, j = np.unravel_index(mean.argmax(), mean.shape)
    assert (model.C_, model.l1_ratio_) == (CS[j], (0.0, 0.7)[i])
    single = SoftmaxRegression(C=model.C_, l1_ratio=model.l1_ratio_, tol=1e-9).fit(kind(X), y)
    assert model.objective_ == pytest.approx(single.objective_, rel=2e-9)
    assert model.dual_gap_ <= 1e-9 * model.objective_
    assert model.score(kind(X), y) == scorer(model, kind(X), y)


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_shapes_and_dtypes(n_classes, fit_intercept, dtype):
    """scikit-learn's newest form; coefficients in the dtype of X, which is enough for tol."""
    data, labels = X[y < n_classes].astype(dtype), np.array(["a", "b", "c"])[y[y < n_classes]]
    model = SoftmaxRegressionCV(
        Cs=2, l1_ratios=[0, 0.5, 1], cv=4, fit_intercept=fit_intercept, tol=1e-3
    ).fit(data, labels)
    n_rows = 1 if n_classes == 2 else 3
    assert model.scores_.shape == model.n_iter_.shape == model.gaps_paths_.shape == (4, 3, 2)
    assert model.coefs_paths_.shape == (4, 3, 2, n_rows, 13 + fit_intercept)
    assert model.coefs_paths_.dtype == model.coef_.dtype == model.intercept_.dtype == dtype
    assert model.n_iter_.dtype == np.int32
    np.testing.assert_allclose(model.Cs_, [1e-4, 1e4])
    assert isinstance(model.C_, float) and isinstance(model.l1_ratio_, float)
    assert model.coef_.shape == (n_rows, 13) and model.intercept_.shape == (n_rows,)
    assert set(model.predict(data)) <= set(labels)


def test_threads_change_nothing():
    """The same bits with n_jobs=2."""
    one, two = (
        SoftmaxRegressionCV(Cs=CS, l1_ratios=(0, 1), cv=3, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.coefs_paths_, two.coefs_paths_)
    np.testing.assert_array_equal(one.scores_, two.scores_)
    np.testing.assert_array_equal(one.coef_, two.coef_)


def test_any_order_of_the_grid():
    """Results are in the order of Cs, however the path runs."""
    up, down = (SoftmaxRegressionCV(Cs=grid, cv=3).fit(X, y) for grid in (CS, CS[::-1]))
    np.testing.assert_array_equal(down.Cs_, CS[::-1])
    np.testing.assert_array_equal(up.scores_[..., ::-1], down.scores_)
    assert up.C_ == down.C_


def test_without_a_refit_folds_are_averaged():
    """Each fold's best; no objective of all rows."""
    model = SoftmaxRegressionCV(Cs=CS, l1_ratios=(0, 1), cv=3)
    model.fit(X, y)
    assert hasattr(model, "objective_")
    model.set_params(refit=False).fit(X, y)
    assert not hasattr(model, "objective_")
    best = [np.unravel_index(fold.argmax(), fold.shape) for fold in model.scores_]
    joined = np.mean([model.coefs_paths_[k][index] for k, index in enumerate(best)], axis=0)
    np.testing.assert_array_equal(model.coef_, joined[:, :-1])
    np.testing.assert_array_equal(model.intercept_, joined[:, -1])
    assert model.C_ == np.mean([CS[j] for _, j in best])
    assert model.l1_ratio_ == np.mean([i for i, _ in best])


@pytest.mark.compiled
def test_one_standard_error():
    """The smallest C within one standard error of the best mean, at its l1_ratio."""
    Cs = np.array([10.0, 0.1, 1.0, 0.01])
    first = np.array([[-1.0, -1.2, -1.1, -2.0], [-1.4, -1.4, -1.5, -2.4]])    # se 0.2 at best
    scores = np.stack([first - 1, first], axis=1)    # (folds, l1_ratios, Cs)
    assert selected(scores, Cs, "best") == (1, 0)
    assert selected(scores, Cs, "one_se") == (1, 1)
    assert selected(scores[:1], Cs, "one_se") == (1, 0)    # one fold has no error
    model = SoftmaxRegressionCV(Cs=6, l1_ratios=[1.0], cv=5)
    best = model.fit(X, y).C_
    sparser = model.set_params(selection="one_se").fit(X, y)
    assert sparser.C_ <= best


def test_classes_that_a_fold_lacks():
    """In training or among the rows left out: scored with all labels, and never NaN."""
    order = np.argsort(y, kind="stable")
    folds = list(KFold(3).split(X[order]))
    with pytest.warns(UserWarning, match=r"2 of 3 folds lack classes.*\[0\] in fold 1") as told:
        model = SoftmaxRegressionCV(Cs=CS, cv=folds, tol=1e-6).fit(X[order], y[order])
    assert {warning.filename for warning in told} == {__file__}
    assert np.isfinite(model.scores_).all() and np.isfinite(model.coefs_paths_).all()
    train, test = folds[0]
    with pytest.warns(UserWarning, match="weight of zero"):
        single = SoftmaxRegression(C=CS[1], tol=1e-6).fit(
            X[order], y[order], sample_weight=np.isin(np.arange(len(y)), train)
        )
    expected = -log_loss(
        y[order][test], single.predict_proba(X[order][test]), labels=[0, 1, 2]
    )
    assert model.scores_[0, 0, 1] == pytest.approx(expected, rel=1e-3)
    assert model.dual_gap_ <= 1e-6 * model.objective_


@pytest.mark.parametrize("refit", [True, False])
def test_folds_that_train_on_one_class_are_named(refit):
    """Labels in order, and no shuffling: such a fit predicts its class, and C means nothing."""
    two = np.flatnonzero(y < 2)
    two = two[y[two].argsort()]
    model = SoftmaxRegressionCV(Cs=CS, cv=KFold(2), refit=refit)
    with pytest.warns(UserWarning, match=r"1 of 2 folds lack classes.*\[0\] in fold 1"):
        model.fit(X[two], y[two])
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_class_without_weight_is_named_once(refit, fit_intercept):
    """Whoever fits; without an intercept it may be predicted, and the warning says so."""
    model = SoftmaxRegressionCV(Cs=[1.0], cv=3, refit=refit, fit_intercept=fit_intercept)
    with pytest.warns(UserWarning, match=r"Classes \[1\] have a total weight of zero") as told:
        model.fit(X, y, (y != 1).astype(float))
    (message,) = {str(warning.message) for warning in told}
    assert len(told) == 1 and ("never predicted" in message) == fit_intercept


def test_without_an_intercept_incomplete_folds_have_no_say():
    """refit=False: as with one, their coefficients do not enter the mean."""
    folds = list(StratifiedKFold(3).split(X, y))
    rest = np.flatnonzero(y > 0)
    model = SoftmaxRegressionCV(
        Cs=[1.0], cv=[*folds, (rest, folds[0][1])], refit=False, fit_intercept=False
    )
    with pytest.warns(UserWarning, match="1 of 4 folds lack classes"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, model.coefs_paths_[:3, 0, 0].mean(axis=0))


def test_weights_count_in_fits_and_scores():
    """A row of weight 0 is as good as absent; class weights are those of all rows."""
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    folds = list(StratifiedKFold(3).split(X, y))
    model = SoftmaxRegressionCV(Cs=CS, cv=folds, class_weight="balanced", tol=1e-6)
    model.fit(X, y, weight)
    train, test = folds[1]
    balanced = weight.sum() / 3 / np.bincount(y, weights=weight)
    if sklearn.__version__ < "1.7":
        balanced = len(y) / 3 / np.bincount(y)
    single = SoftmaxRegression(C=CS[0], tol=1e-6)
    single.fit(X[train], y[train], (weight * balanced[y])[train])
    proba = single.predict_proba(X[test])
    expected = -log_loss(y[test], proba, sample_weight=weight[test])
    assert model.scores_[1, 0, 0] == pytest.approx(expected, rel=1e-4)
    zero = weight.copy()
    zero[folds[0][0]] = 0
    with pytest.raises(ValueError, match="training rows of fold 1 of 3 have no weight"):
        SoftmaxRegressionCV(cv=folds).fit(X, y, zero)


@pytest.mark.parametrize("options, message", [
    ({"Cs": 0}, "'Cs' parameter"), ({"Cs": []}, "Cs must be"), ({"Cs": [1, -1]}, "Cs must be"),
    ({"Cs": [np.nan]}, "Cs must be"), ({"l1_ratios": []}, "l1_ratios must be"),
    ({"l1_ratios": [0, 2]}, "l1_ratios must be"), ({"l1_ratios": ["a"]}, "l1_ratios must be"),
    ({"l1_ratios": [np.nan]}, "l1_ratios must be"), ({"l1_ratios": None}, "'l1_ratios' parameter"),
    ({"scoring": "best"}, "'scoring' parameter"), ({"selection": "two_se"}, "'selection'"),
    ({"selection": "one_se", "refit": False}, "needs refit=True"), ({"solver": "saga"}, "'auto'"),
    ({"solver": "lbfgs", "l1_ratios": [1.0]}, "smooth penalties only"), ({"tol": -1}, "'tol'"),
    ({"penalty_factor": [1.0]}, "penalty_factor must have shape"), ({"cv": 1}, "'cv' parameter"),
    ({"cv": []}, "cv must give at least one fold"), ({"Cs": ["a"]}, "Cs must hold real numbers"),
])
def test_bad_arguments(options, message):
    """A ValueError that names the argument; the fitted state stays."""
    model = SoftmaxRegressionCV(Cs=[1.0], cv=2).fit(X, y)
    before = dict(vars(model))
    model.set_params(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert {**before, **options} == vars(model)


def test_unpenalised_grid():
    """C = inf is scikit-learn's way to ask for no penalty."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((200, 3))
    labels = (data[:, 0] + rng.logistic(size=200) > 0).astype(int)
    model = SoftmaxRegressionCV(Cs=[1.0, np.inf], cv=3).fit(data, labels)
    assert np.all(model.gaps_paths_[..., 1] == np.inf) and np.isfinite(model.scores_).all()


def test_one_warning_for_all_fits():
    """How many values of C fell short, and one of the refit."""
    with pytest.warns(ConvergenceWarning) as record:
        SoftmaxRegressionCV(Cs=CS, cv=3, max_iter=1).fit(X, y)
    messages = [str(warning.message) for warning in record]
    assert len(messages) == 2 and "3 of 3 values of C (9 of 9 fits)" in messages[1]


def test_verbose_tells_of_every_path(caplog):
    """One line each, and one of the refit; 2 also of the refit's iterations."""
    model = SoftmaxRegressionCV(Cs=CS, l1_ratios=(0, 1), cv=3, verbose=1).fit(X, y)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("[SoftmaxRegressionCV] fold 1 of 3, l1_ratio 0: best score ")
    assert f"iterations; {len(CS)} of {6 * len(CS) + 1} fits" in lines[0] and len(lines) == 7
    assert lines[-1].startswith(f"[SoftmaxRegressionCV] refit at C = {model.C_:g}, l1_ratio ")
    caplog.clear()
    model.set_params(verbose=2).fit(X, y)
    of_refit = [record for record in caplog.records if "[SoftmaxRegression] " in record.message]
    assert of_refit and len(caplog.records) == 7 + len(of_refit)


def test_callbacks_hear_of_every_path():
    """One task for the fit and one for each path."""
    pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
    from .test_callbacks import Recorder

    recorder = Recorder()
    SoftmaxRegressionCV(Cs=CS, l1_ratios=(0, 1), cv=3).set_callbacks(recorder).fit(X, y)
    assert recorder.names.count("path-iter") == 6


def test_metadata_reaches_splitter_and_scorer():
    """groups to GroupKFold, weights to the scorer, with routing enabled."""
    groups = np.arange(len(y)) % 5
    weight = np.linspace(0.5, 2, len(y))
    scorer = make_scorer(
        log_loss, greater_is_better=False, response_method="predict_proba"
    )
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = scorer.set_score_request(sample_weight=True)
        model = SoftmaxRegressionCV(Cs=CS, cv=GroupKFold(5), scoring=scorer)
        model.set_fit_request(sample_weight=True)
        model.fit(X, y, sample_weight=weight, groups=groups)
        model.score(X, y, sample_weight=weight)
    expected = SoftmaxRegressionCV(
        Cs=CS, cv=list(GroupKFold(5).split(X, y, groups))
    ).fit(X, y, weight)
    np.testing.assert_allclose(model.scores_, expected.scores_)
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        SoftmaxRegressionCV().fit(X, y, groups=groups)


def test_feature_names_and_a_refused_fit():
    """Names of a DataFrame; a fit that fails leaves the last one's state."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{j}" for j in range(13)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SoftmaxRegressionCV(Cs=2, cv=2).fit(frame, y)
        assert model.predict(frame).shape == y.shape
    assert model.feature_names_in_[0] == "f0" and model.n_features_in_ == 13
    coef = model.coef_
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 1e3, np.nan, X), y)
    assert model.coef_ is coef
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_")
