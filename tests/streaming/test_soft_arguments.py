"""Arguments of `partial_fit` for distributions and offsets: columns, kinds, refusals."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators.batches import check_batch
from softmax_reg.estimators.prediction import rounded

from .problems import problem


def test_the_order_of_columns():
    """By `classes` of the call, by the names of a frame, or by classes_."""
    X, T, _, _ = problem(3)
    plain = SoftmaxRegression().partial_fit(X[:45], T[:45]).partial_fit(X[45:], T[45:])
    assert plain.classes_.tolist() == [0, 1, 2]
    names = ["b", "c", "a"]
    frame = pd.DataFrame(T, columns=names)
    named = SoftmaxRegression().partial_fit(X[:45], frame[:45])
    named.partial_fit(X[45:], frame[["c", "a", "b"]][45:])
    given = SoftmaxRegression().partial_fit(X[:45], T[:45], classes=names)
    given.partial_fit(X[45:], T[45:])
    for model in (named, given):
        assert model.classes_.tolist() == names
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-9)
    sort = np.argsort(names)
    labels = frame.columns.to_numpy()[T.argmax(axis=1)]
    first = SoftmaxRegression().partial_fit(X[:45], labels[:45], classes=names)
    assert first.classes_.tolist() == sorted(names)    # those of labels are sorted
    second = SoftmaxRegression().partial_fit(X[:45], labels[:45], classes=names)
    first.partial_fit(X[45:], T[45:], classes=names)
    second.partial_fit(X[45:], T[45:][:, sort])
    np.testing.assert_array_equal(first.coef_, second.coef_)
    weights = {"a": 2.0, "b": 0.5, "c": 1.0}
    by_class = SoftmaxRegression(class_weight=weights)
    by_class.partial_fit(X, frame[["c", "a", "b"]], classes=names)
    by_column = SoftmaxRegression().partial_fit(X, T * [0.5, 1.0, 2.0])
    np.testing.assert_allclose(by_class.coef_, by_column.coef_, rtol=1e-12)


def test_two_classes_take_the_log_odds_as_offset():
    """Flat, as a column, or as two columns."""
    X, T, weight, offset = problem(2)
    odds = offset[:, 1] - offset[:, 0]
    models = [
        SoftmaxRegression().partial_fit(X, T, sample_weight=weight, offset=given)
        for given in (odds, odds[:, np.newaxis], offset)
    ]
    for model in models:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_allclose(
            model.decision_function(X, offset=odds),
            X @ model.coef_[0] + model.intercept_ + odds, rtol=1e-12,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinds_of_arguments(dtype):
    """float32 X, lists, read-only arrays; nothing given is changed."""
    X, T, weight, offset = problem(3)
    X = X.astype(dtype)
    expected = SoftmaxRegression().partial_fit(X, T, None, weight, offset)
    assert expected.coef_.dtype == dtype
    copies = [a.copy() for a in (X, T, weight, offset)]
    for array in (X, T, weight, offset):
        array.flags.writeable = False
    model = SoftmaxRegression().partial_fit(X, T.tolist(), None, weight, offset.tolist())
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    for array, copy in zip((X, T, weight, offset), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_coefficients_are_rounded_by_the_loss_with_the_offset():
    """Rounding moves the logit 40 by 1e-6: much of a loss of exp(-40), little of one of 80."""
    X, coef = np.array([[40.0]], dtype=np.float32), np.array([[1 + 2.0**-25]])
    for offset, dtype in ((None, np.float64), (np.array([[-120.0]]), np.float32)):
        found, _ = rounded(coef, np.zeros(1), X, np.array([1]), 3e-7, offset)
        assert found.dtype == dtype


def test_rows_that_weigh_nothing_change_nothing(form):
    """Class weights of 0 drop columns; a batch of such columns alone is a batch of weight 0."""
    X, T, _, _ = problem(3)
    nothing = np.tile([1.0, 0, 0], (len(X), 1))
    model = SoftmaxRegression(class_weight={0: 0.0, 1: 1.0, 2: 1.0}, label_smoothing=0.0)
    model.partial_fit(X, nothing)
    assert model.weight_seen_ == 0 and not model.coef_.any()
    model.partial_fit(X, T).partial_fit(X, nothing)
    other = SoftmaxRegression(class_weight={0: 0.0, 1: 1.0, 2: 1.0}).partial_fit(X, T)
    np.testing.assert_array_equal(model.coef_, other.coef_)
    assert model.weight_seen_ == pytest.approx(T[:, 1:].sum(), rel=1e-14)


def test_weights_of_shares_that_underflow():
    """A row of the smallest weight, on classes that no other row has, counts as none."""
    X, T, _, _ = problem(4)
    T[:, :2], T[:, 2:] = 0, T[:, 2:] + 0.1
    T[0] = 0.5, 0.5, 0, 0
    weight = np.r_[5e-324, np.ones(89)]
    model = SoftmaxRegression().partial_fit(X, T, sample_weight=weight)
    expected = SoftmaxRegression().partial_fit(X[1:], T[1:])
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_smoothing_with_classes_of_no_weight():
    """As the columns that it makes of labels."""
    X, T, weight, _ = problem(3)
    y, factors = T.argmax(axis=1), np.array([0.0, 1.0, 2.0])
    params = {"class_weight": dict(enumerate(factors)), "label_smoothing": 0.3}
    model = SoftmaxRegression(**params).partial_fit(X, y, range(3), weight)
    data = check_batch(model, X, y, range(3), weight, None)
    assert data.mixture[np.arange(len(y)), data.index].min() > 0    # labels are classes seen
    smoothed = (0.7 * np.eye(3)[y] + 0.1) * factors
    other = SoftmaxRegression().partial_fit(X, smoothed, sample_weight=weight)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-9, atol=1e-12)
    assert model.weight_seen_ == pytest.approx((weight @ smoothed).sum(), rel=1e-14)
    none = SoftmaxRegression(class_weight=dict.fromkeys(range(3), 0.0), label_smoothing=0.3)
    assert none.partial_fit(X, y, range(3)).weight_seen_ == 0


def test_predictions_need_what_the_batches_had():
    """An offset if and only if there was one; streams start anew without."""
    X, T, _, offset = problem(3)
    model = SoftmaxRegression().partial_fit(X, T, offset=offset)
    with pytest.raises(ValueError, match="fitted with an offset and needs one"):
        model.predict(X)
    model.predict(X, offset=offset)
    before = {**vars(model)}
    with pytest.raises(ValueError, match="the batches before had one"):
        model.partial_fit(X, T)
    assert vars(model) == before
    assert not model.end_partial_fit().partial_fit(X, T).has_offset_
    with pytest.raises(ValueError, match="the batches before had none"):
        model.partial_fit(X, T, offset=offset)
    model.predict(X)


def test_metadata_routing_has_an_offset():
    """`set_partial_fit_request` takes it."""
    with sklearn.config_context(enable_metadata_routing=True):
        model = SoftmaxRegression().set_partial_fit_request(offset=True)
        requests = model.get_metadata_routing().partial_fit.requests
    assert requests["offset"] is True


@pytest.mark.parametrize("change, match", [
    ({"y": lambda T: np.where(T == T.max(), np.nan, T)}, "NaN"),
    ({"y": lambda T: np.where(T == T.max(), np.inf, T)}, "infinity"),
    ({"y": lambda T: T - 0.5}, "non-negative"),
    ({"y": lambda T: T * (np.arange(len(T)) != 3)[:, np.newaxis]}, "row of zeros, row 3"),
    ({"y": lambda T: T[:-1]}, "inconsistent numbers of samples"),
    ({"y": lambda T: T[:, :2]}, r"a column for each class, \[0, 1, 2\], got shape \(90, 2\)"),
    ({"y": lambda T: np.column_stack([T, T])}, r"got shape \(90, 6\)"),
    ({"y": lambda T: pd.DataFrame(T, columns=list("abc"))}, r"got the columns \['a', 'b', 'c'\]"),
    ({"y": lambda T: pd.DataFrame(T, columns=[0, 1, 1])}, r"got the columns \[0, 1, 1\]"),
    ({"y": sparse.csr_array}, "must be dense"),
    ({"y": lambda T: T * 1e308}, "overflows"),
    ({"offset": lambda o: o[:, :2]}, r"offset must have shape \(90, 3\)"),
    ({"offset": lambda o: np.where(o == o.max(), np.nan, o)}, "offset contains NaN"),
    ({"offset": lambda o: o[:-1]}, r"offset must have shape \(90, 3\)"),
    ({"offset": lambda o: np.full(o.shape, 1e308)}, "overflow"),
])
@pytest.mark.parametrize("goes_on", [True, False])
def test_bad_batches_change_nothing(change, match, goes_on):
    """A ValueError, and the estimator as it was."""
    X, T, weight, offset = problem(3)
    model = SoftmaxRegression()
    if goes_on:
        model.partial_fit(X, T, offset=offset)
    before = {**vars(model)}
    given = {"y": T, "offset": offset}
    given |= {name: of(given[name]) for name, of in change.items()}
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, **given, classes=range(3), sample_weight=10 * (weight + 1))
    assert vars(model) == before
