"""Checks of a kind of rows against the NumPy reference, for the tests of every kind.

`rows` are those under test, `reference` the same as `ReferenceRows`; the other arguments are
those of the passes of `Rows`.
"""

import numpy as np
from scipy.special import log_softmax

from softmax_reg.rows.base import Sample

from ..problems import EPS


def assert_close(actual, expected, scale, eps=EPS):
    """Equal to a few eps of the sum of absolute terms, `scale`."""
    assert actual.shape == np.shape(expected)
    assert np.max(np.abs(actual - expected), initial=0) <= 32 * eps * max(1, scale)


def check_value_grad(rows, reference, sample, shift, theta, arithmetic=np.float64):
    """Loss, gradient and errors are those of the formulas."""
    X = reference.X
    loss, grad, n_errors = rows.value_grad(sample, shift, theta.astype(arithmetic))
    expected = reference.value_grad(sample, shift, theta)
    eps = np.finfo(arithmetic).eps
    logits = np.abs(X - shift).max() * np.abs(theta).sum()
    assert_close(np.asarray(loss), expected[0], logits, eps)
    assert_close(grad, expected[1], logits * np.abs(X - shift).max(), eps)
    assert n_errors == expected[2] and grad.dtype == np.float64


def check_hess_prod(rows, reference, sample, shift, theta):
    """Hessian times a direction."""
    X = reference.X
    direction = np.random.default_rng(2).standard_normal(theta.shape)
    actual = rows.hess_prod(sample, shift, theta, direction)
    size = np.abs(X - shift).max() * X.shape[1]
    assert_close(actual, reference.hess_prod(sample, shift, theta, direction), size**3)


def check_curvature(rows, reference, sample, shift, theta, full, full_classes):
    """Class and feature factors, full or diagonal."""
    X = reference.X
    classes, moments = rows.curvature(sample, shift, theta, full, full_classes)
    expected = reference.curvature(sample, shift, theta, full, full_classes)
    size = np.abs(X - shift).max() + np.abs(shift).max()
    assert_close(classes, expected[0], size * X.shape[1])
    assert_close(moments, expected[1], size**3 * X.shape[1])


def check_column_summary(rows, reference, sample):
    """Weighted column sums, and which columns are constant."""
    sums, ranges = rows.column_summary(sample)
    assert_close(sums, sample.weight @ reference.X, np.abs(reference.X).max())
    expected = reference.column_summary(sample)[1]
    np.testing.assert_array_equal(ranges.is_constant, expected.is_constant)
    constant = expected.is_constant
    np.testing.assert_array_equal(ranges.low[constant], expected.low[constant])


def check_distributions(rows, reference, sample, shift, theta):
    """Sums of the rest, and the loss of predictions, of mixtures of rows and of labels."""
    X, n_classes = reference.X, max(2, len(theta))
    rng = np.random.default_rng(3)
    for n, name in ((len(X), "mixture"), (n_classes, "label_mixture")):
        mixture = rng.dirichlet(np.ones(n_classes), n)
        mixed = Sample(*sample.labels, **{name: mixture})
        shares = mixture if name == "mixture" else mixture[sample.target]
        rest = sample.weight[:, np.newaxis] * (np.eye(n_classes)[sample.target] - shares)
        scale = np.abs(X).max() + np.abs(shift).max()
        expected = np.column_stack([rest.T @ (X - shift), rest.sum(axis=0)])
        for kind in (rows, reference):
            assert_close(kind.rest_sums(mixed, shift), expected, scale)
        logits, _ = reference.predictions(theta, "logits")
        exact = -np.einsum("i,ik,ik", sample.weight, shares, log_softmax(logits, axis=1))
        told = rows.predicted_loss(mixed, theta)
        assert_close(np.asarray(told), exact, scale * np.abs(theta).sum())
