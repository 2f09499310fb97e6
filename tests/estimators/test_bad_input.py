"""Bad input: the type and words of the error, and the estimator is left unchanged."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators import validation

X, y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd"))

BAD_PARAMETERS = [
    ({"C": 0}, "'C' parameter"), ({"C": -1}, "'C'"), ({"C": np.nan}, "'C'"), ({"C": "1"}, "'C'"),
    ({"C": None}, "'C'"), ({"C": -np.inf}, "'C'"), ({"C": [1.0]}, "'C'"), ({"C": 1j}, "'C'"),
    ({"l1_ratio": 2}, "'l1_ratio'"), ({"l1_ratio": -0.1}, "'l1_ratio'"),
    ({"l1_ratio": np.nan}, "'l1_ratio'"), ({"l1_ratio": "all"}, "'l1_ratio'"),
    ({"l1_ratio": 0.5, "solver": "lbfgs"}, "smooth penalties only, got l1_ratio=0.5"),
    ({"grouped": "yes"}, "'grouped'"), ({"penalty_factor": 1.0}, "'penalty_factor'"),
    ({"penalty_factor": [1.0, 1.0]}, "penalty_factor must have shape \\(4,\\)"),
    ({"penalty_factor": [1, 1, 1, -1]}, "penalty_factor must be non-negative"),
    ({"penalty_factor": [1, 1, 1, np.nan]}, "penalty_factor must be non-negative"),
    ({"penalty_factor": ["a", 1, 1, 1]}, "penalty_factor must hold real numbers"),
    ({"tol": -1e-9}, "'tol'"), ({"tol": np.nan}, "'tol'"), ({"tol": "small"}, "'tol'"),
    ({"max_iter": -1}, "'max_iter'"), ({"max_iter": 1.5}, "'max_iter'"),
    ({"max_iter": None}, "'max_iter'"), ({"max_iter": np.inf}, "'max_iter'"),
    ({"solver": "newton"}, "'solver' parameter"), ({"solver": None}, "'solver'"),
    ({"solver": ["lbfgs"]}, "'solver'"), ({"solver": "saga"}, "Use solver='auto'"),
    ({"solver": "liblinear"}, "Use solver='auto'"), ({"solver": "sag"}, "does not exist here"),
    ({"fit_intercept": "yes"}, "'fit_intercept'"), ({"fit_intercept": None}, "'fit_intercept'"),
    ({"warm_start": "no"}, "'warm_start'"), ({"verbose": -1}, "'verbose'"),
    ({"verbose": "loud"}, "'verbose'"), ({"random_state": "seed"}, "'random_state'"),
    ({"class_weight": "even"}, "'class_weight'"), ({"class_weight": [1, 1, 1]}, "'class_weight'"),
    ({"class_weight": {7: 1.0}}, "class"), ({"class_weight": {0: -1.0}}, "class_weight must be"),
    ({"class_weight": {0: np.nan}}, "class_weight must be finite"),
    ({"class_weight": {0: np.inf}}, "class_weight must be finite"),
    ({"class_weight": {0: "two"}}, "class_weight must hold real numbers"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, "class_weight leaves no row"),
]


@pytest.mark.parametrize("parameters, message", BAD_PARAMETERS)
def test_bad_parameters(parameters, message):
    """A ValueError that names the parameter; the estimator stays as it was."""
    model = SoftmaxRegression(**parameters)
    before = {**vars(model)}
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert vars(model) == before


def _csr(indices=None, indptr=None, data=None, **types):
    """X in CSR form with some of its arrays replaced, unchecked."""
    out = sparse.csr_array(X)
    for name, array in (("indices", indices), ("indptr", indptr), ("data", data)):
        if array is not None:
            setattr(out, name, array(getattr(out, name).copy()))
    return out


def _put(position, value):
    def put(array):
        array[position] = value
        return array

    return put


HOLES = np.where(X > 7, np.nan, X)
OBJECTS = X.astype(object)
OBJECTS[3, 1] = "three"
BAD_DATA = [
    # X
    ((HOLES, y), {}, ValueError, "contains NaN"),
    ((HOLES.astype(np.float32), y), {}, ValueError, "contains NaN"),
    ((pd.DataFrame(HOLES), y), {}, ValueError, "contains NaN"),
    ((sparse.csr_array(HOLES), y), {}, ValueError, "contains NaN"),
    ((np.where(X > 7, np.inf, X), y), {}, ValueError, "infinity"),
    ((np.where(X > 7, -np.inf, X), y), {}, ValueError, "infinity"),
    ((X + 1j, y), {}, ValueError, "Complex data not supported"),
    ((OBJECTS, y), {}, ValueError, "could not convert string to float: 'three'"),
    ((X[0], y), {}, ValueError, "Expected 2D array"), ((X[None], y), {}, ValueError, "dim 3"),
    ((3.0, y), {}, ValueError, "Expected 2D array"),
    ((None, y), {}, ValueError, "Expected 2D array"),
    ((X[:0], y[:0]), {}, ValueError, "0 sample"), ((X[:, :0], y), {}, ValueError, "0 feature"),
    ((X * 1e300, y), {}, ValueError, "X holds values whose squares overflow float64"),
    ((_csr(indices=_put(5, 40)), y), {}, ValueError, "indices"),
    ((_csr(indices=_put(5, -3)), y), {}, ValueError, "indices"),
    ((_csr(indptr=_put(-1, 10**6)), y), {}, ValueError, "index pointer"),
    ((_csr(indptr=_put(7, 0)), y), {}, ValueError, "index pointer|indptr"),
    ((_csr(data=lambda a: a[:-9]), y), {}, ValueError, "indices and data"),
    # y
    ((X, y[:-1]), {}, ValueError, "inconsistent number"),
    ((X, None), {}, ValueError, "requires y to be passed"),
    ((X, np.zeros(150)), {}, ValueError, "at least 2 classes"),
    ((X[:1], y[:1]), {}, ValueError, "at least 2 classes"),
    ((X, y + 0.5), {}, ValueError, "Unknown label type"),
    ((X, np.where(y, np.nan, 1)), {}, ValueError, "Input y contains NaN"),
    ((X, np.where(y, np.inf, 1)), {}, ValueError, "Input y contains infinity"),
    ((X, np.c_[y, y]), {}, ValueError, "row of zeros, row 0"),
    ((X, np.eye(3, dtype=int)[y][:, :, np.newaxis]), {}, ValueError, "array with dim 3"),
    ((X, [[k] * (k + 1) for k in y]), {}, ValueError, "inhomogeneous|sequence"),
    ((X, sparse.csr_array(y[:, np.newaxis])), {}, (TypeError, ValueError), "[sS]parse"),
    ((X, np.array(["a", 1, None] * 50, dtype=object)), {}, (TypeError, ValueError), "label|str"),
    # sample_weight
    ((X, y), {"sample_weight": y[:-1] + 1}, ValueError, "sample_weight must have shape"),
    ((X, y), {"sample_weight": X}, ValueError, "sample_weight must have shape"),
    ((X, y), {"sample_weight": y - 1}, ValueError, "sample_weight must be non-negative"),
    ((X, y), {"sample_weight": -1.0}, ValueError, "sample_weight must be non-negative"),
    ((X, y), {"sample_weight": 0 * y}, ValueError, "sample_weight must contain at least one"),
    ((X, y), {"sample_weight": 0}, ValueError, "sample_weight must contain at least one"),
    ((X, y), {"sample_weight": np.where(y, np.nan, 1)}, ValueError, "sample_weight contains NaN"),
    ((X, y), {"sample_weight": np.where(y, np.inf, 1)}, ValueError, "sample_weight contains inf"),
    ((X, y), {"sample_weight": ["heavy"] * 150}, ValueError,
     "sample_weight must hold real numbers"),
    ((X, y), {"sample_weight": y * 1j}, ValueError, "sample_weight .*Complex data"),
]


@pytest.mark.parametrize("data, options, error, message", BAD_DATA)
def test_bad_data(data, options, error, message):
    """What was wrong; an unfitted estimator stays unfitted, a fitted one as it was."""
    model = SoftmaxRegression()
    with pytest.raises(error, match=message):
        model.fit(*data, **options)
    assert vars(model) == vars(SoftmaxRegression())
    model.fit(FRAME, y)
    before = {**vars(model)}
    with pytest.raises(error, match=message):
        model.fit(*data, **options)
    assert vars(model) == before


def test_weights_whose_products_overflow():
    """Each fits into float64, and the error names both."""
    model = SoftmaxRegression(class_weight={0: 1e200})
    for fit in (model.fit, model.partial_fit):
        options = {"classes": [0, 1, 2]} if fit == model.partial_fit else {}
        with pytest.raises(ValueError, match="class_weight times sample_weight overflows"):
            fit(X, y, sample_weight=np.full(150, 1e200), **options)


def test_unhashable_class_weight_keys_cannot_be_made():
    """A dict has none; other mappings are refused by type."""

    class Pairs(list):
        """Keys and values side by side, unhashable keys among them."""

        def items(self):
            """As a dict has them."""
            return iter(self)

    with pytest.raises(ValueError, match="'class_weight'"):
        SoftmaxRegression(class_weight=Pairs([([0], 1.0)])).fit(X, y)


@pytest.mark.parametrize("options", [
    {"solver": "lbfgs"}, {"solver": "newton-cholesky"}, {"solver": "newton-cg"},
    {"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}, {"C": np.inf},
    {"fit_intercept": False},
])
@pytest.mark.parametrize("columns", [4, 300], ids=["tall", "wide"])
@pytest.mark.usefixtures("by_kernels")
def test_squares_that_overflow(columns, options):
    """A column of 1e160 is an error that says so, whichever solver would have met it."""
    large = np.resize(X, (len(X), columns))
    large[:, 2] *= 1e160
    with pytest.raises(ValueError, match="X holds values whose squares overflow float64"):
        SoftmaxRegression(**options).fit(large, y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "score",
                                    "decision_function"])
def test_bad_data_for_predictions(method):
    """Wrong features, values and sparse indices, and a model without a fit."""
    arguments = (y,) if method == "score" else ()

    def predict(model, data):
        return getattr(model, method)(data, *arguments)

    with pytest.raises(NotFittedError):
        predict(SoftmaxRegression(), X)
    model = SoftmaxRegression().fit(FRAME, y)
    with pytest.raises(ValueError, match="feature names"):
        predict(model, FRAME.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="feature names"):
        predict(model, FRAME[["b", "a", "c", "d"]])
    with pytest.raises(ValueError, match="contains NaN"):
        predict(model, pd.DataFrame(HOLES, columns=list("abcd")))
    model = SoftmaxRegression().fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but SoftmaxRegression is expecting 4"):
        predict(model, X[:, :3])
    with pytest.raises(ValueError, match="0 sample"):
        predict(model, X[:0])
    with pytest.raises(ValueError, match="Expected 2D array"):
        predict(model, X[0])
    for index in (10**6, -3):    # kernels read where an index points
        with pytest.raises(ValueError, match="indices must be"):
            predict(model, _csr(indices=_put(2, index)))


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_predictions_refuse_assigned_parameters_of_the_wrong_shape(form):
    """A coef_ or intercept_ that does not fit is named, never read past its end."""
    model = SoftmaxRegression().fit(X, y)
    coef, intercept = model.coef_, model.intercept_
    for columns in (coef.shape[1] - 1, coef.shape[1] - 2):
        model.coef_ = coef[:, :columns]
        with pytest.raises(ValueError, match=r"coef_ must have shape \(n_rows, "):
            model.predict_proba(form(X))
    model.coef_, model.intercept_ = coef, intercept[:2]
    with pytest.raises(ValueError, match=r"intercept_ must have shape \(3,\)"):
        model.predict_proba(form(X))


def _shuffled(array):
    """Every row's entries backwards."""
    out = sparse.csr_array(array)
    order = np.concatenate([
        np.arange(a, b)[::-1] for a, b in zip(out.indptr[:-1], out.indptr[1:], strict=True)
    ])
    out.indices, out.data = out.indices[order], out.data[order]
    out.has_sorted_indices = False
    return out


