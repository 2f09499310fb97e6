"""Kernels on threads: same bits on any number, safe after a fork, safe in threads."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import softmax_reg
from softmax_reg import SoftmaxRegression
from softmax_reg.kernels.chunks_csr import CSR_BLOCK as BLOCK
from softmax_reg.parallel import launch
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows

from ..problems import random_problem
from ..processes import run


@pytest.mark.parametrize("n_samples", [1, BLOCK - 1, BLOCK, BLOCK + 1, 17 * BLOCK + 3, 10**6])
@pytest.mark.parametrize("accumulator_bytes", [8, 2**20, 2**40])
@pytest.mark.parametrize("work", [0, 5_000_000, 1e12])
@pytest.mark.parametrize("logit_bytes", [0, 2**30])
def test_chunks_tile_the_rows(n_samples, accumulator_bytes, work, logit_bytes):
    """Ranges are in order, without gaps or overlap, whole blocks but for the last."""
    bounds = launch.chunk_bounds(n_samples, BLOCK, accumulator_bytes, work, logit_bytes)
    assert bounds[0][0] == 0 and bounds[-1][1] == n_samples
    assert all(stop > start for start, stop in bounds)
    for (_, stop), (start, _) in zip(bounds[:-1], bounds[1:], strict=True):
        assert stop == start and stop % BLOCK == 0
    assert len(bounds) <= launch.CALL_COUNTS[0] or len(bounds) in launch.CALL_COUNTS
    memory = len(bounds) * accumulator_bytes
    allowed = max(launch.MAX_ACCUMULATOR_BYTES, logit_bytes / launch.LOGITS_TO_ACCUMULATORS)
    assert memory <= allowed or len(bounds) <= 2
    assert len(bounds) <= max(1, work / launch.MIN_CHUNK_WORK)


def test_as_many_calls_as_pay():
    """For very many threads, the last call starts as the first ends, or before."""
    for work, expected in ((0, 16), (7e7, 16), (1e8, 32), (1e9, 64), (1e13, 128), (1e300, 128)):
        assert launch.n_calls_worth(work) == expected


@pytest.mark.parametrize(
    "numba, openmp, expected",
    [(None, None, None), ("1", None, 1), ("4096", "1,2", 1), ("3", "many", 3), ("2", "0", 2),
     ("", " 5 ", 5)],
)
def test_the_environment_limits_the_threads(numba, openmp, expected):
    """The smaller of NUMBA_NUM_THREADS and OMP_NUM_THREADS's first; no number is no limit."""
    both = {"NUMBA_NUM_THREADS": numba, "OMP_NUM_THREADS": openmp}
    environ = {name: value for name, value in both.items() if value is not None}
    assert launch.environment_limit(environ) == expected


def test_a_limit_is_never_raised(monkeypatch):
    """n_threads is the least of CPUs, environment and BLAS."""
    monkeypatch.setattr(launch, "ENVIRONMENT_LIMIT", None)
    most = launch.n_threads()
    assert 1 <= most <= os.cpu_count()
    for limit, expected in ((4096, most), (1, 1)):
        monkeypatch.setattr(launch, "ENVIRONMENT_LIMIT", limit)
        assert launch.n_threads() == expected


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_counts_as_it_was_at_import(monkeypatch, name):
    """A variable set later, as LocalCluster does, changes nothing; threadpoolctl does."""
    before = launch.n_threads()
    monkeypatch.setenv(name, "1")
    assert launch.n_threads() == before
    with threadpool_limits(1, user_api="blas"):
        assert launch.n_threads() == 1
    assert launch.n_threads() == before


STARTS_A_CLUSTER = """
import importlib, os
from distributed import Client, LocalCluster
from softmax_reg.parallel import launch

def in_worker():
    return os.environ["OMP_NUM_THREADS"], launch.n_threads()

if __name__ == "__main__":
    counts = [launch.n_threads()]
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            assert client.submit(in_worker).result() == ("1", 1)
    counts.append(launch.n_threads())
    counts.append(importlib.reload(launch).n_threads())
    assert os.environ["OMP_NUM_THREADS"] == "1"
    print(*counts)
"""


