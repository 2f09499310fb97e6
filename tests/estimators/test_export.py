"""Exported models: to_sklearn, ONNX, skops, pickle and joblib give the same predictions."""

import io
import pickle
import sys
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, onnx

from ..problems import BUNDLED, bundled

DTYPES = [np.float32, np.float64]


def rounding_of(model, X):
    """A bound on the difference of two ways to round one model's probabilities.

    A logit is a sum of n_features + 1 products, each partial sum rounded: n eps sum_j |w_j x_j|
    apiece. Softmax passes a change d of all logits on as 2 d at the most.
    """
    eps = np.finfo(model.coef_.dtype).eps
    size = np.abs(X) @ np.abs(np.atleast_2d(model.coef_)).T + np.abs(model.intercept_)
    return 4 * eps * ((X.shape[1] + 1) * size.max() + 4)


@pytest.fixture(scope="module")
def fitted():
    """fitted(name, dtype) -> (model, X), each fitted once."""
    made = {}

    def fit(name, dtype):
        if (name, dtype) not in made:
            X, y = bundled(name, dtype=dtype)
            labels = np.array([f"class {k}" for k in range(10)])[y]
            made[name, dtype] = SoftmaxRegression(C=0.1).fit(X, labels), X
        return made[name, dtype]

    return fit


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_to_sklearn_predicts_the_same(name, dtype, fitted):
    """Labels equal, probabilities up to rounding; arrays are copies; the rest is of the fit."""
    model, X = fitted(name, dtype)
    exported = model.to_sklearn()
    assert type(exported) is LogisticRegression and exported.C == model.C
    assert_array_equal(exported.predict(X), model.predict(X))
    difference = np.abs(exported.predict_proba(X) - model.predict_proba(X)).max()
    assert difference <= rounding_of(model, X)
    assert exported.predict_proba(X).dtype == dtype
    for attribute in ("coef_", "intercept_", "classes_", "n_iter_"):
        ours, theirs = getattr(model, attribute), getattr(exported, attribute)
        assert_array_equal(ours, theirs)
        assert not np.shares_memory(ours, theirs)
    assert exported.n_features_in_ == X.shape[1]


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("C", [0.5, np.inf])
def test_to_sklearn_asks_for_the_same_optimum(C, l1_ratio):
    """Fitted again from its parameters, to its own tolerance, it has the same coefficients."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = (X @ rng.standard_normal((3, 3)) + 2 * rng.gumbel(size=(60, 3))).argmax(axis=1)
    model = SoftmaxRegression(
        C=C, l1_ratio=l1_ratio, class_weight={0: 2.0, 1: 1.0, 2: 1.0}, random_state=3, tol=1e-12,
    ).fit(X, y)
    exported = model.to_sklearn()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # l1_ratio beside C=inf, and deprecations
        exported.set_params(tol=1e-9, max_iter=100_000).fit(X, y)
    # scikit-learn's solvers stop by gradients and changes, which bound no probability: five
    # digits are a choice, not a bound.
    assert_allclose(exported.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert exported.class_weight == model.class_weight and exported.random_state == 3


def test_to_sklearn_of_a_search_has_what_was_chosen():
    """C_ and l1_ratio_; names of columns come along."""
    pandas = pytest.importorskip("pandas")
    X, y = bundled("iris")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = SoftmaxRegressionCV(Cs=[0.01, 1.0], cv=3, l1_ratios=[0.0, 0.5], tol=1e-3)
    exported = model.fit(frame, y).to_sklearn()
    assert (exported.C, exported.l1_ratio or 0.0) == (model.C_, model.l1_ratio_)
    assert_array_equal(exported.feature_names_in_, ["a", "b", "c", "d"])
    assert_array_equal(exported.predict(frame), model.predict(frame))
    assert exported.n_iter_ == model.n_iter_.max()


def test_to_sklearn_of_a_sparsified_model():
    """coef_ stays sparse and predicts."""
    X, y = bundled("iris")
    model = SoftmaxRegression(C=0.02, l1_ratio=1.0, tol=1e-3).fit(X, y)
    expected = model.predict_proba(X)
    exported = model.sparsify().to_sklearn()
    assert exported.coef_.nnz == model.coef_.nnz > 0
    assert exported.coef_ is not model.coef_
    bound = rounding_of(model.densify(), X)
    assert np.abs(exported.predict_proba(X) - expected).max() <= bound


def test_to_sklearn_needs_a_fit():
    """NotFittedError."""
    with pytest.raises(NotFittedError):
        SoftmaxRegression().to_sklearn()


def onnx_session(model, X, **options):
    """An onnxruntime session of the converted model, and its input's name."""
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    onnx.register()
    converted = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False, **options})
    session = runtime.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session, session.get_inputs()[0].name


