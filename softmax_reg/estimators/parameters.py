"""Parameters that the estimators share: their constraints, and the arguments of `Problem`."""

from numbers import Integral, Real

import numpy as np

from ..rows.choice import DEVICES, PRECISIONS
from ..solvers import SOLVERS
from .feature_options import check_bounds, check_groups, check_penalty_factor
from .scikit_learn import Interval, StrOptions

# Constraints of `SoftmaxRegression`, as scikit-learn writes them.
CONSTRAINTS = {
    "C": [Interval(Real, 0, None, closed="right")],
    "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "fit_intercept": ["boolean"],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "random_state": ["random_state"],
    "solver": [StrOptions({"auto", *SOLVERS})],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "grouped": ["boolean"],
    "device": [StrOptions(set(DEVICES))],
    "precision": [StrOptions(set(PRECISIONS))],
    "penalty_factor": ["array-like", None],
    "groups": ["array-like", None],
    "label_smoothing": [Interval(Real, 0, 1, closed="both")],
    "bounds": ["array-like", None],
    "prior": [StrOptions({"jeffreys"}), None],
}
# Parameters that a cross-validation and its models have in common.
SHARED = ("tol", "fit_intercept", "class_weight", "random_state", "solver", "max_iter",
          "grouped", "penalty_factor", "groups", "device", "precision", "label_smoothing",
          "bounds")


def check_l1_ratios(l1_ratios, solver):
    """Raise a ValueError unless these are numbers from 0 to 1 that go with the solver."""
    ratios = np.asarray(l1_ratios)
    numeric = ratios.ndim == 1 and ratios.size > 0 and ratios.dtype.kind in "iuf"
    if not (numeric and np.all((ratios >= 0) & (ratios <= 1))):
        raise ValueError(
            "l1_ratios must be an array-like of numbers between 0 and 1; "
            f"got (l1_ratios={l1_ratios!r})"
        )
    if solver != "auto" and np.any(ratios != 0):
        raise ValueError(
            f"solver={solver!r} minimises smooth penalties only, got "
            f"l1_ratios={l1_ratios!r}. Use solver='auto'."
        )


def problem_options(estimator, data):
    """Return the checked arguments of `Problem` that do not depend on C and l1_ratio.

    Parameters
    ----------
    estimator : estimator with the parameters of `SHARED`
    data : TrainingData
    """
    n_features = data.X.shape[1]
    factor = check_penalty_factor(estimator.penalty_factor, n_features)
    return {
        "fit_intercept": estimator.fit_intercept, "grouped": estimator.grouped,
        "penalty_factor": factor,
        "groups": check_groups(
            estimator.groups, factor, n_features, estimator.grouped, len(data.classes)
        ),
        "bounds": check_bounds(estimator, len(data.classes), n_features),
        "device": estimator.device, "precision": estimator.precision,
    }
