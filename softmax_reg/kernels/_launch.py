"""Run one kernel on many row ranges at once, from any thread or process.

A kernel releases the GIL, so plain Python threads are all the parallelism it
needs. One pool serves the whole process: fits that run at the same time share
its workers and cannot oversubscribe the machine. A forked child starts with no
pool and makes its own at its first launch.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib

# Accumulators are private to a chunk and added in chunk order, so their number
# must follow from the shapes alone: then a result does not depend on how many
# threads computed it.
MAX_CHUNKS = 16
MAX_ACCUMULATOR_BYTES = 32 * 2**20
# Below this many floating-point operations, waking a worker costs more than
# it saves.
SERIAL_WORK = 1_000_000

_lock = threading.Lock()
_pool = None
_pool_size = 0


def n_threads():
    """Number of kernel threads: CPUs this process may use, or fewer if asked.

    `joblib.cpu_count` knows CPU affinity, cgroup quotas and LOKY_MAX_CPU_COUNT;
    NUMBA_NUM_THREADS and OMP_NUM_THREADS lower it further. joblib's and Dask's
    workers set at least one of these to their own share.
    """
    limits = [joblib.cpu_count()]
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        # OMP_NUM_THREADS may list one number per nesting level: "4,2".
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            limits.append(int(text))
    return max(1, min(limits))


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


def chunk_bounds(n_samples, block, accumulator_bytes):
    """Cut rows into at most `MAX_CHUNKS` ranges of whole blocks.

    Parameters
    ----------
    n_samples : int
    block : int
        Rows per block; every bound but the last is a multiple of it.
    accumulator_bytes : int
        Memory one chunk needs for its private sums. All chunks together stay
        under `MAX_ACCUMULATOR_BYTES`, but there are at least two.

    Returns
    -------
    list of (start, stop)
        Depends on the arguments only, never on the number of threads.
    """
    n_blocks = -(-n_samples // block)
    by_memory = max(2, MAX_ACCUMULATOR_BYTES // max(1, accumulator_bytes))
    n_chunks = max(1, min(MAX_CHUNKS, n_blocks, by_memory))
    cuts = [n_blocks * c // n_chunks * block for c in range(n_chunks)] + [n_samples]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def launch(kernel, calls, work):
    """Call ``kernel(*args)`` for every args of `calls`; results in order.

    Parameters
    ----------
    kernel : callable that releases the GIL
    calls : list of tuple
    work : float
        Floating-point operations of all calls together; little work, a single
        call or a single thread runs in the caller.
    """
    size = n_threads()
    if work < SERIAL_WORK or len(calls) == 1 or size == 1:
        return [kernel(*args) for args in calls]
    futures = []
    for args in calls:
        try:
            futures.append(_shared_pool(size).submit(kernel, *args))
        except RuntimeError:
            # The pool was resized by another thread just now, or the
            # interpreter is shutting down and starts no threads any more.
            break
    results = []
    try:
        results = [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
    return results + [kernel(*args) for args in calls[len(futures):]]
