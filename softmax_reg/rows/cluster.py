"""Rows in partitions on the workers of a Dask cluster.

A pass is one task for every worker that holds blocks. The results are added in the order of the
workers' first blocks. Dask's graph computes the blocks, which are never scattered. So the blocks
of a lost worker are computed again, from their source, on another worker.
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
from .base import CPU_RATES, Rows, Sample
from .file import added
from .memory import MemoryRows
from .subsample import are_few, fraction_of, with_shares

# Exceptions that a lost worker raises, after which the pass is repeated.
_LOSSES = (KilledWorker, FutureCancelledError, concurrent.futures.CancelledError, OSError)
# Largest number of attempts at a pass.
MAX_ATTEMPTS = 10
# Time in seconds between checks for workers while results are awaited.
LOOK_AFTER = 10.0
# Number of successive checks without any worker after which a fit fails.
_LOOKS_WITHOUT_WORKERS = 6
# Largest size in bytes of array arguments that go with every task. Larger ones go to one worker,
# which passes them on.
LARGE_ARGUMENTS = 2**19


class _OtherRowsError(RuntimeError):
    """The rows of a partition differ from those at the beginning of the fit."""


class ClassTotals(NamedTuple):
    """Totals of every class, in place of a `Sample`, for rows on other machines.

    Attributes
    ----------
    weight : (n_classes,) float64
        Total weight; with `label_mixture`, of the rows of each label.
    label_mixture, is_mixed, surely_overlap
        As in `Sample`; mixtures of rows are on the workers.
    """

    weight: np.ndarray
    label_mixture: np.ndarray | None = None
    is_mixed: bool = False
    surely_overlap: bool = False


class ClusterRows(Rows):
    """Rows of a fit as Dask futures, each of a `partition.Block` on some worker.

    Passes ignore the argument `sample`: the blocks hold targets and weights.

    Parameters
    ----------
    client : distributed.Client
    make : callable
        Returns a list of futures of `partition.Block`; called again if futures are lost.
    fingerprints : list of int
        Fingerprint of each block at the beginning of the fit.
    shape, dtype, n_entries, is_sparse
        As in `Rows`, for all blocks together.
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA

    def __init__(self, client, make, fingerprints, shape, dtype, n_entries, is_sparse):
        super().__init__(shape, dtype, n_entries, is_sparse)
        self.client, self.fingerprints = client, fingerprints
        self._make, self.blocks = make, make()
        self._groups = None

    def place(self, sample, n_classes):
        """Return `ClassTotals` as they are, and the shares from them; see `Rows.place`."""
        return sample, sample.weight / sample.weight.sum()

    def like(self, X):
        """Return rows in memory; see `Rows.like`."""
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
        fraction, numbers = fraction_of(self.n_entries), range(len(self.blocks))
        counts = gathered(self.client, self.client.map(
            partition.counts_of_sample, self.blocks, numbers, fraction=fraction,
            n_classes=n_classes, pure=False,
        ))
        parts = gathered(self.client, self.client.map(
            partition.sampled, self.blocks, numbers, fraction=fraction,
            is_rare=are_few(sum(counts)), pure=False,
        ))
        X, samples = zip(*(part for part in parts if part[0].shape[0]), strict=True)
        labels = zip(*(some.labels for some in samples), strict=True)
        target, weight = (np.concatenate(field) for field in labels)
        X = sparse.vstack(X, format="csr") if self.is_sparse else np.concatenate(X)
        weight = with_shares(target, weight, sample.weight)
        return MemoryRows(X), Sample(target, weight, label_mixture=sample.label_mixture)

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        return self.run(MemoryRows.column_summary)

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        return self.run(MemoryRows.rest_sums, shift)

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        return self.run(MemoryRows.value_grad, shift, theta)

    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        return self.run(MemoryRows.predicted_loss, theta)

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
        """Raise NotImplementedError: `DaskSoftmaxRegression` predicts partition by partition."""
        raise NotImplementedError("predictions of partitions are made where they are")

    def run(self, one_pass, *args):
        """Sum a method of `MemoryRows` over all blocks; repeat the pass if workers are lost.

        Raises
        ------
        RuntimeError
            If the client is closed, or lost rows cannot be computed again as before.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                return self._attempt(one_pass, args)
            except _OtherRowsError:
                raise
            except Exception as error:
                check_open(self.client, error)
                # A lost worker may raise any exception while the scheduler reacts to the loss.
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
            f"A pass over the rows failed {MAX_ATTEMPTS} times in succession. Partitions that "
            "were lost with a worker cannot be computed again where their data was scattered: let "
            f"the graph read it from where it is stored. The last time: {last!r}"
        ) from last

    def _attempt(self, one_pass, args):
        check_open(self.client)
        if self._groups is None:
            self._groups = self._by_worker()
        shared = args
        if sum(a.nbytes for a in args if isinstance(a, np.ndarray)) > LARGE_ARGUMENTS:
            # Submit a task instead of scattering: if a worker dies, a scatter takes minutes and
            # its data is lost, whereas the scheduler computes a task's result again.
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
                self._groups = None    # the blocks have moved to another worker
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
        """Return whether all workers of the last pass are still in the cluster."""
        return self._groups is not None and set(self._groups) <= set(self.client.nthreads())

    def _by_worker(self):
        """Return {worker's address: (indices of its blocks, number of its threads)}.

        Workers are in the order of their first blocks.
        """
        wait_for(self.client, self.blocks)
        for future in self.blocks:
            if future.status == "error":
                future.result()    # raises the exception of the failed task
        held = self.client.who_has(self.blocks)
        threads = self.client.nthreads()
        members = {}
        for i, future in enumerate(self.blocks):
            workers = held.get(future.key, ())
            # If several workers hold the block, take the one with the fewest blocks so far.
            worker = min(workers, key=lambda w: len(members.get(w, ())), default=None)
            if worker is None or worker not in threads:
                raise OSError(f"partition {i} is with no worker at present")
            members.setdefault(worker, []).append(i)
        return {worker: (some, threads[worker]) for worker, some in members.items()}


def alive(futures, make):
    """Return the futures, or new ones of ``make()`` if the scheduler has lost some of them."""
    if any(future.status in ("cancelled", "lost") for future in futures):
        return make()
    return futures


def _unchanged(args):
    return args


def _summed(one_pass, blocks, args, n_threads):
    """Return the worker's part of a pass, by `partition.summed`, within a task."""
    return partition.summed(one_pass, blocks, args, n_threads, get_worker().address)


def check_open(client, error=None):
    """Raise RuntimeError if the client is closed or has lost its scheduler."""
    if client.status != "running":
        raise RuntimeError(
            f"The Dask client is {client.status}: it was closed, or its scheduler lost, during "
            "the fit. Nothing was fitted."
        ) from error


def wait_for(client, futures):
    """Wait until all futures have finished or failed.

    Raises
    ------
    RuntimeError
        If the client is closed, or the cluster stays without workers.
    """
    looks = 0
    while True:
        try:
            # `wait` uses the default client: another client may be the default, or none.
            with client.as_current():
                wait(futures, timeout=LOOK_AFTER)
            return
        except (TimeoutError, concurrent.futures.TimeoutError):
            check_open(client)
            looks = 0 if client.nthreads() else looks + 1
            if looks == _LOOKS_WITHOUT_WORKERS:
                raise RuntimeError(
                    f"The cluster has had no workers for {LOOK_AFTER * looks:.0f} seconds. "
                    "Nothing was fitted."
                ) from None


def gathered(client, futures):
    """Return the results of the futures, after `wait_for`.

    Raises
    ------
    RuntimeError
        If the client is closed meanwhile: Dask itself says only that futures were cancelled.
    """
    try:
        wait_for(client, futures)
        return client.gather(futures)
    except concurrent.futures.CancelledError as error:
        check_open(client, error)
        raise
