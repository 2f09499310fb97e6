"""Standard errors, tests and effects: who votes for whom, or what tells cultivars of wine apart.

The data are `anes96` where statsmodels is installed: 944 voters of the American election of 1996,
their party in seven steps, and five features. Elsewhere they are scikit-learn's wines: two
measurements and an indicator of three cultivars. The script

1. prints the table of a fit without a penalty, contrasts against one class;
2. tests each feature by Wald's statistic, also robust, and by the likelihood ratio;
3. says by how much a feature changes the probability of each class, with intervals;
4. gives intervals of the probabilities of single rows;
5. compares all this with statsmodels' MNLogit where it is installed, and with Stata's numbers;
6. draws coefficients and effects with their intervals, with --output.

Run it by ``python examples/inference.py``.
"""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from figures import parser, save
from sklearn.datasets import load_wine

from softmax_reg import ForestDisplay, MarginalEffectsDisplay, SoftmaxRegression
from softmax_reg.inference import compare

# Numbers of anes96 by Stata 11, from statsmodels' tests.
STATA = {
    "llf": -1461.922747312, "llnull": -1750.34670999, "llr": 576.8479253554,
    "prsquared": 0.1647810465387, "aic": 2995.84549462, "bic": 3170.45003661,
}
PARTIES = ["strong Democrat", "weak Democrat", "leans to Democrats", "independent",
           "leans to Republicans", "weak Republican", "strong Republican"]


class Data(NamedTuple):
    """Rows, labels, names of features, the class to compare with, and columns of 0 and 1."""

    name: str
    X: object
    y: np.ndarray
    features: list
    reference: str
    dummy: list


def wine():
    """Alcohol (%), ash, whether magnesium is above 100; and the cultivar."""
    wine = load_wine()
    column = dict(zip(wine.feature_names, wine.data.T, strict=True))
    X = np.column_stack([column["alcohol"], column["ash"], column["magnesium"] > 100])
    y = np.array(["Barolo", "Grignolino", "Barbera"])[wine.target]
    return Data("wine", X, y, ["alcohol", "ash", "much magnesium"], "Barolo", [2])


def anes96():
    """log(inhabitants + 0.1), own position from left to right, age, education, income; party."""
    from statsmodels.datasets import anes96

    data = anes96.load_pandas()
    labels = np.array([f"{k} {party}" for k, party in enumerate(PARTIES)])
    y = labels[data.endog.astype(int)]
    return Data("anes96", data.exog, y, list(data.exog.columns), labels[0], [])


def print_tests(model, result, data):
    wald = result.wald_test_terms()
    robust = model.inference(data.X, data.y, cov_type="HC1").wald_test_terms()
    print("p-values that a feature has no effect: Wald, robust Wald (HC1), likelihood ratio")
    names = result.feature_names[result.n_intercepts > 0:]
    for j, (shown, name) in enumerate(zip(data.features, names, strict=True)):
        ratio = model.lr_test(data.X, data.y, j)
        print(f"  {shown:<15}{wald[name].pvalue:10.1e}{robust[name].pvalue:10.1e}"
              f"{ratio.pvalue:10.1e}")


def print_effects(effects, data):
    ends = effects.conf_int()
    print("mean change of the probability, with 95 % intervals")
    for k, label in enumerate(effects.class_names):
        for j, name in enumerate(data.features):
            low, high = ends[k, j]
            print(f"  {label:<24}{name:<15}{effects.effects[k, j]:8.3f} [{low:.3f}, {high:.3f}]")


def print_probabilities(result, data):
    found = result.prediction_interval(data.X)
    n_samples = len(data.y)
    print("probability of the true class of three rows, with 95 % intervals")
    for i in (0, n_samples // 3, n_samples - 1):
        k = result.classes.index(data.y[i])
        p, low, high = (part[i, k] for part in found[:3])
        print(f"  {data.y[i]:<24}{p:.3f} [{low:.3f}, {high:.3f}]")


def without_last(data):
    """The result of a fit without the last feature."""
    X = np.asarray(data.X)[:, :-1]
    X = data.X[data.features[:-1]] if hasattr(data.X, "columns") else X
    return SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, data.y).inference(X, data.y)


def print_stata(result):
    print(f"{'':<12}{'this package':>16}{'Stata 11':>18}")
    for name, value in STATA.items():
        print(f"  {name:<10}{getattr(result, name):16.11g}{value:18.11g}")


def differences_from_mnlogit(model, data):
    """{what: largest relative difference from statsmodels' MNLogit}, of arrays by entry."""
    import statsmodels.api as sm

    X, y = data.X, data.y
    labels, codes = np.unique(y, return_inverse=True)
    theirs, robust = (
        sm.MNLogit(codes, sm.add_constant(np.asarray(X))).fit(
            method="newton", disp=0, tol=1e-10, cov_type=cov_type
        ) for cov_type in ("nonrobust", "HC0")
    )
    ours = model.inference(X, y, reference=labels[0])
    pairs = {name: (getattr(ours, name), getattr(theirs, name))
             for name in ("llf", "llnull", "prsquared", "aic", "bic")}
    pairs |= {name: (getattr(ours, name), getattr(theirs, name).T)
              for name in ("params", "bse", "pvalues")}
    ours_robust = model.inference(X, y, reference=labels[0], cov_type="HC0")
    pairs["bse, HC0"] = ours_robust.bse, robust.bse.T
    # "eyex", "dyex" and dummies are left out: statsmodels 0.15 raises a ValueError about shapes.
    for at in ("overall", "mean"):
        for kind in ("dydx", "eydx"):
            effects = ours.marginal_effects(X, at=at, kind=kind)
            margins = theirs.get_margeff(at=at, method=kind)
            pairs[f"{kind}, {at}"] = effects.effects, margins.margeff.T
            pairs[f"{kind}, {at}, bse"] = effects.bse, margins.margeff_se.T
    return {what: np.max(np.abs(one / other - 1)) for what, (one, other) in pairs.items()}


def draw(result, effects, folder):
    import matplotlib

    matplotlib.use("agg")
    save(ForestDisplay.from_result(result, odds_ratios=True).figure_, folder, "odds_ratios.png")
    save(MarginalEffectsDisplay.from_effects(effects).figure_, folder, "effects.png")


def main():
    options = parser(__doc__)
    options.add_argument("--data", choices=["anes96", "wine"], help=(
        "anes96 needs statsmodels; without this argument it is taken where statsmodels is there"
    ))
    arguments = options.parse_args()
    has_statsmodels = find_spec("statsmodels") is not None
    name = arguments.data or ("anes96" if has_statsmodels else "wine")
    data = {"anes96": anes96, "wine": wine}[name]()
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(data.X, data.y)
    result = model.inference(data.X, data.y, reference=data.reference)
    effects = result.marginal_effects(data.X, dummy=data.dummy)
    print(result.summary() + "\n")
    print_tests(model, result, data)
    print()
    print_effects(effects, data)
    print()
    print_probabilities(result, data)
    difference = compare(result, without_last(data)).aic_difference
    print(f"\nAIC with {data.features[-1]} minus AIC without: {difference:.1f}")
    if name == "anes96":
        print()
        print_stata(result)
    if has_statsmodels:
        print("\nlargest relative difference from statsmodels' MNLogit")
        for what, difference in differences_from_mnlogit(model, data).items():
            print(f"  {what:<24}{difference:.1e}")
    if arguments.output:
        draw(result, effects, arguments.output)


if __name__ == "__main__":
    main()
