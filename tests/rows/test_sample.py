"""The start from a sample of the rows."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.problem import problem as problem_module
from softmax_reg.problem import sampled_start
from softmax_reg.rows import base, subsample

N_SAMPLES, N_FEATURES = 6000, 3


def _data(n_classes, seed=0):
    """Overlapping classes, the last a rare one, sorted by class; weights; raw columns."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, n_classes + 2, N_SAMPLES), n_classes - 1)
    y[:7] = n_classes
    y.sort()
    X = rng.standard_normal((N_SAMPLES, N_FEATURES)) + np.cos(np.outer(y, np.arange(1, 4)))
    return X * [1e-3, 1, 1e3] + [1, -5, 100], y, rng.exponential(size=N_SAMPLES)


@pytest.fixture
def eager(monkeypatch):
    """Samples for problems of any size; counts the starts they gave."""
    starts = []
    start_from_sample = sampled_start.start_from_sample

    def counted(*args):
        starts.append(start_from_sample(*args))
        return starts[-1]

    monkeypatch.setattr(sampled_start, "MIN_FLOPS", 0)
    monkeypatch.setattr(problem_module, "start_from_sample", counted)
    return starts


def test_every_class_keeps_its_share():
    """Few rows, in order, none twice; the weight of every class is what it was."""
    X, y, weight = _data(5)
    weight[y == 2] = 0.0
    rows, sampled = subsample.sample_rows(y, weight, 6)
    assert np.all(np.diff(rows) > 0)
    few = np.flatnonzero((y == 5) | (y == 2))
    assert np.isin(few, rows).all()    # rare, or without weight
    assert len(rows) - len(few) <= N_SAMPLES / subsample._FRACTION
    np.testing.assert_allclose(
        np.bincount(y[rows], weights=sampled, minlength=6),
        np.bincount(y, weights=weight, minlength=6), rtol=1e-12,
    )
    again, _ = subsample.sample_rows(y, weight, 6)
    np.testing.assert_array_equal(rows, again)


@pytest.mark.compiled
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.usefixtures("by_kernels")
def test_same_optimum_in_fewer_iterations(eager, form, solver, n_classes, fit_intercept):
    """With and without a sample: the same optimum, certified; fewer passes with it."""
    X, y, weight = _data(n_classes)
    options = {"solver": solver, "fit_intercept": fit_intercept, "tol": 1e-6}
    model = SoftmaxRegression(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(form(X), y, weight)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampled_start, "MIN_FLOPS", np.inf)
            plain = SoftmaxRegression(**options).fit(form(X), y, weight)
    assert len(eager) == 1 and eager[0] is not None
    assert model.dual_gap_ <= 1e-6 * model.objective_
    assert model.objective_ == pytest.approx(plain.objective_, rel=2e-6)
    assert model.history_["objective"][0] < plain.history_["objective"][0]
    assert model.n_iter_[0] < plain.n_iter_[0]


def test_a_start_that_is_no_better_is_not_taken(eager, monkeypatch):
    """Labels that mislead on the sample: the fit starts at the null model."""
    X, y, weight = _data(2)
    y = (y > 0).astype(int)
    rows, _ = subsample.sample_rows(y, weight, 2)
    y[rows] = 1 - y[rows]
    # The sample of the new labels must be that of the old.
    monkeypatch.setattr(base, "sample_rows", lambda y, weight, *_: (rows, weight[rows]))
    model = SoftmaxRegression().fit(X, y, weight)
    assert eager == [None]
    assert model.dual_gap_ <= model.tol * model.objective_


@pytest.mark.parametrize("parameters", [{"C": np.inf}, {"max_iter": 0}, {"warm_start": True}])
def test_no_sample_where_it_could_mislead(eager, parameters):
    """Without a penalty, without iterations, from a previous fit."""
    X, y, weight = _data(1)
    model = SoftmaxRegression(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, weight)
        eager.clear()
        model.fit(X, y, weight)
    assert not eager


def test_few_rows_are_not_sampled(eager):
    """Fewer than 20 rows of the sample for each parameter."""
    X, y, weight = _data(1)
    few = np.arange(0, N_SAMPLES, 6)
    SoftmaxRegression().fit(X[few], y[few], weight[few])
    assert not eager
