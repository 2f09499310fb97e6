"""Fits of all C, and of all folds, of small problems at once."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.estimators import folds, path, scoring
from softmax_reg.estimators.validation import check_training_data
from softmax_reg.problem import together
from softmax_reg.problem.certificate import duality_gap
from softmax_reg.problem.family import Family, suits_family
from softmax_reg.problem.penalty import L2Penalty
from softmax_reg.problem.problem import Problem
from softmax_reg.solvers import newton_together

X, Y = load_iris(return_X_y=True)
WINE, WINE_Y = load_wine(return_X_y=True)
CS = np.logspace(-4, 4, 6)
ROWS = np.arange(len(Y))
CASES = {
    "iris": (X, Y, {}),
    "wine, columns of unlike scales": (WINE, WINE_Y, {}),
    "two classes": (X, Y > 0, {}),
    "two overlapping classes": (X, Y > 1, {}),
    "weights of 0": (X, Y, {"sample_weight": (ROWS % 3).astype(float)}),
    "a class of weight 0": (X, Y, {"sample_weight": (Y > 0) * (1.0 + ROWS % 2)}),
    "class weights": (X, Y, {"class_weight": {0: 0.1, 1: 3.0, 2: 1.0}}),
    "smoothed labels": (X, Y, {"label_smoothing": 0.1}),
    "distributions": (X, np.eye(3)[Y] * 0.7 + 0.1, {}),
    "two distributions": (X, np.column_stack([0.2 + 0.6 * (Y > 1), 0.8 - 0.6 * (Y > 1)]), {}),
    "no intercept": (X, Y, {"fit_intercept": False}),
    "no intercept, two classes": (X, Y > 1, {"fit_intercept": False}),
    "float32": (X.astype(np.float32), Y, {}),
    "float32, columns of unlike scales": (WINE.astype(np.float32), WINE_Y, {}),
    "a constant column": (np.column_stack([X[:, :2], np.full(len(X), 3.0), X[:, 2:]]), Y, {}),
    "penalty factors": (X, Y, {"penalty_factor": [1.0, 0.5, np.inf, 10.0]}),
    "float32 far from the mean": ((X + 1e4).astype(np.float32), Y, {}),
}
FIELDS = "Cs", "coefs", "intercepts", "objectives", "dual_gaps", "n_iters"
everything = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def calls(monkeypatch):
    """Return the list of the sizes of the families that are minimised."""
    sizes, minimised = [], together.newton_together

    def counted(family, tol):
        sizes.append(family.n)
        return minimised(family, tol)

    monkeypatch.setattr(together, "newton_together", counted)
    return sizes


def one_by_one(monkeypatch):
    """Let every fit take the path of large problems."""
    for module in path, folds:
        monkeypatch.setattr(module, "suits_together", lambda *args: False)


def fitted(case, tol=1e-4, Cs=CS, **options):
    X, y, own = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)    # a class of weight 0, far float32
        return softmax_path(X, y, l1_ratio=0, Cs=Cs, tol=tol, **own, **options)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
@everything
def test_fits_together_equal_single_fits_within_both_certificates(case, tol, calls, monkeypatch):
    """f - f* <= gap <= tol f for fits together, with f* from single fits to a tight tolerance."""
    several = fitted(case, tol)
    assert calls == [len(CS)]
    one_by_one(monkeypatch)
    best = fitted(case, 1e-12)
    single = fitted(case, tol)
    assert len(calls) == 1
    optimum = best.objectives - best.dual_gaps    # a lower bound
    # Objectives are those of the predictions' own logits, in float32 where X and coef are. Far
    # from the mean these logits lose 4 digits more.
    relative = 1e-3 if "far" in case else 1e-6 if "float32" in case else 1e-13
    rounding = relative * best.objectives
    assert np.all(several.objectives - best.objectives <= several.dual_gaps + rounding)
    assert np.all(several.objectives >= optimum - rounding)
    assert np.all(several.dual_gaps <= np.maximum(tol * several.objectives, 2 * single.dual_gaps))
    for name in FIELDS:
        assert getattr(several, name).dtype == getattr(single, name).dtype
        assert getattr(several, name).shape == getattr(single, name).shape
    assert_array_equal(several.degrees_of_freedom, single.degrees_of_freedom)


@everything
def test_a_fit_depends_on_the_other_C_by_rounding_alone(case):
    """Fits for some C are those of a longer grid, with as many iterations."""
    several, some = fitted(case), fitted(case, Cs=CS[1::2])
    assert_array_equal(several.n_iters[1::2], some.n_iters)
    assert_allclose(several.objectives[1::2], some.objectives, rtol=1e-6)


@everything
def test_cross_validation_scores_and_shapes(case, calls, monkeypatch):
    """Scores, coefficients and numbers of iterations have the shapes and scores of single fits."""
    X, y, options = CASES[case]
    weight = options.get("sample_weight")
    options = {name: value for name, value in options.items() if name != "sample_weight"}

    def model():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return SoftmaxRegressionCV(Cs=CS, cv=3, tol=1e-8, **options).fit(X, y, weight)

    several = model()
    assert calls[0] == 3 * len(CS)
    one_by_one(monkeypatch)
    single = model()
    for name in ("scores_", "coefs_paths_", "gaps_paths_", "n_iter_"):
        assert getattr(several, name).shape == getattr(single, name).shape
        assert getattr(several, name).dtype == getattr(single, name).dtype
    assert np.all(several.gaps_paths_ <= np.maximum(1e-8, 2 * single.gaps_paths_))
    assert_allclose(several.scores_, single.scores_, rtol=1e-2)
    assert several.C_ == single.C_


def test_folds_that_lack_classes_are_fitted_without_them(monkeypatch):
    """Folds of other numbers of classes are families of their own, with the scores of singles."""
    two = Y.argsort(kind="stable")
    scores = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="3 of 3 folds lack classes"):
            model = SoftmaxRegressionCV(Cs=CS, cv=KFold(3), tol=1e-8).fit(X[two], Y[two])
        scores.append(model.scores_)
        one_by_one(monkeypatch)
    assert_allclose(*scores, rtol=1e-3)


def test_l1_ratios_and_orders_of_C_mix():
    """Smooth and sparse penalties are families of their own; C come in any order."""
    Cs = [1.0, 1e-3, 30.0]
    model = SoftmaxRegressionCV(Cs=Cs, l1_ratios=(0.0, 1.0), cv=3, tol=1e-8).fit(X, Y)
    for i, l1_ratio in enumerate(model.l1_ratios_):
        for j, C in enumerate(Cs):
            (alone,) = SoftmaxRegressionCV(Cs=[C], l1_ratios=(l1_ratio,), cv=3, tol=1e-8).fit(
                X, Y
            ).scores_.reshape(1, -1)
            assert_allclose(model.scores_[:, i, j], alone, rtol=1e-3)


@pytest.mark.parametrize("options", [
    {"max_iter": 39}, {"tol": 0.0}, {"solver": "newton-cholesky"},
    {"l1_ratio": 0.5, "grouped": True},
    {"l1_ratio": 0.5, "grouped": True, "groups": [0, 0, 1, 1]},
    {"penalty_factor": [0.0, 1.0, 1.0, 1.0]}, {"bounds": (-1.0, 1.0)},
    {"offset": np.zeros((150, 3))},
])
def test_other_problems_are_fitted_one_after_another(options, calls):
    """Groups, free features, offsets, a chosen solver, a small max_iter and tol=0 are single."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        softmax_path(X, Y, Cs=CS, **{"l1_ratio": 0, **options})
        softmax_path(sparse.csr_array(X), Y, Cs=CS, l1_ratio=0)
        SoftmaxRegressionCV(Cs=[1.0, np.inf], cv=2).fit(X, Y % 2)
    assert not calls


