"""Run one kernel on many row ranges at once, from any thread or process.

A kernel releases the GIL, so plain Python threads are all the parallelism it
needs. One pool serves the whole process: fits that run at the same time, each in
a thread of its own, share its workers. A forked child starts with no pool and
makes its own at its first launch.
"""

import contextlib
import functools
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import joblib

from ._blas import n_blas_threads

# Accumulators are private to a chunk and added in chunk order, so their number
# must follow from the shapes alone: then a result does not depend on how many
# threads computed it.
MAX_CHUNKS = 16
MAX_ACCUMULATOR_BYTES = 32 * 2**20
# Below this many floating-point operations, waking a worker costs more than
# it saves.
SERIAL_WORK = 1_000_000
# A call from Python takes about as long as a tenth of so many of them.
MIN_CHUNK_WORK = 1_000_000

_lock = threading.Lock()
_pool = None
_pool_size = 0


@functools.lru_cache(maxsize=1)
def _usable_cpus(affinity, most):
    """`joblib.cpu_count`; `affinity` and `most` are what it depends on.

    It reads files of the cgroup, which takes as long as a small evaluation. The quota
    found there is taken to stay.
    """
    return joblib.cpu_count()


def n_threads():
    """Number of kernel threads: CPUs this process may use, or fewer if asked.

    `joblib.cpu_count` knows CPU affinity, cgroup quotas and LOKY_MAX_CPU_COUNT;
    NUMBA_NUM_THREADS and OMP_NUM_THREADS lower it further. joblib's and Dask's
    workers set at least one of these to their own share. So does a limit on BLAS, by
    threadpoolctl or OPENBLAS_NUM_THREADS: the kernels do here what BLAS does elsewhere.
    """
    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    limits = [_usable_cpus(affinity, os.environ.get("LOKY_MAX_CPU_COUNT"))]
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        # OMP_NUM_THREADS may list one number per nesting level: "4,2".
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            limits.append(int(text))
    blas = n_blas_threads()
    return max(1, min(limits if blas is None else [*limits, blas]))


def _shared_pool(size):
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size != size:
            # An old pool of another size finishes what it has and then ends.
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool = ThreadPoolExecutor(size, thread_name_prefix="softmax_reg")
            _pool_size = size
        return _pool


def _forget_pool():
    """In a forked child: the parent's threads and lock do not exist here."""
    global _pool, _pool_size, _lock
    _lock = threading.Lock()
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def chunk_bounds(n_samples, block, accumulator_bytes, work):
    """Cut rows into at most `MAX_CHUNKS` ranges of whole blocks.

    Parameters
    ----------
    n_samples : int
    block : int
        Rows per block; every bound but the last is a multiple of it.
    accumulator_bytes : int
        Memory one chunk needs for its private sums. All chunks together stay
        under `MAX_ACCUMULATOR_BYTES`, but that leaves at least two.
    work : float
        Floating-point operations on all rows; a chunk has `MIN_CHUNK_WORK` or more.

    Returns
    -------
    list of (start, stop)
        Depends on the arguments only, never on the number of threads.
    """
    n_blocks = -(-n_samples // block)
    by_memory = max(2, MAX_ACCUMULATOR_BYTES // max(1, accumulator_bytes))
    n_chunks = max(1, min(MAX_CHUNKS, n_blocks, by_memory, int(work // MIN_CHUNK_WORK)))
    cuts = [n_blocks * c // n_chunks * block for c in range(n_chunks)] + [n_samples]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def launch(kernel, calls, work):
    """Call ``kernel(*args)`` for every args of `calls`; results in order.

    The caller works too: it and the pool's threads take calls from one queue, so
    a pool that is busy with other fits delays nothing.

    Parameters
    ----------
    kernel : callable that releases the GIL
    calls : list of tuple
    work : float
        Floating-point operations of all calls together; little work, a single
        call or a single thread runs in the caller alone.
    """
    # Asking for the number of CPUs takes tens of microseconds: small work goes first.
    budget = 1 if work < SERIAL_WORK else n_threads()
    size = min(budget, len(calls))
    if size == 1:
        return [kernel(*args) for args in calls]
    queue = deque(range(len(calls)))
    results = [None] * len(calls)

    def drain():
        while True:
            try:
                c = queue.popleft()
            except IndexError:
                return
            results[c] = kernel(*calls[c])

    helpers = []
    # RuntimeError: another thread resized the pool just now, or the interpreter is
    # shutting down and starts no threads any more. The helpers there are will do.
    with contextlib.suppress(RuntimeError):
        for _ in range(size - 1):
            helpers.append(_shared_pool(budget - 1).submit(drain))
    try:
        drain()
    finally:
        queue.clear()    # after an exception nobody needs to go on
        running = [helper for helper in helpers if not helper.cancel()]
    for helper in running:
        helper.result()
    return results
