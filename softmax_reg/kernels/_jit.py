"""The one place that chooses Numba options."""

import hashlib
from pathlib import Path

from numba import njit

# What LLVM may do with floating point: reassociate (so that sums become SIMD
# lanes), contract to FMA, ignore the sign of zero. `nnan` and `ninf` are left
# out on purpose: NaN and inf are data here, a line search must see them.
_FASTMATH = {"reassoc", "contract", "nsz"}


def _digest_of_sources():
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _digest_of_sources()


def exact_kernel(function):
    """As `kernel`, but sums stay in the order they are written in.

    Reassociation would undo compensated arithmetic.
    """
    return _compile(function, fastmath={"contract"})


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
        Where no such folder can be written, every process compiles.
    forceinline
        Otherwise a kernel's machine code and that of its callers each hold a copy
        of it, optimised differently; which copy runs depends on what was compiled
        or loaded first, and with it the last bits of the result.
    error_model="numpy"
        Division by zero gives inf or NaN as in NumPy; the checked Python model
        would keep loops from being vectorised.
    """
    return _compile(function, fastmath=_FASTMATH)


def _compile(function, fastmath):
    options = {
        "nogil": True, "fastmath": fastmath, "error_model": "numpy", "forceinline": True,
    }
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:    # "cannot cache function": nowhere to write
        return njit(**options)(function)
    index = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        # Numba takes cached code for valid while the function's own file is
        # unchanged, but it holds callees from other files, inlined.
        index._source_stamp = (index._source_stamp, _SOURCES)
    return compiled
