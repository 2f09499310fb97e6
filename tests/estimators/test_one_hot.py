"""y of shape (n_samples, n_classes) whose rows are labels: the fits, time and memory of labels."""

import tracemalloc

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.estimators.targets import _ROWS, labels_of

RNG = np.random.default_rng(0)
X, Y, WEIGHT = RNG.standard_normal((150, 4)), RNG.integers(0, 3, 150), RNG.uniform(0.5, 2, 150)
Y[X[:, 0] > 0.5] = 2
FORMS = {
    "float": np.eye(3)[Y], "int": np.eye(3, dtype=np.int8)[Y], "bool": np.eye(3, dtype=bool)[Y],
    "Fortran": np.asfortranarray(np.eye(3)[Y]), "float32": np.eye(3, dtype=np.float32)[Y],
    "list": np.eye(3)[Y].tolist(),
}


def same(one, other):
    """The same fit, bit by bit."""
    np.testing.assert_array_equal(one.coef_, other.coef_)
    assert one.objective_ == other.objective_ and one.solver_ == other.solver_


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"class_weight": {0: 2.0, 2: 0.0}},
    {"class_weight": {1: 3.0}, "label_smoothing": 0.2},
    {"class_weight": {1: 0.0}, "label_smoothing": 0.2}, {"l1_ratio": 1.0},
], ids=str)
@pytest.mark.filterwarnings("ignore:Classes .* have a total weight of zero")
def test_a_fit_is_that_of_labels(options, form):
    """In every dtype and form, smoothed and with class weights."""
    same(SoftmaxRegression(**options).fit(X, form, WEIGHT),
         SoftmaxRegression(**options).fit(X, Y, WEIGHT))


def test_balanced_weights_are_of_targets_before_smoothing():
    """Of one-hot rows, and of distributions, as of labels."""
    options = {"class_weight": "balanced", "label_smoothing": 0.3, "tol": 1e-10}
    T = np.eye(3)[Y]
    model = SoftmaxRegression(**options).fit(X, T, WEIGHT)
    soft = 0.9 * T + 0.1 / 3
    totals = WEIGHT @ T, WEIGHT @ soft
    weights = [dict(enumerate(total.sum() / (3 * total))) for total in totals]
    told = [
        SoftmaxRegression(**options | {"class_weight": weights[k]}).fit(X, targets, WEIGHT)
        for k, targets in enumerate((Y, soft))
    ]
    assert model.objective_ == pytest.approx(told[0].objective_, rel=1e-9)
    other = SoftmaxRegression(**options).fit(X, soft, WEIGHT)
    assert other.objective_ == pytest.approx(told[1].objective_, rel=1e-9)


def test_counts_of_one_class_are_weights():
    """And rows of weight 0 may have any valid targets."""
    counts = RNG.integers(1, 9, 150)
    T, weight = counts[:, np.newaxis] * np.eye(3)[Y], WEIGHT.copy()
    same(SoftmaxRegression().fit(X, T, WEIGHT), SoftmaxRegression().fit(X, Y, WEIGHT * counts))
    weight[::5] = 0
    T[::5], T[5] = 0.3, 0.0
    same(SoftmaxRegression().fit(X, T, weight), SoftmaxRegression().fit(X, Y, weight * counts))
    for bad, match in ((np.nan, "NaN"), (np.inf, "infinity"), (-1.0, "non-negative")):
        T[10, 0] = bad
        with pytest.raises(ValueError, match=match):
            SoftmaxRegression().fit(X, T, weight)


def test_cross_validation_with_smoothing():
    """The same scores and choice as of labels."""
    options = {"Cs": 3, "cv": 3, "label_smoothing": 0.1}
    one = SoftmaxRegressionCV(**options).fit(X, np.eye(3)[Y])
    other = SoftmaxRegressionCV(**options).fit(X, Y)
    np.testing.assert_allclose(one.scores_, other.scores_, rtol=1e-12)
    np.testing.assert_array_equal(one.coef_, other.coef_)


@pytest.mark.parametrize("at", [0, _ROWS - 1, _ROWS, 2 * _ROWS + 5])
def test_which_rows_are_labels(at):
    """A row that is none is found in every block, at its edges too."""
    y = np.random.default_rng(0).integers(0, 3, 2 * _ROWS + 6)
    T, weight = np.eye(3)[y] * 2, np.ones(len(y))
    index, sums = labels_of(T, weight)
    np.testing.assert_array_equal(index, y)
    assert np.all(sums == 2)
    good = T[at].copy()
    for row in ([1, 1, 0], [0, 0, 0], [-1, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]):
        T[at] = row
        assert labels_of(T, weight) is None
    T[at] = [1, 1, 0]
    T[at - 1] = 0
    assert labels_of(T, weight) is None    # as many positive entries as rows
    weight[at], T[at - 1] = 0, good
    assert labels_of(T, weight)[1][at] == 0


@pytest.mark.compiled
def test_memory():
    """Beyond y: of one-hot rows that of labels; of distributions one n x K array more."""
    n, n_classes = 3 * _ROWS, 40
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((n, 3)), rng.integers(0, n_classes, n)
    T = np.eye(n_classes)[y]

    def peak(targets, **options):
        SoftmaxRegression(C=1e-6, **options).fit(rows, targets)
        tracemalloc.start()
        SoftmaxRegression(C=1e-6, **options).fit(rows, targets)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    labels = peak(y)
    assert peak(T) < 1.1 * labels
    assert peak(T, label_smoothing=0.1) < 1.1 * peak(y, label_smoothing=0.1)
    block = 8 * _ROWS * n_classes
    assert peak(0.9 * T + 0.1 / n_classes) < labels + T.nbytes + 3 * block
