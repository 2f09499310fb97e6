"""Identities that hold for every problem, over random ones."""

import pickle
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from softmax_reg import SoftmaxRegression

pytestmark = pytest.mark.compiled
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
TOL = 1e-6


class Drawn(NamedTuple):
    """A training problem and the estimator's parameters."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    parameters: dict
    form: type


@st.composite
def drawn(draw):
    """Shapes, dtypes, column scales, sparsity, weights, penalties, solvers."""
    n_classes = draw(st.integers(2, 6))
    n_samples = draw(st.integers(n_classes, 80))
    n_features = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.standard_normal((n_samples, n_features))
    X += rng.standard_normal(n_features) * draw(st.sampled_from([0, 1, 30]))
    X *= 10.0 ** rng.uniform(-1, 1, n_features) ** draw(st.sampled_from([1, 3]))
    X *= rng.random(X.shape) < draw(st.sampled_from([1.0, 0.5, 0.1]))
    X = X.astype(draw(st.sampled_from([np.float64, np.float32])))
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n_samples - n_classes)]
    weight = {
        "none": None,
        "random": rng.exponential(size=n_samples),
        "counts": rng.integers(0, 4, n_samples) + (np.arange(n_samples) < n_classes),
    }[draw(st.sampled_from(["none", "random", "counts"]))]
    parameters = {
        "C": 10.0 ** draw(st.integers(-3, 3)),
        "fit_intercept": draw(st.booleans()),
        "solver": draw(st.sampled_from(SOLVERS)),
        "class_weight": draw(st.sampled_from([None, "balanced"])),
        "tol": TOL,
    }
    return Drawn(X, y, weight, parameters, draw(st.sampled_from([np.asarray, sparse.csr_array])))


def fitted(problem, **parameters):
    """The model, fitted with warnings as errors; certified."""
    model = SoftmaxRegression(**{**problem.parameters, **parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(problem.form(problem.X), problem.y, problem.weight)
    assert -64 * np.finfo(float).eps <= model.dual_gap_ <= TOL * model.objective_
    return model


def same_optimum(one, other):
    """Objectives within both certificates of each other."""
    slack = TOL * max(one.objective_, other.objective_)
    assert abs(one.objective_ - other.objective_) <= slack


def totals(problem, model):
    """Total weight of every row, class weights included."""
    weight = np.ones(len(problem.y)) if problem.weight is None else problem.weight
    if problem.parameters["class_weight"] == "balanced":
        balanced = len(problem.y) / len(model.classes_) / np.bincount(problem.y)
        if _weighs_balance():
            sums = np.bincount(problem.y, weights=weight)
            balanced = weight.sum() / len(model.classes_) / sums
        weight = weight * balanced[problem.y]
    return weight


def _weighs_balance():
    """Whether the installed scikit-learn's "balanced" adds up weights."""
    import inspect

    from sklearn.utils.class_weight import compute_class_weight

    return "sample_weight" in inspect.signature(compute_class_weight).parameters


property_test = settings(max_examples=60, deadline=None, derandomize=True)


@property_test
@given(drawn())
def test_probabilities(problem):
    """In [0, 1], sum to 1 within 4 eps; predict has the largest; dtypes; a pickle agrees."""
    model, X = fitted(problem), problem.form(problem.X)
    proba = model.predict_proba(X)
    # coef_ is float64 for float32 rows where rounding it would cost more than tol.
    assert proba.dtype == np.result_type(problem.X.dtype, model.coef_.dtype)
    assert proba.shape == (len(problem.y), len(model.classes_))
    assert proba.min() >= 0 and proba.max() <= 1
    eps = np.finfo(proba.dtype).eps
    assert np.abs(proba.sum(axis=1, dtype=np.float64) - 1).max() <= 4 * eps
    # Logits that differ by less than their rounding may give equal probabilities.
    predicted = np.searchsorted(model.classes_, model.predict(X))
    chosen = proba[np.arange(len(proba)), predicted]
    assert np.all(chosen >= (1 - 4 * eps) * proba.max(axis=1))
    log_proba = model.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=128 * eps, atol=eps)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), proba)


