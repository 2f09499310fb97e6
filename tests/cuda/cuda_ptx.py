"""The CUDA kernels compile for every architecture; needs NVVM, no GPU.

    python -m pip install 'numba-cuda[cu12]' && python -m pytest tests/cuda/cuda_ptx.py
"""

import re

import pytest
from numba import cuda, float32, float64, int32, types

from softmax_reg.cuda import softmax

ROWS = types.Array(float64, 1, "C")
LABELS = types.Array(int32, 1, "C")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compute_capability", [(7, 0), (8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name, arguments", [
    ("residuals", (LABELS, ROWS, ROWS, LABELS)), ("hessian_rows", (None, ROWS)),
    ("spreads", (ROWS, ROWS)),
])
@pytest.mark.parametrize("form", ["", "binary_"])
def test_kernels_compile_to_ptx(form, name, arguments, dtype, compute_capability):
    """PTX for this architecture, with an entry point of this name, without atomics."""
    logits = types.Array(dtype, 2, "C")
    signature = (logits, *(logits if argument is None else argument for argument in arguments))
    kernel = getattr(softmax, form + name).py_func
    ptx, _ = cuda.compile_ptx(kernel, signature, cc=compute_capability)
    major, minor = compute_capability
    assert f".target sm_{major}{minor}" in ptx and form + name in ptx
    assert not re.search(r"\b(atom|red)\.", ptx)
