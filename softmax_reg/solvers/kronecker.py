"""The change of variables by Kronecker factors, a preconditioner that needs no scaled columns.

At probabilities q_i the Hessian of the mean loss in (W, b) is the sum over rows

    H = sum_i s_i A_i (x) [x_i, 1] [x_i, 1]',     A_i = diag(q_i) - q_i q_i',

where (x) is the Kronecker product (o below is the entrywise one). Replace the mean of the
products by the product of means, the softmax analogue of K-FAC: with A = sum_i s_i A_i, and
mu, Sigma the mean and covariance of x under the weights s_i trace(A_i),

    H ~ A (x) [Sigma + mu mu', mu; mu', 1].

Centring the features at mu, b~ = b + W mu, decouples the intercept: A (x) Sigma for W
and A for b~. With A = U diag(Gamma) U', Sigma = Q diag(Lambda) Q' and the L2 penalty,
H + l2 I is the identity in the variables (V, v) defined by

    W = U (D o V) Q',  D_kj = (Gamma_k Lambda_j + l2)^(-1/2),   b~ = U (Gamma^(-1/2) o v).

Rounding hides eigenvalues of Sigma below p eps of the largest. Such eigenvalues matter where
they exceed l2 (columns of very different scales, weak penalties). Features are then first
divided by r_j = (Sigma_jj + l2 / gamma)^(1/2), where gamma is the largest of Gamma. This turns
Sigma into C and (l2 / gamma) I into P. Then C + P = L L' has a unit diagonal, and

    L^-1 C L^-T = Q diag(m) Q',    L^-1 P L^-T = Q diag(1 - m) Q'.

The basis Q' L^-1 r^-1 takes the place of Q', with
D_kj = (Gamma_k m_j + gamma (1 - m_j))^(-1/2).

A later Sigma is close to diagonal in the eigenvectors of an earlier one: the weights of the
rows change, their geometry does not. Where eigenvectors are costly (p large, few rows), the
first ones are kept and only Lambda is computed anew.

In the binary model A is a number, and the approximation is exact.

References
----------
Martens & Grosse (2015), Optimizing neural networks with Kronecker-factored
approximate curvature, ICML.
"""

import numpy as np
from scipy.linalg import eigh, solve_triangular
from scipy.linalg.lapack import dpotrf

from ..parallel.elementwise import elementwise, minus_outer, times_vector

# Smallest eigenvalue of A that is used, as a fraction of the largest divided by the number of
# classes. A shift common to all classes has the eigenvalue 0.
_CLASS_FLOOR = 1e-3
# Largest penalty relative to the curvature of the classes that is told from a larger one: its
# square root and its quotients are finite. Rows that are all saturated have next to no curvature.
_MAX_PENALTY = 1e200
# Cost of an eigendecomposition of a p x p matrix, over p^3, in flops at the rate of products. Cost
# of an iteration besides its evaluation, in the same unit. Number of iterations that eigenvectors
# of the current covariance save over those of an earlier one.
_EIGEN_FLOPS = 30
_ITERATION_FLOPS = 4e7
_SAVED_ITERATIONS = 10


def _rounding(covariance):
    """Return a bound on the rounding errors of the eigenvalues of a covariance matrix."""
    return len(covariance) * np.finfo(np.float64).eps * np.trace(covariance)


def _eigenbasis(covariance):
    """Return (eigenvalues, eigenvectors as rows); None for those of a diagonal matrix."""
    diagonal = np.diag(covariance)
    if np.abs(covariance - np.diag(diagonal)).max() <= _rounding(covariance):
        return diagonal, None
    eigenvalues, basis = eigh(covariance, driver="evd")
    return eigenvalues, basis.T


