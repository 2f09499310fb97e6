"""A line search for smooth convex functions, robust to rounding errors of their values."""

import numpy as np

from ..parallel.elementwise import elementwise, inner

# Constants of the Wolfe conditions: least decrease, as a fraction of the slope's, and largest
# slope at the end, as a fraction of that at the start.
_ARMIJO = 1e-4
_CURVATURE = 0.9
# Largest number of evaluations.
_MAX_TRIALS = 30


def _moved(theta, step, direction):
    return theta + step * direction


def line_search(objective, point, direction, slope, first=1.0, with_hessian=False, single=False):
    """Find a step along `direction` that meets the (approximate) Wolfe conditions.

    Along a line the slope of a convex function only increases. Where the slope is still
    negative the function is therefore below its start, whatever the rounding errors of two
    nearly equal values. Values are compared only past the minimum. Where they agree to
    rounding there, the approximate condition of Hager & Zhang replaces Armijo's. The first
    trial is the step `first`. Further trials bracket the zero of the slope and approach it by
    safeguarded secants.

    Parameters
    ----------
    objective : Objective
    point : Point
    direction : ndarray, shape of theta
    slope : float < 0
        Directional derivative at `point`.
    first : float, default=1.0
        First trial of the step.
    with_hessian : bool, default=False
        Whether to compute the Hessian at the first trial.
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
    step, last_moved = first, None
    for trial_number in range(_MAX_TRIALS):
        with np.errstate(over="ignore", invalid="ignore"):
            theta = elementwise(_moved, point.theta, step, direction)
            trial = objective.evaluate(
                theta, with_hessian and trial_number == 0, **options
            )
            trial_slope = inner(trial.grad, direction)
        moved = "high"
        if not (np.isfinite(trial.value) and np.isfinite(trial_slope)):
            high, high_slope = step, np.nan
        else:
            flat = abs(trial_slope) <= -_CURVATURE * slope
            if trial_slope <= 0:
                if flat and trial.value <= point.value + rounding:
                    return trial, step
                low, low_slope, moved = step, trial_slope, "low"
            else:
                descends = trial.value <= point.value + _ARMIJO * step * slope
                level = trial.value <= point.value + rounding
                if flat and (descends or level and trial_slope <= -(1 - 2 * _ARMIJO) * slope):
                    return trial, step
                high, high_slope = step, trial_slope
        if np.isinf(high):
            # The slope is still negative: extrapolate it linearly to zero.
            change = (low_slope - slope) / low
            step = np.clip(-slope / change if change > 0 else np.inf, 2 * low, 10 * low)
        else:
            width = high - low
            if width <= 1e-14 * high:
                break
            if np.isnan(high_slope) or moved == last_moved == "high":
                # Near a kink the secant stays close to the far end.
                step = low + 0.1 * width
            elif moved == last_moved:
                step = low + 0.5 * width
            else:
                secant = low - low_slope * width / (high_slope - low_slope)
                step = np.clip(secant, low + 0.1 * width, high - 0.1 * width)
        last_moved = moved
    return None, 0.0
