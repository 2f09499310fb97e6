"""Time to accuracy of softmax_reg and its peers; writes results.csv and machine.json.

    python examples/benchmarks/run.py [--workloads NAME ...] [--peers NAME ...]
        [--solvers NAME ...] [--limit SECONDS] [--repeats N]

Rows of what is not asked for stay as they are in an existing results.csv; figures to compare
come from one run of all peers.

For every workload, each solver of each peer in a process of its own, one at a time:

1. It runs with its default settings and with ever smaller tolerances, until it is within
   1e-9 of the optimum, takes longer than the limit, or three tolerances bring nothing.
   A fit that takes three times the limit is killed.
2. The tolerances that were the fastest to reach 1e-3, 1e-6 and 1e-9 are run again,
   interleaved over all peers, for medians.

The objective is evaluated here, in float64, on what each fit returned; the optimum is
the smallest value anyone reaches, which a duality gap of softmax_reg confirms. The first
fit of each solver, which compiles or loads libraries, is timed apart.
"""

import argparse
import csv
import json
import multiprocessing
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from peers import PEERS, TOLERANCES, installed
from scipy.special import logsumexp
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
LEVELS = (1e-3, 1e-6, 1e-9)
FIELDS = (
    "workload", "n_samples", "n_features", "n_classes", "dtype", "C", "l1_ratio", "peer",
    "solver", "tol",
    "first_seconds", "seconds", "repeats", "objective", "suboptimality",
)
PACKAGES = ("softmax_reg", "scikit-learn", "scikit-learn-intelex", "cyanure", "numpy", "scipy",
            "numba", "threadpoolctl")


def objective(X, y, C, l1_ratio, coef, intercept):
    """scikit-learn's objective over C n, in float64, a block of rows at a time."""
    index = np.unique(y, return_inverse=True)[1]
    coef, intercept = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
    penalty = (1 - l1_ratio) * (coef**2).sum() / 2 + l1_ratio * np.abs(coef).sum()
    if len(coef) == 1:
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0.0, intercept)
    elif l1_ratio == 0:
        # The common shift of all intercepts, and of all coefficients, is free.
        penalty -= len(coef) * (coef.mean(axis=0) ** 2).sum() / 2
    penalty /= C * len(y)
    block = max(1, 10_000_000 // (X.shape[1] + len(coef)))
    total = 0.0
    for start in range(0, len(y), block):
        rows = slice(start, start + block)
        part = X[rows] if hasattr(X, "indptr") else np.asarray(X[rows], np.float64)
        logits = part @ coef.T + intercept
        k = index[rows]
        total += (logsumexp(logits, axis=1) - logits[np.arange(len(k)), k]).sum()
    return total / len(y) + penalty


def serve(fit, X, y, C, l1_ratio, connection):
    """Answer every tolerance that comes with (seconds, objective) of a fit; a child process."""
    while True:
        tol = connection.recv()
        started = time.perf_counter()
        try:
            coef, intercept = fit(X, y, C, l1_ratio, tol)
        except Exception as error:    # a peer's refusal, of whatever kind
            print(f"    {type(error).__name__}: {str(error)[:80]}", flush=True)
            connection.send(None)
            continue
        seconds = time.perf_counter() - started
        value = objective(X, y, C, l1_ratio, coef, intercept)
        connection.send((seconds, value if np.isfinite(value) else np.inf))


class Sweep:
    """All measurements of one workload."""

    def __init__(self, name, limit, peers, solvers):
        workload = WORKLOADS[name]
        self.X, self.y = workload.load()
        self.C, self.l1_ratio = workload.C, workload.l1_ratio
        self.limit, self.name = limit, name
        self.runs = {}    # (peer, solver, tol) -> {"seconds": [...], "objective": ...}
        self.first = {}    # (peer, solver) -> seconds of the very first fit
        self.workers = {}
        # Forked before anything here uses threads, so that all share one copy of X.
        context = multiprocessing.get_context("fork")
        for key, fit in installed().items():
            if key[0] not in peers or solvers and key[1] not in solvers:
                continue
            ours, theirs = context.Pipe()
            arguments = fit, self.X, self.y, self.C, self.l1_ratio, theirs
            process = context.Process(target=serve, args=arguments, daemon=True)
            process.start()
            self.workers[key] = process, ours

    def measure(self, peer, solver, tol):
        """One timed fit: seconds, or None if the peer cannot do this, or not in time."""
        if (peer, solver) not in self.workers:
            return None
        process, connection = self.workers[peer, solver]
        connection.send(tol)
        answer = None
        if connection.poll(3 * self.limit):
            answer = connection.recv()
        else:
            seconds = 3 * self.limit
            print(f"    {peer} {solver} tol={tol}: killed after {seconds:.0f} s", flush=True)
            process.kill()
        if answer is None:
            del self.workers[peer, solver]
            return None
        seconds, value = answer
        run = self.runs.setdefault((peer, solver, tol), {"seconds": []})
        run["seconds"].append(seconds)
        run["objective"] = value
        return seconds

    def explore(self):
        """Default settings, then smaller and smaller tolerances."""
        for peer, solver in list(self.workers):
            first = self.measure(peer, solver, None)
            if first is None:
                continue
            self.first[peer, solver] = first
            # The first fit compiled and loaded libraries: another, if it ends, takes its place.
            if self.measure(peer, solver, None) is not None:
                del self.runs[peer, solver, None]["seconds"][0]
            best, idle = np.inf, 0
            for tol in TOLERANCES:
                seconds = self.measure(peer, solver, tol)
                if seconds is None or seconds > self.limit:
                    break
                value = self.runs[peer, solver, tol]["objective"]
                idle = 0 if value < best * (1 - 1e-9) else idle + 1
                best = min(best, value)
                if idle == 3 or self.suboptimality(value) <= LEVELS[-1] / 10:
                    break

    def close(self):
        """End the processes."""
        for process, _ in self.workers.values():
            process.kill()

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
        chosen = [key for key in chosen if key in self.runs]
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
                "dtype": self.X.dtype.name, "C": self.C, "l1_ratio": self.l1_ratio,
                "peer": peer, "solver": solver,
                "tol": "default" if tol is None else f"{tol:.0e}",
                "first_seconds": f"{self.first[peer, solver]:.4f}",
                "seconds": f"{statistics.median(run['seconds']):.5f}",
                "repeats": len(run["seconds"]), "objective": repr(float(run["objective"])),
                "suboptimality": f"{self.suboptimality(run['objective']):.2e}",
            }


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


def read(path):
    """Rows of an earlier run, if there was one."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{"l1_ratio": "0.0", **row} for row in csv.DictReader(file)]


def write(path, rows):
    """All rows, in a new file that then takes the place of the old one."""
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--solvers", nargs="+", help="of all peers; default: all")
    parser.add_argument("--limit", type=float, default=20, help="seconds of a fit in the sweep")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "results.csv"
    for name in arguments.workloads:
        print(f"{name} ...", flush=True)
        started = time.perf_counter()
        measured = Sweep(name, arguments.limit, arguments.peers, arguments.solvers)
        measured.explore()
        measured.repeat(arguments.repeats)
        measured.close()
        rows = list(measured.rows())
        replaced = {(row["workload"], row["peer"], row["solver"]) for row in rows}
        kept = [
            row for row in read(path)
            if (row["workload"], row["peer"], row["solver"]) not in replaced
        ]
        write(path, kept + rows)
        print(f"    {time.perf_counter() - started:.0f} s", flush=True)
    (arguments.output / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")


if __name__ == "__main__":
    main()
