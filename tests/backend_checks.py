"""What every backend has to agree with the NumPy reference on; for tests of each of them.

Arguments are a backend, X as it wraps it and as the reference does, and the rest of
`kernels.reference`.
"""

import numpy as np

from softmax_reg.kernels import reference

from .problems import EPS


def assert_close(actual, expected, scale, eps=EPS):
    """Equal to a few eps of the sum of absolute terms, `scale`."""
    assert actual.shape == np.shape(expected)
    assert np.max(np.abs(actual - expected), initial=0) <= 32 * eps * max(1, scale)


def check_value_grad(backend, rows, X, y, weight, shift, theta, arithmetic=np.float64):
    """Loss, gradient and errors are those of the formulas."""
    loss, grad, n_errors = backend.value_grad(rows, y, weight, shift, theta.astype(arithmetic))
    expected = reference.value_grad(X, y, weight, shift, theta)
    eps = np.finfo(arithmetic).eps
    logits = np.abs(X - shift).max() * np.abs(theta).sum()
    assert_close(np.asarray(loss), expected[0], logits, eps)
    assert_close(grad, expected[1], logits * np.abs(X - shift).max(), eps)
    assert n_errors == expected[2] and grad.dtype == np.float64


def check_hess_prod(backend, rows, X, weight, shift, theta):
    """Hessian times a direction."""
    direction = np.random.default_rng(2).standard_normal(theta.shape)
    actual = backend.hess_prod(rows, weight, shift, theta, direction)
    size = np.abs(X - shift).max() * X.shape[1]
    assert_close(actual, reference.hess_prod(X, weight, shift, theta, direction), size**3)


def check_curvature(backend, rows, X, weight, shift, theta, full, full_classes):
    """Class and feature factors, full or diagonal."""
    classes, moments = backend.curvature(rows, weight, shift, theta, full, full_classes)
    expected = reference.curvature(X, weight, shift, theta, full, full_classes)
    size = np.abs(X - shift).max() + np.abs(shift).max()
    assert_close(classes, expected[0], size * X.shape[1])
    assert_close(moments, expected[1], size**3 * X.shape[1])


def check_column_summary(backend, rows, X, weight):
    """Weighted column sums, and which columns are constant."""
    sums, ranges = backend.column_summary(rows, weight)
    assert_close(sums, weight @ X, np.abs(X).max())
    expected = reference.column_summary(X, weight)[1]
    np.testing.assert_array_equal(ranges.is_constant, expected.is_constant)
    constant = expected.is_constant
    np.testing.assert_array_equal(ranges.low[constant], expected.low[constant])
