"""Choice of the kind of rows for an X, a device and a precision."""

from scipy import sparse

from ..exceptions import warn
from .device_input import as_numpy, is_on_device
from .row_blocks import RowBlocks
from .small import SmallRows, are_small

DEVICES = ("cpu", "cuda")
PRECISIONS = ("auto", "tf32x3")


def rows_of(X, n_rows, device="cpu", *, has_kinks=False, precision="auto"):
    """Return the rows of X on a device.

    Numba is imported only for rows whose passes are kernels, and CUDA only for "cuda".

    Parameters
    ----------
    X : validated array or sparse matrix
    n_rows : int
        Number of rows of theta. Few rows run in NumPy. This choice depends on shapes and numbers
        of entries alone, so results have the same bits whether or not kernels are compiled.
    device : {"cpu", "cuda"}
    has_kinks : bool
        Whether the penalty has an L1 part or bounds. Such a fit runs on the CPU; with "cuda", a
        UserWarning says so.
    precision : {"auto", "tf32x3"}

    Returns
    -------
    Rows

    Raises
    ------
    ImportError, RuntimeError
        If a requirement of "cuda" is missing; the message names it.
    ValueError
        If X is sparse for "cuda", or on the device for "cpu", or if the CPU does not have this
        precision.
    """
    runs_on_device = check_device(device, X, has_kinks, precision)
    if runs_on_device:
        from .device import DeviceRows

        return DeviceRows(X, is_split=precision == "tf32x3")
    if isinstance(X, RowBlocks):
        from .file import FileRows

        return FileRows(X)
    X = as_numpy(X)    # a copy if X is on a device, for an L1 fit, which runs on the CPU
    if are_small(X, n_rows):
        return SmallRows(X)
    from .memory import MemoryRows

    return MemoryRows(X)


def check_device(device, X, has_kinks=False, precision="auto"):
    """Return whether a fit of this X runs on the device; errors and warnings as in `rows_of`."""
    if device == "cpu":
        if is_on_device(X):
            raise ValueError(
                f"X is on a CUDA device, a {type(X).__module__}.{type(X).__name__}, and "
                "device='cpu'. Use device='cuda', or move X to the host."
            )
        if precision != "auto":
            raise ValueError(f"precision={precision!r} needs device='cuda', got device='cpu'.")
        return False
    from ..cuda.device import array_module

    array_module()
    if sparse.issparse(X):
        raise ValueError(
            f"device='cuda' takes dense X, got a sparse matrix of shape {X.shape}. Use "
            "device='cpu', or X.toarray() if it fits."
        )
    if has_kinks:
        warn("device='cuda' has no solver for an L1 part of the penalty or bounds: this fit runs "
             "on the CPU.")
        return False
    return True
