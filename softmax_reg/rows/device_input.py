"""Arrays that are on a device already: recognised, checked, moved."""

import sys

import numpy as np
from scipy import sparse

from .row_blocks import RowBlocks


def is_on_device(array):
    """Return whether `array` is in GPU memory: CuPy's, a CUDA tensor of PyTorch's, ..."""
    return hasattr(array, "__cuda_array_interface__")


def as_numpy(array):
    """Return an array of any library as an ndarray, copied if it is on a device.

    Sparse matrices and `RowBlocks` are on the host and are returned as they are.
    """
    if isinstance(array, RowBlocks) or sparse.issparse(array):
        return array
    if not is_on_device(array):
        return np.asarray(array)
    from ..cuda.device import to_device, to_host

    return to_host(to_device(array))


def in_kind_of(X):
    """Return a function that converts arrays to the library and the device of X.

    Arrays that are on this device are not copied. The results are ndarrays where X is on the
    host.
    """
    if not is_on_device(X):
        return as_numpy
    from ..cuda.device import to_device

    if hasattr(X, "__array_namespace__"):
        library = X.__array_namespace__()
    else:
        library = sys.modules[type(X).__module__.partition(".")[0]]
    if not hasattr(library, "from_dlpack"):    # such as Numba: return arrays of CuPy instead
        return to_device
    return lambda array: library.from_dlpack(to_device(array))


def checked_device_array(X, dtypes, name="X"):
    """Check an X on a device as scikit-learn does on the host; copy it only if necessary.

    Parameters
    ----------
    X : array on a device
    dtypes : tuple of dtypes
        Other dtypes become the first of them, and float16 becomes float32.

    Returns
    -------
    X : array of `array_module`, 2-D, C-ordered
    """
    from ..cuda.device import array_module, to_device

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
    """Raise a ValueError if an array on a device holds NaN or infinity, without copying it."""
    from ..cuda.device import array_module

    xp = array_module()
    # The sum is finite only if all entries are. If not, look at each: the sum may overflow.
    if not bool(xp.isfinite(X.sum(dtype=np.float64))) and not bool(xp.isfinite(X).all()):
        raise ValueError(f"Input {name} contains NaN or infinity.")
