"""The one place that chooses Numba options."""

import numpy as np
from numba import config, njit, types
from numba.extending import overload

from .code_cache import guard
from .cold_start import announce

# Whether kernels run as plain Python (NUMBA_DISABLE_JIT=1), for tests and debuggers.
IS_INTERPRETED = bool(config.DISABLE_JIT)

# Floating-point liberties of LLVM: reassociate (so that sums become SIMD
# lanes), contract to FMA, ignore the sign of zero. `nnan` and `ninf` are left
# out on purpose: NaN and inf are data here, a line search must see them.
_FASTMATH = {"reassoc", "contract", "nsz"}


def exact_kernel(function):
    """Compile as `kernel` does, but keep sums in the order they are written in.

    Reassociation would undo compensated arithmetic.
    """
    return _compile(function, fastmath={"contract"})


def kernel(function):
    """Compile `function` as a serial kernel that releases the GIL.

    nogil
        Parallelism comes from Python threads that run kernels on disjoint row
        ranges (`parallel.launch`), never from Numba's own threading layers: those
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


def inner_kernel(function):
    """Inline a function that only kernels call into their source, before types are inferred.

    Compiling it on its own as well would take half of a cold start.
    """
    return _compile(function, fastmath=_FASTMATH, inline="always")


def outlined_kernel(function):
    """Compile as `kernel` does, but as a separate function in its callers' machine code.

    This is for a body that several kernels call: its types are inferred once for all of them,
    which is most of the time that compiling takes. fastmath is off, so every compilation gives
    the same bits: sums are those of `simd_dense` and `simd_sparse`, whose order is fixed, or
    elementwise.
    """
    return _compile(function, fastmath=False, forceinline=False)


def by_precision(single, double):
    """Return a function for kernels to call: `single` for float32 numbers, `double` for others."""
    if IS_INTERPRETED:
        return lambda x: (single if getattr(x, "dtype", None) == np.float32 else double)(x)

    def choose(x):
        raise NotImplementedError("only kernels call this")

    @overload(choose, jit_options={"fastmath": {"contract"}, "forceinline": True})
    def _compiled(x):
        chosen = single if x == types.float32 else double
        return lambda x: chosen(x)

    return choose


if not IS_INTERPRETED:
    announce()


def _compile(function, fastmath, forceinline=True, inline="never"):
    options = {
        "nogil": True, "fastmath": fastmath, "error_model": "numpy", "forceinline": forceinline,
        "inline": inline, "no_cfunc_wrapper": True,
    }
    if IS_INTERPRETED:
        return function
    try:
        compiled = njit(cache=True, **options)(function)
        guard(compiled._cache, function)
    # "cannot cache function": there is no folder to write to. Or Numba's cache has changed.
    except (RuntimeError, AttributeError):
        return njit(**options)(function)
    return compiled
