"""`DaskSoftmaxRegression` where workers, clients and sources fail."""

import contextlib
import os
import signal
import threading
import time
from unittest import mock

import dask
import dask.array as da
import distributed
import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.dask import DaskSoftmaxRegression
from softmax_reg.rows import cluster as cluster_module

from .mixtures import agree, mixture

# Ignore the warnings of clusters that are killed.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.compiled]


@contextlib.contextmanager
def busy_cluster():
    """Two processes; the variables that Dask puts into the environment go with them."""
    with mock.patch.dict(os.environ), distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster():
    """For tests that leave it with two workers, be these new ones."""
    with busy_cluster() as cluster:
        yield cluster


@pytest.fixture
def remote(cluster):
    """A client of its own that is not the default, once both workers are there."""
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


def slow_rows(path, delay):
    """(X, y) of eight partitions, read from a file, `delay` seconds each."""

    def read(block_info=None):
        time.sleep(delay)
        (start, stop), _ = block_info[None]["array-location"]
        return np.load(path, mmap_mode="r")[start:stop]

    table = da.map_blocks(read, chunks=((250,) * 8, (5,)), dtype=float)
    return table[:, :4], table[:, 4].astype(int)


def new_workers(client, killed):
    """Yield process ids of workers that are not in `killed`, as soon as there are any."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:    # all may be restarting
        yield from (pid for pid in client.run(os.getpid).values() if pid not in killed)
        time.sleep(0.05)
    pytest.skip("Dask has not restarted a worker within two minutes")


class Watched(threading.Thread):
    """A fit in another thread, and what became of it; tells when passes begin."""

    def __init__(self, monkeypatch, model, *args):
        super().__init__(daemon=True)
        self._model, self._args = model, args
        self.error, self.passes = None, threading.Semaphore(0)
        attempt = cluster_module.ClusterRows._attempt

        def watched(rows, name, arguments):
            self.passes.release()
            time.sleep(0.05)
            return attempt(rows, name, arguments)

        # The moment between two attempts shows in no other way.
        monkeypatch.setattr(cluster_module.ClusterRows, "_attempt", watched)

    def run(self):
        try:
            self._model.fit(*self._args)
        except Exception as error:
            self.error = error

    def wait_for_passes(self, n):
        """Until `n` more have begun; False if it ended before."""
        for _ in range(n):
            while not self.passes.acquire(timeout=0.1):
                if not self.is_alive():
                    return False
        return True

    def finish(self):
        """Its end; a hang is an error."""
        self.join(120)
        assert not self.is_alive()


class TestFailures:
    """Of workers, of the client, of sources."""

    @pytest.fixture
    def data(self, tmp_path):
        """(path of a file with X and y, X, y)."""
        X, y = mixture(2000)
        np.save(tmp_path / "table.npy", np.column_stack([X, y]))
        return tmp_path / "table.npy", X, y

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
    @pytest.mark.parametrize("large", [0, 2**19])
    def test_workers_that_are_killed(self, remote, data, monkeypatch, large):
        """Three times during one fit: the same result; also with large parameters."""
        monkeypatch.setattr(cluster_module, "LARGE_ARGUMENTS", large)
        path, X, y = data
        model = DaskSoftmaxRegression(client=remote, solver="lbfgs", tol=1e-9)
        fit = Watched(monkeypatch, model, *slow_rows(path, 0.01))
        fit.start()
        killed = set()
        for _ in range(3):
            assert fit.wait_for_passes(3), repr(fit.error)
            pid = next(new_workers(remote, killed))
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        fit.finish()
        assert fit.error is None and len(killed) == 3
        local = SoftmaxRegression(solver="lbfgs", tol=1e-9).fit(X, y)
        assert agree(model, local)
        assert model.dual_gap_ <= 1e-9 * model.objective_

    @pytest.mark.parametrize("what", ["client", "cluster"])
    def test_a_client_that_is_closed(self, request, data, monkeypatch, what):
        """In mid-fit: an error and no hang; nothing is fitted."""
        with contextlib.ExitStack() as stack:
            if what == "client":
                client = request.getfixturevalue("remote")
            else:
                cluster = stack.enter_context(busy_cluster())
                client = stack.enter_context(distributed.Client(cluster))
            model = DaskSoftmaxRegression(client=client, solver="lbfgs", tol=1e-9)
            fit = Watched(monkeypatch, model, *slow_rows(data[0], 0.0))
            fit.start()
            assert fit.wait_for_passes(4)
            (client if what == "client" else cluster).close()
            fit.finish()
        assert isinstance(fit.error, RuntimeError)
        assert "was closed, or its scheduler lost" in str(fit.error)
        assert not hasattr(model, "coef_")

    def test_a_client_that_is_closed_while_rows_load(self, remote, data):
        """Before the first pass: the same error, not that futures were cancelled."""
        model, errors = DaskSoftmaxRegression(client=remote), []

        def fit():
            try:
                model.fit(*slow_rows(data[0], 5.0))
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=fit, daemon=True)
        thread.start()
        while not any(remote.processing().values()):    # until a partition is being read
            assert thread.is_alive()
            time.sleep(0.05)
        remote.close()
        thread.join()
        (error,) = errors
        assert isinstance(error, RuntimeError) and "was closed" in str(error)
        assert not hasattr(model, "coef_")

    def test_a_source_that_is_random(self, client, monkeypatch):
        """Rows that come back as others are noticed."""
        X, y = mixture()
        noisy = da.from_array(X, chunks=(200, 4)).map_blocks(
            lambda block: block + np.random.default_rng().standard_normal(block.shape)
        )
        summed = cluster_module.partition.summed

        def again(name, blocks, *rest):
            part = summed(name, blocks, *rest)
            other = tuple(value + 1 for value in part.fingerprints)
            return part._replace(fingerprints=other)

        monkeypatch.setattr(cluster_module.partition, "summed", again)
        with pytest.raises(RuntimeError, match="Partition . had to be computed again .* others"):
            DaskSoftmaxRegression().fit(noisy, da.from_array(y, chunks=200))

    def test_rows_that_had_been_scattered(self, remote, monkeypatch):
        """They are lost with their worker: an error that says why, and no hang."""
        monkeypatch.setattr(cluster_module, "MAX_ATTEMPTS", 3)
        X, y = mixture()
        parts = remote.scatter([X[:300], X[300:]])
        scattered = da.concatenate([
            da.from_delayed(dask.delayed(part), (300, 4), float) for part in parts
        ])
        model = DaskSoftmaxRegression(client=remote, solver="lbfgs", tol=1e-9)
        fit = Watched(monkeypatch, model, scattered, da.from_array(y, chunks=300))
        fit.start()
        assert fit.wait_for_passes(3)
        for pid in remote.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        fit.finish()
        assert isinstance(fit.error, RuntimeError)
        assert "cannot be computed again where their data was scattered" in str(fit.error)

    def test_rows_that_were_lost_before_the_first_pass(self, client):
        """While they are checked: the same error."""
        X, y = mixture()
        part = client.scatter(X)
        scattered = da.from_delayed(dask.delayed(part), X.shape, float)
        client.cancel(part)
        with pytest.raises(RuntimeError, match="lost .* because their data was scattered"):
            DaskSoftmaxRegression().fit(scattered, da.from_array(y, chunks=600))

    def test_fingerprints_are_of_the_rows(self):
        """Another X, y or weight is another one; so is another order."""
        from softmax_reg.rows.partition import checked

        X, y = mixture(20)
        weight = np.ones(20)
        first = checked(X, y, weight, 0).fingerprint
        assert checked(X.copy(), y.copy(), None, 1).fingerprint == first
        other = X.copy()
        other[3, 1] = np.nextafter(other[3, 1], np.inf)
        names = y.astype(str).astype(object)
        different = {
            checked(other, y, weight, 0).fingerprint, checked(X, y, weight * 2, 0).fingerprint,
            checked(X, (y + 1) % 3, weight, 0).fingerprint,
            checked(X[::-1], y[::-1], weight, 0).fingerprint,
            checked(sparse.csr_array(X), y, weight, 0).fingerprint,
            checked(X, names, weight, 0).fingerprint,
        }
        assert first not in different and len(different) == 6

    def test_passes_that_fail_for_good(self, client, monkeypatch):
        """Not tried without end."""
        monkeypatch.setattr(cluster_module, "MAX_ATTEMPTS", 2)

        def lost(*args):
            raise OSError("no route to host")

        # An error that no cluster on one machine raises.
        monkeypatch.setattr(cluster_module.ClusterRows, "_by_worker", lost)
        X, y = (da.from_array(a, chunks=300) for a in mixture())
        with pytest.raises(RuntimeError, match="failed 2 times in succession.*no route to host"):
            DaskSoftmaxRegression().fit(X, y)

    def test_a_cluster_without_workers(self, monkeypatch):
        """An error after a while."""
        monkeypatch.setattr(cluster_module, "LOOK_AFTER", 0.1)
        X, y = (da.from_array(a, chunks=300) for a in mixture())
        with distributed.Client(
            processes=False, n_workers=0, dashboard_address=":0", set_as_default=False
        ) as empty, pytest.raises(RuntimeError, match="The cluster has had no workers for"):
            DaskSoftmaxRegression(client=empty).fit(X, y)

    def test_partitions_that_the_scheduler_has_forgotten(self, client, monkeypatch):
        """They are made again, from their source; the fit goes on."""
        X, y = mixture()
        attempt = cluster_module.ClusterRows._attempt
        passes = []

        def forgetful(rows, name, args):
            passes.append(name)
            if len(passes) == 5:
                client.cancel(rows.blocks)
            return attempt(rows, name, args)

        # What is forgotten must be so before an attempt begins.
        monkeypatch.setattr(cluster_module.ClusterRows, "_attempt", forgetful)
        model = DaskSoftmaxRegression(l1_ratio=0.5, C=0.05).fit(
            da.from_array(X, chunks=(200, 4)), da.from_array(y, chunks=200)
        )
        assert len(passes) > 5
        assert agree(model, SoftmaxRegression(l1_ratio=0.5, C=0.05).fit(X, y))
