"""Floating-point types narrower than float32: NumPy's float16, and those of ml_dtypes."""

import numpy as np


def is_narrow(dtype):
    """Return whether `dtype` is a NumPy dtype of real floats of at most 16 bits.

    float32 can represent every value of these types: float16, and bfloat16 and the eight-bit
    types of ml_dtypes, to which NumPy gives the kind "V" of void. A dtype of another library, or
    None, is not narrow.
    """
    if not isinstance(dtype, np.dtype):
        return False
    if dtype.kind == "V":
        return bool(np.can_cast(dtype, np.float32))
    return dtype.kind == "f" and dtype.itemsize <= 2
