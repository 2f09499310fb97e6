"""CUDA kernels on the logits of a block of rows, in place.

A row is one thread block, whose threads share the classes; in the binary model a row is one
thread. A launch may have more blocks or threads than rows. Arrays may be float32; all arithmetic
is float64. Sums run over threads in a tree of fixed shape, without atomics: the results have the
same bits every time. NaN and infinities propagate as in NumPy.

Shapes
------
logits, change : (n_rows, n_classes) float32 or float64, overwritten
y : (n_rows,) int32, in [0, n_classes), checked by the caller
weight : (n_rows,) float64
loss, spread : (n_rows,) float64, overwritten
wrong : (n_rows,) int32, overwritten
"""

import math

import numpy as np
from numba import cuda, float64

# Largest number of threads of a block, a power of two.
MAX_THREADS = 128


@cuda.jit(device=True, inline="always")
def _sum_of_block(shared, value):
    """Return the sum of `value` over the threads of the block, to all of them."""
    thread = cuda.threadIdx.x
    cuda.syncthreads()    # until all threads have read the last result
    shared[thread] = value
    cuda.syncthreads()
    stride = cuda.blockDim.x // 2
    while stride > 0:
        if thread < stride:
            shared[thread] += shared[thread + stride]
        cuda.syncthreads()
        stride //= 2
    return shared[0]


@cuda.jit(device=True, inline="always")
def _largest_of_block(shared, value):
    """Return the largest `value` of the threads of the block, to all of them."""
    thread = cuda.threadIdx.x
    cuda.syncthreads()
    shared[thread] = value
    cuda.syncthreads()
    stride = cuda.blockDim.x // 2
    while stride > 0:
        if thread < stride:
            shared[thread] = max(shared[thread], shared[thread + stride])
        cuda.syncthreads()
        stride //= 2
    return shared[0]


@cuda.jit(device=True, inline="always")
def _softmax_of_block(shared, logits, row):
    """Replace the logits z = logits[row] with exp(z - max(z)) and return the sum of these."""
    n_classes = logits.shape[1]
    first, step = cuda.threadIdx.x, cuda.blockDim.x
    top = -np.inf
    for k in range(first, n_classes, step):
        top = max(top, float64(logits[row, k]))
    top = _largest_of_block(shared, top)
    total = 0.0
    for k in range(first, n_classes, step):
        value = math.exp(float64(logits[row, k]) - top)
        logits[row, k] = value
        total += value
    return _sum_of_block(shared, total)


@cuda.jit
def residuals(logits, y, weight, loss, wrong):
    """Compute the weighted cross-entropy of each row, and its gradient in place of the logits.

    loss[i]   = s (logsumexp(z) - z[y[i]])        in nats, s = weight[i]
    logits[i] = s (softmax(z) - onehot(y[i]))
    wrong[i]  = s > 0 and z[y[i]] is not strictly the largest
    """
    shared = cuda.shared.array(MAX_THREADS, float64)
    row, n_classes = cuda.blockIdx.x, logits.shape[1]
    first, step = cuda.threadIdx.x, cuda.blockDim.x
    if row >= logits.shape[0]:
        return
    right, own, s = y[row], float64(logits[row, y[row]]), weight[row]
    rival = -np.inf
    for k in range(first, n_classes, step):
        if k != right:
            rival = max(rival, float64(logits[row, k]))
    rival = _largest_of_block(shared, rival)
    top = max(rival, own)
    # Sum the exponentials of the other classes separately: q - 1 would cancel for q near 1.
    others = 0.0
    for k in range(first, n_classes, step):
        if k != right:
            others += math.exp(float64(logits[row, k]) - top)
    others = _sum_of_block(shared, others)
    total = others + math.exp(own - top)
    for k in range(first, n_classes, step):
        if k == right:
            logits[row, k] = -s * (others / total)
        else:
            logits[row, k] = s * (math.exp(float64(logits[row, k]) - top) / total)
    if first == 0:
        rest = math.log1p(others) if own == top else math.log(total) + (top - own)
        loss[row] = s * rest
        wrong[row] = 1 if s > 0 and not own > rival else 0


