"""label_smoothing: as the distributions that it makes of labels, at the cost of labels."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from softmax_reg import (
    RowBlocks,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    cross_entropy,
    softmax_path,
)
from softmax_reg.problem.penalty import penalty_of
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.small import SmallRows

from ..problems import EPS, objective_of


def problem(n_classes, n=240, p=5, seed=0):
    """Raw columns, one of them constant; labels of all classes; weights with zeros."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.logspace(-2, 2, p) + 5
    X[:, 2] = 3.0
    y = (X @ rng.standard_normal((p, n_classes)) / 100 + rng.gumbel(size=(n, n_classes)))
    y = y.argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    weight = rng.uniform(0, 2, n)
    weight[5::5] = 0
    return X, y, weight


def smoothed(y, amount, class_weights):
    """Targets of the formula in PyTorch's documentation."""
    n_classes = len(class_weights)
    return ((1 - amount) * np.eye(n_classes)[y] + amount / n_classes) * class_weights


FORMS = {"dense": np.asarray, "CSR": sparse.csr_array, "float32": lambda X: X.astype(np.float32)}


@pytest.mark.parametrize("form", [
    "dense", "float32", pytest.param("CSR", marks=pytest.mark.compiled)
])
@pytest.mark.parametrize("amount", [0.1, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("options", [
    {}, {"C": 1e3}, {"C": np.inf}, {"fit_intercept": False}, {"l1_ratio": 1.0},
    {"class_weight": "balanced"}, {"class_weight": {0: 3.0, 1: 0.5}}, {"class_weight": {1: 0.0}},
], ids=str)
def test_as_distributions(options, n_classes, amount, form):
    """The same optimum to both certificates; objective_ is that of predict_log_proba."""
    X, y, weight = problem(n_classes)
    X = FORMS[form](X)
    others = dict(options)
    told = others.pop("class_weight", None)
    if told == {1: 0.0} and n_classes == 2:
        return    # a single class is left
    factors = np.ones(n_classes)
    if told is not None:
        factors = compute_class_weight(told, classes=np.arange(n_classes), y=y)
        if told == "balanced":
            weight = np.ones(len(y))    # releases of scikit-learn differ about weights here
    T = smoothed(y, amount, factors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of the class without weight
        model = SoftmaxRegression(tol=1e-9, label_smoothing=amount, **options).fit(X, y, weight)
        other = SoftmaxRegression(tol=1e-9, **others).fit(X, T, weight)
        log_proba = model.predict_log_proba(X).astype(np.float64)
    digits = 1e-6 if form == "float32" else 2e-9
    assert model.objective_ == pytest.approx(other.objective_, rel=digits)
    coef = model.coef_.astype(np.float64)
    size = np.abs(coef).sum() if "l1_ratio" in options else (coef**2).sum() / 2
    loss = (weight[:, np.newaxis] * np.where(T > 0, -T * np.where(T > 0, log_proba, 0), 0)).sum()
    direct = (loss + size / options.get("C", 1.0)) / (weight @ T).sum()
    assert model.objective_ == pytest.approx(direct, rel=1e-6 if form == "float32" else 1e-12)


@pytest.mark.parametrize("kind", [SmallRows, MemoryRows])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_objective_and_its_certificate(kind, n_classes, fit_intercept):
    """Value and gradient by definition; the gap bounds the optimum of the distributions' twin."""
    X, y, weight = problem(n_classes)
    mixture = smoothed(np.arange(n_classes), 0.2, np.ones(n_classes))
    options = {
        "kind": kind, "n_classes": n_classes, "binary": n_classes == 2,
        "penalty": penalty_of(0.1), "fit_intercept": fit_intercept,
    }
    objective = objective_of(X, y, weight, label_mixture=mixture, **options)
    twin = objective_of(X, y, weight, mixture=mixture[y], **options)
    rng = np.random.default_rng(1)
    for scale in (0.0, 1e-3, 0.1):
        theta = scale * rng.standard_normal(objective.shape)
        point, exact = objective.evaluate(theta), twin.evaluate(theta)
        assert point.value == pytest.approx(exact.value, rel=64 * EPS)
        np.testing.assert_allclose(point.grad, exact.grad, atol=1e4 * EPS)
        assert objective.gap(point) == pytest.approx(twin.gap(exact), rel=1e-9)
    assert objective.null_point.value == pytest.approx(twin.null_point.value, rel=64 * EPS)
    np.testing.assert_allclose(
        objective.null_point.grad, twin.null_point.grad, atol=1e4 * EPS
    )


def test_it_separates_nothing():
    """Without a penalty separable classes have an optimum, found without a warning."""
    X = np.r_[np.linspace(-2, -1, 20), np.linspace(1, 2, 20)][:, np.newaxis]
    y = (X[:, 0] > 0).astype(int)
    for solver in ("newton-cholesky", "lbfgs", "newton-cg"):
        model = SoftmaxRegression(C=np.inf, label_smoothing=0.1, tol=1e-8, solver=solver)
        proba = model.fit(X, y).predict_proba(X)
        loss = cross_entropy(y, model.predict_log_proba(X), label_smoothing=0.1)
        assert model.objective_ == pytest.approx(float(loss), rel=1e-12)
        assert proba.min() > 0.01


def test_paths_files_and_cross_validation(tmp_path):
    """softmax_path as single fits; rows of a file as rows in memory; the best C by labels."""
    X, y, weight = problem(3)
    path = softmax_path(X, y, n_Cs=4, sample_weight=weight, tol=1e-6, label_smoothing=0.1)
    for i, C in enumerate(path.Cs):
        model = SoftmaxRegression(C=C, l1_ratio=1.0, tol=1e-6, label_smoothing=0.1)
        assert path.objectives[i] == pytest.approx(model.fit(X, y, weight).objective_, rel=2e-6)
    X.tofile(tmp_path / "X")
    blocks = RowBlocks(np.memmap(tmp_path / "X", X.dtype, "r", shape=X.shape))
    model = SoftmaxRegression(tol=1e-8, label_smoothing=0.1).fit(blocks, y, weight)
    other = SoftmaxRegression(tol=1e-8, label_smoothing=0.1).fit(X, y, weight)
    assert model.objective_ == pytest.approx(other.objective_, rel=2e-8)
    search = SoftmaxRegressionCV(Cs=3, cv=3, label_smoothing=0.1, tol=1e-8).fit(X, y)
    one = SoftmaxRegression(C=search.C_, label_smoothing=0.1, tol=1e-8).fit(X, y)
    assert search.objective_ == pytest.approx(one.objective_, rel=2e-8)


@pytest.mark.compiled
def test_a_start_from_a_sample():
    """Large problems start near the optimum of a sample of the rows, as with labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100_000, 10))
    y = (X @ rng.standard_normal((10, 10)) + rng.gumbel(size=(100_000, 10))).argmax(axis=1)
    model = SoftmaxRegression(solver="lbfgs", label_smoothing=0.1).fit(X, y)
    assert model.history_["objective"][0] < 1.01 * model.objective_
    loss = cross_entropy(y, model.predict_log_proba(X), label_smoothing=0.1)
    penalty = (model.coef_**2).sum() / 2 / len(y)
    assert model.objective_ == pytest.approx(float(loss + penalty), rel=1e-12)


def test_no_array_of_rows_by_classes():
    """Memory in a fit is that of labels, less than one n x K array more."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4000, 3)), rng.integers(0, 5, 4000)

    def peak(**options):
        tracemalloc.start()
        SoftmaxRegression(**options).fit(X, y)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(label_smoothing=0.1)
    assert peak(label_smoothing=0.1) < peak() + 8 * y.size * 5


@pytest.mark.parametrize("amount", [-0.1, 1.1, np.nan, "0.1", None])
def test_bad_amounts(amount):
    """A ValueError that names the parameter."""
    X, y, _ = problem(3)
    with pytest.raises(ValueError, match="label_smoothing"):
        SoftmaxRegression(label_smoothing=amount).fit(X, y)
    with pytest.raises(ValueError, match="label_smoothing"):
        SoftmaxRegressionCV(label_smoothing=amount).fit(X, y)
