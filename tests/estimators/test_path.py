"""The regularisation path: each fit certified, the same as on its own."""

import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression, softmax_path
from softmax_reg.estimators.path import _continued

from ..problems import bundled

X, y = bundled("wine")


@pytest.mark.parametrize("options", [
    {}, {"l1_ratio": 0.5}, {"l1_ratio": 0.0}, {"grouped": True}, {"fit_intercept": False},
    {"class_weight": "balanced"}, {"penalty_factor": np.r_[np.inf, np.ones(12)]},
], ids=str)
def test_every_fit_is_certified_and_as_on_its_own(options):
    """gap <= tol f; the objective of SoftmaxRegression(C) within both certificates."""
    path = softmax_path(X, y, n_Cs=6, tol=1e-6, **options)
    assert path.coefs.shape == (6, 3, 13) and path.intercepts.shape == (6, 3)
    assert np.all(np.diff(path.Cs) > 0)
    assert np.all(path.dual_gaps <= 1e-6 * path.objectives)
    for i, C in enumerate(path.Cs):
        model = SoftmaxRegression(C=C, **{"l1_ratio": 1.0, "tol": 1e-6, **options}).fit(X, y)
        assert path.objectives[i] == pytest.approx(model.objective_, rel=2e-6)
        assert path.degrees_of_freedom[i] == np.count_nonzero(path.coefs[i])
    assert np.all(np.diff(path.objectives) < 0)
    assert np.all(np.diff(path.deviances_explained) > 0)
    assert np.all((path.deviances_explained < 1) & (path.deviances_explained >= -1e-12))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("options", [
    {}, {"grouped": True}, {"l1_ratio": 0.2}, {"penalty_factor": np.linspace(0.5, 2, 13)},
    {"fit_intercept": False}, {"sample_weight": np.linspace(0, 2, len(y))},
], ids=str)
def test_starts_where_the_first_coefficient_is_about_to_enter(kind, options):
    """All zero at the first C, not at one a millionth larger."""
    path = softmax_path(kind(X), y, n_Cs=2, eps=1 / (1 + 1e-6), tol=1e-12, **options)
    assert path.degrees_of_freedom[0] == 0
    assert path.degrees_of_freedom[1] > 0


def test_starts_with_what_is_not_penalised():
    """Those coefficients alone."""
    factor = np.r_[0.0, np.ones(12)]
    path = softmax_path(X, y, n_Cs=3, penalty_factor=factor, tol=1e-9)
    assert path.degrees_of_freedom[0] == 3 and np.all(path.coefs[0][:, 0] != 0)
    assert np.all(path.dual_gaps == np.inf)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.usefixtures("by_kernels")
def test_given_grid_in_any_order(wide):
    """Results are in the order of Cs; L2 on wide data keeps its reduction."""
    rng = np.random.default_rng(0)
    data = (rng.standard_normal((40, 3000)), np.arange(40) % 3) if wide else (X, y)
    Cs = [1.0, 0.01, 100.0]
    path = softmax_path(*data, Cs=Cs, l1_ratio=0.0)
    np.testing.assert_array_equal(path.Cs, Cs)
    assert np.argsort(path.objectives).tolist() == [2, 0, 1]
    assert np.all(path.dual_gaps <= 1e-4 * path.objectives)


def test_float32_and_binary():
    """The dtype of X; one row of coefficients."""
    path = softmax_path(X.astype(np.float32), y == 1, n_Cs=3)
    assert path.coefs.dtype == path.intercepts.dtype == np.float32
    assert path.coefs.shape == (3, 1, 13)
    assert path.classes.tolist() == [False, True]


@pytest.mark.parametrize("options, message", [
    ({"Cs": []}, "Cs must be"), ({"Cs": [1.0, 0.0]}, "Cs must be positive"),
    ({"Cs": [1.0, np.nan]}, "Cs must be positive"), ({"Cs": [np.inf]}, "Cs must be positive"),
    ({"Cs": 10}, "Cs must be"),
    ({"n_Cs": 0}, "n_Cs must be"), ({"n_Cs": 2.5}, "n_Cs must be"), ({"eps": 1.0}, "eps must be"),
    ({"l1_ratio": 2}, "'l1_ratio'"), ({"solver": "lbfgs"}, "smooth penalties only"),
])
def test_bad_arguments(options, message):
    """A ValueError that names the argument."""
    with pytest.raises(ValueError, match=message):
        softmax_path(X, y, **options)


def test_one_warning_for_all_fits_that_fell_short():
    """How many, and the worst of them."""
    with pytest.warns(ConvergenceWarning, match="for 3 of 4 values of C") as record:
        softmax_path(X, y, n_Cs=4, max_iter=1)
    assert len(record) == 1


