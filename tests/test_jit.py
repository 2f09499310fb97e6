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
LOSS_OF_ONE_ROW = """
import numpy as np
from softmax_reg.kernels import cpu
rows = cpu.make_rows(np.zeros((1, 1)))
y, weight = np.zeros(1, np.int32), np.ones(1)
print(cpu.value_grad(rows, y, weight, np.zeros(1), np.zeros((2, 2)))[0])
"""


def _run(folder, **environment):
    result = subprocess.run(
        [sys.executable, "-c", LOSS_OF_ONE_ROW],
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


def test_cached_code_follows_a_change_in_an_inlined_file(tmp_path):
    """Editing _blocks.py changes what _chunks.py computes, cache or not."""
    copy = tmp_path / "softmax_reg"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    before = _run(tmp_path, **environment)
    assert any((tmp_path / "cache").rglob("*.nbc"))
    assert _run(tmp_path, **environment) == before
    blocks = copy / "kernels" / "_blocks.py"
    source = blocks.read_text()
    assert source.count("loss += s * (below") == 1
    blocks.write_text(source.replace("loss += s * (below", "loss += 2 * s * (below"))
    assert _run(tmp_path, **environment) == 2 * before


def test_kernels_compile_without_a_writable_cache_folder():
    """Nowhere to write machine code: compiled anew in each process, same result."""

    def nowhere(*args, **kwargs):
        raise RuntimeError("cannot cache function: no locator available")

    with mock.patch.object(caching.FunctionCache, "__init__", nowhere):
        double = kernel(lambda x: 2 * x)
    assert double(3.0) == 6.0
