"""Many random fits in one process; memory must not grow, certificates must be true.

    python -m tests.soak [--fits N] [--seed SEED]

Dense and CSR, float32 and float64, in NumPy and in kernels, all solvers, weights, offsets, label
smoothing, L2, elastic net, L1 and grouped penalties, 1 to 4 kernel threads. The objective of
every fit is compared with that of Newton's method, exact or proximal, run to the rounding floor
or near it: it must be within the duality gap, and within `tol` unless the fit warned. Memory may
not grow, except by a bounded size for every kernel that is first loaded. Takes minutes, so it is
no part of the suite.
"""

import argparse
import ctypes
import gc
import time
import warnings
from pathlib import Path

import numpy as np
from numba.core.registry import CPUDispatcher
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators import regression
from softmax_reg.parallel import launch
from softmax_reg.rows import small
from softmax_reg.solvers import choose_solver

SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
# Those that "auto" takes for penalties with kinks.
SPARSE_SOLVERS = ("proximal-newton", "proximal-lbfgs")
WARM_UP = 200
# Fits from one reading of memory to the next.
STRIDE = 100
# MiB; what the C library holds back of freed memory is not in it, where that can be told.
ALLOWED_GROWTH = 4.0
# MiB for one more specialisation of a kernel in memory.
SIZE_OF_KERNEL = 10.0


def resident():
    """MiB of memory in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def n_loaded():
    """Number of kernels' specialisations in memory; rare ones load after hundreds of fits."""
    return sum(len(one.overloads) for one in gc.get_objects() if type(one) is CPUDispatcher)


def problem(rng):
    """(X, y, arguments of fit, parameters) of random shape, scales and kind."""
    n_classes = int(rng.integers(2, 9))
    n_samples = int(rng.integers(2 * n_classes, 3000))
    n_features = int(rng.integers(1, 40))
    X = rng.standard_normal((n_samples, n_features)) * 10.0 ** rng.uniform(-3, 3, n_features)
    X *= rng.random(X.shape) < rng.choice([1.0, 0.2])
    centres = rng.standard_normal((n_classes, n_features)) * X.std(axis=0)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n_samples - n_classes)]
    X += centres[y] * rng.uniform(0, 2)
    X = X.astype(rng.choice([np.float32, np.float64]))
    given = {}
    if rng.random() < 0.5:
        given["sample_weight"] = rng.exponential(size=n_samples)
    if rng.random() < 0.25:
        given["offset"] = rng.standard_normal((n_samples, n_classes)) * 10.0 ** rng.uniform(-1, 1)
    parameters = {
        "C": 10.0 ** rng.integers(-3, 4), "fit_intercept": bool(rng.random() < 0.8),
        "class_weight": rng.choice([None, "balanced"]),
        "label_smoothing": float(rng.choice([0.0, 0.0, 0.0, 0.1])),
    }
    if rng.random() < 0.2:    # distributions, some rows of them labels
        soft = rng.dirichlet(np.ones(n_classes), n_samples)
        soft[rng.random(n_samples) < 0.3] = 0.0
        y = soft + np.eye(n_classes)[y]
    return (sparse.csr_array(X) if rng.random() < 0.4 else X), y, given, parameters


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    launch.SERIAL_WORK = 0
    warned = wrong = missed = 0
    worst, last, growth, of_code, allowed = 0.0, None, 0.0, 0.0, 0.0
    started = time.perf_counter()
    for fit in range(arguments.fits):
        n_threads = int(rng.integers(1, 5))
        launch.n_threads = lambda n_threads=n_threads: n_threads
        small.MAX_LOGITS, small.MAX_SPARSE_LOGITS = map(int, rng.choice([0, 20_000], 2))
        X, y, given, parameters = problem(rng)
        solver = (SOLVERS + SPARSE_SOLVERS)[fit % 6]
        best_solver, best_tol = "newton-cholesky", 0.0
        if solver in SPARSE_SOLVERS:
            parameters["l1_ratio"] = rng.choice([0.0, 0.1, 0.5, 1.0])
            if parameters["l1_ratio"] == 0 or rng.random() < 0.2:
                width = 10.0 ** rng.uniform(-3, 1)
                parameters["bounds"] = (-width, width) if rng.random() < 0.5 else (0, np.inf)
            else:
                parameters["grouped"] = rng.random() < 0.4
            regression.choose_solver = lambda objective, solver=solver: solver
            solver = best_solver = "auto"
            best_tol = 1e-10    # far from the floor, which takes grouped fits long to reach
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = SoftmaxRegression(solver=solver, **parameters).fit(X, y, **given)
            regression.choose_solver = choose_solver
            best = SoftmaxRegression(solver=best_solver, tol=best_tol, **parameters)
            best.fit(X, y, **given)
        warned += bool(caught)
        excess = model.objective_ - min(best.objective_, model.objective_)
        # An error of a logit, relative to its terms, is a relative error of a row's loss.
        terms = (abs(X) @ abs(model.coef_).T).max() + abs(model.intercept_).max()
        offset = {"offset": given["offset"]} if "offset" in given else {}
        terms += abs(given.get("offset", np.zeros(1))).max()
        rounding = 8 * np.finfo(float).eps * model.objective_ * (8 + terms)
        wrong += not (
            excess <= model.dual_gap_ + rounding
            and np.isfinite(model.predict_proba(X, **offset)).all()
        )
        missed += not caught and excess > model.tol * model.objective_ + rounding
        worst = max(worst, excess / model.objective_)
        if fit + 1 >= WARM_UP and (fit + 1) % STRIDE == 0:
            memory, loaded = resident(), n_loaded()
            if last is not None and loaded == last[1]:
                growth += memory - last[0]
            elif last is not None:
                of_code += memory - last[0]
                allowed += SIZE_OF_KERNEL * (loaded - last[1])
            last = memory, loaded
        if (fit + 1) % 500 == 0 or fit + 1 == arguments.fits:
            print(
                f"{fit + 1} fits, {time.perf_counter() - started:.0f} s: {resident():.1f} MiB, "
                f"{wrong} wrong certificates, {missed} silently short of tol, {warned} fits with "
                f"warnings, relative suboptimality at most {worst:.1e}", flush=True,
            )
    print(
        f"growth after the first {WARM_UP}: {growth:.1f} MiB of {ALLOWED_GROWTH:.0f}, "
        f"and {of_code:.1f} MiB of {allowed:.0f} while further kernels were loaded"
    )
    grew = growth > ALLOWED_GROWTH or of_code > allowed
    raise SystemExit(int(wrong > 0 or missed > 0 or grew))


if __name__ == "__main__":
    main()
