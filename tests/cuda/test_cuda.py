"""device="cuda" without a GPU: in the simulator, and the errors where CUDA is missing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression
from softmax_reg.cuda import device

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_rows_on_the_device_in_the_simulator():
    """All tests of the GPU's, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
               "-m", "gpu", "tests/cuda/cuda_cases.py", "tests/cuda/cuda_array_cases.py"]
    env = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env,
                            timeout=280)
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout and " skipped" not in result.stdout


@pytest.fixture
def not_simulated(monkeypatch):
    """As where no simulator was asked for."""
    monkeypatch.setattr(device, "IS_SIMULATED", False)


def test_without_cupy_the_error_says_what_to_install(monkeypatch, not_simulated):
    """ImportError; the estimator stays unfitted."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    model = SoftmaxRegression(device="cuda")
    with pytest.raises(ImportError, match="needs CuPy and numba-cuda: .*cupy-cuda12x"):
        model.fit([[0.0], [1.0]], [0, 1])
    assert not hasattr(model, "coef_")


def test_without_a_gpu_the_error_says_so(monkeypatch, not_simulated):
    """RuntimeError; what to use instead."""
    monkeypatch.setitem(sys.modules, "cupy", np)
    monkeypatch.setattr(device.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="Numba finds none here.* Use device='cpu'"):
        SoftmaxRegression(device="cuda").fit([[0.0], [1.0]], [0, 1])


def test_unknown_devices_are_refused():
    """As scikit-learn refuses parameters."""
    with pytest.raises(ValueError, match="'device' parameter of SoftmaxRegression must be"):
        SoftmaxRegression(device="tpu").fit([[0.0], [1.0]], [0, 1])
