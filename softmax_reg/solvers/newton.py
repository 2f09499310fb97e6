"""Exact Newton with a dense Hessian, and truncated Newton on Hessian products."""

import numpy as np

from ..parallel.elementwise import inner
from .costs import iterations_per_covariance
from .factor import SINGULAR, factorisations, fill_null_space
from .kronecker import KroneckerTransform, kronecker_transform
from .line_search import line_search

# Largest number of iterations of conjugate gradients in a step of truncated Newton.
_MAX_CG = 200
# Cost of a full covariance, in evaluations, up to which it preconditions an outer iteration of
# truncated Newton; beyond, its diagonal does.
_FULL_WITHIN = 100
# Half the squared decrement, as a fraction of the tolerance, below which the next step is taken
# for the last, whose end needs no Hessian.
_LAST = 1e-2
# First trial of a step, at most 1, as a multiple of the last step.
_GROWTH = 2.0
# Largest number of iterations of conjugate gradients that refine the step from a factor with a
# pivot of at most SINGULAR.
_MAX_REFINEMENTS = 20
# Largest ratio of residual to gradient of a step whose decrement decides on convergence, over the
# root of the tolerance in nats. Along a direction that separates classes the gradient g and the
# curvature are equal but for a constant. A residual of g hides a decrement of about g there.
_WHOLE = 0.1


def newton(objective, point, monitor, carry=None):
    """Minimise by damped Newton steps with the exact Hessian.

    Cost per iteration: one evaluation with its Hessian (n_samples theta.size^2 flops),
    one Cholesky factorisation (theta.size^3 / 3); rarely further evaluations. Quadratic
    convergence: the last step or two take the duality gap to rounding.

    The first trial of a step has twice the length of the last step, at most 1. The trial computes
    the Hessian, too, if the last iteration accepted its first trial. Otherwise the Hessian is
    computed at the accepted point only.

    Returns
    -------
    point : Point
        With its Hessian if the last evaluation gave it.
    done : bool
        False where the Hessian did not factorise, or rounding stopped the search short of the
        tolerance.
    carry : object
        The argument, unchanged.
    """
    length, foresees = 1.0, True
    while monitor.wants_more(point, polish=True):
        hessian = objective.hessian_of(point)
        point = point._replace(hessian=None)    # its memory is needed
        fill_null_space(hessian, objective.free_shifts)
        is_flat = np.any(point.grad.ravel()[hessian.diagonal() <= 0])
        step, is_exact = _newton_step(objective, point, hessian)
        del hessian
        if step is None:
            return point, False, carry
        slope = inner(point.grad, step)
        # The size of the slope, not its sign, shows an optimum: rounding may make it positive. A
        # gradient without curvature, where all rows are saturated, promises any decrease.
        half_decrement = np.inf if is_flat else abs(slope) / 2
        monitor.newton_decrement(point, half_decrement, step, is_exact and not is_flat)
        if monitor.status == "separable":
            break
        new = None
        if slope < 0:
            last = half_decrement <= _LAST * monitor.tol * point.value
            first = min(1.0, _GROWTH * length)
            new, length = line_search(
                objective, point, step, slope, first, foresees and not last
            )
            foresees = length == first
        if new is None:
            return point, monitor.stalled(point, half_decrement), carry
        monitor.iterated(point, new, half_decrement)
        point = new
    return point, monitor.status is not None, carry


def _newton_step(objective, point, hessian):
    """Return -H^-1 g, or None if no factorisation gives a finite one, and whether it is exact.

    Without a penalty, rounding of nearly collinear columns may leave the Hessian singular while
    Hessian products are still accurate. Conjugate gradients, preconditioned by the factor, then
    refine the step, with one pass over the rows in each iteration.
    """
    for transform in factorisations(hessian):
        is_exact = transform.least_pivot > SINGULAR
        if objective.is_penalised or is_exact:
            step = -transform.solve(point.grad)
        else:
            step = _truncated_step(objective, point, transform, _MAX_REFINEMENTS)
        if np.isfinite(step).all():
            return step, is_exact
    return None, False


def _truncated_step(objective, point, transform, max_iter, most=0.1):
    """Compute -H^-1 g by conjugate gradients in the variables of `transform`.

    The accuracy increases as the gradient falls, for superlinear convergence. The residual is at
    most `most` times the gradient.
    """
    grad = transform.apply_transposed(point.grad)

    def product(v):
        return transform.apply_transposed(objective.hess_prod(point.theta, transform.apply(v)))

    # In these variables the Hessian is near the identity, so |grad|^2 / 2 estimates the
    # suboptimality, in nats like the objective.
    relative = inner(grad, grad) / (2 * point.value) if point.value > 0 else 0.0
    v = conjugate_gradients(product, grad, min(most, relative**0.25), max_iter)
    return transform.apply(v)


def conjugate_gradients(product, grad, reduction, max_iter=_MAX_CG):
    """Solve H x = -grad until the norm of the residual is `reduction` times that of grad.

    The residual's square must also be that small beside the decrement -grad' x: with a poor
    preconditioner grad is large along directions that promise little, and hides the others.

    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.1, for H positive
    semidefinite. A search direction without curvature ends the iterations; if it is the first
    one, it is the result.
    """
    x = np.zeros_like(grad)
    residual = grad.copy()
    search = -residual
    squared = inner(residual, residual)
    enough = reduction**2 * squared
    for _ in range(max_iter):
        image = product(search)
        curvature = inner(search, image)
        if curvature <= np.finfo(np.float64).eps * inner(search, search):
            return x if np.any(x) else search
        step = squared / curvature
        x += step * search
        residual += step * image
        previous, squared = squared, inner(residual, residual)
        if squared <= min(enough, reduction**2 * -inner(grad, x)):
            break
        search = -residual + squared / previous * search
    return x


def newton_cg(objective, point, monitor, carry=None, max_inner=_MAX_CG):
    """Minimise by truncated Newton: conjugate gradients on Hessian products.

    The inner iterations run in the variables of a `KroneckerTransform`. Cost per outer
    iteration: one evaluation, 6 n_samples n_features n_rows flops per inner iteration, and a
    pass for the transform where `carry` gives none.

    Parameters
    ----------
    carry : KroneckerTransform, optional
        Change of variables for all iterations. Without one, each outer iteration computes one.
    max_inner : int
        Largest number of inner iterations of an outer one.

    Returns
    -------
    point : Point
    done : bool
        False where rounding stopped the search short of the tolerance.
    carry : object
        The argument, unchanged.
    """
    given = carry if isinstance(carry, KroneckerTransform) else None
    is_full = iterations_per_covariance(objective) <= _FULL_WITHIN
    while monitor.wants_more(point):
        transform = given or kronecker_transform(objective, point.theta, full=is_full)
        step = _truncated_step(objective, point, transform, max_inner)
        slope = inner(point.grad, step)
        enough = monitor.tol * point.value
        if not objective.is_penalised and abs(slope) / 2 <= enough:
            # The decrement decides here, and a residual may hide most of it.
            most = _WHOLE * np.sqrt(enough)
            step = _truncated_step(objective, point, transform, max_inner, most)
            slope = inner(point.grad, step)
        # The size of the slope, not its sign, shows an optimum: rounding may make it positive.
        half_decrement = abs(slope) / 2
        monitor.newton_decrement(point, half_decrement, step)
        if monitor.status == "separable":
            break
        new = None
        if slope < 0:
            new, _ = line_search(objective, point, step, slope)
        if new is None:
            return point, monitor.stalled(point, half_decrement), carry
        monitor.iterated(point, new, half_decrement)
        point = new
    return point, monitor.status is not None, carry
