"""Offsets: known numbers added to the logits, in fits and in predictions."""


import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from softmax_reg import (
    RowBlocks,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    cross_entropy,
    softmax_path,
)
from softmax_reg.problem.penalty import penalty_of
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.offset import OffsetRows, with_columns
from softmax_reg.rows.small import SmallRows

from ..problems import EPS, assert_derivatives, bundled, objective_of


def problem(n_classes, n=120, p=4, seed=0, spread=2.0):
    """X of raw scales, labels that depend on X and the offset, weights with zeros, the offset."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.logspace(-1, 1, p) + 1
    offset = spread * rng.standard_normal((n, n_classes))
    logits = X @ rng.standard_normal((p, n_classes)) / p + offset
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    weight = rng.uniform(0, 2, n)
    weight[n_classes + 1::6] = 0
    return X, y, weight, offset


def soft(y, n_classes):
    """Distributions with most of their mass on y."""
    return 0.3 * np.random.default_rng(1).dirichlet(np.ones(n_classes), len(y)) + (
        0.7 * np.eye(n_classes)[y]
    )


def value(model, X, T, weight, offset, C=1.0, l1_ratio=0.0):
    """The penalised mean loss of what `model` predicts, in nats."""
    log_proba = model.predict_log_proba(X, offset=offset).astype(np.float64)
    loss = cross_entropy(T, log_proba, sample_weight=weight, reduction="sum")
    coef = model.coef_.astype(np.float64)
    size = (1 - l1_ratio) * (coef**2).sum() / 2 + l1_ratio * np.abs(coef).sum()
    return (loss + size / C) / (weight @ T).sum()


def optimum_by_scipy(X, T, weight, offset, C, fit_intercept):
    """The least objective with an L2 penalty, by SciPy's BFGS."""
    n_classes, p = T.shape[1], X.shape[1]
    total = (weight @ T).sum()
    first = 1 if n_classes == 2 else 0    # two classes have one row of coefficients

    def objective(v):
        v = v.reshape(n_classes - first, p + 1)
        logits = offset - offset[:, :1] if first else offset.copy()
        logits[:, first:] += X @ v[:, :-1].T + fit_intercept * v[:, -1]
        log_q = log_softmax(logits, axis=1)
        rest = weight[:, np.newaxis] * (np.exp(log_q) - T)[:, first:] / total
        grad = np.column_stack([rest.T @ X + v[:, :-1] / C / total,
                                fit_intercept * rest.sum(axis=0)])
        loss = -(weight[:, np.newaxis] * T * log_q).sum()
        return (loss + (v[:, :-1] ** 2).sum() / 2 / C) / total, grad.ravel()

    start = np.zeros((n_classes - first) * (p + 1))
    return minimize(objective, start, jac=True, method="BFGS",
                    options={"gtol": 1e-9, "maxiter": 5000}).fun


