"""y of shape (n_samples, n_classes): distributions and counts, against copies of the rows."""

import warnings

import numpy as np
import pytest
from scipy import sparse

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

from ..problems import EPS, assert_derivatives, objective_of


def problem(n, p, n_classes, seed=0):
    """X of raw scales, soft targets with zeros, weights with zeros."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.logspace(-1, 1, p) + 1
    logits = X @ rng.standard_normal((p, n_classes)) / p
    T = rng.dirichlet(np.ones(n_classes), n) * (rng.random((n, n_classes)) < 0.6)
    T[np.arange(n), (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)] += 1
    T /= T.sum(axis=1, keepdims=True)
    T[: n // 4] = np.eye(n_classes)[T[: n // 4].argmax(axis=1)]    # some are labels
    weight = rng.uniform(0, 2, n)
    weight[::7] = 0
    return X, T, weight


def copies(X, T, weight):
    """A row for each class of positive share: (X, labels, weights)."""
    row, label = np.nonzero(T * weight[:, np.newaxis])
    return X[row], label, weight[row] * T[row, label]


def value(model, X, T, weight, *, l1_ratio=0.0, grouped=False, C=1.0):
    """The penalised mean loss of what `model` predicts, in nats."""
    loss = cross_entropy(T, model.predict_log_proba(X).astype(np.float64), sample_weight=weight,
                         reduction="sum")
    coef = model.coef_.astype(np.float64)
    size = np.sqrt((coef**2).sum(axis=0)).sum() if grouped else np.abs(coef).sum()
    total = (weight * T.sum(axis=1)).sum()
    return (loss + ((1 - l1_ratio) * (coef**2).sum() / 2 + l1_ratio * size) / C) / total


KINDS = {
    "dense": np.asarray, "CSR": sparse.csr_array,
    "float32": lambda X: X.astype(np.float32), "Fortran": np.asfortranarray,
}


MANY = pytest.param(9000, marks=pytest.mark.compiled)
LARGE = pytest.param(500, 9, 30, marks=pytest.mark.compiled)    # minutes without


@pytest.mark.compiled
@pytest.mark.parametrize("kind", [
    "dense", "float32", "Fortran", pytest.param("CSR", marks=pytest.mark.compiled)
])
@pytest.mark.parametrize("n, p, n_classes", [(150, 5, 2), (120, 4, 3), LARGE, (40, 90, 3)])
@pytest.mark.parametrize("options", [
    {}, {"C": 100.0}, {"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True},
    {"fit_intercept": False},
], ids=str)
def test_as_copies_of_the_rows(options, n, p, n_classes, kind):
    """The same optimum to both certificates, and the objective is that of predict_log_proba."""
    X, T, weight = problem(n, p, n_classes)
    X = KINDS[kind](X)
    model = SoftmaxRegression(tol=1e-7, **options).fit(X, T, weight)
    other = SoftmaxRegression(tol=1e-7, **options).fit(*copies(X, T, weight))
    assert model.coef_.dtype == other.coef_.dtype and model.coef_.shape == other.coef_.shape
    np.testing.assert_array_equal(model.classes_, np.arange(n_classes))
    assert model.dual_gap_ <= 1e-7 * model.objective_
    assert abs(model.objective_ - other.objective_) <= model.dual_gap_ + other.dual_gap_ + (
        64 * EPS if kind != "float32" else 1e-6
    )
    known = {k: v for k, v in options.items() if k != "fit_intercept"}
    told = value(model, X, T, weight, **known)
    assert model.objective_ == pytest.approx(told, rel=1e-6 if kind == "float32" else 1e-12)
    # The distance of two points is at most sqrt(2 gap / curvature), so some 1e-3.
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=5e-3)


@pytest.mark.parametrize("n", [150, MANY])
def test_columns_far_from_zero(n):
    """A mean of 1e9 beside a spread of 1: as accurate as labels, in rows of both kinds."""
    X, T, weight = problem(n, 4, 3)
    X = np.round(X * 2**10) / 2**10    # exact beside 2^30
    far = X.copy()
    far[:, 2] += 2.0**30
    near = SoftmaxRegression(tol=1e-9).fit(X, T, weight)
    model = SoftmaxRegression(tol=1e-9).fit(far, T, weight)
    assert model.objective_ == pytest.approx(near.objective_, rel=3e-9)
    np.testing.assert_allclose(model.coef_, near.coef_, atol=1e-4)
    assert model.objective_ == pytest.approx(value(model, far, T, weight), rel=1e-6)


@pytest.mark.parametrize("n", [150, MANY])
def test_the_objective_is_that_of_float32_predictions(n):
    """Logits of columns far from zero lose digits in float32: so does what is certified."""
    X, T, weight = problem(n, 4, 3)
    X = (X + 2.0**12).astype(np.float32)
    model = SoftmaxRegression(C=1e3).fit(X, T, weight)
    told = value(model, X, T, weight, C=1e3)
    assert model.objective_ == pytest.approx(told, rel=1e-7)


def test_labels_as_distributions_are_labels():
    """The same bits, and classes by number."""
    X, T, weight = problem(150, 5, 3)
    y = T.argmax(axis=1)
    expected = SoftmaxRegression().fit(X, y, weight)
    actual = SoftmaxRegression().fit(X, np.eye(3)[y], weight)
    np.testing.assert_array_equal(actual.coef_, expected.coef_)
    assert actual.objective_ == expected.objective_


@pytest.mark.parametrize("n_classes", [2, 4])
def test_counts_are_trials(n_classes):
    """A contingency table and one row for each trial: the same coefficients."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    counts = rng.poisson(2.0, (30, n_classes))
    counts[0] = 0
    keep = counts.any(axis=1)
    row, label = np.nonzero(counts)
    times = counts[row, label]
    trials = SoftmaxRegression(tol=1e-12).fit(np.repeat(X[row], times, axis=0),
                                              np.repeat(label, times))
    table = SoftmaxRegression(tol=1e-12).fit(X[keep], counts[keep])
    assert table.objective_ == pytest.approx(trials.objective_, rel=1e-12)
    np.testing.assert_allclose(table.coef_, trials.coef_, atol=1e-5)
    np.testing.assert_allclose(table.intercept_, trials.intercept_, atol=1e-5)
    with_zeros = SoftmaxRegression(tol=1e-12).fit(X, counts, keep.astype(float))
    assert with_zeros.objective_ == pytest.approx(table.objective_, rel=1e-12)


