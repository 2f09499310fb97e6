"""The change of variables of L-BFGS, and the rule for its renewal.

Kronecker factors cost about as much as an evaluation, and are exact where all rows have the
same probabilities, as at the null model. The covariance of many features costs far more where
evaluations are cheap, as with sparse or few rows: L-BFGS then begins with its diagonal, and takes
the full one if the iterations left, at the rate of the last ones, would cost more. A Hessian
costs as much as many evaluations (`costs`) and is an option for small numbers of parameters only.
A Hessian is computed where both conditions
hold:

- The iterations left to the tolerance, at the rate of the last ones, would cost more than the
  Hessian and the iterations that follow it.
- If the present transform is a Hessian: the gain per iteration of the last iterations is below
  the average gain since that Hessian, whose cost counts as iterations. By the marginal value
  theorem this is the time to renew it.

The gain of an iteration is the decrease of log(suboptimality), as search directions predict it.

References
----------
Charnov (1976), Optimal foraging, the marginal value theorem, Theor. Popul. Biol. 9(2).
"""

from dataclasses import dataclass

import numpy as np

from .costs import iterations_per_covariance, iterations_per_factor, iterations_per_hessian
from .factor import factorisations, fill_null_space
from .kronecker import KroneckerTransform, kronecker_transform

# Number of iterations before the first refresh of the Kronecker factors. The first refresh is
# early because the first factors are mostly those of the null model, far from the optimum.
_FIRST_REFRESH = 10
# Growth factor of the interval between refreshes.
_REFRESH_FACTOR = 3
# Largest ratio of the objective to its value at the last refresh that allows another one.
_REFRESH_BELOW = 0.9
# Number of iterations in the estimate of the present rate.
_WINDOW = 4
# Least number of iterations with Kronecker factors before the rate counts. The first iterations
# are slow because L-BFGS has few pairs.
_FIRST_WINDOW = 10
# Cost of a full covariance, in iterations, up to which L-BFGS takes it from the start.
_FULL_AT_ONCE = 30
# Typical gain of an iteration with Kronecker factors, and with a recent Hessian.
_KRONECKER_GAIN = 0.25
_HESSIAN_GAIN = 1.0
# Largest ratio, in either direction, between the penalty of a reused Hessian and the present one.
_NEAR = 2.0


@dataclass
class CarriedFactors:
    """Factors for the warm start of the next fit, on the same rows with another L2 penalty.

    The next fit modifies this object and releases the Hessian, also for other holders of it.
    """

    kronecker: KroneckerTransform | None = None
    hessian: np.ndarray | None = None
    curvature: np.ndarray | float = 0.0    # curvature of the penalty within `hessian`


