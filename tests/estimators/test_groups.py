"""Groups of features under one norm, against an independent reference solved to 1e-10."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, softmax_path

from ..problems import EPS
from ..sparse_reference import group_sizes, reference_optimum, value_and_bound

pytestmark = pytest.mark.compiled    # interpreted, the reference alone takes minutes
SIZES = (1, 20, 3, 7, 2)
N_SAMPLES = 150


@functools.cache
def problem(n_classes):
    """X on scales that overlap from group to group, y, and a group for every column, mixed."""
    rng = np.random.default_rng(n_classes)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    X = rng.standard_normal((N_SAMPLES, len(labels))) * rng.uniform(0.3, 3.0, len(labels)) + 2
    X[:, 1:] += X[:, :-1] / 2    # columns of different groups are correlated
    counts = np.isin(labels, (1, 2))
    signal = X @ (counts[:, np.newaxis] * rng.standard_normal((len(labels), n_classes)))
    y = np.argmax(signal / signal.std() + rng.gumbel(size=signal.shape), axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y, labels


@functools.cache
def optimum(n_classes, l1_ratio, C, by_size=False):
    """(coef, intercept, value, gap) of the reference, and its arguments of the penalty."""
    X, y, labels = problem(n_classes)
    factor = np.sqrt(np.array(SIZES))[labels] if by_size else np.ones(len(labels))
    strength = 1 / (C * len(y))
    arguments = l1_ratio * strength, (1 - l1_ratio) * strength
    found = reference_optimum(
        X, y, np.full(len(y), 1 / len(y)), 1 if n_classes == 2 else n_classes, *arguments,
        factor=factor, grouped=tuple(labels), accuracy=1e-10,
    )
    return *found, (*arguments, factor, labels, True)


@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize("solver", ["proximal-newton", "proximal-lbfgs"])
@pytest.mark.parametrize("l1_ratio, C", [(1.0, 0.1), (0.5, 0.3)])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_optimum_is_the_references(monkeypatch, n_classes, l1_ratio, C, solver, by_size):
    """Value, certificate and groups that are zero, for both solvers, with weights by size."""
    monkeypatch.setattr("softmax_reg.estimators.regression.choose_solver", lambda _: solver)
    X, y, labels = problem(n_classes)
    *_, value, gap, arguments = optimum(n_classes, l1_ratio, C, by_size)
    assert gap <= 1e-10
    model = SoftmaxRegression(
        C=C, l1_ratio=l1_ratio, grouped=n_classes > 2, groups=labels, tol=1e-8,
        penalty_factor=arguments[2],
    ).fit(X, y)
    assert model.dual_gap_ <= 1e-8 * model.objective_
    assert -gap - 64 * EPS <= (model.objective_ - value) / value <= 1e-8
    here, bound, grad = value_and_bound(
        X, y, np.full(len(y), 1 / len(y)), model.coef_, model.intercept_, *arguments
    )
    rounding = 64 * EPS * (1 + abs(X).max() * abs(model.coef_).sum())
    assert abs(float(here) - model.objective_) <= rounding
    assert model.objective_ - model.dual_gap_ <= value + rounding
    # A group is in with all of its features or out with all of them.
    is_in = np.array([np.any(model.coef_[:, labels == g], axis=0) for g in range(len(SIZES))],
                     dtype=object)
    assert all(np.all(group) or not np.any(group) for group in is_in)
    # Groups whose gradient is clearly within the threshold are out.
    l1, _, factor, *_ = arguments
    out = group_sizes(np.asarray(grad, float), labels) < l1 * factor * (1 - 1e-3)
    assert np.all(model.coef_[:, out] == 0)


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, RowBlocks, np.float32])
def test_every_form_of_X(form):
    """CSR and rows on disk are dense; float32 to its rounding."""
    X, y, labels = problem(3)
    options = {"C": 0.1, "l1_ratio": 1.0, "grouped": True, "groups": labels, "tol": 1e-10}
    expected = SoftmaxRegression(**options).fit(X.astype(np.float32).astype(float), y)
    given = X.astype(np.float32)
    given = given if form is np.float32 else form(given.astype(float))
    model = SoftmaxRegression(**options).fit(given, y)
    assert abs(model.objective_ - expected.objective_) <= 2e-10 * expected.objective_ + (
        16 * np.finfo(np.float32).eps if form is np.float32 else 0
    )
    np.testing.assert_array_equal(model.coef_ != 0, expected.coef_ != 0)


def test_a_group_for_each_feature_is_the_default():
    """groups=None and all groups different give the same bits."""
    X, y, _ = problem(3)
    options = {"C": 0.1, "l1_ratio": 1.0, "grouped": True}
    models = [
        SoftmaxRegression(**options, groups=groups).fit(X, y)
        for groups in (None, [f"x{j}" for j in range(X.shape[1])])
    ]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


def test_order_of_the_columns_does_not_matter():
    """Groups next to each other, or mixed: the same model, to what both certify."""
    X, y, labels = problem(10)
    order = np.argsort(labels, kind="stable")
    options = {"C": 0.1, "l1_ratio": 0.9, "grouped": True, "tol": 1e-10}
    mixed = SoftmaxRegression(**options, groups=labels).fit(X, y)
    sorted_ = SoftmaxRegression(**options, groups=labels[order]).fit(X[:, order], y)
    assert abs(mixed.objective_ - sorted_.objective_) <= 2e-10 * mixed.objective_
    np.testing.assert_array_equal(mixed.coef_[:, order] != 0, sorted_.coef_ != 0)


def test_constant_and_left_out_features_of_a_group():
    """Their coefficients are 0, and those of the rest are as if they were not there."""
    X, y, labels = problem(3)
    wide = np.column_stack([np.full(len(X), 7.0), X[:, ::-1], X[:, 0] ** 2])
    groups = np.concatenate([[1], labels[::-1], [1]])
    factor = np.append(np.ones(wide.shape[1] - 1), np.inf)
    options = {"C": 0.1, "l1_ratio": 1.0, "grouped": True, "tol": 1e-10}
    plain = SoftmaxRegression(**options, groups=labels).fit(X, y)
    model = SoftmaxRegression(**options, groups=groups, penalty_factor=factor).fit(wide, y)
    assert np.all(model.coef_[:, [0, -1]] == 0)
    assert abs(model.objective_ - plain.objective_) <= 2e-10 * plain.objective_


def test_paths_and_cross_validation():
    """The first C of a path has no group, later ones whole groups; CV takes groups too."""
    X, y, labels = problem(3)
    path = softmax_path(X, y, n_Cs=10, grouped=True, groups=labels)
    assert not np.any(path.coefs[0]) and np.any(path.coefs[1])
    assert np.all(path.dual_gaps <= 1e-4 * path.objectives)
    is_in = (path.coefs != 0).any(axis=1)
    for label in range(len(SIZES)):
        members = is_in[:, labels == label]
        np.testing.assert_array_equal(members.any(axis=1), members.all(axis=1))
    options = {"grouped": True, "groups": labels, "tol": 1e-6}
    search = SoftmaxRegressionCV(Cs=[0.03, 0.3], l1_ratios=[1.0], cv=3, **options).fit(X, y)
    single = SoftmaxRegression(C=search.C_, l1_ratio=1.0, **options).fit(X, y)
    assert abs(search.objective_ - single.objective_) <= 2e-6 * single.objective_


def test_without_an_l1_part_groups_change_nothing():
    """The L2 penalty knows no groups."""
    X, y, labels = problem(3)
    plain = SoftmaxRegression().fit(X, y)
    model = SoftmaxRegression(grouped=True, groups=labels).fit(X, y)
    assert abs(model.objective_ - plain.objective_) <= plain.dual_gap_ + model.dual_gap_
    paths = [
        softmax_path(X, y, n_Cs=3, l1_ratio=0.0, grouped=True, groups=groups)
        for groups in (None, labels)
    ]
    np.testing.assert_array_equal(paths[0].Cs, paths[1].Cs)


@pytest.mark.parametrize("form", [
    list,
    lambda names: np.array(names, dtype=object),
    lambda names: pd.Series(names, dtype=object),
])
def test_names_of_groups(form):
    """The integer 1 and the name "1" are two groups; integers of any type and dtype are one."""
    X, y, _ = problem(3)
    names = [np.int64(1), 1, 1.0, True, "1", np.str_("1")]
    options = {"C": 0.03, "l1_ratio": 1.0, "grouped": True}
    model = SoftmaxRegression(**options, groups=form(names)).fit(X[:, :6], y)
    expected = SoftmaxRegression(**options, groups=[0, 0, 0, 0, 1, 1]).fit(X[:, :6], y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"groups": [0, 1]}, r"groups must have shape \(33,\), .* got shape \(2,\)"),
        ({"groups": np.zeros(33), "grouped": False}, "groups needs grouped=True .* 3 classes"),
        ({"groups": np.linspace(0, 1, 33)}, r"groups must hold integers or names, got 0\.03"),
        ({"groups": [None] * 33}, "groups must hold integers or names, got None"),
        ({"groups": np.arange(33) // 3, "penalty_factor": np.append(np.ones(32), 2)},
         r"penalty_factor must be the same .* got 1.0 and 2.0 in group 10"),
    ],
)
def test_bad_groups(options, message):
    """Each names the parameter, what was given and what was expected."""
    X, y, _ = problem(3)
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression(l1_ratio=1.0, **{"grouped": True} | options).fit(X, y)
