"""One evaluation of loss and gradient, and predict_proba, against the machine's limits.

    python examples/benchmarks/evaluations.py [--output FOLDER] [--plot]

Prints, for several shapes in float64 and float32: milliseconds, GF/s, the share of the
binding limit (the larger of 4 n p K flops at the rate of a square matrix product and one
read of X at memory speed, both measured here), the ratio on two threads against one, and
the time of scikit-learn's `LinearModelLoss.loss_gradient`. Then predict_proba against
scikit-learn's. With --plot, seconds against n, K and p over two decades each, and the
preconditioner's rebuild beside them, as scaling.png (needs matplotlib).
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SHAPES = ((200_000, 50, 3), (100_000, 30, 7), (200_000, 200, 10), (50_000, 784, 10),
          (50_000, 384, 58), (50_000, 512, 100), (20_000, 256, 1000), (10_000, 1024, 1000))
ONE_THREAD = "--one-thread"


def median_seconds(function, repeats=7):
    """Median time of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def problem(n, p, n_classes, dtype):
    """(X, y, weight, theta) of standard normal numbers."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)).astype(dtype)
    y = rng.integers(0, n_classes, n).astype(np.int32)
    theta = (0.1 * rng.standard_normal((n_classes, p + 1))).astype(dtype)
    return X, y, np.full(n, 1 / n), theta


def evaluation(n, p, n_classes, dtype):
    """Seconds of value and gradient."""
    from softmax_reg.rows.base import Sample
    from softmax_reg.rows.memory import MemoryRows

    X, y, weight, theta = problem(n, p, n_classes, dtype)
    rows, sample, shift = MemoryRows(X), Sample(y, weight), np.zeros(p)
    return median_seconds(lambda: rows.value_grad(sample, shift, theta))


def rebuild(n, p, n_classes):
    """Seconds of the preconditioner's factors and their eigendecompositions."""
    from softmax_reg.problem.objective import Objective
    from softmax_reg.problem.penalty import L2Penalty
    from softmax_reg.rows.base import Sample
    from softmax_reg.rows.memory import MemoryRows
    from softmax_reg.solvers.kronecker import kronecker_transform

    X, y, weight, theta = problem(n, p, n_classes, np.float64)
    y[:n_classes] = np.arange(n_classes)
    objective = Objective.of(
        MemoryRows(X), Sample(y, weight), n_classes=n_classes, binary=False,
        penalty=L2Penalty(1e-4), fit_intercept=True,
    )
    return median_seconds(lambda: kronecker_transform(objective, theta), 3)


def of_scikit_learn(n, p, n_classes, dtype):
    """Seconds of scikit-learn's value and gradient."""
    from sklearn._loss import HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    X, y, _, theta = problem(n, p, n_classes, dtype)
    loss = LinearModelLoss(HalfMultinomialLoss(n_classes=n_classes), fit_intercept=True)
    labels, coef = y.astype(dtype), theta.ravel(order="F")
    return median_seconds(lambda: loss.loss_gradient(coef, X, labels, n_threads=2), 3)


def ceilings():
    """({dtype: flops a second of a product}, bytes a second read)."""
    rates = {}
    for dtype in (np.float64, np.float32):
        A = np.random.default_rng(0).standard_normal((3000, 3000)).astype(dtype)
        rates[dtype] = 2 * 3000**3 / median_seconds(lambda A=A: A @ A, 5)
    from softmax_reg.parallel.launch import launch

    block = np.ones(2**27)
    parts = [(part,) for part in np.array_split(block, 16)]
    # The dot product with itself reads every number once.
    seconds = median_seconds(
        lambda: launch(lambda part: np.einsum("i,i->", part, part), parts, 1e9), 5
    )
    return rates, block.nbytes / seconds


