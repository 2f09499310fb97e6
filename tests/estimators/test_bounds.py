"""Bounds on the coefficients: optimum, certificate, and what a user holds."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import GridSearchCV

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.problem.bounded import BoundedPenalty
from softmax_reg.problem.penalty import L2Penalty, SparsePenalty, penalty_of
from softmax_reg.rows.algebra import HOST_ALGEBRA
from softmax_reg.solvers.quadratic import DenseModel, minimise_model

from ..problems import EPS, bundled

INF = np.inf
NONNEGATIVE = (0, INF)


def problem(seed):
    """X, y, weight, parameters of a fit whose optimum has coefficients at bounds and between."""
    rng = np.random.default_rng(seed)
    n_classes, p = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    X = rng.standard_normal((150, p)) * rng.uniform(0.5, 2, p) + rng.standard_normal(p)
    logits = X @ rng.standard_normal((p, n_classes)) / 2
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    shape = 1 if n_classes == 2 else n_classes, p
    bounds = [
        NONNEGATIVE, (-INF, np.zeros(p)), (-0.1, 0.2),
        (np.where(rng.random(shape) < 0.5, 0, -INF), np.where(rng.random(shape) < 0.5, 0.3, INF)),
    ][seed % 4]
    return X, y, rng.uniform(0.2, 2, 150), {
        "bounds": bounds, "C": [0.05, 1.0, 20.0][seed % 3],
        "l1_ratio": [0.0, 0.5, 1.0][seed % 5 % 3],
        "fit_intercept": seed % 2 == 0,
    }


def optimum_by_scipy(X, y, weight, *, bounds, C, l1_ratio, fit_intercept, factor=1.0):
    """(objective, coef) at the optimum, by SciPy's L-BFGS-B on positive and negative parts."""
    n_classes = y.max() + 1
    n_rows, p = 1 if n_classes == 2 else n_classes, X.shape[1]
    lower, upper = (np.broadcast_to(bound, (n_rows, p)).ravel() for bound in bounds)
    size, total, T = n_rows * p, weight.sum(), np.eye(n_classes)[y]

    def objective(v):
        coef = (v[:size] - v[size:2 * size]).reshape(n_rows, p)
        logits = np.zeros((len(y), n_classes))
        logits[:, -n_rows:] = X @ coef.T + v[2 * size:]
        log_q = log_softmax(logits, axis=1)
        rest = (weight[:, np.newaxis] * (np.exp(log_q) - T) / total)[:, -n_rows:]
        grad = (rest.T @ X + (1 - l1_ratio) * factor * coef / C / total).ravel()
        l1 = l1_ratio / C / total
        value = -(weight[:, np.newaxis] * T * log_q).sum() / total + l1 * v[:2 * size].sum()
        value += (1 - l1_ratio) * (factor * coef**2).sum() / 2 / C / total
        return value, np.concatenate([grad + l1, l1 - grad, fit_intercept * rest.sum(axis=0)])

    v = np.zeros(2 * size + n_rows)
    for _ in range(20):    # line searches fail on the way: start again from where they do
        found = minimize(
            objective, v, jac=True, method="L-BFGS-B",
            bounds=[*((0, end) for end in upper), *((0, -end) for end in lower)]
            + [(None, None)] * n_rows,
            options={"ftol": 0, "gtol": 1e-10, "maxcor": 50, "maxiter": 20000, "maxfun": 50000},
        )
        v = found.x
    return found.fun, (v[:size] - v[size:2 * size]).reshape(n_rows, p)


def value_of(model, X, y, weight):
    """The penalised mean loss of what `model` predicts, in nats."""
    log_proba = model.predict_log_proba(X).astype(np.float64)
    coef = model.coef_.astype(np.float64)
    size = model.l1_ratio * np.abs(coef).sum() + (1 - model.l1_ratio) * (coef**2).sum() / 2
    return (-(weight @ log_proba[np.arange(len(y)), y]) + size / model.C) / weight.sum()


