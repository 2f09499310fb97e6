"""Standard errors, tests and effects: what tells three cultivars of wine apart.

Two measurements and an indicator of scikit-learn's wine data. The script

1. prints the table of a fit without a penalty, contrasts against one cultivar;
2. tests each feature by Wald's statistic, also robust, and by the likelihood ratio;
3. says by how much a feature changes the probability of each cultivar, with intervals;
4. gives intervals of the probabilities of single wines.

Run it by ``python examples/inference.py``.
"""

import numpy as np
from sklearn.datasets import load_wine

from softmax_reg import SoftmaxRegression
from softmax_reg.inference import compare

FEATURES = ["alcohol", "ash", "much magnesium"]


def data():
    """Alcohol (%), ash, whether magnesium is above 100; and the cultivar."""
    wine = load_wine()
    column = dict(zip(wine.feature_names, wine.data.T, strict=True))
    X = np.column_stack([column["alcohol"], column["ash"], column["magnesium"] > 100])
    return X, np.array(["Barolo", "Grignolino", "Barbera"])[wine.target]


def print_tests(model, result, X, y):
    robust = model.inference(X, y, cov_type="HC1").wald_test_terms()
    print("p-values that a feature has no effect: Wald, robust Wald (HC1), likelihood ratio")
    for j, name in enumerate(FEATURES):
        wald, ratio = result.wald_test_terms()[f"x{j}"], model.lr_test(X, y, j)
        print(f"  {name:<15}{wald.pvalue:10.1e}{robust[f'x{j}'].pvalue:10.1e}{ratio.pvalue:10.1e}")


def print_effects(result, X):
    effects = result.marginal_effects(X, dummy=[2])
    ends = effects.conf_int()
    print("mean change of the probability, with 95 % intervals")
    for k, label in enumerate(effects.class_names):
        for j, name in enumerate(FEATURES):
            low, high = ends[k, j]
            print(f"  {label:<12}{name:<15}{effects.effects[k, j]:8.3f} [{low:.3f}, {high:.3f}]")


def print_probabilities(result, X, y):
    found = result.prediction_interval(X)
    print("probability of the true cultivar of three wines, with 95 % intervals")
    for i in (0, 60, 150):
        k = result.classes.index(y[i])
        p, low, high = (part[i, k] for part in found[:3])
        print(f"  {y[i]:<12}{p:.3f} [{low:.3f}, {high:.3f}]")


def main():
    X, y = data()
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y)
    result = model.inference(X, y, reference="Barolo")
    print(result.summary() + "\n")
    print_tests(model, result, X, y)
    print()
    print_effects(result, X)
    print()
    print_probabilities(result, X, y)
    smaller = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :2], y).inference(X[:, :2], y)
    difference = compare(result, smaller).aic_difference
    print(f"\nAIC with magnesium minus AIC without: {difference:.1f}")


if __name__ == "__main__":
    main()
