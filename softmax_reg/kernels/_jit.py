"""The one place that chooses Numba options."""

from numba import njit

# What LLVM may do with floating point: reassociate (so that sums become SIMD
# lanes), contract to FMA, ignore the sign of zero. `nnan` and `ninf` are left
# out on purpose: NaN and inf are data here, a line search must see them.
_FASTMATH = {"reassoc", "contract", "nsz"}


def kernel(function):
    """Compile `function` as a serial kernel that releases the GIL.

    nogil
        Parallelism comes from Python threads that run kernels on disjoint row
        ranges (`_launch`), never from Numba's own threading layers: those
        abort the process after a fork (GNU OpenMP) or when two Python threads
        launch at once (workqueue).
    cache
        The machine code is kept next to the module (or in NUMBA_CACHE_DIR,
        or in the user's cache folder), so only the first fit ever compiles.
    error_model="numpy"
        Division by zero gives inf or NaN as in NumPy; the checked Python model
        would keep loops from being vectorised.
    """
    return njit(nogil=True, cache=True, fastmath=_FASTMATH, error_model="numpy")(function)
