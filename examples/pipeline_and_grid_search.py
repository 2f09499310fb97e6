"""From a table with categories to a decision: pipeline, search, calibration, threshold.

The table is the bundled diabetes study (442 patients, raw units): age group and sex are
categories, some blood values are missing (removed here, as happens in real tables), and the
question is who will be in the worst third a year later. Shows

1. a ColumnTransformer (imputation, one-hot; no scaling) and `SoftmaxRegression` in a Pipeline;
2. GridSearchCV and HalvingGridSearchCV over C and l1_ratio, with the seconds of each;
3. how well the probabilities are calibrated: Brier score and calibration curve;
4. the threshold for a cost: a patient missed costs five times as much as one called in vain.

    python examples/pipeline_and_grid_search.py [--output FOLDER]

Needs pandas (and matplotlib for --output).
"""

import time

import numpy as np
from figures import new_figure, parser, save
from sklearn.base import clone
from sklearn.calibration import CalibrationDisplay
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from softmax_reg import SoftmaxRegression

GRID = {"classify__C": np.geomspace(1e-3, 1e3, 7), "classify__l1_ratio": [0.0, 0.5, 1.0]}
CATEGORIES = ["sex", "age_group"]
MISSED, IN_VAIN = 5, 1    # costs


def load():
    """A data frame with categories and gaps, and "worse" or "better"."""
    try:
        import pandas
    except ImportError:
        raise ImportError("this example needs pandas: python -m pip install pandas") from None
    frame, progression = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    frame["sex"] = frame["sex"].map({1.0: "a", 2.0: "b"})    # which is which is not recorded
    frame["age_group"] = pandas.cut(
        frame.pop("age"), [0, 35, 45, 55, 65, 120], labels=["-35", "-45", "-55", "-65", "66-"]
    ).astype(str)
    rng = np.random.default_rng(0)
    for column in ("s3", "s5"):
        frame.loc[rng.random(len(frame)) < 0.1, column] = np.nan
    worst = progression > progression.quantile(2 / 3)
    return frame, np.where(worst, "worse", "better")


def pipeline(frame):
    numbers = [column for column in frame if column not in CATEGORIES]
    return Pipeline([
        ("columns", ColumnTransformer([
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ])),
        ("classify", SoftmaxRegression()),
    ])


def searched(search, X, y):
    """The fitted search; its seconds are printed."""
    started = time.perf_counter()
    search.fit(X, y)
    seconds = time.perf_counter() - started
    best = ", ".join(f"{name.split('__')[1]} = {value:.3g}"
                     for name, value in search.best_params_.items())
    print(f"{type(search).__name__}: {best}, log loss {-search.best_score_:.4f} nats in "
          f"cross-validation, {seconds:.1f} s")
    return search


def cost(y_true, y_pred):
    """Mean cost of a patient, by the prices above."""
    (_, in_vain), (missed, _) = confusion_matrix(y_true, y_pred, labels=["better", "worse"])
    return (MISSED * missed + IN_VAIN * in_vain) / len(y_true)


def draw(folder, model, base_rate, thresholds, X, y):
    figure, axes = new_figure(9, 4, ncols=2)
    CalibrationDisplay.from_predictions(
        y, model.predict_proba(X)[:, 1], pos_label="worse", n_bins=6, strategy="quantile",
        ax=axes[0], name="SoftmaxRegression",
    )
    axes[0].axhline(base_rate, color="0.6", linewidth=0.8, label="share of all fitted patients")
    axes[0].legend(loc="lower right")
    axes[0].set(title="calibration, held-out patients", xlabel='predicted probability of "worse"',
                ylabel='share that was "worse"')
    grid = np.linspace(0, 1, 201)
    costs = [cost(y, np.where(model.predict_proba(X)[:, 1] >= t, "worse", "better")) for t in grid]
    axes[1].plot(grid, costs)
    for (name, threshold), style in zip(thresholds.items(), ("--", ":"), strict=True):
        axes[1].axvline(threshold, color="black", linestyle=style,
                        label=f"{name}: {threshold:.2f}")
    axes[1].set(title="cost of a threshold, held-out patients", ylabel="mean cost of a patient",
                xlabel='"worse" from this probability on')
    axes[1].legend(loc="upper center")
    save(figure, folder, "calibration_and_threshold.png")


def main():
    given = parser(__doc__).parse_args()
    frame, y = load()
    X_train, X_test, y_train, y_test = train_test_split(
        frame, y, test_size=0.3, stratify=y, random_state=0
    )
    print(f"{len(X_train)} patients to fit, {len(X_test)} held out; categories {CATEGORIES}, "
          f"{X_train.isna().to_numpy().sum()} values missing")
    model = pipeline(frame)
    clone(model).fit(X_train, y_train)    # compiles
    options = {"scoring": "neg_log_loss", "cv": 5}
    search = searched(GridSearchCV(model, GRID, **options), X_train, y_train)
    searched(
        HalvingGridSearchCV(model, GRID, min_resources=100, random_state=0, **options),
        X_train, y_train,
    )
    best = search.best_estimator_
    fit = best["classify"]
    print(f"best model: {np.count_nonzero(fit.coef_)} of {fit.coef_.size} coefficients, "
          f"certified {fit.dual_gap_ / fit.objective_:.0e} from its optimum")

    print("\nheld-out patients           log loss (nats)     Brier score")
    dummy = DummyClassifier().fit(X_train, y_train)
    for name, fitted in (("class shares alone", dummy), ("best model", best)):
        proba = fitted.predict_proba(X_test)
        print(f"  {name:20}  {log_loss(y_test, proba):18.3f}  "
              f"{brier_score_loss(y_test, proba[:, 1], pos_label='worse'):14.3f}")

    tuned = TunedThresholdClassifierCV(
        best, scoring=make_scorer(cost, greater_is_better=False), cv=5
    ).fit(X_train, y_train)
    print(f"\nA patient missed costs {MISSED}, one called in vain {IN_VAIN}")
    for name, fitted in (("most probable class", best), ("tuned threshold", tuned)):
        print(f"  {name:20} mean cost {cost(y_test, fitted.predict(X_test)):.3f}")
    expected = IN_VAIN / (IN_VAIN + MISSED)
    print(f"  tuned to {tuned.best_threshold_:.2f}; calibrated probabilities ask for "
          f"{IN_VAIN} / ({IN_VAIN} + {MISSED}) = {expected:.2f}")
    if given.output:
        thresholds = {"tuned": tuned.best_threshold_, "from the costs": expected}
        draw(given.output, best, np.mean(y_train == "worse"), thresholds, X_test, y_test)


if __name__ == "__main__":
    main()
