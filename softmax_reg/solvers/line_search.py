"""A line search for smooth convex functions that trusts slopes over values."""

import numpy as np

_ARMIJO = 1e-4
_CURVATURE = 0.9
_MAX_TRIALS = 30


def inner(left, right):
    """Compute the inner product without BLAS, whose bits depend on its thread count."""
    return float(np.einsum("kj,kj->", left, right))


def line_search(objective, point, direction, slope, first=1.0, with_hessian=False, single=False):
    """Find a step along `direction` that meets the (approximate) Wolfe conditions.

    Along a line the slope of a convex function only increases. A point where it is
    still negative therefore lies below the start, whatever rounding does to the
    difference of two nearly equal values; only past the minimum do values count.
    There the approximate condition of Hager & Zhang replaces the value test once
    the values agree to rounding. Trial 1 is the step `first`; then the zero of the
    slope is bracketed and approached by safeguarded secants.

    Parameters
    ----------
    objective : Objective
    point : Point
    direction : ndarray, shape of theta
    slope : float < 0
        Directional derivative at `point`.
    first : float, default=1.0
        The step to try first.
    with_hessian : bool, default=False
        Whether the first trial also asks for the Hessian.
    single : bool, default=False
        Whether to evaluate in float32, as `point` was.

    Returns
    -------
    point : Point or None
        None when no acceptable step was found, because of rounding.
    step : float

    References
    ----------
    Hager & Zhang (2005), A new conjugate gradient method with guaranteed
    descent and an efficient line search, SIAM J. Optim. 16(1), section 3.
    """
    options = {"dtype": np.float32} if single else {}
    rounding = 8 * np.finfo(np.float32 if single else np.float64).eps * abs(point.value)
    low, low_slope = 0.0, slope
    high, high_slope = np.inf, np.nan
    step = first
    for trial_number in range(_MAX_TRIALS):
        with np.errstate(over="ignore", invalid="ignore"):
            theta = point.theta + step * direction
            trial = objective.evaluate(
                theta, with_hessian and trial_number == 0, **options
            )
            trial_slope = inner(trial.grad, direction)
        if not (np.isfinite(trial.value) and np.isfinite(trial_slope)):
            high, high_slope = step, np.nan
        else:
            flat = abs(trial_slope) <= -_CURVATURE * slope
            if trial_slope <= 0:
                if flat and trial.value <= point.value + rounding:
                    return trial, step
                low, low_slope = step, trial_slope
            else:
                descends = trial.value <= point.value + _ARMIJO * step * slope
                level = trial.value <= point.value + rounding
                if flat and (descends or level and trial_slope <= -(1 - 2 * _ARMIJO) * slope):
                    return trial, step
                high, high_slope = step, trial_slope
        if np.isinf(high):
            # The slope is falling off slowly, if at all: aim where it would vanish.
            change = (low_slope - slope) / low
            step = np.clip(-slope / change if change > 0 else np.inf, 2 * low, 10 * low)
        else:
            width = high - low
            if width <= 1e-14 * high:
                break
            if np.isnan(high_slope):
                step = low + 0.1 * width
            else:
                secant = low - low_slope * width / (high_slope - low_slope)
                step = np.clip(secant, low + 0.1 * width, high - 0.1 * width)
    return None, 0.0
