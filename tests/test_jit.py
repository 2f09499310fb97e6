"""The cache of machine code is never stale and never required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from numba.core import caching

from softmax_reg.kernels._jit import kernel

pytestmark = pytest.mark.compiled
PACKAGE = Path(__file__).resolve().parents[1] / "softmax_reg"
BITS_OF_EVERY_KERNEL = """
import sys
import numpy as np
from softmax_reg.kernels import cpu
rng = np.random.default_rng(0)
X, theta = rng.standard_normal((300, 19)), rng.standard_normal((5, 20))
y, weight, shift = np.arange(300, dtype=np.int32) % 5, np.full(300, 1 / 300), np.zeros(19)
rows = cpu.make_rows(X)
kernels = [
    lambda: cpu.value_grad(rows, y, weight, shift, theta)[1],
    lambda: cpu.hess_prod(rows, weight, shift, theta, theta),
    lambda: cpu.curvature(rows, weight, shift, theta, True)[1],
    lambda: cpu.value_grad_hessian(rows, y, weight, shift, theta)[3],
    lambda: cpu.hessian(rows, weight, shift, theta, np.arange(0, 100, 3)),
]
order = [int(k) for k in sys.argv[1]]
bits = {k: hash(kernels[k]().tobytes()) for k in order}
print(sum(value * (k + 1) for k, value in bits.items()) % 2**50)
"""
LOGIT_OF_ONE_ROW = """
import numpy as np
from softmax_reg.kernels import cpu
rows = cpu.make_rows(np.zeros((1, 1)))
print(cpu.predictions(rows, np.ones((2, 2)), "logits")[0][0, 0])
"""


def _run(folder, *arguments, code=LOGIT_OF_ONE_ROW, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


def test_cached_code_follows_a_change_in_an_inlined_file(tmp_path):
    """Editing _blocks.py changes what _predict.py computes, cache or not."""
    copy = tmp_path / "softmax_reg"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    before = _run(tmp_path, **environment)
    assert any((tmp_path / "cache").rglob("*.nbc"))
    assert _run(tmp_path, **environment) == before
    blocks = copy / "kernels" / "_blocks.py"
    source = blocks.read_text()
    assert source.count("x[i, n_features] = 1.0") == 1
    blocks.write_text(source.replace("x[i, n_features] = 1.0", "x[i, n_features] = 2.0"))
    assert _run(tmp_path, **environment) == 2 * before


def test_bits_do_not_depend_on_what_was_compiled_or_loaded_first(tmp_path):
    """The process that compiles, one that loads the cache, and any order agree."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONHASHSEED": "0"}
    folder = PACKAGE.parent
    first = _run(folder, "01234", code=BITS_OF_EVERY_KERNEL, **environment)
    for order in ("43210", "20431"):
        assert _run(folder, order, code=BITS_OF_EVERY_KERNEL, **environment) == first


def test_kernels_compile_without_a_writable_cache_folder():
    """Nowhere to write machine code: compiled anew in each process, same result."""

    def nowhere(*args, **kwargs):
        raise RuntimeError("cannot cache function: no locator available")

    with mock.patch.object(caching.FunctionCache, "__init__", nowhere):
        double = kernel(lambda x: 2 * x)
    assert double(3.0) == 6.0
