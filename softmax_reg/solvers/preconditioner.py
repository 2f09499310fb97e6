"""The change of variables that L-BFGS runs in, and when it is taken anew.

Kronecker factors cost about as much as an evaluation and are exact where all rows have the
same probabilities, as at the start. The Hessian itself costs as much as many evaluations
(`costs`), and so few parameters allow it; then it pays where

- what is left to the tolerance, at the rate of the last iterations, would cost more than it
  and the iterations that follow one, and
- once there is one: the last iterations gained less each than all since then on average, it
  counted with them. That is when to move on, by the marginal value theorem.

Gains are in the logarithm of the suboptimality that the search direction promises.

References
----------
Charnov (1976), Optimal foraging, the marginal value theorem, Theor. Popul. Biol. 9(2).
"""

from dataclasses import dataclass

import numpy as np

from .costs import iterations_per_hessian
from .factor import factorisations, fill_null_space
from .kronecker import KroneckerTransform, kronecker_transform

# Kronecker factors are taken anew after so many iterations: early, since the first are of
# equal probabilities, then ever more rarely, and only where the objective has fallen to this
# fraction of what it was at the last time.
_FIRST_REFRESH = 10
_REFRESH_FACTOR = 3
_REFRESH_BELOW = 0.9
# Iterations that tell the present rate; the first ones are slow for want of pairs.
_WINDOW = 4
_FIRST_WINDOW = 10
# Typical gains of an iteration in Kronecker variables and in those of a recent Hessian.
_KRONECKER_GAIN = 0.25
_HESSIAN_GAIN = 1.0
# A Hessian of a fit whose penalty was up to so many times as strong, or as weak, will do.
_NEAR = 2.0


@dataclass
class CarriedFactors:
    """What one fit leaves to the next, of the same rows with another L2 penalty.

    The next fit uses it up: whoever still holds it does not hold the Hessian's memory.
    """

    kronecker: KroneckerTransform | None = None
    hessian: np.ndarray | None = None
    curvature: np.ndarray | float = 0.0    # curvature of the penalty in `hessian`


class Preconditioner:
    """A transform with ``apply`` and ``apply_transposed``, and when to renew it.

    Parameters
    ----------
    objective : Objective
    point : Point
        Where to start.
    left : float
        Logarithm of the suboptimality there, or a bound, over what is asked for.
    carry : object
        What the last fit left; a `CarriedFactors` is used up.

    Attributes
    ----------
    carry : CarriedFactors
        What this fit leaves.
    transform : KroneckerTransform or HessianTransform
    """

    def __init__(self, objective, point, left, carry=None):
        self._objective = objective
        self._price = iterations_per_hessian(objective)
        self._is_exact = False
        self._refresh_after = _FIRST_REFRESH
        self.carry = carry if isinstance(carry, CarriedFactors) else CarriedFactors()
        is_null = not np.any(point.theta[:, :-1])
        if is_null or not self._pays(left / _KRONECKER_GAIN, left):
            self._approximate(point)
        elif not (self._adapt(point) or self._factorise(point)):
            self._approximate(point)

    @property
    def deviations(self):
        """Least and largest standard deviation of the features, if Kronecker factors told."""
        kronecker = self.carry.kronecker
        if kronecker is None:
            return 0.0, np.inf
        return kronecker.smallest_deviation, kronecker.largest_deviation

    def update(self, point, promise, left):
        """Renew it at `point` where that pays; to be called once an iteration.

        Parameters
        ----------
        promise : float
            By how much the next direction promises to lower the objective.
        left : float

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
            if self._pays(iterations, left) and self._factorise(point):
                return True
        falls = point.value <= _REFRESH_BELOW * self._value
        if self._is_exact or n < self._refresh_after or not falls:
            return False
        self._approximate(point)
        self._refresh_after *= _REFRESH_FACTOR
        return True

    def renew(self, point):
        """Take the same kind at `point`."""
        if not (self._is_exact and self._factorise(point)):
            self._approximate(point)

    def _pays(self, iterations, left):
        """Whether a Hessian costs less than so many iterations without."""
        return iterations > self._price + max(left, 0.0) / _HESSIAN_GAIN

    def _factorise(self, point):
        """Take the Hessian, unless it has no factor."""
        objective = self._objective
        self.carry.hessian = None    # its memory is needed
        hessian = objective.evaluate(point.theta, with_hessian=True).hessian
        fill_null_space(hessian, objective.free_shifts)
        return self._take(point, hessian)

    def _adapt(self, point):
        """Take the Hessian of the last fit, with the penalty of this one."""
        objective = self._objective
        hessian, old = self.carry.hessian, self.carry.curvature
        new = objective.penalty.curvature
        if hessian is None or not np.all((old <= _NEAR * new) & (new <= _NEAR * old)):
            return False
        diagonal = np.einsum("ii->i", hessian).reshape(objective.shape)    # a view
        diagonal[:, :-1] += new - old
        return self._take(point, hessian)

    def _take(self, point, hessian):
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
        objective = self._objective
        kronecker = kronecker_transform(objective, point.theta, self.carry.kronecker)
        self.carry.kronecker = kronecker
        self._is_exact = False
        self._restart(point, kronecker)

    def _restart(self, point, transform):
        self.transform = transform
        self._value = point.value
        self._gains = []