@pytest.mark.parametrize("rows_type", [SmallRows, MemoryRows])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_objective_and_its_derivatives(rows_type, n_classes, fit_intercept):
    """Value by its definition, gradient and Hessian by central differences."""
    X, T, weight = problem(60, 4, n_classes)
    binary = n_classes == 2
    objective = objective_of(
        X, T.argmax(axis=1), weight, kind=rows_type, n_classes=n_classes, binary=binary,
        penalty=penalty_of(0.1), fit_intercept=fit_intercept, mixture=T,
    )
    theta = np.random.default_rng(1).standard_normal(objective.shape)
    if not fit_intercept:
        theta[:, -1] = 0
    coef, intercept = objective.to_coef(theta)
    logits = X @ coef.T + intercept
    if binary:
        logits = np.column_stack([np.zeros(60), logits])
    exact = cross_entropy(T, logits, sample_weight=weight) + 0.05 * (theta[:, :-1] ** 2).sum()
    point = objective.evaluate(theta)
    assert point.value == pytest.approx(float(exact), rel=64 * EPS)
    assert_derivatives(objective, theta)


def test_the_certificate_bounds_the_optimum():
    """At any theta the gap is at least the distance from the optimum, and tight at it."""
    X, T, weight = problem(80, 4, 3)
    objective = objective_of(
        X, T.argmax(axis=1), weight, kind=SmallRows, n_classes=3, binary=False,
        penalty=penalty_of(0.1), fit_intercept=True, mixture=T,
    )
    model = SoftmaxRegression(tol=0, C=10 / weight.sum()).fit(X, T, weight)
    rng = np.random.default_rng(0)
    best = objective.from_coef(model.coef_, model.intercept_)
    optimum = objective.evaluate(best)
    assert objective.gap(optimum) <= 1e-9 * optimum.value
    for scale in (1e-3, 0.1, 1.0):
        point = objective.evaluate(best + scale * rng.standard_normal(best.shape))
        assert objective.gap(point) >= (point.value - optimum.value) * (1 - 1e-9)