def _equilibrated(covariance, penalty):
    """Return (m, basis) of the module's docstring; `penalty` is l2 / gamma, a number or (p,)."""
    covariance = covariance.copy()
    # Nothing depends on the coefficient of a constant column without a penalty.
    is_constant = (np.diag(covariance) <= 0) & (penalty == 0)
    covariance[is_constant, is_constant] = 1.0
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0) + penalty)
    with np.errstate(over="ignore"):
        correlation = covariance / scale / scale[:, np.newaxis]
    # Rounding errors of columns that hardly vary may be far outside of this range.
    np.clip(correlation, -1.0, 1.0, out=correlation)
    # Duplicate columns make the correlation matrix singular. Add a ridge of the size of its
    # rounding errors, and raise the ridge until the matrix factorises.
    ridge = len(scale) * np.finfo(np.float64).eps
    while True:
        factor, failed = dpotrf(
            correlation + np.diag(penalty / scale**2 + ridge), lower=True, clean=True
        )
        if not failed:
            break
        ridge *= 10
    half = solve_triangular(factor, correlation, lower=True, check_finite=False)
    share, basis = eigh(solve_triangular(factor, half.T, lower=True, check_finite=False),
                        driver="evd")
    basis = solve_triangular(factor, basis, lower=True, trans=1, check_finite=False).T
    return np.clip(share, 0.0, 1.0), basis / scale


