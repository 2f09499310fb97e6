"""The Hessian at the fitted parameters, and the checks that they are an optimum."""

from dataclasses import dataclass

import numpy as np

from ..problem.penalty import L2Penalty
from ..solvers.factor import SINGULAR, HessianTransform, factorisations
from ..solvers.separation import MOVED, is_separated, largest_move
from .scores import Scores

# Largest number of parameters whose Hessian is computed, as for the solvers.
MAX_PARAMETERS = 8192


@dataclass(frozen=True)
class Information:
    """The mean loss around a theta, in the contrasts of `coding` on centred columns.

    Attributes
    ----------
    hessian : (t, t)
        Hessian of the mean loss, without the penalty.
    factor : HessianTransform
        Factor of the Hessian of the mean loss with the penalty.
    grad : (t,)
        Gradient of the mean loss with the penalty.
    newton_decrement : float
        sqrt(S g' H^-1 g) for the gradient g and Hessian H of the mean loss with the penalty and
        the total weight S. To second order, no estimate is further from the optimum than this
        number times its standard error (Cauchy-Schwarz). With Jeffreys' prior g is the gradient
        with it, and H, which lacks its second derivatives, is near that of the whole.
    edf : float
        Effective degrees of freedom, the trace of H^-1 times the Hessian without the penalty.
    """

    hessian: np.ndarray
    factor: HessianTransform
    grad: np.ndarray
    newton_decrement: float
    edf: float


def information_at(objective, point, total_weight, names):
    """Compute the `Information`; one pass for the Hessian, and one to rule out separation.

    Parameters
    ----------
    objective : Objective
        With an L2 penalty or none.
    point : Point
    total_weight : float, S
    names : (classes, features)
        For messages.

    Raises
    ------
    ValueError
        If there are too many parameters, classes can be separated, a column is a linear
        combination of others, or `point` is far from the optimum.
    """
    index = free_index(objective)
    check_size(len(index))
    check_constant(objective, names[1])
    unpenalised = objective.with_penalty(L2Penalty(0.0))
    hessian = unpenalised.hessian(point.theta, index)
    whole = hessian + _penalty_hessian(objective)
    factor = next(factorisations(whole), None) if np.isfinite(whole).all() else None
    is_singular = factor is None or not factor.is_regular
    if is_singular:
        _refuse_separated(objective, point, None, names[0])
        _refuse_collinear(objective, factor, names[1])
    grad = _contrast(point.grad)[:, _columns(objective)].ravel()
    step = np.zeros(point.theta.size)
    step[index] = -factor.solve(grad)
    step = step.reshape(point.theta.shape)
    decrement = np.sqrt(total_weight) * np.linalg.norm(factor.apply_transposed(grad))
    if not (objective.penalty.is_strict or largest_move(objective, step) < MOVED):
        _refuse_separated(objective, point, step, names[0])
    edf = float(len(index))
    if objective.penalty.l2 > 0:
        edf = float(np.trace(factor.solve_columns(hessian)))
    return Information(hessian, factor, grad, float(decrement), edf)


def check_size(n_parameters):
    """Raise a ValueError if there are too many parameters for a Hessian."""
    if n_parameters > MAX_PARAMETERS:
        gib = 8 * n_parameters**2 / 2**30
        raise ValueError(
            f"This needs the Hessian of all (n_classes - 1) (n_features + 1) = "
            f"{n_parameters} parameters, of {gib:.3g} GiB; up to {MAX_PARAMETERS} are possible. "
            "Leave out features, or join classes."
        )


def check_constant(objective, features):
    """Raise a ValueError if columns are constant, so that nothing depends on their coefficients.

    features : list of str
    """
    constant = np.flatnonzero(objective.coordinates.is_constant)
    if len(constant):
        why = "the intercept has the same effect" if objective.fit_intercept else "it is zero"
        raise ValueError(
            f"The columns {[features[j] for j in constant[:10]]} of X are constant among the "
            f"rows of positive weight ({why}), so their coefficients have no estimates. "
            "Leave them out."
        )


def _columns(objective):
    """Return the columns of theta that are free."""
    return slice(None) if objective.fit_intercept else slice(-1)


def free_index(objective):
    """Return the index in theta.ravel() of the contrasts against the first class."""
    all_of_them = np.arange(np.prod(objective.shape)).reshape(objective.shape)
    return _but_first(all_of_them)[:, _columns(objective)].ravel()


def _but_first(rows):
    return rows[1:] if len(rows) > 1 else rows


def _contrast(grad):
    """Return the gradient in the contrasts, from that in theta: theta sums to 0 over classes."""
    return grad[1:] - grad.mean(axis=0) if len(grad) > 1 else grad


def _penalty_hessian(objective):
    """Return the Hessian of the penalty in the contrasts.

    For K > 2 classes the coefficients sum to zero at the optimum, and are E d for the contrasts
    d, with E'E = I - 11'/K.
    """
    row = np.broadcast_to(objective.penalty.curvature, objective.n_features)
    row = np.append(row, 0.0)[_columns(objective)]
    n_rows = objective.n_rows
    among_classes = np.eye(n_rows - 1) - 1 / n_rows if n_rows > 1 else np.eye(1)
    return np.kron(among_classes, np.diag(row))


def _refuse_separated(objective, point, step, classes):
    """Raise a ValueError if the classes can be separated by unpenalised parameters, provably.

    step : (n_rows, n_features + 1), a Newton step, or None
        Moves the rows that are separated.
    """
    if objective.penalty.is_strict or not is_separated(objective, point):
        return
    which = ""
    if step is not None and objective.on_host() is not None:
        pairs = Scores(objective, point.theta).moved_pairs(step, MOVED)
        which = ", ".join(f"{classes[k]!r} and {classes[m]!r}" for k, m in pairs[:10])
        which = f" Rows of these classes are told apart: {which}."
    raise ValueError(
        "The classes can be separated, at least in part, by coefficients without a penalty, as a "
        "proof shows: the likelihood has no maximum, and there are no standard errors."
        f"{which} Use prior='jeffreys', or a finite C with cov_type='bayes' or 'frequentist', or "
        "leave out the features that separate."
    )


def first_dependent(factor, features, fit_intercept):
    """Return a sentence that names the first column that depends on others, or "".

    factor : HessianTransform
        Factor of a singular Hessian in the contrasts.
    """
    # The column of the first small pivot depends on those before it.
    small = factor.pivots <= SINGULAR
    if not small.any():
        return ""
    place = int(np.argmax(small)) % (len(features) + fit_intercept)
    return f" {features[place]!r} depends on columns before it." if place < len(features) else ""


def _refuse_collinear(objective, factor, features):
    which = "" if factor is None else first_dependent(factor, features, objective.fit_intercept)
    raise ValueError(
        "The Hessian is singular, so there are no standard errors: columns of X are linear "
        f"combinations of others, or of the intercept, or nearly so.{which} Or the classes can "
        "be separated, which is not proven; or offsets leave only probabilities of 0 and 1. "
        "Leave columns out, or use a finite C with cov_type='bayes' or 'frequentist'."
    )
