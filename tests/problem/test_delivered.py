"""`objective_` and `dual_gap_` are those of the model that the user holds."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.preprocessing import PolynomialFeatures

from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, softmax_path

from ..problems import EPS, bundled, long_double_optimum

pytestmark = pytest.mark.compiled
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
FORMS = (np.asarray, sparse.csr_array)
# A column of each kind, from a generator and a number of rows.
COLUMNS = {
    "constant": lambda rng, n: np.full(n, rng.choice([1, 1e6, -3.7, 0.1, 1e-5, 123456.789])),
    "nearly constant": lambda rng, n: 0.1 * (1 + EPS * rng.integers(-1, 2, n)),
    "constant to 13 digits": lambda rng, n: 3.3 + 1e-13 * rng.standard_normal(n),
    "huge mean": lambda rng, n: 1e7 + rng.standard_normal(n),
    "zero": lambda rng, n: np.zeros(n),
    "ordinary": lambda rng, n: 10 * rng.standard_normal(n),
}


def labelled(n_samples, n_classes, seed=0):
    """Rows of three ordinary columns, labels that overlap."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, 3))
    logits = X @ rng.standard_normal((3, n_classes))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def held_objective(model, X, y, weight):
    """(objective by predict_log_proba and coef_ alone, terms that its rounding is of)."""
    log_proba = model.predict_log_proba(X).astype(np.longdouble)
    loss = -(weight * log_proba[np.arange(len(y)), y]).sum() / weight.sum()
    coef = model.coef_.astype(np.longdouble)
    value = loss + (coef**2).sum() / (2 * model.C * weight.sum())
    dense = np.abs(X.toarray() if sparse.issparse(X) else X)[weight > 0].astype(np.float64)
    return float(value), 1 + (dense @ np.abs(coef.T) + np.abs(model.intercept_)).max()


class Drawn(NamedTuple):
    """A training problem with an odd column, and how it is fitted."""

    X: object
    y: np.ndarray
    weight: np.ndarray
    parameters: dict


@st.composite
def drawn(draw):
    """Kinds of columns, weights, dtypes, dense and CSR, solvers, C and classes."""
    n_classes = draw(st.sampled_from([2, 3]))
    seed = draw(st.integers(0, 2**16))
    ordinary, y = labelled(draw(st.integers(120, 300)), n_classes, seed)
    rng = np.random.default_rng(seed + 1)
    n_samples = len(y)
    odd = COLUMNS[draw(st.sampled_from(list(COLUMNS)))](rng, n_samples)
    columns = [ordinary, odd]
    if draw(st.booleans()):
        columns.append(odd)    # a duplicate
    weight = np.ones(n_samples)
    if draw(st.booleans()):
        weight = rng.integers(0, 3, n_samples).astype(float)
        odd[weight == 0] = 5.0
    X = np.column_stack(columns).astype(draw(st.sampled_from([np.float64, np.float32])))
    parameters = {
        "C": draw(st.sampled_from([1.0, np.inf])), "solver": draw(st.sampled_from(SOLVERS)),
        "tol": draw(st.sampled_from([1e-4, 1e-6])),
    }
    return Drawn(draw(st.sampled_from(FORMS))(X), y, weight, parameters)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(drawn())
