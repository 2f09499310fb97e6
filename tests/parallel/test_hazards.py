"""Cases that aborted or hung other compiled estimators, each in a process of its own."""

import os
import subprocess
import sys
import textwrap

import joblib
import pytest

from .. import processes
from ..kernels.test_jit import SMALL

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]

# Python says that forks of a process with threads are risky, which is what is tested here.
WARNINGS = ("-W", "ignore::DeprecationWarning")
# Evaluations of this size use all threads.
COMMON = """
import multiprocessing, os, signal, sys, threading, time, warnings
import numpy as np
from softmax_reg import SoftmaxRegression
from softmax_reg.parallel import launch
from softmax_reg.rows import small
small.MAX_LOGITS = small.MAX_SPARSE_LOGITS = 0
launch.SERIAL_WORK = 0
launch.MIN_CHUNK_WORK = 1
rng = np.random.default_rng(0)
X = rng.standard_normal((3000, 6))
y = (X[:, :3] + rng.standard_normal((3000, 3))).argmax(axis=1)

def fit(solver="auto"):
    model = SoftmaxRegression(solver=solver).fit(X, y)
    assert model.dual_gap_ <= model.tol * model.objective_
    return model.coef_

def in_threads(n, function, *args):
    results, errors = [], []
    def work():
        try:
            results.append(function(*args))
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    return results
"""
USERS_KERNEL = """
import numba
@numba.njit(parallel=True)
def users_kernel(a):
    out = np.empty_like(a)
    for i in numba.prange(len(a)):
        out[i] = np.sin(a[i])
    return out
users_kernel(np.zeros(10_000))    # starts the threading layer
"""


def run(code, **environment):
    """Run COMMON and `code` in a process that must exit with 0; its output.

    With environment variables it is a new interpreter: imports read them.
    """
    program = "-c", COMMON + textwrap.dedent(code)
    if environment:
        result = processes.run_new(*WARNINGS, *program, **environment)
    else:
        result = processes.run(*program, options=WARNINGS)
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
def test_eight_threads_fit_at_once(layer):
    """Under every Numba layer, while a parallel kernel of the user's runs: the same answer."""
    output = run(
        """
        try:
            exec(USERS_KERNEL)
        except (ImportError, ValueError) as error:
            print("absent:", error)
            sys.exit()
        expected = fit()
        stop = threading.Event()
        def users_work():
            while not stop.is_set():
                users_kernel(np.zeros(10_000))
        user = threading.Thread(target=users_work, daemon=True)
        user.start()
        for solver in ("auto", "lbfgs", "newton-cg"):
            one = fit(solver)
            for coef in in_threads(8, fit, solver):
                np.testing.assert_array_equal(coef, one)
        stop.set()
        user.join()
        """.replace("USERS_KERNEL", repr(USERS_KERNEL)),
        NUMBA_THREADING_LAYER=layer,
    )
    if output.startswith("absent"):
        pytest.skip(f"Numba's layer {layer} does not load here, {output.splitlines()[0]}")


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow), "forkserver"]
)
def test_multiprocessing(tmp_path, method):
    """Pools of every kind of start, before the parent has fitted and after."""
    script = tmp_path / "script.py"
    script.write_text(
        COMMON
        + textwrap.dedent(
            f"""
            if __name__ == "__main__":
                start = multiprocessing.get_context({method!r})
                with start.Pool(2) as pool:
                    coefs = pool.map(fit, ["auto", "lbfgs", "auto", "newton-cg"])
                np.testing.assert_array_equal(coefs[0], coefs[2])
                np.testing.assert_array_equal(coefs[0], fit())
                with start.Pool(1) as pool:
                    np.testing.assert_array_equal(pool.map(fit, ["lbfgs"])[0], coefs[1])
            """
        )
    )
    result = processes.run_new(*WARNINGS, script)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_grid_search_on_every_joblib_backend(backend):
    """GridSearchCV(n_jobs=2): the scores that n_jobs=1 has."""
    run(
        f"""
        from joblib import parallel_config
        from sklearn.model_selection import GridSearchCV
        def search(n_jobs):
            grid = {{"C": [0.01, 1.0, 100.0]}}
            found = GridSearchCV(SoftmaxRegression(), grid, n_jobs=n_jobs, cv=3).fit(X, y)
            return found.cv_results_["mean_test_score"]
        expected = search(1)
        with parallel_config(backend={backend!r}):
            np.testing.assert_array_equal(search(2), expected)
        """
    )


