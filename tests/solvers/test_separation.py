"""Separation is claimed where it is proven, and only there."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SeparationWarning, SoftmaxRegression
from softmax_reg.problem.objective import Objective
from softmax_reg.problem.penalty import penalty_of
from softmax_reg.solvers import Monitor, minimise
from softmax_reg.solvers import monitor as monitor_module
from softmax_reg.solvers import separation as separation_module
from softmax_reg.solvers.separation import is_separated, largest_move, shows_overlap

from ..problems import bundled, objective_of

SOLVERS = ("newton-cholesky", "lbfgs", "newton-cg")


def make(X, y, weight=None, *, fit_intercept=True, free=None):
    """The objective without a penalty, or with one on all but the columns `free`."""
    n_classes, n_features = int(y.max()) + 1, X.shape[1]
    factor = np.ones(n_features)
    factor[slice(None) if free is None else free] = 0.0
    return objective_of(
        X, y.astype(np.int32), np.ones(len(y)) if weight is None else weight,
        n_classes=n_classes, binary=n_classes == 2,
        penalty=penalty_of(1 / len(y), factor=factor), fit_intercept=fit_intercept,
    )


def fit(X, y, **options):
    """(model, warnings) of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return SoftmaxRegression(**options).fit(X, y), [w.category for w in caught]


def with_indicator(n_classes, seed=0):
    """Overlapping classes, and a last column that is 1 on some rows of class 1 alone."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((300, 4))
    y = (X[:, :3] @ rng.standard_normal((3, n_classes))
         + rng.gumbel(size=(300, n_classes))).argmax(axis=1)
    X[:, 3] = (y == 1) & (rng.random(300) < 0.2)
    return X, y


@pytest.mark.compiled    # half a minute without
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
@pytest.mark.parametrize("seed", [1, 2])
def test_columns_collinear_but_for_float32_are_no_separation(seed, tol):
    """Redundant columns rounded: every solver ends silently within tol of the same optimum."""
    X, y = make_classification(
        n_samples=1000, n_features=50, n_informative=10, n_redundant=40, flip_y=0.2,
        random_state=seed,
    )
    fits = [
        fit(X.astype(np.float32), y, C=np.inf, solver=s, tol=tol) for s in ("auto", *SOLVERS)
    ]
    assert not any(caught for _, caught in fits)
    optimum, _ = fit(X.astype(np.float32), y, C=np.inf, solver="newton-cg", tol=1e-10)
    for model, _ in fits:
        assert model.objective_ <= (1 + model.tol) * optimum.objective_


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("overlap", [1e-2, 2.5e-7])
def test_overlap_of_a_single_row_is_no_separation(overlap, solver):
    """One row of each class beyond the other by a fraction of the range: an optimum exists."""
    x = np.random.default_rng(0).uniform(size=200)
    y = (x > 0.5).astype(int)
    low, high = np.where(y == 0, x, -1).argmax(), np.where(y == 1, x, 2).argmin()
    x[low], x[high] = 0.5 + overlap / 2, 0.5 - overlap / 2
    objective = make(x[:, np.newaxis], y)
    assert is_separated(objective, objective.null_point) is False
    _, caught = fit(x[:, np.newaxis], y, C=np.inf, solver=solver)
    assert SeparationWarning not in caught


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("options", [
    {}, {"fit_intercept": False}, {"free": [3]}, {"free": [3], "fit_intercept": False},
], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_quasi_separation_is_proven(n_classes, options, kind, solver):
    """An unpenalised column that some rows of one class have: separable, theta finite."""
    objective = make(kind(with_indicator(n_classes)[0]), with_indicator(n_classes)[1], **options)
    result = minimise(objective, None, Monitor(objective, tol=1e-4, max_iter=100), solver)
    assert result.status == "separable" and np.isfinite(result.theta).all()
    assert result.n_iter <= 40


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_without_weight_do_not_count(n_classes, solver):
    """The rows that would overlap weigh nothing: separable; with weights they do overlap."""
    X, y = with_indicator(n_classes)
    weight = np.ones(len(y))
    other = np.flatnonzero(y != 1)[:20]
    X[other, 3] = 1.0
    weight[other] = 0.0
    for weights, expected in ((weight, "separable"), (np.ones(len(y)), "converged")):
        objective = make(X, y, weights)
        monitor = Monitor(objective, tol=1e-4, max_iter=100)
        assert minimise(objective, None, monitor, solver).status == expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_classes_that_a_penalised_column_separates_have_an_optimum(solver):
    """The columns without a penalty overlap: no claim, however small the loss."""
    X, y = bundled("iris")
    labels = (y > 0).astype(int)
    rng = np.random.default_rng(0)
    data = np.column_stack([1e6 * X, rng.standard_normal(150)])
    _, caught = fit(data, labels, C=1e6, penalty_factor=[1, 1, 1, 1, 0], solver=solver)
    assert SeparationWarning not in caught


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_proofs_agree_with_the_whole_linear_programme(n_classes, fit_intercept):
    """Points of a small grid, where margins of zero abound: Konis's programme, all at once."""
    from scipy.optimize import linprog

    found = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = rng.integers(0, 3, (12, 2)).astype(float)
        y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, 12 - n_classes)]
        design = np.column_stack([X, np.full(12, float(fit_intercept))])
        margins = np.zeros((12, n_classes, n_classes, 3))
        for i in range(12):
            for k in range(n_classes):
                margins[i, k, y[i]] += design[i]
                margins[i, k, k] -= design[i]
        margins = margins.reshape(12 * n_classes, -1)
        best = linprog(-margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)),
                       bounds=(-1, 1))
        objective = make(X, y, fit_intercept=fit_intercept)
        separated = is_separated(objective, objective.null_point)
        assert separated is (-best.fun > 1e-6)
        found.add(separated)
    assert found == {True, False}


def test_margins_within_rounding_prove_nothing():
    """Labels are the sign of the rounding error of a + b, the third column: no proof."""
    a, b = np.random.default_rng(0).standard_normal((2, 200))
    total = a + b
    error = (a - (total - (total - a))) + (b - (total - a))    # exact: Knuth's two-sum
    X, y = np.column_stack([a, b, total])[error != 0], (error[error != 0] > 0).astype(int)
    for data in (X, sparse.csr_array(X)):
        objective = make(data, y)
        point = objective.evaluate(np.array([[1.0, 1.0, -1.0, 0.0]]) * 2.0**52)
        assert is_separated(objective, point) is not True


def overlapping_or_not(seed):
    """A small random problem with columns of very different scales; some can be separated."""
    rng = np.random.default_rng(seed)
    n_classes, n, p = (int(rng.integers(*span)) for span in ((2, 5), (20, 300), (1, 7)))
    X, kind = rng.standard_normal((n, p)), rng.integers(0, 4)
    logits = X @ rng.standard_normal((p, n_classes)) * rng.choice([0.3, 1, 3, 10])
    y = (logits + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    if kind == 1:
        X[:, -1] = (y == 1) & (rng.random(n) < rng.choice([0.02, 0.2]))
    elif kind == 2:
        X = np.round(X)
    elif kind == 3:
        X[:, 0] += rng.choice([2, 4, 8]) * (y == 0)
    return X * 10.0 ** rng.uniform(-3, 3, p), y


def near_optimum(objective, tol):
    """Where the fit of an objective without a penalty ends, if it looks for no proof."""
    monitor = Monitor(objective, tol=tol, max_iter=30)
    return minimise(objective, None, monitor, "newton-cholesky").point


@pytest.mark.parametrize("block", range(4))
def test_an_exact_step_shows_overlap_only_where_there_is_some(block):
    """Near the optimum of 100 problems it decides as the linear programme does, both ways."""
    verdicts = []
    for seed in range(25 * block, 25 * (block + 1)):
        objective = make(*overlapping_or_not(seed), free=slice(None))
        point = near_optimum(objective, 1e-6)
        verdicts.append((shows_overlap(objective, point), is_separated(objective, point)))
    assert set(verdicts) == {(True, False), (False, True)}


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_collinear_columns_hide_no_direction(n_classes, separable):
    """Indicators of every group beside an intercept: flat directions that move no margin."""
    rng = np.random.default_rng(n_classes)
    X = np.column_stack([rng.standard_normal((300, 3)), np.eye(4)[rng.integers(0, 4, 300)]])
    y = (X[:, :1] * np.arange(n_classes) + rng.gumbel(size=(300, n_classes))).argmax(axis=1)
    if separable:
        X[:, 2] = (y == 1) & (rng.random(300) < 0.2)
    objective = make(X, y, free=slice(None))
    assert shows_overlap(objective, near_optimum(objective, 1e-6)) is not separable
    for solver in SOLVERS:
        _, caught = fit(X, y, C=np.inf, solver=solver)
        assert caught == [SeparationWarning] * separable


def test_overlap_is_not_looked_for_where_it_costs_more_than_a_fit(monkeypatch):
    """Too many parameters, or rows out of reach: None."""
    objective = make(*overlapping_or_not(1), free=slice(None))
    assert shows_overlap(objective, objective.null_point) is not None
    monkeypatch.setattr(separation_module, "_MAX_VARIABLES", 1)
    assert shows_overlap(objective, objective.null_point) is None
    monkeypatch.undo()
    monkeypatch.setattr(Objective, "on_host", lambda self, expanded=False: None)
    assert shows_overlap(objective, objective.null_point) is None


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
@pytest.mark.parametrize("seed", [53, 146, 461, 956, 2167, 4252, 6335, 8119])
def test_inexact_steps_hide_no_separation(seed, solver):
    """Where a direction separates, gradient and curvature are small, and a residual hides both."""
    X, y = overlapping_or_not(seed)
    infimum = SoftmaxRegression(C=np.inf, tol=1e-8, solver="newton-cholesky")
    with pytest.warns(SeparationWarning):
        infimum.fit(X, y)
    model, caught = fit(X, y, C=np.inf, solver=solver)
    assert caught == [SeparationWarning]
    assert model.objective_ <= (1 + 1e-4) * infimum.objective_


@pytest.mark.parametrize("options", [
    {"C": np.inf}, {"penalty_factor": [0, 1]}, {"penalty_factor": [0, 1], "l1_ratio": 1.0},
], ids=str)
@pytest.mark.parametrize("scale", [1e4, 1e6])
@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_a_row_of_large_values_hides_no_optimum(seed, scale, options):
    """Slow steps move its margin for a while; then the objective falls by several percent."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 2))
    y = (rng.standard_normal((60, 2)) + np.c_[X[:, 0], np.zeros(60)]).argmax(axis=1)
    X[0] *= scale
    optimum = SoftmaxRegression(**options, tol=1e-10).fit(X, y).objective_
    model, caught = fit(X, y, **options)
    assert not caught and model.objective_ <= (1 + 1e-3) * optimum


def test_rows_out_of_reach(monkeypatch):
    """Sums are all there is: complete separation by the number of errors, else undecided."""
    monkeypatch.setattr(Objective, "on_host", lambda self, expanded=False: None)
    X, y = bundled("iris")
    objective = make(X, (y > 0).astype(int))
    result = minimise(objective, None, Monitor(objective, tol=1e-4, max_iter=100))
    assert result.status == "separable"
    assert is_separated(objective, objective.null_point) is None
    assert largest_move(objective, result.theta) == 0.0


@pytest.mark.parametrize("limit", ["_MAX_VARIABLES", "_MAX_NONZEROS", "_MAX_PIVOTS"])
def test_without_a_proof_the_warning_claims_none(monkeypatch, limit):
    """A programme too large: a ConvergenceWarning that names both possible reasons."""
    monkeypatch.setattr(separation_module, limit, 1)
    X, y = with_indicator(3)
    with pytest.warns(ConvergenceWarning, match="may be separable, or nearly collinear") as caught:
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert not any(issubclass(w.category, SeparationWarning) for w in caught)
    expected, _ = fit(X, y, C=np.inf)
    assert model.objective_ <= (1 + model.tol) * expected.objective_


def test_a_proof_is_tried_a_few_times_only(monkeypatch):
    """Attempts without success: at most MAX_PROOFS and the last one."""
    attempts = []
    monkeypatch.setattr(monitor_module, "is_separated", lambda *args: attempts.append(1))
    objective = make(*with_indicator(2))
    result = minimise(objective, None, Monitor(objective, tol=1e-4, max_iter=200))
    assert result.status == "undecided"
    assert len(attempts) <= monitor_module.MAX_PROOFS + 1


def test_moves_of_the_margins():
    """largest_move is max |(D_y - D_k)'[x, 1]| over rows of weight and classes."""
    X, y = with_indicator(3)
    weight = np.ones(len(y))
    weight[::7] = 0.0
    objective = make(X, y, weight)
    step = np.random.default_rng(1).standard_normal(objective.shape)
    logits = (X - np.average(X, axis=0, weights=weight)) @ step[:, :-1].T + step[:, -1]
    moves = np.abs(logits[np.arange(len(y)), y][:, np.newaxis] - logits)[weight > 0]
    assert largest_move(objective, step) == pytest.approx(moves.max(), rel=1e-12)
