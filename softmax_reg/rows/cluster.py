"""Rows in partitions on the workers of a Dask cluster.

A pass is one task for every worker that holds blocks; what they give is added in the order
of their first blocks. Blocks are made by Dask's graph and never scattered, so those of a worker
that is lost are made again, from their source, on another.
"""

import concurrent.futures
import time
import warnings
from typing import NamedTuple

import numpy as np
from distributed import get_worker, wait
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from scipy import sparse

from . import partition
from .algebra import HOST_ALGEBRA
from .base import Rows, Sample
from .file import added
from .memory import CPU_RATES, MemoryRows
from .subsample import are_few, fraction_of, with_shares

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


class ClassTotals(NamedTuple):
    """The sample of rows that are elsewhere: what is known of every class.

    Attributes
    ----------
    weight : (n_classes,) float64
    count : (n_classes,) int
        Rows.
    """

    weight: np.ndarray
    count: np.ndarray


class ClusterRows(Rows):
    """The blocks of a fit, as futures.

    Passes take no sample: targets and weights are with the blocks.

    Parameters
    ----------
    client : distributed.Client
    make : callable
        Gives a list of futures of `partition.Block`; called again where those are lost.
    fingerprints : list of int
        Fingerprints of the rows when the fit began.
    shape, dtype, n_entries, is_sparse
        Those of all rows together.
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA

    def __init__(self, client, make, fingerprints, shape, dtype, n_entries, is_sparse):
        super().__init__(shape, dtype, n_entries, is_sparse)
        self.client, self.fingerprints = client, fingerprints
        self._make, self.blocks = make, make()
        self._groups = None

    def place(self, sample, n_classes):
        """No sample, and the shares of the classes by `ClassTotals`; see `Rows.place`."""
        return None, sample.weight / sample.weight.sum()

    def like(self, X):
        """Rows in memory; see `Rows.like`."""
        return MemoryRows(X)

    def columns(self, index):
        """See `Rows.columns`."""
        def make():
            self.blocks = alive(self.blocks, self._make)
            return self.client.map(
                partition.restricted, self.blocks, columns=index, pure=False
            )

        return ClusterRows(
            self.client, make, self.fingerprints, (self.n_samples, len(index)), self.dtype,
            self.n_entries // self.n_features * len(index), self.is_sparse,
        )

    def subsample(self, sample, n_classes):
        """See `Rows.subsample`; `sample` is `ClassTotals`."""
        fraction = fraction_of(self.n_entries)
        parts = gathered(self.client, self.client.map(
            partition.sampled, self.blocks, range(len(self.blocks)), fraction=fraction,
            is_rare=are_few(sample.count // fraction), pure=False,
        ))
        X, samples = zip(*(part for part in parts if part[0].shape[0]), strict=True)
        target, weight = (np.concatenate(field) for field in zip(*samples, strict=True))
        X = sparse.vstack(X, format="csr") if self.is_sparse else np.concatenate(X)
        return MemoryRows(X), Sample(target, with_shares(target, weight, sample.weight))

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        return self.run(MemoryRows.column_summary)

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        return self.run(MemoryRows.value_grad, shift, theta)

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        return self.run(MemoryRows.value_grad_hessian, shift, theta)

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        return self.run(MemoryRows.hessian, shift, theta, index)

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        return self.run(MemoryRows.hess_prod, shift, theta, direction)

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        return self.run(MemoryRows.curvature, shift, theta, full, full_classes)

    def predictions(self, theta, kind):
        """Not here: `DaskSoftmaxRegression` predicts partition by partition."""
        raise NotImplementedError("predictions of partitions are made where they are")

    def run(self, one_pass, *args):
        """Sum a method of `MemoryRows` over all blocks, again if workers are lost.

        Raises
        ------
        RuntimeError
            Where the client is closed, or the rows cannot be had again as they were.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._attempt(one_pass, args)
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

    def _attempt(self, one_pass, args):
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
                _summed, one_pass, [self.blocks[i] for i in members], shared, n_threads,
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
            total = added(total, part.total)
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


def _summed(one_pass, blocks, args, n_threads):
    """`partition.summed` in a task."""
    return partition.summed(one_pass, blocks, args, n_threads, get_worker().address)


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
