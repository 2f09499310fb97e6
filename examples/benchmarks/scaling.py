"""How a fit speeds up with cores: predicted from a trace on one thread, and measured.

    python examples/benchmarks/scaling.py [--shapes NAME ...] [--cores N ...] [--measure]
        [--iterations N] [--plot FILE] [--launches] [--factors SIZE ...]

Fits a slice of the rows by L-BFGS on one thread and times every launch of kernel calls, in
processor seconds, which other programs hardly change. Then lays out the calls of the whole shape
on so many cores: each core takes the next call as soon as it is free, and one thread at a time
runs the 5 microseconds of Python of a call. What is in no launch is serial: its part that grows
with the rows is extrapolated from two slices. The prediction takes memory to be as fast for each
of many cores as for one.

With --measure, the same slice is also fitted on 1, 2, 4, ... threads, as many as there are cores.
--launches prints what it takes to start and end a launch on many threads that only wait, whatever
the number of cores here. --factors does for Cholesky factors by tiles what else is done for fits.
"""

import argparse
import heapq
import time
import warnings
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpotrf
from threadpoolctl import threadpool_limits

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators import validation
from softmax_reg.kernels import passes
from softmax_reg.parallel import algebra, cholesky, elementwise, launch, vectors
from softmax_reg.rows import base, by_column, by_tile, memory

# Seconds of Python code of a kernel call, which one thread at a time can run.
CALL_SECONDS = 5e-6
# Functions of `by_tile` that a `Trace` takes the place of.
STRETCH_ROWS, CUT_ROWS, CUT_SUMS = by_tile.stretch_rows, by_tile.cut_rows, by_tile.cut_sums


class Shape(NamedTuple):
    """The rows of a problem, and how many of them to trace."""

    n_samples: int
    n_features: int
    n_classes: int
    traced: int
    entries: int = 0    # of a sparse row; 0: dense
    dtype: type = np.float64


SHAPES = {
    "imagenet 768": Shape(1_281_167, 768, 1000, 24_000, dtype=np.float32),
    "imagenet 2048": Shape(1_281_167, 2048, 1000, 12_000, dtype=np.float32),
    "many classes": Shape(20_000, 256, 1000, 20_000),
    "embeddings": Shape(50_000, 384, 58, 50_000),
    "tall": Shape(1_000_000, 50, 10, 1_000_000),
    "higgs": Shape(11_000_000, 28, 2, 400_000),
    "text": Shape(50_000, 30_000, 50, 50_000, entries=80),
}


class Launch(NamedTuple):
    """One launch of a trace, or several like it: seconds on one thread, and each call's share."""

    seconds: float
    shares: list
    work: float
    over_rows: bool
    times: float = 1.0


class Trace:
    """Times launches on one thread, cut as those of a problem with `growth` times the rows."""

    def __init__(self, growth):
        self.growth = growth
        self.launches = []
        self.over_rows = False
        self._shares = None
        self._stretch_growth = 1.0

    def bounds(
        self, n_samples, block, accumulator_bytes, work, logit_bytes=0, data_bytes=0, slowness=1.0
    ):
        """In place of `chunk_bounds`: notes how the whole would be cut."""
        whole = launch.chunk_bounds(
            round(n_samples * self.growth), block, accumulator_bytes, work * self.growth,
            int(logit_bytes * self.growth), int(data_bytes * self.growth), slowness,
        )
        rows = np.diff([start for start, _ in whole] + [whole[-1][1]])
        self._shares = (rows / rows.sum()).tolist()
        return launch.chunk_bounds(
            n_samples, block, accumulator_bytes, work, logit_bytes, data_bytes, slowness
        )

    def stretch_rows(self, n_samples, *shape):
        """In place of `by_tile.stretch_rows`: one stretch, or a part of one of the whole."""
        whole = STRETCH_ROWS(round(n_samples * self.growth), *shape)
        length = min(whole, STRETCH_ROWS(n_samples, 0, 0, 0))
        self._stretch_growth = whole / length
        return length

    def cut_sums(self, shape, length, logit_bytes):
        """In place of `by_tile.cut_sums`: as those of the whole."""
        length = round(length * self._stretch_growth)
        return CUT_SUMS(shape, length, round(logit_bytes * self.growth))

    def cut_rows(self, n):
        """In place of `by_tile.cut_rows`: notes how a stretch of the whole would be cut."""
        whole = CUT_ROWS(round(n * self._stretch_growth))
        self._shares = [(stop - start) / whole[-1][1] for start, stop in whole]
        return CUT_ROWS(n)

    def stretch_launch(self, kernel, calls, work):
        """In place of `launch` in a stretch, for as many stretches as there are in the whole."""
        results = self.launch(kernel, calls, work, over_rows=True)
        times = self.growth / self._stretch_growth
        self.launches[-1] = self.launches[-1]._replace(times=times)
        return results

    def of_rows(self, function):
        """Return the function, whose launches are over rows."""
        def traced(*args):
            self.over_rows = True
            result = function(*args)
            self.over_rows = False
            return result

        return traced

    def launch(self, kernel, calls, work, over_rows=False):
        """In place of `launch`: all calls here, timed."""
        shares, self._shares = self._shares, None
        started = time.thread_time()
        results = [kernel(*args) for args in calls]
        seconds = time.thread_time() - started
        over_rows = over_rows or self.over_rows or shares is not None
        growth = self.growth if over_rows else 1.0
        shares = shares or [1 / len(calls)] * len(calls)
        self.launches.append(Launch(seconds * growth, shares, work * growth, over_rows))
        return results


