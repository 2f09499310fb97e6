"""The linear probe of self-supervised vision models, as published, and with softmax_reg.

    python examples/benchmarks/probe_protocol.py [--model softmax_reg | published | bearable]
        [--data digits | mnist | embeddings | --features FILE.npy --labels FILE.npy]
        [--folder FOLDER] [--resume] [--limit SECONDS] [--plot FILE]

45 values of C, evenly spaced in log10 from 1e-6 to 1e5, on frozen features; the best by
held-out accuracy (the smallest C of equals); then a refit on all rows. Models:

- softmax_reg: default settings, in the features' own dtype; each C starts from the extrapolation
  of the last three models, as in `softmax_path`, which has no checkpoints;
- published: LogisticRegression as facebookresearch/dinov3 `eval/log_regression.py` runs it:
  lbfgs in float64, tol=1e-12, max_iter=1000, each C from zero;
- bearable: the same with the settings that make it end, tol=1e-4, max_iter=100.

Each C is a checkpoint in FOLDER; a run that was killed goes on with --resume. --limit starts no
further C after so many seconds. Run once for each model; the table is of all runs in FOLDER.
"""

import argparse
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from run import objective
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from workloads import bundled, embeddings, mnist

from softmax_reg import SoftmaxRegression, cross_entropy

CS = np.logspace(-6, 5, 45)
DATA = {
    "digits": lambda: bundled("digits"),
    "mnist": mnist,
    "embeddings": lambda: embeddings(n=20_000),
}
MODELS = {
    "softmax_reg": lambda: SoftmaxRegression(warm_start=True),
    "published": lambda: LogisticRegression(tol=1e-12, max_iter=1000),
    "bearable": lambda: LogisticRegression(tol=1e-4, max_iter=100),
}
# A row of figures for each C: seconds of the fit, held-out scores, training objective in nats.
COLUMNS = ("seconds", "accuracy", "log_loss", "objective")
# The polynomial in log C through so many models, the last first, at the next C.
EXTRAPOLATION = {1: (1,), 2: (2, -1), 3: (3, -3, 1)}


