"""The limit on the threads of BLAS during a fit, and the effect of such limits on ours."""

import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from softmax_reg import SoftmaxRegression
from softmax_reg.parallel import blas
from softmax_reg.parallel.blas import n_blas_threads, one_blas_thread
from softmax_reg.parallel.launch import n_threads

from ..processes import run


def _blas_threads():
    return [library["num_threads"] for library in threadpool_info() if
            library["user_api"] == "blas"]


def test_blas_is_held_to_one_thread_until_the_last_leaves():
    """Nested and overlapping uses: one thread inside, the old number after the last."""
    with threadpool_limits(2, user_api="blas"):
        before = _blas_threads()
        entered, leave = threading.Event(), threading.Event()

        def stay():
            with one_blas_thread():
                entered.set()
                leave.wait(30)

        other = threading.Thread(target=stay)
        with one_blas_thread():
            other.start()
            assert entered.wait(30)
        assert _blas_threads() == [1] * len(before)    # the other is still inside
        leave.set()
        other.join()
        assert _blas_threads() == before
        with pytest.raises(KeyboardInterrupt), one_blas_thread():
            raise KeyboardInterrupt
        assert _blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_inherit_the_limit():
    """Forked in mid-fit: the child has the parent's number of BLAS threads back."""
    code = (
        "import os\n"
        "from tests.parallel.test_blas import _blas_threads\n"
        "from softmax_reg.parallel.blas import one_blas_thread\n"
        "before = _blas_threads()\n"
        "with one_blas_thread():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os._exit(0 if _blas_threads() == before else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
    )
    result = run("-c", code, options=("-W", "ignore::DeprecationWarning"))
    assert result.returncode == 0, result.stderr


def test_threads_follow_a_limit_on_blas():
    """n_blas_threads is the user's limit, also while a fit holds BLAS to one thread."""
    with threadpool_limits(3, user_api="blas"):
        assert n_blas_threads() == 3
        with one_blas_thread():
            assert n_blas_threads() == 3
    with threadpool_limits(1, user_api="blas"):
        assert n_blas_threads() == n_threads() == 1


class _Library:
    """A BLAS library of so many threads."""

    def __init__(self, n_threads):
        self.get_num_threads = lambda: n_threads


def test_a_single_threaded_library_is_no_limit(monkeypatch):
    """Packages bring BLAS libraries of their own that were built without threads."""
    monkeypatch.setattr(blas, "libraries", lambda: [_Library(4), _Library(1), _Library(2)])
    assert n_blas_threads() == 4
    monkeypatch.setattr(blas, "libraries", list)
    assert n_blas_threads() is None and n_threads() >= 1


class _Interrupted:
    """A BLAS library: an interrupt comes at one of its calls."""

    def __init__(self, at):
        self.calls, self.at, self.threads = 0, at, 4

    def _call(self):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt

    def get_num_threads(self):
        """As threadpoolctl's."""
        self._call()
        return self.threads

    def set_num_threads(self, n_threads):
        """As threadpoolctl's."""
        self.threads = n_threads
        self._call()


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupt_on_the_way_in_leaves_no_limit(monkeypatch, at):
    """Whatever call it comes at: nobody counts as a user, the old number is back."""
    library = _Interrupted(at)
    monkeypatch.setattr(blas, "libraries", lambda: [library])
    with pytest.raises(KeyboardInterrupt), one_blas_thread():
        pass
    assert library.threads == 4 and not blas._users and not blas._limited


@pytest.mark.compiled
def test_fits_leave_the_number_of_blas_threads_as_it_was():
    """After fits in four threads, after one that raises, after one that is interrupted."""
    X = np.random.default_rng(0).standard_normal((500, 8))
    y = X[:, :3].argmax(axis=1)
    with threadpool_limits(2, user_api="blas"):
        before = _blas_threads()
        threads = [
            threading.Thread(target=lambda: SoftmaxRegression().fit(X, y)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert _blas_threads() == before
        for error in (ValueError, KeyboardInterrupt):
            with pytest.MonkeyPatch.context() as patch, pytest.raises(error):
                patch.setattr("softmax_reg.solvers.newton.factorisations", _raise(error))
                SoftmaxRegression(solver="newton-cholesky").fit(X, y)
            assert _blas_threads() == before


def _raise(error):
    def fail(*args):
        raise error

    return fail


class _Held:
    """A BLAS library whose limit another thread of the user's controls."""

    def __init__(self):
        self.asked = []

    def get_num_threads(self):
        """As threadpoolctl's."""
        return 4

    def set_num_threads(self, n_threads):
        """As threadpoolctl's; without effect."""
        self.asked.append(n_threads)


def test_a_limit_of_the_users_is_left_alone(monkeypatch):
    """What could not be set is not restored."""
    library = _Held()
    monkeypatch.setattr(blas, "libraries", lambda: [library])
    with one_blas_thread():
        assert not blas._limited
    assert library.asked == [1]


def test_other_threads_may_limit_blas_afterwards():
    """threadpoolctl >= 3.8: no thread stays in control."""
    with one_blas_thread():
        pass
    seen = []

    def limit():
        with threadpool_limits(1, user_api="blas"):
            seen.extend(_blas_threads())

    other = threading.Thread(target=limit)
    other.start()
    other.join()
    assert set(seen) == {1}
