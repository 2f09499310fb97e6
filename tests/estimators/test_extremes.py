"""Extreme data: each case reaches its certificate or warns precisely, in bounded time."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.exceptions import SeparationWarning
from softmax_reg.problem.curvature import MAX_FULL_CLASSES
from softmax_reg.rows import small

pytestmark = pytest.mark.compiled
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
WAYS = [{"solver": solver} for solver in SOLVERS] + [
    {"l1_ratio": 1.0}, {"l1_ratio": 0.5}, {"l1_ratio": 1.0, "grouped": True},
]
IRIS, SPECIES = load_iris(return_X_y=True)
IS_SETOSA = (SPECIES == 0).astype(int)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 8))
y = (X[:, :3] + RNG.standard_normal((200, 3))).argmax(axis=1)
ONES = np.ones(200)


def _scaled(decades, dtype=np.float64):
    """X with its columns' scales from 10**-decades to 10**decades."""
    return (X * 10.0 ** np.linspace(-decades, decades, 8)).astype(dtype)


def _fit(data, labels, weight=None, **parameters):
    """(model, messages); the fit must leave finite coefficients and a true bound."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SoftmaxRegression(**parameters).fit(data, labels, weight)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert model.n_iter_[0] <= model.max_iter
    assert np.isfinite(model.objective_) and model.dual_gap_ >= 0
    assert np.isfinite(model.predict_proba(data)).all()
    return model, caught


CERTIFIED = {
    "scales from 1e-8 to 1e8": (_scaled(8), y),
    "float32, scales from 1e-4 to 1e4": (_scaled(4, np.float32), y),
    "constant and duplicate columns": (np.c_[X, X[:, :3], ONES, 0 * ONES], y),
    "a constant column of 1e12": (np.c_[X, 1e12 * ONES], y),
    "means of 1e10": (X + 1e10, y),
    "only constant columns": (np.ones((200, 2)), y),
    "more columns than rows": (RNG.standard_normal((20, 500)), np.arange(20) % 3),
    "one row a class": (RNG.standard_normal((20, 5)), np.arange(20)),
    "two rows": (X[:2], [0, 1]),
    "one row of a class among many": (X, np.arange(200) == 7),
    "weights of 1e-300": (X, y, 1e-300 * ONES),
    "weights over sixteen decades": (X, y, 10.0 ** np.linspace(-8, 8, 200)),
    "float16": (X.astype(np.float16), y),
    "integers": ((10 * X).astype(int), y),
    "int8": ((10 * X).astype(np.int8), y),
    "uint64": (np.abs(10 * X).astype(np.uint64), y),
    "booleans": (X > 0, y),
    "big-endian": (X.astype(">f8"), y),
    "big-endian float32": (X.astype(">f4"), y),
    "long double": (X.astype(np.longdouble), y),
    "every other row and column": (np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2], y),
    "backwards": (X[::-1, ::-1], y[::-1]),
    "Fortran order": (np.asfortranarray(X), y),
    "lists": (X.tolist(), y.tolist()),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("data", CERTIFIED.values(), ids=CERTIFIED.keys())
def test_certified(data, way):
    """The default tolerance is reached and proven, without a warning."""
    model, caught = _fit(*data, **way)
    assert not caught, [str(warning.message) for warning in caught]
    assert model.dual_gap_ <= model.tol * model.objective_


HIDDEN = {
    "scales from 1e-150 to 1e150": (_scaled(150), y),
    "float32, scales from 1e-18 to 1e18": (_scaled(18, np.float32), y),
    "weights of 1e300": (X, y, 1e300 * ONES),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("data", HIDDEN.values(), ids=HIDDEN.keys())
def test_rounding_that_hides_the_certificate_is_named(data, way):
    """The optimum all the same, by Newton's decrement; the warning says what to scale."""
    model, caught = _fit(*data, **way)
    (warning,) = caught
    assert warning.category is ConvergenceWarning
    assert "rounding hides the duality gap" in str(warning.message)
    assert "Scale them for a certificate" in str(warning.message)
    assert model.dual_gap_ <= model.objective_
    # Columns or weights so large carry no penalty that float64 could show.
    large = np.asarray(data[0], dtype=np.float64) / np.abs(data[0]).max(axis=0)
    kept = np.abs(data[0]).max(axis=0) > 1e-3
    free, _ = _fit(large[:, kept], y, C=1e9)
    assert model.objective_ == pytest.approx(free.objective_, rel=0.2)
    assert model.objective_ >= free.objective_ - free.dual_gap_ - 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_over_six_hundred_decades(solver):
    """A handful of rows is all that float64 sees: finite, and a warning where uncertified."""
    weight = 10.0 ** np.random.default_rng(1).uniform(-300, 300, 200)
    model, caught = _fit(X, y, weight, solver=solver)
    certified = model.dual_gap_ <= model.tol * model.objective_
    assert certified or [w for w in caught if issubclass(w.category, ConvergenceWarning)]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [np.inf, 1e12, 1e20, 1e300])
