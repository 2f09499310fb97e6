"""The estimator as a user of scikit-learn meets it."""

import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from softmax_reg import SoftmaxRegression

from ..problems import bundled

SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
X, y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[y]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")    # the checks fit to noise and to ten iterations
@parametrize_with_checks([SoftmaxRegression(solver=solver) for solver in SOLVERS])
def test_scikit_learns_estimator_checks(estimator, check):
    """check_estimator, every solver, no expected failures."""
    check(estimator)


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_consistent(n_classes, dtype, form):
    """softmax(decision_function), its log, its argmax and the input's dtype agree."""
    rows = y < n_classes
    data = X[rows].astype(dtype)
    data = sparse.csr_array(data) if form == "csr" else data
    model = SoftmaxRegression().fit(data, y[rows])
    logits = model.decision_function(data)
    proba, log_proba = model.predict_proba(data), model.predict_log_proba(data)
    assert {logits.dtype, proba.dtype, log_proba.dtype, model.coef_.dtype} == {np.dtype(dtype)}
    assert model.intercept_.dtype == dtype
    full = np.column_stack([np.zeros_like(logits), logits]) if n_classes == 2 else logits
    expected = np.exp(full - full.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(proba, expected, rtol=64 * eps)
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=64 * eps)
    np.testing.assert_array_equal(model.predict(data), model.classes_[proba.argmax(axis=1)])
    assert model.score(data, y[rows]) > 0.95
    # float64 rows meet float32 coefficients: the wider of the two.
    assert model.predict_proba(X[rows]).dtype == np.float64


