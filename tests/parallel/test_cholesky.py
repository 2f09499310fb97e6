"""Cholesky factors by tiles: as accurate as LAPACK's, with bits of their own."""

import numpy as np
import pytest
from scipy.linalg import hilbert
from scipy.linalg.lapack import dpotrf
from threadpoolctl import threadpool_limits

from softmax_reg import SoftmaxRegression
from softmax_reg.parallel import cholesky as cholesky_module
from softmax_reg.parallel import launch
from softmax_reg.parallel.cholesky import cholesky
from softmax_reg.solvers.factor import factorisations

from ..problems import EPS

# One row, less than a block, a whole number of blocks, and no multiple of a block or tile.
SIZES = [1, 7, 8, 9, 16, 40, 61, 130]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of a few rows on the threads, for matrices of any size."""
    for name, size in {"TILED_SIZE": 0, "_BLOCK": 8, "_COLUMNS": 5, "_TILE": 12}.items():
        monkeypatch.setattr(cholesky_module, name, size)
    monkeypatch.setattr(launch, "SERIAL_WORK", 0)
    monkeypatch.setattr(launch, "n_threads", lambda: 3)


def random_matrix(size, spread=0.0):
    """A positive definite matrix whose eigenvalues spread over as many powers of ten."""
    rng = np.random.default_rng(size)
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    matrix = (basis * 10.0 ** rng.uniform(-spread, 0, size)) @ basis.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("spread", [0, 4, 12])
@pytest.mark.parametrize("size", SIZES)
def test_the_factor_is_as_accurate_as_lapacks(small_tiles, size, spread):
    """|A - R'R| <= 4 eps sqrt(m) |A|, however ill-conditioned; the lower triangle is untouched."""
    matrix = random_matrix(size, spread)
    factor, failed = cholesky(matrix)
    theirs, info = dpotrf(matrix, lower=False)
    assert not failed and info == 0 and factor.flags.f_contiguous
    upper = np.triu(factor)
    bound = 4 * EPS * np.sqrt(size) * np.linalg.norm(matrix, 2)
    assert np.linalg.norm(upper.T @ upper - matrix, 2) <= bound
    assert np.linalg.norm(theirs.T @ theirs - matrix, 2) <= bound
    np.testing.assert_array_equal(np.tril(factor, -1), np.tril(matrix, -1))
    if spread == 0:
        np.testing.assert_allclose(upper, theirs, atol=64 * EPS)


@pytest.mark.parametrize("row", [0, 7, 8, 30, 60])
def test_an_indefinite_matrix_is_refused(small_tiles, row):
    """As by dpotrf, wherever the first negative pivot is."""
    matrix = random_matrix(61)
    matrix[row, row] = -1e-3
    assert cholesky(matrix)[1] and dpotrf(matrix)[1] > 0


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_give_no_factor(small_tiles, number):
    """No ridge helps."""
    matrix = random_matrix(61)
    matrix[40, 3] = matrix[3, 40] = number
    with np.errstate(invalid="ignore"):
        assert list(factorisations(matrix)) == []


def test_a_singular_matrix_takes_a_ridge(small_tiles):
    """Hilbert's matrix of 30 rows, of rank 13 to rounding: it fails as it is."""
    matrix = hilbert(30)
    assert cholesky(matrix / np.sqrt(np.outer(*[matrix.diagonal()] * 2)))[1]
    transform = next(factorisations(matrix))
    grad = matrix @ np.ones(30)
    np.testing.assert_allclose(matrix @ transform.solve(grad), grad, atol=1e-8)


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, small_tiles):
    """1, 2, 3 and 8 threads, and as many of BLAS, which has one only."""
    matrix = random_matrix(301)
    found = []
    for n_threads in (1, 2, 3, 8):
        monkeypatch.setattr(launch, "n_threads", lambda n=n_threads: n)
        with threadpool_limits(n_threads, user_api="blas"):
            found += [cholesky(matrix)[0] for _ in range(3)]
    for factor in found[1:]:
        np.testing.assert_array_equal(factor, found[0])


def test_threads_share_a_large_matrix(monkeypatch):
    """The least size of tiles, as cut for real: LAPACK's factor, in launches of many calls."""
    size = cholesky_module.TILED_SIZE
    matrix = random_matrix(8).repeat(size // 8, axis=0).repeat(size // 8, axis=1)
    matrix += np.diag(np.linspace(1, 2, size))
    calls = []

    def counting(kernel, args, work):
        calls.append(len(args))
        return launch.launch(kernel, args, work)

    monkeypatch.setattr(cholesky_module, "launch", counting)
    factor, failed = cholesky(matrix)
    assert not failed and calls == [6, 6, 4, 3, 2, 1]
    np.testing.assert_allclose(
        np.triu(factor), dpotrf(matrix, lower=False)[0], atol=64 * EPS * size
    )


@pytest.mark.compiled
@pytest.mark.parametrize("C", [1.0, 1e3])
def test_newton_by_tiles_is_certified(small_tiles, C):
    """The solution of LAPACK's factors, to the certified tolerance."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 12)), rng.integers(0, 5, 400)
    model = SoftmaxRegression(C=C, solver="newton-cholesky", tol=1e-10)
    by_tiles = model.fit(X, y)
    assert by_tiles.dual_gap_ <= 1e-10 * by_tiles.objective_
    coef = by_tiles.coef_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cholesky_module, "TILED_SIZE", 10**9)
        model.fit(X, y)
    np.testing.assert_allclose(coef, model.coef_, atol=1e-8)
