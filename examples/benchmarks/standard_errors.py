"""Seconds and memory of standard errors and marginal effects, beside the fit and MNLogit.

    python examples/benchmarks/standard_errors.py [--rows N] [--mnlogit-rows N] [--effect-rows N]

--rows rows of 20 features in five classes: a fit, `inference` with every kind of error, overall
marginal effects and intervals of probabilities. Seconds are those of the clock and those of all
processors together, which depend less on what else runs. Times and memory are of separate runs;
memory is the peak beyond X and y. Then statsmodels' MNLogit where it is installed, in processes of
their own: the fit of --mnlogit-rows rows, and get_margeff of --effect-rows rows: its memory, which
grows with them, is more than that of most machines on a million. 0 leaves either out.
Coverage of the intervals: `python -m tests.coverage`.
"""

import argparse
import multiprocessing
import time
import tracemalloc
from pathlib import Path

import numpy as np

from softmax_reg import SoftmaxRegression

N_FEATURES, N_CLASSES = 20, 5
COV_TYPES = ("nonrobust", "HC0", "HC1", "cluster")
# What is summed for the ratio to the time of the fit.
ALL_OF_IT = (*COV_TYPES, "marginal effects")


def data(n_samples):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, N_FEATURES))
    logits = X @ rng.standard_normal((N_FEATURES, N_CLASSES)) / 3
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def measured(work):
    """Return (seconds, seconds of all processors, MiB of the peak in a second run)."""
    started, used = time.perf_counter(), time.process_time()
    work()
    passed, used = time.perf_counter() - started, time.process_time() - used
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return passed, used, peak / 2**20


def steps(X, y):
    """The functions to measure, by name."""
    groups = np.arange(len(X)) // 7
    model = SoftmaxRegression(C=np.inf).fit(X, y)
    result = model.inference(X, y)
    return {
        "fit": lambda: SoftmaxRegression(C=np.inf).fit(X, y),
        **{name: lambda name=name: model.inference(
            X, y, cov_type=name, groups=groups if name == "cluster" else None
        ) for name in COV_TYPES},
        "marginal effects": lambda: result.marginal_effects(X),
        "probabilities": lambda: result.prediction_interval(X),
    }


def ours(n_samples):
    X, y = data(n_samples)
    SoftmaxRegression(C=np.inf).fit(X[:10_000], y[:10_000])    # loads the kernels
    print(f"{f'{n_samples} rows':18}  seconds      CPU  MiB beyond X")
    seconds, processors, memory = {}, {}, {}
    for name, work in steps(X, y).items():
        seconds[name], processors[name], memory[name] = measured(work)
        print(
            f"{name:18}{seconds[name]:9.2f}{processors[name]:9.2f}{memory[name]:10.0f}",
            flush=True,
        )
    for label, names in (
        ("nonrobust and marginal effects", ("nonrobust", "marginal effects")),
        ("all errors and marginal effects", ALL_OF_IT),
    ):
        ratios = (sum(of[name] for name in names) / of["fit"] for of in (seconds, processors))
        print("{}: {:.2f} times the seconds of the fit, {:.2f} times the CPU's".format(
            label, *ratios
        ))
    print(f"most memory: {max(memory[name] for name in ALL_OF_IT):.0f} MiB beyond X")


def peak_of_process():
    """MiB; of this process alone, where ru_maxrss would begin with its parent's (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def mnlogit(n_samples, with_effects, answers):
    """Put (seconds and CPU's of the fit, of the effects, MiB beyond X), or an error's name."""
    import statsmodels.api as sm

    before = peak_of_process()
    X, y = data(n_samples)
    design = sm.add_constant(X)
    try:
        started, used = time.perf_counter(), time.process_time()
        fitted = sm.MNLogit(y, design).fit(method="newton", disp=False)
        _ = fitted.bse    # the Hessian
        fit = time.perf_counter() - started, time.process_time() - used
        if with_effects:
            _ = fitted.get_margeff().margeff_se    # the Jacobian of every row
        effects = time.perf_counter() - started - fit[0], time.process_time() - used - fit[1]
    except MemoryError as error:
        answers.put(type(error).__name__)
        return
    peak = peak_of_process() - before - (X.nbytes + y.nbytes) / 2**20
    answers.put((fit, effects, peak))


def theirs(n_samples, with_effects):
    """Print what `mnlogit` finds in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=mnlogit, args=(n_samples, with_effects, answers))
    process.start()
    process.join()
    what = f"MNLogit, {n_samples} rows"
    if process.exitcode:
        print(f"{what}: the process ended with {process.exitcode}")
        return
    found = answers.get()
    if isinstance(found, str):
        print(f"{what}: {found}")
        return
    fit, effects, peak = found
    then = ", get_margeff {:.1f} s (CPU {:.1f})".format(*effects) if with_effects else ""
    print("{}: fit {:.1f} s (CPU {:.1f}){}, {:.0f} MiB beyond X".format(what, *fit, then, peak))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mnlogit-rows", type=int, default=1_000_000)
    parser.add_argument("--effect-rows", type=int, default=20_000)
    options = parser.parse_args()
    ours(options.rows)
    try:
        import statsmodels  # noqa: F401
    except ImportError:
        print("MNLogit: statsmodels is not installed")
        return
    for n_samples, with_effects in ((options.mnlogit_rows, False), (options.effect_rows, True)):
        if n_samples:
            theirs(n_samples, with_effects)


if __name__ == "__main__":
    main()
