"""When L-BFGS computes a Hessian, and what one smooth fit of a path leaves to the next."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from softmax_reg import SoftmaxRegression, softmax_path
from softmax_reg.problem.objective import Objective
from softmax_reg.problem.penalty import L2Penalty, penalty_of
from softmax_reg.solvers import Monitor, minimise
from softmax_reg.solvers import preconditioner as preconditioner_module
from softmax_reg.solvers.costs import iterations_per_hessian, takes_covariance
from softmax_reg.solvers.factor import factorisations
from softmax_reg.solvers.preconditioner import Preconditioner

from ..problems import EPS, bundled, objective_of

# As if all that could be gained were still to gain.
FAR = 35.0


def make(n_samples=400, n_features=6, n_classes=4, l2=1e-3, fit_intercept=True):
    """An objective on features of different spreads."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features)) * 2.0 ** (np.arange(n_features) % 8)
    y = (X / X.std(axis=0) @ rng.standard_normal((n_features, n_classes))
         + rng.gumbel(size=(n_samples, n_classes))).argmax(axis=1)
    return objective_of(
        X, y, np.ones(n_samples), n_classes=n_classes, binary=n_classes == 2,
        penalty=L2Penalty(l2), fit_intercept=fit_intercept,
    )


def somewhere(objective):
    """A point that is not the null model."""
    rng = np.random.default_rng(1)
    theta = rng.standard_normal(objective.shape)
    theta[:, :-1] /= 2.0 ** (np.arange(objective.n_features) % 8)
    theta -= theta.mean(axis=0)
    if not objective.fit_intercept:
        theta[:, -1] = 0.0
    return objective.evaluate(theta)


def condition(objective, point):
    """A bound on the Hessian's condition number, but along the shift of all intercepts."""
    columns = np.eye(point.theta.size).reshape(-1, *point.theta.shape)
    trace = sum(np.sum(v * objective.hess_prod(point.theta, v)) for v in columns)
    return trace / objective.penalty.curvature


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [3, 4])
def test_the_hessians_transform_whitens_it(n_classes, fit_intercept):
    """T' H T is the identity, but along the shift of all intercepts, which changes nothing."""
    objective = make(n_classes=n_classes, fit_intercept=fit_intercept)
    point = somewhere(objective)
    transform = Preconditioner(objective, point, FAR).transform
    columns = np.eye(point.theta.size).reshape(-1, *point.theta.shape)
    if not fit_intercept:    # those of the last column are no parameters
        columns = columns[(columns[:, :, -1] == 0).all(axis=1)]
    found = np.einsum("ikj,mkj->im", columns, np.array([
        transform.apply_transposed(objective.hess_prod(point.theta, transform.apply(v)))
        for v in columns
    ]))
    values = np.linalg.eigvalsh((found + found.T) / 2)
    rounding = EPS * condition(objective, point)
    if fit_intercept:
        assert abs(values[0]) <= rounding
    np.testing.assert_allclose(values[int(fit_intercept):], 1, rtol=rounding)
    v = np.random.default_rng(2).standard_normal(point.theta.shape)
    grad = np.random.default_rng(3).standard_normal(point.theta.shape)
    there, back = transform.apply(v), transform.apply_transposed(grad)
    size = np.linalg.norm(there) * np.linalg.norm(grad)
    assert abs(np.sum(there * grad) - np.sum(v * back)) <= rounding * size


def hessians_taken(monkeypatch, function):
    """How many Hessians `function()` took, and its result."""
    taken = []
    evaluate, hessian = Objective.evaluate, Objective.hessian

    def counting(self, theta, with_hessian=False, **options):
        taken.append(with_hessian)
        return evaluate(self, theta, with_hessian, **options)

    def counting_parts(self, theta, index):
        taken.append(True)
        return hessian(self, theta, index)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "evaluate", counting)
        patch.setattr(Objective, "hessian", counting_parts)
        result = function()
    return sum(taken), result