def makespan(launched, n_cores):
    """Seconds of a launch, or of all those that it stands for, on so many cores."""
    if launched.times > 1.0:
        times = launched.times
        one = launched._replace(
            seconds=launched.seconds / times, work=launched.work / times, times=1.0
        )
        return times * makespan(one, n_cores)
    if len(launched.shares) == 1 or launched.work < launch.SERIAL_WORK:
        return launched.seconds
    free, python_free, end = [0.0] * n_cores, 0.0, 0.0
    for share in launched.shares:
        start = max(heapq.heappop(free), python_free) + CALL_SECONDS
        python_free = start
        heapq.heappush(free, start + share * launched.seconds)
        end = max(end, start + share * launched.seconds)
    return end


def problem(shape, n_samples):
    """Standard normal X, or random counts, and labels that depend on it a little."""
    rng = np.random.default_rng(0)
    if shape.entries:
        columns = rng.zipf(1.3, n_samples * shape.entries) % shape.n_features
        indptr = np.arange(0, len(columns) + 1, shape.entries)
        X = sparse.csr_matrix(
            (np.ones(len(columns), dtype=shape.dtype), columns.astype(np.int32), indptr),
            shape=(n_samples, shape.n_features),
        )
        X.sum_duplicates()
        return X, rng.integers(0, shape.n_classes, n_samples)
    X = rng.standard_normal((n_samples, shape.n_features), dtype=shape.dtype)
    centres = rng.standard_normal((shape.n_features, shape.n_classes), dtype=shape.dtype)
    noise = rng.gumbel(size=(n_samples, shape.n_classes)).astype(shape.dtype)
    return X, (X @ centres / 4 + noise).argmax(axis=1)


def fit(X, y, iterations, clock=time.perf_counter):
    """Seconds of a fit of so many iterations."""
    model = SoftmaxRegression(solver="lbfgs", tol=1e-12, max_iter=iterations)
    started = clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # it is meant to stop early
        model.fit(X, y)
    return clock() - started


def traced_fit(shape, n_samples, iterations):
    """(Launches of a fit of that many rows, as long as in the whole; seconds outside them)."""
    X, y = problem(shape, n_samples)
    fit(X, y, iterations)    # compiles or loads all kernels that this fit takes
    trace = Trace(shape.n_samples / n_samples)
    with threadpool_limits(1, user_api="blas"), ExitStack() as stack:
        for module in (passes, memory, algebra, cholesky, elementwise):
            stack.enter_context(patch.object(module, "launch", trace.launch))
        stack.enter_context(patch.object(by_tile, "launch", trace.stretch_launch))
        for name in ("stretch_rows", "cut_rows", "cut_sums"):
            stack.enter_context(patch.object(by_tile, name, getattr(trace, name)))
        columns = partial(trace.launch, over_rows=True)
        stack.enter_context(patch.object(by_column, "launch", columns))
        for module, name in (
            (validation, "all_finite"), (base, "some_rows"), (vectors, "each")
        ):
            function = trace.of_rows(getattr(module, name))
            stack.enter_context(patch.object(module, name, function))
        for module in (passes, memory, by_column):
            stack.enter_context(patch.object(module, "chunk_bounds", trace.bounds))
        seconds = fit(X, y, iterations, time.thread_time)
    inside = sum(
        one.seconds / (trace.growth if one.over_rows else 1.0) for one in trace.launches
    )
    return trace.launches, seconds - inside


def predicted(shape, cores, iterations):
    """({number of cores: seconds}, serial seconds among them, calls) of the whole shape."""
    launches, serial = traced_fit(shape, shape.traced, iterations)
    half = shape.traced // 2
    _, serial_of_half = traced_fit(shape, half, iterations)
    a_row = max(0.0, (serial - serial_of_half) / (shape.traced - half))
    serial += a_row * (shape.n_samples - shape.traced)
    n_calls = max(len(one.shares) for one in launches if one.over_rows)
    return {n: serial + sum(makespan(one, n) for one in launches) for n in cores}, serial, n_calls


