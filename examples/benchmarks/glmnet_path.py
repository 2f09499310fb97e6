"""A 100-point L1 path: softmax_path against R's glmnet; a table.

    python examples/benchmarks/glmnet_path.py [--problems NAME ...] [--points N] [--repeats N]

Needs R with glmnet (Debian: r-base-core, r-cran-glmnet). The same columns, not standardised, and
the same grid for both, that of softmax_path; glmnet with fdev=0, so that it goes through all of
it, at its default thresh and at the largest of 1e-8, 1e-9, ... that brings every point within
1e-6 of the best objective seen there. "worst" is the largest relative distance of any point from
the best objective. Against each stands softmax_path at the fastest of the tolerances 1e-1, 1e-2,
... 1e-8 whose worst is no larger, and at the fastest that is no worse at every single point, by
more than 1e-12; its own column of seconds is at the default. Seconds are medians and leave out
reading and writing.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from run import objective
from workloads import WORKLOADS

from softmax_reg import softmax_path

THRESHOLDS = [1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14]
LEVEL = 1e-6
TOLERANCES = [10.0**-k for k in range(1, 9)]
DEFAULT = TOLERANCES[5]
SCRIPT = """
suppressMessages(library(glmnet))
glmnet.control(fdev = 0)
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]; n <- as.integer(arguments[2]); p <- as.integer(arguments[3])
thresh <- as.numeric(arguments[4]); repeats <- as.integer(arguments[5])
read <- function(name, what, size) readBin(file.path(folder, name), what, size)
X <- matrix(read("X", "double", n * p), n, p)
y <- factor(read("y", "integer", n))
lambda <- read("lambda", "double", 100000L)
for (i in seq_len(repeats)) {
  seconds <- system.time(fit <- suppressWarnings(glmnet(
    X, y, family = "multinomial", lambda = lambda, standardize = FALSE, thresh = thresh,
    maxit = 10000000L)))["elapsed"]
  cat(seconds, "")
}
beta <- sapply(fit$beta, as.matrix)    # (p * points, K)
out <- file(file.path(folder, "out"), "wb")
writeBin(c(as.double(length(fit$lambda)), as.double(beta), as.double(t(fit$a0))), out)
close(out)
"""


def letters(n=5000, p=16, n_classes=26, seed=0):
    """Overlapping Gaussian classes: (X, y)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = rng.standard_normal((n_classes, p))[y] * 1.5 + rng.standard_normal((n, p))
    return X, y


def correlated(n=2000, p=200, n_classes=5, seed=0):
    """Columns that follow each other, few of which matter: (X, y)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.9 * X[:, j - 1] + np.sqrt(1 - 0.9**2) * X[:, j]
    odds = X[:, ::20] @ rng.standard_normal((10, n_classes))
    return X, (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)


def standardised(name):
    """A bundled data set, columns scaled: (X, y)."""
    X, y = WORKLOADS[name].load()
    deviations = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0), y


PROBLEMS = {
    "iris": WORKLOADS["iris"].load,
    "wine": WORKLOADS["wine"].load,
    "wine standardised": lambda: standardised("wine"),
    "digits": WORKLOADS["digits"].load,
    "digits standardised": lambda: standardised("digits"),
    "correlated": correlated,
    "letters": letters,
    "tall": WORKLOADS["tall"].load,
}


def of_glmnet(folder, X, n_classes, thresh, repeats, limit):
    """(seconds, coefs, intercepts) of as much of the path as it gives, or None."""
    n, p = X.shape
    try:
        done = subprocess.run(
            ["Rscript", str(folder / "path.R"), str(folder), str(n), str(p), str(thresh),
             str(repeats)],
            capture_output=True, text=True, check=True, timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return None
    out = np.fromfile(folder / "out")
    points = int(out[0])
    beta = out[1:1 + p * points * n_classes].reshape(n_classes, points, p).transpose(1, 0, 2)
    intercepts = out[1 + beta.size:].reshape(n_classes, points).T
    return statistics.median(map(float, done.stdout.split())), beta, intercepts


def fastest(seconds, theirs):
    """Of {tol: seconds}, and how many times as fast it is."""
    if not seconds:
        return "none"
    tol = min(seconds, key=seconds.get)
    return f"{theirs / seconds[tol]:.2g}x of {seconds[tol]:.3g} s (tol={tol:.0e})"


def compare(name, points, repeats, limit):
    """Print the table's row of one problem."""
    X, y = PROBLEMS[name]()
    X, y = np.ascontiguousarray(X, dtype=np.float64), np.unique(y, return_inverse=True)[1]
    path = softmax_path(X, y, n_Cs=points)    # compiles

    def objectives(coefs, intercepts):
        return np.array([
            objective(X, y, C, 1.0, coef, intercept)
            for C, coef, intercept in zip(path.Cs, coefs, intercepts, strict=False)
        ])

    def of_ours(tol):
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            found = softmax_path(X, y, Cs=path.Cs, tol=tol)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds), objectives(found.coefs, found.intercepts)

    ours = {tol: of_ours(tol) for tol in TOLERANCES}
    mine = ours[DEFAULT][1]
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        X.T.tofile(folder / "X")
        y.astype(np.int32).tofile(folder / "y")
        (1 / (path.Cs * len(y))).tofile(folder / "lambda")
        (folder / "path.R").write_text(SCRIPT)
        best, cells = mine.copy(), []
        for thresh in THRESHOLDS:
            found = of_glmnet(folder, X, len(path.classes), thresh, repeats, limit)
            if found is None:
                cells.append(f"{thresh:.0e}: more than {limit:g} s")
                break
            theirs, coefs, intercepts = found
            values = objectives(coefs, intercepts)
            reached = len(values)
            best[:reached] = np.minimum(best[:reached], values)
            worst = (values / best[:reached] - 1).max()
            as_good = {
                tol: seconds for tol, (seconds, own) in ours.items()
                if (own[:reached] / best[:reached] - 1).max() <= max(worst, 1e-12)
            }
            no_worse = {
                tol: seconds for tol, (seconds, own) in ours.items()
                if np.all(own[:reached] <= values * (1 + 1e-12))
            }
            match = f"{fastest(as_good, theirs)}; at every point {fastest(no_worse, theirs)}"
            is_enough = worst <= LEVEL and reached == points
            if thresh in (THRESHOLDS[0], THRESHOLDS[-1]) or is_enough:
                cells.append(
                    f"{thresh:.0e}: {theirs:.3g} s, {reached} points, worst {worst:.0e}: {match}"
                )
            if is_enough:
                break
    shape = f"{X.shape[0]} x {X.shape[1]} x {len(path.classes)}"
    print(f"| {name} | {shape} | {ours[DEFAULT][0]:.3g} s | {(mine / best - 1).max():.0e} | "
          f"{'; '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300, help="seconds of one run of R")
    arguments = parser.parse_args()
    print("| problem | rows x columns x classes | softmax_path | worst | glmnet |")
    print("|---" * 5 + "|")
    for name in arguments.problems:
        compare(name, arguments.points, arguments.repeats, arguments.limit)


if __name__ == "__main__":
    main()
