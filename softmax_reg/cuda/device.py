"""What rows on a device stand on: CuPy's arrays on a GPU, NumPy's under Numba's simulator.

Nothing imports this before somebody asks for ``device="cuda"``.
"""

import numpy as np
from numba import config, cuda

IS_SIMULATED = bool(config.ENABLE_CUDASIM)
# Threads of a block where a row is one thread; the simulator takes milliseconds a thread.
ROWS_A_BLOCK = 4 if IS_SIMULATED else 128
# Blocks of a launch, at least, those without rows to return at once: Numba warns below.
_LEAST_BLOCKS = 1 if IS_SIMULATED else 128
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
    """Memory of the device that nobody uses; also what CuPy keeps for its next arrays."""
    if IS_SIMULATED:
        return np.inf
    xp = array_module()
    return xp.cuda.runtime.memGetInfo()[0] + xp.get_default_memory_pool().free_bytes()


def to_device(array):
    """As an array of `array_module()`; without a copy where it is on the device already."""
    xp = array_module()
    if isinstance(array, xp.ndarray):
        return array
    if not hasattr(array, "__cuda_array_interface__"):
        return xp.asarray(array)
    if hasattr(array, "detach"):    # PyTorch exports nothing that gradients may flow to
        array = array.detach()
    return xp.from_dlpack(array) if hasattr(array, "__dlpack__") else xp.asarray(array)


def to_host(array):
    """As a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.get()


def launch(kernel, n_blocks, n_threads, *arrays):
    """Run a kernel of Numba's on CuPy's current stream, after what is under way there.

    Numba by itself would wait for that stream, once for each array, before it launches.
    """
    stream = 0
    if not IS_SIMULATED:
        arrays = [cuda.as_cuda_array(array, sync=False) for array in arrays]
        pointer = array_module().cuda.get_current_stream().ptr
        stream = cuda.external_stream(pointer) if pointer else 0
    kernel[max(n_blocks, _LEAST_BLOCKS), n_threads, stream](*arrays)


def n_threads(n_classes):
    """Threads of a block for rows of so many classes, a power of two."""
    if IS_SIMULATED:
        return 2
    return 32 if n_classes <= 128 else 128


def moved(X, parts):
    """Yield (part, X[part] on the device) for rows of an X on the host, or in a file.

    Through two buffers of pinned memory and two on the device: a block is read and moved
    while the device works on the one before. It is the caller's until the next is asked for.

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
    # The pool may have given memory that kernels under way still read.
    worked = [working.record()] * 2
    for i, part in enumerate(parts):
        turn, n_rows = i % 2, part.stop - part.start
        if arrived[turn] is not None:
            arrived[turn].synchronize()    # before the pinned buffer is overwritten
        pinned[turn][:n_rows] = X[part]
        copying.wait_event(worked[turn])    # before the device's is
        blocks[turn][:n_rows].set(pinned[turn][:n_rows], stream=copying)
        arrived[turn] = copying.record()
        working.wait_event(arrived[turn])
        yield part, blocks[turn][:n_rows]
        worked[turn] = working.record()