class State:
    """What a run has found so far, in one file that is replaced as a whole."""

    def __init__(self, path):
        self.path = path
        self.figures = np.empty((0, len(COLUMNS)))
        self.last = []    # up to three (coef, intercept), the last first
        self.refit = None    # (seconds, C)
        self.peak = 0.0    # MiB

    def load(self):
        """Read the file, if there is one."""
        if self.path.exists():
            with np.load(self.path) as file:
                self.figures, self.peak = file["figures"], float(file["peak"])
                self.last = list(zip(file["coefs"], file["intercepts"], strict=True))
                self.refit = tuple(file["refit"]) if "refit" in file else None
        return self

    def save(self):
        """Write the file beside the old one, then put it in its place."""
        self.peak = max(self.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        coefs, intercepts = zip(*self.last, strict=True)
        arrays = {
            "figures": self.figures, "peak": self.peak, "coefs": coefs, "intercepts": intercepts
        }
        if self.refit is not None:
            arrays["refit"] = self.refit
        new = self.path.with_suffix(".new.npz")
        np.savez(new, **arrays)
        new.replace(self.path)

    def best(self):
        """Index of the best C so far."""
        return int(self.figures[:, COLUMNS.index("accuracy")].argmax())


def progress(values, done, name):
    """The values that are left, with a bar where rich is installed, else a line each."""
    left = list(enumerate(values))[done:]
    try:
        from rich.progress import Progress
    except ImportError:
        for i, C in left:
            print(f"{name}: C = {C:.2e}, {i + 1} of {len(values)}", flush=True)
            yield C
    else:
        with Progress() as bar:
            task = bar.add_task(name, total=len(values), completed=done)
            for _, C in left:
                yield C
                bar.advance(task)


def fitted(model, X, y, C, last):
    """(model, seconds) of one fit; a warm start goes on from the models `last`."""
    model.set_params(C=C)
    started = time.perf_counter()
    if last and model.warm_start:
        weights = EXTRAPOLATION[len(last)]
        model.coef_, model.intercept_ = (
            sum(weight * part for weight, part in zip(weights, parts, strict=True))
            for parts in zip(*last, strict=True)
        )
        model.classes_ = np.unique(y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return model, time.perf_counter() - started


def run(name, X, y, state, limit):
    """The protocol; every C is saved."""
    if name != "softmax_reg":
        X = X.astype(np.float64)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=0
    )
    # Compiles kernels, or loads them: the benchmark's other commands time that.
    fitted(MODELS[name](), X_train, y_train, CS[0], [])
    started = time.perf_counter()
    for C in progress(CS, len(state.figures), name):
        if time.perf_counter() - started > limit:
            break
        model, seconds = fitted(MODELS[name](), X_train, y_train, C, state.last)
        state.last = [(model.coef_, model.intercept_), *state.last[:2]]
        proba = model.predict_proba(X_test)
        figures = (
            seconds,
            (model.classes_[proba.argmax(axis=1)] == y_test).mean(),
            cross_entropy(
                np.searchsorted(model.classes_, y_test), model.predict_log_proba(X_test)
            ),
            objective(X_train, y_train, C, 0.0, *state.last[0]),
        )
        state.figures = np.vstack([state.figures, figures])
        state.save()
    if len(state.figures) == len(CS) and state.refit is None:
        C = CS[state.best()]
        _, seconds = fitted(MODELS[name](), X, y, C, [])
        state.refit = seconds, C
        state.save()


def report(folder):
    """A line for each run: how far it came, seconds, the best C, its scores."""
    states = {name: State(folder / f"{name}.npz").load() for name in MODELS}
    states = {name: state for name, state in states.items() if len(state.figures)}
    least = np.full(len(CS), np.inf)
    for state in states.values():
        n = len(state.figures)
        least[:n] = np.minimum(least[:n], state.figures[:, COLUMNS.index("objective")])
    print(f"{'':12} {'C':>6} {'seconds':>9} {'refit':>7} {'best C':>9} {'accuracy':>9} "
          f"{'log loss':>9} {'worst distance':>15} {'peak MiB':>9}")
    for name, state in states.items():
        seconds, accuracy, log_loss, value = state.figures.T
        best, n = state.best(), len(value)
        refit = f"{state.refit[0]:7.2f}" if state.refit else f"{'-':>7}"
        print(f"{name:12} {n:3}/45 {seconds.sum():9.2f} {refit} {CS[best]:9.2e} "
              f"{accuracy[best]:9.4f} {log_loss[best]:9.4f} "
              f"{(value / least[:n] - 1).max():15.1e} {state.peak:9.0f}")
    return states


def plot(states, path):
    """Held-out accuracy and seconds along C."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(6, 6), layout="constrained")
    for name, state in states.items():
        seconds, accuracy, *_ = state.figures.T
        above.plot(CS[:len(accuracy)], accuracy, "o-", label=name)
        below.plot(CS[:len(seconds)], seconds, "o-")
    above.set(ylabel="held-out accuracy")
    above.legend()
    below.set(xlabel="C", xscale="log", yscale="log", ylabel="seconds of the fit")
    figure.savefig(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="softmax_reg")
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--features", type=Path, metavar="FILE.npy")
    parser.add_argument("--labels", type=Path, metavar="FILE.npy")
    parser.add_argument("--folder", type=Path, default=Path("probe_protocol"))
    parser.add_argument("--resume", action="store_true", help="go on after the last checkpoint")
    parser.add_argument("--limit", type=float, default=np.inf, help="seconds")
    parser.add_argument("--plot", metavar="FILE", help="needs matplotlib")
    given = parser.parse_args(arguments)
    if (given.features is None) != (given.labels is None):
        parser.error("--features and --labels need each other")
    X, y = DATA[given.data]() if given.features is None else (
        np.load(given.features), np.load(given.labels)
    )
    given.folder.mkdir(parents=True, exist_ok=True)
    state = State(given.folder / f"{given.model}.npz")
    run(given.model, X, y, state.load() if given.resume else state, given.limit)
    states = report(given.folder)
    if given.plot:
        plot(states, given.plot)


if __name__ == "__main__":
    main()
