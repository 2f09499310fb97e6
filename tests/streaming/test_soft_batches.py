"""`partial_fit` with distributions, counts, smoothed labels and offsets."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression
from softmax_reg.streaming import posterior
from softmax_reg.streaming.batch import Batch
from softmax_reg.streaming.dual import LogitObjective

from .problems import parts, problem


def value(model, X, T, weight, offset, C):
    """The sum of the weighted losses and the penalty, by NumPy."""
    logits = np.zeros(T.shape) if offset is None else offset.copy()
    logits[:, -len(model.coef_):] += X @ model.coef_.T + model.intercept_
    loss = -(weight[:, np.newaxis] * T * log_softmax(logits, axis=1)).sum()
    return loss + (model.coef_**2).sum() / 2 / C


def laid_out(X, layout, request):
    """X as CSR or dense, for passes in NumPy or by kernels."""
    if layout == "kernels":
        request.getfixturevalue("by_kernels")
    return sparse.csr_array(X) if layout == "csr" else X


LAYOUTS = ["dense", *(pytest.param(name, marks=pytest.mark.compiled) for name in (
    "kernels", "csr"))]
TARGETS = ["labels", "soft", "counts", "smoothed labels", "smoothed counts"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_one_batch_is_a_fit(
    fit_intercept, n_classes, targets, with_offset, layout, form, request
):
    """Its objective, by NumPy, is that of a fit with the same arguments, and so are weights."""
    X, T, weight, offset = problem(n_classes)
    offset = offset if with_offset else None
    y = T
    if "counts" in targets:
        y = T = np.round(7 * T)
    elif "labels" in targets:
        y = T.argmax(axis=1)
        T = np.eye(n_classes)[y]
    params = {"C": 2.0, "fit_intercept": fit_intercept}
    if "smoothed" in targets:
        factors = np.array([2.0, 0.5, 1.0])[:n_classes]
        T = (0.8 * T + 0.2 / n_classes * T.sum(axis=1, keepdims=True)) * factors
        params |= {"label_smoothing": 0.2, "class_weight": dict(enumerate(factors))}
    data = laid_out(X, layout, request)
    fitted = SoftmaxRegression(tol=0, **params).fit(data, y, weight, offset=offset)
    model = SoftmaxRegression(**params)
    model.partial_fit(data, y, range(n_classes), sample_weight=weight, offset=offset)
    best, found = (value(m, X, T, weight, offset, 2.0) for m in (fitted, model))
    enough = 1e-12 if form == "matrix" else 1e-4
    assert -1e-12 * best <= found - best <= enough * best
    assert model.weight_seen_ == pytest.approx((weight @ T).sum(), rel=1e-14)
    assert model.has_offset_ == with_offset
    if form == "matrix":
        np.testing.assert_allclose(model.coef_, fitted.coef_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.intercept_, fitted.intercept_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_batches_of_distributions_are_those_of_weighted_copies(
    fit_intercept, n_classes, with_offset, late, form, monkeypatch
):
    """A row for each class of positive share gives the same model, also with a class that is new.

    Drift, means and the term of new classes included. All batches are minimised in theta: the
    choice depends on the number of rows.
    """
    for each in (posterior.DensePosterior, posterior.KroneckerPosterior):
        monkeypatch.setattr(each, "minimisation_flops", lambda self, rows: 0.0)
    X, T, weight, offset = problem(n_classes)
    offset = offset if with_offset else None
    if late:
        T[:30, -1] = 0
        T[:30, 0] += 1e-3
        T /= T.sum(axis=1, keepdims=True)
    params = {"C": 2.0, "fit_intercept": fit_intercept}
    model, other = SoftmaxRegression(**params), SoftmaxRegression(**params)
    for part in parts(len(X)):
        o = None if offset is None else offset[part]
        model.partial_fit(X[part], T[part], sample_weight=weight[part], offset=o)
        row, label = np.nonzero(T[part] * weight[part, np.newaxis])
        shares = (weight[part, np.newaxis] * T[part])[row, label]
        other.partial_fit(X[part][row], label, range(n_classes), sample_weight=shares,
                          offset=None if o is None else o[row])
        tight = 1e-8 if form == "matrix" else 1e-6
        np.testing.assert_allclose(model._stream["theta"], other._stream["theta"], atol=tight)
        np.testing.assert_allclose(model._stream["mean"], other._stream["mean"], rtol=1e-12)
        np.testing.assert_array_equal(model._stream["seen"], other._stream["seen"])
        if with_offset:
            some = slice(part.stop)
            mean = np.average(offset[some], axis=0, weights=weight[some])
            mean = mean[1:] - mean[:1] if n_classes == 2 else mean
            np.testing.assert_allclose(model._stream["mean_offset"], mean, rtol=1e-12)
        assert model.weight_seen_ == pytest.approx(other.weight_seen_, rel=1e-14)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_one_hot_rows_are_labels(n_classes, form):
    """The same bits, batches of both in turn, and offsets of zeros change nothing but rounding."""
    X, T, weight, _ = problem(n_classes)
    y = T.argmax(axis=1)
    labels, mixed, zeros = (SoftmaxRegression() for _ in range(3))
    for i, part in enumerate(parts(len(y))):
        labels.partial_fit(X[part], y[part], range(n_classes), weight[part])
        target = np.eye(n_classes)[y[part]] if i % 2 else y[part]
        mixed.partial_fit(X[part], target, range(n_classes), weight[part])
        zeros.partial_fit(X[part], y[part], range(n_classes), weight[part],
                          np.zeros((30, n_classes)))
    np.testing.assert_array_equal(mixed.coef_, labels.coef_)
    np.testing.assert_array_equal(mixed.intercept_, labels.intercept_)
    np.testing.assert_allclose(zeros.coef_, labels.coef_, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_constant_offset_moves_the_intercepts_only(n_classes, layout, form, request):
    """In every batch, with classes that come late: W as without it, b + offset as b.

    Constants common to a row's classes, different in every batch, do nothing.
    """
    X, T, weight, _ = problem(n_classes)
    y = T.argmax(axis=1)
    y[:30] = np.minimum(y[:30], n_classes - 2)
    data = laid_out(X, layout, request)
    constant = np.linspace(-1.5, 2.0, n_classes)
    plain, model = SoftmaxRegression(), SoftmaxRegression()
    for i, part in enumerate(parts(len(y))):
        offset = np.tile(constant, (30, 1)) + 100.0 * i
        plain.partial_fit(data[part], y[part], range(n_classes), weight[part])
        model.partial_fit(data[part], y[part], range(n_classes), weight[part], offset)
    moved = constant[1:] - constant[:1] if n_classes == 2 else constant - constant.mean()
    tight = 1e-7 if form == "matrix" else 1e-4
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=tight)
    np.testing.assert_allclose(model.intercept_ + moved, plain.intercept_, atol=tight)
    seen = model.predict_proba(X, offset=np.tile(constant, (len(X), 1)))
    np.testing.assert_allclose(seen, plain.predict_proba(X), atol=tight)


def test_a_stream_with_offsets_ends_close_to_a_fit(form):
    """Three batches; the objective of all rows is at most 5% above its optimum."""
    X, T, weight, offset = problem(3, n=300)
    fitted = SoftmaxRegression(tol=1e-10).fit(X, T, weight, offset=offset)
    model = SoftmaxRegression()
    for part in parts(300):
        model.partial_fit(X[part], T[part], sample_weight=weight[part], offset=offset[part])
    best, found = (value(m, X, T, weight, offset, 1.0) for m in (fitted, model))
    assert best < found < 1.05 * best
    assert model.score(X, T, weight, offset) > model.score(X, T, weight, np.zeros((300, 3)))


@pytest.mark.parametrize("spread", [1e6, 1e9])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_offsets_that_saturate_every_row_are_fitted_or_warned_of(n_classes, spread):
    """Hessians are zero between the kinks of such an objective, and predict no decrease."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X, offset = rng.standard_normal((40, 2)), spread * rng.standard_normal((40, n_classes))
        y = np.arange(40) % n_classes
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model = SoftmaxRegression().partial_fit(X, y, range(n_classes), offset=offset)
            fitted = SoftmaxRegression(tol=1e-9).fit(X, y, offset=offset)
        texts = [str(warning.message) for warning in caught]
        assert all("failed to converge" in text for text in texts)
        targets = np.eye(n_classes)[y]
        found, best = (value(m, X, targets, np.ones(40), offset, 1.0) for m in (model, fitted))
        assert found <= best * (1 + 1e-6) or any("partial_fit" in text for text in texts)


