"""After a fork at any moment, both the child and the parent can go on."""

import os

import pytest

from .test_hazards import USERS_KERNEL, run

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]


@pytest.mark.parametrize("before", ["nothing", "a fit", "a parallel kernel of the user's"])
def test_fork_then_fit_and_predict(before):
    """In the child and in the parent; the child of a child too; the same bits."""
    output = run(
        (USERS_KERNEL if before.endswith("user's") else "")
        + f"""
if {before == "a fit"!r}:
    fit()
def check():
    model = SoftmaxRegression().fit(X, y)
    proba = model.predict_proba(X)
    assert abs(proba.sum(axis=1) - 1).max() < 1e-12 and (model.predict(X) == y).mean() > 0.6
    os.write(1, model.coef_.tobytes().hex().encode() + b"\\n")    # in one piece
def descend(depth):
    check()
    if depth == 0:
        return
    child = os.fork()
    if child == 0:
        descend(depth - 1)
        os._exit(0)
    check()
    assert os.waitpid(child, 0)[1] == 0
descend(2)
"""
    ).split()
    assert len(output) == 5 and len(set(output)) == 1


def test_fork_while_other_threads_fit():
    """The child holds none of their locks; BLAS has its threads back."""
    run(
        """
        fit()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                fit("lbfgs")
        others = [threading.Thread(target=work) for _ in range(2)]
        for thread in others:
            thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                fit("newton-cg")
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in others:
            thread.join()
        """
    )


def test_a_forked_child_limits_blas_on_its_own():
    """The parent's users do not count in the child."""
    run(
        """
        from softmax_reg.parallel.blas import one_blas_thread
        from tests.parallel.test_blas import _blas_threads
        with one_blas_thread():
            child = os.fork()
            if child == 0:
                with one_blas_thread():
                    os._exit(0 if set(_blas_threads()) == {1} else 1)
            assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_a_child_forked_while_another_thread_holds_locks():
    """Ours, and Numba's while a kernel is compiled or loaded: the child has its own."""
    run(
        """
        from numba.core.compiler_lock import global_compiler_lock
        from softmax_reg.parallel import blas
        for lock in (lambda: blas._lock, lambda: global_compiler_lock):
            held = threading.Event()
            def hold():
                with lock():
                    held.set()
                    time.sleep(1)
            other = threading.Thread(target=hold)
            other.start()
            held.wait()
            child = os.fork()
            if child == 0:
                signal.alarm(120)
                fit()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            other.join()
        """
    )


def test_a_forked_child_has_threads_of_its_own():
    """Not the parent's pool, whose threads do not exist there."""
    run(
        """
        launch.n_threads = lambda: 2
        fit()
        child = os.fork()
        if child == 0:
            fit("lbfgs")
            names = [thread.name for thread in threading.enumerate()]
            os._exit(0 if any(name.startswith("softmax_reg") for name in names) else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )
