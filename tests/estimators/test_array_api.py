"""Arrays of other libraries under scikit-learn's `array_api_dispatch`: in, and out again."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.fixes import parse_version

from softmax_reg import (
    CoefficientDisplay,
    RegularizationPathDisplay,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    softmax_path,
)
from softmax_reg.estimators import array_api
from softmax_reg.rows.row_blocks import RowBlocks

strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
try:
    import torch
except ImportError:
    torch = None

PREDICTIONS = "decision_function", "predict", "predict_proba", "predict_log_proba"
HAS_1_8, HAS_1_9 = (
    parse_version(sklearn.__version__) >= parse_version(version) for version in ("1.8", "1.9")
)


def put_strict(device):
    return lambda array: strict.asarray(array, device=strict.Device(device))


def put_torch(array):
    return torch.from_numpy(np.array(array))


@pytest.fixture(params=["CPU_DEVICE", "device1", "torch"])
def put(request):
    """A function that puts an ndarray into another library, on one of its devices."""
    if request.param == "device1" and not HAS_1_8:
        pytest.skip("older scikit-learn does not convert arrays from this device")
    if request.param != "torch":
        return put_strict(request.param)
    if torch is None:
        pytest.skip("PyTorch is not installed")
    return put_torch


@pytest.fixture
def dispatch(monkeypatch):
    """Switch scikit-learn's dispatch on.

    scikit-learn reads the variable here; SciPy has read it at its import, and is not dispatched.
    """
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    try:
        with sklearn.config_context(array_api_dispatch=True):
            yield
    except ImportError as error:    # of scikit-learn < 1.8, where array-api-compat is missing
        pytest.skip(str(error))


def some_rows(dtype=np.float64, n_classes=3):
    X, y = load_iris(return_X_y=True)
    X, y = X[::3].astype(dtype), np.minimum(y[::3], n_classes - 1)
    return X, y, np.random.default_rng(0).uniform(0.5, 2, len(y))


def assert_same(array, expected, like):
    """`array` holds the bits of the ndarray `expected`, in the library and on the device of X."""
    assert type(array) is type(like) and array.device == like.device
    here = array_api.as_numpy(array)
    assert here.dtype == expected.dtype
    np.testing.assert_array_equal(here, expected)


@pytest.mark.parametrize("dtype, n_classes", [(np.float32, 2), (np.float64, 3)])
def test_a_fit_and_its_predictions_follow_the_input(dispatch, put, dtype, n_classes):
    """The same bits as from NumPy, in the library and on the device of X; a score is a float."""
    X, y, weight = some_rows(dtype, n_classes)
    expected = SoftmaxRegression().fit(X, y, weight)
    model = SoftmaxRegression().fit(put(X), put(y), put(weight))
    for name in ("coef_", "intercept_", "classes_", "n_iter_"):
        assert_same(getattr(model, name), getattr(expected, name), put(X))
    assert model.objective_ == expected.objective_ and model.dual_gap_ == expected.dual_gap_
    for method in PREDICTIONS:
        assert_same(getattr(model, method)(put(X)), getattr(expected, method)(X), put(X))
    score = model.score(put(X), put(y), put(weight))
    assert type(score) is float and score == expected.score(X, y, weight)
    copy = pickle.loads(pickle.dumps(model))
    assert_same(copy.predict_proba(put(X)), expected.predict_proba(X), put(X))


@pytest.mark.parametrize("make", [
    pytest.param(lambda: SoftmaxRegression(l1_ratio=0.5, C=0.5), id="elastic net"),
    pytest.param(lambda: SoftmaxRegressionCV(Cs=3, cv=2), id="cross-validation"),
    pytest.param(lambda: SoftmaxRegressionCV(Cs=3, cv=2, refit=False), id="means of folds"),
])
def test_all_arrays_among_the_attributes_follow_X(dispatch, put, make):
    """Bits, library and device of every fitted array; scores of scikit-learn's metrics."""
    X, y, weight = some_rows()
    expected, model = make().fit(X, y, weight), make().fit(put(X), put(y), put(weight))
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert_same(getattr(model, name), value, put(X))
    assert model.score(put(X), put(y)) == expected.score(X, y)
    assert_same(model.predict_proba(put(X)), expected.predict_proba(X), put(X))