def test_fit_inside_parallel_code_of_the_user():
    """Within object mode of a compiled loop, and within nested joblib threads."""
    run(
        """
        import numba
        from joblib import Parallel, delayed
        expected = fit()
        def checked():
            np.testing.assert_array_equal(fit(), expected)
        @numba.njit(nogil=True)
        def compiled(n):
            for i in range(n):
                with numba.objmode():
                    checked()
        in_threads(3, compiled, 3)
        def outer():
            Parallel(2, backend="threading")(delayed(checked)() for _ in range(4))
        Parallel(2, backend="threading")(delayed(outer)() for _ in range(4))
        """
    )


@pytest.mark.parametrize(
    "name", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT"]
)
def test_one_thread_where_one_is_asked_for(name):
    """By the environment: no thread but the caller's."""
    run(
        """
        fit()
        assert launch.n_threads() == 1
        assert not [t for t in threading.enumerate() if t.name.startswith("softmax_reg")]
        """,
        **{name: "1"},
    )


def test_racing_first_calls_in_one_process(tmp_path):
    """Nothing compiled yet, four threads at once: nobody meets half-compiled code."""
    (tmp_path / "small.py").write_text(SMALL)
    run(
        """
        import small
        in_threads(4, small.product)
        assert in_threads(4, small.exponential, 0.0) == [1.0] * 4
        """,
        NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(tmp_path),
    )


@pytest.mark.slow
def test_racing_first_calls_in_two_processes(tmp_path):
    """Both compile into the same cache folder; a third then loads what they left."""
    (tmp_path / "small.py").write_text(SMALL)
    command = [sys.executable, "-c", "import small; print(small.product())"]
    options = {
        "env": processes.environment({"NUMBA_CACHE_DIR": str(tmp_path)}),
        "cwd": tmp_path, "stdout": subprocess.PIPE, "text": True,
    }
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    for process in both:
        process.communicate(timeout=180)
    assert [process.returncode for process in both] == [0, 0]
    assert subprocess.run(command, **options, timeout=180).stdout == "1\n"


def test_an_interrupted_fit_leaves_the_model_and_the_next_fit_alone():
    """SIGINT at twelve moments: the fitted state stays, buffers go, the next fit works."""
    run(
        """
        from threadpoolctl import threadpool_info
        big_X = rng.standard_normal((20_000, 40))
        big_y = (big_X[:, :8] + rng.standard_normal((20_000, 8))).argmax(axis=1)
        model = SoftmaxRegression().fit(X, y)
        before = {**vars(model)}
        blas = [library["num_threads"] for library in threadpool_info()]
        for _ in range(2):    # the first compiles
            seconds = time.perf_counter()
            SoftmaxRegression(solver="lbfgs", tol=0).fit(big_X, big_y)
            seconds = time.perf_counter() - seconds

        def is_interrupted(moment):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, moment)
                    model.set_params(solver="lbfgs", tol=0.0).fit(big_X, big_y)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                return True
            vars(model).update(before)
            return False

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for moment in seconds * np.linspace(0.02, 0.9, 12):
            while not is_interrupted(moment):    # this fit was faster than the one timed
                moment /= 2
            model.set_params(solver="auto", tol=before["tol"])
            assert vars(model) == before
            model.fit(X, y)
            for name, value in before.items():
                if name not in ("history_", "coef_", "intercept_", "classes_", "n_iter_"):
                    assert getattr(model, name) == value, name
            np.testing.assert_array_equal(model.coef_, before["coef_"])
            before = {**vars(model)}
        assert [library["num_threads"] for library in threadpool_info()] == blas
        """
    )


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or joblib.cpu_count() < 2,
    reason="needs two CPUs and CPU affinity",
)
def test_the_number_of_threads_follows_a_later_affinity():
    """What joblib counted is not kept; no thread but the caller's."""
    run(
        """
        assert launch.n_threads() > 1
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        assert launch.n_threads() == 1
        fit()
        assert not [t for t in threading.enumerate() if t.name.startswith("softmax_reg")]
        """,
        # No limit, whatever the suite itself runs under.
        OMP_NUM_THREADS="0", NUMBA_NUM_THREADS="4096", OPENBLAS_NUM_THREADS="4096",
    )