class Preconditioner:
    """The change of variables of L-BFGS, and the decisions to renew it.

    Parameters
    ----------
    objective : Objective
    point : Point
        Starting point.
    left : float
        Logarithm of the ratio of the suboptimality at `point`, or a bound, to the tolerance.
    carry : object
        State of the last fit. A `CarriedFactors` is modified; anything else is ignored.

    Attributes
    ----------
    carry : CarriedFactors
        State for the next fit.
    transform : KroneckerTransform or HessianTransform
        Change of variables with ``apply`` and ``apply_transposed``.
    """

    def __init__(self, objective, point, left, carry=None):
        self._objective = objective
        self._price = iterations_per_hessian(objective)
        self._is_exact = False
        self._refresh_after = _FIRST_REFRESH
        self._price_of_full = iterations_per_covariance(objective)
        self.carry = carry if isinstance(carry, CarriedFactors) else CarriedFactors()
        kronecker = self.carry.kronecker
        self._is_full = self._price_of_full <= _FULL_AT_ONCE or (
            kronecker is not None and kronecker.is_full
        )
        iterations = 0.0 if not np.any(point.theta[:, :-1]) else left / _KRONECKER_GAIN
        has_factor = (
            _pays(iterations, iterations_per_factor(objective), left) and self._adapt(point)
        )
        if not has_factor and _pays(iterations, self._price, left):
            has_factor = self._factorise(point)
        if not has_factor:
            self._approximate(point)

    @property
    def deviations(self):
        """Smallest and largest standard deviation of the features by the Kronecker factors.

        Without Kronecker factors the result is (0, inf).
        """
        kronecker = self.carry.kronecker
        if kronecker is None:
            return 0.0, np.inf
        return kronecker.smallest_deviation, kronecker.largest_deviation

    def update(self, point, promise, left):
        """Renew the transform at `point` if this saves time; called once an iteration.

        Parameters
        ----------
        point : Point
        promise : float
            Decrease of the objective that the next direction predicts.
        left : float
            As in `Preconditioner`, at `point`.

        Returns
        -------
        renewed : bool
        """
        self._gains.append(-np.log(max(promise, np.finfo(np.float64).tiny)))
        n = len(self._gains) - 1
        if n < (_WINDOW if self._is_exact else _FIRST_WINDOW):
            return False
        rate = (self._gains[-1] - self._gains[-1 - _WINDOW]) / _WINDOW
        average = (self._gains[-1] - self._gains[0]) / (n + self._price)
        if not self._is_exact or rate < average:
            iterations = left / rate if rate > 0 else np.inf
            if _pays(iterations, self._price, left) and self._factorise(point):
                return True
        is_diagonal = not self._is_exact and not self._is_full
        if is_diagonal and _pays(self._left_at(left), self._price_of_full, left, _KRONECKER_GAIN):
            self._is_full = True
            self._approximate(point)
            return True
        falls = point.value <= _REFRESH_BELOW * self._value
        if self._is_exact or n < self._refresh_after or not falls:
            return False
        self._approximate(point)
        self._refresh_after *= _REFRESH_FACTOR
        return True

    def _left_at(self, left):
        """Return the iterations left at the rate of the last ones, more than for a Hessian.

        Fewer would be misled by a few slow iterations.
        """
        rate = (self._gains[-1] - self._gains[-1 - _FIRST_WINDOW]) / _FIRST_WINDOW
        return left / rate if rate > 0 else np.inf

    def renew(self, point):
        """Compute a transform of the same kind at `point`; Kronecker factors if this fails."""
        if not (self._is_exact and self._factorise(point)):
            self._approximate(point)

    def _factorise(self, point):
        """Compute and factorise the Hessian at `point`; tell whether it has a factor."""
        objective = self._objective
        self.carry.hessian = None    # free its memory for the new one
        hessian = objective.evaluate(point.theta, with_hessian=True).hessian
        fill_null_space(hessian, objective.free_shifts)
        return self._take(point, hessian)

    def _adapt(self, point):
        """Factorise the last fit's Hessian under the present penalty; tell whether it is used."""
        objective = self._objective
        hessian, old = self.carry.hessian, self.carry.curvature
        new = objective.penalty.curvature
        if hessian is None or not np.all((old <= _NEAR * new) & (new <= _NEAR * old)):
            return False
        diagonal = np.einsum("ii->i", hessian).reshape(objective.shape)    # view of hessian
        diagonal[:, :-1] += new - old
        return self._take(point, hessian)

    def _take(self, point, hessian):
        """Factorise `hessian` and use it from now on; tell whether it has a factor."""
        transform = next(factorisations(hessian), None)
        self.carry.hessian = hessian
        self.carry.curvature = self._objective.penalty.curvature
        if transform is None:
            self._price = np.inf
            return False
        self._is_exact = True
        self._restart(point, transform)
        return True

    def _approximate(self, point):
        """Compute Kronecker factors at `point` and use them from now on."""
        objective = self._objective
        kronecker = kronecker_transform(
            objective, point.theta, self.carry.kronecker, self._is_full
        )
        self.carry.kronecker = kronecker
        self._is_exact = False
        self._restart(point, kronecker)

    def _restart(self, point, transform):
        """Use `transform` from `point` on, and forget the gains before."""
        self.transform = transform
        self._value = point.value
        self._gains = []


def _pays(iterations, price, left, gain=_HESSIAN_GAIN):
    """Tell whether a transform at a price, with the iterations after it, costs less than others.

    iterations, price : float
        Number of iterations without the transform, and of those that cost as much as it does.
    gain : float
        Gain of an iteration with it.
    """
    return iterations > price + max(left, 0.0) / gain
