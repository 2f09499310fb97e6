"""Where a fit and its predictions run, and arrays that are on a device already."""

import sys
import warnings

import numpy as np
from scipy import sparse

from .kernels import blocked, cpu
from .kernels._row_blocks import RowBlocks

DEVICES = ("cpu", "cuda")
PRECISIONS = ("auto", "tf32x3")


def backend_for(device, X, has_kinks=False, precision="auto"):
    """The backend of a device for this X; nothing of CUDA is imported but for "cuda".

    Parameters
    ----------
    device : {"cpu", "cuda"}
    X : validated array or sparse matrix
    has_kinks : bool
        Whether the penalty has an L1 part, whose solvers run on the CPU: a UserWarning.
    precision : {"auto", "tf32x3"}

    Raises
    ------
    ImportError, RuntimeError
        Without what "cuda" needs, naming it.
    ValueError
        On sparse X, on an X on the device and device="cpu", and where the CPU does not have
        this precision.
    """
    if device == "cpu":
        if is_on_device(X):
            raise ValueError(
                f"X is on a CUDA device, a {type(X).__module__}.{type(X).__name__}, and "
                "device='cpu'. Use device='cuda', or move X to the host."
            )
        if precision != "auto":
            raise ValueError(f"precision={precision!r} needs device='cuda', got device='cpu'.")
        return blocked if isinstance(X, RowBlocks) else cpu
    from .kernels._cuda_device import array_module

    array_module()
    if sparse.issparse(X):
        raise ValueError(
            f"device='cuda' takes dense X, got a sparse matrix of shape {X.shape}. Use "
            "device='cpu', or X.toarray() if it fits."
        )
    if has_kinks:
        warnings.warn(
            "device='cuda' has no solver for an L1 part of the penalty: this fit runs on the "
            "CPU.",
            UserWarning,
            stacklevel=2,
        )
        return blocked if isinstance(X, RowBlocks) else cpu
    from .kernels import cuda

    return cuda if precision == "auto" else cuda.with_split_products()


def is_on_device(array):
    """Whether it is an array in the memory of a GPU: CuPy's, a CUDA tensor of PyTorch's, ..."""
    return hasattr(array, "__cuda_array_interface__")


def as_numpy(array):
    """An array from anywhere as NumPy's, copied if it is on a device.

    Sparse matrices and `RowBlocks` are on the host, as they are.
    """
    if isinstance(array, RowBlocks) or sparse.issparse(array):
        return array
    if not is_on_device(array):
        return np.asarray(array)
    from .kernels._cuda_device import to_device, to_host

    return to_host(to_device(array))


def in_kind_of(X):
    """A function that turns arrays into those of the library that X on a device is from.

    On this device, and without a copy where they are there. NumPy's, where X is on the host.
    """
    if not is_on_device(X):
        return as_numpy
    from .kernels._cuda_device import to_device

    if hasattr(X, "__array_namespace__"):
        library = X.__array_namespace__()
    else:
        library = sys.modules[type(X).__module__.partition(".")[0]]
    if not hasattr(library, "from_dlpack"):    # Numba's arrays: CuPy's are the nearest
        return to_device
    return lambda array: library.from_dlpack(to_device(array))


def checked_device_array(X, dtypes, name="X"):
    """X on a device, in place where that is possible, as scikit-learn checks those on the host.

    Parameters
    ----------
    X : array on a device
    dtypes : tuple of dtypes
        Others become the first of them, float16 float32.

    Returns
    -------
    X : array of `array_module`, 2-D, C-ordered
    """
    from .kernels._cuda_device import array_module, to_device

    xp, X = array_module(), to_device(X)
    if X.ndim != 2:
        raise ValueError(f"{name} must be 2-D, (n_samples, n_features), got shape {X.shape}.")
    if 0 in X.shape:
        raise ValueError(
            f"{name} must have at least one sample and one feature, got shape {X.shape}."
        )
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {X.dtype}.")
    if X.dtype not in dtypes:
        X = X.astype(np.float32 if X.dtype == np.float16 else dtypes[0])
    return xp.ascontiguousarray(X)


def check_finite(X, name="X"):
    """ValueError where an array on a device holds NaN or infinity; no copy of it is made."""
    from .kernels._cuda_device import array_module

    xp = array_module()
    # A sum is finite only if all is, or nearly always if it is: look closer where it is not.
    if not bool(xp.isfinite(X.sum(dtype=np.float64))) and not bool(xp.isfinite(X).all()):
        raise ValueError(f"Input {name} contains NaN or infinity.")
