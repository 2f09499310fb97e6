"""Fits on a GPU against its limits and PyTorch's L-BFGS; a table.

    python examples/benchmarks/device.py [--device cuda] [--shapes N,P,K ...] [--dtype float32]
        [--precision auto] [--budget GIB]

Normalised embeddings around unbalanced class centres (`workloads.embeddings`), C = 1. For every
shape: milliseconds of an evaluation of loss and gradient, and what the binding limit would allow
(the larger of 4 n p K flops at the rate of a large square product and one read of X at the rate
of a copy, both measured here); seconds of whole fits to a certified relative gap of 1e-4 and 1e-6
and of a path of 20 values of C, and the memory that the device's pool holds at the end. Where
they are installed, the seconds of PyTorch's L-BFGS, of scikit-learn on PyTorch's tensors (array
API) and of cuML until their objective, evaluated as in run.py, is within 1e-4 of ours;
scikit-learn and cuML start anew with tighter tolerances until one leads there, and its time
counts. --device cpu runs the same on the CPU. --budget leaves so much of the device's memory:
an X beyond it is moved block by block. Moving X to the device is part of fits, not of
evaluations.
"""

import argparse
import os
import time

os.environ.setdefault("SCIPY_ARRAY_API", "1")    # scikit-learn needs it, before SciPy is there

import numpy as np
from evaluations import median_seconds
from run import objective
from workloads import embeddings

from softmax_reg import SoftmaxRegression, softmax_path
from softmax_reg.rows.base import Sample
from softmax_reg.rows.choice import rows_of

SHAPES = "60000,784,10", "200000,768,100", "1281167,768,1000"
PATH = np.geomspace(1e-2, 1e2, 20)
SQUARE = 8192
TOLERANCES = 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7


def module_of(device):
    """(array module, a function that waits for the device)."""
    if device == "cpu":
        return np, lambda: None
    from softmax_reg.cuda.device import array_module

    xp = array_module()
    return xp, xp.cuda.Device().synchronize


def limits(xp, wait, dtype, size):
    """(flops a second of a square product, bytes a second of reading an array)."""
    square = xp.ones((size, size), dtype=dtype)

    def multiply():
        square @ square
        wait()

    def copy():
        square.copy()
        wait()

    return 2 * size**3 / median_seconds(multiply), 2 * square.nbytes / median_seconds(copy)


def evaluation(wait, X, y, n_classes, options):
    """Seconds of loss and gradient in the dtype of X."""
    rows = rows_of(X, n_classes, options["device"], precision=options["precision"])
    shift = X.mean(axis=0, dtype=np.float64)
    sample, _ = rows.place(Sample(y.astype(np.int32), np.ones(len(y))), n_classes)
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((n_classes, X.shape[1] + 1)).astype(X.dtype)

    def evaluate():
        rows.value_grad(sample, shift, theta)
        wait()

    return median_seconds(evaluate, 5)


def fit(X, y, tol, options):
    """(seconds, model) of a fit with otherwise default settings."""
    started = time.perf_counter()
    model = SoftmaxRegression(tol=tol, **options).fit(X, y)
    return time.perf_counter() - started, model


def of_torch(X, y, goal, device):
    """Seconds of PyTorch's L-BFGS to an objective of at most `goal`; None if it stops above."""
    import torch

    n, p = X.shape
    n_classes = int(y.max()) + 1
    started = time.perf_counter()
    X_t, y_t = (torch.as_tensor(a, device=device) for a in (X, y.astype(np.int64)))
    model = torch.nn.Linear(p, n_classes, device=device, dtype=X_t.dtype)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=20, history_size=10, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(X_t), y_t)
        loss = loss + model.weight.square().sum() / (2 * n)
        loss.backward()
        return loss

    seconds, last = time.perf_counter() - started, np.inf
    while True:
        started = time.perf_counter()
        optimiser.step(closure)
        coef, intercept = (t.detach().cpu().numpy() for t in (model.weight, model.bias))
        seconds += time.perf_counter() - started
        value = objective(X, y, 1.0, 0.0, coef, intercept)
        if value <= goal:
            return seconds
        if not value < last * (1 - 1e-9):
            return None
        last = value


