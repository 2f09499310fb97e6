"""Solvers on functions with known answers, and the monitor's rules."""

import sys

import numpy as np
import pytest

from softmax_reg.problem.objective import Objective
from softmax_reg.problem.penalty import L2Penalty
from softmax_reg.rows.algebra import HOST_ALGEBRA
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.solvers import (
    HISTORY_DTYPE,
    SOLVERS,
    Monitor,
    choose_solver,
    minimise,
    solver_costs,
)
from softmax_reg.solvers import lbfgs as lbfgs_module
from softmax_reg.solvers.factor import newton_step
from softmax_reg.solvers.lbfgs import MEMORY, PairMemory
from softmax_reg.solvers.line_search import line_search
from softmax_reg.solvers.newton import conjugate_gradients
from softmax_reg.solvers.preconditioner import Preconditioner

from ..problems import EPS, objective_of, random_problem


def _pairs(rng, shape, hessian, n):
    pairs = []
    for _ in range(n):
        s = rng.standard_normal(shape)
        y = (hessian @ s.ravel()).reshape(shape)
        pairs.append((s, y, 1 / np.sum(s * y)))
    return pairs


def _random_hessian(rng, size):
    A = rng.standard_normal((size, size))
    return A @ A.T + np.eye(size)


def _direction(grad, pairs, dtype=np.float64):
    memory = PairMemory(HOST_ALGEBRA, grad.size, dtype)
    for s, y, _ in pairs:
        memory.append(s, y, (np.sum(s * s), np.sum(y * y)))
    return memory.direction(grad)


def test_direction_without_memory_is_steepest_descent():
    """No pairs, or none any more: the direction is -g."""
    grad = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(_direction(grad, []), -grad)
    memory = PairMemory(HOST_ALGEBRA, 6)
    memory.append(grad, 2 * grad, (np.sum(grad**2), 4 * np.sum(grad**2)))
    memory.clear()
    np.testing.assert_array_equal(memory.direction(grad), -grad)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_pairs", [1, 4, MEMORY + 3])
def test_direction_is_that_of_the_explicit_inverse_bfgs_matrix(n_pairs, dtype):
    """-H g with H from the BFGS recursion H = V' H V + rho s s' over the last MEMORY pairs."""
    rng = np.random.default_rng(0)
    pairs = _pairs(rng, (2, 30), _random_hessian(rng, 60), n_pairs)
    grad = rng.standard_normal((2, 30))
    actual = _direction(grad, pairs, dtype)
    pairs = pairs[-MEMORY:]
    s, y, _ = pairs[-1]
    H = np.sum(s * y) / np.sum(y * y) * np.eye(60)
    for s, y, rho in pairs:
        V = np.eye(60) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    expected = -(H @ grad.ravel()).reshape(2, 30)
    rtol = (1e6 if dtype is np.float64 else 1e3) * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-120, 1.0, 1e120])
def test_direction_meets_the_secant_equation(scale, dtype):
    """H y = s for the last pair, whatever its length."""
    rng = np.random.default_rng(1)
    pairs = _pairs(rng, (2, 3), _random_hessian(rng, 6), 5)
    pairs = [(scale * s, scale * y, rho) for s, y, rho in pairs]
    s, y, _ = pairs[-1]
    rtol = 100 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(_direction(-y, pairs, dtype), s, rtol=rtol, atol=rtol * scale)


def test_newton_step_solves_badly_scaled_systems():
    """H d = -g to relative eps in the scaled norm, columns from 1e-12 to 1e12."""
    rng = np.random.default_rng(0)
    scale = np.logspace(-12, 12, 8)
    hessian = _random_hessian(rng, 8) * scale * scale[:, np.newaxis]
    truth = rng.standard_normal(8) / scale
    step = newton_step(hessian, -(hessian @ truth).reshape(2, 4))
    np.testing.assert_allclose(step.ravel() * scale, truth * scale, rtol=1e-10)