@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_minimum_in_logits_is_that_in_theta(
    fit_intercept, n_classes, soft, with_offset, form, monkeypatch
):
    """10 rows of 30 features a batch, with a class that comes late: the gradient vanishes."""
    for each in (posterior.DensePosterior, posterior.KroneckerPosterior):
        monkeypatch.setattr(each, "minimisation_flops", lambda self, rows: np.inf)
    minimise, n_found = Batch.minimise_in_logits, 0

    def checked(batch):
        nonlocal n_found
        point = minimise(batch)
        largest = np.abs(batch.objective.evaluate(batch.past.center).grad).max()
        assert np.abs(point.grad).max() <= 1e-5 * largest    # half its digits: a Newton step
        if form == "matrix":
            exact = batch.objective.evaluate(point.theta, with_hessian=True).hessian
            np.testing.assert_allclose(point.hessian, exact, atol=1e-9 * np.abs(exact).max())
        n_found += 1
        return point

    monkeypatch.setattr(Batch, "minimise_in_logits", checked)
    X, T, weight, offset = problem(n_classes, n=40, p=30)
    T[:10, -1], T[:10, 0] = 0, T[:10, 0] + 0.1
    T[10, -1] = 1.5    # the first row whose label is the last class
    y = T if soft else T.argmax(axis=1)
    model = SoftmaxRegression(C=0.5, fit_intercept=fit_intercept)
    for part in parts(40, 4):
        model.partial_fit(X[part], y[part], range(n_classes), weight[part],
                          offset[part] if with_offset else None)
    is_single = n_classes == 2 and fit_intercept    # the first batch has one class, and no fit
    assert n_found == (3 if is_single else 4)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_the_objective_in_logits_has_these_derivatives(n_classes):
    """With G the identity: gradient in the logits, by central differences."""
    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((5, n_classes)), rng.integers(0, max(2, n_classes), 5)
    rest = rng.standard_normal((5, n_classes))
    gram = np.eye(5 * n_classes)
    arguments = np.empty(0), gram
    objective = LogitObjective(logits, y, np.ones(5), rest, None, None, *arguments)
    plain = LogitObjective(logits, y, np.ones(5), None, None, None, *arguments)
    a, direction = rng.standard_normal((2, 5, n_classes))
    point = objective.evaluate(a)
    assert point.value == pytest.approx(plain.evaluate(a).value + (rest * (logits + a)).sum())
    up, down = (objective.evaluate(a + s * 1e-5 * direction).value for s in (1, -1))
    assert (up - down) / 2e-5 == pytest.approx((point.grad * direction).sum(), rel=1e-7)