@pytest.mark.compiled    # minutes without
def test_slow_fits_take_the_hessian_and_need_fewer_iterations(monkeypatch):
    """Raw digits at C = 1: a fraction of the iterations that Kronecker factors alone need."""
    X, y = load_digits(return_X_y=True)

    def fit():
        objective = objective_of(X, y, np.ones(len(y)), n_classes=10, binary=False,
                                 penalty=L2Penalty(1 / len(y)), fit_intercept=True)
        monitor = Monitor(objective, tol=1e-6, max_iter=1000)
        return minimise(objective, None, monitor, "lbfgs")

    taken, with_hessian = hessians_taken(monkeypatch, fit)
    monkeypatch.setattr(preconditioner_module, "iterations_per_hessian", lambda objective: np.inf)
    none_taken, without = hessians_taken(monkeypatch, fit)
    assert with_hessian.status == without.status == "converged"
    assert taken >= 1 and none_taken == 0
    assert with_hessian.n_iter < without.n_iter / 2
    difference = abs(with_hessian.value - without.value)
    assert difference <= max(with_hessian.gap, without.gap) + 8 * EPS * without.value


def test_fast_fits_do_without(monkeypatch):
    """Next to no data dependence: done before a Hessian would pay."""
    objective = make(l2=1e12)
    taken, result = hessians_taken(monkeypatch, lambda: minimise(
        objective, None, Monitor(objective, tol=1e-6, max_iter=100), "lbfgs"
    ))
    assert taken == 0 and result.status == "converged"


@pytest.mark.parametrize("shape", [(400, 6, 2), (100, 1500, 3)])
def test_no_hessian_for_one_row_of_parameters_nor_for_many(shape):
    """There Kronecker factors are the Hessian; here it would take more memory than X."""
    assert iterations_per_hessian(make(*shape)) == np.inf


def test_the_hessian_of_a_fit_serves_the_next_with_its_penalty(monkeypatch):
    """Half the strength: no other is taken, and the diagonal is as it should be."""
    objective = make(l2=2e-3)
    point = somewhere(objective)

    def prepared(l2, carry):
        other = objective.with_penalty(L2Penalty(l2))
        return hessians_taken(monkeypatch, lambda: Preconditioner(other, point, FAR, carry))

    taken, first = prepared(2e-3, None)
    assert taken == 1
    taken, renewed = prepared(1e-3, first.carry)
    objective = make(l2=1e-3)
    fresh = Preconditioner(objective, point, FAR).transform
    assert taken == 0
    grad = np.random.default_rng(2).standard_normal(point.theta.shape)
    expected = fresh.solve(grad)
    rounding = EPS * condition(objective, point) * np.abs(expected).max()
    np.testing.assert_allclose(renewed.transform.solve(grad), expected, rtol=0, atol=rounding)
    assert prepared(4e-4, renewed.carry)[0] == 1


def test_without_a_factor_kronecker_factors_serve(monkeypatch):
    """A Hessian that does not factorise is not asked for again."""
    assert list(factorisations(np.full((4, 4), np.nan))) == []
    objective = make()
    optimum = minimise(objective, None, Monitor(objective, tol=1e-6, max_iter=1000), "lbfgs")
    start = objective.evaluate(optimum.theta / 2)
    monkeypatch.setattr(preconditioner_module, "factorisations", lambda hessian: iter(()))
    taken, result = hessians_taken(monkeypatch, lambda: minimise(
        objective, start, Monitor(objective, tol=1e-6, max_iter=1000), "lbfgs"
    ))
    assert taken == 1 and result.status == "converged" and result.solver == "lbfgs"


@pytest.mark.compiled    # minutes without
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
@pytest.mark.usefixtures("by_kernels")
def test_a_fine_path_takes_fewer_hessians_than_fits(monkeypatch, tol):
    """50 values of C on raw digits; each fit certified. A kept Hessian costs its factor only."""
    X, y = load_digits(return_X_y=True)
    taken, path = hessians_taken(
        monkeypatch,
        lambda: softmax_path(X, y, Cs=np.logspace(-1, 2, 50), l1_ratio=0.0, tol=tol),
    )
    assert 0 < taken < len(path.Cs) * 2 / 3
    assert (path.dual_gaps <= tol * path.objectives).all()