def test_newton_step_of_a_singular_or_broken_hessian():
    """Rank one: still a descent direction; NaN, or a step that overflows: None."""
    u = np.arange(1.0, 5.0)
    grad = u.reshape(1, 4)
    step = newton_step(np.outer(u, u), grad)
    assert np.sum(step * grad) < 0
    assert newton_step(np.full((4, 4), np.nan), grad) is None
    with np.errstate(over="ignore", invalid="ignore"):
        assert newton_step(np.diag([1e-300, 1.0]), np.array([[1e300, 1.0]])) is None


def test_conjugate_gradients_solve_in_as_many_steps_as_eigenvalues():
    """H x = -g, and the asked-for residual reduction is met."""
    rng = np.random.default_rng(0)
    hessian = _random_hessian(rng, 6)
    grad = rng.standard_normal((2, 3))

    def product(v):
        return (hessian @ v.ravel()).reshape(v.shape)

    x = conjugate_gradients(product, grad, 1e-12)
    np.testing.assert_allclose(product(x), -grad, atol=1e-10)
    loose = conjugate_gradients(product, grad, 0.3)
    assert np.linalg.norm(product(loose) + grad) <= 0.3 * np.linalg.norm(grad)
    np.testing.assert_array_equal(conjugate_gradients(lambda v: 0 * v, grad, 0.1), -grad)


def make(n_rows=3, l2=0.01, n_samples=200, seed=0, fit_intercept=True):
    X, y, weight, _ = random_problem(n_samples, 4, n_rows, seed)
    return objective_of(
        X * np.logspace(-2, 3, 4), y, weight, n_classes=max(n_rows, 2), binary=n_rows == 1,
        penalty=L2Penalty(l2), fit_intercept=fit_intercept,
    )


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_solvers_end_at_a_certified_stationary_point(n_rows, fit_intercept, solver):
    """gap <= tol f; gradient 0; predicted class totals equal observed ones."""
    objective = make(n_rows, fit_intercept=fit_intercept)
    monitor = Monitor(objective, tol=1e-10, max_iter=500)
    result = minimise(objective, None, monitor, solver)
    assert result.status == "converged"
    assert result.solver == solver
    assert 0 <= result.gap <= 1e-10 * result.value
    point = objective.evaluate(result.theta)
    assert np.abs(point.loss_grad[:, -1]).max() <= 1e-5
    assert (result.theta[:, -1] == 0).all() or fit_intercept


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_history_tells_every_iteration(solver):
    """iteration 0..n_iter, seconds and objective monotone, last row is the result."""
    objective = make()
    monitor = Monitor(objective, tol=1e-8, max_iter=500)
    result = minimise(objective, None, monitor, solver)
    history = monitor.history
    assert history.dtype == HISTORY_DTYPE
    np.testing.assert_array_equal(history["iteration"], np.arange(result.n_iter + 1))
    assert np.all(np.diff(history["seconds"]) >= 0)
    assert np.all(np.diff(history["objective"]) <= 8 * EPS)
    assert history["objective"][0] == objective.null_point.value
    assert history["objective"][-1] == result.value
    assert history["gap"][-1] == result.gap


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_max_iter_counts_iterations(solver):
    """max_iter=k stops after k iterations, at the k-th iterate of a longer run."""
    values = {}
    for max_iter in (0, 1, 3, 100):
        objective = make()
        monitor = Monitor(objective, tol=1e-8, max_iter=max_iter)
        result = minimise(objective, None, monitor, solver)
        assert result.n_iter <= max_iter
        values[max_iter] = monitor.history["objective"]
        if max_iter < 4:
            assert result.status == "max_iter" and result.n_iter == max_iter
    for max_iter in (0, 1, 3):
        np.testing.assert_array_equal(values[max_iter], values[100][: max_iter + 1])


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_callback_stops_the_fit(solver):
    """end() returning true ends it there, as "stopped"."""

    class StopAtTwo:
        n = 0

        def begin(self, theta, record):
            assert theta.shape == (3, 5) and record[0] == self.n

        def end(self, theta, record):
            self.n += 1
            assert record[0] == self.n
            return self.n == 2

    objective = make()
    monitor = Monitor(objective, tol=1e-12, max_iter=100, callbacks=StopAtTwo())
    result = minimise(objective, None, monitor, solver)
    assert result.status == "stopped" and result.n_iter == 2


