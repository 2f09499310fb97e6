"""SoftmaxRegression and LogisticRegression side by side, on your file or on bundled data.

    python examples/compare_with_logistic_regression.py
    python examples/compare_with_logistic_regression.py --data FILE.csv --target COLUMN

All models are fitted to the same rows with the same C. The first column is the model's repr:
parameters that it does not show have their defaults. This script, not the models, computes the
objective that both minimise, mean cross-entropy of the fitted rows + ||coef_||^2 / (2 C n),
in nats and in long double, from `coef_` and `intercept_`. The other columns:

    certified gap  dual_gap_, the bound that SoftmaxRegression proves, relative to the best
                   objective
    true gap       objective minus the best objective, relative to the latter; the best is the
                   lowest of all models and of SoftmaxRegression(tol=0), which is not timed
    log loss and accuracy    on a quarter of the rows, held out (stratified, fixed seed)
    seconds        of a warm fit: best of --repeat, the models taking turns. On a busy machine
                   OMP_NUM_THREADS=1 keeps scikit-learn's threads from waiting for each other
    warnings       of one fit, those that Python shows by default

With --C inf, separable classes have no optimum, and gaps say nothing. "newton-cholesky" is
left out where it would need a Hessian of more than 2 GB.
"""

import argparse
import importlib
import os
import platform
import time
import warnings
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.multiclass import type_of_target

from softmax_reg import SoftmaxRegression

BUNDLED = ("iris", "wine", "breast_cancer", "digits")
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
MAX_NEWTON = 15_000    # parameters; beyond, a Hessian takes more than 2 GB
HEADER = ("model", "objective", "certified gap", "true gap", "log loss", "accuracy",
          "iterations", "seconds", "warnings")
Split = namedtuple("Split", "name X_train X_test y_train y_test")
Fit = namedtuple("Fit", "model seconds warnings")


def read_npz(path, target):
    """X and y of an .npz file: its arrays "X" and `target`."""
    with np.load(path) as arrays:
        if not {"X", target} <= set(arrays.files):
            raise ValueError(f"{path} must hold arrays 'X' and {target!r} (see --target), "
                             f"got {arrays.files}.")
        return arrays["X"], arrays[target]


def read_csv(pandas, path):
    """A data frame of a .csv file whose columns are separated by commas, semicolons or tabs."""
    with path.open() as file:
        header = file.readline()
    return pandas.read_csv(path, sep=max(",;\t", key=header.count))


def read_table(path, target):
    """X, a data frame, and y of a .csv or .parquet file."""
    packages = ["pandas", "pyarrow"] if path.suffix == ".parquet" else ["pandas"]
    try:
        pandas = [importlib.import_module(package) for package in packages][0]
    except ImportError:
        raise ImportError(f"Reading {path.suffix} files needs {' and '.join(packages)}: "
                          f"python -m pip install {' '.join(packages)}") from None
    frame = read_csv(pandas, path) if path.suffix == ".csv" else pandas.read_parquet(path)
    if target not in frame:
        raise ValueError(f"{path} has no column {target!r} for --target, only {list(frame)}.")
    gaps = list(frame.columns[frame.isna().any()])
    if gaps:
        raise ValueError(f"{path} has missing values in {gaps}: impute or drop them first.")
    return frame.drop(columns=target), frame[target].to_numpy()


def read_file(path, target):
    """X and y of a file of a known kind."""
    if path.suffix == ".npz":
        return read_npz(path, target or "y")
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"--data must be a .csv, .parquet or .npz file, got {path}.")
    if target is None:
        raise ValueError(f"--target must name the column of {path} that holds the classes.")
    return read_table(path, target)


def one_hot(X_train, X_test):
    """Data frames as arrays; a column that is not numbers becomes one column a category."""
    categorical = list(X_train.select_dtypes(exclude=["number", "bool"]))
    if categorical:
        print(f"one-hot encoded: {', '.join(categorical)}")
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categorical),
        remainder="passthrough",
    )
    return encoder.fit_transform(X_train), encoder.transform(X_test)


def split(name, X, y, standardize):
    """Three quarters of the rows to fit, one quarter held out; dense float64."""
    kind = type_of_target(y)
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"The target of {name} must hold classes, got {kind} values.")
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    if hasattr(X, "columns"):
        X_train, X_test = one_hot(X_train, X_test)
    X_train, X_test = (np.ascontiguousarray(part, dtype=np.float64) for part in (X_train, X_test))
    if not (np.isfinite(X_train).all() and np.isfinite(X_test).all()):
        raise ValueError(f"X of {name} holds NaN or infinity: impute or drop it first.")
    if standardize:
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    return Split(name, X_train, X_test, y_train, y_test)


def models_to_compare(solvers, n_parameters):
    """Unfitted models, all they do not show at its default."""
    models = [
        *(SoftmaxRegression(solver=solver) for solver in solvers),
        LogisticRegression(),
        LogisticRegression(max_iter=10_000),
        LogisticRegression(solver="newton-cg"),
        LogisticRegression(solver="newton-cholesky"),
    ]
    return [m for m in models if m.solver != "newton-cholesky" or n_parameters <= MAX_NEWTON]


