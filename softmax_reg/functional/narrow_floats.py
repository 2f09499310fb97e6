"""Floating-point types narrower than float32: NumPy's float16, and those of ml_dtypes."""

import numpy as np


def is_narrow(dtype):
    """Whether it is a NumPy dtype of real floats of at most 16 bits, all of which float32 has.

    Among them are bfloat16 and the eight-bit types that ml_dtypes adds to NumPy, which counts
    them as void; anything else, also a dtype of another library or None, is not.
    """
    if not isinstance(dtype, np.dtype):
        return False
    if dtype.kind == "V":
        return bool(np.can_cast(dtype, np.float32))
    return dtype.kind == "f" and dtype.itemsize <= 2
