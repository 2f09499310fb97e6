"""An exponential that LLVM can vectorise; libm's it cannot."""

import math

import numpy as np

from ._jit import exact_kernel

_LOG2_E = 1.4426950408889634
# log(2) in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer, and leaves it in the lowest bits.
_MAGIC = 6755399441055744.0
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1 / math.factorial(n) for n in range(2, 14)
)
# exp of anything lower is subnormal in float64, and 0 here.
UNDERFLOW = -708.0


@exact_kernel
def exp(x):
    """exp(x) in float64 for x <= 709, without a branch; error below 1 ulp.

    x = k log 2 + r with |r| <= log(2) / 2; the Taylor polynomial of degree 13 in r,
    whose remainder is below 2^-57; k is added to the exponent bits. 0 below
    `UNDERFLOW`, NaN for NaN.

    References
    ----------
    Muller (2016), Elementary Functions, 3rd edition, section 11.1 (reduction of
    the argument by Cody and Waite).
    """
    rounded = x * _LOG2_E + _MAGIC
    k = rounded - _MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _C13
    p = p * r + _C12
    p = p * r + _C11
    p = p * r + _C10
    p = p * r + _C9
    p = p * r + _C8
    p = p * r + _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = 1.0 + (r + r * r * p)
    exponent = np.float64(rounded).view(np.int64) << np.int64(52)
    value = np.int64(np.float64(p).view(np.int64) + exponent).view(np.float64)
    return value if x >= UNDERFLOW else (0.0 if x < UNDERFLOW else x)
