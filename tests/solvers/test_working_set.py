"""Proximal Newton: the working set, when it computes a Hessian, and reuse along a path."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from softmax_reg.problem.penalty import penalty_of
from softmax_reg.solvers import Monitor, choose_solver, minimise
from softmax_reg.solvers import proximal as proximal_module
from softmax_reg.solvers.costs import largest_working_set
from softmax_reg.solvers.factor import fill_null_space
from softmax_reg.solvers.working_set import WorkingSet

from ..problems import EPS
from .test_preconditioner import hessians_taken, make

# The package's name of the module is the function's.
FUNCTIONS = sys.modules["softmax_reg.solvers.minimise"]._FUNCTIONS


def sparse_path(objective, strengths, l1_ratio, keeps=True):
    """Results of proximal Newton for each strength, each from the last."""
    results, point, carry = [], None, None
    for strength in strengths:
        objective = objective.with_penalty(penalty_of(strength, l1_ratio=l1_ratio))
        point = None if point is None else objective.evaluate(point.theta)
        monitor = Monitor(objective, tol=1e-9, max_iter=100)
        result = minimise(objective, point, monitor, "proximal-newton", carry)
        assert result.status == "converged" and result.solver == "proximal-newton"
        results.append(result)
        point, carry = result, result.carry if keeps else None
    return results


@pytest.mark.compiled
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_a_sparse_path_keeps_its_hessian(monkeypatch, l1_ratio):
    """Fewer Hessians than without, the same optima within the certificates."""
    monkeypatch.setattr(proximal_module, "steps_per_hessian", lambda objective, size: 20.0)
    strengths = np.geomspace(0.1, 0.01, 12)
    some, kept = hessians_taken(
        monkeypatch, lambda: sparse_path(make(l2=1.0), strengths, l1_ratio)
    )
    monkeypatch.setattr(proximal_module, "steps_per_hessian", lambda objective, size: 0.0)
    more, fresh = hessians_taken(
        monkeypatch, lambda: sparse_path(make(l2=1.0), strengths, l1_ratio, keeps=False)
    )
    assert len(strengths) <= more and some < more / 2
    for one, other in zip(kept, fresh, strict=True):
        rounding = 8 * EPS * other.value
        assert abs(one.value - other.value) <= max(one.gap, other.gap) + rounding


def test_the_hessian_of_a_sparse_fit_takes_the_next_penalty():
    """Elastic net: its diagonal follows; one of a far penalty is not taken over."""
    objective = make(l2=1.0)
    (result,) = sparse_path(objective, [0.02], 0.5)
    before = result.carry
    old = before.hessian.copy()
    objective = objective.with_penalty(penalty_of(0.015, l1_ratio=0.5))
    members, held = proximal_module._inherited(objective, replace(before))
    assert members is before.members
    working = WorkingSet(objective, by_feature=False, members=members)
    working.add_curvature(held.hessian, objective.penalty.curvature - held.penalty.curvature)
    is_intercept = working.threshold == 0
    assert np.count_nonzero(is_intercept) == objective.n_rows
    expected = objective.penalty.curvature - before.penalty.curvature
    np.testing.assert_allclose(
        held.hessian - old, np.diag(np.where(is_intercept, 0.0, expected)), rtol=1e-9, atol=0
    )
    far = objective.with_penalty(penalty_of(0.002, l1_ratio=0.5))
    members, held = proximal_module._inherited(far, before)
    assert members is None and held.hessian is None
    assert before.hessian is None    # used up


@pytest.mark.parametrize("by_feature", [False, True])
def test_a_path_lets_in_what_is_close(by_feature):
    """Within a quarter of the threshold, and only where something else has to enter."""
    objective = make(n_features=8)
    sizes = np.abs(objective.null_point.grad[:, :-1])
    if by_feature:
        sizes = sizes.max(axis=0, keepdims=True)
    largest = np.sort(sizes.ravel())[::-1]
    threshold = np.sqrt(largest[0] * largest[1])
    objective = objective.with_penalty(penalty_of(threshold, l1_ratio=1.0))
    alone = WorkingSet(objective, by_feature=by_feature)
    assert alone.update(objective.null_point)
    np.testing.assert_array_equal(alone.members, sizes == largest[0])
    on_path = WorkingSet(
        objective, by_feature=by_feature, members=np.zeros_like(sizes, dtype=bool)
    )
    assert on_path.update(objective.null_point)
    members = on_path.members
    np.testing.assert_array_equal(members, sizes > 0.75 * threshold)
    n_features = np.count_nonzero(members.any(axis=0))
    assert on_path.objective.n_features == n_features
    shape = (objective.n_rows, n_features + 1)
    assert on_path.shape == (shape if by_feature else (1, members.sum() + objective.n_rows))
    assert len(on_path.threshold) == on_path.shape[1] and on_path.threshold[-1] == 0
    assert not on_path.update(objective.null_point) and on_path.members is members


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("by_feature", [False, True])
def test_what_a_working_set_gathers(by_feature, fit_intercept):
    """Back and forth, and its Hessian is that part of the whole one."""
    penalty = penalty_of(0.1, l1_ratio=0.5, factor=np.array([1.0, 0, 2, 1, 1, 3]))
    whole = make(n_features=6, fit_intercept=fit_intercept).with_penalty(penalty)
    rng = np.random.default_rng(2)
    members = np.array([True, True, False, True, False, False])[np.newaxis]
    if not by_feature:
        members = members & (rng.random((whole.n_rows, 6)) < 0.6)
        members[:, 1] = True    # no penalty: in for all classes
    working = WorkingSet(whole, by_feature=by_feature, members=members)
    theta = rng.standard_normal(whole.shape)
    theta[:, :-1] *= members
    theta[:, -1] *= fit_intercept
    values = working.gather(theta)
    assert values.shape == working.shape
    np.testing.assert_array_equal(working.scatter(values), theta)
    index = np.flatnonzero(working.scatter(np.ones(working.shape)))
    expected = whole.evaluate(theta, with_hessian=True).hessian
    fill_null_space(expected, whole.free_shifts)
    actual = working.hessian(theta)
    size = np.abs(expected).max() * whole.n_samples
    np.testing.assert_allclose(actual, expected[np.ix_(index, index)], rtol=0, atol=EPS * size)


def test_cost_model_of_sparse_penalties(monkeypatch):
    """Proximal Newton, unless the unpenalised parameters alone are too many for it."""
    objective = make(200, 40).with_penalty(penalty_of(0.1, l1_ratio=1.0))
    assert choose_solver(objective) == "proximal-newton"
    most = largest_working_set(objective)
    assert objective.n_rows < most <= 8192
    # Evaluations cost more: proximal L-BFGS takes many.
    monkeypatch.setattr(objective.rows, "is_sparse", True)
    assert most < largest_working_set(objective) <= 8192
    penalty = penalty_of(0.1, l1_ratio=1.0, factor=np.append(np.zeros(39), 1.0))
    wide = make(2000, 40, 25).with_penalty(penalty)
    monkeypatch.setattr(wide.rows, "shape", (10_000_000, 40))
    assert choose_solver(wide) == "proximal-lbfgs"


def test_nothing_enters_while_steps_are_cut_short(monkeypatch):
    """The working set is looked at after whole steps only; the fit ends at the optimum."""
    objective = make().with_penalty(penalty_of(0.01, l1_ratio=1.0))
    expected = minimise(objective, None, Monitor(objective, tol=1e-9, max_iter=100))
    events = []
    search, update = proximal_module.search, WorkingSet.update

    def cut(objective, point, end, slope):
        whole = sum(event == "step" for event in events) != 1
        events.append("step")
        return search(objective, point, end if whole else (point.theta + end) / 2, slope)

    def looked(self, point):
        events.append("look")
        return update(self, point)

    monkeypatch.setattr(proximal_module, "search", cut)
    monkeypatch.setattr(WorkingSet, "update", looked)
    found = minimise(objective, None, Monitor(objective, tol=1e-9, max_iter=100))
    assert events[:6] == ["look", "step", "look", "step", "step", "look"]
    assert found.status == "converged"
    assert abs(found.value - expected.value) <= found.gap + expected.gap + 8 * EPS * found.value


def test_sets_that_are_too_large_come_back_to_newton(monkeypatch):
    """Where proximal L-BFGS has no digits left Newton's method goes on, whatever it costs."""
    objective = make().with_penalty(penalty_of(0.01, l1_ratio=1.0))
    monkeypatch.setattr(proximal_module, "largest_working_set", lambda objective: 5)
    lbfgs = FUNCTIONS["proximal-lbfgs"]
    left = []

    def gives_up(objective, point, monitor, carry):
        monitor.max_iter = 3
        point, _, carry = lbfgs(objective, point, monitor, carry)
        monitor.max_iter, monitor.status = 100, None
        left.append(monitor.n_iter)
        return point, False, carry

    monkeypatch.setitem(FUNCTIONS, "proximal-lbfgs", gives_up)
    result = minimise(objective, None, Monitor(objective, tol=1e-9, max_iter=100))
    assert left == [3] and result.n_iter > 3
    assert (result.solver, result.status) == ("proximal-newton", "converged")