def test_the_objective_is_that_of_the_predictions(problem):
    """|f(predict_log_proba, coef_) - objective_| <= 64 eps terms, or a warning; f* >= f - gap."""
    X, y, weight, parameters = problem
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SoftmaxRegression(**parameters).fit(X, y, weight)
    value, terms = held_objective(model, X, y, weight)
    eps = np.finfo(model.predict_proba(X).dtype).eps
    assert caught or abs(value - model.objective_) <= 64 * eps * terms
    if np.isfinite(model.C):
        dense = X.toarray() if sparse.issparse(X) else X
        total = weight.sum()
        n_rows = len(model.coef_)
        optimum, _ = long_double_optimum(dense, y, weight / total, n_rows, 1 / total)
        assert model.objective_ - model.dual_gap_ <= optimum + 8 * EPS * terms
        assert caught or model.objective_ - optimum <= model.tol * model.objective_


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("parameters", [
    {"groups": [0, 1, 2, 0, 1, 2, 0, 1, 2], "grouped": True, "l1_ratio": 0.5},
    {"penalty_factor": [1, np.inf, 1, 1, np.inf, 1, 1, 1, 0]},
    {"groups": [0, 1, 2, 0, 1, 2, 0, 1, 2], "grouped": True, "l1_ratio": 0.5,
     "penalty_factor": [1, np.inf, 1, 1, 1, 1, 1, 1, 1]},
])
def test_columns_in_another_order_are_added_up_in_the_users(parameters, n_classes, form):
    """float32 rows with large means: the loss is that of predictions, whatever a fit reorders."""
    X, y = labelled(300, n_classes)
    rng = np.random.default_rng(1)
    X = np.column_stack([X, X + 1e3, rng.standard_normal((300, 3)) + 300]).astype(np.float32)
    X = form(X)
    model = SoftmaxRegression(C=10, tol=1e-3, **parameters).fit(X, y)
    assert model.coef_.dtype == np.float32
    held = -model.predict_log_proba(X)[np.arange(300), y].mean(dtype=np.float64)
    coef = model.coef_.astype(np.float64)
    factor = np.nan_to_num(parameters.get("penalty_factor", np.ones(9)), posinf=0.0)
    l1_ratio = model.l1_ratio
    norms = sum(
        np.linalg.norm(coef[:, np.array(parameters["groups"]) == group]) for group in range(3)
    ) if l1_ratio else 0.0
    penalty = l1_ratio * norms + (1 - l1_ratio) / 2 * (coef**2 @ factor).sum()
    assert model.objective_ == pytest.approx(held + penalty / (10 * 300), abs=3e-7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [1, 1e6, -3.7, 0.1])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_constant_column_does_nothing(solver, n_classes, value, dtype, form):
    """The coefficient of a constant is 0; the objective is that without the column."""
    R, y = labelled(200, n_classes)
    weight = np.ones(len(y))
    weight[::7] = 0
    column = np.where(weight > 0, value, 7.0)    # constant among the rows that count
    X = form(np.column_stack([column, R]).astype(dtype))
    for C in (1.0, np.inf):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = SoftmaxRegression(C=C, solver=solver, tol=1e-6).fit(X, y, weight)
            plain = SoftmaxRegression(C=C, tol=1e-6).fit(form(R.astype(dtype)), y, weight)
        assert not np.any(model.coef_[:, 0])
        assert abs(model.objective_ - plain.objective_) <= 2e-6 * plain.objective_
        held, terms = held_objective(model, X, y, weight)
        assert abs(held - model.objective_) <= 64 * np.finfo(model.coef_.dtype).eps * terms


def _with_ones(n_classes=3):
    X, y = labelled(300, n_classes)
    return np.column_stack([np.ones(len(y)), X]), y


