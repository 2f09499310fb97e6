"""Proximal Newton on a working set of features, for penalties with kinks or bounds."""

from dataclasses import dataclass, replace

import numpy as np

from .costs import MAX_NEWTON_SIZE, is_stored, largest_working_set, steps_per_hessian
from .quadratic import DenseModel, minimise_model
from .working_set import WorkingSet

# Constant of the Armijo condition, and largest number of halvings of a step.
_ARMIJO = 1e-4
_MAX_HALVINGS = 40
# Range of the relative accuracy of a model's minimum: the square of the last relative decrease.
# Accuracy above which limits on the effort are low. Limits of `minimise_model` with an old
# Hessian, for a rough and for an accurate minimum.
_ACCURACY = 1e-16, 1e-3
_ROUGH_ABOVE = 1e-6
_QUICKLY = {"sweeps": 2, "rounds": 6, "newton_steps": 6}
_ROUGHLY = {"sweeps": 128, "rounds": 6, "newton_steps": 6}
_CLOSELY = {"sweeps": 128, "rounds": 200, "newton_steps": 1000}
# Limits for an accurate minimum with groups. Newton steps are few because they cannot end at the
# kink of a norm: only descent removes groups.
_GROUPS_CLOSELY = {"sweeps": 128, "rounds": 200, "newton_steps": 6}
# With bounds: a Newton step that ends at many bounds gains little, and costs a factorisation.
_BOUNDS_CLOSELY = {"sweeps": 16, "rounds": 200, "newton_steps": 2}

# Typical ratio of the suboptimality before and after a step with a new Hessian. An old Hessian is
# reused as long as its steps gain as much per unit of cost.
_GAIN = 1e4
# Largest relative decrease of the objective that counts as rounding.
_ROUNDING = 16 * np.finfo(np.float64).eps
# Largest ratio, in either direction, between the thresholds of two fits that share a Hessian.
_NEAR = 2.0


@dataclass
class CarriedHessian:
    """Hessian of the loss and the smooth part of the penalty, for the next fit of a path.

    The next fit releases the Hessian, also for other holders of this object.
    """

    hessian: np.ndarray | None = None
    members: np.ndarray | None = None    # `WorkingSet.members`
    penalty: object = None


def proximal_newton(objective, point, monitor, carry=None):
    """Minimise a smooth convex loss plus an L1, elastic net or grouped penalty.

    Every iteration minimises the second-order model of the loss plus the penalty itself over
    the working set (`working_set`, `quadratic`), and then searches along the line to the minimum.
    Cost per iteration: one evaluation of all features, one of the working set with its Hessian
    (n_samples m^2 flops for m parameters in the set), and m^2 flops per pass of descent.
    Convergence is quadratic if models are minimised accurately, and holds for any decrease of
    them. A Hessian is reused, also by the next fit of a path, as long as its steps gain enough.

    Returns
    -------
    point : Point
    done : bool
        False where the working set has too many parameters for this solver, or rounding
        stopped the search short of the tolerance.
    carry : CarriedHessian or None
        For the next fit, with another penalty.

    References
    ----------
    Lee, Sun & Saunders (2014), Proximal Newton-type methods for minimizing composite
    functions, SIAM J. Optim. 24(3), algorithm 1.
    """
    members, held = _inherited(objective, carry)
    working = WorkingSet(objective, by_feature=objective.penalty.grouped, members=members)
    if held.hessian is not None:
        working.add_curvature(held.hessian, objective.penalty.curvature - held.penalty.curvature)
    point, done = _iterated(objective, point, monitor, working, held)
    if held.hessian is None:
        return point, done, None
    return point, done, CarriedHessian(held.hessian, working.members, objective.penalty)


