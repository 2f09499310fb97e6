"""Batches whose rows are saturated by offsets: minimised, not left at a kink in silence."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression
from softmax_reg.streaming.batch import Batch

from .problems import problem


def saturated(n_classes, spread, seed):
    """X, labels (seed 1) or distributions, weights with zeros, offsets times the spread."""
    X, T, weight, offset = problem(n_classes, n=40, p=3, seed=seed)
    T = np.eye(n_classes)[T.argmax(axis=1)] if seed else T
    return X, T, weight, spread * offset


def minimum(X, T, weight, offset, C):
    """The least value that SciPy finds, by BFGS at falling temperatures t, and 1."""
    n_rows = 1 if T.shape[1] == 2 else T.shape[1]
    design = np.column_stack([X, np.ones(len(X))])

    def at(theta, t):
        theta = theta.reshape(n_rows, -1)
        logits = offset.copy()
        logits[:, -n_rows:] += design @ theta.T
        log_q = log_softmax(logits / t, axis=1)
        coef = np.column_stack([theta[:, :-1], np.zeros(n_rows)])
        value = -t * (weight[:, np.newaxis] * T * log_q).sum() + (coef**2).sum() / 2 / C
        residual = (weight[:, np.newaxis] * (np.exp(log_q) - T))[:, -n_rows:]
        return value / t, ((residual.T @ design + coef / C) / t).ravel()

    theta, values = np.zeros(n_rows * design.shape[1]), []
    for t in 4.0 ** np.arange(np.ceil(np.log(np.ptp(offset)) / np.log(4)), -1, -1):
        # In the variables theta / t.
        found = minimize(
            lambda v, t=t: (at(t * v, t)[0], t * at(t * v, t)[1]), theta / t, jac=True,
            method="L-BFGS-B", options={"maxiter": 300},
        )
        theta = t * found.x
        values.append(at(theta, 1.0)[0])
    return min(values)


@pytest.mark.parametrize("spread", [1e3, 1e7])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("C", [1e-2, 1e2])
def test_the_first_batch_is_near_its_optimum(C, n_classes, spread, form):
    """As near as L-BFGS of SciPy at falling temperatures, or nearer."""
    X, T, weight, offset = saturated(n_classes, spread, 1)
    model = SoftmaxRegression(C=C).partial_fit(X, T, None, weight, offset)
    logits = offset.copy()
    logits[:, -len(model.coef_):] += X @ model.coef_.T + model.intercept_
    value = -(weight[:, np.newaxis] * T * log_softmax(logits, axis=1)).sum()
    value += (model.coef_**2).sum() / 2 / C
    assert value <= minimum(X, T, weight, offset, C) * (1 + 1e-3)


@pytest.mark.parametrize("spread", [1e3, 1e7])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_later_batch_is_near_its_optimum(n_classes, spread, form, monkeypatch):
    """After an ordinary batch the excess is at most g' P^+ g / 2, with the past's curvature P."""
    found = []
    checked = Batch._checked

    def recorded(batch, point, excess=0.0):
        found.append((batch, point))
        return checked(batch, point, excess)

    monkeypatch.setattr(Batch, "_checked", recorded)
    X, T, weight, offset = saturated(n_classes, spread, 1)
    model = SoftmaxRegression().partial_fit(X, T, None, weight, offset / spread)
    model.partial_fit(X[::-1], T, None, weight, offset)
    batch, point = found[-1]
    product, shape = batch.past.posterior.operator(), point.theta.shape
    unit = np.eye(point.theta.size).reshape(-1, *shape)
    curvature = np.array([product(one).ravel() for one in unit])
    grad = point.grad.ravel()
    excess = grad @ np.linalg.pinv(curvature, rcond=1e-10, hermitian=True) @ grad / 2
    assert excess <= 1e-2 * point.value


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("late", [False, True])
def test_an_objective_at_a_temperature_is_that_of_scaled_logits(n_classes, late, form):
    """t f_t(theta / t) is the sum of t CE(z / t), and the same penalty around the past."""
    X, T, weight, offset = saturated(n_classes, 10.0, 0)
    first = T.copy()
    if late:
        first[:, -1] = 0
        first[:, 0] += 1e-3
        first /= first.sum(axis=1, keepdims=True)
    seen = []

    class Seen(Exception):
        """Ends the second call with its batch in `seen`."""

    def caught(batch):
        seen.append(batch)
        raise Seen

    model = SoftmaxRegression().partial_fit(X, first, None, weight, offset)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Seen):
        patch.setattr(Batch, "minimise_in_logits", caught)
        model.partial_fit(X, T, None, weight, offset)
    batch, t = seen[0], 7.0
    theta = batch.past.center + 0.3
    at = batch.at_temperature(t)
    point = at.objective.evaluate(theta / t)
    step = 1e-5 * np.random.default_rng(0).standard_normal(theta.shape)
    up, down = (at.objective.evaluate((theta + s * step) / t).value for s in (1, -1))
    assert t * (up - down) / 2 == pytest.approx((point.grad * step).sum(), rel=1e-5, abs=1e-9)
    past, _ = batch.past.value_grad(theta)
    logits = offset.copy()
    coordinates = batch.objective.coordinates
    logits[:, -len(theta):] += (X - coordinates.shift) @ theta[:, :-1].T + theta[:, -1]
    loss = -(weight[:, np.newaxis] * T * log_softmax(logits / t, axis=1)).sum() * t
    if batch.new_classes is not None:
        new = at.new_classes.of_logits(theta @ batch.new_classes.mean / t)[0]
        loss += t * new
    assert t * point.value == pytest.approx(loss + past, rel=1e-10)


def test_a_class_that_is_new_in_a_saturated_batch(form, monkeypatch):
    """The outliers that bring it do not push its intercept away; offsets give a warning."""
    rng = np.random.default_rng(1)
    means = rng.standard_normal((6, 20))
    X = rng.standard_normal((90, 20))
    y = (X @ means.T + rng.gumbel(size=(90, 6))).argmax(axis=1)
    y[:45] %= 5
    y[45] = 5
    model = SoftmaxRegression().partial_fit(X[:45], y[:45], np.arange(6))
    offset = rng.standard_normal((90, 6))
    other = SoftmaxRegression().partial_fit(X[:45], y[:45], np.arange(6), offset=offset[:45])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.partial_fit(X[45:] * 1e5, y[45:])
    assert np.abs(model.intercept_).max() < 100
    assert -model.predict_log_proba(X)[np.arange(90), y].mean() < 4
    if form == "factors":
        monkeypatch.setattr(Batch, "minimise_in_logits", lambda batch: None)    # rows are few
        with pytest.warns(ConvergenceWarning, match="failed to converge on this batch"):
            other.partial_fit(X[45:], y[45:], offset=1e6 * offset[45:])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_hessians_without_a_factor_are_no_overflow(n_classes):
    """Newton's method goes on at higher temperatures where offsets make a Hessian singular."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4)) * 1e3
    y = rng.integers(0, n_classes, 40)
    y[:n_classes] = range(n_classes)
    offset = rng.standard_normal((40, n_classes)) * 1e5
    model = SoftmaxRegression().partial_fit(X, y, np.arange(n_classes), offset=offset)
    T = np.eye(n_classes)[y]
    logits = offset.copy()
    logits[:, -len(model.coef_):] += X @ model.coef_.T + model.intercept_
    value = -(T * log_softmax(logits, axis=1)).sum() + (model.coef_**2).sum() / 2
    assert value <= minimum(X, T, np.ones(40), offset, 1.0) * (1 + 1e-3)
