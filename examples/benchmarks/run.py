"""Time to accuracy of softmax_reg and its peers; writes results.csv and machine.json.

    python examples/benchmarks/run.py [--workloads NAME ...] [--limit SECONDS] [--repeats N]

For every workload, in a process of its own:

1. Each solver of each peer is run with its default settings and with ever smaller
   tolerances, until it is within 1e-9 of the optimum or takes longer than the limit.
2. The tolerances that were the fastest to reach 1e-3, 1e-6 and 1e-9 are run again,
   interleaved over all peers, for medians.

The objective is evaluated here, in float64, on what each fit returned; the optimum is
the smallest value anyone reaches, which a duality gap of softmax_reg confirms. The first
fit of each solver, which compiles or loads libraries, is timed apart, and so is peak
memory (`memory.py`).
"""

import argparse
import csv
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from peers import TOLERANCES, installed
from scipy.special import logsumexp
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
LEVELS = (1e-3, 1e-6, 1e-9)
FIELDS = (
    "workload", "n_samples", "n_features", "n_classes", "dtype", "C", "peer", "solver", "tol",
    "first_seconds", "seconds", "repeats", "objective", "suboptimality",
)
PACKAGES = ("softmax_reg", "scikit-learn", "scikit-learn-intelex", "cyanure", "numpy", "scipy",
            "numba", "threadpoolctl")


def objective(X, y, C, coef, intercept):
    """scikit-learn's objective over C n, in float64, a block of rows at a time."""
    index = np.unique(y, return_inverse=True)[1]
    coef, intercept = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
    penalty = (coef**2).sum() / (2 * C * len(y))
    if len(coef) == 1:
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0.0, intercept)
    else:
        # The common shift of all intercepts, and of all coefficients, is free.
        penalty -= len(coef) * (coef.mean(axis=0) ** 2).sum() / (2 * C * len(y))
    block = max(1, 10_000_000 // (X.shape[1] + len(coef)))
    total = 0.0
    for start in range(0, len(y), block):
        rows = slice(start, start + block)
        part = X[rows] if hasattr(X, "indptr") else np.asarray(X[rows], np.float64)
        logits = part @ coef.T + intercept
        k = index[rows]
        total += (logsumexp(logits, axis=1) - logits[np.arange(len(k)), k]).sum()
    return total / len(y) + penalty


class Sweep:
    """All measurements of one workload."""

    def __init__(self, name, limit):
        workload = WORKLOADS[name]
        self.X, self.y = workload.load()
        self.C, self.limit, self.name = workload.C, limit, name
        self.runs = {}    # (peer, solver, tol) -> {"seconds": [...], "objective": ...}
        self.first = {}    # (peer, solver) -> seconds of the very first fit
        self.fits = installed()

    def measure(self, peer, solver, tol):
        """One timed fit; None if the peer cannot do this."""
        started = time.perf_counter()
        try:
            coef, intercept = self.fits[peer, solver](self.X, self.y, self.C, tol)
        except Exception as error:    # a peer's refusal, of whatever kind
            print(f"    {peer} {solver}: {type(error).__name__}: {str(error)[:80]}")
            return None
        seconds = time.perf_counter() - started
        run = self.runs.setdefault((peer, solver, tol), {"seconds": []})
        run["seconds"].append(seconds)
        value = objective(self.X, self.y, self.C, coef, intercept)
        run["objective"] = value if np.isfinite(value) else np.inf
        return seconds

    def explore(self):
        """Default settings, then smaller and smaller tolerances."""
        for peer, solver in self.fits:
            first = self.measure(peer, solver, None)
            if first is None:
                continue
            self.first[peer, solver] = first
            if first < self.limit:
                self.runs[peer, solver, None]["seconds"].clear()
                self.measure(peer, solver, None)
            best = np.inf
            for tol in TOLERANCES:
                if self.measure(peer, solver, tol) > self.limit:
                    break
                value = self.runs[peer, solver, tol]["objective"]
                best = min(best, value)
                if self.suboptimality(value) <= LEVELS[-1] / 10:
                    break

    def optimum(self):
        """The smallest objective anyone has reached."""
        return min(run["objective"] for run in self.runs.values())

    def suboptimality(self, value):
        """Relative distance to it."""
        return (value - self.optimum()) / self.optimum()

    def fastest(self, peer, solver):
        """The tolerances that reach each level first, and the defaults."""
        chosen = {None}
        for level in LEVELS:
            reached = {
                tol: statistics.median(run["seconds"])
                for (p, s, tol), run in self.runs.items()
                if (p, s) == (peer, solver) and self.suboptimality(run["objective"]) <= level
            }
            if reached:
                chosen.add(min(reached, key=reached.get))
        return chosen

    def repeat(self, repeats):
        """Run what counts again, interleaved; long fits fewer times."""
        chosen = [(*key, tol) for key in self.first for tol in self.fastest(*key)]
        for _ in range(repeats - 1):
            for key in chosen:
                if statistics.median(self.runs[key]["seconds"]) < self.limit / 4:
                    self.measure(*key)

    def rows(self):
        """Lines of the CSV file."""
        n_classes = len(np.unique(self.y))
        for (peer, solver, tol), run in self.runs.items():
            yield {
                "workload": self.name, "n_samples": self.X.shape[0],
                "n_features": self.X.shape[1], "n_classes": n_classes,
                "dtype": self.X.dtype.name, "C": self.C, "peer": peer, "solver": solver,
                "tol": "default" if tol is None else f"{tol:.0e}",
                "first_seconds": f"{self.first[peer, solver]:.4f}",
                "seconds": f"{statistics.median(run['seconds']):.5f}",
                "repeats": len(run["seconds"]), "objective": repr(run["objective"]),
                "suboptimality": f"{self.suboptimality(run['objective']):.2e}",
            }


def sweep(name, limit, repeats, queue):
    """Measure one workload; what a child process runs."""
    measured = Sweep(name, limit)
    measured.explore()
    measured.repeat(repeats)
    queue.put(list(measured.rows()))


def machine():
    """What the figures belong to."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "cpu": model, "cpus": os.cpu_count(), "system": platform.platform(),
        "python": platform.python_version(), "versions": versions,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "date": time.strftime("%Y-%m-%d"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--limit", type=float, default=30, help="seconds of a fit in the sweep")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with (arguments.output / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for name in arguments.workloads:
            print(f"{name} ...", flush=True)
            queue = context.Queue()
            child = context.Process(
                target=sweep, args=(name, arguments.limit, arguments.repeats, queue)
            )
            started = time.perf_counter()
            child.start()
            while child.is_alive() and queue.empty():
                time.sleep(0.2)
            if queue.empty():
                sys.exit(f"{name}: the child process died with {child.exitcode}")
            writer.writerows(queue.get())
            child.join()
            file.flush()
            print(f"    {time.perf_counter() - started:.0f} s", flush=True)
    (arguments.output / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")


if __name__ == "__main__":
    main()