@pytest.mark.parametrize("solver", ["proximal-newton", "proximal-lbfgs"])
@pytest.mark.parametrize("seed", range(20))
def test_optimum_and_active_set_of_scipy(monkeypatch, seed, solver):
    """L-BFGS-B's optimum lies within the certificate, with the same coefficients at bounds."""
    monkeypatch.setattr(
        "softmax_reg.estimators.regression.choose_solver", lambda objective: solver
    )
    X, y, weight, params = problem(seed)
    model = SoftmaxRegression(tol=1e-11, **params).fit(X, y, sample_weight=weight)
    optimum, coef = optimum_by_scipy(X, y, weight, **params)
    assert -1e-11 <= optimum - (model.objective_ - model.dual_gap_)
    assert model.objective_ - optimum <= 1e-10
    assert model.objective_ == pytest.approx(value_of(model, X, y, weight), rel=64 * EPS)
    lower, upper = params["bounds"]
    assert np.all((model.coef_ >= lower) & (model.coef_ <= upper))
    for bound in (lower, upper, 0):
        # L-BFGS-B ends up to 1e-5 from the optimum where the objective is 1e-11 above it.
        by_scipy = np.isclose(coef, bound, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(np.equal(model.coef_, bound), by_scipy)


@pytest.mark.parametrize("inner", [
    L2Penalty(0.0), L2Penalty(0.3), SparsePenalty(0.4), SparsePenalty(0.4, 0.2),
    SparsePenalty(0.4, 0.2, np.array([1.0, 0.0, 2.0])),
])
def test_conjugate(inner):
    """The gap of every coefficient is <g, w> + p(w) + p*(-g), p* by a search over the bounds."""
    rng = np.random.default_rng(0)
    lower = np.array([[-0.7, 0.0, -2.0], [0.0, -1.0, 0.0], [-0.5, -0.5, -0.5]])
    upper = np.array([[0.4, 3.0, 0.0], [1.0, 0.0, 2.0], [0.5, 0.5, 0.5]])
    penalty = BoundedPenalty(inner, lower, upper)
    assert penalty.is_strict
    for _ in range(20):
        coef = lower + rng.choice([0, 1, rng.random()], (3, 3)) * (upper - lower)
        grad = rng.standard_normal((3, 3)) * rng.choice([0.1, 1, 10])
        expected = 0.0
        for index in np.ndindex(3, 3):
            grid = np.append(np.linspace(lower[index], upper[index], 20001), 0.0)
            one = np.zeros((3, 3))

            def alone(w, index=index, one=one):
                one[index] = w
                return inner.value(one)

            of_zero, slope = alone(0.0), grad[index]
            assert of_zero == 0
            curvature = np.broadcast_to(inner.curvature, 3)[index[1]] / 2
            threshold = np.broadcast_to(inner.threshold, 3)[index[1]]
            conjugate = (-slope * grid - curvature * grid**2 - threshold * np.abs(grid)).max()
            expected += slope * coef[index] + alone(coef[index]) + conjugate
        assert penalty.fenchel_gap(coef, grad) == pytest.approx(expected, abs=1e-6, rel=1e-6)


def test_gap_vanishes_at_the_optimum_alone():
    """Zero where every coefficient is the minimum given its gradient; else positive, or inf."""
    penalty = penalty_of(0.5, bounds=(np.array([[0.0, -1.0]]), np.array([[INF, 0.2]])))
    grad = np.array([[3.0, 0.1]])
    best = np.array([[0.0, -0.2]])
    assert penalty.fenchel_gap(best, grad) == 0
    assert penalty.fenchel_gap(best + [[1e-8, 0]], grad) == pytest.approx(3e-8)
    assert penalty.fenchel_gap(best + [[0, 1e-4]], grad) == pytest.approx(2.5e-9)
    bare = penalty_of(0.0, bounds=(np.array([[0.0, -1.0]]), np.array([[INF, 0.2]])))
    assert not bare.is_strict
    assert np.isinf(bare.fenchel_gap(best, -grad))


@pytest.mark.parametrize("seed", range(6))
def test_minimum_of_a_bounded_model(seed):
    """Optimality conditions of a badly conditioned quadratic model, to rounding."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((15, 15)))[0]
    hessian = basis * np.logspace(0, -4, 15) @ basis.T
    threshold = np.array([0.3, 0.3, 0.3, 0.0, 0.0])
    bounds = -rng.choice([0, 0.5, INF], (3, 5)), rng.choice([0, 0.5, INF], (3, 5))
    grad = rng.standard_normal((3, 5))
    model = DenseModel(HOST_ALGEBRA, (hessian + hessian.T) / 2, grad, threshold, None, bounds)
    start = np.clip(rng.standard_normal((3, 5)), *bounds)
    x = minimise_model(
        model, start, sweeps=5, rounds=300, newton_steps=50, accuracy=1e-24
    ).x
    assert np.all((x >= bounds[0]) & (x <= bounds[1]))
    slope = grad + model.times(x - start) + threshold * np.sign(x)
    slack = np.where(x == 0, threshold, 0.0)
    assert np.all((slope >= -slack - 1e-9) | (x == bounds[1]))
    assert np.all((slope <= slack + 1e-9) | (x == bounds[0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.usefixtures("by_kernels")
def test_what_the_user_holds(l1_ratio, layout, dtype):
    """Raw columns in every form: within bounds that float32 rounds up, and the value predicted."""
    X, y = bundled("wine", dtype=dtype)
    given = sparse.csr_array(X) if layout == "csr" else X
    bounds = np.float64(-0.1), np.float64(0.1)
    model = SoftmaxRegression(bounds=bounds, l1_ratio=l1_ratio, C=10).fit(given, y)
    assert np.abs(model.coef_.astype(np.float64)).max() <= 0.1
    assert np.float64(np.float32(0.1)) > 0.1 and np.any(np.abs(model.coef_) > 0.0999)
    assert model.dual_gap_ <= 1e-4 * model.objective_
    weight = np.ones(len(y))
    assert model.objective_ == pytest.approx(
        value_of(model, X, y, weight), rel=float(6400 * np.finfo(dtype).eps)
    )


@pytest.mark.parametrize("options", [{}, {"l1_ratio": 0.5}, {"C": INF, "fit_intercept": False}])
def test_bounds_of_zero_leave_features_out(options):
    """As infinite penalty factors do; infinite bounds are none, bit by bit."""
    X, y = bundled("iris")
    X = X[:, :3]
    factor, upper = np.array([1.0, INF, 1.0]), np.array([9.0, 0.0, 9.0])
    model = SoftmaxRegression(tol=1e-8, bounds=(-upper, upper), **options).fit(X, y)
    assert not model.coef_[:, 1].any()
    if options.get("C") != INF:
        wide = np.where(upper > 0, INF, 0)
        model = SoftmaxRegression(tol=1e-8, bounds=(-wide, wide), **options).fit(X, y)
        left_out = SoftmaxRegression(tol=1e-8, penalty_factor=factor, **options).fit(X, y)
        assert abs(model.objective_ - left_out.objective_) <= 1e-8 * model.objective_
        none = SoftmaxRegression(**options).fit(X, y)
        infinite = SoftmaxRegression(bounds=(-INF, np.full(3, INF)), **options).fit(X, y)
        np.testing.assert_array_equal(none.coef_, infinite.coef_)


def test_finite_bounds_take_the_place_of_a_penalty():
    """Separable classes with C=inf: certified, coefficients at bounds, no warning."""
    X, y = bundled("iris", standardised=True)
    separable = y < 2
    model = SoftmaxRegression(C=INF, bounds=(-2, 2)).fit(X[separable], y[separable])
    assert model.dual_gap_ <= 1e-4 * model.objective_
    assert set(np.abs(model.coef_.ravel())) == {2.0}
    X, y, _, _ = problem(0)
    free = SoftmaxRegression(C=INF, tol=1e-8).fit(X, y)
    within = SoftmaxRegression(C=INF, tol=1e-8, bounds=(-50, 50)).fit(X, y)
    assert within.dual_gap_ < INF == free.dual_gap_
    assert within.objective_ == pytest.approx(free.objective_, rel=1e-7)


def test_an_unpenalised_feature_beside_bounds():
    """It has no bound, so nothing is certified, and the optimum is that of SciPy all the same."""
    X, y, weight, _ = problem(2)
    factor = np.ones(X.shape[1])
    factor[0] = 0
    lower = np.where(factor > 0, -0.05, -INF)
    model = SoftmaxRegression(C=1, bounds=(lower, 0.0 - lower), penalty_factor=factor, tol=1e-10)
    model.fit(X, y, sample_weight=weight)
    assert model.dual_gap_ == INF
    assert np.abs(model.coef_[:, 1:]).max() <= 0.05 < np.abs(model.coef_[:, 0]).max()
    optimum, _ = optimum_by_scipy(
        X, y, weight, bounds=(lower, -lower), C=1, l1_ratio=0.0, fit_intercept=True,
        factor=factor,
    )
    assert abs(model.objective_ - optimum) <= 1e-9


def test_absent_classes_and_constant_columns():
    """Coefficients of 0, which every bound allows; classes with weight as without the others."""
    X, y, weight, params = problem(3)
    X[:, 1] = 7.0
    weight[y == y.max()] = 0
    params |= {"bounds": NONNEGATIVE, "fit_intercept": True, "l1_ratio": 0.0}
    with pytest.warns(UserWarning, match="total weight of zero"):
        model = SoftmaxRegression(tol=1e-9, **params).fit(X, y, sample_weight=weight)
    assert not model.coef_[-1].any() and not model.coef_[:, 1].any()
    assert model.dual_gap_ <= 1e-9 * model.objective_
    assert model.objective_ == pytest.approx(value_of(model, X, y, weight), rel=1e-12)


def test_targets_and_offsets_within_bounds():
    """Distributions, smoothing and an offset: the value of what is predicted, certified."""
    X, y, weight, params = problem(1)
    n_classes = y.max() + 1
    rng = np.random.default_rng(0)
    offset = rng.standard_normal((len(y), n_classes))
    T = rng.dirichlet(np.ones(n_classes), len(y))
    model = SoftmaxRegression(tol=1e-9, label_smoothing=0.1, **params)
    model.fit(X, T, sample_weight=weight, offset=offset)
    smooth = 0.9 * T + 0.1 / n_classes
    loss = -(weight @ (smooth * model.predict_log_proba(X, offset=offset)).sum(axis=1))
    size = params["l1_ratio"] * np.abs(model.coef_).sum()
    size += (1 - params["l1_ratio"]) * (model.coef_**2).sum() / 2
    assert model.objective_ == pytest.approx((loss + size / params["C"]) / weight.sum(), rel=1e-12)
    assert model.dual_gap_ <= 1e-9 * model.objective_
    lower, upper = params["bounds"]
    assert np.all((model.coef_ >= lower) & (model.coef_ <= upper))


def test_starts_outside_of_the_bounds():
    """A warm start from a fit without bounds moves into them, even with no iteration."""
    X, y, weight, params = problem(4)
    bounds = params.pop("bounds")
    model = SoftmaxRegression(warm_start=True, tol=1e-8, **params)
    model.fit(X, y, sample_weight=weight)
    assert np.any(model.coef_ < 0)
    model.set_params(bounds=bounds).fit(X, y, sample_weight=weight)
    cold = SoftmaxRegression(tol=1e-8, bounds=bounds, **params).fit(X, y, sample_weight=weight)
    assert model.objective_ == pytest.approx(cold.objective_, rel=2e-8)
    model.set_params(bounds=None, max_iter=1000).fit(X, y, sample_weight=weight)
    with pytest.warns(match="failed to converge"):
        model.set_params(bounds=bounds, max_iter=0).fit(X, y, sample_weight=weight)
    assert np.all(model.coef_ >= 0)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_paths_and_searches(l1_ratio):
    """Paths start where all coefficients are 0; every fit of a path and a CV is within bounds."""
    X, y = bundled("iris")
    path = softmax_path(X, y, l1_ratio=l1_ratio, n_Cs=8, bounds=NONNEGATIVE, tol=1e-7)
    assert path.coefs.min() >= 0 and np.all(path.dual_gaps <= 1e-7 * path.objectives)
    for C, value in zip(path.Cs[::4], path.objectives[::4], strict=True):
        alone = SoftmaxRegression(C=C, l1_ratio=l1_ratio, bounds=NONNEGATIVE, tol=1e-7).fit(X, y)
        assert alone.objective_ == pytest.approx(value, rel=2e-7)
    if l1_ratio == 1:
        assert path.degrees_of_freedom[0] == 0 < path.degrees_of_freedom[1]
    search = SoftmaxRegressionCV(Cs=3, l1_ratios=[l1_ratio], cv=3, bounds=NONNEGATIVE).fit(X, y)
    assert search.coefs_paths_[..., :-1].min() >= 0 and search.coef_.min() >= 0
    grid = GridSearchCV(SoftmaxRegression(), {"bounds": [None, NONNEGATIVE]}, cv=3).fit(X, y)
    assert grid.best_params_["bounds"] is None    # nothing is gained here by bounds


@pytest.mark.parametrize("bounds, message", [
    ((0,), "a pair"), (3.0, "array-like"), ("ab", "array-like"), ((0, 1, 2), "a pair"),
    ((np.zeros(4), 1), r"shape of coef_, \(3, 3\), got lower bounds of shape \(4,\)"),
    ((0, np.ones((2, 3))), r"got upper bounds of shape \(2, 3\)"),
    ((np.nan, 1), "hold 0"), ((0.1, 1), "hold 0.* got a bound of 0.1 in lower"),
    ((-1, -0.5), "got a bound of -0.5 in upper"), (("a", 1), "bounds"),
])
def test_refused_bounds(bounds, message):
    """Errors that name the parameter and what was given; the estimator stays unfitted."""
    X, y = bundled("iris")
    model = SoftmaxRegression(bounds=bounds)
    with pytest.raises(ValueError, match=message):
        model.fit(X[:, :3], y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("params, message", [
    ({"grouped": True}, "bounds do not go with grouped=True"),
    ({"groups": [0, 0, 1, 1], "grouped": True}, "bounds do not go with"),
    ({"solver": "lbfgs"}, "bounds do not go with solver='lbfgs'"),
    ({"C": INF}, "without a penalty .* must be finite"),
    ({"penalty_factor": [0, 1, 1, 1]}, "without a penalty .* must be finite"),
])
def test_refused_combinations(params, message):
    """Bounds that no solver here handles, or under which an optimum might not exist."""
    X, y = bundled("iris")
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression(bounds=NONNEGATIVE, **params).fit(X, y)
    with pytest.raises(ValueError, match="partial_fit does not take bounds"):
        SoftmaxRegression(bounds=NONNEGATIVE).partial_fit(X, y, [0, 1, 2])