class KroneckerTransform:
    """The change of variables theta = T v of the module's docstring, for one set of factors.

    The cost is an eigendecomposition of each factor. An application takes
    4 n_rows n_features (n_rows + n_features) flops.

    Parameters
    ----------
    curvature : Curvature
        Kronecker factors. Both may be diagonals.
    l2 : float or array of shape (n_features,)
        Curvature of the penalty.
    fit_intercept : bool
    algebra : HostAlgebra
    previous : KroneckerTransform, optional
        Transform whose eigenvectors of the covariance are used again, if they are orthonormal.
        The covariance is then taken for diagonal in the basis of these eigenvectors.

    Attributes
    ----------
    smallest_deviation, largest_deviation : float
        Smallest and largest standard deviation of the features that vary.
    is_full : bool
        Whether the covariance is a matrix, not its diagonal.
    """

    is_full = True    # pickles of 0.1 lack it

    def __init__(self, curvature, l2, fit_intercept, algebra, previous=None):
        self._product = algebra.product
        self._is_orthonormal = False
        classes, self._mean, covariance = curvature
        self.is_full = covariance.ndim == 2
        deviations = np.sqrt(np.maximum(
            np.diag(covariance) if covariance.ndim == 2 else covariance, 0.0
        ))
        positive = deviations[deviations > 0]
        self.smallest_deviation = positive.min(initial=np.inf)
        self.largest_deviation = positive.max(initial=0.0)
        gamma, self._class_basis = classes, None
        if classes.ndim == 2:
            gamma, self._class_basis = eigh(classes, driver="evd")
        largest = gamma.max() if gamma.max() > 0 else 1.0
        gamma = np.maximum(gamma, _CLASS_FLOOR * largest / len(gamma))
        if covariance.ndim == 1:
            spread, self._feature_basis = np.where(covariance > 0, covariance, 1.0), None
            self._scale = 1 / np.sqrt(gamma[:, np.newaxis] * spread + l2)
        elif np.ndim(l2) == 0 and l2 > 0 and gamma.max() * _rounding(covariance) <= l2:
            self._is_orthonormal = True
            if previous is not None and previous._is_orthonormal:
                self._feature_basis = previous._feature_basis
                spread = self._variances(covariance)
            else:
                spread, self._feature_basis = _eigenbasis(covariance)
            self._scale = 1 / np.sqrt(gamma[:, np.newaxis] * np.maximum(spread, 0.0) + l2)
        else:
            with np.errstate(over="ignore"):
                penalty = np.minimum(l2 / gamma.max(), _MAX_PENALTY)
            share, self._feature_basis = _equilibrated(covariance, penalty)
            self._scale = 1 / np.sqrt(
                gamma[:, np.newaxis] * share + gamma.max() * (1 - share)
            )
        self._intercept_scale = 1 / np.sqrt(gamma) if fit_intercept else np.zeros_like(gamma)
        self._set_resident(algebra)

    def _set_resident(self, algebra):
        """Put the bases where products are quickest."""
        self._classes, self._features = (
            None if basis is None else algebra.resident(basis)
            for basis in (self._class_basis, self._feature_basis)
        )

    def as_plain(self):
        """Return the transform as a dict of C-contiguous arrays and numbers, for `of_plain`."""
        arrays = {
            "mean": self._mean, "class_basis": self._class_basis,
            "feature_basis": self._feature_basis, "scale": self._scale,
            "intercept_scale": self._intercept_scale,
        }
        numbers = {
            "smallest_deviation": float(self.smallest_deviation),
            "largest_deviation": float(self.largest_deviation),
            "is_full": self.is_full, "is_orthonormal": self._is_orthonormal,
        }
        return numbers | {
            name: None if array is None else np.ascontiguousarray(array)
            for name, array in arrays.items()
        }

    @classmethod
    def of_plain(cls, plain, algebra):
        """Return the transform that `as_plain` described.

        plain : dict
        algebra : HostAlgebra
        """
        transform = object.__new__(cls)
        public = ("smallest_deviation", "largest_deviation", "is_full")
        vars(transform).update({
            name if name in public else f"_{name}": value for name, value in plain.items()
        })
        transform._product = algebra.product
        transform._set_resident(algebra)
        return transform

    def _variances(self, covariance):
        """Return the variances of the features along the eigenvectors in use."""
        basis = self._feature_basis
        if basis is None:
            return np.diag(covariance)
        return np.einsum("ij,ij->i", self._product(basis, covariance), basis)

    def apply(self, v):
        """Compute T v: a change of theta from a change of the new variables."""
        scaled = np.empty(v.shape)
        if self._features is None:
            elementwise(np.multiply, v[:, :-1], self._scale, out=scaled[:, :-1])
        else:
            coef = elementwise(np.multiply, v[:, :-1], self._scale)
            self._product(coef, self._features, out=scaled[:, :-1])
        scaled[:, -1] = self._intercept_scale * v[:, -1]
        out = scaled if self._classes is None else self._product(self._classes, scaled)
        out[:, -1] -= times_vector(out[:, :-1], self._mean)
        return out

    def apply_transposed(self, grad):
        """Compute T' g: the gradient in the new variables from that in theta."""
        if self._features is not None:
            centred = np.empty(grad.shape)
            coef = minus_outer(grad[:, :-1], grad[:, -1:], self._mean)
            self._product(coef, self._features.T, out=centred[:, :-1])
            centred[:, -1] = grad[:, -1]
            out = self._turned(centred)
            elementwise(np.multiply, out[:, :-1], self._scale, out=out[:, :-1])
        else:
            out = self._turned(grad)
            elementwise(
                _centred_and_scaled, out[:, :-1], out[:, -1:].copy(), self._mean, self._scale,
                out=out[:, :-1],
            )
        out[:, -1] *= self._intercept_scale
        return out

    def _turned(self, grad):
        """Compute U' grad, a new array."""
        return grad.copy() if self._classes is None else self._product(self._classes.T, grad)


def _centred_and_scaled(matrix, column, row, scale):
    return (matrix - column * row) * scale


def kronecker_transform(objective, theta, previous=None, full=True):
    """Compute the transform at `theta`; one pass over the rows.

    full : bool
        Whether to take the full covariance of the features, if the objective has one.
    previous : KroneckerTransform, optional
        Transform whose eigenvectors are used again where new ones would cost more than the
        iterations that they save.
    """
    iterations = _SAVED_ITERATIONS * (objective.evaluation_flops + _ITERATION_FLOPS)
    if previous is not None and _EIGEN_FLOPS * objective.n_features**3 <= iterations:
        previous = None
    return KroneckerTransform(
        objective.curvature(theta, full), objective.penalty.curvature, objective.fit_intercept,
        objective.algebra, previous,
    )