def test_a_path_may_change_its_solver_with_its_penalty():
    """proximal-newton, then lbfgs with what that carries, and back: as each on its own."""
    objective, carry = make(), None
    penalties = [
        (penalty_of(1e-2, l1_ratio=1.0), "proximal-newton"), (L2Penalty(1e-2), "lbfgs"),
        (penalty_of(8e-3, l1_ratio=1.0), "proximal-newton"), (L2Penalty(9e-3), "lbfgs"),
    ]
    for penalty, solver in penalties:
        results = []
        for given, inherited in ((objective, carry), (make(), None)):
            other = given.with_penalty(penalty)
            start = other.evaluate(somewhere(other).theta)
            monitor = Monitor(other, tol=1e-9, max_iter=500)
            results.append(minimise(other, start, monitor, solver, inherited))
            assert results[-1].status == "converged" and results[-1].solver == solver
        assert results[0].value == pytest.approx(results[1].value, rel=2e-9)
        carry = results[0].carry


def counted(monkeypatch):
    """A list to which every pass for Kronecker factors adds whether the covariance is full."""
    seen, curvature = [], Objective.curvature

    def count(objective, theta, full=True):
        found = curvature(objective, theta, full)
        seen.append(found.covariance.ndim == 2)
        return found

    monkeypatch.setattr(Objective, "curvature", count)
    return seen


def sparse_counts(n_samples, n_features, n_classes):
    """Counts of words whose frequencies fall as 1 / rank, some of them of a class."""
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, n_features + 1)
    frequency /= frequency.sum()
    topics = rng.dirichlet(20 * frequency, n_classes)
    y = rng.integers(0, n_classes, n_samples)
    X = np.stack([rng.multinomial(40, 0.7 * frequency + 0.3 * topics[k]) for k in y])
    return sparse.csr_array(X.astype(float)), y


@pytest.mark.compiled
@pytest.mark.parametrize("options, most", [
    ({}, 80), ({"C": 100.0}, 150), ({"C": 10.0, "l1_ratio": 1.0}, 200),
])
def test_sparse_rows_take_the_diagonal_covariance(options, most, monkeypatch):
    """There, one of 1,500 features costs hundreds of iterations; working sets may get small."""
    seen = counted(monkeypatch)
    X, y = sparse_counts(3000, 1500, 5)
    model = SoftmaxRegression(**options).fit(X, y)
    assert not seen[0] and ("l1_ratio" in options or not any(seen))
    assert model.dual_gap_ <= 1e-4 * model.objective_ and model.n_evaluations_ < most


@pytest.mark.compiled
def test_correlated_columns_get_the_full_covariance(monkeypatch):
    """After the first iterations with the diagonal, which would take hundreds."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 40)) @ rng.standard_normal((40, 700))
    X += 0.1 * rng.standard_normal(X.shape)
    y = (X[:, :20] @ rng.standard_normal((20, 5)) / 20 + rng.gumbel(size=(1500, 5))).argmax(axis=1)
    seen = counted(monkeypatch)
    model = SoftmaxRegression(solver="lbfgs").fit(X, y)
    assert not seen[0] and seen[-1] and seen == sorted(seen)
    few = model.n_evaluations_
    monkeypatch.setattr(preconditioner_module, "iterations_per_covariance", lambda _: np.inf)
    model = SoftmaxRegression(solver="lbfgs").fit(X, y)
    assert model.n_evaluations_ > 2 * few


def test_cheap_covariances_are_taken_at_once(monkeypatch):
    """As of few columns, by L-BFGS and by proximal L-BFGS."""
    X, y = bundled("digits")
    seen = counted(monkeypatch)
    SoftmaxRegression(solver="lbfgs").fit(X, y)
    assert seen and all(seen)
    objective = make(n_samples=4000, n_features=8)
    assert takes_covariance(objective)
