"""The duality gap is a true bound, at the optimum, near it and far from it."""

import numpy as np
import pytest
from scipy.special import entr

from softmax_reg.problem.certificate import duality_gap
from softmax_reg.problem.penalty import L2Penalty
from softmax_reg.rows.reference import ReferenceRows

from ..problems import (
    EPS,
    long_double_objective,
    long_double_optimum,
    objective_of,
    random_problem,
)


def make(n_rows, fit_intercept=True, l2=0.02, n_samples=60, **options):
    X, y, weight, theta = random_problem(n_samples, 4, n_rows, **options)
    objective = objective_of(
        X, y, weight, kind=ReferenceRows, n_classes=max(n_rows, 2), binary=n_rows == 1,
        penalty=L2Penalty(l2), fit_intercept=fit_intercept,
    )
    if not fit_intercept:
        theta[:, -1] = 0
    return objective, X, y, weight, theta


def dual_value(X, y, weight, proba, l2):
    """sum_i s_i H(q_i) - ||G||^2 / (2 l2) of feasible probabilities, in long double."""
    proba, X = proba.astype(np.longdouble), X.astype(np.longdouble)
    onehot = np.eye(proba.shape[1])[y]
    G = (weight[:, np.newaxis] * (proba - onehot)).T @ X
    if proba.shape[1] == 2:
        G = G[1:]
    entropy = -(proba * np.log(np.maximum(proba, 1e-300))).sum(axis=1)
    return weight @ entropy - (G**2).sum() / (2 * l2)


@pytest.mark.parametrize("n_rows", [1, 3, 5])
@pytest.mark.parametrize("scale", [0, 1e-6, 0.1, 1, 10])
def test_gap_is_the_gap_of_an_explicit_dual_point(n_rows, scale):
    """gap = P - D' with D' <= D of the repaired probabilities, built row by row."""
    l2 = 0.02
    objective, X, y, weight, theta = make(n_rows, l2=l2)
    theta = theta * scale
    point = objective.evaluate(theta)
    gap = duality_gap(
        objective.penalty, theta, point.loss, point.loss_grad, objective._class_sums,
        objective._row_mean, True,
    )
    assert objective.gap(point) == min(gap, point.value)    # no objective is negative
    coef, intercept = theta[:, :-1], theta[:, -1] - theta[:, :-1] @ objective.coordinates.shift
    primal, _ = long_double_objective(X, y, weight, coef, intercept, l2)
    logits = X @ coef.T + intercept
    if n_rows == 1:
        logits = np.column_stack([np.zeros(len(y)), logits])
    proba = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.longdouble)
    proba /= proba.sum(axis=1, keepdims=True)
    q, c = weight @ proba, np.bincount(y, weights=weight)
    t = max(0, np.max(1 - c / q))
    r = (c - (1 - t) * q) / t if t > 0 else c
    assert np.all(r >= -1e-15)
    repaired = (1 - t) * proba + t * r
    np.testing.assert_allclose((weight @ repaired).astype(float), c, atol=8 * EPS)
    # Concavity was used once, so the certificate's dual value is at most the exact one.
    exact = primal - dual_value(X, y, weight, repaired, l2)
    assert gap >= exact - 64 * EPS * primal
    mixed_entropy = (1 - t) * (weight @ entr(proba.astype(float)).sum(axis=1)) + t * entr(
        np.maximum(r, 0).astype(float)
    ).sum()
    G = (weight[:, np.newaxis] * (repaired - np.eye(len(c))[y])).T @ X
    G = G[1:] if n_rows == 1 else G
    by_formula = primal - (mixed_entropy - (G**2).sum() / (2 * l2))
    assert gap == pytest.approx(float(by_formula), rel=1e-12, abs=64 * EPS * float(primal))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_gap_bounds_the_suboptimality(n_rows, fit_intercept):
    """gap >= f - f* at random points, with f* from the best of many Newton steps."""
    from softmax_reg.solvers import Monitor, minimise

    objective, *_, theta = make(n_rows, fit_intercept)
    best = minimise(objective, None, Monitor(objective, tol=0, max_iter=100), "newton-cholesky")
    rng = np.random.default_rng(0)
    for distance in np.logspace(-9, 1, 11):
        change = distance * rng.standard_normal(theta.shape)
        if not fit_intercept:
            change[:, -1] = 0
        point = objective.evaluate(best.theta + change)
        assert objective.gap(point) >= point.value - best.value - 8 * EPS * point.value
    assert best.gap <= 1e-14 * best.value


