"""Arrays, launches and transfers on a device: CuPy on a GPU, NumPy in Numba's simulator.

This module is not imported before a user asks for ``device="cuda"``.
"""

import numpy as np
from numba import config, cuda

IS_SIMULATED = bool(config.ENABLE_CUDASIM)
# Number of threads of a block in kernels of one thread a row. The simulator takes milliseconds
# for each thread.
ROWS_A_BLOCK = 4 if IS_SIMULATED else 128
# Least number of blocks of a launch: Numba warns of fewer, and blocks without rows return at once.
_LEAST_BLOCKS = 1 if IS_SIMULATED else 128
# Installation commands for error messages.
_HOW = (
    "python -m pip install 'cupy-cuda12x[ctk]' 'numba-cuda[cu12]', or with CUDA 13 "
    "'cupy-cuda13x[ctk]' 'numba-cuda[cu13]'"
)


def array_module():
    """Return the module CuPy, or NumPy in the simulator.

    Raises
    ------
    ImportError
        If CuPy is not installed.
    RuntimeError
        If there is no GPU that CUDA can use.
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
    """Return the free memory of the device in bytes, with the free part of CuPy's pool."""
    if IS_SIMULATED:
        return np.inf
    xp = array_module()
    return xp.cuda.runtime.memGetInfo()[0] + xp.get_default_memory_pool().free_bytes()


def to_device(array):
    """Return `array` as an array of `array_module()`, not copied if it is on the device."""
    xp = array_module()
    if isinstance(array, xp.ndarray):
        return array
    if not hasattr(array, "__cuda_array_interface__"):
        return xp.asarray(array)
    if hasattr(array, "detach"):    # PyTorch does not export tensors that require gradients
        array = array.detach()
    return xp.from_dlpack(array) if hasattr(array, "__dlpack__") else xp.asarray(array)


def to_host(array):
    """Return `array` as a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.get()


def launch(kernel, n_blocks, n_threads, *arrays):
    """Launch a Numba kernel on CuPy's current stream, in the order of the stream.

    By default, Numba would wait for the stream before the launch, once for each array.
    """
    stream = 0
    if not IS_SIMULATED:
        arrays = [cuda.as_cuda_array(array, sync=False) for array in arrays]
        pointer = array_module().cuda.get_current_stream().ptr
        stream = cuda.external_stream(pointer) if pointer else 0
    kernel[max(n_blocks, _LEAST_BLOCKS), n_threads, stream](*arrays)


def n_threads(n_classes):
    """Return the number of threads of a block for a row of `n_classes`, a power of two."""
    if IS_SIMULATED:
        return 2
    return 32 if n_classes <= 128 else 128


def moved(X, parts):
    """Yield (part, X[part] on the device) for rows of an X on the host, or in a file.

    There are two buffers in pinned memory and two on the device: a block is read and moved
    while the device works on the one before. A block is valid until the generator resumes.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    parts : list of slices
    """
    xp = array_module()
    if IS_SIMULATED:
        for part in parts:
            yield part, xp.array(X[part])
        return
    from cupyx import empty_pinned

    shape = max(part.stop - part.start for part in parts), X.shape[1]
    copying, working = xp.cuda.Stream(non_blocking=True), xp.cuda.get_current_stream()
    pinned = [empty_pinned(shape, X.dtype) for _ in range(2)]
    blocks = [xp.empty(shape, X.dtype) for _ in range(2)]
    arrived = [None, None]
    # The pool may return memory that kernels already launched still read.
    worked = [working.record()] * 2
    for i, part in enumerate(parts):
        turn, n_rows = i % 2, part.stop - part.start
        if arrived[turn] is not None:
            arrived[turn].synchronize()    # before the pinned buffer is overwritten
        pinned[turn][:n_rows] = X[part]
        copying.wait_event(worked[turn])    # before the device's buffer is overwritten
        blocks[turn][:n_rows].set(pinned[turn][:n_rows], stream=copying)
        arrived[turn] = copying.record()
        working.wait_event(arrived[turn])
        yield part, blocks[turn][:n_rows]
        worked[turn] = working.record()
