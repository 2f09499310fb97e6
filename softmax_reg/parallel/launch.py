"""Run one kernel on many row ranges at once, from any thread or process.

A kernel releases the GIL, so Python threads suffice for parallelism. One set of workers serves
the whole process: fits that run at the same time, each in its own thread, share the workers.
A forked child starts without workers and creates its own at its first launch.
"""

import contextlib
import functools
import math
import multiprocessing
import os
import sys
from collections import deque

import joblib

from .blas import n_blas_threads
from .fork_locks import guard_forks
from .workers import Job, Workers

# Numbers of calls of a large launch. Usual numbers of cores divide them or are divided by them.
# The first is never too large for the work of a large launch.
CALL_COUNTS = (16, 32, 48, 64, 96, 128)
# Largest size in bytes of the accumulators of all chunks, where the logits of all rows are not
# `LOGITS_TO_ACCUMULATORS` times as large.
MAX_ACCUMULATOR_BYTES = 40 * 2**20
LOGITS_TO_ACCUMULATORS = 10
# Likewise, where X is `DATA_TO_ACCUMULATORS` times as large as the accumulators.
MAX_ACCUMULATOR_BYTES_OF_DATA = 64 * 2**20
DATA_TO_ACCUMULATORS = 6
# Those of `CALL_COUNTS` that a pass is cut into where memory allows. 96 calls would leave a third
# of 64 cores idle; 128 calls leave no more than a third of 24, 48 or 96 cores idle.
_PREFERRED_COUNTS = (16, 32, 64, 128)
# Floating-point operations in the 5 microseconds of a call's Python code. One thread at a time
# runs Python, so n calls take at least n times as long, on any number of threads.
_CALL_WORK = 150_000
# Least number of floating-point operations of a chunk for each byte of its accumulators, which
# are set to zero, moved to the cache of another core and added up: some 3 percent of the work.
_ADDING_WORK = 300
# Least number of floating-point operations of a parallel launch. With fewer, waking a worker
# costs more than it saves.
SERIAL_WORK = 1_000_000
# Least number of floating-point operations of a chunk. A kernel call from Python takes about as
# long as a tenth of them.
MIN_CHUNK_WORK = 1_000_000

# Map from size to Workers. It holds more than one size only for an instant. Every change is a
# single call of C code, which neither another thread nor an interrupt can split.
_workers = {}


def environment_limit(environ):
    """Return the number of threads that environment variables allow; None without a limit.

    Parameters
    ----------
    environ : mapping of str to str
        NUMBA_NUM_THREADS and OMP_NUM_THREADS are read. The latter may list one number per
        nesting level: "4,2". A value other than a positive integer sets no limit.
    """
    names = ["NUMBA_NUM_THREADS"]
    if not _is_left_by_local_cluster(environ):
        names.append("OMP_NUM_THREADS")
    texts = [environ.get(name, "").split(",")[0].strip() for name in names]
    return min((int(text) for text in texts if text.isdigit() and int(text) > 0), default=None)


def _is_left_by_local_cluster(environ):
    """Return whether Dask set its workers' variables in this process, which is no worker.

    A `distributed.LocalCluster` sets OMP_NUM_THREADS=1 and other variables in the process that
    starts its workers. The workers inherit them, and the variables stay set.
    """
    config = sys.modules.get("dask.config")
    if config is None or multiprocessing.parent_process() is not None:
        return False
    variables = config.get("distributed.nanny.pre-spawn-environ", None) or {}
    put = {name: str(value) for name, value in variables.items() if value is not None}
    return bool(put) and all(environ.get(name) == value for name, value in put.items())


# Limit by the environment at import. Workers of joblib and Dask have their share in the
# environment when they start. A later change, as by a `LocalCluster`, is for other processes.
ENVIRONMENT_LIMIT = environment_limit(os.environ)


@functools.lru_cache(maxsize=1)
def _usable_cpus(affinity, most):
    """Return `joblib.cpu_count`, cached by the `affinity` and `most` that it depends on.

    `joblib.cpu_count` reads files of the cgroup, which takes as long as a small evaluation. The
    cache assumes that the quota in these files is constant.
    """
    return joblib.cpu_count()


def n_threads():
    """Return the number of kernel threads: CPUs that this process may use, or a lower limit.

    `joblib.cpu_count` respects CPU affinity, cgroup quotas and LOKY_MAX_CPU_COUNT. The values
    of NUMBA_NUM_THREADS and OMP_NUM_THREADS at the import of this module lower the number
    further. joblib's and Dask's workers start with at least one of these set to their own
    share. A limit on BLAS lowers the number too, because the kernels take the place of BLAS:
    `threadpoolctl.threadpool_limits` lowers it after the import.
    """
    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    limits = [_usable_cpus(affinity, os.environ.get("LOKY_MAX_CPU_COUNT"))]
    limits += [limit for limit in (ENVIRONMENT_LIMIT, n_blas_threads()) if limit is not None]
    return max(1, min(limits))


