"""Proximal Newton on a working set of features, for penalties with kinks."""

import numpy as np

from .hessian import fill_null_space
from .quadratic import DenseModel, minimise_model
from .working_set import WorkingSet

# Its Hessian takes 512 MiB.
MAX_SIZE = 8192
_ARMIJO = 1e-4
_MAX_HALVINGS = 40
# How well a model is minimised follows from what the last iteration gained: roughly far
# out, else to rounding.
_ACCURACY = 1e-16, 1e-3
_ROUGH_ABOVE = 1e-6
_ROUGHLY = {"sweeps": 128, "rounds": 6, "newton_steps": 6}
_CLOSELY = {"sweeps": 128, "rounds": 200, "newton_steps": 1000}
# Newton's method cannot end at a norm's kink: groups on their way out are for descent.
_GROUPS_CLOSELY = {"sweeps": 128, "rounds": 200, "newton_steps": 6}


def proximal_newton(objective, point, monitor):
    """Minimise a smooth convex loss plus an L1, elastic net or grouped penalty.

    Every iteration minimises the second-order model of the loss plus the penalty itself over
    the working set (`working_set`, `quadratic`), and searches along the way there. Cost per
    iteration: one evaluation of all features, one of the working set with its Hessian
    (n_samples m^2 flops for m parameters in it), and m^2 per pass of descent. Quadratic
    convergence; any descent of the model is enough for convergence at all.

    Returns
    -------
    point : Point
    done : bool
        False when the working set has too many parameters, or rounding stopped the search.

    References
    ----------
    Lee, Sun & Saunders (2014), Proximal Newton-type methods for minimizing composite
    functions, SIAM J. Optim. 24(3), algorithm 1.
    """
    working = WorkingSet(objective)
    progress = 1.0
    while monitor.wants_more(point):
        working.update(point)
        some = working.objective
        if some.n_rows * (some.n_features + 1) > MAX_SIZE:
            return point, False
        start = working.gather(point.theta)
        here = some.evaluate(start, with_hessian=True)
        fill_null_space(here.hessian, some.n_rows, some.unpenalised_columns)
        accuracy = float(np.clip(progress**2, *_ACCURACY))
        closely = _GROUPS_CLOSELY if objective.penalty.grouped else _CLOSELY
        effort = _ROUGHLY if accuracy > _ROUGH_ABOVE else closely
        # What overflows gives a point that is no lower.
        with np.errstate(over="ignore", invalid="ignore"):
            model = DenseModel(
                objective.backend, here.hessian, here.grad, working.threshold,
                objective.penalty.grouped,
            )
            minimum = minimise_model(model, start, accuracy=accuracy, **effort)
        del here, model
        progress = abs(minimum.decrease) / max(point.value, np.finfo(np.float64).tiny)
        monitor.newton_decrement(point, abs(minimum.decrease))
        if monitor.status == "separable":
            break
        new = None
        if np.any(minimum.x != start):
            new = search(objective, point, working.scatter(minimum.x), minimum.slope)
        if new is None:
            return point, monitor.stalled(point, abs(minimum.decrease))
        monitor.iterated(point, new, abs(minimum.decrease))
        point = new
    return point, monitor.status is not None


def search(objective, point, end, slope):
    """The first of the steps 1, 1/2, 1/4, ... towards `end` that lowers the objective enough.

    None if there is none. Where the slope is within rounding, values that tie are enough: the
    duality gap of an L1 penalty has digits to gain when the objective has none.
    """
    rounding = 8 * objective.eps * abs(point.value)
    step, theta = 1.0, end    # at step 1 what the model sets to zero is zero
    for _ in range(_MAX_HALVINGS):
        with np.errstate(over="ignore", invalid="ignore"):
            new = objective.evaluate(theta)
        asked = _ARMIJO * step * slope if -slope > rounding else rounding
        if new.value <= point.value + asked:
            return new
        step /= 2
        theta = point.theta + step * (end - point.theta)
    return None
