"""The summary of the columns of dense rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg.kernels import columns

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 0), (2500, 1), (2500, 7), (70, 600),
                                   (40, 1500)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_sums_and_ranges(monkeypatch, shape, order, dtype, share):
    """Blocks end anywhere, rows may lie side by side, and some have the weight 0."""
    monkeypatch.setattr(columns, "_BLOCK_SIZE", 6000)
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal(shape), dtype=dtype, order=order)
    weight = rng.random(len(X)) * (rng.random(len(X)) < share)
    total, found = columns.dense_summary(X, weight)
    exact = weight @ X.astype(np.float64)
    size = weight @ np.abs(X.astype(np.float64))
    assert_allclose(total, exact, rtol=0, atol=len(X) * EPS * size.max(initial=0.0))
    counted = X[weight > 0].astype(np.float64)
    assert_array_equal(found.low, counted.min(axis=0, initial=np.inf))
    assert_array_equal(found.high, counted.max(axis=0, initial=-np.inf))
