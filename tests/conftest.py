"""Shared fixtures and the two ways the suite runs: compiled and interpreted."""

import os
import warnings

import pytest

# Needs NVVM.
collect_ignore = ["cuda/cuda_ptx.py"]

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def pytest_ignore_collect(collection_path, config):
    """Files of the GPU's tests start CUDA: only where somebody asks for them, by -m gpu."""
    if collection_path.name in ("cuda_cases.py", "cuda_array_cases.py"):
        return None if config.option.markexpr == "gpu" else True
    return None


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs a GPU, or the simulator in its place")
    config.addinivalue_line(
        "markers",
        "compiled: of what Numba makes, or too slow without it; left out with NUMBA_DISABLE_JIT=1",
    )
    config.addinivalue_line(
        "markers",
        "slow: takes more than ten seconds of a processor; run by -m slow, as .ci/run does",
    )
    # pytest-xdist would take files of few tests last, which here are among the slowest.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config, items):
    unwanted = ["compiled"] if INTERPRETED else []
    if "slow" not in config.option.markexpr:
        unwanted.append("slow")
    left_out = [item for item in items if any(map(item.get_closest_marker, unwanted))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def client():
    """Of a Dask cluster of two workers in this process."""
    import distributed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.Client(
            processes=False, n_workers=2, threads_per_worker=2, dashboard_address=":0"
        ) as client:
            yield client


@pytest.fixture
def by_kernels(monkeypatch):
    """Kernels for rows of any number, few ones too."""
    monkeypatch.setattr("softmax_reg.rows.small.MAX_LOGITS", 0)
    monkeypatch.setattr("softmax_reg.rows.small.MAX_SPARSE_LOGITS", 0)


@pytest.fixture(autouse=True)
def _plain_interpreted_floats():
    """Interpreted kernels are NumPy scalars: what overflows silently when compiled warns."""
    if not INTERPRETED:
        yield
        return
    import numpy as np

    with np.errstate(all="ignore"):
        yield
