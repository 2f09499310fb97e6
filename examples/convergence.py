"""Distance from the optimum by seconds: SoftmaxRegression next to LogisticRegression's solvers.

    OMP_NUM_THREADS=1 python examples/convergence.py --output examples

draws README's figure, convergence.svg. All models are fitted to the same raw columns with C = 1.
Each point is a fit of its own, from the start to max_iter = 1, 2, 3, ... The seconds are the
processor time of the whole fit, the shortest of the fits that --budget allows for: with
OMP_NUM_THREADS=1 what a fit takes on one thread of a machine that does nothing else. The first
fit, which compiles kernels where they are needed, is printed and not drawn.

This script, not the models, computes the objective, in long double, and the distance from the
lowest objective of all fits and of SoftmaxRegression(tol=0), relative to it. The dashed line is
what SoftmaxRegression proves of its own distance, dual_gap_. LogisticRegression runs on with
tol=1e-10 and growing max_iter. Rings are the fits with default settings.
"""

import platform
import time
import warnings
from collections import namedtuple

import numpy as np
import sklearn
from compare_with_logistic_regression import BUNDLED, objective
from figures import new_figure, parser, save
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from softmax_reg import SoftmaxRegression

OURS = "SoftmaxRegression"
THEIRS = ("lbfgs", "newton-cg", "newton-cholesky")
FLOOR = 1e-12    # rounding: smaller distances are drawn here
# Colours of Okabe & Ito, darkened for white paper; without colour, markers tell curves apart.
STYLES = {OURS: ("#0072B2", "o"), "lbfgs": ("#C84E00", "s"), "newton-cg": ("#A8508A", "^"),
          "newton-cholesky": ("#00785A", "D")}
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
Point = namedtuple("Point", "max_iter seconds objective gap n_iter warned")


