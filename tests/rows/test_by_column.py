"""Gradients of sparse rows summed by column: against the formulas, and against sums by row."""

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.rows import by_column
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import EPS, random_problem
from .rows_checks import check_hess_prod, check_value_grad


@pytest.fixture(params=[64, 128, 10**6])
def by_columns(monkeypatch, request):
    """All sparse rows, whatever their size, in stretches of so many."""
    monkeypatch.setattr(by_column, "serves", lambda matrix, theta_t: True)
    monkeypatch.setattr(by_column, "rows_together", lambda theta_t: request.param)


def sparse_problem(n_samples, n_features, n_rows, dtype):
    """Half of the entries stored, an empty row and an empty column where there are several."""
    X, y, weight, theta = random_problem(n_samples, n_features, n_rows, dtype=dtype)
    X[np.random.default_rng(2).random(X.shape) < 0.5] = 0.0
    X[n_samples // 2] = 0.0
    X[:, n_features // 2] = 0.0
    shift = np.random.default_rng(1).standard_normal(n_features)
    return X, Sample(y, weight), shift, theta


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "n_samples, n_features, n_rows",
    [(1, 1, 2), (7, 3, 3), (131, 37, 1), (257, 33, 5), (40, 70, 4), (50, 9, 33)],
)
def test_passes_are_those_of_the_formulas(by_columns, n_samples, n_features, n_rows, dtype):
    """Loss, gradient, errors, Hessian products; one stretch and several."""
    X, sample, shift, theta = sparse_problem(n_samples, n_features, n_rows, dtype)
    rows, reference = MemoryRows(sparse.csr_array(X)), ReferenceRows(X)
    check_value_grad(rows, reference, sample, shift, theta)
    check_hess_prod(rows, reference, sample, shift, theta)


def test_rows_of_no_matrix_at_all(by_columns):
    """A partition may have no rows: a loss and a gradient of 0."""
    rows = MemoryRows(sparse.csr_array((0, 3)))
    sample = Sample(np.empty(0, dtype=np.int32), np.empty(0))
    loss, grad, n_errors = rows.value_grad(sample, np.ones(3), np.ones((2, 4)))
    assert (loss, n_errors) == (0, 0)
    np.testing.assert_array_equal(grad, np.zeros((2, 4)))


@pytest.mark.compiled
def test_large_gradients_are_summed_by_column():
    """By shape alone, and the same to rounding as with an accumulator for each chunk."""
    X, sample, shift, _ = sparse_problem(300, 50_000, 4, np.float64)
    theta = np.random.default_rng(0).standard_normal((8, 50_001)) / 100
    X = sparse.csr_array(X)
    rows, by_row = MemoryRows(X), MemoryRows(X)
    by_row._sparse_sums = by_row._sums_by_row
    assert by_column.serves(rows.matrix, theta.T)
    assert not by_column.serves(rows.matrix, theta[:, :1000].T)
    found, expected = [
        (*one.value_grad(sample, shift, theta), one.hess_prod(sample, shift, theta, theta[::-1]))
        for one in (rows, by_row)
    ]
    for actual, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, other, atol=4 * 300 * EPS * np.abs(other).max())


@pytest.mark.parametrize("options", [{}, {"solver": "newton-cg"}, {"l1_ratio": 1.0}])
def test_a_fit_is_the_same(by_columns, options):
    """The certified optimum, and the objective from predict_proba."""
    X, sample, _, _ = sparse_problem(300, 20, 4, np.float64)
    dense = SoftmaxRegression(tol=1e-8, **options).fit(X, sample.target)
    model = SoftmaxRegression(tol=1e-8, **options).fit(sparse.csr_array(X), sample.target)
    assert abs(model.objective_ - dense.objective_) <= dense.dual_gap_ + model.dual_gap_ + 4 * EPS
    proba = model.predict_log_proba(sparse.csr_array(X))
    loss = -proba[np.arange(300), np.searchsorted(model.classes_, sample.target)].mean()
    penalty = np.square(model.coef_).sum() / 2 if not options.get("l1_ratio") else (
        np.abs(model.coef_).sum()
    )
    assert loss + penalty / 300 == pytest.approx(model.objective_, rel=300 * EPS)


def test_ranges_of_columns_have_about_as_many_entries():
    """All columns, in order; none of a range's neighbours could be moved to it for long."""
    rng = np.random.default_rng(0)
    counts = (rng.pareto(1.0, 5000) * 10).astype(int).clip(0, 3000)
    indices = np.concatenate([np.sort(rng.choice(3000, n, replace=False)) for n in counts])
    X = sparse.csr_array(
        (np.ones(len(indices)), indices, np.append(0, np.cumsum(counts))), shape=(5000, 3000)
    )
    columns = MemoryRows(X).matrix
    bounds = by_column._column_bounds(columns, 32)
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == 5000
    costs = np.array([counts[start:stop].sum() + stop - start for start, stop in bounds])
    assert costs.max() <= costs.sum() / 32 + counts.max() + 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (257, 33), (300, 5), (65, 200)])
@pytest.mark.parametrize("n_rows", [64, 128, 10**6])
def test_the_transpose_is_scipys(monkeypatch, shape, n_rows, dtype):
    """The same arrays as of `tocsc`, by one range of rows or several, for every stretch."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.where(rng.random(shape) < 0.3, rng.standard_normal(shape), 0))
    matrix = MemoryRows(X.astype(dtype)).matrix
    for work in (1, 10**9):
        monkeypatch.setattr(by_column, "_ENTRY_WORK", work)
        for rows, some, columns in by_column.cut(matrix, n_rows):
            expected = X[rows].astype(dtype).tocsc()
            assert (columns.n_samples, columns.n_features) == (shape[1], some.n_samples)
            for name in ("indptr", "indices", "data"):
                actual = getattr(columns, name)
                np.testing.assert_array_equal(actual, getattr(expected, name))
                assert actual.dtype == getattr(matrix, name).dtype
                assert not actual.flags.writeable