FORMS = {"dense": np.asarray, "CSR": sparse.csr_array, "float32": lambda X: X.astype(np.float32)}


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("targets", ["labels", "soft", "smoothed"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_optimum(fit_intercept, n_classes, targets, solver):
    """The optimum by SciPy lies between objective_ - dual_gap_ and objective_."""
    X, y, weight, offset = problem(n_classes)
    T = soft(y, n_classes) if targets == "soft" else np.eye(n_classes)[y]
    smoothing = 0.1 if targets == "smoothed" else 0.0
    model = SoftmaxRegression(C=10.0, fit_intercept=fit_intercept, solver=solver, tol=1e-9,
                              label_smoothing=smoothing)
    model.fit(X, T if targets == "soft" else y, weight, offset=offset)
    T = (1 - smoothing) * T + smoothing / n_classes
    best = optimum_by_scipy(X, T, weight, offset, 10.0, fit_intercept)
    assert model.dual_gap_ <= 1e-9 * model.objective_
    assert model.objective_ - model.dual_gap_ <= best * (1 + 1e-12)
    assert model.objective_ == pytest.approx(best, rel=2e-9)
    told = value(model, X, T, weight, offset, C=10.0)
    assert model.objective_ == pytest.approx(told, rel=64 * EPS)


@pytest.mark.parametrize("form", [
    "float32", "dense", pytest.param("CSR", marks=pytest.mark.compiled)
])
@pytest.mark.parametrize("options", [
    {}, {"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}, {"C": np.inf},
    {"penalty_factor": [1.0, 0.0, np.inf, 2.0]},
    {"l1_ratio": 1.0, "groups": ["b", "a", "b", "c"], "grouped": True},
], ids=str)
@pytest.mark.parametrize("kernels", [False, pytest.param(True, marks=pytest.mark.compiled)])
def test_every_penalty_and_form(options, form, kernels, request):
    """What is held is what is certified; dense rows in NumPy and kernels give the same."""
    if kernels:
        request.getfixturevalue("by_kernels")
    X, y, weight, offset = problem(3)
    given = FORMS[form](X)
    model = SoftmaxRegression(tol=1e-8, **options).fit(given, y, weight, offset=offset)
    exact = SoftmaxRegression(tol=1e-10, **options).fit(X, y, weight, offset=offset)
    digits = 1e-6 if form == "float32" else 1e-12
    loss = cross_entropy(
        y, model.predict_log_proba(given, offset=offset).astype(float), sample_weight=weight
    )
    assert model.objective_ >= float(loss) * (1 - digits)
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-7 + digits)
    np.testing.assert_allclose(
        model.predict_proba(given, offset=offset), exact.predict_proba(X, offset=offset), atol=2e-3
    )
    if "penalty_factor" in options:
        assert not model.coef_[:, 2].any()
    if options in ({}, {"C": np.inf}):
        told = value(model, given, np.eye(3)[y], weight, offset, C=options.get("C", 1.0))
        assert model.objective_ == pytest.approx(told, rel=digits)


@pytest.mark.parametrize("kind", [SmallRows, MemoryRows])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("targets", ["labels", "soft", "by label"])
def test_the_objective_and_its_derivatives(targets, fit_intercept, n_classes, kind):
    """Value by its definition; gradient, Hessian and its products by central differences."""
    X, y, weight, offset = problem(n_classes, n=50, p=3)
    binary = n_classes == 2
    T, options = np.eye(n_classes)[y], {}
    if targets == "soft":
        T = soft(y, n_classes)
        options = {"mixture": T}
    elif targets == "by label":
        mixture = 0.9 * np.eye(n_classes) + 0.1 / n_classes
        T, options = mixture[y], {"label_mixture": mixture}
    columns = offset[:, 1:] - offset[:, :1] if binary else offset
    objective = objective_of(
        X, y, weight, n_classes=n_classes, binary=binary, penalty=penalty_of(0.1),
        fit_intercept=fit_intercept, **options,
        kind=lambda X: OffsetRows(kind(with_columns(X, columns)), columns),
    )
    theta = np.random.default_rng(1).standard_normal(objective.shape)
    if not fit_intercept:
        theta[:, -1] = 0
    coef, intercept = objective.to_coef(theta)
    logits = offset - offset[:, :1] if binary else offset.copy()
    logits[:, 1 if binary else 0:] += X @ coef.T + intercept
    exact = cross_entropy(T, logits, sample_weight=weight) + 0.05 * (theta[:, :-1] ** 2).sum()
    point = objective.evaluate(theta)
    assert point.value == pytest.approx(float(exact), rel=64 * EPS)
    assert_derivatives(objective, theta)
    optimum = optimum_by_scipy(X, T, weight, offset, 10 / weight.sum(), fit_intercept)
    assert objective.gap(point) >= (point.value - optimum) * (1 - 1e-9)


def test_the_gap_bounds_the_optimum_where_intercepts_are_wrong():
    """There probabilities are mixed with a distribution, whose offsets count."""
    for seed in range(20):
        X, y, weight, offset = problem(3, n=60, seed=seed, spread=3.0)
        objective = objective_of(
            X, y, weight, n_classes=3, binary=False, penalty=penalty_of(0.1), fit_intercept=True,
            kind=lambda X, o=offset: OffsetRows(SmallRows(with_columns(X, o)), o),
        )
        optimum = optimum_by_scipy(X, np.eye(3)[y], weight, offset, 10 / weight.sum(), True)
        rng = np.random.default_rng(seed)
        for scale in (0.01, 0.3, 3.0):
            point = objective.evaluate(scale * rng.standard_normal(objective.shape))
            gap = objective.gap(point)
            assert gap == point.value or gap >= (point.value - optimum) * (1 - 1e-9)


def test_the_logits_of_a_fitted_model_leave_nothing_to_learn():
    """Without a penalty all coefficients are 0; the objective is that model's own."""
    X, y = bundled("iris")
    X = X + np.random.default_rng(0).standard_normal(X.shape)    # classes overlap
    first = SoftmaxRegression(C=np.inf, tol=1e-12).fit(X, y)
    model = SoftmaxRegression(C=np.inf, tol=1e-12)
    model.fit(X, y, offset=first.decision_function(X))
    np.testing.assert_allclose(model.coef_, 0, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, 0, atol=1e-5)
    assert model.objective_ == pytest.approx(first.objective_, rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_constant_offset_moves_the_intercept_only(n_classes):
    """W as without it; b + offset as b."""
    X, y, weight, _ = problem(n_classes, spread=0.0)
    constant = np.arange(n_classes) * 0.7 - 0.2
    plain = SoftmaxRegression(tol=1e-12).fit(X, y, weight)
    model = SoftmaxRegression(tol=1e-12).fit(X, y, weight, offset=np.tile(constant, (len(y), 1)))
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-6)
    moved = constant[1:] - constant[:1] if n_classes == 2 else constant - constant.mean()
    np.testing.assert_allclose(model.intercept_ + moved, plain.intercept_, atol=1e-6)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-10)


@pytest.mark.compiled
def test_log_priors_correct_a_case_control_sample():
    """A model of a balanced sample, moved to the true priors, is nearly that of all rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 2))
    logits = np.column_stack([X @ [1.0, 0.5] + 4, X @ [-0.5, 1.0], np.zeros(len(X))])
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    counts = np.bincount(y)
    taken = np.concatenate([rng.choice(np.flatnonzero(y == k), counts.min(), replace=False)
                            for k in range(3)])
    sampling = np.log(counts.min() / counts)    # log-probabilities of being taken
    model = SoftmaxRegression(C=100.0)
    model.fit(X[taken], y[taken], offset=np.tile(sampling, (len(taken), 1)))
    everything = SoftmaxRegression(C=100.0).fit(X, y)
    corrected = model.predict_proba(X, offset=np.zeros((len(X), 3)))
    np.testing.assert_allclose(corrected.mean(axis=0), counts / len(y), atol=0.01)
    np.testing.assert_allclose(corrected, everything.predict_proba(X), atol=0.1)


def test_one_number_a_row_for_two_classes():
    """The log-odds of the second class: as a column, flat, or as two columns."""
    X, y, weight, offset = problem(2)
    odds = offset[:, 1] - offset[:, 0]
    models = [
        (SoftmaxRegression(tol=1e-10).fit(X, y, weight, offset=given), given)
        for given in (odds, odds[:, np.newaxis], offset, odds.tolist())
    ]
    for model, given in models:
        np.testing.assert_allclose(model.coef_, models[0][0].coef_, rtol=1e-9)
        expected = X @ model.coef_[0] + model.intercept_ + odds
        np.testing.assert_allclose(model.decision_function(X, offset=given), expected, rtol=1e-12)
        np.testing.assert_array_equal(model.predict(X, offset=given), expected > 0)


def test_paths_and_warm_starts():
    """softmax_path as single fits; deviances from the model of offset and intercepts."""
    X, y, weight, offset = problem(3)
    path = softmax_path(X, y, n_Cs=4, sample_weight=weight, tol=1e-8, offset=offset)
    assert path.degrees_of_freedom[0] == 0 and path.degrees_of_freedom[1] > 0
    assert path.deviances_explained[0] == pytest.approx(0, abs=1e-5)
    for i, C in enumerate(path.Cs):
        model = SoftmaxRegression(C=C, l1_ratio=1.0, tol=1e-8)
        model.fit(X, y, weight, offset=offset)
        assert path.objectives[i] == pytest.approx(model.objective_, rel=2e-8)
    model.set_params(warm_start=True).fit(X, y, weight, offset=offset)
    assert model.n_iter_[0] <= 1


@pytest.mark.compiled
def test_a_start_from_a_sample():
    """Large problems start near the optimum of a sample, whose rows keep their offsets."""
    rng = np.random.default_rng(0)
    X, offset = rng.standard_normal((100_000, 10)), rng.standard_normal((100_000, 5))
    logits = X @ rng.standard_normal((10, 5)) + 2 * offset
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = SoftmaxRegression(solver="lbfgs").fit(X, y, offset=2 * offset)
    assert model.history_["objective"][0] < 1.01 * model.objective_
    told = value(model, X, np.eye(5)[y], np.ones(len(y)), 2 * offset)
    assert model.objective_ == pytest.approx(told, rel=1e-12)


def test_separable_classes_are_named():
    """Without a penalty, offsets do not hide a direction that separates."""
    X, y, _, offset = problem(2, spread=0.5)
    X = np.column_stack([X, y])
    with pytest.warns(UserWarning, match="separate"):
        SoftmaxRegression(C=np.inf).fit(X, y, offset=offset)


def test_predictions_need_what_the_fit_had():
    """One if and only if there was one; after a fit without, none again."""
    X, y, weight, offset = problem(3)
    model = SoftmaxRegression().fit(X, y, weight, offset=offset)
    assert model.has_offset_
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(ValueError, match="fitted with an offset and needs one"):
            getattr(model, method)(X)
        getattr(model, method)(X, offset=offset)
    with pytest.raises(ValueError, match="needs one"):
        model.score(X, y)
    assert model.score(X, y, weight, offset) > model.score(X, y, weight, np.zeros((120, 3)))
    with pytest.raises(ValueError, match="LogisticRegression has no offset"):
        model.to_sklearn()
    model.fit(X, y)
    assert not model.has_offset_
    with pytest.raises(ValueError, match="fitted without an offset"):
        model.predict(X, offset=offset)
    model.fit(X, y, offset=offset).partial_fit(X, y).predict(X)
    with pytest.raises(ValueError, match="fitted without an offset"):
        SoftmaxRegressionCV(Cs=1, cv=2).fit(X, y).predict_proba(X, offset=offset)


@pytest.mark.parametrize("change, match", [
    (lambda o: o[:, :2], r"offset must have shape \(120, 3\)"),
    (lambda o: o[:-1], r"offset must have shape \(120, 3\)"),
    (lambda o: o[:, 0], r"offset must have shape \(120, 3\)"),
    (lambda o: np.where(o == o.max(), np.nan, o), "offset contains NaN"),
    (lambda o: np.where(o == o.max(), np.inf, o), "offset contains infinity"),
    (lambda o: [["a"] * 3] * 120, "offset"),
], ids=["narrow", "short", "flat", "nan", "inf", "text"])
def test_bad_offsets(change, match):
    """A ValueError that names it, in fits and predictions; the estimator stays as it was."""
    X, y, weight, offset = problem(3)
    model = SoftmaxRegression().fit(X, y, weight, offset=offset)
    before = {k: np.copy(v) for k, v in vars(model).items() if k.endswith("_")}
    with pytest.raises(ValueError, match=match):
        model.fit(X, y, weight, offset=change(offset))
    with pytest.raises(ValueError, match=match):
        model.predict(X, offset=change(offset))
    with pytest.raises(ValueError, match=match):
        softmax_path(X, y, offset=change(offset))
    for name, old in before.items():
        np.testing.assert_array_equal(getattr(model, name), old)


def test_refusals_of_the_fit():
    """Rows in files, offsets beyond float32, classes without weight: clear errors."""
    X, y, weight, offset = problem(3)
    with pytest.raises(ValueError, match="X in memory, got RowBlocks"):
        SoftmaxRegression().fit(RowBlocks(X), y, offset=offset)
    with pytest.raises(ValueError, match="offset overflows"):
        SoftmaxRegression().fit(X.astype(np.float32), y, offset=1e39 * offset)
    with pytest.raises(ValueError, match=r"weight 0.*|classes \[1\]"):
        SoftmaxRegression().fit(X, y, np.where(y == 1, 0, weight), offset=offset)


def test_arguments_stay_as_they_were_and_rows_of_other_kinds():
    """Read-only, Fortran-ordered and integer X; bits of X and offset unchanged."""
    X, y, weight, offset = problem(3)
    for given in (np.asfortranarray(X), np.round(X).astype(np.int64), X.tolist()):
        copy, kept = np.array(given), offset.copy()
        offset.flags.writeable = False
        model = SoftmaxRegression(tol=1e-10).fit(given, y, weight, offset=offset)
        told = value(model, given, np.eye(3)[y], weight, offset)
        assert model.objective_ == pytest.approx(told, rel=1e-12)
        np.testing.assert_array_equal(np.array(given), copy)
        np.testing.assert_array_equal(offset, kept)


def test_an_offset_of_zeros_changes_nothing():
    """As scikit-learn's optimum."""
    X, y = bundled("wine", standardised=True)
    model = SoftmaxRegression(tol=1e-10).fit(X, y, offset=np.zeros((len(y), 3)))
    reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("level", [100.0, 1e4])
def test_offsets_far_from_zero(level, n_classes):
    """Fits start from intercepts that balance the mean offset, not where probabilities are 0."""
    X, y, weight, offset = problem(n_classes)
    plain = SoftmaxRegression(tol=1e-8).fit(X, y, sample_weight=weight, offset=offset)
    far = offset + level * (np.arange(n_classes) == 1)
    model = SoftmaxRegression(tol=1e-8).fit(X, y, sample_weight=weight, offset=far)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-4 * np.abs(plain.coef_).max())
    assert model.objective_ == pytest.approx(plain.objective_, rel=2e-8)
