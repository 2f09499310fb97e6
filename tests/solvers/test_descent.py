"""Descent on quadratic models ends where the optimality conditions hold."""

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression, softmax_path
from softmax_reg.problem.blocks import Blocks
from softmax_reg.problem.penalty import SparsePenalty
from softmax_reg.rows.algebra import HOST_ALGEBRA
from softmax_reg.solvers.proximal_lbfgs import KroneckerModel, Metric
from softmax_reg.solvers.quadratic import DenseModel, minimise_model

from ..problems import EPS, objective_of, random_problem

EFFORT = {"sweeps": 5, "rounds": 300, "newton_steps": 50, "accuracy": 1e-24}
N_ROWS, WIDTH = 3, 5
# Columns that share a norm, the intercepts' own last: none, each by itself, in pairs.
BLOCKS = {
    "entries": None, "columns": Blocks.single(WIDTH), "pairs": Blocks(np.array([0, 2, 4]), WIDTH),
}


def _violation(model, start, x):
    """Largest distance of minus the slope from the subdifferential of the kinks at x."""
    slope = model.grad + model.times(x - start)
    if model.grouped:
        norms = model.blocks.norms
        excess = np.maximum(norms(slope) - model.threshold, 0)
        inside = norms(slope + model.threshold * model.blocks.unit(x))
        return np.where(norms(x) > 0, inside, excess).max()
    at_zero = np.maximum(np.abs(slope) - model.threshold, 0)
    return np.where(x != 0, np.abs(slope + model.threshold * np.sign(x)), at_zero).max()


def _dense_model(seed, blocks, condition=1e4):
    rng = np.random.default_rng(seed)
    size = N_ROWS * WIDTH
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    hessian = basis * np.logspace(0, -np.log10(condition), size) @ basis.T
    threshold = np.full(WIDTH, 0.3)
    threshold[-1] = 0.0
    grad = rng.standard_normal((N_ROWS, WIDTH))
    model = DenseModel(
        HOST_ALGEBRA, (hessian + hessian.T) / 2, grad, threshold, BLOCKS[blocks]
    )
    start = rng.standard_normal((N_ROWS, WIDTH))
    start[:, :2] = 0
    return model, start


def _kronecker_model(seed, blocks, n_features=WIDTH - 1, n_pairs=4):
    """A metric of a real objective, with pairs of exact Hessian products."""
    X, y, weight, theta = random_problem(40, n_features, N_ROWS, seed)
    objective = objective_of(
        X, y, weight, n_classes=N_ROWS, binary=False, fit_intercept=True,
        penalty=SparsePenalty(0.05, 0.01),
    )
    metric = Metric(objective, theta)
    rng = np.random.default_rng(seed)
    for _ in range(n_pairs):
        s = rng.standard_normal(theta.shape)
        metric.append(s, objective.hess_prod(theta, s))
    threshold = np.append(np.full(n_features, 0.05), 0.0)
    return KroneckerModel(metric, objective.evaluate(theta).grad, threshold, BLOCKS[blocks]), theta


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("seed", range(4))
def test_minimum_of_a_dense_model(seed, blocks):
    """Optimality to rounding, exact zeros, and the decrease that was told."""
    model, start = _dense_model(seed, blocks)
    minimum = minimise_model(model, start, **EFFORT)
    assert _violation(model, start, minimum.x) <= 1e-9
    assert minimum.slope < 0 < minimum.decrease
    change = minimum.x - start
    value = (model.grad * change).sum() + (change * model.times(change)).sum() / 2
    assert minimum.decrease == pytest.approx(
        -(value + model.kinks_gained(start, minimum.x)), rel=1e-9
    )


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("n_pairs", [0, 3, 12])
def test_minimum_of_a_kronecker_model(n_pairs, blocks):
    """The same with the limited-memory metric."""
    model, start = _kronecker_model(1, blocks, n_pairs=n_pairs)
    minimum = minimise_model(model, start, **(EFFORT | {"rounds": 2000}))
    assert _violation(model, start, minimum.x) <= 1e-7


