"""Run one kernel on many row ranges at once, from any thread or process.

A kernel releases the GIL, so plain Python threads are all the parallelism it
needs. One set of workers serves the whole process: fits that run at the same time, each in
a thread of its own, share them. A forked child starts with none and makes its own at its
first launch.
"""

import contextlib
import functools
import multiprocessing
import os
import sys
from collections import deque

import joblib

from .blas import n_blas_threads
from .workers import Job, Workers

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

# size -> Workers, of one size but for an instant. Every change is a single call of C code, so
# that neither another thread nor an interrupt can come amid one.
_workers = {}


def environment_limit(environ):
    """Return the number of threads that environment variables allow; None where none does.

    Parameters
    ----------
    environ : mapping of str to str
        NUMBA_NUM_THREADS and OMP_NUM_THREADS are read. The latter may list one number per
        nesting level: "4,2". What is no positive integer is no limit.
    """
    names = ["NUMBA_NUM_THREADS"]
    if not _is_left_by_local_cluster(environ):
        names.append("OMP_NUM_THREADS")
    texts = [environ.get(name, "").split(",")[0].strip() for name in names]
    return min((int(text) for text in texts if text.isdigit() and int(text) > 0), default=None)


def _is_left_by_local_cluster(environ):
    """Tell whether Dask put its workers' variables into this process, which is no worker.

    A `distributed.LocalCluster` sets OMP_NUM_THREADS=1 and others where it starts its
    workers, for these to inherit, and leaves them there.
    """
    config = sys.modules.get("dask.config")
    if config is None or multiprocessing.parent_process() is not None:
        return False
    variables = config.get("distributed.nanny.pre-spawn-environ", None) or {}
    put = {name: str(value) for name, value in variables.items() if value is not None}
    return bool(put) and all(environ.get(name) == value for name, value in put.items())


# Read once: workers of joblib and Dask have their share in the environment when they start,
# whereas a variable that changes later, as by a `LocalCluster`, is meant for other processes.
_ENVIRONMENT_LIMIT = environment_limit(os.environ)


@functools.lru_cache(maxsize=1)
def _usable_cpus(affinity, most):
    """`joblib.cpu_count`; `affinity` and `most` are what it depends on.

    It reads files of the cgroup, which takes as long as a small evaluation. The quota
    found there is taken to stay.
    """
    return joblib.cpu_count()


def n_threads():
    """Return the number of kernel threads: CPUs this process may use, or fewer if asked.

    `joblib.cpu_count` knows CPU affinity, cgroup quotas and LOKY_MAX_CPU_COUNT;
    NUMBA_NUM_THREADS and OMP_NUM_THREADS, as they were when this module was imported, lower
    it further. joblib's and Dask's workers start with at least one of these set to their own
    share. So does a limit on BLAS: the kernels do here what BLAS does elsewhere, and
    `threadpoolctl.threadpool_limits` is the way to lower the number later.
    """
    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    limits = [_usable_cpus(affinity, os.environ.get("LOKY_MAX_CPU_COUNT"))]
    limits += [limit for limit in (_ENVIRONMENT_LIMIT, n_blas_threads()) if limit is not None]
    return max(1, min(limits))


def _shared_workers(size):
    workers = _workers.get(size)
    if workers is None:
        new = Workers(size)
        workers = _workers.setdefault(size, new)
        if workers is not new:    # another thread was faster
            new.close()
        for other in [key for key in list(_workers) if key != size]:
            old = _workers.pop(other, None)
            if old is not None:
                old.close()
    return workers


if hasattr(os, "register_at_fork"):
    # The parent's threads do not exist in a child.
    os.register_at_fork(after_in_child=_workers.clear)


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

    The caller works too: it and the workers take calls from one queue, so workers that are
    busy with other fits delay nothing.

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

    jobs = [Job(drain) for _ in range(size - 1)]
    # RuntimeError: the interpreter is shutting down and starts no threads any more.
    with contextlib.suppress(RuntimeError):
        workers = _shared_workers(budget - 1)
        for job in jobs:
            workers.submit(job)
    try:
        drain()
    finally:
        queue.clear()    # after an exception nobody needs to go on
    for job in jobs:
        job.finish()
    return results
