"""Fits of several small problems at once, each for several C."""

import numpy as np

from ..solvers.newton_together import MAX_PASSES, newton_together
from .family import MAX_LOGITS, Family, suits_family

# Smallest tolerance that fits together are asked for.
_LEAST_TOL = 1e-12
# Smallest number of fits that take less time together, with starts from the null model, than one
# after another, with warm starts.
_FEWEST = 3


def suits_together(solver, Cs, tol, max_iter):
    """Return whether these arguments let small problems be fitted together."""
    in_time = max_iter >= MAX_PASSES and tol >= _LEAST_TOL
    return solver == "auto" and in_time and bool(np.all(np.isfinite(Cs)))


def fit_together(problems, Cs, *, tol, max_iter):
    """Minimise several problems for all C at once, as `newton_together` does.

    All fits share the calls of NumPy, which on few rows take longer than the arithmetic. The
    choice of problems for it depends on shapes and parameters alone. The result of a fit depends
    on the others by rounding alone, so within its tolerance.

    Parameters
    ----------
    problems : list of Problem
    Cs : (n_Cs,), finite
    tol, max_iter : as in `Problem.fit`

    Returns
    -------
    list of (list of Fit, or None)
        For every problem a `Fit` for each C; None where its size, its rows or its penalty need
        `Problem.fit`. A fit that does not converge goes on there, too, from the better of
        its end and that of the one before.
    """
    if len(problems) * len(Cs) < _FEWEST:
        return [None] * len(problems)
    fits = [[] for _ in problems]
    for tasks in _tasks(problems, Cs):
        family = Family([member for _, _, member in tasks])
        first = problems[tasks[0][0]]
        with first.objective.algebra.one_blas_thread():
            minima = newton_together(family, tol * first.solvers_share)
            owners = [(problems[i], len(some)) for i, some, _ in tasks]
            found = zip(minima, _rounded(family, owners, minima), strict=True)
            for i, some, (_, _, own) in tasks:
                for C, penalty in zip(some, own, strict=True):
                    fits[i].append(problems[i].finished(
                        C, penalty, *next(found), tol=tol, max_iter=max_iter
                    ))
    return [own or None for own in fits]


def _rounded(family, owners, minima):
    """Return (coef_, intercept_, value) of every minimum, as `Problem.finished` takes it.

    owners : list of (problem, number of its minima)
    """
    pairs, rows, left = [], [], iter(minima)
    for problem, n in owners:
        of_own, fitted = problem.rounded(np.array([next(left).theta for _ in range(n)]))
        pairs.extend(zip(*of_own, strict=True))
        rows.append(fitted)
    values = family.delivered_values(*map(np.concatenate, zip(*rows, strict=True)))
    return [(*pair, value) for pair, value in zip(pairs, values, strict=True)]


def _tasks(problems, Cs):
    """Yield lists of (index of the problem, some of the C, `Problem.member`) for a `Family`."""
    groups = {}
    for i, problem in enumerate(problems):
        one = problem.objective
        is_small = one is not None and suits_family(*one.rows.shape, one.n_rows)
        member = problem.member(Cs) if is_small else None
        if member is None:
            continue
        objective, part, penalties = member
        n_logits = objective.n_samples * objective.n_rows
        most = max(1, MAX_LOGITS // n_logits)
        has_kinks = penalties[0].has_kinks
        key = objective.shape, objective.soft is None, problem.solvers_share, has_kinks
        for start in range(0, len(Cs), most):
            some = slice(start, start + most)
            size, tasks = groups.get(key, (0, []))
            size += n_logits * len(penalties[some])
            if tasks and size > MAX_LOGITS:
                yield tasks
                size, tasks = n_logits * len(penalties[some]), []
            groups[key] = size, [*tasks, (i, Cs[some], (objective, part, penalties[some]))]
    yield from (tasks for _, tasks in groups.values())
