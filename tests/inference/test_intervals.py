"""Probabilities of other parameters, and intervals against derivatives by differences."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logit
from scipy.stats import norm

from softmax_reg.inference import contrasts

from .test_covariances import N, fitted, raw_problem
from .test_margins import proba_at, problem


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("with_offset", [False, True])
def test_intervals_are_those_of_differences(n_classes, fit_intercept, with_offset, monkeypatch):
    """Errors of log-odds from differences along roots of the covariance; in blocks."""
    X, y = problem(n_classes)
    offset = np.random.default_rng(1).standard_normal((N, n_classes)) if with_offset else None
    model = fitted(X, y, None, offset, fit_intercept=fit_intercept)
    result = model.inference(X, y, offset=offset, reference=0)
    monkeypatch.setattr(contrasts, "_BLOCK_SIZE", 1)    # blocks of 64 rows
    found = result.prediction_interval(X, 0.1, offset=offset)
    scale = result.bse.ravel()
    values, vectors = np.linalg.eigh(result.cov_params() / np.outer(scale, scale))
    root = (vectors * np.sqrt(values.clip(0)) * scale[:, None]).astype(np.longdouble)
    o = 0 if offset is None else offset

    def log_odds(direction, step):
        params = result.params + (step * direction).reshape(result.params.shape)
        q = proba_at(params, X, o, fit_intercept)
        others = q @ (1 - np.eye(n_classes, dtype=np.longdouble))    # 1 - q would cancel
        return np.log(q) - np.log(others)

    h = np.longdouble(3e-3)
    squares = sum(
        ((8 * (log_odds(d, h) - log_odds(d, -h)) - log_odds(d, 2 * h) + log_odds(d, -2 * h))
         / (12 * h)) ** 2
        for d in root.T
    )
    np.testing.assert_allclose(found.bse, np.sqrt(squares).astype(float), rtol=2e-6)
    np.testing.assert_allclose(
        found.log_odds, log_odds(root[:, 0], 0).astype(float), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(found.proba, model.predict_proba(X, offset=offset), rtol=1e-9)
    half = norm.isf(0.05) * found.bse
    for end, sign in ((found.lower, -1), (found.upper, 1)):
        assert (end > 0).all() and (end < 1).all()
        some = (end > 1e-6) & (end < 1 - 1e-6)
        expected = found.log_odds + sign * half
        np.testing.assert_allclose(logit(end[some]), expected[some], rtol=1e-7, atol=1e-7)


def test_two_classes_have_complementary_intervals():
    """K = 2: the interval of one class is one minus that of the other."""
    X, y = raw_problem(2)
    found = fitted(X, y).inference(X, y).prediction_interval(X)
    np.testing.assert_allclose(found.lower[:, 0], 1 - found.upper[:, 1], atol=1e-15)
    np.testing.assert_allclose(found.bse[:, 0], found.bse[:, 1])


def test_far_rows_have_intervals():
    """Probabilities that round to 0 and 1 keep finite log-odds and errors."""
    X, y = raw_problem(3)
    result = fitted(X, y).inference(X, y)
    far = X.mean(axis=0) + 1e4 * (X[:5] - X.mean(axis=0))
    found = result.prediction_interval(far)
    assert np.isfinite(found.log_odds).all() and np.isfinite(found.bse).all()
    assert (found.bse > 0).all()
    assert ((found.lower <= found.proba) & (found.proba <= found.upper)).all()
    # On a ray from the mean, log-odds and errors grow with the distance.
    further = result.prediction_interval(X.mean(axis=0) + 2e4 * (X[:5] - X.mean(axis=0)))
    np.testing.assert_allclose(further.bse, 2 * found.bse, rtol=1e-2)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_predictions_of_parameters(n_classes, fit_intercept):
    """The estimates in every coding, and other parameters; flat or not."""
    X, y = raw_problem(n_classes)
    model = fitted(X, y, fit_intercept=fit_intercept)
    moves = np.random.default_rng(0).standard_normal((n_classes - 1, 3 + fit_intercept))
    for reference in (None, *range(n_classes)):
        result = model.inference(X, y, reference=reference)
        for params in (None, result.params, result.params.ravel()):
            np.testing.assert_allclose(
                result.predict(params, X), model.predict_proba(X), rtol=1e-8
            )
    result = model.inference(X, y, reference=0)
    params = result.params + result.bse * moves
    expected = proba_at(params, X, 0, fit_intercept).astype(float)
    np.testing.assert_allclose(result.predict(params, X), expected, rtol=1e-8)
    np.testing.assert_allclose(result.predict(params, sparse.csr_array(X)), expected, rtol=1e-8)


def test_codings_have_the_same_intervals():
    """Against any class, and in the coding that sums to zero."""
    X, y = raw_problem(3)
    model = fitted(X, y)
    first, *others = (
        model.inference(X, y, reference=k).prediction_interval(X) for k in (None, 0, 2)
    )
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_refused_arguments():
    """Rows must be given, alpha a probability, and params of the shape of the estimates."""
    X, y = raw_problem(3)
    result = fitted(X, y).inference(X, y)
    with pytest.raises(ValueError, match="holds no data"):
        result.predict()
    with pytest.raises(ValueError, match=r"shape \(3, 4\) or flat, got shape \(2, 4\)"):
        result.predict(np.zeros((2, 4)), X)
    with pytest.raises(ValueError, match="alpha must be between"):
        result.prediction_interval(X, 95)
    with pytest.raises(ValueError, match="columns of the fit"):
        result.prediction_interval(X[:, :2])
