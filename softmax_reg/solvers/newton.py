"""Exact Newton with a dense Hessian, and truncated Newton on Hessian products."""

import numpy as np

from .hessian import fill_null_space, newton_step
from .kronecker import kronecker_transform
from .line_search import inner, line_search

_MAX_CG = 200
# Half a squared decrement of this times what is asked for says that the step to come will
# be the last, and no Hessian needed after it.
_LAST = 1e-2


def newton(objective, point, monitor):
    """Damped Newton with the exact Hessian.

    Cost per iteration: one evaluation with its Hessian (n_samples theta.size^2 flops),
    one Cholesky factorisation (theta.size^3 / 3); rarely further evaluations. Quadratic
    convergence: the last step or two take the duality gap to rounding.

    Returns
    -------
    point : Point
    done : bool
        False when the Hessian did not factorise or rounding stopped the search.
    """
    while monitor.wants_more(point, polish=True):
        hessian = point.hessian
        if hessian is None:    # at the start, and where the last step was not the first tried
            hessian = objective.evaluate(point.theta, with_hessian=True).hessian
        point = point._replace(hessian=None)    # its memory is needed
        fill_null_space(hessian, objective.free_shifts)
        step = newton_step(hessian, point.grad)
        del hessian
        if step is None:
            return point, False
        slope = inner(point.grad, step)
        # A slope that rounding made positive is no sign of an optimum: its size is.
        half_decrement = abs(slope) / 2
        monitor.newton_decrement(point, half_decrement)
        if monitor.status == "separable":
            break
        new = None
        if slope < 0:
            last = half_decrement <= _LAST * monitor.tol * point.value
            new, _ = line_search(objective, point, step, slope, with_hessian=not last)
        if new is None:
            return point, monitor.stalled(point, half_decrement)
        monitor.iterated(point, new, half_decrement)
        point = new
    return point._replace(hessian=None), monitor.status is not None


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


def newton_cg(objective, point, monitor):
    """Truncated Newton: conjugate gradients on Hessian products.

    The inner iterations run in the Kronecker variables, rebuilt at every outer
    iteration. Cost per outer iteration: one curvature pass, one evaluation, and
    6 n_samples n_features n_rows flops per inner iteration. The inner accuracy
    follows the gradient, for superlinear convergence.

    Returns
    -------
    point : Point
    done : bool
        False where it stalled short of the tolerance.
    """
    while monitor.wants_more(point):
        transform = kronecker_transform(objective, point.theta)
        grad = transform.apply_transposed(point.grad)

        def product(v, transform=transform, theta=point.theta):
            return transform.apply_transposed(objective.hess_prod(theta, transform.apply(v)))

        # |grad|^2 / 2 estimates the suboptimality, so this compares like with like.
        relative = inner(grad, grad) / (2 * point.value) if point.value > 0 else 0.0
        v = conjugate_gradients(product, grad, min(0.1, relative**0.25))
        slope = inner(grad, v)
        # A slope that rounding made positive is no sign of an optimum: its size is.
        half_decrement = abs(slope) / 2
        monitor.newton_decrement(point, half_decrement)
        if monitor.status == "separable":
            break
        new = None
        if slope < 0:
            new, _ = line_search(objective, point, transform.apply(v), slope)
        if new is None:
            return point, monitor.stalled(point, half_decrement)
        monitor.iterated(point, new, half_decrement)
        point = new
    return point, monitor.status is not None
