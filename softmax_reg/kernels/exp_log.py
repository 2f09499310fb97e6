"""exp and log1p that LLVM can vectorise, unlike those of libm."""

import math

import numpy as np

from .jit import by_precision, exact_kernel

_LOG2_E = 1.4426950408889634
# log(2) in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds a number to an integer, held in the lowest bits of the significand.
_MAGIC = 6755399441055744.0
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1 / math.factorial(n) for n in range(2, 14)
)
# Smallest argument whose exponential is not set to 0, in float64: just below it, at -708.4, exp
# becomes subnormal, which the arithmetic on exponent bits cannot represent.
UNDERFLOW = -708.0

_LOG2_E_32 = np.float32(_LOG2_E)
_LN2_HIGH_32 = np.float32(0.693359375)
_LN2_LOW_32 = np.float32(math.log(2) - 0.693359375)
_MAGIC_32 = np.float32(1.5 * 2**23)
_ONE_32 = np.float32(1)
_ZERO_32 = np.float32(0)
_D2, _D3, _D4, _D5, _D6, _D7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))
# Smallest argument whose exponential is not set to 0, in float32: exp is subnormal from -87.3.
UNDERFLOW_32 = np.float32(-87.0)

_SQRT_HALF = math.sqrt(0.5)
# 2 atanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...), |s| <= 3 - sqrt(8).
_A3, _A5, _A7, _A9, _A11, _A13, _A15, _A17, _A19, _A21 = (2 / n for n in range(3, 22, 2))


@exact_kernel
def exp64(x):
    """Return exp(x) in float64 for x <= 709, without a branch; error below 1 ulp.

    With x = k log 2 + r and |r| <= log(2) / 2, exp(r) is a Taylor polynomial of degree 13,
    whose remainder is below 2^-57, and k is added to the exponent bits. The result is 0
    below `UNDERFLOW`, and NaN for NaN. Terms are added in pairs (Estrin's scheme): in Horner's
    scheme every operation waits for the one before, which takes a quarter more time.

    References
    ----------
    Muller (2016), Elementary Functions, 3rd edition, section 11.1 (reduction of
    the argument by Cody and Waite).
    """
    rounded = x * _LOG2_E + _MAGIC
    k = rounded - _MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (_C3 + _C4 * r) + (_C5 + _C6 * r) * r2
    middle = (_C7 + _C8 * r) + (_C9 + _C10 * r) * r2
    high = (_C11 + _C12 * r) + _C13 * r2
    p = (low + middle * r4) + high * (r4 * r4)
    p = 1.0 + (r + r2 * (_C2 + p * r))
    exponent = np.float64(rounded).view(np.int64) << np.int64(52)
    value = np.int64(np.float64(p).view(np.int64) + exponent).view(np.float64)
    return value if x >= UNDERFLOW else (0.0 if x < UNDERFLOW else x)


@exact_kernel
def exp32(x):
    """Return exp(x) in float32 for x <= 88 by the method of `exp64`, degree 7; error < 1.1 ulp."""
    rounded = x * _LOG2_E_32 + _MAGIC_32
    k = rounded - _MAGIC_32
    r = (x - k * _LN2_HIGH_32) - k * _LN2_LOW_32
    r2 = r * r
    p = (_D2 + _D3 * r) + (_D4 + _D5 * r) * r2 + (_D6 + _D7 * r) * (r2 * r2)
    p = _ONE_32 + (r + r2 * p)
    exponent = np.int32(np.float32(rounded).view(np.int32) << np.int32(23))
    value = np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)
    return value if x >= UNDERFLOW_32 else (_ZERO_32 if x < UNDERFLOW_32 else x)


exp = by_precision(exp32, exp64)


@exact_kernel
def log1p(x):
    """Return log(1 + x) in float64 for 0 <= x < 2^1000, without a branch; error below 3 ulp.

    With u = 1 + x rounded, log(1 + x) = log(u) + (x - (u - 1)) / u up to terms of
    the order of eps^2. u = 2^k m with m in [sqrt(1/2), sqrt(2)), and log(m) =
    2 atanh((m - 1) / (m + 1)) by its Taylor polynomial of degree 21. The result is NaN for NaN.

    References
    ----------
    Muller (2016), Elementary Functions, 3rd edition, section 11.1.
    """
    u = 1.0 + x
    lost = x - (u - 1.0) if x < 1.0 else 1.0 - (u - x)
    bits = np.float64(u * _SQRT_HALF).view(np.int64)
    k = (bits >> np.int64(52)) - np.int64(1022)
    power = np.int64((np.int64(1023) - k) << np.int64(52)).view(np.float64)
    m = u * power
    # m - 1 is exact; where k = 0 it is x itself, up to what u lost.
    top = m - 1.0 + lost * power
    s = top / (m + 1.0)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    low = (_A3 + _A5 * z) + (_A7 + _A9 * z) * z2
    high = (_A11 + _A13 * z) + (_A15 + _A17 * z) * z2
    p = (low + high * z4) + (_A19 + _A21 * z) * (z4 * z4)
    small = 2.0 * s + s * z * p
    value = np.float64(k) * _LN2_LOW + small + np.float64(k) * _LN2_HIGH
    return value if x < np.inf else x
