"""Operations on long vectors: those of NumPy, in parts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg.parallel import launch, vectors

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("n_samples, n_classes", [(0, 2), (1, 1), (7, 3), (300_000, 5),
                                                  (300_000, 200_000)])
def test_parts_change_nothing(monkeypatch, n_samples, n_classes):
    """One part or many; the bits are the same for any number of threads."""
    rng = np.random.default_rng(0)
    index, weight = rng.integers(0, n_classes, n_samples), rng.random(n_samples)
    table = rng.standard_normal(n_classes).astype(np.float32)
    totals = []
    for n_threads in (1, 3):
        monkeypatch.setattr(launch, "n_threads", lambda n_threads=n_threads: n_threads)
        assert_array_equal(vectors.entries(table, index), table[index])
        assert vectors.entries(table, index).dtype == np.float32
        totals.append(vectors.class_totals(index, weight, n_classes))
    assert_array_equal(*totals)
    expected = np.bincount(index, weights=weight, minlength=n_classes)
    assert_allclose(totals[0], expected, rtol=n_samples * EPS, atol=0)


def test_total_of_huge_weights():
    """Their sum overflows, the multiple of the largest does not."""
    weight = np.full(50_000, 1e308)
    weight[0] = 1.5e308
    largest, total = vectors.largest_and_total(weight)
    assert largest == 1.5e308
    assert_allclose(total, 1 + 49_999 / 1.5, rtol=50_000 * EPS)
