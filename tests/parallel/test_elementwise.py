"""NumPy on large matrices, on the kernel threads."""

import warnings

import numpy as np
import pytest

from softmax_reg.parallel import launch
from softmax_reg.parallel.elementwise import (
    all_finite,
    cast,
    each,
    elementwise,
    indexes,
    inner,
    minus_column_means,
    minus_outer,
    rows_of,
    times_vector,
)

from ..problems import EPS

# Few entries; many, of many rows, of few rows and of one.
SHAPES = [(3, 4), (50, 3001), (3, 50_000), (1, 140_000), (1000, 129), (140_000, 1), (3, 0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_cover_every_entry_once(shape):
    """Each entry is in one part; large matrices have several."""
    covered = np.zeros(shape, dtype=int)
    found = indexes(shape)
    for index in found:
        covered[index] += 1
    assert (covered == 1).all()
    assert (len(found) > 1) == (covered.size >= 125_000)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_numpy(shape):
    """The same numbers as NumPy on the whole, of slices of larger matrices, too."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((shape[0], shape[1] + 1))
    left, right = wide[:, :-1], rng.standard_normal(shape)
    columns, rows = rng.standard_normal(shape[1]), rng.standard_normal((shape[0], 1))

    actual = elementwise(lambda a, b, c, d, e: a * b + c * d - e, left, right, columns, rows, 0.5)
    np.testing.assert_array_equal(actual, left * right + columns * rows - 0.5)
    np.testing.assert_array_equal(minus_outer(left, rows, columns), left - rows * columns)
    out = wide[:, 1:]
    expected = out * columns
    assert elementwise(np.multiply, out, columns, out=out) is out
    np.testing.assert_array_equal(wide[:, 1:], expected)

    left = wide[:, :-1]
    atol = 8 * EPS
    np.testing.assert_allclose(inner(left, right), (left * right).sum(),
                               atol=atol * np.abs(left * right).sum())
    np.testing.assert_allclose(times_vector(left, columns), left @ columns,
                               atol=atol * np.abs(left).sum())
    expected, other = left - left.mean(axis=0), wide[:, -1].copy()
    minus_column_means(left)
    np.testing.assert_allclose(left, expected, atol=atol * np.abs(wide).max(initial=0))
    np.testing.assert_array_equal(wide[:, -1], other)


def test_sums_of_float32_are_exact_products_added_in_float64():
    """times_vector is what predictions are corrected by: no digits of float32 theta are lost."""
    rng = np.random.default_rng(0)
    matrix, vector = rng.standard_normal((50, 3001), dtype=np.float32), rng.standard_normal(3001)
    expected = matrix.astype(np.float64) @ vector
    np.testing.assert_allclose(times_vector(matrix, vector), expected, atol=3001 * EPS)


def test_bits_depend_on_no_number_of_threads(monkeypatch):
    """One thread, two or nine: the same sums."""
    matrix = np.random.default_rng(0).standard_normal((50, 3001))
    found = []
    for n_threads in (1, 2, 9):
        monkeypatch.setattr(launch, "n_threads", lambda n=n_threads: n)
        centred = matrix.copy()
        minus_column_means(centred)
        found.append((inner(matrix, matrix), *times_vector(matrix, matrix[0]), *centred.ravel()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("n_threads", [1, 4])
def test_threads_have_the_error_state_of_the_caller(monkeypatch, n_threads):
    """An overflow that the caller ignores warns on no thread; one that the caller raises does."""
    monkeypatch.setattr(launch, "n_threads", lambda: n_threads)
    huge = np.full((50, 3001), 1e300)
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(elementwise(np.multiply, huge, huge)).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        elementwise(np.multiply, huge, huge)


def test_each_keeps_the_order():
    """Results are in the order of the items, whoever computed them."""
    assert each(lambda item: item**2, list(range(40)), launch.SERIAL_WORK) == [
        item**2 for item in range(40)
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_copies_are_numpys(shape):
    """Casts and rows are those of NumPy, in any order of memory."""
    X = np.random.default_rng(0).standard_normal(shape)
    index = np.arange(0, shape[0], 2)
    for left in (X, np.asfortranarray(X)):
        np.testing.assert_array_equal(rows_of(left, index), left[index])
        narrow = cast(left, np.float32)
        assert narrow.dtype == np.float32 and narrow.flags.c_contiguous
        np.testing.assert_array_equal(narrow, left.astype(np.float32))
    assert cast(X, np.float64) is X


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_one_entry_that_is_not_finite_is_found(shape, dtype, order):
    """NaN or infinity in any part; numbers whose sum overflows are finite."""
    X = np.full(shape, np.finfo(dtype).max, dtype=dtype, order=order)
    assert all_finite(X)
    X[:] = 1
    for bad in (np.nan, np.inf, -np.inf):
        for place in ((0, 0), (shape[0] // 2, shape[1] // 2), (-1, -1)):
            X[place] = bad
            assert not all_finite(X)
            X[place] = 1
    X[0, 0], X[-1, -1] = np.inf, -np.inf
    assert not all_finite(X) and all_finite(X[:0])
