"""`python -m softmax_reg.compile` leaves nothing for later processes to compile."""

import pytest

from .processes import run_new

FITS = """
import gc, warnings
import numpy as np
from numba.core.registry import CPUDispatcher
from scipy import sparse
from sklearn.datasets import load_digits
from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
warnings.simplefilter("ignore")
X, y = load_digits(return_X_y=True)
OPTIONS = [
    {}, {"solver": "lbfgs", "max_iter": 5}, {"solver": "newton-cg"}, {"l1_ratio": 1.0, "C": 0.05},
    {"l1_ratio": 0.5, "C": 0.05, "grouped": True},
    {"l1_ratio": 0.5, "C": 0.05, "grouped": True, "groups": np.arange(64) // 8},
]
rng = np.random.default_rng(0)
few = sparse.csr_array(rng.standard_normal((1000, 300)) * (rng.random((1000, 300)) < 0.02))
for form in (np.asarray, sparse.csr_array):
    for dtype in (np.float64, np.float32):
        SoftmaxRegression(l1_ratio=1.0).fit(few.astype(dtype), y[:1000])
        data = form(X.astype(dtype))
        for options in OPTIONS:
            SoftmaxRegression(**options).fit(data, y).predict_proba(data)
    SoftmaxRegression().partial_fit(form(X), y, range(10)).predict(form(X))
wide = np.hstack([X, X**2])
for options in ({}, {"solver": "newton-cg"}):
    SoftmaxRegression(**options, max_iter=5).fit(wide, y).predict_proba(wide)
many = rng.standard_normal((2100, 2001))
for dtype in (np.float64, np.float32):
    model = SoftmaxRegression(max_iter=2).fit(many.astype(dtype), np.arange(2100) % 250)
    model.predict_proba(many.astype(dtype))
softmax_path(X, y > 4, l1_ratio=0.0, n_Cs=3)
for one in gc.get_objects():
    if type(one) is CPUDispatcher and one.py_func.__module__.startswith("softmax_reg"):
        assert not one.stats.cache_misses, one
"""


@pytest.mark.slow
@pytest.mark.compiled
def test_all_kernels_are_compiled_beforehand(tmp_path):
    """Dense and CSR, both dtypes, all solvers, a stream: every kernel comes from the cache."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    result = run_new("-m", "softmax_reg.compile", **cache)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("compiled in ") and str(tmp_path) in result.stdout
    result = run_new("-c", FITS, **cache)
    assert result.returncode == 0, result.stderr