def fit_once(model, X, y):
    """(fitted clone, seconds, whether a warning said that it stopped early)."""
    model = clone(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - start
    return model, seconds, any(issubclass(w.category, ConvergenceWarning) for w in caught)


def measure(model, X, y, budget):
    """A Point: the shortest of 1 to 50 fits that take `budget` seconds together."""
    times = []
    while not times or (sum(times) < budget and len(times) < 50):
        fitted, seconds, warned = fit_once(model, X, y)
        times.append(seconds)
    return Point(model.max_iter, min(times), objective(fitted, X, y),
                 getattr(fitted, "dual_gap_", np.nan), fitted.n_iter_.max(), warned)


def curve(model, X, y, budget, limit):
    """Points of growing max_iter, until a fit converges or takes longer than `limit` seconds."""
    points, max_iter = [], 1
    while True:
        points.append(measure(clone(model).set_params(max_iter=max_iter), X, y, budget))
        if not points[-1].warned or points[-1].seconds > limit:
            break
        max_iter = max(max_iter + 1, round(1.4 * max_iter))
    # A fit of more iterations passes by those of fewer: the time of these is at most as long.
    seconds = np.minimum.accumulate([point.seconds for point in points][::-1])[::-1]
    return [point._replace(seconds=s) for point, s in zip(points, seconds, strict=True)]


def measured(name, budget, limit):
    """(curves by solver, default fits by solver, lowest objective) on a bundled data set."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    _, first, _ = fit_once(SoftmaxRegression(), X, y)
    _, warm, _ = fit_once(SoftmaxRegression(), X, y)
    print(f"\n{name}, {len(X)} x {X.shape[1]}: first fit of this process {first:.3f} s "
          f"(kernels are compiled or loaded where they are needed), then {warm:.3f} s")
    models = {OURS: SoftmaxRegression()}
    models |= {solver: LogisticRegression(solver=solver, tol=1e-10) for solver in THEIRS}
    curves = {label: curve(model, X, y, budget, np.inf if label == OURS else limit)
              for label, model in models.items()}
    # The last fit of ours has converged: max_iter=1000, the default, changes nothing about it.
    defaults = {OURS: curves[OURS][-1], "lbfgs": measure(LogisticRegression(), X, y, budget)}
    reference, _, _ = fit_once(SoftmaxRegression(tol=0), X, y)
    points = [*defaults.values(), *(point for curve in curves.values() for point in curve)]
    best = min(objective(reference, X, y), *(point.objective for point in points))
    return curves, defaults, best


def distance(point, best):
    """Objective above the best, relative to it."""
    return float((point.objective - best) / best)


def print_fits(curves, defaults, best):
    """A line for each fit with default settings, and for the end of each curve."""
    print(f"{'':44}{'iterations':>10}{'seconds':>10}{'distance':>10}{'proven':>10}")
    rows = {"SoftmaxRegression()": defaults[OURS], "LogisticRegression()": defaults["lbfgs"]}
    rows |= {f"LogisticRegression, {solver}, run on": curves[solver][-1] for solver in THEIRS}
    for label, point in rows.items():
        proven = f"{point.gap / float(best):.0e}" if np.isfinite(point.gap) else "-"
        print(f"{label:44}{point.n_iter:>10}{point.seconds:>10.4f}"
              f"{max(distance(point, best), 0):>10.0e}{proven:>10}"
              f"{'  warns' if point.warned else ''}")


def name_end(axes, text, point, colour, **options):
    """Write `text` to the right of a point."""
    axes.annotate(text, point, textcoords="offset points", color=colour, va="center", zorder=5,
                  bbox=PAPER, **{"xytext": (9, 0)} | options)


def draw(axes, name, curves, defaults, best):
    """One panel: curves with their names at the end, rings at the default settings."""
    for label, points in curves.items():
        colour, marker = STYLES[label]
        seconds = [point.seconds for point in points]
        left = np.maximum([distance(point, best) for point in points], FLOOR)
        axes.plot(seconds, left, color=colour, marker=marker, markersize=3.5, linewidth=1.8)
        if label == OURS:
            gaps = [point.gap / float(best) for point in points]
            axes.plot(seconds, gaps, color=colour, linestyle=(0, (4, 2)), linewidth=1.5)
            name_end(axes, "proven (dual_gap_)", (seconds[-1], gaps[-1]), colour)
            name_end(axes, f"{label}()", (seconds[-1], left[-1]), colour, weight="bold")
        else:
            # Two solvers may end at the floor: the quicker one is named below it.
            offset = (9, -9) if label == "newton-cholesky" else (9, 0)
            text = f"{label}, run on" if label in defaults else label
            name_end(axes, text, (seconds[-1], left[-1]), colour, xytext=offset)
    for label, point in defaults.items():
        axes.plot(point.seconds, max(distance(point, best), FLOOR), marker="o", markersize=12,
                  markerfacecolor="none", markeredgecolor=STYLES[label][0], markeredgewidth=1.8)
    stopped, colour = defaults["lbfgs"], STYLES["lbfgs"][0]
    axes.annotate(f"LogisticRegression() stops{' here, and warns' if stopped.warned else ' here'}",
                  (stopped.seconds, distance(stopped, best)), (0.22, 0.97), color=colour,
                  textcoords="axes fraction", va="top", weight="bold",
                  arrowprops={"arrowstyle": "-", "color": colour, "shrinkB": 6})
    axes.set(xscale="log", yscale="log", title=name, xlabel="seconds of the fit, one thread")
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def figure_of(results):
    """All panels, on white paper, so that it is as readable on a dark page."""
    figure, axes = new_figure(4.8 * len(results), 4.2, ncols=len(results), sharey=True,
                              squeeze=False)
    for panel, (name, result) in zip(axes[0], results.items(), strict=True):
        draw(panel, f"{name}, raw columns", *result)
        left, right = panel.get_xlim()
        panel.set_xlim(left, right * (right / left) ** 0.3)    # names to the right of the curves
    axes[0, 0].set(ylim=(FLOOR / 30, 3e3), ylabel="relative distance from the optimum")
    return figure


def main():
    options = parser(__doc__)
    options.add_argument("--data", nargs="+", choices=BUNDLED, default=["wine", "digits"])
    options.add_argument("--budget", type=float, default=0.1, help="seconds a point; default 0.1")
    options.add_argument("--limit", type=float, default=1.0,
                         help="a curve ends with a fit of more seconds; default 1")
    options = options.parse_args()
    print(f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, numpy "
          f"{np.__version__}; raw columns, C = 1", flush=True)
    results = {}
    for name in options.data:
        results[name] = measured(name, options.budget, options.limit)
        print_fits(*results[name])
    if options.output:
        save(figure_of(results), options.output, "convergence.svg")


if __name__ == "__main__":
    main()