def test_separable_classes(C, solver):
    """Perfectly separated: certified down to objectives of 1e-19; without a penalty a warning."""
    model, caught = _fit(IRIS, IS_SETOSA, C=C, solver=solver, tol=1e-6)
    assert model.objective_ < 1e-5 and model.score(IRIS, IS_SETOSA) == 1
    if C == np.inf:
        assert [w.category for w in caught] == [SeparationWarning]
    elif C <= 1e20:
        assert not caught and model.dual_gap_ <= 1e-6 * model.objective_
    else:    # an objective of 1e-297: only L-BFGS runs out of iterations
        assert all(w.category is ConvergenceWarning for w in caught)
        assert solver == "lbfgs" or not caught


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [np.inf, 1e12])
def test_quasi_separable_classes(C, solver):
    """Two classes that meet at one value of x: log(2) on the two rows there, 0 elsewhere."""
    data, labels = np.c_[[0.0, 0, 1, 1, 2, 2]], [0, 0, 0, 1, 1, 1]
    model, caught = _fit(data, labels, C=C, solver=solver, tol=1e-6)
    assert model.objective_ == pytest.approx(np.log(2) / 3, rel=1e-5)
    if C == np.inf:
        assert [w.category for w in caught] == [SeparationWarning]
    else:
        assert not caught


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_that_overflow_exp(dtype):
    """Rows a thousand times farther out than those of the fit: probabilities 0 and 1."""
    model, _ = _fit(IRIS.astype(dtype), SPECIES)
    far = model.predict_proba((1e6 * IRIS).astype(dtype))
    assert np.isfinite(far).all() and (far == 1).any() and (far == 0).any()
    logits = model.decision_function((1e6 * IRIS).astype(dtype))
    assert np.abs(logits).max() > np.log(np.finfo(np.float32).max)
    assert np.isfinite(model.predict_log_proba((1e6 * IRIS).astype(dtype))).all()


@pytest.mark.parametrize("n_classes", [2500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_classes(n_classes):
    """Two rows a class and some more: certified, without a K x K matrix."""
    assert n_classes > MAX_FULL_CLASSES
    rng = np.random.default_rng(0)
    all_of_them = np.arange(n_classes)
    labels = np.r_[all_of_them, all_of_them, rng.integers(0, n_classes, 1000)]
    data = rng.standard_normal((len(labels), 4)) + np.cos(np.outer(labels, [1, 2, 3, 5]))
    model, caught = _fit(data, labels, C=0.1)
    assert not caught and model.dual_gap_ <= model.tol * model.objective_
    assert model.coef_.shape == (n_classes, 4)


def test_a_read_only_memmap(tmp_path):
    """X and y on disk, opened for reading only."""
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    mapped = [np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "y.npy")]
    model, caught = _fit(*mapped)
    assert not caught
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().fit(X, y).coef_)


def test_order_in_memory_changes_no_bit():
    """C order, Fortran order, a slice: the same coefficients to the last bit; run again, too."""
    expected = SoftmaxRegression().fit(X, y).coef_
    padded = np.zeros((200, 11))
    padded[:, 2:10] = X
    for form in (X, np.asfortranarray(X), padded[:, 2:10], X.copy()):
        np.testing.assert_array_equal(SoftmaxRegression().fit(form, y).coef_, expected)


