"""The log-likelihood with Jeffreys' prior (Firth's penalty), its score and information.

Let d be the contrasts of all classes against the first, l(d) the log-likelihood and I(d) its
Fisher information. The function to minimise is, in nats,

    f(d) = -l(d) - 1/2 log det I(d)

Row i has the weight s_i, the columns x_i (with a 1 for the intercept) and the probabilities q_i;
V_i = diag(q_i) - q_i q_i' without the first class, so I = sum_i s_i V_i kron x_i x_i'. The
determinant adds to the score of logit a of row i

    s_i A_ia = s_i / 2 sum_bc M_i,bc dV_i,bc / dz_ia,    M_i,bc = x_i' [I^-1]_bc x_i

and the third moments of the multinomial distribution give, for all classes (M is 0 for the first),

    A_ia = q_ia / 2 (u_ia - sum_b q_ib u_ib),    u_i = diag(M_i) - 2 M_i q_i

A shift of the columns, where there is an intercept, and another first class change I by factors of
determinant 1 or -1. A nonsingular map of the columns adds a constant to f.

References
----------
Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80(1). Bull, Mak &
Greenwood (2002), A modified score function estimator for multinomial logistic regression in small
samples, Computational Statistics & Data Analysis 39(1). Kosmidis & Firth (2009), Bias reduction in
exponential family nonlinear models, Biometrika 96(4).
"""

from typing import NamedTuple

import numpy as np

from ..solvers.factor import HessianTransform, factorisations
from ..solvers.separation import largest_move
from .contrasts import complements
from .information import (
    Information,
    check_constant,
    check_size,
    first_dependent,
    free_index,
)
from .scores import Scores


class JeffreysPoint(NamedTuple):
    """The function evaluated at free contrasts `x`; in nats, sums over all rows.

    Attributes
    ----------
    x : (n_free,)
    theta : (n_rows, n_features + 1)
        Parameters of the objective.
    value : float
        -l - 1/2 log det I; inf where I is singular to rounding.
    grad : (n_free,)
    loss : float
        Mean loss, -l / S for the total weight S.
    log_det : float
        log det I of all contrasts, fixed ones included.
    information : (t, t)
        I of all contrasts.
    factor : HessianTransform
        Factor of the rows and columns of I that belong to free contrasts.
    """

    x: np.ndarray
    theta: np.ndarray
    value: float
    grad: np.ndarray | None = None
    loss: float = np.inf
    log_det: float = -np.inf
    information: np.ndarray | None = None
    factor: HessianTransform | None = None

    @property
    def distance(self):
        """Estimated distance from the optimum in standard errors, sqrt(g' I^-1 g)."""
        if self.factor is None:
            return np.inf
        return float(np.linalg.norm(self.factor.apply_transposed(self.grad)))

    @property
    def rounding(self):
        """Bound on the rounding errors of `value`: eps / pivot in the logarithm of a pivot."""
        half = self.log_det / 2
        size = abs(self.value + half) + abs(half) + (1 / self.factor.pivots).sum()
        return 8 * np.finfo(np.float64).eps * size


