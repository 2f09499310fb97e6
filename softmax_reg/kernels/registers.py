"""Vector registers of the processor that Numba compiles for, which need not be this one."""

import platform

from llvmlite.binding import get_host_cpu_name
from numba.core.codegen import get_host_cpu_features
from numba.core.registry import cpu_target


def register_file(machine, features):
    """Return the bytes of a vector register and the number of registers.

    Parameters
    ----------
    machine : str
        As `platform.machine()` names it.
    features : str
        LLVM's feature flags of x86, "+avx2,-avx512f", applied in this order. Adding a feature
        adds those it builds on, and removing it removes those that build on it. A feature
        that is not mentioned is absent.
    """
    if machine.lower() in ("arm64", "aarch64"):
        return 16, 32    # NEON, which no processor of this architecture lacks
    avx, avx512 = False, False
    for flag in features.split(","):
        sign, name = flag.strip()[:1], flag.strip()[1:]
        if sign == "+" and name.startswith("avx"):
            avx, avx512 = True, avx512 or name.startswith("avx512")
        elif sign == "-":
            avx = avx and name != "avx"
            avx512 = avx512 and name not in ("avx", "avx2", "avx512f")
    return (64, 32) if avx512 else (32, 16) if avx else (16, 16)


# Feature flags of the levels of x86-64 processors that have more than SSE.
_LEVELS = {"x86-64-v3": "+avx,+avx2", "x86-64-v4": "+avx,+avx2,+avx512f"}


def _features():
    """Return the flags that the processor's name implies, then those that Numba gives LLVM."""
    _, name, given = cpu_target.target_context.codegen().magic_tuple()
    implied = get_host_cpu_features() if name == get_host_cpu_name() else _LEVELS.get(name, "")
    return f"{implied},{given}"


# Results are right for any width: LLVM leaves part of a wider register unused, and splits vectors
# that are wider than a register. But all code that one process runs must have the same width, so
# the width is in the cache's key.
REGISTER_BYTES, N_REGISTERS = register_file(platform.machine(), _features())
