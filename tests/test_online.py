"""The parts of the quadratic function that `partial_fit` keeps of the past."""

import numpy as np
import pytest

from softmax_reg import _online
from softmax_reg._batch import NewClasses
from softmax_reg._online import Stream
from softmax_reg.kernels import reference


def test_the_loss_of_new_classes_has_these_derivatives():
    """Gradient and Hessian against central differences; no change under a common shift."""
    rng = np.random.default_rng(0)
    past = Stream.start(3, 5, C=1.0, fit_intercept=True)
    past = past._replace(mean=rng.standard_normal(3), weight_seen=7.0)
    theta = rng.standard_normal((5, 4))
    is_new = np.array([False, True, False, True, False])
    new = NewClasses.after(past, theta, is_new)
    logits = theta @ np.append(past.mean, 1.0)
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
        monkeypatch.setattr(_online, "MAX_DENSE_SIZE", 0)
    rng = np.random.default_rng(1)
    stream = Stream.start(3, 4, C=0.5, fit_intercept=fit_intercept)
    theta, change = rng.standard_normal((2, 4, 4))
    if not fit_intercept:
        theta[:, -1] = change[:, -1] = 0
    row = rng.standard_normal((1, 3)), np.ones(1), np.zeros(3), theta
    expected = reference.hess_prod(*row, change)
    if not fit_intercept:
        expected[:, -1] = 0
    expected[:, :-1] += change[:, :-1] / 0.5
    if form == "factors":
        precision = stream.precision.plus(*reference.curvature(*row, True))
    else:
        hessian = reference.value_grad_hessian(row[0], np.zeros(1, dtype=int), *row[1:])[3]
        precision = stream.precision._replace(matrix=stream.precision.matrix + hessian)
    product = precision.operator()(change)
    if not fit_intercept:
        product[:, -1] = 0
    np.testing.assert_allclose(product, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        precision.scaled(0.25).operator()(change)[:, :-1],
        0.25 * product[:, :-1] + 0.75 * change[:, :-1] / 0.5, rtol=1e-12,
    )