def test_newton_that_cannot_factorise_falls_back(monkeypatch):
    """No Newton step: L-BFGS goes on from there, iterations counted together."""
    from softmax_reg.solvers import newton

    objective = make()
    monkeypatch.setattr(newton, "factorisations", lambda hessian: iter(()))
    result = minimise(objective, None, Monitor(objective, tol=1e-8, max_iter=500),
                      "newton-cholesky")
    assert result.solver == "lbfgs" and result.status == "converged"


def test_cost_model():
    """Few parameters get exact Newton, many L-BFGS; more Newton without a penalty."""

    class Shape:
        rates = MemoryRows.rates

        def __init__(self, n_samples, n_features, n_rows, C=1.0):
            self.n_samples, self.n_features, self.n_rows = n_samples, n_features, n_rows
            self.n_entries = n_samples * n_features
            self.penalty = L2Penalty(1 / C / n_samples)
            self.is_penalised = C < np.inf
            self.has_full_covariance = n_features <= 2000
            self.is_sparse, self.evaluation_flops = False, 4.0 * self.n_entries * n_rows

    assert choose_solver(Shape(150, 4, 3)) == "newton-cholesky"
    assert choose_solver(Shape(100_000, 30, 1)) == "newton-cholesky"
    assert choose_solver(Shape(100_000, 30, 7)) == "lbfgs"
    assert choose_solver(Shape(100_000, 30, 7, C=np.inf)) == "newton-cholesky"
    assert choose_solver(Shape(50_000, 384, 58)) == "lbfgs"
    assert choose_solver(Shape(300, 20_000, 5)) == "lbfgs"
    assert "newton-cholesky" not in solver_costs(Shape(300, 20_000, 5))


@pytest.mark.parametrize("flips", [False, True])
def test_pairs_without_curvature_are_not_kept(monkeypatch, flips):
    """s'y > 0 up to rounding, or the pair would turn the direction uphill."""
    kept = []

    def search(objective, point, *rest, **options):
        new, step = line_search(objective, point, *rest, **options)
        return new._replace(grad=2 * point.grad - new.grad) if flips else new, step

    monkeypatch.setattr(lbfgs_module, "line_search", search)
    monkeypatch.setattr(PairMemory, "append", lambda self, s, y, _: kept.append(np.sum(s * y)))
    objective = make()
    minimise(objective, None, Monitor(objective, tol=1e-8, max_iter=1), "lbfgs")
    assert len(kept) == (0 if flips else 1) and all(product > 0 for product in kept)


def test_a_tolerance_of_zero_is_that_of_rounding():
    """Without a penalty the decrement ends the fit, and it has a rounding floor."""
    objective = make(l2=0.0)
    monitor = Monitor(objective, tol=0.0, max_iter=100)
    point = objective.null_point
    step = np.zeros(objective.shape)
    monitor.newton_decrement(point, 5 * EPS * point.value, step)
    assert monitor.status is None
    monitor.newton_decrement(point, 3 * EPS * point.value, step)
    assert monitor.status == "converged"