@pytest.mark.parametrize("max_iter", [1, 3, 10])
@pytest.mark.parametrize("solver", SOLVERS)
def test_max_iter_bounds_the_time(solver, max_iter):
    """Data that no solver finishes so soon: exactly so many iterations, and a warning."""
    model, caught = _fit(_scaled(8), y, max_iter=max_iter, solver=solver, tol=0, C=1e6)
    assert model.n_iter_[0] <= max_iter
    assert model.n_evaluations_ <= 5 + 60 * max_iter * (20 if solver == "newton-cg" else 1)


@pytest.mark.filterwarnings("ignore")
def test_weights_whose_sum_overflows():
    """Only relative weights matter to the loss."""
    model = SoftmaxRegression().fit(IRIS, SPECIES, np.full(150, 1e307))
    assert np.isfinite(model.coef_).all() and np.isfinite(model.objective_)


def test_overlapping_classes_at_a_loose_tolerance_are_not_separable():
    """Two wrong labels: a small loss is no sign of separation."""
    rng = np.random.default_rng(0)
    data = np.r_[rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (200, 1))]
    labels = np.repeat([0, 1], 200)
    labels[:2] = 1
    model, caught = _fit(data, labels, C=np.inf, tol=0.1, solver="newton-cholesky")
    assert not caught


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("C, weight", [(1e-308, 1.0), (1e-310, 1.0), (1.0, 1e-310)])
def test_penalties_close_to_overflow(C, weight, way):
    """The null model, certified and without a NumPy warning."""
    model, _ = _fit(X, y, weight * ONES, C=C, **way)
    assert np.abs(X @ model.coef_.T).max() < 1e-100
    shares = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X), np.broadcast_to(shares, (200, 3)))
    assert model.dual_gap_ <= model.tol * model.objective_


@pytest.mark.parametrize("options, weight", [
    ({"C": 1e-320}, 1.0), ({"C": 1e-300}, 1e-300), ({"penalty_factor": [1e308] * 8, "C": 1e-9}, 1),
])
def test_penalties_that_overflow_are_refused(options, weight):
    """With an error that names what they are computed from."""
    with pytest.raises(ValueError, match="too small: .* sum of sample_weight.* penalty_factor"):
        SoftmaxRegression(**options).fit(X, y, weight * ONES)


@pytest.mark.parametrize("solver", SOLVERS)
def test_free_columns_whose_squares_underflow_are_refused(solver):
    """Their curvature would be zero, and their coefficients, too; a penalty keeps them small."""
    tiny = np.column_stack([X[:, 1:], 1e-170 * X[:, 0]])
    SoftmaxRegression(solver=solver).fit(tiny, y)
    for options in ({"C": np.inf}, {"penalty_factor": [1] * 7 + [0]}):
        with pytest.raises(ValueError, match="X holds columns whose squares underflow"):
            SoftmaxRegression(solver=solver, **options).fit(tiny, y)
    with pytest.raises(ValueError, match="X holds columns whose squares underflow"):
        SoftmaxRegressionCV(Cs=[1.0, np.inf], cv=2).fit(tiny, y)


@pytest.mark.parametrize("C", [1e285, 1e300])
def test_bounds_hold_where_derivatives_leave_out_probabilities(monkeypatch, C):
    """Penalties so small that probabilities of 1e-300 count: a true bound, or a warning."""
    data, labels = np.tile([[-1.0, 1], [0, 0], [1, 1]], (10, 1)), np.tile([0, 1, 2], 10)
    fits = [_fit(data, labels, C=C, max_iter=3000)]
    monkeypatch.setattr(small, "MAX_LOGITS", 0)
    fits.append(_fit(data, labels, C=C, max_iter=3000))
    least = min(model.objective_ for model, _ in fits)
    for model, caught in fits:
        assert model.objective_ - model.dual_gap_ <= least
        assert caught or model.dual_gap_ <= model.tol * model.objective_
