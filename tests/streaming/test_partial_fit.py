"""`partial_fit`: close to a fit of all rows, in constant memory."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import scale

from softmax_reg import SoftmaxRegression
from softmax_reg.streaming import batch as one_batch

X, y = load_iris(return_X_y=True)
SHUFFLED = np.random.default_rng(0).permutation(len(y))
X, y = X[SHUFFLED], y[SHUFFLED]


def learned(X, y, n_batches, sample_weight=None, classes=None, **params):
    """One pass in batches of equal size."""
    model = SoftmaxRegression(**params)
    classes = np.unique(y) if classes is None else classes
    for part in np.array_split(np.arange(len(y)), n_batches):
        weight = None if sample_weight is None else sample_weight[part]
        model.partial_fit(X[part], y[part], classes, sample_weight=weight)
    return model


def objective(model, X, y, C):
    """That of `fit` at the coefficients of a model, by NumPy."""
    losses = log_loss(y, model.predict_proba(X), labels=model.classes_)
    return losses + (model.coef_**2).sum() / (2 * C * len(y))


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1, 100])
def test_one_batch_is_a_fit(C, fit_intercept, n_classes, layout, form):
    """Its objective is that of a fit, to the accuracy that each form asks for."""
    rows = y < n_classes
    data = sparse.csr_array(X[rows]) if layout == "csr" else X[rows]
    fitted = SoftmaxRegression(C=C, fit_intercept=fit_intercept, tol=0).fit(data, y[rows])
    model = learned(data, y[rows], 1, C=C, fit_intercept=fit_intercept)
    excess = objective(model, data, y[rows], C) - fitted.objective_
    enough = 1e-13 if form == "matrix" else 1e-4
    assert -1e-13 <= excess <= max(enough, fitted.dual_gap_)
    assert model.coef_.shape == fitted.coef_.shape
    if form == "matrix":
        np.testing.assert_allclose(model.coef_, fitted.coef_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.intercept_, fitted.intercept_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_batches", [2, 5])
def test_batches_end_close_to_a_fit(n_batches, n_classes, form):
    """The objective of all rows is at most a twentieth above its optimum."""
    rows = y < n_classes
    fitted = SoftmaxRegression(C=0.1, tol=0).fit(X[rows], y[rows])
    model = learned(X[rows], y[rows], n_batches, C=0.1)
    assert 0 < objective(model, X[rows], y[rows], 0.1) - fitted.objective_ <= (
        0.05 * fitted.objective_
    )


def test_a_loss_that_is_all_but_quadratic_is_learned_exactly(form):
    """With tiny rows curvatures are constant: any batches give the coefficients of a fit."""
    small = 1e-4 * scale(X)
    C = 1e8
    balanced = np.concatenate([np.flatnonzero(y == k)[:40] for k in range(3)])
    balanced = balanced.reshape(3, -1).T.ravel()    # the classes in turn
    fitted = SoftmaxRegression(C=0.5 * C, tol=1e-12, fit_intercept=False)
    fitted.fit(1e-3 * small[balanced], y[balanced])
    model = learned(1e-3 * small[balanced], y[balanced], 4, C=0.5 * C, fit_intercept=False)
    error = np.abs(model.coef_ - fitted.coef_).max() / np.abs(fitted.coef_).max()
    assert error <= (1e-6 if form == "matrix" else 1e-2)


@pytest.mark.compiled
@pytest.mark.parametrize("C, most", [(0.01, 1.1), (1, 1.4)])
@pytest.mark.usefixtures("by_kernels")
def test_one_pass_over_digits_predicts_nearly_as_well_as_a_fit(C, most):
    """50 shuffled batches; the held-out log loss against that of a fit to all rows."""
    data, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    data, labels = scale(data)[order], labels[order]
    fitted = SoftmaxRegression(C=C).fit(data[:1347], labels[:1347])
    model = learned(data[:1347], labels[:1347], 50, C=C)
    one, other = (
        log_loss(labels[1347:], m.predict_proba(data[1347:])) for m in (model, fitted)
    )
    assert one <= most * other


@pytest.mark.compiled
def test_many_classes_through_factors():
    """60 classes, most of them not in a batch: within a tenth of a fit's held-out loss."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 60, 8000)
    data = rng.standard_normal((60, 80))[labels] / 2 + rng.standard_normal((8000, 80)) + 1
    model = learned(data[:6000], labels[:6000], 300, C=0.01)
    assert model._stream["transform"] is not None    # above the limit of one matrix
    fitted = SoftmaxRegression(C=0.01).fit(data[:6000], labels[:6000])
    one, other = (
        log_loss(labels[6000:], m.predict_proba(data[6000:])) for m in (model, fitted)
    )
    assert one <= 1.1 * other


