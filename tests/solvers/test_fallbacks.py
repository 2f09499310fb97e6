"""Solvers that rounding, a limit or the data stop: the status, and the next solver."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SeparationWarning, SoftmaxRegression
from softmax_reg.problem.blocks import Blocks
from softmax_reg.problem.coordinates import RowSpace, reduction_pays
from softmax_reg.problem.objective import Objective
from softmax_reg.problem.penalty import penalty_of
from softmax_reg.solvers import Monitor, minimise
from softmax_reg.solvers import lbfgs as lbfgs_module
from softmax_reg.solvers import newton as newton_module
from softmax_reg.solvers import proximal as proximal_module
from softmax_reg.solvers import proximal_lbfgs as proximal_lbfgs_module
from softmax_reg.solvers import quadratic as quadratic_module
from softmax_reg.solvers.line_search import line_search

from ..problems import objective_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 6))
y = (X[:, :3] + RNG.gumbel(size=(150, 3))).argmax(axis=1).astype(np.int32)
PROXIMAL = ("proximal-newton", "proximal-lbfgs")


def make(data=X, labels=y, n_classes=3, binary=False, grouped=False, **penalty):
    """The objective of `data` at strength 1 / n."""
    if grouped:
        penalty["blocks"] = Blocks.single(data.shape[1])
    return objective_of(
        data, labels, np.ones(len(labels)), n_classes=n_classes, binary=binary,
        penalty=penalty_of(1 / len(labels), **penalty), fit_intercept=True,
    )


def solve(objective, solver, tol=1e-9, max_iter=1000):
    return minimise(objective, None, Monitor(objective, tol=tol, max_iter=max_iter), solver)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("solver", PROXIMAL)
def test_columns_of_zeros(solver, grouped):
    """Without curvature there is nothing to descend; not penalised, they stay zero as well."""
    data = np.column_stack([X, np.zeros((150, 2))])
    factor = np.ones(8)
    if solver == "proximal-newton":
        factor[6] = 0.0
    found = solve(make(data, l1_ratio=1.0, factor=factor, grouped=grouped), solver)
    expected = solve(make(l1_ratio=1.0, grouped=grouped), solver)
    assert not found.theta[:, 6:8].any()
    assert found.value == pytest.approx(expected.value, rel=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_a_metric_of_diagonals(monkeypatch, l1_ratio, n_classes):
    """Many features and many classes: proximal L-BFGS without p x p and K x K matrices."""
    labels = y if n_classes == 3 else (y > 0).astype(np.int32)
    objective = make(sparse.csr_array(X), labels, n_classes, n_classes == 2, l1_ratio=l1_ratio)
    expected = solve(objective, "proximal-newton")
    monkeypatch.setattr(Objective, "has_full_covariance", False)
    found = solve(objective, "proximal-lbfgs", tol=1e-7)
    assert found.solver == "proximal-lbfgs" and found.gap <= 1e-7 * found.value
    assert found.value == pytest.approx(expected.value, rel=1e-7)


@pytest.mark.parametrize("solver", PROXIMAL)
def test_sparse_solvers_at_the_rounding_floor(solver):
    """tol = 0: they end, at an optimum that the certificate still proves to rounding."""
    objective = make(l1_ratio=0.5)
    result = solve(objective, solver, tol=0.0)
    assert result.status == "converged"
    assert result.gap <= 1e-12 * result.value


def counted_evaluations(monkeypatch):
    """A list that gets, for every evaluation from now on, whether it is with a Hessian."""
    taken, evaluate = [], Objective.evaluate

    def counted(self, theta, with_hessian=False, **options):
        taken.append(with_hessian)
        return evaluate(self, theta, with_hessian, **options)

    monkeypatch.setattr(Objective, "evaluate", counted)
    return taken


def test_sparse_newton_shortens_steps_that_overshoot(monkeypatch):
    """From far on the wrong side, where the loss hardly bends, whole steps fail."""
    objective = make(l1_ratio=0.5)
    start = objective.evaluate(-10 * solve(objective, "proximal-newton").theta)
    objective = replace(objective, null_point=start)    # it is used
    with_hessian = counted_evaluations(monkeypatch)
    monitor = Monitor(objective, tol=1e-9, max_iter=100)
    result = minimise(objective, start, monitor, "proximal-newton")
    assert result.gap <= 1e-9 * result.value
    assert with_hessian.count(False) > result.n_iter


@pytest.mark.parametrize("solver", [None, *PROXIMAL])
def test_a_search_that_fails_hands_over(monkeypatch, solver):
    """Neither solver finds a step: the fit says so; one alone: the other goes on."""
    dead = PROXIMAL if solver is None else (solver,)
    if "proximal-newton" in dead:
        monkeypatch.setattr(proximal_module, "search", lambda *args: None)
    if "proximal-lbfgs" in dead:
        # No decrease is enough: its search is a part of its loop.
        monkeypatch.setattr(proximal_lbfgs_module, "_ARMIJO", np.inf)
    objective = make(l1_ratio=1.0)
    result = solve(objective, solver or PROXIMAL[0], tol=1e-6)
    if solver is None:
        assert result.status == "stalled" and result.gap > 1e-6 * result.value
    else:
        assert result.solver != solver and result.gap <= 1e-6 * result.value


def test_without_newton_steps_descent_goes_on_alone(monkeypatch):
    """A support too large, or a Hessian that does not factorise."""
    expected = solve(make(l1_ratio=1.0), "proximal-newton")
    monkeypatch.setattr(quadratic_module, "MAX_SUPPORT", 1)
    assert solve(make(l1_ratio=1.0), "proximal-newton").value == pytest.approx(
        expected.value, rel=1e-8
    )
    monkeypatch.undo()
    monkeypatch.setattr(quadratic_module, "newton_step", lambda hessian, grad: None)
    assert solve(make(l1_ratio=1.0), "proximal-newton").value == pytest.approx(
        expected.value, rel=1e-8
    )


def test_sparse_pairs_without_curvature_are_not_kept():
    """A gradient that fell along the step teaches the metric nothing."""
    objective = make(l1_ratio=1.0)
    metric = proximal_lbfgs_module.Metric(objective, objective.null_point.theta)
    s = RNG.standard_normal(objective.shape)
    metric.append(s, -s)
    assert len(metric) == 0 and metric.right.shape[2] == 0
    metric.append(s, metric.base_times(s))
    other = proximal_lbfgs_module.Metric(objective, objective.null_point.theta)
    other.inherit(metric)
    assert len(metric) == len(other) == 1
    np.testing.assert_array_equal(other.left, metric.left)
    other.clear()
    metric.inherit(other)
    assert len(metric) == 0


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_separable_rows_without_a_penalty(solver):
    """Every solver says so."""
    labels = (X[:, 0] > 0).astype(int)
    data = X + 0.5 * np.outer(2 * labels - 1, np.eye(6)[0])
    with pytest.warns(SeparationWarning):
        SoftmaxRegression(C=np.inf, solver=solver, max_iter=2000).fit(data, labels)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg"])
def test_newton_whose_line_search_fails_hands_over(monkeypatch, solver):
    """L-BFGS goes on from there."""
    monkeypatch.setattr(newton_module, "line_search", lambda *args, **options: (None, 0.0))
    result = solve(make(), solver, tol=1e-8)
    assert result.solver == "lbfgs" and result.gap <= 1e-8 * result.value


def test_lbfgs_in_float32_that_finds_no_step_goes_on_in_float64(monkeypatch):
    """From where it stood, with a new preconditioner."""
    failed = []

    def search(*args, single):
        if single and len(failed) < 2:
            failed.append(single)
            return None, 0.0
        return line_search(*args, single=single)

    monkeypatch.setattr(lbfgs_module, "SINGLE_FLOPS", 0)
    monkeypatch.setattr(lbfgs_module, "line_search", search)
    result = solve(make(), "lbfgs", tol=1e-8)
    assert failed == [True]
    assert result.solver == "lbfgs" and result.gap <= 1e-8 * result.value


def test_lbfgs_whose_line_search_fails_forgets_its_pairs_first(monkeypatch):
    """Then the preconditioned gradient alone; then Newton-CG goes on."""
    fails = iter([False] * 3 + [True] * 2)

    def search(*args, **options):
        return (None, 0.0) if next(fails, True) else line_search(*args, **options)

    monkeypatch.setattr(lbfgs_module, "line_search", search)
    result = solve(make(), "lbfgs", tol=1e-8)
    assert result.solver == "newton-cg" and result.gap <= 1e-8 * result.value


@pytest.mark.usefixtures("by_kernels")
def test_a_certificate_lost_on_the_way_back_from_the_row_space(monkeypatch):
    """Rounding the reduction: L-BFGS goes on with X itself."""
    wide, labels = RNG.standard_normal((20, 1000)), np.arange(20) % 3
    assert reduction_pays(20, 1000, 3)
    exact = RowSpace.to_coef
    monkeypatch.setattr(
        RowSpace, "to_coef", lambda self, *args: tuple(1.001 * a for a in exact(self, *args))
    )
    model = SoftmaxRegression(tol=1e-9).fit(wide, labels)
    assert model.solver_ == "lbfgs" and model.dual_gap_ <= 1e-9 * model.objective_


@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg", *PROXIMAL])
def test_starts_where_all_probabilities_are_certain_and_wrong(solver, C):
    """theta 500 times a random one, on raw columns: the optimum all the same."""
    if solver in PROXIMAL and C == np.inf:
        return
    data = X * np.logspace(-2, 3, 6)
    objective = make(data, l1_ratio=0.5 if solver in PROXIMAL else 0.0)
    if C == np.inf:
        objective = objective.with_penalty(penalty_of(0.0))
    expected = solve(objective, solver)
    theta = 500 * np.random.default_rng(0).standard_normal(objective.shape)
    start = objective.evaluate(theta - theta.mean(axis=0))
    assert start.value > 100 * objective.null_point.value
    monitor = Monitor(objective, tol=1e-9, max_iter=1000)
    result = minimise(objective, start, monitor, solver)
    assert result.status == "converged"
    assert result.value == pytest.approx(expected.value, rel=2e-9)


@pytest.mark.parametrize("helps", [True, False])
def test_solvers_that_are_stuck_begin_again_at_the_null_model(monkeypatch, helps):
    """No step from where the fit starts: from the null model, or the better of the two ends."""
    objective = make()
    start = objective.evaluate(solve(objective, "lbfgs").theta / 2)

    def search(objective, point, *args, **options):
        if point.theta is start.theta or not helps:
            return None, 0.0
        return line_search(objective, point, *args, **options)

    for module in (newton_module, lbfgs_module):
        monkeypatch.setattr(module, "line_search", search)
    monitor = Monitor(objective, tol=1e-8, max_iter=1000)
    result = minimise(objective, start, monitor, "newton-cholesky")
    if helps:
        assert result.status == "converged" and result.gap <= 1e-8 * result.value
        np.testing.assert_array_equal(monitor.history["iteration"], np.arange(result.n_iter + 1))
    else:
        assert result.status == "stalled" and result.n_iter == 1
        assert result.theta is start.theta


def heavy_tailed():
    """Integer columns with heavy tails, seven classes from 79 % down to 10 rows, few wrong."""
    rng = np.random.default_rng(1)
    data = np.round(rng.standard_t(1.5, (4000, 9)) * [6, 50, 4, 20, 15, 200, 12, 20, 10])
    labels, free = np.zeros(4000, dtype=np.int32), np.ones(4000, dtype=bool)
    for k, size in enumerate((600, 150, 40, 20, 10, 10), 1):
        score = np.where(free, data[:, k] + 0.3 * rng.standard_normal(4000), -np.inf)
        taken = np.argsort(-score)[:size]
        labels[taken], free[taken] = k, False
    wrong = np.flatnonzero(rng.random(4000) < 0.002)
    labels[wrong] = labels[rng.permutation(wrong)]
    return data, labels


@pytest.mark.compiled    # minutes without
def test_newton_far_from_the_optimum_of_nearly_separable_classes(monkeypatch):
    """Certified; at most a quarter of the Hessians is of steps that are not taken."""
    objective = make(*heavy_tailed(), n_classes=7)
    taken = counted_evaluations(monkeypatch)
    result = solve(objective, "newton-cholesky", tol=1e-6)
    assert result.solver == "newton-cholesky" and result.gap <= 1e-6 * result.value
    assert sum(taken) <= 1.25 * result.n_iter + 1


def test_saturated_rows_under_an_unpenalised_feature():
    """Their curvature is next to nothing beside the penalty of the other feature."""
    X = np.array([[-1, 0.5], [1, -0.3], [-1, 0.2], [1, 0.1]])
    y = np.array([0, 1, 0, 1])
    model = SoftmaxRegression(
        penalty_factor=[0.0, 1.0], solver="lbfgs", warm_start=True, tol=1e-6
    )
    with pytest.warns(SeparationWarning):
        model.fit(X, y)
    model.coef_, model.intercept_ = np.array([[715.0, 0.0]]), np.zeros(1)
    with pytest.warns(SeparationWarning):
        model.fit(X, y)
    assert model.predict(X).tolist() == y.tolist()
