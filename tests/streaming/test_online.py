"""The parts of the quadratic function that `partial_fit` keeps of the past."""

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows
from softmax_reg.solvers import factor as factor_module
from softmax_reg.streaming import posterior
from softmax_reg.streaming import stream as stream_module
from softmax_reg.streaming.batch import Batch
from softmax_reg.streaming.stream import Stream
from softmax_reg.streaming.terms import NewClasses, Past


def test_the_loss_of_new_classes_has_these_derivatives():
    """Gradient and Hessian against central differences; no change under a common shift."""
    rng = np.random.default_rng(0)
    past = Stream.start(3, 5, C=1.0, fit_intercept=True)
    past = past._replace(mean=rng.standard_normal(3), weight_seen=7.0)
    theta = rng.standard_normal((5, 4))
    is_new = np.array([False, True, False, True, False])
    offset = rng.standard_normal(5)
    new = NewClasses.after(past, theta, is_new, offset)
    logits = theta @ np.append(past.mean, 1.0) + offset
    # At theta_t the tangent touches: the loss that new classes add to rows of old ones.
    exact = np.logaddexp.reduce(logits) - np.logaddexp.reduce(logits[~is_new])
    assert new.value_grad(theta)[0] == pytest.approx(7 * exact, rel=1e-13)
    assert new.value_grad(theta + 3)[0] == pytest.approx(7 * exact, rel=1e-13)
    classes, mean = new.factors(theta)
    hessian, step = np.kron(classes, np.outer(mean, mean)), 1e-5
    for i in range(theta.size):
        change = step * np.eye(theta.size)[i].reshape(theta.shape)
        (up, grad_up), (down, grad_down) = map(new.value_grad, (theta + change, theta - change))
        assert (up - down) / (2 * step) == pytest.approx(
            new.value_grad(theta)[1].ravel()[i], abs=1e-8
        )
        np.testing.assert_allclose(
            ((grad_up - grad_down) / (2 * step)).ravel(), hessian[i], atol=1e-8
        )