@pytest.mark.compiled
def test_memory_does_not_grow_with_the_number_of_batches(form):
    """A pickle of the state has the same size after 10 batches and after 1,000."""
    model = SoftmaxRegression()
    sizes = {}
    for batch in range(1, 1001):
        rows = np.arange(3 * batch, 3 * batch + 3) % len(y)
        model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        if batch in (10, 1000):
            sizes[batch] = len(pickle.dumps(model._stream))
    assert abs(sizes[1000] - sizes[10]) <= 64    # integers' digits
    assert model.weight_seen_ == 3000


@pytest.mark.parametrize("n_classes", [2, 3])
def test_integer_weights_repeat_rows_and_zero_weights_drop_them(n_classes, form):
    """Weights, repeated rows and class weights are one and the same, batch by batch."""
    data, labels = X[y < n_classes], y[y < n_classes]
    weight = np.arange(len(labels)) % 3
    halves = [slice(0, 50), slice(50, None)]
    one, other, third = (SoftmaxRegression() for _ in range(3))
    for half in halves:
        w = weight[half]
        one.partial_fit(data[half], labels[half], range(n_classes), sample_weight=w)
        repeated = np.repeat(data[half], w, 0), np.repeat(labels[half], w)
        other.partial_fit(*repeated, range(n_classes))
        third.partial_fit(
            data[half][w > 0], labels[half][w > 0], range(n_classes), sample_weight=w[w > 0]
        )
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(one.coef_, third.coef_)
    assert one.weight_seen_ == other.weight_seen_ == weight.sum()
    per_class = dict(enumerate([1.0, 2.5, 0.5][:n_classes]))
    by_class = learned(data, labels, 2, class_weight=per_class)
    by_row = learned(data, labels, 2, np.array([per_class[k] for k in labels]))
    np.testing.assert_array_equal(by_class.coef_, by_row.coef_)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_one_at_a_time(n_classes, form):
    """From a first batch of one row on, classes that have not come are never predicted."""
    rows = y < n_classes
    data, labels = X[rows], y[rows]
    model = SoftmaxRegression()
    for i in range(len(labels)):
        model.partial_fit(data[i:i + 1], labels[i:i + 1], classes=range(n_classes))
        assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
        assert set(model.predict(data[:20])) <= set(labels[:i + 1])
    assert model.score(data, labels) >= 0.93


def test_classes_that_come_late_know_of_the_past(form):
    """After 90 rows of two classes, 1 row of a third does not make it a third of all."""
    old = np.flatnonzero(y < 2)[:90]
    model = SoftmaxRegression(C=1e-6).partial_fit(X[old], y[old], classes=[0, 1, 2])
    new = np.flatnonzero(y == 2)[:1]
    model.partial_fit(X[new], y[new])
    share = model.predict_proba(X[old])[:, 2].mean()
    assert 0.3 / 91 <= share <= 3 / 91


def test_penalty_factors_are_honoured(form):
    """0 and large ones, as `fit` takes them."""
    factor = [0.0, 1.0, 100.0, 1.0]
    fitted = SoftmaxRegression(penalty_factor=factor, C=0.1, tol=1e-10).fit(X, y)
    model = learned(X, y, 1, penalty_factor=factor, C=0.1)
    np.testing.assert_allclose(
        model.predict_proba(X), fitted.predict_proba(X), atol=1e-5 if form == "matrix" else 0.02
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_kinds_of_X(layout, dtype, form):
    """coef_ is of the dtype of X; CSR and dense rows give the same; they are left alone."""
    data = X.astype(dtype)
    given = sparse.csr_array(data) if layout == "csr" else data.copy()
    model = learned(given, y, 3)
    assert {model.coef_.dtype, model.intercept_.dtype} == {np.dtype(dtype)}
    np.testing.assert_array_equal(given.toarray() if layout == "csr" else given, data)
    np.testing.assert_allclose(model.coef_, learned(data, y, 3).coef_, rtol=1e-4, atol=1e-5)
    read_only = data.copy()
    read_only.flags.writeable = False
    learned(read_only, y, 3)


def test_labels_and_names():
    """Strings, classes in any order, frames; names are checked in later calls."""
    names = load_iris().target_names
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = SoftmaxRegression()
    model.partial_fit(frame[:20], names[y[:20]], classes=names[::-1])
    model.partial_fit(frame[20:], names[y[20:]])
    assert model.classes_.tolist() == sorted(names)
    assert model.feature_names_in_.tolist() == list("abcd") and model.n_features_in_ == 4
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().partial_fit(
        X[:20], y[:20], [0, 1, 2]).partial_fit(X[20:], y[20:]).coef_)
    assert model.score(frame, names[y]) > 0.9
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame[list("dcba")], names[y])


