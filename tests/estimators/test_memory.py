"""No n_samples x n_classes array in a fit."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression

from ..processes import run_new

pytestmark = pytest.mark.compiled

# High-water mark of a whole fit after a warm-up fit in the same process has
# compiled and loaded everything.
PEAK = """
import warnings
import numpy as np
from softmax_reg import SoftmaxRegression

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024

warnings.simplefilter("ignore")    # noise does not converge in 25 iterations
rng = np.random.default_rng(0)
X, y = rng.standard_normal((100_000, 50)), rng.integers(0, 500, 100_000)
SoftmaxRegression(solver="lbfgs", max_iter=3).fit(X[:5000], y[:5000])
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")    # VmHWM = VmRSS
before = status("VmRSS")
SoftmaxRegression(max_iter=25).fit(X, y)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_peak_memory_beyond_X():
    """100,000 x 50, 500 classes: under 100 MB where one n x K array has 400 MB."""
    result = run_new("-c", PEAK)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 100


@pytest.mark.usefixtures("by_kernels")
def test_predictions_do_not_copy_X():
    """Fortran order is converted block by block."""
    rng = np.random.default_rng(0)
    model = SoftmaxRegression().fit(rng.standard_normal((100, 60)), np.arange(100) % 2)
    X = np.asfortranarray(rng.standard_normal((100_000, 60)))
    model.predict_proba(X[:10])    # compiles, or loads what was
    tracemalloc.start()
    model.predict_proba(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 2