@cuda.jit
def binary_residuals(logits, y, weight, loss, wrong):
    """Compute `residuals` of the binary model; logits (n_rows, 1) are those of class 1."""
    row = cuda.grid(1)
    if row < logits.shape[0]:
        s = weight[row]
        odds = float64(logits[row, 0])
        if y[row] == 0:
            odds = -odds
        wrong_proba = 1 / (1 + math.exp(odds)) if odds < 0 else (
            math.exp(-odds) / (1 + math.exp(-odds))
        )
        loss[row] = s * (max(-odds, 0.0) + math.log1p(math.exp(-abs(odds))))
        logits[row, 0] = s * wrong_proba if y[row] == 0 else -s * wrong_proba
        wrong[row] = 1 if s > 0 and not odds > 0 else 0


@cuda.jit
def hessian_rows(logits, change, weight):
    """Replace change[i] with s (diag(q) - q q') change[i], with q the softmax of logits[i]."""
    shared = cuda.shared.array(MAX_THREADS, float64)
    row, n_classes = cuda.blockIdx.x, logits.shape[1]
    first, step = cuda.threadIdx.x, cuda.blockDim.x
    if row >= logits.shape[0]:
        return
    total = _softmax_of_block(shared, logits, row)
    mean = 0.0
    for k in range(first, n_classes, step):
        mean += float64(logits[row, k]) / total * float64(change[row, k])
    mean = _sum_of_block(shared, mean)
    for k in range(first, n_classes, step):
        share = weight[row] * (float64(logits[row, k]) / total)
        change[row, k] = share * (float64(change[row, k]) - mean)


@cuda.jit
def binary_hessian_rows(logits, change, weight):
    """Compute `hessian_rows` of the binary model."""
    row = cuda.grid(1)
    if row < logits.shape[0]:
        small = math.exp(-abs(float64(logits[row, 0])))
        change[row, 0] = weight[row] * (small / (1 + small) ** 2) * float64(change[row, 0])


@cuda.jit
def spreads(logits, weight, spread):
    """Replace logits[i] with its softmax q, and set spread[i] = s sum_k q_k (1 - q_k)."""
    shared = cuda.shared.array(MAX_THREADS, float64)
    row, n_classes = cuda.blockIdx.x, logits.shape[1]
    first, step = cuda.threadIdx.x, cuda.blockDim.x
    if row >= logits.shape[0]:
        return
    total = _softmax_of_block(shared, logits, row)
    # Compute sum_k e_k (total - e_k) with e_k = exp(z_k - max(z)). For a largest logit e_k = 1,
    # and the sum of the other exponentials replaces total - 1, which would cancel. Several
    # logits may tie.
    rest, own, n_largest = 0.0, 0.0, 0.0
    for k in range(first, n_classes, step):
        value = float64(logits[row, k])
        if value == 1.0:
            n_largest += 1.0
        else:
            rest += value
            own += value * (total - value)
    rest, own = _sum_of_block(shared, rest), _sum_of_block(shared, own)
    n_largest = _sum_of_block(shared, n_largest)
    own += n_largest * (rest + (n_largest - 1.0))
    for k in range(first, n_classes, step):
        logits[row, k] = float64(logits[row, k]) / total
    if first == 0:
        spread[row] = weight[row] * (own / total**2)


@cuda.jit
def binary_spreads(logits, weight, spread):
    """Compute `spreads` of the binary model: q of class 1, and s q (1 - q)."""
    row = cuda.grid(1)
    if row < logits.shape[0]:
        odds = float64(logits[row, 0])
        small = math.exp(-abs(odds))
        spread[row] = weight[row] * (small / (1 + small) ** 2)
        logits[row, 0] = (1.0 if odds > 0 else small) / (1 + small)
