"""Fits of all C, and of all folds, of small problems with an L1 part at once."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.estimators import folds, path
from softmax_reg.estimators.validation import check_training_data
from softmax_reg.problem import together
from softmax_reg.problem.family import Family
from softmax_reg.problem.problem import Problem
from softmax_reg.solvers import newton_together

from .test_fits_together import CASES, X, Y

N_CS = 16    # enough for several stages
FIELDS = "coefs", "intercepts", "objectives", "dual_gaps", "n_iters", "degrees_of_freedom"
ELASTIC = "iris", "two overlapping classes", "no intercept", "penalty factors"


def fitted(case, l1_ratio, **options):
    X, y, own = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)    # a class of weight 0, far float32
        return softmax_path(X, y, l1_ratio=l1_ratio, **own, **options)


@pytest.mark.parametrize(
    "case, l1_ratio", [(case, 1.0) for case in CASES] + [(case, 0.3) for case in ELASTIC]
)
def test_fits_together_equal_single_fits_within_both_certificates(case, l1_ratio, monkeypatch):
    """f - f* <= gap <= tol f for fits together, with f* from single fits to a tight tolerance."""
    several = fitted(case, l1_ratio, n_Cs=N_CS)
    for module in path, folds:
        monkeypatch.setattr(module, "suits_together", lambda *args: False)
    monkeypatch.setattr(together, "newton_together", None)
    best = fitted(case, l1_ratio, Cs=several.Cs, tol=1e-9)
    # Objectives are those of the predictions' own logits, in float32 where X and coef are. Far
    # from the mean these logits lose 4 digits more.
    relative = 1e-3 if "far" in case else 1e-6 if "float32" in case else 1e-13
    rounding = relative * best.objectives
    assert np.all(several.objectives - best.objectives <= several.dual_gaps + rounding)
    assert np.all(several.objectives >= best.objectives - best.dual_gaps - rounding)
    assert np.all(several.dual_gaps <= 1e-4 * several.objectives + rounding)
    for name in FIELDS:
        assert getattr(several, name).shape == getattr(best, name).shape
    is_narrow = "float32" in case and "far" not in case
    assert several.coefs.dtype == several.intercepts.dtype == (
        np.float32 if is_narrow else np.float64
    )
    assert not several.coefs[0].any()
    assert several.coefs[1].any()
    assert_array_equal(several.coefs[:, :, ~best.coefs.any(axis=(0, 1))], 0.0)


def test_all_small_models_are_fitted_together(monkeypatch):
    """A path is one family, and so are all folds and l1_ratios of a cross-validation."""
    sizes, minimised = [], together.newton_together

    def counted(family, tol):
        sizes.append((family.n, family.has_kinks))
        return minimised(family, tol)

    monkeypatch.setattr(together, "newton_together", counted)
    softmax_path(X, Y, n_Cs=N_CS)
    SoftmaxRegressionCV(Cs=4, l1_ratios=(0.5, 1.0), cv=3).fit(X, Y)
    assert sizes == [(N_CS, True), (3 * 2 * 4, True)]


@pytest.mark.parametrize("case", ["iris", "two overlapping classes", "smoothed labels"])
def test_cross_validations_choose_what_single_fits_do(case, monkeypatch):
    """Scores, coefficients and numbers of iterations have the shapes and scores of single fits."""
    X, y, options = CASES[case]
    models = []
    for _ in range(2):
        model = SoftmaxRegressionCV(Cs=4, l1_ratios=(0.2, 1.0), cv=2, tol=1e-7, **options)
        models.append(model.fit(X, y))
        for module in path, folds:
            monkeypatch.setattr(module, "suits_together", lambda *args: False)
    several, single = models
    for name in ("scores_", "coefs_paths_", "gaps_paths_", "n_iter_"):
        assert getattr(several, name).shape == getattr(single, name).shape
        assert getattr(several, name).dtype == getattr(single, name).dtype
    assert_allclose(several.scores_, single.scores_, rtol=1e-3)
    assert np.all(several.gaps_paths_ <= np.maximum(1e-7, 2 * single.gaps_paths_))
    assert (several.C_, several.l1_ratio_) == (single.C_, single.l1_ratio_)


@pytest.mark.parametrize("case", ["iris", "two classes", "float32"])
def test_fits_that_do_not_converge_go_on_alone(case, monkeypatch):
    """With 2 evaluations in a stage, `Problem.fit` goes on; its history follows that so far."""
    expected = fitted(case, 1.0, n_Cs=N_CS, tol=1e-5)
    monkeypatch.setattr(newton_together, "MAX_PASSES", 2)
    several = fitted(case, 1.0, n_Cs=N_CS, tol=1e-5)
    assert_allclose(several.objectives, expected.objectives, rtol=1e-5)
    assert np.all(several.dual_gaps <= 1e-5 * several.objectives)
    assert several.n_iters.max() > 2


def test_results_do_not_depend_on_the_threads_of_blas():
    """BLAS may have any number of threads: the bits are the same."""
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            found.append(softmax_path(X, Y, n_Cs=N_CS))
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)


def test_grids_in_any_order_and_with_equal_values():
    """Equal C give equal fits, and the order of the grid is that of the results."""
    Cs = np.repeat(np.logspace(-1, 2, 9), 2)[::-1]
    found = softmax_path(X, Y, Cs=Cs, tol=1e-6)
    assert_array_equal(found.Cs, Cs)
    assert_allclose(found.objectives[::2], found.objectives[1::2], rtol=1e-6)
    assert np.all(np.diff(found.objectives[::2]) > 0)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("y", [Y, Y > 1], ids=["three classes", "two classes"])
def test_values_gaps_and_steps_of_a_family_are_those_of_its_objectives(y, fit_intercept, l1_ratio):
    """`Family` evaluates what `Objective` does, at any thetas; steps minimise quadratic models."""
    rng = np.random.default_rng(0)
    data = check_training_data(SoftmaxRegression(), X, y, None, None)
    factor = np.array([1.0, 2.0, 0.5, 1.0])
    problem = Problem(
        data, C=1.0, fit_intercept=fit_intercept, l1_ratio=l1_ratio, penalty_factor=factor
    )
    Cs = np.array([0.1, 3.0, 40.0])
    family = Family([problem.member(Cs)])
    thetas = rng.standard_normal(family.null_theta.shape)
    thetas[0] = family.null_theta[0]
    thetas[1, :, ::2] = 0.0
    if not fit_intercept:
        thetas[..., -1] = 0.0
    index = np.arange(3)
    points, q = family.evaluate(index, thetas)
    gaps = family.gaps(index, points)
    steps, slopes, decreases = family.steps(index, points, q, index >= 0)
    derivatives = family.slopes(index, points, steps)
    for b, C in enumerate(Cs):
        problem.set_C(C)
        objective = problem.objective
        point = objective.evaluate(thetas[b], with_hessian=True)
        assert_allclose(points.value[b], point.value, rtol=1e-14)
        assert_allclose(points.grad[b], point.grad, atol=1e-13)
        assert_allclose(gaps[b], objective.gap(point), rtol=1e-11)
        end, threshold = thetas[b] + steps[b], np.append(objective.penalty.threshold, 0.0)
        product = (point.hessian @ steps[b].ravel()).reshape(end.shape)
        slope = point.grad + product
        at_zero = np.maximum(np.abs(slope) - threshold, 0.0)
        inside = np.abs(slope + threshold * np.sign(end))
        assert_allclose(np.where(end == 0, at_zero, inside), 0, atol=1e-6)
        kinks = (threshold * (np.abs(end) - np.abs(thetas[b]))).sum()
        promised = np.vdot(point.grad, steps[b]) + kinks
        assert_allclose(slopes[b], promised, rtol=1e-12)
        assert_allclose(decreases[b], -promised - np.vdot(steps[b], product) / 2, rtol=1e-9)
        behind = objective.evaluate(thetas[b] - 1e-6 * steps[b]).value
        assert_allclose((point.value - behind) / 1e-6, derivatives[b], rtol=1e-3, atol=1e-8)