def fit(model, data):
    """Fit a clone; its seconds, and the warnings a user would see."""
    model = clone(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        start = time.perf_counter()
        model.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - start
    counts = Counter(w.category.__name__ for w in caught)
    return Fit(model, seconds, ", ".join(f"{n} {name}" for name, n in counts.items()) or "-")


def compile_seconds():
    """What first fits take beyond warm ones on a little problem, over all our solvers."""
    X, y = datasets.load_iris(return_X_y=True)
    # Large enough for kernels: on fewer rows nothing is compiled.
    X, y = np.tile(X, (30, 1)), np.tile(y, 30)
    little = Split("little", X, X, y, y)
    models = [SoftmaxRegression(solver=solver) for solver in SOLVERS]
    return sum(fit(model, little).seconds - fit(model, little).seconds for model in models)


def objective(model, X, y, rows_at_once=10_000):
    """Mean cross-entropy + ||coef||^2 / (2 C n) in nats; long double where there is one."""
    coef = model.coef_.astype(np.longdouble)
    labels = np.searchsorted(model.classes_, y)
    total = (coef**2).sum() / (2 * model.C)
    for start in range(0, len(y), rows_at_once):
        rows = slice(start, start + rows_at_once)
        logits = X[rows].astype(np.longdouble) @ coef.T + model.intercept_
        if len(coef) == 1:    # binary: one vector, the log-odds of the second class
            logits = np.column_stack([np.zeros_like(logits), logits])
        logits -= np.take_along_axis(logits, labels[rows, np.newaxis], axis=1)
        largest = logits.max(axis=1)    # at least 0, the true class's
        total += (largest + np.log(np.exp(logits - largest[:, np.newaxis]).sum(axis=1))).sum()
    return total / len(y)


def table_row(label, fits, value, best, data):
    """Cells of one model, in the order of HEADER."""
    model = fits[0].model
    return (
        label,
        f"{value:.12f}",
        f"{model.dual_gap_ / best:.1e}" if hasattr(model, "dual_gap_") else "-",
        f"{(value - best) / best:.1e}",
        f"{log_loss(data.y_test, model.predict_proba(data.X_test), labels=model.classes_):.4f}",
        f"{model.score(data.X_test, data.y_test):.4f}",
        str(model.n_iter_.max()),
        f"{min(each.seconds for each in fits):.4f}",
        fits[0].warnings,
    )


def print_table(rows):
    """Columns aligned: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        numbers = map(str.rjust, row[1:-1], widths[1:-1])
        print("  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]))


def compare(data, C, solvers, repeat):
    """Fit every model `repeat` times, taking turns, and print the table."""
    n_samples, n_features = data.X_train.shape
    n_classes = len(np.unique(data.y_train))
    print(f"\n{data.name}, C={C:g}: {n_samples} rows to fit, {len(data.y_test)} held out, "
          f"{n_features} columns, {n_classes} classes")
    models = models_to_compare(solvers, n_classes * (n_features + 1))
    labels = [repr(model) for model in models]    # before C is set: it is the same for all
    turns = [[fit(model.set_params(C=C), data) for model in models] for _ in range(repeat)]
    reference = fit(SoftmaxRegression(C=C, tol=0), data)
    values = [objective(each.model, data.X_train, data.y_train) for each in turns[0]]
    best = min(*values, objective(reference.model, data.X_train, data.y_train))
    rows = [table_row(label, fits, value, best, data)
            for label, fits, value in zip(labels, zip(*turns, strict=True), values, strict=True)]
    print_table([HEADER, *rows])


def argument_parser():
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=description, epilog=details,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FILE",
                        help=".csv, .parquet (words are one-hot encoded) or .npz (X and y)")
    parser.add_argument("--target", metavar="COLUMN", help="column, or array, of the classes")
    parser.add_argument("--C", type=float, nargs="+", default=[1.0], help="default 1")
    parser.add_argument("--standardize", action="store_true", help="default: raw columns")
    parser.add_argument("--solver", nargs="+", choices=SOLVERS, default=["auto"],
                        help="of SoftmaxRegression, one or more; default auto")
    parser.add_argument("--repeat", type=int, default=3, help="fits to take the best time of")
    return parser


def main():
    parser = argument_parser()
    options = parser.parse_args()
    try:
        if options.data:
            loaded = {options.data.name: read_file(options.data, options.target)}
        else:
            loaded = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in BUNDLED}
        splits = [split(name, X, y, options.standardize) for name, (X, y) in loaded.items()]
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, numpy "
          f"{np.__version__}, {os.cpu_count()} CPUs; "
          f"{'standardised' if options.standardize else 'raw'} columns\n"
          f"{compile_seconds():.1f} s, once a process, to compile SoftmaxRegression's kernels or "
          "to load them from disk\n(first minus warm fit of a little problem, over all solvers); "
          "part of no time below", flush=True)
    for data in splits:
        for C in options.C:
            compare(data, C, options.solver, max(1, options.repeat))


if __name__ == "__main__":
    main()
