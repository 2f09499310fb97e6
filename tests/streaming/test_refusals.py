"""What `partial_fit` refuses, and that a call that fails changes nothing."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression
from softmax_reg.streaming.batch import Batch

X, y = load_iris(return_X_y=True)
SHUFFLED = np.random.default_rng(0).permutation(len(y))
X, y = X[SHUFFLED], y[SHUFFLED]


@pytest.mark.parametrize(
    "params, match",
    [
        ({"l1_ratio": 0.5}, r"does not take l1_ratio=0\.5"),
        ({"C": np.inf}, "does not take C=inf"),
        ({"device": "cuda"}, "does not take device='cuda'"),
        ({"precision": "tf32x3"}, "precision='tf32x3' needs device='cuda'"),
        ({"class_weight": "balanced"}, "does not take class_weight='balanced'. Use a dict"),
        ({"penalty_factor": [1, 1, 1, np.inf]}, "does not take an infinite penalty_factor"),
        ({"penalty_factor": [1, 1]}, "penalty_factor must have shape"),
        ({"C": -1.0}, "C"),
    ],
)
@pytest.mark.parametrize("goes_on", [False, True])
def test_parameters_it_cannot_honour_are_refused(params, match, goes_on):
    """A ValueError that names the parameter, in any call; nothing changes."""
    model = SoftmaxRegression()
    if goes_on:
        model.partial_fit(X, y, [0, 1, 2])
    model.set_params(**params)
    before = {**vars(model)}
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y, [0, 1, 2])
    assert vars(model) == before


@pytest.mark.parametrize("change, match", [
    ({"C": 2.0}, "must be those of the first call"),
    ({"fit_intercept": False}, "must be those of the first call"),
    ({"penalty_factor": [1, 1, 2, 1]}, "must be those of the first call"),
])
def test_the_objective_may_not_change_in_mid_stream(change, match):
    """C, fit_intercept and penalty factors."""
    model = SoftmaxRegression().partial_fit(X, y, [0, 1, 2]).set_params(**change)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((X, y, [0, 1]), "is not the same as on last call to partial_fit"),
        ((X, y + 1), r"y contains labels \[3\] that are not in classes"),
        ((X, y.astype(str)), "y contains labels"),
        ((X[:, :3], y), "X has 3 features, but SoftmaxRegression is expecting 4"),
        ((np.where(X > 7, np.nan, X), y), "Input X contains NaN"),
        ((X[:0], y[:0]), "0 sample"),
        ((X, y[:-1]), "inconsistent numbers of samples"),
        ((X, y, None, -np.ones(150)), "sample_weight must be non-negative"),
        ((X, y, None, np.zeros(150)), "at least one non-zero weight"),
        ((X, y, None, np.full(150, 1e307)), "overflows float64"),
    ],
)
def test_bad_batches_change_nothing(arguments, match, form):
    """A ValueError, and the stream goes on as if they had not come."""
    model = SoftmaxRegression().partial_fit(X[:75], y[:75], [0, 1, 2])
    before = {**vars(model)}
    with pytest.raises(ValueError, match=match):
        model.partial_fit(*arguments)
    assert vars(model) == before


@pytest.mark.parametrize(
    "classes, match",
    [
        (None, "classes must be passed on the first call to partial_fit"),
        ("abc", "classes must be an array-like of labels, got 'abc'"),
        ([1], "at least 2 different labels"),
        ([0.0, np.nan], "NaN"),
        ([0, 1], r"labels \[2\] that are not in classes"),
    ],
)
def test_first_calls_need_classes(classes, match):
    """Nothing is set by one that is refused."""
    model = SoftmaxRegression()
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y, classes)
    assert vars(model) == vars(SoftmaxRegression())


@pytest.mark.parametrize("before", [0, 75])
def test_values_that_overflow_are_refused(before, form):
    """In the first batch and later: their squares are infinite; a stream keeps finite numbers."""
    model = SoftmaxRegression()
    if before:
        model.partial_fit(X[:before], y[:before], [0, 1, 2])
    state = {**vars(model)}
    with pytest.raises(ValueError, match="overflow float64"):
        model.partial_fit(X[before:] * 1e200, y[before:], [0, 1, 2])
    assert vars(model) == state


def test_free_coefficients_that_separate_the_rows_so_far_are_named():
    """With penalty_factor=0 and two rows a batch: in warnings, and where numbers overflow."""
    rng = np.random.default_rng(8)
    column = rng.standard_normal((200, 1))
    label = (column[:, 0] + rng.logistic(size=200) > 0).astype(int)
    model = SoftmaxRegression(penalty_factor=[0.0])
    with (
        pytest.warns(ConvergenceWarning, match="Unpenalised coefficients may separate"),
        pytest.raises(ValueError, match="penalty_factor=0 leaves the rows so far without an opt"),
    ):
        for i in range(0, 200, 2):
            model.partial_fit(column[i:i + 2], label[i:i + 2], [0, 1])
    model = SoftmaxRegression(penalty_factor=[0.0])
    for i in range(0, 200, 50):
        model.partial_fit(column[i:i + 50], label[i:i + 50], [0, 1])
    fitted = SoftmaxRegression(penalty_factor=[0.0]).fit(column, label)
    np.testing.assert_allclose(model.coef_, fitted.coef_, rtol=0.05)


def test_an_interrupt_leaves_the_estimator_as_it_was(monkeypatch):
    """Whatever is raised in the middle of a call."""
    model = SoftmaxRegression().partial_fit(X[:75], y[:75], [0, 1, 2])
    before = {**vars(model)}

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batch, "minimise_in_logits", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[75:], y[75:])
    assert vars(model) == before