class JeffreysLikelihood:
    """f(d) of an objective, as a function of its free contrasts.

    Parameters
    ----------
    objective : Objective
        Without a penalty; X in memory on the host, every class has weight.
    total_weight : float, S
    features : list of str
        For messages.
    fixed : sequence of int
        Indices of features whose contrasts stay 0. The determinant is that of all contrasts,
        as in profile likelihoods.

    Raises
    ------
    ValueError
        If columns are constant, or there are too many parameters.
    """

    def __init__(self, objective, total_weight, features, fixed=()):
        self.objective = objective
        self.total_weight = total_weight
        self._features = features
        self._index = free_index(objective)
        check_size(len(self._index))
        check_constant(objective, features)
        self._shape = max(1, objective.n_rows - 1), objective.n_features + objective.fit_intercept
        is_free = ~np.isin(np.arange(self._shape[1]), fixed)
        self._free = np.flatnonzero(np.tile(is_free, self._shape[0]))

    @property
    def n_evaluations(self):
        """Number of passes over the rows so far, of any kind."""
        return self.objective.passes.n

    def x_of(self, theta):
        """Return the free contrasts of parameters of the objective."""
        contrasts = theta[1:] - theta[0] if len(theta) > 1 else theta
        return contrasts[:, :self._shape[1]].ravel()[self._free]

    def theta_of(self, x):
        """Return the parameters of the objective, (n_rows, n_features + 1)."""
        contrasts = np.zeros(np.prod(self._shape))
        contrasts[self._free] = x
        theta = np.zeros(self.objective.shape)
        theta[-self._shape[0]:, :self._shape[1]] = contrasts.reshape(self._shape)
        return theta - theta.mean(axis=0) if len(theta) > 1 else theta

    @property
    def n_fixed(self):
        """Number of contrasts that stay 0."""
        return len(self._index) - len(self._free)

    def at(self, coef, intercept):
        """Return the `JeffreysPoint` of coef_ and intercept_, float64."""
        return self.evaluate(self.x_of(self.objective.from_coef(coef, intercept)))

    def evaluate(self, x):
        """Return the `JeffreysPoint` at free contrasts x; three passes.

        The cost is about 4 n_samples t^2 flops, for t contrasts.
        """
        theta = self.theta_of(x)
        point = self.objective.evaluate(theta)
        information = self.total_weight * self.objective.hessian(theta, self._index)
        whole = _factor(information)
        if whole is None or not np.isfinite(point.value):
            return JeffreysPoint(x, theta, np.inf)
        free, factor = self._free, whole
        if 0 < len(free) < len(information):
            factor = _factor(information[np.ix_(free, free)])
        root = whole.half_solve(np.eye(len(information)))
        grad = self.total_weight * point.loss_grad[-self._shape[0]:, :self._shape[1]]
        grad -= self._log_det_grad(theta, root.T @ root) / 2
        value = self.total_weight * point.loss - whole.log_det / 2
        return JeffreysPoint(
            x, theta, value, grad.ravel()[free], point.loss, whole.log_det, information, factor
        )

    def largest_move(self, step):
        """Return the largest change of a logit's distance to the label's, by a change of x."""
        return largest_move(self.objective, self.theta_of(step))

    def _log_det_grad(self, theta, inverse):
        """Return the gradient of log det I in all contrasts, (n_contrasts, n_columns); one pass.

        inverse : (t, t), I^-1
        """
        self.objective.passes.n += 1
        n_contrasts, width = self._shape
        own = np.einsum("bmbk->bmk", inverse.reshape(self._shape * 2))    # [I^-1]_bb
        out, others = np.zeros(self._shape), 1.0 - np.eye(n_contrasts)
        scores = Scores(self.objective, theta)
        for design, proba, weight in scores.blocks():
            q, rest = proba[:, 1:], complements(proba)[:, 1:]
            # (M_i q_i)_b = x_i' [I^-1 (q_i kron x_i)]_b
            products = q[:, :, np.newaxis] * design[:, np.newaxis, :]
            products = products.reshape(len(design), -1) @ inverse
            u = np.einsum("nbm,nm->nb", products.reshape(-1, n_contrasts, width), design)
            u *= -2.0
            u += np.einsum("bnm,nm->nb", design @ own, design)
            # q (u - sum_b q_b u_b) would cancel for q near 1, where I^-1 is large.
            of_class = q * u
            change = of_class * rest - q * (of_class @ others)
            # I^-1 is that of the sums over all rows, weights here sum to 1.
            out += ((self.total_weight * weight)[:, np.newaxis] * change).T @ design
        return out

    def information_at(self, theta):
        """Return the `Information` at parameters of the objective, and l + 1/2 log det I.

        Raises
        ------
        ValueError
            If the information is singular.
        """
        point = self.evaluate(self.x_of(theta))
        if point.factor is None:
            self._refuse_collinear(theta)
        hessian = point.information / self.total_weight
        factor = next(factorisations(hessian))
        grad = point.grad / self.total_weight
        found = Information(hessian, factor, grad, point.distance, float(len(hessian)))
        return found, -point.value

    def start(self):
        """Return the point of the model without features.

        Raises
        ------
        ValueError
            If the information is singular there, so that it is everywhere: columns are linear
            combinations of others.
        """
        point = self.evaluate(self.x_of(self.objective.null_point.theta))
        if point.factor is None:
            self._refuse_collinear(point.theta)
        return point

    def _refuse_collinear(self, theta):
        hessian = self.objective.hessian(theta, self._index)
        factor = next(factorisations(hessian), None) if np.isfinite(hessian).all() else None
        which = "" if factor is None else first_dependent(
            factor, self._features, self.objective.fit_intercept
        )
        n_samples, width = self.objective.n_samples, self._shape[1]
        if self.objective.rows.offset is not None:
            which += " Or offsets leave probabilities of 0 and 1."
        raise ValueError(
            "prior='jeffreys' needs columns of X that are no linear combinations of others, or "
            f"of the intercept, or nearly so, among the rows of positive weight: with {n_samples} "
            f"rows and {width} coefficients of a class, the Fisher information is singular."
            f"{which} Leave columns out, or use a finite C and no prior."
        )


def _factor(information):
    """Return the `HessianTransform` of the information; None where it is singular to rounding."""
    if not np.isfinite(information).all():
        return None
    factor = next(factorisations(information), None)
    return factor if factor is not None and factor.is_regular else None
