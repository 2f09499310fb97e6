"""Validation of `penalty_factor`, `groups` and `bounds`, which have entries for features."""

from numbers import Integral, Real

import numpy as np

from .validation import real_array


def check_penalty_factor(penalty_factor, n_features):
    """Return penalty factors as a new non-negative float64 array (n_features,); 1.0 for None."""
    if penalty_factor is None:
        return 1.0
    factor = real_array(
        "penalty_factor", penalty_factor, ensure_all_finite=False, ensure_min_samples=0
    )
    if factor.shape != (n_features,):
        raise ValueError(
            f"penalty_factor must have shape ({n_features},), one factor for each feature, "
            f"got shape {factor.shape}."
        )
    if not np.all(factor >= 0):
        worst = float(factor[~(factor >= 0)][0])
        raise ValueError(
            "penalty_factor must be non-negative (0: not penalised, inf: left out), got "
            f"{worst}."
        )
    return factor


def check_groups(groups, factor, n_features, grouped, n_classes):
    """Return the group number of every feature, in the order of first appearance.

    Parameters
    ----------
    groups : array-like of shape (n_features,) or None
    factor : (n_features,) or 1.0
        Penalty factors, which must agree within a group where they are finite.
    n_features : int
    grouped : bool
    n_classes : int

    Returns
    -------
    groups : (n_features,) int, or None for None
    """
    if groups is None:
        return None
    labels = np.asarray(groups, dtype=object)
    if labels.shape != (n_features,):
        raise ValueError(
            f"groups must have shape ({n_features},), one group for each feature, got shape "
            f"{labels.shape}."
        )
    if not grouped and n_classes > 2:
        raise ValueError(
            "groups needs grouped=True for more than two classes, got grouped=False and "
            f"{n_classes} classes."
        )
    code_of = {}
    codes = np.array([
        code_of.setdefault(_group_name(label), len(code_of)) for label in labels
    ])
    factor = np.broadcast_to(factor, n_features)
    some = np.isfinite(factor)
    low, high = np.full(len(code_of), np.inf), np.full(len(code_of), -np.inf)
    np.minimum.at(low, codes[some], factor[some])
    np.maximum.at(high, codes[some], factor[some])
    if np.any(high > low):
        worst = int((high > low).argmax())
        raise ValueError(
            "penalty_factor must be the same for all features of a group, or inf, got "
            f"{float(low[worst])!r} and {float(high[worst])!r} in group {list(code_of)[worst]!r}."
        )
    return codes


def check_bounds(estimator, n_classes, n_features):
    """Return the bounds of an estimator as two float64 arrays of the shape of coef_.

    None where there are no bounds, or all of them are infinite.

    Raises
    ------
    ValueError
        If they are no pair, do not broadcast to the shape of coef_, or do not hold 0, and for
        parameters that do not go with bounds.
    """
    bounds = estimator.bounds
    if bounds is None:
        return None
    for name, is_given in (("grouped", estimator.grouped),
                           ("groups", estimator.groups is not None),
                           ("solver", estimator.solver != "auto")):
        if is_given:
            raise ValueError(f"bounds do not go with {name}={getattr(estimator, name)!r}.")
    if not isinstance(bounds, (tuple, list, np.ndarray)) or len(bounds) != 2:
        raise ValueError(f"bounds must be a pair (lower, upper), got {bounds!r}.")
    shape = 1 if n_classes == 2 else n_classes, n_features
    out = []
    for name, bound, sign in zip(("lower", "upper"), bounds, (-1, 1), strict=True):
        bound = real_array("bounds", bound, ensure_all_finite=False, ensure_min_samples=0,
                           ensure_min_features=0)
        try:
            bound = np.broadcast_to(bound, shape)
        except ValueError as error:
            raise ValueError(
                f"bounds must broadcast to the shape of coef_, {shape}, got {name} bounds of "
                f"shape {bound.shape}."
            ) from error
        if not np.all(sign * bound >= 0):
            worst = float(bound[~(sign * bound >= 0)][0])
            raise ValueError(
                "bounds must hold 0, lower ones <= 0 and upper ones >= 0, got a bound of "
                f"{worst} in {name}."
            )
        out.append(bound)
    return None if np.all(np.isinf(out)) else tuple(out)


def _group_name(label):
    """Return the label of a group as str or int; raise a ValueError for others."""
    if isinstance(label, str):
        return str(label)
    if isinstance(label, (Integral, np.bool_)) or isinstance(label, Real) and label % 1 == 0:
        return int(label)
    raise ValueError(f"groups must hold integers or names, got {label!r}.")
