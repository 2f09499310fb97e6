"""Jobs and the threads that run them."""

import threading
import weakref

import pytest

from softmax_reg.parallel import launch
from softmax_reg.parallel.workers import Job, Workers


def test_a_finished_job_never_begins():
    """Whoever claims it first decides, once."""
    calls = []
    job = Job(lambda: calls.append(1))
    job.finish()
    job.run()
    assert calls == []
    job = Job(lambda: calls.append(1))
    job.run()
    job.run()
    job.finish()
    assert calls == [1]


@pytest.mark.parametrize("begins", [False, True])
def test_a_job_that_is_over_holds_nothing(begins):
    """What its function refers to is free although the job is still in a queue."""

    class Array:
        """Can be referred to weakly."""

    array = Array()
    seen = weakref.ref(array)
    job = Job(lambda array=array: None)
    del array
    assert seen() is not None
    if begins:
        job.run()
    else:
        job.finish()
    assert seen() is None


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_finish_raises_what_the_job_raised(error):
    """In the thread that waits, not in the worker."""

    def fail():
        raise error

    job = Job(fail)
    job.run()
    with pytest.raises(error):
        job.finish()


def test_workers_run_jobs_until_closed():
    """Jobs that wait are done first; then the threads end."""
    before = set(threading.enumerate())
    workers = Workers(2)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2 and all(thread.daemon for thread in threads)
    done = []
    jobs = [Job(lambda i=i: done.append(i)) for i in range(20)]
    for job in jobs:
        workers.submit(job)
    workers.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for job in jobs:
        job.finish()
    assert sorted(done) == list(range(20))


def test_threads_that_did_start_end_when_another_cannot(monkeypatch):
    """Nothing is left behind by workers that nobody got."""
    before = set(threading.enumerate())
    start = threading.Thread.start
    started = []

    def start_one(self):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(RuntimeError, match="can't start"):
        Workers(2)
    started[0].join(60)
    assert set(threading.enumerate()) <= before


def test_another_number_of_threads_replaces_the_workers(monkeypatch):
    """The old ones end; none are started twice, whichever thread was faster."""
    # In place of the process's own, which other tests use.
    monkeypatch.setattr(launch, "_workers", {})
    one = launch.shared_workers(1)
    assert launch.shared_workers(1) is one
    two = launch.shared_workers(2)
    assert list(launch._workers.values()) == [two]

    class Taken(dict):
        def get(self, size):
            """Nothing yet; another thread is about to put its own there."""

    others = Taken({1: one})
    monkeypatch.setattr(launch, "_workers", others)
    assert launch.shared_workers(1) is one
    for workers in (one, two):
        workers.close()
