"""A start from a sixteenth of the rows, where there are many more rows than parameters.

The optimum for a sample of m rows is about size / (2 m) nats above that for all rows, which
is little when m is many times the number of parameters: most iterations are then spent
getting to where a sample leads as well, at a sixteenth of the cost.
"""

import numpy as np

from .objective import Objective
from .solvers import Monitor, minimise

_FRACTION = 16
# Numbers of the sample; of more rows a smaller share.
_MOST_ENTRIES = 2**27
# Rows of the sample for each parameter.
_ROWS_PER_PARAMETER = 20
# Rows of a class below which all of it is taken.
_FEW_ROWS = 20
# Cheaper evaluations of all rows are not worth it.
_MIN_FLOPS = 2e7
# Relative duality gap on the sample, well below what the sampling leaves.
_TOLERANCE = 1e-3


def fraction_of(n_entries):
    """Of so many rows one is taken."""
    return max(_FRACTION, -(-n_entries // _MOST_ENTRIES))


def sampling_pays(objective):
    """Whether a start from a sample saves time; not without a penalty.

    Classes that overlap may be separable on a sample, and would then lead to a start far
    beyond the optimum. Nor with an L1 penalty, where sparsity makes the first digits cheap.
    """
    size = objective.n_rows * (objective.n_features + 1)
    return (
        objective.is_penalised
        and not objective.penalty.has_kinks
        and objective.evaluation_flops >= _MIN_FLOPS
        and objective.n_samples
        >= fraction_of(objective.n_entries) * _ROWS_PER_PARAMETER * size
    )


def sample_rows(y, weight, n_classes, fraction=_FRACTION):
    """Rows of a sample, in order, and weights that give every class its share.

    One row at random, by a fixed seed, of every `fraction` in a series, and all rows of
    the classes of which that leaves few.

    Returns
    -------
    rows : ndarray of int
    weight : ndarray of float64, one for each of them
    """
    chosen = one_of_many(weight, fraction)
    is_rare = are_few(np.bincount(y[chosen], minlength=n_classes))
    rows = np.flatnonzero(chosen | is_rare[y])
    total = np.bincount(y, weights=weight, minlength=n_classes)
    return rows, with_shares(y[rows], weight[rows], total)


def one_of_many(weight, fraction, seed=0):
    """Mask of one row of positive weight, at random, of every `fraction` in a series."""
    series = np.arange(0, len(weight) - fraction + 1, fraction)
    chosen = np.zeros(len(weight), dtype=bool)
    chosen[series + np.random.default_rng(seed).integers(0, fraction, len(series))] = True
    return chosen & (weight > 0)


def are_few(counts):
    """Mask of the classes of which so few rows in a sample are too few."""
    return counts < _FEW_ROWS


def with_shares(y, weight, total):
    """Weights of a sample that give every class its `total` (n_classes,)."""
    taken = np.bincount(y, weights=weight, minlength=len(total))
    share = np.divide(total, taken, out=np.ones(len(total)), where=taken > 0)
    return weight * share[y]


def start_from_sample(objective, X, y, weight, options, solver, max_iter):
    """Point to start from: the optimum for a sample, or None where the null model is better.

    Parameters
    ----------
    objective : Objective
        Of all rows; the evaluations of the sample are counted there.
    X, y, weight
        Of the sample.
    options : dict
        `Objective`'s other arguments.
    solver : str
    max_iter : int
    """
    sample = Objective(X, y, weight, **options)
    result = minimise(
        sample, None, Monitor(sample, tol=_TOLERANCE, max_iter=max_iter), solver
    )
    objective.n_evaluations += -(-sample.n_evaluations * len(y) // objective.n_samples)
    point = objective.evaluate(objective.from_coef(*sample.to_coef(result.theta)))
    # Not a number is not better either.
    return point if point.value < objective.null_point.value else None
