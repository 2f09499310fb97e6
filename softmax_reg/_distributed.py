"""Passes over partitions on the workers of a Dask cluster, and an objective of them.

A pass is one task for every worker that holds blocks; what they give is added in the order
of their first blocks. Blocks are made by Dask's graph and never scattered, so those of a worker
that is lost are made again, from their source, on another.
"""

import concurrent.futures
import time
import warnings
from types import SimpleNamespace

import numpy as np
from distributed import get_worker, wait
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from . import _partitions
from .kernels import blocked, cpu
from .objective import Objective

# What a lost worker looks like; the pass is made again.
_LOSSES = (KilledWorker, FutureCancelledError, concurrent.futures.CancelledError, OSError)
_ATTEMPTS = 10
# Seconds to wait for results before looking whether there are workers at all, and how often
# there may be none.
_LOOK_AFTER = 10.0
_LOOKS_WITHOUT_WORKERS = 6
# Bytes of arguments that go with every task; larger ones go to one worker, and from there.
_LARGE = 2**19


class _OtherRowsError(RuntimeError):
    """A partition is not what it was."""


class PartitionedRows:
    """The blocks of a fit, as futures.

    Parameters
    ----------
    client : distributed.Client
    make : callable
        Gives a list of futures of `_partitions.Block`; called again where those are lost.
    fingerprints : list of int
        Of the rows that they had when the fit began.
    shape, dtype, n_entries, is_sparse
        Of all rows.
    """

    def __init__(self, client, make, fingerprints, shape, dtype, n_entries, is_sparse):
        self.client, self.fingerprints = client, fingerprints
        self._make, self.blocks = make, make()
        self.shape, self.dtype = shape, dtype
        self.size, self.is_sparse = n_entries, is_sparse
        self._groups = None

    def take(self, columns, axis=1):
        """Some of the columns, as others."""
        def make():
            self.blocks = alive(self.blocks, self._make)
            return self.client.map(
                _partitions.restricted, self.blocks, columns=columns, pure=False
            )

        return PartitionedRows(
            self.client, make, self.fingerprints, (self.shape[0], len(columns)), self.dtype,
            self.size // self.shape[1] * len(columns), self.is_sparse,
        )

    def run(self, name, *args):
        """Sum over all blocks of a function of `kernels.cpu`; made again if workers are lost.

        Raises
        ------
        RuntimeError
            Where the client is closed, or the rows cannot be had again as they were.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._attempt(name, args)
            except _OtherRowsError:
                raise
            except Exception as error:
                check_open(self.client, error)
                # A loss shows in many ways while the scheduler is about it.
                if not isinstance(error, _LOSSES) and self._are_all_there():
                    raise
                self._groups = None
                failed = [future for future in self.blocks if future.status == "error"]
                if failed:
                    self.client.retry(failed)
                self.blocks = alive(self.blocks, self._make)
                last = error
                time.sleep(0.1 * attempt)
        raise RuntimeError(
            f"A pass over the rows failed {_ATTEMPTS} times in succession. Partitions that were "
            "lost with a worker cannot be computed again where their data was scattered: let "
            f"the graph read it from where it is stored. The last time: {last!r}"
        ) from last

    def _attempt(self, name, args):
        check_open(self.client)
        if self._groups is None:
            self._groups = self._by_worker()
        shared = args
        if sum(a.nbytes for a in args if isinstance(a, np.ndarray)) > _LARGE:
            # Not scattered: with a worker that dies meanwhile that takes minutes, and what it
            # had is lost. A task's result is made again.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sending large graph")
                shared = self.client.submit(_unchanged, args, pure=False)
        futures = [
            self.client.submit(
                _summed, name, [self.blocks[i] for i in members], shared, n_threads,
                workers=[worker], allow_other_workers=True, pure=False,
            )
            for worker, (members, n_threads) in self._groups.items()
        ]
        parts = gathered(self.client, futures)
        total = None
        for (worker, (members, _)), part in zip(self._groups.items(), parts, strict=True):
            if part.worker != worker:
                self._groups = None    # its blocks are elsewhere now
            for i, fingerprint in zip(members, part.fingerprints, strict=True):
                if fingerprint != self.fingerprints[i]:
                    raise _OtherRowsError(
                        f"Partition {i} had to be computed again after a worker was lost, and its "
                        "rows are others now: its source is random without a seed, or has "
                        "changed. Write it to disk first, or seed it."
                    )
            total = blocked.added(total, part.total)
        return total

    def _are_all_there(self):
        """Whether the workers of the last pass still are."""
        return self._groups is not None and set(self._groups) <= set(self.client.nthreads())

    def _by_worker(self):
        """{address: (numbers of its blocks, its threads)}, by the first of them."""
        wait_for(self.client, self.blocks)
        for future in self.blocks:
            if future.status == "error":
                future.result()    # raises what happened
        held = self.client.who_has(self.blocks)
        threads = self.client.nthreads()
        members = {}
        for i, future in enumerate(self.blocks):
            workers = held.get(future.key, ())
            # One of several that have it: that of the least blocks so far.
            worker = min(workers, key=lambda w: len(members.get(w, ())), default=None)
            if worker is None or worker not in threads:
                raise OSError(f"partition {i} is with no worker at present")
            members.setdefault(worker, []).append(i)
        return {worker: (some, threads[worker]) for worker, some in members.items()}


def alive(futures, make):
    """They, or what ``make()`` gives where the scheduler has forgotten some of them."""
    if any(future.status in ("cancelled", "lost") for future in futures):
        return make()
    return futures


def _unchanged(args):
    return args


def _summed(name, blocks, args, n_threads):
    """`_partitions.summed` in a task."""
    return _partitions.summed(name, blocks, args, n_threads, get_worker().address)


def check_open(client, error=None):
    """RuntimeError where the client is closed or has lost its scheduler."""
    if client.status != "running":
        raise RuntimeError(
            f"The Dask client is {client.status}: it was closed, or its scheduler lost, during "
            "the fit. Nothing was fitted."
        ) from error


def wait_for(client, futures):
    """Until all are there, or have failed; RuntimeError where nobody works on them any more."""
    looks = 0
    while True:
        try:
            # `wait` asks the default client, which may be another, or not there.
            with client.as_current():
                wait(futures, timeout=_LOOK_AFTER)
            return
        except (TimeoutError, concurrent.futures.TimeoutError):
            check_open(client)
            looks = 0 if client.nthreads() else looks + 1
            if looks == _LOOKS_WITHOUT_WORKERS:
                raise RuntimeError(
                    f"The cluster has had no workers for {_LOOK_AFTER * looks:.0f} seconds. "
                    "Nothing was fitted."
                ) from None


def gathered(client, futures):
    """Their results; `wait_for` them first."""
    wait_for(client, futures)
    return client.gather(futures)


def _backend():
    """`kernels.cpu`, with passes that are sums over partitions."""
    functions = {name: getattr(cpu, name) for name in cpu.__all__}

    def distributed(name, n_of_rows):
        def run(rows, *args):
            return rows.run(name, *args[n_of_rows:])

        return run

    for name, of_rows in _partitions.OF_ROWS.items():
        functions[name] = distributed(name, len(of_rows))
    functions["make_rows"] = lambda rows: rows
    return SimpleNamespace(**functions)


class DistributedObjective(Objective):
    """The objective of `PartitionedRows`, whose labels and weights are with the rows.

    Parameters are those of `Objective`, but for
    X : PartitionedRows
    y : None
    sample_weight : (n_classes,) float64
        Weight of every class.
    """

    def __init__(self, X, y, sample_weight, **options):
        super().__init__(X, y, sample_weight, backend=_backend(), **options)

    def _place(self, y, sample_weight, n_classes):
        self._y = self._weight = None
        self.is_sparse = self._matrix.is_sparse
        return sample_weight / sample_weight.sum()
