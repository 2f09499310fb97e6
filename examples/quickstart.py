"""Quickstart: wines told apart by 13 raw, unscaled measurements.

The columns of scikit-learn's wine data differ in scale by a factor of thousands, and
nothing here rescales them. The script

1. searches over C by cross-validation, the model at the end of a Pipeline;
2. predicts class probabilities of wines the search has not seen;
3. shows the certificate: how far the fit can at most be from its optimum;
4. fits LogisticRegression to the same columns and says how far it stopped from there.

Run it by ``python examples/quickstart.py``.
"""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from softmax_reg import SoftmaxRegression, cross_entropy


def search_over_C(X, y):
    """A fitted search; the imputer stands for whatever your data need, none is a scaler."""
    pipeline = Pipeline([
        ("impute", SimpleImputer(strategy="median")),
        ("classify", SoftmaxRegression()),
    ])
    grid = {"classify__C": [0.001, 0.01, 0.1, 1, 10, 100, 1000]}
    return GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=5).fit(X, y)


def objective(model, X, y):
    """What both classifiers minimise, in nats: mean cross-entropy + ||W||^2 / (2 C n)."""
    labels = np.searchsorted(model.classes_, y)
    penalty = (model.coef_**2).sum() / (2 * model.C * len(y))
    return cross_entropy(labels, model.decision_function(X)) + penalty


def fit_and_catch_warnings(pipeline, X, y):
    """The fitted pipeline and the first line of each warning that Python shows by default."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline.fit(X, y)
    first_lines = [str(w.message).splitlines()[0].rstrip(":") for w in caught]
    return pipeline, [
        f"{w.category.__name__}: {line}" for w, line in zip(caught, first_lines, strict=True)
    ]


def print_search(search):
    print("Cross-validated log loss (nats) over C")
    results = search.cv_results_
    for C, score in zip(results["param_classify__C"], results["mean_test_score"], strict=True):
        mark = "   <- best" if C == search.best_params_["classify__C"] else ""
        print(f"  C = {C:<8g} {-score:.4f}{mark}")


def print_predictions(search, X, y, n_rows=5):
    print(f"\nProbabilities of {n_rows} of the {len(y)} held-out wines")
    print("  " + "".join(f"{name:>10}" for name in search.classes_) + "   truth")
    for proba, truth in zip(search.predict_proba(X[:n_rows]), y[:n_rows], strict=True):
        print("  " + "".join(f"{p:10.4f}" for p in proba) + f"   {truth}")
    proba = search.predict_proba(X)
    print(f"  log loss {log_loss(y, proba, labels=search.classes_):.4f} nats, "
          f"accuracy {np.mean(search.predict(X) == y):.3f}")


def print_certificate(model):
    print(f"\nThe refitted model, {model}")
    print(f"  objective_  {model.objective_:.12f} nats")
    print(f"  dual_gap_   {model.dual_gap_:.1e} nats: proven, the optimum is at most so far below")
    print(f"  n_iter_     {model.n_iter_[0]}")
    print(f"  solver_     {model.solver_}")


def print_contrast(search, X, y):
    ours = search.best_estimator_
    theirs, messages = fit_and_catch_warnings(
        clone(ours).set_params(classify=LogisticRegression(C=ours["classify"].C)), X, y
    )
    columns = theirs["impute"].transform(X)
    excess = objective(theirs["classify"], columns, y) / ours["classify"].objective_ - 1
    print(f"\nThe same problem by {theirs['classify']}")
    print(f"  {'; '.join(messages) or 'no warning'}")
    print(f"  objective {100 * excess:.2g} % above the certified optimum")


def main():
    wine = load_wine()
    X, y = wine.data, wine.target_names[wine.target]    # string labels
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    spread = X_train.std(axis=0)
    print(f"Wine: {len(y_train)} rows to fit, {len(y_test)} held out, {X.shape[1]} raw columns, "
          f"standard deviations {spread.min():.2g} to {spread.max():.3g}")
    print("Searching over C (the first run of an installation compiles, some seconds) ...\n",
          flush=True)
    search = search_over_C(X_train, y_train)
    print_search(search)
    print_predictions(search, X_test, y_test)
    print_certificate(search.best_estimator_["classify"])
    print_contrast(search, X_train, y_train)


if __name__ == "__main__":
    main()
