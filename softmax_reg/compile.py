"""Compile all kernels of the CPU into the cache, for images and clusters.

    python -m softmax_reg.compile [--cpu NAME]

Fits then start at once in every process that finds the cache: next to the package, or in
NUMBA_CACHE_DIR. With ``--cpu x86-64-v3`` the code is for every processor of that level. It is
found by processes that have NUMBA_CPU_NAME=x86-64-v3 and NUMBA_CPU_FEATURES="" (set, and empty)
in their environment. Without ``--cpu`` the code is for processors like this one.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import sparse

from .estimators.validation import TrainingData
from .problem.problem import Problem
from .problem.together import fit_together
from .rows.base import Sample

# Form and dtype of X of each task. A task compiles all passes over such rows in one process.
_KINDS = [(form, dtype) for form in ("dense", "csr") for dtype in ("float64", "float32")]


def compile_passes(form: str, dtype: str) -> None:
    """Run every pass over rows of one form and dtype, in the arithmetic that fits use for it."""
    from .kernels.tall import MAX_FEATURES
    from .rows.memory import MemoryRows

    rng = np.random.default_rng(0)
    sample = Sample(np.arange(100, dtype=np.int32) % 3, np.full(100, 0.01))
    # Few features have kernels of their own if X is dense.
    for n_features in (6, MAX_FEATURES + 1):
        X = rng.standard_normal((100, n_features)).astype(dtype)
        rows = MemoryRows(X if form == "dense" else sparse.csr_array(X))
        shift, theta = np.zeros(n_features), rng.standard_normal((3, n_features + 1))
        for arithmetic in (np.float64, np.float32):
            rows.value_grad(sample, shift, theta.astype(arithmetic))
        rows.value_grad_hessian(sample, shift, theta)
        rows.hessian(sample, shift, theta, np.array([0, 3, 8]))
        rows.hess_prod(sample, shift, theta, theta)
        for full in (True, False):
            rows.curvature(sample, shift, theta, full)
    if form == "csr":
        compile_sparse_passes(dtype)
    else:
        compile_passes_in_stretches(dtype)


def compile_passes_in_stretches(dtype: str) -> None:
    """Run the passes over dense rows with very many parameters."""
    from .rows.memory import MemoryRows

    n_features = 4000
    rows = MemoryRows(np.eye(150, n_features, dtype=dtype))
    sample = Sample(np.arange(150, dtype=np.int32), np.full(150, 1 / 150))
    shift, theta = np.zeros(n_features), np.zeros((150, n_features + 1))
    for arithmetic in (np.float64, np.float32):
        rows.value_grad(sample, shift, theta.astype(arithmetic))
    rows.hess_prod(sample, shift, theta, theta)
    rows.curvature(sample, shift, theta, False)


def compile_sparse_passes(dtype: str) -> None:
    """Call the passes of rows that store few entries: few coefficients, and very many."""
    from .rows.memory import MemoryRows

    sample = Sample(np.arange(200, dtype=np.int32) % 3, np.full(200, 0.005))
    rows = MemoryRows(sparse.csr_array(np.eye(200, dtype=dtype)))
    rows.hessian(sample, np.zeros(200), np.zeros((3, 201)), np.arange(200))
    n_features = 2**17
    rows = MemoryRows(sparse.csr_array(sparse.eye(200, n_features, dtype=dtype)))
    for arithmetic in (np.float64, np.float32):
        theta = np.zeros((3, n_features + 1), dtype=arithmetic)
        rows.value_grad(sample, np.zeros(n_features), theta)


def compile_descents() -> None:
    """Fit L1 models with both solvers: of entries, of features and of groups of features.

    Small ones are fitted together, too.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    index = np.arange(60) % 3
    data = TrainingData(X, index, np.arange(3), index, np.ones(60), {})
    for options in ({}, {"grouped": True}, {"groups": np.array([0, 0, 1, 1]), "grouped": True}):
        for solver in ("proximal-newton", "proximal-lbfgs"):
            problem = Problem(data, C=1.0, fit_intercept=True, l1_ratio=0.5, **options)
            problem.fit(solver, [], tol=1e-3, max_iter=10)
    problem = Problem(data, C=1.0, fit_intercept=True, l1_ratio=0.5)
    fit_together([problem], np.array([0.1, 1.0, 10.0]), tol=1e-3, max_iter=100)


def _compile(kind):
    """Compile one kind in this process; return the cache's folder, or None if none is writable."""
    if kind == "descents":
        compile_descents()
    else:
        compile_passes(*kind)
    from .kernels import chunks, descent

    kernel = descent.coordinate_descent if kind == "descents" else chunks.evaluate
    return kernel.stats.cache_path


def main() -> None:
    """Compile every kind, as many at a time as there are processors."""
    parser = argparse.ArgumentParser(
        prog="python -m softmax_reg.compile", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--cpu", help="LLVM's name of a processor or level, such as x86-64-v3")
    cpu = parser.parse_args().cpu
    if cpu is not None:
        os.environ["NUMBA_CPU_NAME"] = cpu    # for the processes below, which import Numba
        os.environ["NUMBA_CPU_FEATURES"] = ""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise SystemExit("NUMBA_DISABLE_JIT is set: nothing is compiled.")
    kinds = [*_KINDS, "descents"]
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(kinds), os.cpu_count()), mp_context=context) as pool:
        folders = set(pool.map(_compile, kinds))
    if None in folders:
        raise SystemExit(
            "No folder can be written to keep the code: set NUMBA_CACHE_DIR to one that lasts."
        )
    seconds = time.perf_counter() - started
    print(f"compiled in {seconds:.0f} s into {', '.join(sorted(folders))}")


if __name__ == "__main__":
    main()
