"""What the CUDA backend stands on: CuPy's arrays on a GPU, NumPy's under Numba's simulator.

Nothing imports this before somebody asks for ``device="cuda"``.
"""

import numpy as np
from numba import config, cuda

IS_SIMULATED = bool(config.ENABLE_CUDASIM)
# Threads of a block where a row is one thread; the simulator takes milliseconds a thread.
ROWS_A_BLOCK = 4 if IS_SIMULATED else 128
_HOW = "python -m pip install 'softmax_reg[cuda12]', or 'softmax_reg[cuda13]' with CUDA 13"


def array_module():
    """CuPy, or NumPy in the simulator.

    Raises
    ------
    ImportError
        Without CuPy.
    RuntimeError
        Without a GPU that CUDA can use.
    """
    if IS_SIMULATED:
        return np
    try:
        import cupy
    except ImportError:
        raise ImportError(f"device='cuda' needs CuPy and numba-cuda: {_HOW}.") from None
    if not cuda.is_available():
        raise RuntimeError(
            "device='cuda' needs a CUDA GPU and its driver, and Numba finds none here "
            f"(python -m numba -s says why; packages: {_HOW}). Use device='cpu'."
        )
    return cupy


def free_bytes():
    """Memory of the device that nobody uses."""
    return np.inf if IS_SIMULATED else array_module().cuda.runtime.memGetInfo()[0]


def to_host(array):
    """As a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.get()


def n_threads(n_classes):
    """Threads of a block for rows of so many classes, a power of two."""
    if IS_SIMULATED:
        return 2
    return 32 if n_classes <= 128 else 128