def onnx_outputs(model, X, **options):
    session, name = onnx_session(model, X, **options)
    return session.run(None, {name: X})


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.usefixtures("by_kernels")
def test_onnx_predicts_the_same(name, dtype, fitted):
    """Labels equal where rounding does not decide, probabilities up to rounding, in X's dtype."""
    model, X = fitted(name, dtype)
    labels, proba = onnx_outputs(model, X)
    expected, bound = model.predict_proba(X), rounding_of(model, X)
    assert proba.dtype == dtype and proba.shape == expected.shape
    assert np.abs(proba - expected).max() <= bound
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * bound
    assert clear.mean() > 0.9
    assert_array_equal(np.array(labels)[clear], model.predict(X)[clear])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_onnx_options_and_inputs(n_classes):
    """In a pipeline; integer labels; logits; numbers of classes; integer columns."""
    X, y = bundled("iris")
    keep = y < n_classes
    X, y = X[keep], 10 * y[keep] - 5
    model = SoftmaxRegression(tol=1e-3).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(tol=1e-3)).fit(X, y)
    labels, proba = onnx_outputs(pipeline, X)
    assert_array_equal(labels, pipeline.predict(X))
    assert_allclose(proba, pipeline.predict_proba(X), rtol=1e-10, atol=1e-13)
    logits = onnx_outputs(model, X, raw_scores=True)[1]
    expected = model.decision_function(X)
    expected = np.column_stack([-expected, expected]) if n_classes == 2 else expected
    assert_allclose(logits, expected, rtol=1e-10, atol=1e-13)
    numbers = onnx_outputs(model, X, nocl=True)[0]
    assert_array_equal(model.classes_[numbers], model.predict(X))
    whole = np.round(X).astype(np.int64)
    bound = rounding_of(model, whole) / np.finfo(np.float64).eps * np.finfo(np.float32).eps
    assert np.abs(onnx_outputs(model, whole)[1] - model.predict_proba(whole)).max() <= bound


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_onnx_works_in_the_precision_of_predictions(n_classes, kind):
    """Timestamps and float64 coefficients: the same labels, whatever the input's type.

    float32 has 128 s between neighbours here; probabilities come in float32 but for doubles.
    """
    rng = np.random.default_rng(0)
    X = 1_700_000_000 + rng.integers(0, 10_000, (2000, 2))
    logits = (X - 1_700_005_000) @ rng.standard_normal((2, n_classes)) / 500
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = SoftmaxRegression().fit(X, y)
    given = (X % 3 == 0) if kind is np.bool_ else X.astype(kind)
    labels, proba = onnx_outputs(model, given)
    expected = model.predict_proba(given)
    bound = rounding_of(model, np.abs(X)) + np.finfo(proba.dtype).eps
    assert np.abs(proba - expected).max() <= bound < 0.01
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * bound
    assert clear.mean() > 0.95
    assert_array_equal(np.array(labels)[clear], model.predict(given)[clear])
    raw = onnx_outputs(model, given, raw_scores=True)[1]
    assert raw.dtype == proba.dtype == (np.float64 if kind is np.float64 else np.float32)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_of_a_search_of_a_sparsified_model_and_of_labels_it_has_not():
    """Both estimators convert; labels 0.5 do not."""
    X, y = bundled("iris")
    model = SoftmaxRegressionCV(Cs=[0.1], cv=2, l1_ratios=[1.0], tol=1e-3).fit(X, y)
    expected = model.predict_proba(X)
    assert_allclose(onnx_outputs(model.sparsify(), X)[1], expected, atol=1e-13)
    halves = SoftmaxRegression(tol=1e-3).fit(X, y.astype(str))
    halves.classes_ = np.array([0.5, 1.5, 2.5])
    with pytest.raises(ValueError, match=r"strings or integers, got classes_=\[0.5, 1.5, 2.5\]"):
        onnx_session(halves, X)


def test_onnx_without_skl2onnx_says_what_to_install(monkeypatch):
    """ImportError with the extra."""
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"needs skl2onnx: .*pip install skl2onnx"):
        onnx.register()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", ["pickle", "joblib", "skops"])
def test_round_trips_keep_every_bit(way, dtype):
    """Attributes and probabilities are the same bits after a load."""
    X, y = bundled("wine", dtype=dtype)
    model = SoftmaxRegression(C=0.1, tol=1e-3).fit(X, y.astype(str))
    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif way == "joblib":
        file = io.BytesIO()
        joblib.dump(model, file)
        file.seek(0)
        again = joblib.load(file)
    else:
        skops = pytest.importorskip("skops.io")
        file = skops.dumps(model)
        unknown = skops.get_untrusted_types(data=file)
        # Nothing of ours is needed beyond the class itself.
        assert set(unknown) <= {"softmax_reg.estimators.regression.SoftmaxRegression"}
        again = skops.loads(file, trusted=unknown)
    assert vars(again).keys() == vars(model).keys()
    for name, value in vars(model).items():
        if name != "history_":
            assert_array_equal(getattr(again, name), value)
    for name, values in again.history_.items():
        assert_array_equal(values, model.history_[name])
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