def test_gap_against_long_double_optimum():
    """f - f* <= gap <= 1e-13 f at the solver's floor, f* in long double."""
    from softmax_reg.solvers import Monitor, minimise

    objective, X, y, weight, _ = make(3)
    best = minimise(objective, None, Monitor(objective, tol=0, max_iter=100), "newton-cholesky")
    optimum, reference_gap = long_double_optimum(X, y, weight, 3, 0.02)
    assert reference_gap <= 1e-15
    assert best.value - optimum <= best.gap + 8 * EPS * optimum


def test_intercept_off_by_a_little_cannot_make_the_gap_negative():
    """The repair: a residual of 4e-10 once gave -7e-9 without it."""
    from softmax_reg.solvers import Monitor, minimise

    objective, *_ = make(3)
    best = minimise(objective, None, Monitor(objective, tol=0, max_iter=100), "newton-cholesky")
    for size in (1e-12, 1e-9, 1e-6, 1e-3):
        for k in range(3):
            theta = best.theta.copy()
            theta[k, -1] += size
            point = objective.evaluate(theta)
            assert objective.gap(point) >= point.value - best.value - 4 * EPS


def test_without_a_penalty_there_is_no_certificate():
    """l2 = 0: the gap is inf; without an intercept it is the penalty's share alone."""
    objective, *_, theta = make(3, l2=0.0)
    assert objective.gap(objective.evaluate(theta)) == np.inf
    objective, *_, theta = make(3, fit_intercept=False, l2=0.5)
    point = objective.evaluate(theta)
    expected = np.sum((point.loss_grad + 0.5 * theta)[:, :-1] ** 2) / (2 * 0.5)
    gap = duality_gap(
        objective.penalty, theta, point.loss, point.loss_grad, objective._class_sums,
        objective._row_mean, False,
    )
    assert gap == pytest.approx(expected, rel=16 * EPS)
    assert objective.gap(point) == min(gap, point.value)


def test_penalty_terms():
    """value, grad by the stencil's limit, and <G, W> + h + h* from its definition."""
    rng = np.random.default_rng(0)
    W, G, l2 = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), 0.7
    penalty = L2Penalty(l2)
    assert penalty.value(W) == pytest.approx(l2 / 2 * np.linalg.norm(W) ** 2, rel=8 * EPS)
    np.testing.assert_allclose(penalty.grad(W), l2 * W, rtol=EPS)
    conjugate = np.linalg.norm(G) ** 2 / (2 * l2)
    expected = np.sum(G * W) + penalty.value(W) + conjugate
    assert penalty.fenchel_gap(W, G) == pytest.approx(expected, rel=1e-13)
    assert penalty.fenchel_gap(W, -l2 * W) == 0


def test_degenerate_frequencies():
    """Every class predicted with its own frequency needs no repair at all."""
    frequencies = np.array([[0.2], [0.3], [0.5]])
    gap = duality_gap(
        L2Penalty(1.0), np.array([[1.0], [2.0], [-3.0]]), 0.4, np.zeros((3, 1)),
        frequencies, np.zeros(0), True,
    )
    assert gap == 0.0


def test_rounding_shared_by_all_classes_is_no_excess():
    """An excess of one ulp in every class used to divide zero by zero."""
    frequencies = np.full((4, 1), 0.25)
    theta = np.array([[1.0], [2.0], [-1.0], [-2.0]])
    gap = duality_gap(
        L2Penalty(1.0), theta, 0.4, np.full((4, 1), 2.0**-54), frequencies, np.zeros(0), True
    )
    assert gap == 0.0