def test_absent_classes_constant_columns_and_excluded_features():
    """What the user holds is what was certified, through predict_log_proba."""
    X, T, weight = problem(150, 6, 4)
    T[:, 2] = 0
    T[:, 0] += 0.1
    T /= T.sum(axis=1, keepdims=True)
    X[:, 1] = 5.0
    factor = np.r_[1, 1, np.inf, 0.5, 2, 1]
    with pytest.warns(UserWarning, match=r"\[2\]"):
        model = SoftmaxRegression(penalty_factor=factor, tol=1e-8).fit(X, T, weight)
    loss = cross_entropy(T, model.predict_log_proba(X), sample_weight=weight)
    penalty = (np.where(np.isinf(factor), 0, factor) * model.coef_**2).sum() / 2 / weight.sum()
    assert model.objective_ == pytest.approx(loss + penalty, rel=1e-12)
    assert not model.coef_[:, [1, 2]].any()
    assert (model.predict(X) != 2).all()


def test_without_a_penalty():
    """C=inf on soft targets has an optimum; it is that of the copies."""
    X, T, weight = problem(300, 4, 3)
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, T, weight)
    other = SoftmaxRegression(C=np.inf, tol=1e-10).fit(*copies(X, T, weight))
    assert model.objective_ == pytest.approx(other.objective_, rel=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("class_weight", [{0: 2.0, 2: 0.5}, {1: 0.0}, "balanced"], ids=str)
def test_class_weights_multiply_columns(class_weight):
    """As for copies of the rows; "balanced" by the sums of the columns."""
    X, T, weight = problem(150, 5, 3)
    options = {"class_weight": class_weight, "tol": 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of a class without weight
        model = SoftmaxRegression(**options).fit(X, T, weight)
        if class_weight == "balanced":
            totals = weight @ T
            options["class_weight"] = dict(enumerate(totals.sum() / (3 * totals)))
        other = SoftmaxRegression(**options).fit(*copies(X, T, weight))
    assert model.objective_ == pytest.approx(other.objective_, rel=1e-8)


def test_paths_and_files(tmp_path):
    """softmax_path as single fits; rows read block by block as rows in memory."""
    X, T, weight = problem(200, 5, 3)
    path = softmax_path(X, T, n_Cs=4, sample_weight=weight, tol=1e-6)
    for i, C in enumerate(path.Cs):
        model = SoftmaxRegression(C=C, l1_ratio=1.0, tol=1e-6).fit(X, T, weight)
        assert path.objectives[i] == pytest.approx(model.objective_, rel=2e-6)
    assert path.degrees_of_freedom[0] == 0
    X.tofile(tmp_path / "X")
    blocks = RowBlocks(np.memmap(tmp_path / "X", X.dtype, "r", shape=X.shape))
    model = SoftmaxRegression(tol=1e-8).fit(blocks, T, weight)
    other = SoftmaxRegression(tol=1e-8).fit(X, T, weight)
    assert model.objective_ == pytest.approx(other.objective_, rel=2e-8)


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [
    {}, {"l1_ratio": 0.5}, {"fit_intercept": False}, {"class_weight": "balanced"},
    {"penalty_factor": [1.0, np.inf, 0.5, 2.0, 1.0]},
], ids=str)
def test_rows_in_blocks(options, n_classes, by_label, tmp_path, monkeypatch):
    """X in a file, in more than one block: objective_ is that of predict_log_proba."""
    monkeypatch.setattr("softmax_reg.rows.row_blocks.BLOCK_BYTES", 8 * 5 * 64)
    monkeypatch.setattr("softmax_reg.rows.sample._ROWS", 25)
    X, T, weight = problem(200, 5, n_classes)
    T = np.eye(n_classes)[T.argmax(axis=1)] if by_label else T
    options = options | {"tol": 1e-8, "C": 0.5}
    X.tofile(tmp_path / "X")
    blocks = RowBlocks(np.memmap(tmp_path / "X", X.dtype, "r", shape=X.shape))
    model = SoftmaxRegression(**options).fit(blocks, T, weight)
    other = SoftmaxRegression(**options).fit(X, T, weight)
    assert model.objective_ == pytest.approx(other.objective_, rel=2e-8)
    log_proba = model.predict_log_proba(blocks)
    np.testing.assert_allclose(log_proba, model.predict_log_proba(X), rtol=1e-12)
    if "penalty_factor" in options:
        return
    if "class_weight" in options:
        totals = weight @ T
        T = T * totals.sum() / (n_classes * totals)
    loss = -(weight @ (T * log_proba)).sum()
    ratio, coef = options.get("l1_ratio", 0.0), model.coef_
    size = (1 - ratio) * (coef**2).sum() / 2 + ratio * np.abs(coef).sum()
    told = (loss + size / 0.5) / (weight @ T).sum()
    assert model.objective_ == pytest.approx(told, rel=1e-12)
    assert model.dual_gap_ <= 1e-8 * model.objective_


def test_names_of_columns_are_the_classes():
    """A DataFrame's columns, in their order, are the classes of predictions."""
    pandas = pytest.importorskip("pandas")
    X, T, _ = problem(100, 4, 3)
    model = SoftmaxRegression().fit(X, pandas.DataFrame(T, columns=["b", "a", "c"]))
    assert model.classes_.tolist() == ["b", "a", "c"]
    plain = SoftmaxRegression().fit(X, T)
    np.testing.assert_array_equal(model.predict(X), np.array(["b", "a", "c"])[plain.predict(X)])
    with pytest.raises(ValueError, match="different names"):
        SoftmaxRegression().fit(X, pandas.DataFrame(T, columns=["a", "a", "c"]))


def test_the_score_is_the_share_of_the_predicted_class():
    """Weighted; for labels it is the accuracy."""
    X, T, weight = problem(100, 4, 3)
    model = SoftmaxRegression().fit(X, T, weight)
    index = model.predict(X)
    expected = (weight * T[np.arange(100), index]).sum() / weight.sum()
    assert model.score(X, T, weight) == pytest.approx(expected, rel=1e-14)
    y = T.argmax(axis=1)
    assert model.score(X, np.eye(3)[y]) == pytest.approx(model.score(X, y), rel=1e-14)
    with pytest.raises(ValueError, match=r"y must have shape \(100, 3\)"):
        model.score(X, T[:, :2])


@pytest.mark.parametrize("change, match", [
    (lambda T: np.where(T == T.max(), np.nan, T), "NaN"),
    (lambda T: np.where(T == T.max(), np.inf, T), "infinity"),
    (lambda T: T - 0.5, "non-negative"),
    (lambda T: T * (np.arange(len(T)) != 3)[:, np.newaxis], "row of zeros, row 3"),
    (lambda T: T[:-1], "inconsistent numbers of samples"),
    (lambda T: sparse.csr_array(T), "must be dense"),
    (lambda T: T * 1e308, "overflows"),
    (lambda T: np.array([["a"] * T.shape[1]] * len(T)), "convert|numeric|float"),
], ids=["nan", "inf", "negative", "zeros", "short", "sparse", "huge", "text"])
def test_bad_targets(change, match):
    """A ValueError that names y; the estimator stays as it was."""
    X, T, weight = problem(50, 4, 3)
    model = SoftmaxRegression().fit(X, T.argmax(axis=1))
    before = {k: np.copy(v) for k, v in vars(model).items() if k.endswith("_")}
    with pytest.raises(ValueError, match=match):
        model.fit(X, change(T), np.where(weight > 0, weight, 1.0) * 10)
    for name, old in before.items():
        np.testing.assert_array_equal(getattr(model, name), old)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", None])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validation_of_one_hot_targets_is_that_of_labels(n_classes, scoring):
    """The same folds, fits, scores and choices."""
    X, T, weight = problem(150, 5, n_classes)
    y = T.argmax(axis=1)
    weight[weight == 0] = 0.1
    options = {"Cs": 4, "cv": 3, "scoring": scoring}
    expected = SoftmaxRegressionCV(**options).fit(X, y, weight)
    actual = SoftmaxRegressionCV(**options).fit(X, np.eye(n_classes)[y], weight)
    np.testing.assert_allclose(actual.scores_, expected.scores_, rtol=1e-12)
    np.testing.assert_array_equal(actual.coefs_paths_, expected.coefs_paths_)
    assert actual.C_ == expected.C_
    told = actual.score(X, np.eye(n_classes)[y], sample_weight=weight)
    assert told == pytest.approx(expected.score(X, y, sample_weight=weight), rel=1e-12)


@pytest.mark.parametrize("refit", [True, False])
def test_cross_validation_of_distributions(refit):
    """Scores of the rows left out by the definition; the model is that of a fit to all rows."""
    X, T, weight = problem(150, 5, 3)
    folds = [(np.arange(150) % 3 != k, np.arange(150) % 3 == k) for k in range(3)]
    folds = [(np.flatnonzero(a), np.flatnonzero(b)) for a, b in folds]
    Cs = [0.1, 10.0]
    search = SoftmaxRegressionCV(Cs=Cs, cv=folds, tol=1e-10, refit=refit).fit(X, T, weight)
    for k, (train, test) in enumerate(folds):
        for j, C in enumerate(Cs):
            model = SoftmaxRegression(C=C, tol=1e-10).fit(X[train], T[train], weight[train])
            loss = cross_entropy(
                T[test], model.predict_log_proba(X[test]), sample_weight=weight[test]
            )
            assert search.scores_[k, 0, j] == pytest.approx(-float(loss), rel=1e-6)
    if refit:
        one = SoftmaxRegression(C=search.C_, tol=1e-10).fit(X, T, weight)
        assert search.objective_ == pytest.approx(one.objective_, rel=1e-9)
    np.testing.assert_array_equal(search.classes_, [0, 1, 2])


def test_scorers_of_labels_refuse_distributions():
    """By name, before any fit; a callable gets the targets as they are."""
    X, T, _ = problem(60, 4, 3)
    with pytest.raises(ValueError, match="scoring='f1_macro' takes labels.*neg_log_loss"):
        SoftmaxRegressionCV(scoring="f1_macro").fit(X, T)
    seen = []

    def scorer(model, X, y):
        seen.append(y.shape)
        return (y[np.arange(len(y)), model.predict(X)]).mean()

    search = SoftmaxRegressionCV(Cs=2, cv=2, scoring=scorer).fit(X, T)
    assert set(seen) == {(30, 3)}
    assert search.score(X, T) == pytest.approx(T[np.arange(60), search.predict(X)].sum() / 60)
    with pytest.raises(ValueError, match=r"y must have shape \(60, 3\)"):
        SoftmaxRegressionCV(Cs=2, cv=2).fit(X, T).score(X, T[:, :2])