def test_classes_are_seen_once_they_have_mass(form):
    """A column of zeros is a class that has not come; smoothing gives every class some."""
    X, T, _, _ = problem(4)
    T[:, 2] = 0
    T[:, 0] += 0.01
    model = SoftmaxRegression().partial_fit(X, T)
    assert model._stream["seen"].tolist() == [True, True, False, True]
    assert model.predict_proba(X)[:, 2].max() < 1e-6
    T[3, 2] = 0.5
    model.partial_fit(X, T)
    assert model._stream["seen"].all() and model.predict_proba(X)[:, 2].max() > 1e-6
    smoothed = SoftmaxRegression(label_smoothing=0.1)
    smoothed.partial_fit(X[:3], np.zeros(3), classes=range(4))
    assert smoothed._stream["seen"].all()
    np.testing.assert_allclose(smoothed.predict_proba(X[:3])[:, 0], 0.925, atol=1e-3)


@pytest.mark.parametrize("share", [1e-12, 1e-100, 1e-300])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_tiny_shares(n_classes, share, form):
    """Classes with next to no mass, in the first batch or a later one, leave the others alone."""
    X, T, weight, _ = problem(n_classes + 1)
    T[:, -1] = 0
    T[:, 0] += 0.1
    T /= T.sum(axis=1, keepdims=True)
    expected = SoftmaxRegression().partial_fit(X[:45], T[:45]).partial_fit(X[45:], T[45:])
    for first in (0, 1):
        model, some = SoftmaxRegression(), T.copy()
        some[first::45, -1] = share
        model.partial_fit(X[:45], some[:45]).partial_fit(X[45:], some[45:])
        proba = model.predict_proba(X)
        np.testing.assert_allclose(
            proba[:, :-1], expected.predict_proba(X)[:, :-1], atol=1e-6 if form == "matrix" else
            1e-2,
        )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_offsets_that_predict_every_row(n_classes):
    """The loss is 0 in float64, and so is what a step can gain."""
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % n_classes
    offset = 800.0 * np.eye(n_classes)[y]
    model = SoftmaxRegression().partial_fit(X, y, range(n_classes), offset=offset)
    assert model.score(X, y, offset=offset) == 1