@pytest.mark.parametrize("form", ["matrix", "factors"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_factors_of_one_row_are_the_hessian(fit_intercept, form, monkeypatch):
    """Of a single row nothing is lost: A (x) M / trace(A) + P_0 times a change."""
    if form == "factors":
        monkeypatch.setattr(stream_module, "MAX_DENSE_SIZE", 0)
    rng = np.random.default_rng(1)
    stream = Stream.start(3, 4, C=0.5, fit_intercept=fit_intercept)
    theta, change = rng.standard_normal((2, 4, 4))
    if not fit_intercept:
        theta[:, -1] = change[:, -1] = 0
    row = ReferenceRows(rng.standard_normal((1, 3)))
    data = Sample(np.zeros(1, dtype=int), np.ones(1)), np.zeros(3), theta
    expected = row.hess_prod(*data, change)
    if not fit_intercept:
        expected[:, -1] = 0
    expected[:, :-1] += change[:, :-1] / 0.5
    if form == "factors":
        posterior = stream.posterior.plus(*row.curvature(*data, True))
    else:
        hessian = row.value_grad_hessian(*data)[3]
        posterior = stream.posterior._replace(matrix=stream.posterior.matrix + hessian)
    product = posterior.operator()(change)
    if not fit_intercept:
        product[:, -1] = 0
    np.testing.assert_allclose(product, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        posterior.scaled(0.25).operator()(change)[:, :-1],
        0.25 * product[:, :-1] + 0.75 * change[:, :-1] / 0.5, rtol=1e-12,
    )


def batches(n_features, n_classes, n_batches, scale=1.0):
    """Rows and labels of batches of 10, all classes in the first; few then come late."""
    rng = np.random.default_rng(n_features + n_classes)
    for _ in range(n_batches):
        X = scale * rng.standard_normal((10, n_features)) + 1
        yield X, rng.permutation(np.arange(10) % n_classes)


@pytest.mark.parametrize("form", ["matrix", "factors"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty_factor", [None, [1, 0, 100, 0.01, 2, 1]])
def test_the_minimum_in_logits_is_that_in_theta(
    penalty_factor, fit_intercept, n_classes, form, monkeypatch
):
    """The gradient in theta vanishes there, also with classes that come late."""
    monkeypatch.setattr(stream_module, "MAX_DENSE_SIZE", 1000 if form == "matrix" else 0)
    for each in (posterior.DensePosterior, posterior.KroneckerPosterior):
        monkeypatch.setattr(each, "minimisation_flops", lambda self, rows: np.inf)
    minimise, n_found = Batch.minimise_in_logits, 0

    def checked(batch):
        nonlocal n_found
        point = minimise(batch)
        largest = np.abs(batch.objective.evaluate(batch.past.center).grad).max()
        assert np.abs(point.grad).max() <= 1e-5 * largest    # half its digits: a Newton step
        n_found += 1
        return point

    monkeypatch.setattr(Batch, "minimise_in_logits", checked)
    model = SoftmaxRegression(C=0.1, fit_intercept=fit_intercept, penalty_factor=penalty_factor)
    units = 10.0 ** np.array([-2, 1, 2, 0, -1, 0])
    for i, (X, y) in enumerate(batches(6, n_classes, 4, units)):
        model.partial_fit(X, np.minimum(y, 1) if i < 2 else y, range(n_classes))
    assert n_found == 4


def work_of_batches(monkeypatch, n_features, n_classes, n_batches=4):
    """[(passes over the rows, flops of Cholesky factors)] of batches of 10 rows."""
    work = []

    def counted(function, amount, which):
        def call(*args, **kwargs):
            work[-1][which] += amount(args[0])
            return function(*args, **kwargs)
        return call

    for name in ("value_grad", "value_grad_hessian", "hess_prod", "curvature"):
        counting = counted(getattr(MemoryRows, name), lambda rows: 1, 0)
        monkeypatch.setattr(MemoryRows, name, counting)
    factor = counted(factor_module.cholesky, lambda matrix: len(matrix) ** 3 / 3, 1)
    monkeypatch.setattr(factor_module, "cholesky", factor)
    model = SoftmaxRegression()
    for X, y in batches(n_features, n_classes, n_batches):
        work.append([0, 0.0])
        model.partial_fit(X, y, range(n_classes))
    return work


@pytest.mark.compiled
@pytest.mark.parametrize(
    "n_features, n_classes", [(64, 10), (65, 10), (200, 10), (405, 10), (420, 10)]
)
def test_a_batch_costs_a_few_passes_and_one_factorisation(n_features, n_classes, monkeypatch):
    """At most 6 passes over it, and flops of factors that do not rise from batch to batch."""
    work = np.array(work_of_batches(monkeypatch, n_features, n_classes))
    assert work[:, 0].max() <= 6
    size = n_classes * (n_features + 1)
    one = size**3 if size <= stream_module.MAX_DENSE_SIZE else n_classes * n_features**3
    assert work[:, 1].max() <= one / 3 * (1 + 1e-12)
    assert work[:, 1].max() <= 3e8    # of one matrix for 405 x 10: 2.2e10
    # Nothing else depends on the batches before.
    assert np.ptp(work[1:, 1]) <= 1e-12 * one


@pytest.mark.parametrize("n_classes", [2, 4])
def test_terms_are_part_of_the_objective(n_classes):
    """Gradient, Hessian and products of loss, past and new classes, by central differences."""
    rng = np.random.default_rng(n_classes)
    n_rows = 1 if n_classes == 2 else n_classes
    past = Stream.start(3, n_classes, C=0.5, fit_intercept=True)
    seen = np.arange(n_classes) < n_classes - 1
    past = past._replace(mean=rng.standard_normal(3), weight_seen=7.0, seen=seen)
    center, theta, direction = rng.standard_normal((3, n_rows, 4))
    new = NewClasses.after(past, center, ~seen, np.zeros(n_rows))
    X, y = rng.standard_normal((20, 3)), rng.integers(0, n_classes, 20)
    sample = Sample(y.astype(np.int32), rng.uniform(1, 2, 20))
    quadratic = Past(center, past.posterior, np.zeros(3, dtype=bool))
    objective = Batch.of(ReferenceRows(X), sample, np.zeros(3), True, quadratic, new).objective
    point, step = objective.evaluate(theta, with_hessian=True), 1e-5
    up, down = (objective.evaluate(theta + sign * step * direction) for sign in (1, -1))
    slope = np.einsum("kj,kj->", point.grad, direction)
    assert (up.value - down.value) / (2 * step) == pytest.approx(slope, rel=1e-7)
    product = objective.hess_prod(theta, direction)
    np.testing.assert_allclose((up.grad - down.grad) / (2 * step), product, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose((point.hessian @ direction.ravel()).reshape(theta.shape), product,
                               rtol=1e-10, atol=1e-10)
    assert np.isinf(objective.gap(point)) and not objective.is_penalised