def test_a_single_class_with_weight():
    """Nothing to fit: objective 0, and a warning names the others."""
    weight = (y == 1).astype(float)
    with pytest.warns(UserWarning, match=r"Classes \[0, 2\] have a total weight of zero"):
        path = softmax_path(X, y, Cs=[1.0], sample_weight=weight)
    assert path.objectives.tolist() == [0.0] and not path.coefs.any()
    assert path.intercepts[0].argmax() == 1
    with pytest.warns(UserWarning, match="total weight of zero"):
        assert softmax_path(X, y, n_Cs=2, sample_weight=weight).Cs[0] == 1.0


@pytest.mark.compiled
@pytest.mark.usefixtures("by_kernels")
def test_default_grid_of_ridge_on_wide_data():
    """Starts where lasso's share of 0.001 would: a fact of X, not of its reduction."""
    rng = np.random.default_rng(0)
    wide, labels = rng.standard_normal((40, 3000)), np.arange(40) % 3
    ridge = softmax_path(wide, labels, n_Cs=2, l1_ratio=0.0)
    lasso = softmax_path(wide, labels, n_Cs=2)
    assert ridge.Cs[0] == pytest.approx(1e-3 * lasso.Cs[0], rel=1e-12)


def test_starts_continue_the_curve_through_the_last_fits():
    """In log C; with kinks zeros stay and signs do not change."""
    old = np.array([[1.0, 0.0, 3.0, 0.0]]), np.array([1.0])
    new = np.array([[2.0, 1.0, 1.0, 0.0]]), np.array([3.0])
    line = [(0.0, *old), (1.0, *new)]
    assert _continued([], 0.0, False) == []
    assert _continued(line[:1], 1.0, False) == []
    ((coef, intercept),) = _continued(line, 1.5, False)
    np.testing.assert_array_equal(coef, [[2.5, 1.5, 0.0, 0.0]])
    np.testing.assert_array_equal(intercept, [4.0])
    ((coef, _),) = _continued(line, 2.0, False)
    np.testing.assert_array_equal(coef, [[3.0, 2.0, -1.0, 0.0]])
    ((coef, _),) = _continued(line, 2.0, True)
    np.testing.assert_array_equal(coef, [[3.0, 2.0, 0.0, 0.0]])
    assert _continued(line, np.inf, False) == []
    assert _continued([line[1], line[1]], 1.0, False) == []
    assert _continued(line, 1.0, False) == []


@pytest.mark.parametrize("at", [2.5, 3.0, 7.0])
def test_three_fits_on_a_parabola_are_continued_exactly(at):
    """Unevenly spaced in log C, too."""
    a, b, c = np.random.default_rng(0).standard_normal((3, 2, 5))
    fits = [(t, a + b * t + c * t**2, (a - b * t**2)[:, 0]) for t in (-1.0, 0.5, 2.0)]
    ((coef, intercept),) = _continued(fits, at, False)
    np.testing.assert_allclose(coef, a + b * at + c * at**2, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(intercept, (a - b * at**2)[:, 0], rtol=1e-13, atol=1e-13)


@pytest.mark.compiled    # minutes without
@pytest.mark.usefixtures("by_kernels")
def test_a_path_of_separable_rows_takes_fewer_iterations_than_warm_starts():
    """Coefficients that grow with log C: extrapolated, fits take less than half as many."""
    X, y = bundled("digits", standardised=True)
    Cs = np.logspace(2, 5, 16)
    path = softmax_path(X, y, Cs=Cs, l1_ratio=0.0, solver="newton-cg")
    model = SoftmaxRegression(warm_start=True, solver="newton-cg")
    warm = [int(model.set_params(C=C).fit(X, y).n_iter_[0]) for C in Cs]
    assert path.n_iters[3:].sum() < sum(warm[3:]) / 2
    assert (path.dual_gaps <= 1e-4 * path.objectives).all()


def test_representation_is_a_line():
    """Sizes and ranges, for two classes and more, and as long for any grid."""
    X, y = bundled("iris")
    shown = repr(softmax_path(X, y, Cs=[1e-4, 0.1, 1.0]))
    assert re.fullmatch("<SoftmaxPath: 3 values of C from 0.0001 to 1, 3 rows of 4 coefficients, "
                        r"\d+ to \d+ of them nonzero>", shown)
    binary = repr(softmax_path(X[:100], y[:100], Cs=[1.0]))
    assert "1 values" not in binary and "a row of 4 coefficients" in binary