def measured(shape, cores, iterations):
    """{number of threads: seconds} of the traced slice, best of three."""
    X, y = problem(shape, shape.traced)
    seconds = {}
    for n in cores:
        if n <= launch.n_threads():
            with threadpool_limits(n, user_api="blas"):
                fit(X, y, 2)
                seconds[n] = min(fit(X, y, iterations) for _ in range(3))
    return seconds


def launch_seconds(n_threads, wait=0.01):
    """Seconds of a launch of a call for each thread beyond what the call waits, median of 20."""
    with patch.object(launch, "n_threads", lambda: n_threads):
        seconds = []
        for _ in range(21):
            started = time.perf_counter()
            launch.launch(time.sleep, [(wait,)] * n_threads, launch.SERIAL_WORK)
            seconds.append(time.perf_counter() - started - wait)
    return float(np.median(seconds[1:]))    # the first starts the threads


def seconds_of(function, *args, **options):
    """Seconds of a call, best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        function(*args, **options)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def traced_factor(matrix):
    """(Launches of a Cholesky factor by tiles on one thread, processor seconds outside them)."""
    launches = []

    def timed(kernel, calls, work):
        seconds, results = [], []
        for args in calls:
            started = time.thread_time()
            results.append(kernel(*args))
            seconds.append(time.thread_time() - started)
        total = sum(seconds)
        launches.append(Launch(total, [one / total for one in seconds], work, False))
        return results

    with patch.object(cholesky, "launch", timed), patch.object(elementwise, "launch", timed):
        started = time.thread_time()
        cholesky.cholesky(matrix)
        seconds = time.thread_time() - started
    return launches, seconds - sum(one.seconds for one in launches)


def factors(size, cores):
    """Seconds of a Cholesky factor: (LAPACK's on one thread, predicted, measured on threads)."""
    matrix = np.full((size, size), 0.5) + np.diag(np.linspace(1.0, 2.0, size))
    cholesky.cholesky(matrix)
    measured = {}
    for n in [n for n in cores if n <= launch.n_threads()]:
        with threadpool_limits(n, user_api="blas"):
            measured[n] = seconds_of(cholesky.cholesky, matrix)
    with threadpool_limits(1, user_api="blas"):
        theirs = seconds_of(dpotrf, matrix.T)
        traces = [traced_factor(matrix) for _ in range(3)]
    predicted = {
        n: min(serial + sum(makespan(one, n) for one in launches) for launches, serial in traces)
        for n in cores
    }
    return theirs, predicted, measured


def print_factors(sizes, cores):
    """Print three lines a size."""
    titles = "".join(f" {n:>6}" for n in cores)
    print(f"{'seconds of a Cholesky factor on threads':40}{titles}")
    for size in sizes:
        theirs, *ours = factors(size, cores)
        print(f"{f'{size}, LAPACK':40} {theirs:6.3f}")
        for kind, seconds in zip(("predicted", "measured"), ours, strict=True):
            line = "".join(f" {one:6.3f}" for one in seconds.values())
            print(f"{f'{size}, by tiles, {kind}':40}{line}", flush=True)


def plot(curves, path):
    """Speed-up against cores, a line for each shape."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for name, seconds in curves.items():
        axes.plot(list(seconds), [seconds[1] / s for s in seconds.values()], "o-", label=name)
    most = max(max(seconds) for seconds in curves.values())
    axes.plot([1, most], [1, most], "k:", label="as many as cores")
    axes.set(xscale="log", yscale="log", xlabel="cores", ylabel="speed-up")
    axes.legend()
    figure.savefig(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--cores", nargs="+", type=int, default=[2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--plot", metavar="FILE", help="needs matplotlib")
    parser.add_argument("--launches", action="store_true")
    parser.add_argument("--factors", nargs="+", type=int, metavar="SIZE")
    arguments = parser.parse_args(arguments)
    cores = sorted({1, *arguments.cores})
    if arguments.factors:
        print_factors(arguments.factors, cores)
        return
    if arguments.launches:
        for n in cores:
            print(f"a launch on {n:3} threads: {1e3 * launch_seconds(n):.2f} ms")
        return
    titles = "".join(f" {n:>6}" for n in cores)
    print(f"{'speed-up by cores':24} {'calls':>5} {'serial s':>8}{titles}")
    curves = {}
    for name in arguments.shapes:
        shape = SHAPES[name]
        seconds, serial, n_calls = predicted(shape, cores, arguments.iterations)
        curves[name] = seconds
        line = "".join(f" {seconds[1] / s:6.1f}" for s in seconds.values())
        print(f"{name:24} {n_calls:5} {serial:8.2f}{line}", flush=True)
        if arguments.measure:
            seconds = measured(shape, cores, arguments.iterations)
            line = "".join(f" {seconds[1] / s:6.1f}" for s in seconds.values())
            print(f"{'  measured on a slice':24} {'':5} {'':8}{line}", flush=True)
    if arguments.plot:
        plot(curves, arguments.plot)


if __name__ == "__main__":
    main()