def of_sklearn(X, y, goal, device):
    """Seconds of scikit-learn's `LogisticRegression` on PyTorch's tensors; None if it stops."""
    import sklearn
    import torch
    from sklearn.linear_model import LogisticRegression

    def fitted(tol):
        with sklearn.config_context(array_api_dispatch=True):
            tensors = (torch.as_tensor(a, device=device) for a in (X, y))
            return LogisticRegression(tol=tol, max_iter=10_000).fit(*tensors)

    return first_to(goal, fitted, X, y)


def of_cuml(X, y, goal, device):
    """Seconds of cuML's `LogisticRegression`; None if it stops above."""
    from cuml.linear_model import LogisticRegression

    def fitted(tol):
        return LogisticRegression(tol=tol, max_iter=10_000, output_type="numpy").fit(X, y)

    return first_to(goal, fitted, X, y)


def first_to(goal, fitted, X, y):
    """Seconds of the first of `TOLERANCES` with which ``fitted(tol)`` gets to `goal`."""
    for tol in TOLERANCES:
        started = time.perf_counter()
        model = fitted(tol)
        coef, intercept = (np.asarray(a.cpu() if hasattr(a, "cpu") else a)
                           for a in (model.coef_, model.intercept_))
        seconds = time.perf_counter() - started
        if objective(X, y, 1.0, 0.0, coef, intercept) <= goal:
            return seconds
    return None


def peer(seconds_to, *arguments):
    """What a peer's column shows."""
    try:
        seconds = seconds_to(*arguments)
    except ImportError:
        return "-"
    return "not reached" if seconds is None else f"{seconds:.2f}"


def row(name, options, dtype, square):
    """A line of the table."""
    device = options["device"]
    n, p, n_classes = map(int, name.split(","))
    xp, wait = module_of(device)
    X, y = embeddings(n, p, n_classes, np.dtype(dtype))
    rate, read = limits(xp, wait, dtype, square)
    bound = max(4 * n * p * n_classes / rate, X.nbytes / read)
    taken = evaluation(wait, X, y, n_classes, options)
    fit(X[:5000], y[:5000], 1e-4, options)    # compiles
    rough, model = fit(X, y, 1e-4, options)
    fine, best = fit(X, y, 1e-6, options)
    started = time.perf_counter()
    softmax_path(X, y, Cs=PATH, l1_ratio=0.0, tol=1e-4, **options)
    path = time.perf_counter() - started
    pool = "-"
    if device == "cuda":
        pool = f"{xp.get_default_memory_pool().total_bytes() / 2**30:.1f}"
    goal = best.objective_ * (1 + 1e-4)
    others = of_torch, of_sklearn, of_cuml
    theirs = " | ".join(peer(other, X, y, goal, device) for other in others)
    gaps = [m.dual_gap_ / m.objective_ for m in (model, best)]
    return (f"| {n} x {p}, {n_classes} | {1e3 * taken:.1f} | {1e3 * bound:.1f} "
            f"| {taken / bound:.1f}x | {rough:.2f} ({gaps[0]:.0e}) | {fine:.2f} ({gaps[1]:.0e}) "
            f"| {path:.2f} | {pool} | {theirs} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="N,P,K")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--square", type=int, default=SQUARE, help="side of the measured product")
    parser.add_argument("--precision", choices=("auto", "tf32x3"), default="auto")
    parser.add_argument("--budget", type=float, metavar="GIB", help="of the device's memory")
    arguments = parser.parse_args()
    options = {"device": arguments.device, "precision": arguments.precision}
    if arguments.budget is not None:
        from softmax_reg.rows import device

        device.free_bytes = lambda: arguments.budget * 2**30
    print("| rows x columns, classes | evaluation (ms) | limit (ms) | of it | fit to 1e-4 (s) "
          "| to 1e-6 (s) | 20 values of C (s) | pool (GiB) | PyTorch to 1e-4 (s) "
          "| scikit-learn (s) | cuML (s) |")
    print("|---" * 11 + "|")
    for name in arguments.shapes:
        print(row(name, options, arguments.dtype, arguments.square), flush=True)


if __name__ == "__main__":
    main()
