"""Products of float32 matrices on tensor cores, to about the accuracy of float32.

TF32 keeps 11 significant bits of each factor. A float32 is the sum of two such numbers,
a = a1 + a2, up to a relative 2^-23. A product a b is a1 b1 + (a1 b2 + a2 b1), up to a2 b2 of
the relative size 2^-22: three products at many times the rate of one in float32. Sums are
float32 throughout.

References
----------
Ootomo & Yokota (2022), Recovering single precision accuracy from Tensor Cores while surpassing
the FP32 theoretical peak performance, Int. J. High Perform. Comput. Appl. 36(4).
"""

import numpy as np

from .device import IS_SIMULATED, array_module

# Number of bits of a float32 significand that TF32 drops.
_DROPPED = 13


def halves(array):
    """Return (high, low), float32: `array` rounded to TF32, and the remainder."""
    bits = array.view(np.int32)
    high = (bits + (1 << _DROPPED - 1) & -(1 << _DROPPED)).view(np.float32)
    return high, array - high


def split_product(left, right, out):
    """Compute out = left @ right for float32 matrices; `left` may be transposed.

    Parameters
    ----------
    left : (m, k), C- or F-contiguous
    right : (k, n), C-contiguous
    out : (m, n), C-contiguous
    """
    if left.flags.c_contiguous:
        left_halves = halves(left)
    else:
        left_halves = tuple(half.T for half in halves(left.T))
    right_halves = halves(right)
    # Add the small products first.
    _product(left_halves[1], right_halves[0], out, 0.0)
    _product(left_halves[0], right_halves[1], out, 1.0)
    _product(left_halves[0], right_halves[0], out, 1.0)


def _product(left, right, out, keep):
    """Compute out = left @ right + keep * out, with the factors rounded to TF32."""
    if IS_SIMULATED:
        product = halves(np.ascontiguousarray(left))[0] @ halves(right)[0]
        if keep:
            product += keep * out
        np.copyto(out, product)
        return
    cuda = array_module().cuda
    cublas, single = cuda.cublas, cuda.runtime.CUDA_R_32F
    one, kept = np.ones(1, dtype=np.float32), np.full(1, keep, dtype=np.float32)
    handle = cuda.get_cublas_handle()
    mode = cublas.getPointerMode(handle)
    cublas.setPointerMode(handle, cublas.CUBLAS_POINTER_MODE_HOST)
    # cuBLAS stores matrices by columns, so it takes these for their transposes:
    # right' left' = out'.
    is_plain = left.flags.c_contiguous
    (m, n), k = out.shape, len(right)
    try:
        cublas.gemmEx(
            handle, cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_N if is_plain else cublas.CUBLAS_OP_T,
            n, m, k, one.ctypes.data, right.data.ptr, single, n, left.data.ptr, single,
            k if is_plain else m, kept.ctypes.data, out.data.ptr, single, n,
            cublas.CUBLAS_COMPUTE_32F_FAST_TF32, cublas.CUBLAS_GEMM_DEFAULT,
        )
    finally:
        cublas.setPointerMode(handle, mode)