def test_metric_is_the_bfgs_matrix():
    """B y = s backwards: B s = y of the last pair; symmetric; `times` is what descent uses."""
    model, start = _kronecker_model(2, "entries", n_pairs=5)
    metric = model._metric
    s, y, _ = metric._pairs[-1]
    np.testing.assert_allclose(model.times(s), y, atol=1e-9 * np.abs(y).max())
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, *start.shape))
    assert (u * model.times(v)).sum() == pytest.approx((v * model.times(u)).sum(), rel=1e-9)
    for _ in range(3):    # a pass lowers the model, whatever its start
        x = start.copy()
        model.descend(start, x, 1)
        change = x - start
        gained = (model.grad * change).sum() + (change * model.times(change)).sum() / 2
        assert gained + model.kinks_gained(start, x) < 0
        start = start + rng.standard_normal(start.shape)


@pytest.mark.parametrize("blocks", ["entries", "pairs"])
def test_metric_of_many_features_keeps_their_variances_only(monkeypatch, blocks):
    """A diagonal in the place of the second moments."""
    monkeypatch.setattr("softmax_reg.problem.objective.MAX_FULL_COVARIANCE", 3)
    model, start = _kronecker_model(3, blocks)
    assert model._metric.moments.shape == (1, WIDTH)
    minimum = minimise_model(model, start, **(EFFORT | {"rounds": 2000}))
    assert _violation(model, start, minimum.x) <= 1e-7


def test_groups_without_curvature_stay():
    """A feature that does not vary: no division by zero, no change."""
    model, start = _dense_model(0, "columns")
    hessian = model._hessian.copy()
    constant = np.arange(N_ROWS) * WIDTH + 1
    hessian[constant] = 0
    hessian[:, constant] = 0
    grad = model.grad.copy()
    grad[:, 1] = 0
    for blocks in ("entries", "columns"):
        still = DenseModel(HOST_ALGEBRA, hessian, grad, model.threshold, BLOCKS[blocks])
        x = start.copy()
        still.descend(start, x, 3)
        np.testing.assert_array_equal(x[:, 1], start[:, 1])
        assert np.all(np.isfinite(x))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("solver", ["proximal-newton", "proximal-lbfgs"])
def test_a_tiny_fit(monkeypatch, solver, grouped):
    """Both solvers, small enough to run interpreted: certified, with zeros; the path too."""
    monkeypatch.setattr(
        "softmax_reg.estimators.regression.choose_solver", lambda objective: solver
    )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    y = (X[:, :3] + rng.gumbel(size=(30, 3))).argmax(axis=1)
    C = 0.15 if grouped else 0.3
    model = SoftmaxRegression(C=C, l1_ratio=1.0, grouped=grouped, tol=1e-4).fit(X, y)
    assert model.solver_ == solver
    assert model.dual_gap_ <= 1e-4 * model.objective_
    assert 0 < np.count_nonzero(model.coef_) < model.coef_.size
    path = softmax_path(X, y, Cs=[C], grouped=grouped, tol=1e-4)
    assert path.objectives[0] == pytest.approx(model.objective_, rel=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_at_its_minimum_is_left_at_once(monkeypatch, seed):
    """Rounding is no reason to go on: accuracy is asked for of changes that count."""
    model, start = _dense_model(seed, "entries")
    x = minimise_model(model, start, **EFFORT).x
    model.grad = model.grad + model.times(x - start)    # the same model around its minimum
    passes = []
    descend = model.descend
    monkeypatch.setattr(model, "descend", lambda *args: passes.append(args[2]) or descend(*args))
    again = minimise_model(model, x, **EFFORT)
    assert len(passes) < EFFORT["rounds"] / 10
    np.testing.assert_array_equal(again.x != 0, x != 0)
    np.testing.assert_allclose(again.x, x, rtol=1e4 * 64 * EPS)    # the condition number