def test_offsets_and_distributions(dispatch, put):
    """Arrays may be of any library; classes_ follow y."""
    X, y, _ = some_rows()
    shares = np.eye(3)[y] * 0.8 + 0.2 / 3
    offset = np.random.default_rng(1).standard_normal((len(y), 3))
    expected = SoftmaxRegression().fit(X, shares, offset=offset)
    model = SoftmaxRegression().fit(put(X), put(shares), offset=put(offset))
    assert_same(model.coef_, expected.coef_, put(X))
    assert_same(model.classes_, expected.classes_, put(X))
    assert_same(
        model.predict_proba(put(X), offset=put(offset)), expected.predict_proba(X, offset), put(X)
    )
    score = model.score(put(X), put(shares), offset=put(offset))
    assert score == expected.score(X, shares, offset=offset)
    model = SoftmaxRegression(penalty_factor=put(np.arange(4.0))).fit(
        put(X), put(y), classes=put(np.array([2, 0, 1]))
    )
    expected = SoftmaxRegression(penalty_factor=np.arange(4.0)).fit(X, y)
    assert_same(model.coef_, expected.coef_, put(X))


def test_labels_keep_their_library(dispatch, put):
    """`classes_` follow y, predictions X; strings stay NumPy's, as in `LogisticRegression`."""
    X, y, _ = some_rows()
    names = np.array(["a", "b", "c"])[y]
    model = SoftmaxRegression().fit(put(X), names)
    assert isinstance(model.classes_, np.ndarray)
    np.testing.assert_array_equal(model.predict(put(X)), names)
    assert model.score(put(X), names) == 1.0
    # Under the dispatch, older scikit-learn takes no lists.
    for labels in (y, y.tolist()) if HAS_1_9 else (y,):
        model = SoftmaxRegression().fit(put(X), labels)
        assert isinstance(model.classes_, np.ndarray)
        assert type(model.predict(put(X))) is type(put(X))
    model = SoftmaxRegression().fit(X, put(y))
    assert type(model.classes_) is type(put(y))
    assert isinstance(model.coef_, np.ndarray) and isinstance(model.predict(X), np.ndarray)


def test_batches_and_warm_starts_change_libraries(dispatch, put):
    """`partial_fit` and warm starts go on from arrays of any library."""
    X, y, weight = some_rows()
    expected, model = SoftmaxRegression(), SoftmaxRegression()
    for some in (slice(0, None, 2), slice(1, None, 2)):
        expected.partial_fit(X[some], y[some], [2, 0, 1], weight[some])
        model.partial_fit(put(X[some]), put(y[some]), put(np.array([2, 0, 1])), put(weight[some]))
        assert_same(model.coef_, expected.coef_, put(X))
        assert_same(model.classes_, expected.classes_, put(X))
    assert isinstance(model.partial_fit(X, y).coef_, np.ndarray)
    cold = SoftmaxRegression(warm_start=True).fit(put(X), put(y))
    coef = array_api.as_numpy(cold.coef_)
    warm = clone(cold).fit(X, y)
    for rows, labels in ((put(X), put(y)), (X, y)):
        assert type(warm.fit(rows, labels).coef_) is type(rows)
        assert array_api.as_numpy(warm.n_iter_)[0] <= 1
    np.testing.assert_allclose(warm.coef_, coef, rtol=1e-2)