def test_polynomial_features_as_they_come():
    """PolynomialFeatures(2) has a column of ones: C=inf gives it the coefficient 0."""
    X, y = labelled(300, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, plain = (
            SoftmaxRegression(C=np.inf, tol=1e-6).fit(expanded.fit_transform(X), y)
            for expanded in (PolynomialFeatures(2), PolynomialFeatures(2, include_bias=False))
        )
    assert not np.any(model.coef_[:, 0])
    np.testing.assert_allclose(model.coef_[:, 1:], plain.coef_, atol=1e-6)


@pytest.mark.parametrize("parameters", [
    {"penalty_factor": [0, 1, 1, 1]},
    {"penalty_factor": [0, 1, 1, 1], "l1_ratio": 0.5},
    {"penalty_factor": [0, 1, 1, 1], "l1_ratio": 1.0, "grouped": True},
    {"l1_ratio": 1.0},
])
@pytest.mark.parametrize("form", [*FORMS, RowBlocks])
def test_every_penalty_leaves_a_constant_at_zero(form, parameters):
    """Unpenalised by its factor, with kinks, in blocks of a file."""
    X, y = _with_ones()
    model = SoftmaxRegression(**parameters).fit(form(X), y)
    assert not np.any(model.coef_[:, 0])
    log_proba = model.predict_log_proba(X)
    loss = -log_proba[np.arange(len(y)), y].mean()
    assert loss < model.objective_ <= loss * 1.2


def test_a_constant_column_without_an_intercept_is_one():
    """fit_intercept=False: the column of ones has the coefficients of an intercept."""
    X, y = _with_ones()
    without = SoftmaxRegression(C=np.inf, fit_intercept=False, tol=1e-6).fit(X, y)
    model = SoftmaxRegression(C=np.inf, tol=1e-6).fit(X, y)
    assert without.objective_ == pytest.approx(model.objective_, rel=2e-6)
    np.testing.assert_allclose(without.coef_[:, 0], model.intercept_, atol=1e-4)


@pytest.mark.usefixtures("by_kernels")
def test_wide_rows_leave_a_constant_at_zero():
    """p > n, in the row space."""
    X, y = bundled("digits")
    X = np.column_stack([X[:40], np.full(40, 0.1)])
    X = np.column_stack([X, np.random.default_rng(0).standard_normal((40, 900))])
    model = SoftmaxRegression().fit(X, y[:40])
    assert not np.any(model.coef_[:, 64])


def test_cross_validation_and_paths_leave_a_constant_at_zero():
    """Cs=[1, inf]: every fold's and every path's fit."""
    X, y = _with_ones()
    model = SoftmaxRegressionCV(Cs=[1, np.inf], cv=3).fit(X, y)
    assert not np.any(model.coefs_paths_[..., 0]) and not np.any(model.coef_[:, 0])
    assert np.isfinite(model.scores_).all()
    path = softmax_path(X, y, Cs=[0.1, 1, 1e6], l1_ratio=0.0)
    assert not np.any(path.coefs[..., 0])


class TestRounding:
    """What rounding to the dtype of X costs is paid for, or told."""

    @staticmethod
    def far(dtype, mean):
        X, y = labelled(1000, 2)
        column = mean + np.random.default_rng(1).standard_normal(len(y))
        y = np.where(np.random.default_rng(2).random(len(y)) < 0.3, y, column > mean)
        return np.column_stack([column, X]).astype(dtype), y.astype(int)

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("C", [1.0, np.inf])
    def test_float32_of_a_huge_mean_keeps_float64_parameters(self, form, C):
        """Mean 1e7, spread 1: the predictions have the certified loss."""
        X, y = self.far(np.float32, 1e7)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = SoftmaxRegression(C=C, tol=1e-6).fit(form(X), y)
            centred = SoftmaxRegression(C=C, tol=1e-6).fit(
                X - X.mean(axis=0, dtype=np.float64), y
            )
        assert model.coef_.dtype == model.intercept_.dtype == np.float64
        assert abs(model.objective_ - centred.objective_) <= 2e-6 * centred.objective_
        value, _ = held_objective(model, X, y, np.ones(len(y)))
        assert value == pytest.approx(model.objective_, rel=1e-9)

    def test_float32_of_ordinary_columns_stays_float32(self):
        """Rounding costs less than tol: nothing changes its dtype."""
        X, y = labelled(1000, 3)
        model = SoftmaxRegression(tol=1e-6).fit((X + 1).astype(np.float32), y)
        assert model.coef_.dtype == model.intercept_.dtype == np.float32
        assert model.dual_gap_ <= model.tol * model.objective_

    def test_what_float64_cannot_hold_is_told(self):
        """Mean 1e15, spread 1: a ConvergenceWarning names the rounding and the objective."""
        X, y = self.far(np.float64, 1e15)
        with pytest.warns(Warning, match="rounding them to float64 takes the objective to"):
            model = SoftmaxRegression(C=np.inf).fit(X, y)
        value, _ = held_objective(model, X, y, np.ones(len(y)))
        assert value == pytest.approx(model.objective_, rel=1e-9)

    def test_paths_and_folds_deliver_the_same(self):
        """softmax_path and SoftmaxRegressionCV keep float64 where a fit does."""
        X, y = self.far(np.float32, 1e7)
        path = softmax_path(X, y, Cs=[1.0], l1_ratio=0.0, tol=1e-6)
        model = SoftmaxRegression(tol=1e-6).fit(X, y)
        assert path.coefs.dtype == np.float64
        assert path.objectives[0] == pytest.approx(model.objective_, rel=2e-6)
        searched = SoftmaxRegressionCV(Cs=[1.0], cv=3).fit(X, y)
        assert searched.scores_.mean() > -1.2 * model.objective_


    @pytest.mark.parametrize("form", FORMS)
    def test_partial_fit_keeps_float64_where_it_matters(self, form):
        """The probabilities of float32 rows of mean 1e6 are those of the same rows in float64."""
        X, y = self.far(np.float32, 1e6)
        exact = SoftmaxRegression().partial_fit(form(X.astype(np.float64)), y, classes=[0, 1])
        model = SoftmaxRegression().partial_fit(form(X), y, classes=[0, 1])
        np.testing.assert_allclose(
            model.predict_proba(form(X)), exact.predict_proba(form(X)), atol=1e-6
        )
        plain = SoftmaxRegression().partial_fit(form(X[:, 1:]), y, classes=[0, 1])
        assert plain.coef_.dtype == np.float32 and model.coef_.dtype == np.float64


class TestWarmStarts:
    """Starts that do not help are not used."""

    def test_a_start_worse_than_the_null_model_is_not_used(self):
        """Wine, then its last column times 10: the optimum of a cold start, silently."""
        X, y = bundled("wine")
        model = SoftmaxRegression(warm_start=True, tol=1e-6).fit(X, y)
        X = X.copy()
        X[:, -1] *= 10
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, y)
            cold = SoftmaxRegression(tol=1e-6).fit(X, y)
        assert abs(model.objective_ - cold.objective_) <= 1e-6 * cold.objective_

    @pytest.mark.parametrize("name", ["coef_", "intercept_"])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_start_that_is_not_finite_is_named(self, name, bad):
        """NaN or infinity in a previous coef_: a ValueError that says so; nothing changes."""
        X, y = bundled("iris")
        model = SoftmaxRegression(warm_start=True).fit(X, y)
        getattr(model, name)[0] = bad
        before = dict(vars(model))
        with pytest.raises(ValueError, match=f"finite {name}"):
            model.fit(X, y)
        assert vars(model) == before