def _in_halves(array):
    """Every entry twice, with half its value."""
    out = sparse.csr_array(array)
    return sparse.csr_array(
        (np.repeat(out.data / 2, 2), np.repeat(out.indices, 2), 2 * out.indptr), out.shape
    )


def _with_zeros(array):
    """All entries stored, zeros too."""
    n_samples, n_features = array.shape
    indices = np.tile(np.arange(n_features), n_samples)
    return sparse.csr_array(
        (array.ravel(), indices, np.arange(n_samples + 1) * n_features), array.shape
    )


def _wide(array):
    """Indices of 64 bits."""
    out = sparse.csr_array(array)
    out.indices, out.indptr = out.indices.astype(np.int64), out.indptr.astype(np.int64)
    return out


UNUSUAL = {
    "unsorted": _shuffled, "duplicates": _in_halves, "explicit zeros": _with_zeros,
    "int64 indices": _wide, "csc": sparse.csc_array, "coo": sparse.coo_array,
    "csr_matrix": sparse.csr_matrix, "dok": sparse.dok_array, "lil": sparse.lil_array,
    "float32": lambda array: sparse.csr_array(array.astype(np.float32)),
    "integers": lambda array: sparse.csr_array((array * 10).astype(int)),
}


@pytest.mark.parametrize("form", UNUSUAL.values(), ids=UNUSUAL.keys())
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "newton-cg"])
def test_unusual_sparse_matrices_are_fine(form, solver):
    """The same optimum as for the dense matrix they stand for; the caller's stays as it was."""
    given = X * (X > 1)
    data = form(given)
    dense = data.toarray()
    model = SoftmaxRegression(solver=solver, tol=1e-10).fit(data, y)
    expected = SoftmaxRegression(solver=solver, tol=1e-10).fit(dense, y)
    assert model.objective_ == pytest.approx(expected.objective_, rel=1e-9)
    np.testing.assert_allclose(
        model.predict_proba(data), expected.predict_proba(dense), atol=1e-4
    )
    np.testing.assert_array_equal(data.toarray(), dense)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_large_arrays_raise_scikit_learns_error(monkeypatch, bad, dtype, order):
    """The check on threads refuses what `check_array` refuses, with the same message."""
    monkeypatch.setattr(validation, "_MANY_ENTRIES", 1)
    X, y = load_iris(return_X_y=True)
    X = np.asarray(X, dtype=dtype, order=order)
    model = SoftmaxRegression()
    assert validation.validated(model, X, y, reset=True)[0].dtype == dtype
    X[77, 2] = bad
    with pytest.raises(ValueError) as expected:
        check_array(X, estimator=model, input_name="X")
    with pytest.raises(ValueError) as raised:
        model.fit(X, y[:-1])    # X is checked before the lengths
    assert str(raised.value) == str(expected.value)
    with config_context(assume_finite=True):
        validation.validated(model, X, y, reset=True)
