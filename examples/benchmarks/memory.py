"""Peak memory of a fit beyond X, of softmax_reg and its peers; prints a Markdown table.

    python examples/benchmarks/memory.py [--workloads NAME ...] [--limit SECONDS]

Each solver runs in a process of its own: a first fit of some rows compiles and loads
libraries, then the high-water mark is reset and a fit with default settings raises it. The
last column is a tenth of one n x K float64 array, 60 copies of the parameters, 6 p x p arrays
and the accumulators, what softmax_reg is held to. Needs Linux's /proc.
"""

import argparse
import multiprocessing

import numpy as np
from peers import installed
from workloads import WORKLOADS

MEBIBYTE = 2**20
COMPARED = (
    ("softmax_reg", "auto"), ("scikit-learn", "lbfgs"), ("scikit-learn", "newton-cg"),
    ("scikit-learn-intelex", "lbfgs"), ("cyanure", "auto"),
)


def status(key):
    """A line of /proc/self/status, in MiB."""
    with open("/proc/self/status") as file:
        values = [line.split()[1] for line in file if line.startswith(key)]
    return int(values[0]) * 1024 / MEBIBYTE


def measure(fit, X, y, workload, connection):
    """Send the MiB by which a fit raises the high-water mark, None if refused; a child process."""
    try:
        connection.send(raised(fit, X, y, workload))
    except Exception as error:    # a peer's refusal, of whatever kind
        print(f"    {type(error).__name__}: {str(error)[:80]}", flush=True)
        connection.send(None)


def raised(fit, X, y, workload):
    """MiB by which a fit raises the high-water mark of this process."""
    some = np.r_[np.unique(y, return_index=True)[1], np.arange(min(3000, len(y)))]
    penalty = workload.C, workload.l1_ratio
    fit(X[some], y[some], *penalty, None)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")    # VmHWM = VmRSS
    before = status("VmRSS")
    fit(X, y, *penalty, None)
    return status("VmHWM") - before


def peak(fit, X, y, workload, limit):
    """MiB, or None where the fit takes longer than the limit, or is refused."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(fit, X, y, workload, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(limit) else None
    except EOFError:    # it was killed, for memory
        return None
    finally:
        process.kill()
        process.join()


def budget(n, p, n_classes):
    """MiB of the last column."""
    parameters = 8 * n_classes * (p + 1)
    accumulators = min(
        128 * parameters, max(32 * MEBIBYTE, 0.8 * n * n_classes, 2 * parameters)
    )
    return (0.8 * n * n_classes + 60 * parameters + 48 * p**2 + accumulators) / MEBIBYTE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--limit", type=float, default=60, help="seconds for both fits")
    arguments = parser.parse_args()
    solvers = {key: fit for key, fit in installed().items() if key in COMPARED}
    print("| MiB beyond X | " + " | ".join(" ".join(key) for key in solvers) + " | budget |")
    print("|---" * (len(solvers) + 2) + "|")
    for name in arguments.workloads:
        workload = WORKLOADS[name]
        X, y = workload.load()
        peaks = [peak(fit, X, y, workload, arguments.limit) for fit in solvers.values()]
        cells = ["-" if value is None else f"{value:.0f}" for value in peaks]
        limit = budget(*X.shape, len(np.unique(y)))
        print(f"| {name} | " + " | ".join(cells) + f" | {limit:.0f} |", flush=True)


if __name__ == "__main__":
    main()