def one_thread_table():
    """{(shape, dtype name): seconds} on one thread, from a process of its own."""
    command = [sys.executable, __file__, ONE_THREAD]
    text = subprocess.run(command, capture_output=True, text=True, check=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
    return {tuple(line.split()[:4]): float(line.split()[4]) for line in text.splitlines()}


def table():
    """Print the comparison with the limits."""
    rates, memory = ceilings()
    print(f"products {rates[np.float64] / 1e9:.0f} / {rates[np.float32] / 1e9:.0f} GF/s "
          f"(float64 / float32), reading {memory / 1e9:.1f} GB/s")
    single = one_thread_table()
    print("| n x p, K | dtype | ms | GF/s | of the limit | 1 to 2 threads | scikit-learn |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        n, p, n_classes = shape
        for dtype in (np.float64, np.float32):
            seconds = evaluation(*shape, dtype)
            flops = 4 * n * p * n_classes
            limit = max(flops / rates[dtype], n * p * np.dtype(dtype).itemsize / memory)
            alone = single[(*map(str, shape), np.dtype(dtype).name)]
            print(f"| {n:,} x {p}, {n_classes} | {np.dtype(dtype).name} | {1e3 * seconds:.1f} "
                  f"| {flops / seconds / 1e9:.0f} | {limit / seconds:.0%} "
                  f"| {alone / seconds:.2f}x "
                  f"| {of_scikit_learn(*shape, dtype) / seconds:.1f}x |", flush=True)


def predictions():
    """Print predict_proba on 1,000,000 x 50, K = 10."""
    from sklearn.linear_model import LogisticRegression

    from softmax_reg import SoftmaxRegression

    X = np.random.default_rng(0).standard_normal((1_000_000, 50))
    y = np.arange(2000) % 10
    for dtype in (np.float64, np.float32):
        Z = X.astype(dtype)
        ours, theirs = (
            median_seconds(lambda model=model, Z=Z: model.predict_proba(Z), 5)
            for model in (SoftmaxRegression().fit(Z[:2000], y),
                          LogisticRegression().fit(Z[:2000], y))
        )
        print(f"predict_proba 1,000,000 x 50, K = 10, {np.dtype(dtype).name}: {ours:.3f} s, "
              f"scikit-learn {theirs:.3f} s, {theirs / ours:.1f}x", flush=True)


def plot(path):
    """Seconds of an evaluation and of a rebuild against n, K and p."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    sweeps = {
        "rows n (p = 100, K = 20)": [(n, 100, 20) for n in (2000, 6300, 20_000, 63_000, 200_000)],
        "classes K (20,000 x 100)": [(20_000, 100, k) for k in (10, 32, 100, 316, 1000)],
        "columns p (20,000 rows, K = 20)": [(20_000, p, 20) for p in (20, 63, 200, 632, 2000)],
    }
    for axes, (title, shapes), which in zip(
        figure.subplots(1, 3), sweeps.items(), (0, 2, 1), strict=True
    ):
        sizes = [shape[which] for shape in shapes]
        seconds = [evaluation(*shape, np.float64) for shape in shapes]
        axes.loglog(sizes, seconds, "o-", label="evaluation")
        axes.loglog(sizes, [seconds[-1] * s / sizes[-1] for s in sizes], ":", color="gray",
                    label="proportional")
        axes.loglog(sizes, [rebuild(*shape) for shape in shapes], "s--", label="rebuild")
        axes.set(title=title, xlabel=title.split()[1], ylabel="seconds")
        axes.legend()
        per_unit = np.array(seconds) / sizes
        print(title, "seconds:", *(f"{s:.4f}" for s in seconds),
              "per unit, relative to the last:", *(f"{r:.2f}" for r in per_unit / per_unit[-1]))
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--plot", action="store_true")
    parser.add_argument(ONE_THREAD, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_thread:
        for shape in SHAPES:
            for dtype in (np.float64, np.float32):
                print(*shape, np.dtype(dtype).name, evaluation(*shape, dtype))
        return
    table()
    predictions()
    if arguments.plot:
        arguments.output.mkdir(parents=True, exist_ok=True)
        plot(arguments.output / "scaling.png")


if __name__ == "__main__":
    main()