def _iterated(objective, point, monitor, working, held):
    """Iterate from `point`; return (point, done) as in `proximal_newton`.

    held : CarriedHessian
        Hessian of the working set, if there is one; updated in place.
    """
    most = MAX_NEWTON_SIZE if monitor.is_last else largest_working_set(objective)
    progress, last, was_whole = 1.0, np.inf, True
    while monitor.wants_more(point):
        # Nothing enters after a shortened step. The gradient there is far from that at the
        # minimum over the set, and would let too many coefficients enter.
        if was_whole and working.update(point):
            held.hessian = None
        start = working.gather(point.theta)
        if start.size > most:
            return point, False
        grad = working.gather(point.grad)
        new = None
        if held.hessian is not None:
            minimum = _minimum(
                objective, working, held.hessian, grad, start, _ACCURACY[1], _QUICKLY
            )
            steps = steps_per_hessian(objective, start.size)
            # The gap may still fall when the objective has reached rounding, but only by
            # exact steps.
            rounding = _ROUNDING * point.value
            if rounding < abs(minimum.decrease) <= last * _GAIN ** (-1 / (1 + steps)):
                new = _searched(objective, point, working, start, minimum)
        if new is None:
            held.hessian = None    # free its memory for the new one
            held.hessian = working.hessian(point.theta)
            accuracy = float(np.clip(progress**2, *_ACCURACY))
            minimum = _minimum(objective, working, held.hessian, grad, start, accuracy)
        last = abs(minimum.decrease)
        progress = last / max(point.value, np.finfo(np.float64).tiny)
        monitor.newton_decrement(point, last, working.scatter(minimum.x - start))
        if monitor.status == "separable":
            break
        if new is None:
            new = _searched(objective, point, working, start, minimum)
        if new is None and not was_whole:
            was_whole = True    # let coefficients enter, and try again
            continue
        if new is None:
            return point, monitor.stalled(point, last)
        if not (objective.is_penalised and is_stored(objective, start.size)):
            held.hessian = None
        was_whole = np.array_equal(working.gather(new.theta), minimum.x)
        monitor.iterated(point, new, last)
        point = new
    return point, monitor.status is not None


def _inherited(objective, carry):
    """Return the initial members, or None, and the `CarriedHessian` to start with.

    Members and Hessian are those of the last fit if it had a similar penalty, and None otherwise.
    A `CarriedHessian` in `carry` loses its Hessian.
    """
    if not isinstance(carry, CarriedHessian):    # nothing, or the state of another solver
        return None, CarriedHessian()
    held = replace(carry)
    carry.hessian = None
    old, new = held.penalty, objective.penalty
    is_near = np.all((old.threshold <= _NEAR * new.threshold)
                     & (new.threshold <= _NEAR * old.threshold))
    return (held.members, held) if is_near else (None, CarriedHessian())


def _minimum(objective, working, hessian, grad, start, accuracy, effort=None):
    """Minimise the model around `start` by `effort`; without one, by the limits for `accuracy`."""
    closely = _GROUPS_CLOSELY if objective.penalty.grouped else _CLOSELY
    if objective.penalty.bounds is not None:
        closely = _BOUNDS_CLOSELY
    if effort is None:
        effort = _ROUGHLY if accuracy > _ROUGH_ABOVE else closely
    # An overflow gives inf or NaN, which is never a lower value.
    with np.errstate(over="ignore", invalid="ignore"):
        model = DenseModel(
            objective.algebra, hessian, grad, working.threshold, working.blocks, working.bounds
        )
        return minimise_model(model, start, accuracy=accuracy, **effort)


def _searched(objective, point, working, start, minimum):
    """Search from `point` towards a model's minimum; return the new `Point`, or None."""
    if not np.any(minimum.x != start):
        return None
    return search(objective, point, working.scatter(minimum.x), minimum.slope)


def search(objective, point, end, slope):
    """Return the `Point` of the first step towards `end` that lowers the objective enough.

    The steps are 1, 1/2, 1/4, ...; None if there is no such step. The Armijo condition asks for a
    fraction of `slope`, a `ModelMinimum.slope`. Where the slope is within rounding, an equal value
    is enough: the duality gap of an L1 penalty may still fall when the objective cannot.
    """
    rounding = 8 * np.finfo(np.float64).eps * abs(point.value)
    step, theta = 1.0, end    # step 1 keeps the zeros of `end` exact
    for _ in range(_MAX_HALVINGS):
        with np.errstate(over="ignore", invalid="ignore"):
            new = objective.evaluate(theta)
        asked = _ARMIJO * step * slope if -slope > rounding else rounding
        if new.value <= point.value + asked:
            return new
        step /= 2
        theta = point.theta + step * (end - point.theta)
    return None