@property_test
@given(drawn())
def test_optimality(problem):
    """The gradient of the penalised loss vanishes as far as the certificate says."""
    model = fitted(problem, tol=TOL)
    X = problem.X.astype(np.float64)
    weight = totals(problem, model)
    scale = weight / weight.sum()
    l2 = 1 / problem.parameters["C"] / weight.sum()
    # In float64, whatever the dtype of X; coef_ itself may be rounded to float32.
    logits = X @ model.coef_.T.astype(np.float64) + model.intercept_
    if len(model.classes_) == 2:
        proba = 1 / (1 + np.exp(-logits))
        residual = scale[:, np.newaxis] * (proba - problem.y[:, np.newaxis])
    else:
        proba = np.exp(logits - logits.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        assert np.abs(model.coef_.sum(axis=0)).max() <= 1e-4 * max(1, np.abs(model.coef_).max())
        residual = scale[:, np.newaxis] * (proba - np.eye(len(model.classes_))[problem.y])
    gradient = residual.T @ X + l2 * model.coef_
    rounding = 32 * np.finfo(problem.X.dtype).eps * (
        np.abs(logits).max() * np.abs(X).max() + l2 * np.abs(model.coef_).max()
    )
    allowed = np.sqrt(2 * l2 * TOL * model.objective_)
    if problem.parameters["fit_intercept"]:
        # The certificate repairs totals that are slightly off; they are small too.
        assert np.abs(residual.sum(axis=0)).max() <= 1e-2
        allowed += np.abs(residual.sum(axis=0)).max() * np.abs(X).max() * len(model.classes_)
    assert np.linalg.norm(gradient) <= 2 * allowed + rounding * np.sqrt(gradient.size)


@property_test
@given(drawn(), st.integers(0, 2**32 - 1))
def test_order_does_not_matter(problem, seed):
    """Rows, columns and classes in another order: the same optimum, permuted."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(problem.y))
    columns = rng.permutation(problem.X.shape[1])
    names = rng.permutation(len(np.unique(problem.y)))
    other = problem._replace(
        X=problem.X[rows][:, columns], y=names[problem.y[rows]],
        weight=None if problem.weight is None else problem.weight[rows],
    )
    one, two = fitted(problem), fitted(other)
    same_optimum(one, two)
    proba = two.predict_proba(other.X)[:, names]
    # ||difference of logits||^2 is bounded by the gaps over the curvature: loose, but sure.
    assert np.abs(proba - one.predict_proba(problem.X)[rows]).mean() <= 0.02


@property_test
@given(drawn())
def test_dense_and_sparse_are_one_problem(problem):
    """The same optimum from X and from its CSR form."""
    same_optimum(
        fitted(problem._replace(form=np.asarray)), fitted(problem._replace(form=sparse.csr_array))
    )


@property_test
@given(drawn())
def test_solvers_agree_with_each_other_and_with_scikit_learn(problem):
    """Never above anyone else's objective by more than the certificate."""
    models = [fitted(problem, solver=solver) for solver in SOLVERS]
    for model in models[1:]:
        same_optimum(models[0], model)
    given = {k: v for k, v in problem.parameters.items() if k not in ("tol", "solver")}
    peer = LogisticRegression(**given, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.fit(problem.form(problem.X.astype(np.float64)), problem.y, problem.weight)
    started = SoftmaxRegression(**{**problem.parameters, "max_iter": 0, "warm_start": True})
    for name in ("coef_", "intercept_", "classes_"):
        setattr(started, name, getattr(peer, name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started.fit(problem.form(problem.X.astype(np.float64)), problem.y, problem.weight)
    for model in models:
        terms = (np.abs(problem.X) @ np.abs(model.coef_.T) + np.abs(model.intercept_)).max()
        rounding = 8 * np.finfo(model.coef_.dtype).eps * (1 + terms)
        assert model.objective_ <= started.objective_ * (1 + TOL)
        least = started.objective_ - started.dual_gap_
        assert least <= model.objective_ * (1 + 1e-12) + rounding


@property_test
@given(drawn())
def test_counts_repeat_rows(problem):
    """Integer weights are repeated rows, zero weights rows left out."""
    counts = np.random.default_rng(len(problem.y)).integers(0, 4, len(problem.y))
    counts[: problem.y.max() + 1] += 1    # every class stays
    problem = problem._replace(
        weight=counts, parameters={**problem.parameters, "class_weight": None}
    )
    repeated = problem._replace(
        X=np.repeat(problem.X, counts, axis=0), y=np.repeat(problem.y, counts), weight=None
    )
    same_optimum(fitted(problem), fitted(repeated))
