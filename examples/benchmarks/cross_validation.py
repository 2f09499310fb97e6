"""Cross-validation over C: SoftmaxRegressionCV, scikit-learn's and GridSearchCV; a table.

    python examples/benchmarks/cross_validation.py [--workloads NAME ...] [--rows N] [--folds N]
        [--Cs N] [--without-scikit-learn] [--within LEVEL] [--solver NAME]

10 values of C from 1e-4 to 1e4, 5 folds, log loss, default settings otherwise. Each fit of the
grid is held against the best objective that any of them reaches there: the columns "worst"
give the largest relative distance of a fit from it. With --within, LogisticRegressionCV runs at
the first of tol=1e-4, 1e-5, ... that brings all its fits so close, without a limit of iterations.
"""

import argparse
import time
import warnings

import numpy as np
from run import objective
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from workloads import WORKLOADS

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV


def timed(model, X, y):
    """(seconds, the fitted model)."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return time.perf_counter() - started, model


def objectives(model, X, y, folds):
    """(n_folds, n_Cs): of every fit, on the rows it was fitted on."""
    values = np.empty((len(folds), len(model.Cs_)))
    for k, (train, _) in enumerate(folds):
        for j, C in enumerate(model.Cs_):
            joined = model.coefs_paths_[k, 0, j].astype(np.float64)
            values[k, j] = objective(X[train], y[train], C, 0.0, joined[:, :-1], joined[:, -1])
    return values


def cross_validated(X, y, folds, Cs, solver, within, mine):
    """(seconds, objectives, tol) of LogisticRegressionCV; at its defaults without `within`."""
    budgets = [{}] if within is None else [
        {"tol": 10.0**-k, "max_iter": 1_000_000} for k in range(4, 13)
    ]
    for budget in budgets:
        seconds, model = timed(LogisticRegressionCV(
            Cs=Cs, cv=folds, l1_ratios=(0,), scoring="neg_log_loss", solver=solver,
            use_legacy_attributes=False, **budget,
        ), X, y)
        values = objectives(model, X, y, folds)
        if within is None or (values / np.minimum(mine, values) - 1).max() <= within:
            break
    return seconds, values, model.tol


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=["iris", "digits"])
    parser.add_argument("--rows", type=int, help="only the first so many")
    parser.add_argument("--Cs", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--without-scikit-learn", action="store_true")
    parser.add_argument("--within", type=float, metavar="LEVEL", help="relative, of each fit")
    parser.add_argument("--solver", default="lbfgs", help="of LogisticRegressionCV")
    arguments = parser.parse_args()
    print("| data | SoftmaxRegressionCV | worst | GridSearchCV(SoftmaxRegression()) | ratio "
          "| LogisticRegressionCV | worst | ratio | farther at |")
    print("|---" * 9 + "|")
    for name in arguments.workloads:
        X, y = (a[:arguments.rows] for a in WORKLOADS[name].load())
        folds = list(StratifiedKFold(arguments.folds).split(X, y))
        SoftmaxRegressionCV(Cs=2, cv=2).fit(X[:2000], y[:2000])    # compiles
        ours, model = timed(SoftmaxRegressionCV(Cs=arguments.Cs, cv=folds), X, y)
        grid, _ = timed(GridSearchCV(
            SoftmaxRegression(), {"C": model.Cs_}, cv=folds, scoring="neg_log_loss"
        ), X, y)
        mine = objectives(model, X, y, folds)
        cells = [name, f"{ours:.3g} s", "", f"{grid:.3g} s", f"{grid / ours:.1f}x", *4 * ["-"]]
        best = mine
        if not arguments.without_scikit_learn:
            theirs, values, tol = cross_validated(
                X, y, folds, arguments.Cs, arguments.solver, arguments.within, mine
            )
            best = np.minimum(mine, values)
            farther = np.count_nonzero(mine > values * (1 + 1e-12))
            cells[5:] = [f"{theirs:.3g} s, tol={tol:.0e}", f"{(values / best - 1).max():.0e}",
                         f"{theirs / ours:.1f}x", f"{farther} of {mine.size}"]
        cells[2] = f"{(mine / best - 1).max():.0e}"
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