def test_log_proba_is_finite_where_proba_is_zero():
    """predict_log_proba comes from the logits."""
    for labels in (y, (y > 0).astype(int)):
        model = SoftmaxRegression().fit(X, labels)
        far = X[:2] * [[1e4], [-1e4]]
        assert (model.predict_proba(far) == 0).any()
        assert np.isfinite(model.predict_log_proba(far)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_integer_weights_repeat_rows_and_zero_weights_drop_them(n_classes):
    """Weights, repeated rows and class weights are one and the same."""
    data, labels = X[y < n_classes], y[y < n_classes]
    weight = np.arange(len(labels)) % 3
    weighted = SoftmaxRegression(tol=1e-13).fit(data, labels, sample_weight=weight)
    repeated = SoftmaxRegression(tol=1e-13).fit(np.repeat(data, weight, 0),
                                                np.repeat(labels, weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6)
    per_class = dict(enumerate([1.0, 2.5, 0.5][:n_classes]))
    by_class = SoftmaxRegression(tol=1e-13, class_weight=per_class).fit(data, labels)
    by_row = SoftmaxRegression(tol=1e-13).fit(
        data, labels, sample_weight=[per_class[k] for k in labels]
    )
    np.testing.assert_array_equal(by_class.coef_, by_row.coef_)


def test_permuted_classes_permute_coefficients():
    """Renaming classes permutes the rows of coef_."""
    model = SoftmaxRegression(tol=1e-13).fit(X, y)
    renamed = SoftmaxRegression(tol=1e-13).fit(X, np.array(["c", "a", "b"])[y])
    np.testing.assert_allclose(renamed.coef_, model.coef_[[1, 2, 0]], atol=1e-7)


def test_doubled_rows_at_half_weight_are_the_same_problem():
    """[X, X] with half the weights is X."""
    model = SoftmaxRegression(tol=1e-13).fit(X, y)
    doubled = SoftmaxRegression(tol=1e-13).fit(np.r_[X, X], np.r_[y, y], sample_weight=0.5)
    np.testing.assert_allclose(doubled.coef_, model.coef_, atol=1e-7)


def test_scaling_a_column_leaves_unpenalised_probabilities():
    """C=inf: units of measurement do not matter."""
    data, labels = X[y > 0][:, :2], y[y > 0]
    model = SoftmaxRegression(C=np.inf, tol=1e-12).fit(data, labels)
    scaled = SoftmaxRegression(C=np.inf, tol=1e-12).fit(data * [1e-6, 1e5], labels)
    np.testing.assert_allclose(
        scaled.predict_proba(data * [1e-6, 1e5]), model.predict_proba(data), rtol=1e-6
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_duplicated_columns_share_their_coefficient(solver):
    """Rank-deficient X: L2 splits evenly."""
    model = SoftmaxRegression(tol=1e-13, solver=solver).fit(X[:, [0, 1, 1]], y)
    np.testing.assert_allclose(model.coef_[:, 1], model.coef_[:, 2], atol=1e-6)


@pytest.mark.parametrize("C", [1, np.inf])
def test_intercept_matches_class_totals(C):
    """Predicted class totals equal observed ones when the intercept is free."""
    data, labels = bundled("wine")
    model = SoftmaxRegression(C=C, tol=1e-12).fit(data[:, [0, 12]], labels)
    totals = model.predict_proba(data[:, [0, 12]]).sum(axis=0)
    np.testing.assert_allclose(totals, np.bincount(labels), rtol=1e-6)


@pytest.mark.parametrize("labels", [y, y == 0])
def test_classes_without_weight_are_kept_but_never_predicted(labels):
    """A class of total weight zero: a warning names it, parameters stay finite."""
    weight = (y != 0).astype(float)
    with pytest.warns(UserWarning, match=r"\[(0|True)\] have a total weight of zero"):
        model = SoftmaxRegression().fit(X, labels, sample_weight=weight)
    np.testing.assert_array_equal(model.classes_, np.unique(labels))
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert not np.isin(model.predict(np.r_[X, -100 * X]), labels[y == 0]).any()
    if labels is y:
        others = SoftmaxRegression(tol=1e-6).fit(X[y > 0], y[y > 0] * 1)
        assert model.intercept_.sum() == pytest.approx(0, abs=1e-10)
        assert model.dual_gap_ <= model.tol * model.objective_
        np.testing.assert_array_equal(model.predict(X[y > 0]), others.predict(X[y > 0]))


def test_balanced_weights_beside_a_class_without_weight():
    """The others are balanced, whether weights or rows count (`LogisticRegression` differs)."""
    weight = (y != 0).astype(float)
    model = SoftmaxRegression(class_weight="balanced", tol=1e-8)
    with pytest.warns(UserWarning, match=r"\[0\] have a total weight of zero"):
        proba = model.fit(X, y, weight).predict_proba(X[y > 0])
    np.testing.assert_allclose(proba.mean(axis=0), [0, 0.5, 0.5], atol=1e-6)


def test_without_an_intercept_a_class_without_weight_may_be_predicted():
    """The warning says so."""
    model = SoftmaxRegression(fit_intercept=False)
    with pytest.warns(UserWarning, match=r"Classes \[0\] .* and may be predicted"):
        model.fit(X, y, (y != 0).astype(float))
    assert model.predict(np.zeros((1, X.shape[1]))) == 0


def test_scores_with_weights_whose_sum_overflows():
    """As with the same weights, smaller."""
    model, weight = SoftmaxRegression().fit(X, y), np.linspace(0.5, 1, len(y))
    assert model.score(X, y, 1e308 * weight) == pytest.approx(model.score(X, y, weight))


def test_labels_of_any_type_and_frames_with_names():
    """Strings, pandas and polars frames: classes_, feature_names_in_, same numbers."""
    model = SoftmaxRegression().fit(X, y)
    columns = ["a", "b", "c", "d"]
    for frame in (pd.DataFrame(X, columns=columns), pl.DataFrame(X, schema=columns)):
        named = SoftmaxRegression().fit(frame, NAMES)
        np.testing.assert_array_equal(named.coef_, model.coef_)
        assert named.feature_names_in_.tolist() == columns
        assert named.classes_.tolist() == ["setosa", "versicolor", "virginica"]
        assert named.predict(frame).tolist() == load_iris().target_names[model.predict(X)].tolist()
    refitted = named.fit(X, NAMES)
    assert not hasattr(refitted, "feature_names_in_")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("labels", [y, y == 1])
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_warm_start_begins_at_the_previous_solution(tol, labels, solver):
    """Refitting at the solution takes no iteration; after sparsify too."""
    model = SoftmaxRegression(solver=solver, warm_start=True, tol=tol).fit(X, labels)
    assert model.n_iter_[0] > 0
    coef = model.coef_.copy()
    model.sparsify().fit(X, labels)
    assert model.n_iter_[0] == 0
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-10)


def test_warm_start_needs_the_same_problem():
    """Other classes or features: ValueError, and the fitted state stays."""
    model = SoftmaxRegression(warm_start=True).fit(X, y)
    before = {**vars(model)}
    with pytest.raises(ValueError, match="warm_start=True needs the classes"):
        model.fit(X[y > 0], y[y > 0])
    with pytest.raises(ValueError, match="warm_start=True needs coef_ of shape"):
        model.fit(X[:, :2], y)
    assert vars(model) == before


@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_are_untouched_and_may_be_read_only(order):
    """Read-only X, y and weights give the same model and keep their values."""
    arrays = [np.array(X, order=order), y.copy(), np.ones(len(y))]
    for array in arrays:
        array.flags.writeable = False
    model = SoftmaxRegression().fit(arrays[0], arrays[1], sample_weight=arrays[2])
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().fit(X, y).coef_)
    np.testing.assert_array_equal(arrays[0], X)
    rows = y.astype(np.int32)
    SoftmaxRegression().fit(X, rows)
    assert rows.flags.writeable


def test_float16_becomes_float32():
    """Half precision is stored as float32."""
    model = SoftmaxRegression().fit(X.astype(np.float16), y)
    assert model.coef_.dtype == np.float32


def test_sparsify_densify_and_writable_coefficients():
    """Sparse coef_ predicts the same; writing to coef_ is honoured."""
    model = SoftmaxRegression().fit(X, y)
    proba = model.predict_proba(X)
    assert sparse.issparse(model.sparsify().coef_)
    for data in (X, sparse.csr_array(X), sparse.csr_matrix(X)):
        np.testing.assert_allclose(model.predict_proba(data), proba, rtol=1e-12)
    assert isinstance(model.densify().coef_, np.ndarray)
    model.coef_[:] = 0
    model.intercept_[:] = 0
    np.testing.assert_array_equal(model.decision_function(X), 0)


def test_pickle_clone_and_display():
    """Round trips keep predictions, clone drops the fit, HTML shows parameters."""
    model = SoftmaxRegression(C=2.0).fit(X, y)
    for other in (pickle.loads(pickle.dumps(model)), _through_joblib(model)):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    fresh = clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "coef_")
    assert "SoftmaxRegression" in model._repr_html_()
    assert repr(model) == "SoftmaxRegression(C=2.0)"
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def _through_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return joblib.load(io.BytesIO(buffer.getvalue()))