@pytest.mark.parametrize("max_iter", [3, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_problems_start_in_float32_and_end_in_float64(dtype, max_iter, monkeypatch):
    """Most evaluations are single, the reported value and gap are float64's."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((500, 100)) + 2).astype(dtype)
    y = (X[:, :8] + rng.standard_normal((500, 8))).argmax(axis=1).astype(np.int32)
    objective = objective_of(X, y, np.ones(500), n_classes=8, binary=False,
                             penalty=L2Penalty(1e-3), fit_intercept=True)
    monkeypatch.setattr(lbfgs_module, "SINGLE_FLOPS", objective.evaluation_flops)
    precisions = []
    evaluate = Objective.evaluate

    def recorded(self, theta, with_hessian=False, dtype=np.float64):
        precisions.append(dtype == np.float32)
        return evaluate(self, theta, with_hessian, dtype)

    monkeypatch.setattr(Objective, "evaluate", recorded)
    monitor = Monitor(objective, tol=1e-6, max_iter=max_iter)
    result = minimise(objective, None, monitor, "lbfgs")
    assert result.status == ("max_iter" if max_iter == 3 else "converged")
    assert sum(precisions) > len(precisions) / 3 and not precisions[-1]
    point = objective.evaluate(result.theta)
    assert (point.value, objective.gap(point)) == (result.value, result.gap)


def test_columns_that_float32_cannot_hold_are_not_drafted(monkeypatch):
    """Deviations of 1e-12: float64 throughout, and certified all the same."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 10)) * 10.0 ** np.arange(-12, 8, 2)
    y = (X[:, 5:] / X[:, 5:].std(axis=0)).argmax(axis=1).astype(np.int32)
    objective = objective_of(X, y, np.ones(500), n_classes=5, binary=False,
                             penalty=L2Penalty(1e-3), fit_intercept=True)
    monkeypatch.setattr(lbfgs_module, "SINGLE_FLOPS", 0)
    preconditioner = Preconditioner(objective, objective.null_point, left=1.0)
    assert not lbfgs_module._single_serves(objective, *preconditioner.deviations)
    result = minimise(objective, None, Monitor(objective, tol=1e-6, max_iter=1000), "lbfgs")
    assert result.gap <= 1e-6 * result.value


@pytest.mark.parametrize("gap, status", [(0.5e-3, "converged"), (0.5, "uncertified")])
def test_the_rounding_floor_is_settled_by_the_last_solver(monkeypatch, gap, status):
    """Without the certificate the next solver may try; a gap that proves little is named."""
    objective = make()
    point = objective.null_point
    monkeypatch.setattr(Objective, "gap", lambda self, point: gap * point.value)
    monitor = Monitor(objective, tol=1e-6, max_iter=10)
    monitor.next_solver(3, is_last=False)
    assert monitor.wants_more(point)
    assert not monitor.stalled(point, 1e-9 * point.value) and monitor.status is None
    monitor.next_solver(3, is_last=True)
    assert monitor.stalled(point, 1e-9 * point.value) and monitor.status == status
    other = Monitor(objective, tol=1e-6, max_iter=10)
    other.next_solver(3, is_last=True)
    assert other.wants_more(point)
    assert not other.stalled(point, 1e-3 * point.value)    # Newton's decrement disagrees
    other.settle(point)
    assert other.status is None


def test_curvature_where_all_is_certain():
    """No row has any: finite factors."""
    objective = make()
    theta = np.zeros(objective.shape)
    theta[0, -1] = 1e6
    for part in objective.curvature(theta):
        assert np.isfinite(part).all()


def test_one_polishing_step_at_the_tolerance(monkeypatch):
    """Granted once."""
    objective = make()
    null = objective.null_point
    point = null._replace(value=null.value / 2)
    monkeypatch.setattr(Objective, "gap", lambda self, point: 1e-8 * point.value)
    monitor = Monitor(objective, tol=1e-6, max_iter=10)
    assert monitor.wants_more(point, polish=True)
    assert not monitor.wants_more(point, polish=True) and monitor.status == "converged"


def test_too_many_parameters_for_exact_newton(monkeypatch):
    """The next solver takes over before a Hessian is formed."""
    objective = make()
    module = sys.modules["softmax_reg.solvers.minimise"]
    monkeypatch.setattr(module, "MAX_NEWTON_SIZE", objective.null_point.theta.size - 1)
    monitor = Monitor(objective, tol=1e-6, max_iter=100)
    result = minimise(objective, None, monitor, "newton-cholesky")
    assert result.solver == "lbfgs" and result.status == "converged"


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_nothing_drives_a_shift_common_to_all_classes(solver):
    """Derivatives near the optimum sum to zero over the classes to their own last digit."""
    objective = make(5)
    result = minimise(objective, None, Monitor(objective, tol=1e-12, max_iter=500), solver)
    point = objective.evaluate(result.theta)
    direction = np.random.default_rng(0).standard_normal(objective.shape)
    direction -= direction.mean(axis=0)
    for change in (point.loss_grad, objective.hess_prod(point.theta, direction)):
        sums = np.abs(change.sum(axis=0))
        assert (sums <= 8 * EPS * np.abs(change).max(axis=0)).all()
    assert np.abs(result.theta[:, -1].mean()) < 1e-9 * np.abs(result.theta[:, -1]).max()