def test_a_model_goes_elsewhere(dispatch, put):
    """To scikit-learn, a sparse array, a path and standard errors: all of them in NumPy."""
    X, y, _ = some_rows()
    expected, model = (SoftmaxRegression(tol=1e-10).fit(*data) for data in (
        (X, y), (put(X), put(y))
    ))
    exported = model.to_sklearn()
    proba = expected.to_sklearn().predict_proba(X)
    np.testing.assert_array_equal(exported.predict_proba(X), proba)
    assert isinstance(exported.classes_, np.ndarray) and exported.n_iter_ == expected.n_iter_
    errors = model.inference(put(X), put(y), cov_type="bayes").bse
    np.testing.assert_array_equal(errors, expected.inference(X, y, cov_type="bayes").bse)
    for step in (model.sparsify, model.densify):
        step()
        assert_same(model.predict_proba(put(X)), expected.predict_proba(X), put(X))
    path = softmax_path(put(X), put(y), n_Cs=3)
    np.testing.assert_array_equal(path.coefs, softmax_path(X, y, n_Cs=3).coefs)
    free, expected = (SoftmaxRegression(C=np.inf, tol=1e-10).fit(*data) for data in (
        (put(X[:, :1]), put(y)), (X[:, :1], y)
    ))
    test = free.lr_test(put(X[:, :1]), put(y), [0])
    assert test == expected.lr_test(X[:, :1], y, [0])


def test_callbacks_get_a_model_for_the_rows_that_they_get(dispatch, put):
    """X and the fitted estimator of a hook are of one library: it can predict."""
    pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
    losses = []

    class Losses:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            losses.append(fitted_estimator.predict_proba(X))

        def teardown(self, estimator, context):
            pass

    X, y, _ = some_rows()
    model = SoftmaxRegression().set_callbacks(Losses()).fit(put(X), put(y))
    assert len(losses) > 1
    assert_same(losses[-1], array_api.as_numpy(model.predict_proba(put(X))), put(X))


def test_figures(dispatch, put):
    """Drawn from arrays of any library."""
    pytest.importorskip("matplotlib").use("agg")
    X, y, _ = some_rows()
    search = SoftmaxRegressionCV(Cs=3, cv=2).fit(put(X), put(y))
    assert isinstance(RegularizationPathDisplay.from_estimator(search).coefs, np.ndarray)
    if put(X).device != strict.Device("device1"):    # a figure needs no library, but its memory
        assert len(CoefficientDisplay.from_estimator(search).axes_) == 3


