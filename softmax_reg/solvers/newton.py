"""Exact Newton with a dense Hessian, and truncated Newton on Hessian products."""

import numpy as np

from .factor import factorisations, fill_null_space
from .kronecker import KroneckerTransform, kronecker_transform
from .line_search import inner, line_search

_MAX_CG = 200
# Fraction of the tolerance below which half the squared decrement shows that the next step is
# the last, and needs no Hessian after it.
_LAST = 1e-2
# First trial of a step, as a multiple of the last step.
_GROWTH = 2.0
# Squared pivot, of a unit diagonal, up to which rounding affects a factor, and largest number of
# iterations of conjugate gradients that refine its step.
_SINGULAR = 1e-11
_MAX_REFINEMENTS = 20


def newton(objective, point, monitor, carry=None):
    """Minimise by damped Newton steps with the exact Hessian.

    Cost per iteration: one evaluation with its Hessian (n_samples theta.size^2 flops),
    one Cholesky factorisation (theta.size^3 / 3); rarely further evaluations. Quadratic
    convergence: the last step or two take the duality gap to rounding.

    A step is tried first at twice the length of the last. The first trial comes with its Hessian
    if that of the last iteration was accepted: where steps have to be shortened or lengthened,
    the Hessian waits for the accepted one.

    Returns
    -------
    point : Point
        With its Hessian if the last evaluation gave it.
    done : bool
        False when the Hessian did not factorise or rounding stopped the search.
    carry : object
        As it was given.
    """
    length, foresees = 1.0, True
    while monitor.wants_more(point, polish=True):
        hessian = point.hessian
        if hessian is None:    # at the start, and where a trial came without it
            hessian = objective.evaluate(point.theta, with_hessian=True).hessian
        point = point._replace(hessian=None)    # its memory is needed
        fill_null_space(hessian, objective.free_shifts)
        step = _newton_step(objective, point, hessian)
        del hessian
        if step is None:
            return point, False, carry
        slope = inner(point.grad, step)
        # The size of the slope, not its sign, shows an optimum: rounding may make it positive.
        half_decrement = abs(slope) / 2
        monitor.newton_decrement(point, half_decrement, step)
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
    """Return -H^-1 g, or None if no factorisation gives a finite one.

    Without a penalty, rounding of nearly collinear columns may leave the Hessian singular while
    Hessian products are still accurate. Conjugate gradients, preconditioned by the factor, then
    refine the step, with one pass over the rows in each iteration.
    """
    for transform in factorisations(hessian):
        if objective.is_penalised or transform.least_pivot > _SINGULAR:
            step = -transform.solve(point.grad)
        else:
            step = _truncated_step(objective, point, transform, _MAX_REFINEMENTS)
        if np.isfinite(step).all():
            return step
    return None


def _truncated_step(objective, point, transform, max_iter):
    """Compute -H^-1 g by conjugate gradients in the variables of `transform`.

    The accuracy follows the gradient, for superlinear convergence.
    """
    grad = transform.apply_transposed(point.grad)

    def product(v):
        return transform.apply_transposed(objective.hess_prod(point.theta, transform.apply(v)))

    # |grad|^2 / 2 estimates the suboptimality, so this compares like with like.
    relative = inner(grad, grad) / (2 * point.value) if point.value > 0 else 0.0
    v = conjugate_gradients(product, grad, min(0.1, relative**0.25), max_iter)
    return transform.apply(v)


def conjugate_gradients(product, grad, reduction, max_iter=_MAX_CG):
    """Solve H x = -grad until the residual is `reduction` times the right side.

    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.1, for H positive
    semidefinite; stops early along a direction without curvature.
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
        if squared <= enough:
            break
        search = -residual + squared / previous * search
    return x


def newton_cg(objective, point, monitor, carry=None, max_inner=_MAX_CG):
    """Minimise by truncated Newton: conjugate gradients on Hessian products.

    The inner iterations run in the Kronecker variables. Cost per outer iteration: one
    evaluation, 6 n_samples n_features n_rows flops per inner iteration, and a curvature pass
    where the variables are rebuilt.

    Parameters
    ----------
    carry : KroneckerTransform, optional
        Variables of all iterations. Without one they are rebuilt at every outer iteration.
    max_inner : int
        Largest number of inner iterations of an outer one.

    Returns
    -------
    point : Point
    done : bool
        False where it stalled short of the tolerance.
    carry : object
        As it was given.
    """
    given = carry if isinstance(carry, KroneckerTransform) else None
    while monitor.wants_more(point):
        transform = given or kronecker_transform(objective, point.theta)
        step = _truncated_step(objective, point, transform, max_inner)
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
