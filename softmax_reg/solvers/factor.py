"""The dense Hessian: its null space, its Cholesky factor and a change of variables."""

import numpy as np
from scipy.linalg.blas import dtrmv
from scipy.linalg.lapack import dpotrs, dtrtrs

from ..parallel.cholesky import cholesky
from ..parallel.elementwise import elementwise

# Ridges to add in turn to the Hessian, scaled to a unit diagonal, until it factorises. A ridge
# slows convergence only along directions of less curvature than itself.
_RIDGES = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)

# Squared pivot of a Hessian scaled to a unit diagonal up to which rounding affects the factor.
SINGULAR = 1e-11


def fill_null_space(hessian, shifts):
    """Add curvature along the shifts that leave all probabilities as they are.

    A shift common to the intercepts of all classes, or to all classes' coefficients of an
    unpenalised feature, changes no probability. The gradient has no component along it, so the
    step has none either, and sums over the classes stay zero.

    hessian : (m, m), modified in place
    shifts : iterable of arrays of int
        Indices of the parameters of each shift; see `Objective.free_shifts`.
    """
    for index in shifts:
        hessian[index[:, np.newaxis], index] += hessian[index, index].sum() / len(index)**2


class HessianTransform:
    """The change of variables theta = T v with T' H T = I; H = D R'R D, T = D^-1 R^-1.

    Parameters
    ----------
    factor : (m, m), R in the upper triangle
    scale : (m,), the diagonal of D^-1
    has_flat : bool
        Whether diagonal entries of H are zero, in place of which the factor has ones.
    """

    def __init__(self, factor, scale, has_flat=False):
        self._factor = factor
        self._scale = scale
        self._has_flat = has_flat

    @property
    def is_regular(self):
        """Whether H is positive definite beyond rounding."""
        return not self._has_flat and self.least_pivot > SINGULAR

    @property
    def pivots(self):
        """Squared diagonal of R: the share of each parameter that those before it leave open."""
        return self._factor.diagonal() ** 2

    @property
    def least_pivot(self):
        """Smallest squared diagonal entry of R.

        The scaled Hessian, whose diagonal is 1, is singular to rounding where this is a few eps.
        """
        return float(self.pivots.min())

    @property
    def log_det(self):
        """Logarithm of the determinant of H, or of H with the ridge that was added."""
        return float(np.log(self.pivots).sum() - 2 * np.log(self._scale).sum())

    def apply(self, v):
        """Compute T v: a change of theta from a change of the new variables."""
        solution, _ = dtrtrs(self._factor, v.ravel())
        return (self._scale * solution).reshape(v.shape)

    def whitened(self, change):
        """Compute T^-1 d: a change of the new variables from a change of theta."""
        return dtrmv(self._factor, change.ravel() / self._scale).reshape(change.shape)

    def apply_transposed(self, grad):
        """Compute T' g: the gradient in the new variables from that in theta."""
        solution, _ = dtrtrs(self._factor, self._scale * grad.ravel(), trans=1)
        return solution.reshape(grad.shape)

    def half_solve(self, columns):
        """Compute T' C for a matrix C, (m, n); C' H^-1 C is the Gram matrix of the result."""
        solution, _ = dtrtrs(self._factor, self._scale[:, np.newaxis] * columns, trans=1)
        return solution

    def solve_columns(self, columns):
        """Compute H^-1 C for a matrix C, (m, n)."""
        scale = self._scale[:, np.newaxis]
        solution, _ = dpotrs(self._factor, scale * columns, lower=False)
        return scale * solution

    def solve(self, grad):
        """Compute H^-1 g."""
        solution, _ = dpotrs(self._factor, self._scale * grad.ravel(), lower=False)
        return (self._scale * solution).reshape(grad.shape)


def factorisations(hessian):
    """Yield a `HessianTransform` for every ridge that allows a factor, from the smallest.

    The Hessian is scaled to a unit diagonal first, so that a ridge has the same effect on every
    parameter, whatever its unit.
    """
    diagonal = hessian.diagonal()
    is_positive = diagonal > 0
    scale = 1 / np.sqrt(np.where(is_positive, diagonal, 1.0))
    with np.errstate(invalid="ignore"):    # callers check steps from a Hessian that overflowed
        scaled = elementwise(_scaled, hessian, scale, scale[:, np.newaxis])
    for ridge in _RIDGES:
        np.einsum("ii->i", scaled)[:] = 1.0 + ridge    # also for parameters without effect
        factor, failed = cholesky(scaled)
        if not failed and np.isfinite(factor.diagonal()).all():
            yield HessianTransform(factor, scale, not is_positive.all())


def _scaled(matrix, row, column):
    """Compute matrix * row * column, by two products in this order."""
    out = matrix * row
    out *= column
    return out


def newton_step(hessian, grad):
    """Return -H^-1 g, or None if no factorisation gives a finite one."""
    for transform in factorisations(hessian):
        step = -transform.solve(grad)
        if np.isfinite(step).all():
            return step
    return None
