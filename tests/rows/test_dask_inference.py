"""Standard errors of rows on a cluster are those of the same rows in memory."""

import dask.array as da
import numpy as np
import pytest
from distributed import Client
from scipy import sparse

from softmax_reg.dask import DaskSoftmaxRegression

# Ignore the warnings of libraries that Dask uses.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.compiled]


@pytest.fixture(scope="module", autouse=True)
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as one:
        yield one


def problem(n_classes):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3)) + 5
    logits = (X - 5) @ rng.standard_normal((3, n_classes))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return X, y, rng.integers(0, 3, 150).astype(float)


def on_dask(*arrays):
    """Arrays of 150 rows in partitions, one of them empty."""
    return [da.from_array(a, chunks=((0, 41, 70, 39), *a.shape[1:])) for a in arrays]


@pytest.mark.parametrize("n_classes, C, cov_type", [
    (2, np.inf, "nonrobust"), (3, np.inf, "nonrobust"), (3, 1.0, "bayes"), (3, 1.0, "frequentist"),
])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_sums_of_blocks_are_those_of_all_rows(n_classes, C, cov_type, form):
    X, y, weight = problem(n_classes)
    dask_X, dask_y, dask_weight = on_dask(X, y, weight)
    dask_X = dask_X.map_blocks(form, dtype=X.dtype)
    model = DaskSoftmaxRegression(C=C, tol=1e-10).fit(dask_X, dask_y, dask_weight)
    found = model.inference(dask_X, dask_y, dask_weight, cov_type=cov_type, reference=0)
    for expected in (
        model.to_local().inference(form(X), y, weight, cov_type=cov_type, reference=0),
        model.inference(form(X), y, weight, cov_type=cov_type, reference=0),
    ):
        np.testing.assert_array_equal(found.params, expected.params)
        np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-9)
        for name in ("llf", "llnull", "nobs", "edf"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)
    assert model.inference(dask_X, dask_y, dask_weight).cov_type == (
        "nonrobust" if C == np.inf else "bayes"
    )


def test_refused():
    X, y, _ = problem(3)
    dask_X, dask_y = on_dask(X, y)
    model = DaskSoftmaxRegression(C=np.inf).fit(dask_X, dask_y)
    with pytest.raises(ValueError, match="cov_type='HC0' needs arrays in memory: use to_local"):
        model.inference(dask_X, dask_y, cov_type="HC0")
    with pytest.raises(ValueError, match="cov_type must be one of"):
        model.inference(dask_X, dask_y, cov_type="HC9")
    with pytest.raises(ValueError, match=r"y must hold the classes of the fit, \[0, 1, 2\]"):
        model.inference(dask_X, dask_y % 2)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.inference(dask_X[:, :2], dask_y)
    with pytest.raises(ValueError, match="not at its optimum"):
        model.inference(2 * dask_X, dask_y)
    with pytest.raises(ValueError, match="DaskSoftmaxRegression does"):
        model.to_local().inference(dask_X, dask_y)