def test_fit_and_partial_fit_start_anew():
    """Each removes what the other left; a stream after a fit has its classes."""
    fresh = SoftmaxRegression().fit(X, y)
    model = learned(X, y, 5).fit(X, y)
    np.testing.assert_array_equal(model.coef_, fresh.coef_)
    assert vars(model).keys() == vars(fresh).keys()
    model.partial_fit(X[:50], y[:50])
    np.testing.assert_array_equal(
        model.coef_, SoftmaxRegression().partial_fit(X[:50], y[:50], [0, 1, 2]).coef_
    )
    assert model.weight_seen_ == 50
    for name in ("objective_", "dual_gap_", "newton_decrement_", "n_iter_", "n_evaluations_",
                 "solver_", "history_"):
        assert not hasattr(model, name)
    assert model.to_sklearn().predict(X).tolist() == model.predict(X).tolist()


def test_end_partial_fit_leaves_the_model_alone(form):
    """What is kept for later batches goes, predictions stay, the next batch starts anew."""
    model = learned(X[:100], y[:100], 4)
    expected = model.predict_proba(X)
    assert model.end_partial_fit().end_partial_fit() is model
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert model.weight_seen_ == 100
    assert len(pickle.dumps(model)) <= len(pickle.dumps(SoftmaxRegression().fit(X, y)))
    model.partial_fit(X[100:], y[100:])
    other = SoftmaxRegression().partial_fit(X[100:], y[100:], [0, 1, 2])
    np.testing.assert_array_equal(model.coef_, other.coef_)
    assert model.weight_seen_ == 50


@pytest.mark.compiled
@pytest.mark.parametrize(
    "n_features, n_classes, sides",
    [(63, 64, [64, 64]), (405, 10, [406, 10]), (64, 10, [650]), (649, 2, [650])],
)
@pytest.mark.parametrize("n_rows", [10, 500])
@pytest.mark.usefixtures("by_kernels")
def test_pickles_are_at_most_four_times_what_must_be_remembered(
    n_rows, n_features, n_classes, sides
):
    """Coefficients, and the triangles of two Kronecker factors, or of one matrix if small."""
    rng = np.random.default_rng(0)
    data, labels = rng.standard_normal((n_rows, n_features)), np.arange(n_rows) % n_classes
    model = SoftmaxRegression().partial_fit(data, labels, range(n_classes))
    size = (n_features + 1) * model.coef_.shape[0]
    must = size + sum(side * (side + 1) / 2 for side in sides)
    pickled = pickle.dumps(model)
    assert len(pickled) <= 4 * 8 * must
    copied = pickle.loads(pickled)
    for each in (model, copied):
        each.partial_fit(data[:10] + 1, labels[:10])
    np.testing.assert_array_equal(copied.coef_, model.coef_)
    assert len(pickle.dumps(model.fit(data[:200], labels[:200]))) <= 8 * size + 10_000


def test_pickles_go_on_and_clones_start_anew(form):
    """The same bits from a pickle in mid-stream; parameters are as they were."""
    model = learned(X[:100], y[:100], 4)
    copied = pickle.loads(pickle.dumps(model))
    for each in (model, copied):
        each.partial_fit(X[100:], y[100:])
    np.testing.assert_array_equal(copied.coef_, model.coef_)
    assert model.get_params() == SoftmaxRegression().get_params()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clone(model).partial_fit(X, y)


def test_batches_that_weigh_nothing_change_nothing(form):
    """By class weights of 0, at the start and later."""
    weight = {0: 0.0, 1: 1.0, 2: 1.0}
    only = y == 0
    model = SoftmaxRegression(class_weight=weight).partial_fit(X[only], y[only], [0, 1, 2])
    assert model.weight_seen_ == 0 and not model.coef_.any() and not model.intercept_.any()
    model.partial_fit(X, y).partial_fit(X[only], y[only])
    other = SoftmaxRegression(class_weight=weight).partial_fit(X, y, [0, 1, 2])
    np.testing.assert_array_equal(model.coef_, other.coef_)
    assert model.weight_seen_ == 100


@pytest.mark.parametrize("outlier", [1e2, 1e5, 1e8])
def test_an_outlier_in_a_later_batch_leaves_a_good_model(outlier):
    """One wrong value of 600, far beyond the quadratic past: the loss is about that of a fit."""
    spoilt = X.copy()
    spoilt[100, 0] = outlier
    model, fitted = learned(spoilt, y, 2), SoftmaxRegression().fit(spoilt, y)
    loss, least = (log_loss(y, m.predict_proba(spoilt)) for m in (model, fitted))
    assert loss <= 1.1 * least


@pytest.mark.usefixtures("by_kernels")
def test_a_batch_that_is_not_minimised_warns(monkeypatch):
    """An outlier of 1e5 needs more than two steps."""
    rng = np.random.default_rng(0)
    many = rng.standard_normal((400, 100))
    labels = (many[:, :10] * 2 + rng.gumbel(size=(400, 10))).argmax(axis=1)
    many[300, 0] = 1e5
    model = SoftmaxRegression().partial_fit(many[:200], labels[:200], np.arange(10))
    monkeypatch.setattr(one_batch, "_MAX_STEPS_FACTORED", 1)
    with pytest.warns(ConvergenceWarning, match="partial_fit failed to converge on this batch"):
        model.partial_fit(many[200:], labels[200:])
