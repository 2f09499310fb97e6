"""Where a fit and its predictions run."""

import warnings

from scipy import sparse

from .kernels import cpu

DEVICES = ("cpu", "cuda")


def backend_for(device, X, has_kinks=False):
    """The backend of a device for this X; nothing of CUDA is imported but for "cuda".

    Parameters
    ----------
    device : {"cpu", "cuda"}
    X : validated ndarray or sparse matrix
    has_kinks : bool
        Whether the penalty has an L1 part, whose solvers run on the CPU: a UserWarning.

    Raises
    ------
    ImportError, RuntimeError
        Without what "cuda" needs, naming it.
    ValueError
        On sparse X.
    """
    if device == "cpu":
        return cpu
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
        return cpu
    from .kernels import cuda

    return cuda