def test_a_local_cluster_leaves_the_threads_of_its_process(tmp_path):
    """As many as before, imported before or after; its workers have one thread each."""
    script = tmp_path / "script.py"
    script.write_text(STARTS_A_CLUSTER)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
             "MALLOC_TRIM_THRESHOLD_")
    environ = {name: value for name, value in os.environ.items() if name not in names}
    package = str(Path(softmax_reg.__file__).resolve().parents[1])
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True,
        timeout=300, env={**environ, "PYTHONPATH": package},
    )
    assert result.returncode == 0, result.stderr
    before, after, imported_after = result.stdout.split()
    assert before == after == imported_after


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, form):
    """1, 2, 3 and 16 threads give the same bits, for every kernel."""
    X, y, weight, theta = random_problem(700, 9, 4, sparse_X=form == "csr")
    rows, sample, shift = MemoryRows(X), Sample(y, weight), np.arange(9.0)
    monkeypatch.setattr(launch, "SERIAL_WORK", 0)
    results = []
    for size in (1, 2, 3, 16):
        monkeypatch.setattr(launch, "n_threads", lambda size=size: size)
        results.append(
            [
                *rows.value_grad(sample, shift, theta),
                rows.hess_prod(sample, shift, theta, theta),
                *rows.curvature(sample, shift, theta, True),
                *rows.curvature(sample, shift, theta, False),
                rows.value_grad_hessian(sample, shift, theta)[3],
                rows.hessian(sample, shift, theta, np.arange(0, theta.size, 3)),
                rows.column_summary(sample)[0],
            ]
        )
    for other in results[1:]:
        for expected, actual in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_launches_from_many_threads_at_once(monkeypatch):
    """8 Python threads sharing the pool, resized under way, get the right answers."""
    X, y, weight, theta = random_problem(700, 9, 4)
    rows, sample, shift = MemoryRows(X), Sample(y, weight), np.zeros(9)
    expected = rows.value_grad(sample, shift, theta)[1]
    monkeypatch.setattr(launch, "SERIAL_WORK", 0)
    sizes = iter(range(2, 10**6))
    monkeypatch.setattr(launch, "n_threads", lambda: 2 + next(sizes) % 3)

    def work(_):
        return [rows.value_grad(sample, shift, theta)[1] for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        for grads in pool.map(work, range(8)):
            for grad in grads:
                np.testing.assert_array_equal(grad, expected)


INTERRUPTED_EVERYWHERE = """
import faulthandler, sys
from softmax_reg.parallel import launch
launch.n_threads = lambda: 3

def launch_four():
    return launch.launch(lambda x: x + 1, [(i,) for i in range(4)], work=1e9)

def interrupted(after, is_first):
    if is_first:    # threads are started, too
        launch._workers.clear()
    left = after
    def trace(frame, event, argument):
        nonlocal left
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left == 0:
            raise KeyboardInterrupt
        return trace
    try:
        sys.settrace(trace)
        launch_four()
        return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)

total = 0
for is_first in (False, True):
    after = 1
    while True:
        faulthandler.dump_traceback_later(60, exit=True)
        done = not interrupted(after, is_first)
        assert launch_four() == [1, 2, 3, 4]
        total, after = total + 1, after + 1
        if done:
            break
print(total)
"""


def test_an_exception_in_a_kernel_reaches_the_caller(monkeypatch):
    """launch raises what a call raised."""
    monkeypatch.setattr(launch, "n_threads", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        launch.launch(lambda x: 1 / x, [(1,), (0,), (2,)], work=1e9)


@pytest.mark.compiled
def test_fits_have_the_same_bits_on_one_and_two_threads(monkeypatch):
    """Every solver, also in float32 at first and in the row space; BLAS threads as well."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    big = rng.standard_normal((4000, 120)), rng.integers(0, 60, 4000)
    wide = rng.standard_normal((40, 3000)), np.arange(40) % 3
    problems = [
        (SoftmaxRegression(solver=solver), X, y)
        for solver in ("auto", "lbfgs", "newton-cholesky", "newton-cg")
    ] + [(SoftmaxRegression(C=0.01), *data) for data in (big, wide)]
    for model, *data in problems:
        results = []
        for size in (1, 2):
            monkeypatch.setattr(launch, "n_threads", lambda size=size: size)
            with threadpool_limits(size, user_api="blas"):
                model.fit(*data)
                results.append((model.solver_, model.coef_, model.predict_proba(data[0]).sum()))
        for one, two in zip(*results, strict=True):
            np.testing.assert_array_equal(two, one)


def test_the_number_of_threads_follows_joblib(monkeypatch):
    """joblib reads LOKY_MAX_CPU_COUNT whenever it counts: it may come and go."""
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    most = launch.n_threads()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert launch.n_threads() == 1
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
    assert launch.n_threads() == most


def test_launch_without_helpers(monkeypatch):
    """No threads can be started, as at exit: the caller does it all."""

    def refuse(size):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(launch, "n_threads", lambda: 2)
    monkeypatch.setattr(launch, "shared_workers", refuse)
    assert launch.launch(lambda x: x + 1, [(1,), (2,), (3,)], work=1e9) == [2, 3, 4]


def test_nothing_goes_on_after_an_exception(monkeypatch):
    """The helpers take no further calls."""
    monkeypatch.setattr(launch, "n_threads", lambda: 2)
    done, caller = [], threading.get_ident()

    def kernel(x):
        time.sleep(0.02)
        if threading.get_ident() == caller:
            raise KeyboardInterrupt
        done.append(x)

    with pytest.raises(KeyboardInterrupt):
        launch.launch(kernel, [(x,) for x in range(30)], work=1e9)
    time.sleep(0.3)
    assert len(done) <= 3


def test_an_interrupt_at_any_moment_of_a_launch_breaks_nothing():
    """KeyboardInterrupt at the first, second, ... bytecode, until one run is over before."""
    result = run("-c", INTERRUPTED_EVERYWHERE)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 200
