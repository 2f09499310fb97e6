"""Exact Newton with a dense Hessian, and truncated Newton on Hessian products."""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from .kronecker import kronecker_transform
from .line_search import inner, line_search

# Added to the unit diagonal of the scaled Hessian, in turn, until it factorises:
# it slows only directions of less curvature than that.
_RIDGES = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
_MAX_CG = 200
# Half a squared decrement of this times what is asked for says that the step to come will
# be the last, and no Hessian needed after it.
_LAST = 1e-2


def fill_null_space(hessian, n_rows, columns):
    """Add curvature along the shifts that leave all probabilities as they are.

    Moving every class's intercept (or, unpenalised, every class's weight of one
    feature) by the same amount changes nothing. The gradient has no component
    there, so the step has none either, and W keeps summing to zero over classes.

    columns : iterable of int
        Of theta: the intercept, and the features without a penalty.
    """
    if n_rows == 1:
        return
    width = len(hessian) // n_rows
    blocks = hessian.reshape(n_rows, width, n_rows, width)
    for j in columns:
        blocks[:, j, :, j] += np.trace(blocks[:, j, :, j]) / n_rows**2


def newton_step(hessian, grad):
    """-H^-1 g by Cholesky on the diagonally scaled Hessian, or None if that fails.

    Scaling to a unit diagonal makes the ridge mean the same for every column,
    whatever its units.
    """
    diagonal = np.diag(hessian)
    is_positive = diagonal > 0
    scale = 1 / np.sqrt(np.where(is_positive, diagonal, 1.0))
    with np.errstate(invalid="ignore"):    # an overflown Hessian gives no finite step
        scaled = hessian * scale
        scaled *= scale[:, np.newaxis]
    for ridge in _RIDGES:
        np.fill_diagonal(scaled, is_positive + ridge)
        # LAPACK itself: SciPy's functions around it take as long as a small factor. In its
        # order of axes the lower triangle is the upper one.
        factor, failed = dpotrf(scaled.T, lower=False, clean=False)
        if failed:
            continue
        solution, _ = dpotrs(factor, scale * grad.ravel(), lower=False)
        step = -scale * solution
        if np.isfinite(step).all():
            return step.reshape(grad.shape)
    return None


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
        fill_null_space(hessian, objective.n_rows, objective.unpenalised_columns)
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