@pytest.mark.skipif(not HAS_1_8, reason="older splitters index with ndarrays")
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")    # StandardScaler's
def test_scikit_learns_tools(dispatch, put):
    """Pipelines, cross-validation and searches: the scores of NumPy's rows."""
    X, y, _ = some_rows()
    scores = cross_val_score(SoftmaxRegression(), put(X), put(y), cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(SoftmaxRegression(), X, y, cv=3))
    grid = {"C": [0.1, 1.0]}
    search, expected = (GridSearchCV(SoftmaxRegression(), grid, cv=2).fit(*data) for data in (
        (put(X), put(y)), (X, y)
    ))
    assert search.best_params_ == expected.best_params_
    assert search.best_score_ == pytest.approx(expected.best_score_, rel=1e-6)    # float32 in one
    assert_same(search.predict_proba(put(X)), expected.predict_proba(X), put(X))
    model, expected = (
        make_pipeline(StandardScaler(), SoftmaxRegression()).fit(*data)
        for data in ((put(X), put(y)), (X, y))
    )
    proba = array_api.as_numpy(model.predict_proba(put(X)))
    np.testing.assert_allclose(proba, expected.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("method", PREDICTIONS)
def test_predictions_need_the_library_of_the_fit(dispatch, put, method):
    """As scikit-learn demands under its dispatch; without it both are taken, and give NumPy's."""
    X, y, _ = some_rows()
    fits = SoftmaxRegression().fit(put(X), put(y)), SoftmaxRegression().fit(X, y)
    message = rf"SoftmaxRegression.{method}\(\) must use the same namespace"
    for model, others in zip(fits, ([X, X.tolist()], [put(X)]), strict=True):
        for other in others:
            with pytest.raises(ValueError, match=message):
                getattr(model, method)(other)
    with pytest.raises(ValueError, match=message):
        getattr(fits[0], method)(RowBlocks(X))
    if put(X).device == strict.Device("device1"):    # no ndarray can be made without the dispatch
        return
    with sklearn.config_context(array_api_dispatch=False):
        for rows in (X, put(X)):
            predicted = getattr(fits[0], method)(rows)
            assert isinstance(predicted, np.ndarray)
            np.testing.assert_array_equal(predicted, getattr(fits[1], method)(X))


def test_without_dispatch_results_are_numpys():
    """Whatever library the input is of."""
    X, y, _ = some_rows()
    puts = [put_strict("CPU_DEVICE")] + ([put_torch] if torch else [])
    for put in puts:
        model = SoftmaxRegression().fit(put(X), put(y))
        assert isinstance(model.coef_, np.ndarray) and isinstance(model.classes_, np.ndarray)
        assert isinstance(model.predict_proba(put(X)), np.ndarray)


@pytest.mark.parametrize("change, message", [
    pytest.param(lambda X: X[0], "Expected 2D array", id="1-D"),
    pytest.param(lambda X: np.where(X > 5, np.nan, X), "Input X contains NaN", id="NaN"),
    pytest.param(lambda X: X[:5], "inconsistent numbers of samples", id="rows"),
])
def test_bad_arrays_are_refused(dispatch, put, change, message):
    """As NumPy's are; nothing is fitted."""
    X, y, _ = some_rows()
    model = SoftmaxRegression()
    with pytest.raises(ValueError, match=message):
        model.fit(put(change(X)), put(y))
    assert not hasattr(model, "coef_")


def test_tensors(dispatch):
    """No copies of tensors; float16 and bfloat16 become float32; gradients are not dropped."""
    pytest.importorskip("torch")
    X, y, _ = some_rows()
    tensor = torch.from_numpy(X)
    assert np.shares_memory(array_api.as_numpy(tensor), X)
    assert array_api.in_kind_of(tensor)(X).data_ptr() == tensor.data_ptr()
    back = array_api.in_kind_of(tensor)(X[::-1])    # PyTorch takes no negative strides
    np.testing.assert_array_equal(back.numpy(), X[::-1])
    for dtype in (torch.float16, torch.bfloat16):
        rows = tensor.to(dtype)
        model = SoftmaxRegression().fit(rows, y)
        assert model.coef_.dtype == torch.float32
        expected = SoftmaxRegression().fit(rows.float().numpy(), y)
        assert_same(model.predict_proba(rows), expected.predict_proba(rows.float().numpy()), rows)
    with pytest.raises(RuntimeError, match="requires grad"):
        SoftmaxRegression().fit(tensor.clone().requires_grad_(), y)


def test_devices_without_float64_get_float32(dispatch, monkeypatch):
    """Attributes and predictions in float64 are rounded there."""
    monkeypatch.setattr(
        array_api, "max_precision_float_dtype", lambda namespace, device: namespace.float32
    )
    X, y, _ = some_rows()
    model = SoftmaxRegression().fit(strict.asarray(X), y)
    assert model.coef_.dtype == strict.float32
    assert model.predict_proba(strict.asarray(X)).dtype == strict.float32


@pytest.mark.parametrize("estimator", [SoftmaxRegression(), SoftmaxRegressionCV(Cs=2, cv=2)])
def test_scikit_learns_own_checks(dispatch, estimator):
    """Attributes and outputs have the library, device, dtype and values that it asks for."""
    name = type(estimator).__name__
    assert sklearn.utils.get_tags(estimator).array_api_support
    devices = [("CPU_DEVICE", "float64"), ("device1", "float32")] if HAS_1_9 else [(None, None)]
    for device, dtype in devices:
        estimator_checks.check_array_api_input(
            name, estimator, "array_api_strict", device, dtype, check_values=True
        )
    if hasattr(estimator_checks, "check_array_api_same_namespace"):    # scikit-learn >= 1.9
        estimator_checks.check_array_api_same_namespace(name, estimator, "array_api_strict")