def test_grid_search_and_select_from_model():
    """In a pipeline, in parallel, and as a feature selector."""
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SoftmaxRegression()),
        {"softmaxregression__C": np.logspace(-2, 2, 3)},
        scoring="neg_log_loss",
        n_jobs=2,
    ).fit(X, NAMES)
    assert search.best_score_ > -0.2
    assert SelectFromModel(SoftmaxRegression()).fit(X, y).transform(X).shape[1] < 4


def test_metadata_routing():
    """sample_weight is routed when asked for."""
    with config_context(enable_metadata_routing=True):
        model = SoftmaxRegression().set_fit_request(sample_weight=True)
        model = model.set_score_request(sample_weight=False)
        scores = cross_validate(model, X, y, params={"sample_weight": np.ones(len(y))})
    assert scores["test_score"].mean() > 0.9


def test_verbose_tells_of_the_cost_model(caplog):
    """What each solver is expected to take; lines of iterations are in test_progress.py."""
    model = SoftmaxRegression(verbose=1).fit(X, y)
    table, *lines = [record.getMessage() for record in caplog.records]
    assert "expected: lbfgs 0.0" in table and table.endswith("taken: newton-cholesky")
    assert len(lines) == model.n_iter_[0]
    caplog.clear()
    SoftmaxRegression(l1_ratio=1.0, verbose=1).fit(X, y)
    assert "at a time, proximal-lbfgs beyond; taken: proximal-newton" in caplog.messages[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_max_iter_zero_returns_the_starting_point_and_warns(solver):
    """The null model: class frequencies for every row."""
    with pytest.warns(ConvergenceWarning, match="failed to converge after 0 iteration"):
        model = SoftmaxRegression(max_iter=0, solver=solver).fit(X[20:], y[20:])
    assert model.n_iter_.tolist() == [0] and model.n_iter_.dtype == np.int32
    frequencies = np.bincount(y[20:]) / 130
    np.testing.assert_allclose(model.predict_proba(X), np.tile(frequencies, (150, 1)), rtol=1e-12)


def test_convergence_warning_says_what_to_do():
    """scikit-learn's words, then the gap and advice."""
    with pytest.warns(
        ConvergenceWarning,
        match=r"lbfgs failed to converge after 2 iteration\(s\): duality gap .* Increase the num",
    ):
        SoftmaxRegression(solver="lbfgs", max_iter=2).fit(X, y)


def test_penalty_property():
    """What SelectFromModel asks for; not a parameter."""
    assert SoftmaxRegression().penalty == "l2"
    assert SoftmaxRegression(l1_ratio=1).penalty == "l1"
    assert SoftmaxRegression(l1_ratio=0.5).penalty == "elasticnet"
    assert SoftmaxRegression(C=np.inf).penalty is None
    assert "penalty" not in SoftmaxRegression().get_params()


def test_constructor_is_keyword_only_and_a_subset_of_scikit_learns():
    """Every parameter but those of glmnet, PyTorch, the device and Firth means the same there."""
    ours = set(SoftmaxRegression().get_params()) - {
        "grouped", "penalty_factor", "groups", "device", "precision", "label_smoothing", "bounds",
        "prior",
    }
    assert ours <= set(LogisticRegression().get_params())
    with pytest.raises(TypeError):
        SoftmaxRegression(1.0)


def test_a_warning_made_an_error_leaves_the_estimator_as_it_was():
    """As any exception does."""
    model = SoftmaxRegression(max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_warm_start_ignores_shifts_common_to_all_classes():
    """They change no probability."""
    model = SoftmaxRegression(warm_start=True, tol=1e-8).fit(X, y)
    model.coef_ += 1.0
    model.intercept_ += 7.0
    assert model.fit(X, y).n_iter_[0] == 0


def test_absent_classes_are_in_the_gap():
    """One class carries all weight: what the other adds is bounded, not ignored."""
    with pytest.warns(UserWarning, match="total weight of zero"):
        model = SoftmaxRegression().fit(X, y == 0, sample_weight=(y != 0).astype(float))
    assert 0 < model.dual_gap_ < 1e-12


def test_polishing_stays_within_max_iter():
    """tol is reached at the last iteration allowed: no further one."""
    for max_iter in range(1, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SoftmaxRegression(max_iter=max_iter, tol=1e-3, solver="newton-cholesky")
            assert model.fit(X, y).n_iter_[0] <= max_iter


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weak_effects_are_told_from_none(n_classes, solver):
    """A heavy penalty leaves a gain within the tolerance, which is found all the same."""
    rng = np.random.default_rng(0)
    weak = rng.standard_normal((2000, 3))
    labels = (0.3 * weak @ rng.standard_normal((3, n_classes))
              + rng.gumbel(size=(2000, n_classes))).argmax(axis=1)
    null = SoftmaxRegression(C=1e-15).fit(weak, labels).objective_
    for C in (1e-7, 1e-6, 1e-5):
        model = SoftmaxRegression(C=C, solver=solver).fit(weak, labels)
        best = SoftmaxRegression(C=C, tol=1e-10, solver=solver).fit(weak, labels)
        gain = null - best.objective_
        assert model.objective_ - best.objective_ <= 100 * model.tol * gain + 1e-12 * null
        scale = np.abs(best.coef_).max()
        np.testing.assert_allclose(model.coef_, best.coef_, rtol=0, atol=0.2 * scale)


def test_newton_polishes():
    """One more step at a tight tolerance takes the gap to rounding."""
    model = SoftmaxRegression(solver="newton-cholesky", tol=1e-6).fit(X, y)
    assert model.history_["gap"][-2] <= 1e-6 * model.objective_
    assert model.dual_gap_ <= 1e-14 * model.objective_