def test_a_small_max_iter_warns_as_before(calls):
    """The warning names max_iter, and no fit has more iterations."""
    with pytest.warns(ConvergenceWarning, match=r"failed to converge.*max_iter=1\)"):
        several = softmax_path(X, Y, Cs=CS, l1_ratio=0, max_iter=1)
    assert several.n_iters.max() == 1
    assert not calls


@pytest.mark.parametrize("C", [1e6, 1e10, 1e14])
def test_separable_classes_with_a_weak_penalty(C):
    """Fits end with a certificate at a C so large that the objective is near 0."""
    several = softmax_path(X, Y == 0, Cs=[1.0, C], l1_ratio=0)
    assert several.objectives[1] < 1e-4
    assert np.all(several.dual_gaps <= 1e-4 * several.objectives)


@pytest.mark.parametrize("case", ["iris", "two classes", "float32", "smoothed labels"])
def test_fits_that_do_not_converge_go_on_alone(case, monkeypatch):
    """With 4 evaluations at most, `Problem.fit` goes on; its history follows that so far."""
    X, y, options = CASES[case]
    expected = fitted(case, 1e-6)
    monkeypatch.setattr(newton_together, "MAX_PASSES", 4)
    found, minimised = [], together.fit_together

    def kept(*args, **kwargs):
        found.extend(minimised(*args, **kwargs))
        return found

    monkeypatch.setattr(path, "fit_together", kept)
    several = fitted(case, 1e-6)
    assert_allclose(several.objectives, expected.objectives, rtol=1e-6)
    assert np.all(several.dual_gaps <= 1e-6 * several.objectives)
    assert several.n_iters.max() > 4
    for fit in found[0]:
        assert_array_equal(fit.history["iteration"], np.arange(fit.n_iter + 1))
        assert np.all(np.diff(fit.history["seconds"]) >= 0)
        assert fit.history["objective"][-1] == fit.value
        assert fit.status == "converged"


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("y", [Y, Y > 1], ids=["three classes", "two classes"])
def test_values_gaps_and_steps_of_a_family_are_those_of_its_objectives(y, fit_intercept):
    """`Family` evaluates what `Objective` does, at any thetas, for rows of several folds."""
    rng = np.random.default_rng(0)
    problems = []
    for rows in (slice(None), slice(20, 140)):
        data = check_training_data(SoftmaxRegression(), X[rows], y[rows], None, None)
        problems.append(Problem(data, C=1.0, fit_intercept=fit_intercept))
    Cs = np.array([0.1, 3.0, 40.0])
    family = Family([problem.member(Cs) for problem in problems])
    thetas = rng.standard_normal(family.null_theta.shape)
    thetas[0] = family.null_theta[0]
    if not fit_intercept:
        thetas[..., -1] = 0.0
    some = np.array([0, 1, 4, 5])
    points, q = family.evaluate(some, thetas[some])
    gaps = family.gaps(some, points)
    meant = np.array([True, False, True, True])
    steps, slopes, half_decrements = family.steps(some[meant], points.some(meant), q, meant)
    for i, b in enumerate(some):
        problem = problems[b // 3]
        problem.set_C(Cs[b % 3])
        objective = problem.objective
        point = objective.evaluate(thetas[b], with_hessian=True)
        assert_allclose(points.value[i], point.value, rtol=1e-14)
        assert_allclose(points.grad[i], point.grad, atol=1e-13)
        assert_allclose(gaps[i], objective.gap(point), rtol=1e-11)
        assert_allclose(gaps[i], min(point.value, duality_gap(
            objective.penalty, thetas[b], point.loss, point.loss_grad, objective._class_sums,
            objective._row_mean, fit_intercept,
        )), rtol=1e-11)
        if meant[i]:
            step = steps[meant[:i].sum()]
            product = point.hessian @ step.ravel()
            assert_allclose(product.reshape(step.shape), -point.grad, atol=1e-10)
            slope = np.vdot(step, point.grad)
            assert_allclose(slopes[meant[:i].sum()], slope, rtol=1e-12)
            assert_allclose(half_decrements[meant[:i].sum()], -slope / 2, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["iris", "two classes"])
def test_delivered_values_are_those_of_the_objective(case, dtype):
    """The logits have the bits of predictions, so values differ by the order of a sum alone."""
    X, y, _ = CASES[case]
    data = check_training_data(SoftmaxRegression(), X.astype(dtype), y, None, None)
    problem = Problem(data, C=1.0, fit_intercept=True)
    objective, part, _ = problem.member([1.0])
    penalties = [L2Penalty(strength) for strength in (1e-3, 0.1)]
    family = Family([(objective, part, penalties)])
    rng = np.random.default_rng(0)
    coefs = rng.standard_normal((2, objective.n_rows, 4)).astype(dtype)
    intercepts = rng.standard_normal((2, objective.n_rows)).astype(dtype)
    for value, penalty, *pair in zip(
        family.delivered_values(coefs, intercepts), penalties, coefs, intercepts, strict=True
    ):
        assert_allclose(value, objective.with_penalty(penalty).delivered_value(*pair), rtol=1e-15)


def test_only_small_shapes_are_fitted_together():
    """The choice depends on the shape alone: iris and wine are small, digits are not."""
    assert suits_family(150, 4, 3) and suits_family(178, 13, 3) and suits_family(569, 30, 1)
    assert not suits_family(1797, 64, 10)
    assert not suits_family(10_000, 10, 3)
    assert not suits_family(1040, 30, 1)


@pytest.mark.parametrize("scale", [1e-120, 1e-20, 1e20, 1e120])
def test_the_unit_of_columns_has_no_effect(scale):
    """A penalty in the same unit gives the same fits, however large or small the squares are."""
    Cs = np.logspace(-3, 3, 4)
    usual = softmax_path(X, Y, Cs=Cs, l1_ratio=0)
    scaled = softmax_path(X * scale, Y, Cs=scale**-2 * Cs, l1_ratio=0)
    assert_array_equal(scaled.n_iters, usual.n_iters)
    assert_allclose(scaled.objectives, usual.objectives, rtol=1e-9)
    assert np.all(scaled.dual_gaps <= 1e-4 * scaled.objectives)


@pytest.mark.parametrize("weight", [None, 1.0 + ROWS % 3])
@pytest.mark.parametrize("case", ["iris", "two classes", "float32"])
def test_log_losses_of_all_models_at_once_have_the_bits_of_single_ones(case, weight, monkeypatch):
    """neg_log_loss of all C from one product equals that of every model on its own."""
    X, y, _ = CASES[case]
    several = SoftmaxRegressionCV(Cs=CS, cv=3).fit(X, y, weight)
    monkeypatch.setattr(scoring, "are_small", lambda *shape: False)
    single = SoftmaxRegressionCV(Cs=CS, cv=3).fit(X, y, weight)
    assert_array_equal(several.scores_, single.scores_)