def shared_workers(size):
    """Return the process's `Workers` of this size, and close those of other sizes."""
    workers = _workers.get(size)
    if workers is None:
        new = Workers(size)
        workers = _workers.setdefault(size, new)
        if workers is not new:    # another thread set them first
            new.close()
        for other in [key for key in list(_workers) if key != size]:
            old = _workers.pop(other, None)
            if old is not None:
                old.close()
    return workers


if hasattr(os, "register_at_fork"):
    # The parent's threads do not exist in a child.
    os.register_at_fork(after_in_child=_workers.clear)
guard_forks()


def n_calls_worth(work):
    """Return into how many calls to cut `work` floating-point operations for very many threads.

    About as many calls as make one of them last as long as it takes to start all others. With
    up to a factor of sqrt(2) more or fewer, a launch takes at most 6 percent longer.
    """
    return _call_count(math.sqrt(2 * work / _CALL_WORK), _PREFERRED_COUNTS)


def _call_count(most, counts=CALL_COUNTS):
    """Return the largest of `counts` that is not above `most`, or else the first."""
    return max([count for count in counts if count <= most], default=counts[0])


def chunk_bounds(
    n_samples, block, accumulator_bytes, work, logit_bytes=0, data_bytes=0, slowness=1.0
):
    """Cut rows into at most `CALL_COUNTS[-1]` ranges of whole blocks.

    Parameters
    ----------
    n_samples : int
    block : int
        Rows per block; every bound but the last is a multiple of `block`.
    accumulator_bytes : int
        Size of the private sums of one chunk.
    work : float
        Floating-point operations on all rows; a chunk has `MIN_CHUNK_WORK` or more.
    logit_bytes, data_bytes : int
        Sizes of the logits of all rows and of X. The sums of all chunks stay under the largest
        of `MAX_ACCUMULATOR_BYTES`, a tenth of `logit_bytes`, and a sixth of `data_bytes` up to
        `MAX_ACCUMULATOR_BYTES_OF_DATA`. This never lowers the number of chunks below two.
    slowness : float
        Seconds of an operation, relative to those of products of dense blocks. It only counts
        for more than `CALL_COUNTS[0]` chunks.

    Returns
    -------
    list of (start, stop)
        A function of the arguments only, never of the number of threads.
    """
    n_blocks = -(-n_samples // block)
    of_data = min(MAX_ACCUMULATOR_BYTES_OF_DATA, data_bytes // DATA_TO_ACCUMULATORS)
    memory = max(MAX_ACCUMULATOR_BYTES, logit_bytes // LOGITS_TO_ACCUMULATORS, of_data)
    by_memory = max(2, memory // max(1, accumulator_bytes))
    n_chunks = max(1, min(n_blocks, by_memory, int(work // MIN_CHUNK_WORK)))
    if n_chunks > CALL_COUNTS[0]:
        by_adding = work * slowness / (_ADDING_WORK * max(1, accumulator_bytes))
        n_chunks = _call_count(min(n_chunks, by_adding, n_calls_worth(work * slowness)))
    cuts = [n_blocks * c // n_chunks * block for c in range(n_chunks)] + [n_samples]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def launch(kernel, calls, work):
    """Call ``kernel(*args)`` for every args of `calls`; return the results in order.

    Each thread, the calling one included, has a share of successive calls, whose rows follow
    each other in memory. Who has none left takes the last one of somebody else's, so workers
    that are busy with other fits delay nothing.

    Parameters
    ----------
    kernel : callable that releases the GIL
    calls : list of tuple
    work : float
        Floating-point operations of all calls together. Below `SERIAL_WORK`, with a single call
        or with a single thread, the calling thread works alone.
    """
    # `n_threads` takes tens of microseconds: skip it for little work.
    budget = 1 if work < SERIAL_WORK else n_threads()
    size = min(budget, len(calls))
    if size == 1:
        return [kernel(*args) for args in calls]
    cuts = [len(calls) * thread // size for thread in range(size + 1)]
    shares = [deque(range(*ends)) for ends in zip(cuts[:-1], cuts[1:], strict=True)]
    left = deque([True] * len(calls))
    results = [None] * len(calls)

    def drain(thread):
        while True:
            try:
                left.pop()
            except IndexError:
                return
            c = _take(shares, thread)
            results[c] = kernel(*calls[c])

    jobs = [Job(functools.partial(drain, thread)) for thread in range(1, size)]
    # RuntimeError: the interpreter is shutting down and starts no more threads.
    with contextlib.suppress(RuntimeError):
        workers = shared_workers(budget - 1)
        for job in jobs:
            workers.submit(job)
    try:
        drain(0)
    finally:
        left.clear()    # after an exception, skip the remaining calls
    for job in jobs:
        job.finish()
    return results


def _take(shares, thread):
    """Take from the thread's own deque, from the left, or else from another, from the right.

    The thread has taken an entry of `left`, which has one for each entry of `shares`: there is
    one for it in a deque that it has not seen yet.
    """
    with contextlib.suppress(IndexError):
        return shares[thread].popleft()
    for other in shares[thread + 1:] + shares[:thread]:
        with contextlib.suppress(IndexError):
            return other.pop()
    raise AssertionError("launch: more calls taken than there are")
