"""A start from a sixteenth of the rows, where there are many more rows than parameters.

The optimum for a sample of m rows is about size / (2 m) nats above that for all rows, which
is little when m is many times the number of parameters: most iterations are then spent
getting to where a sample leads as well, at a sixteenth of the cost.
"""

from ..rows.subsample import fraction_of
from ..solvers import Monitor, minimise

# Least number of rows of the sample for each parameter.
_ROWS_PER_PARAMETER = 20
# Least number of operations of an evaluation of all rows that a sample is worth.
_MIN_FLOPS = 2e7
# Relative duality gap on the sample, well below what the sampling leaves.
_TOLERANCE = 1e-3


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


def start_from_sample(objective, sampled, solver, max_iter):
    """Point to start from: the optimum for a sample, or None where the null model is better.

    Parameters
    ----------
    objective : Objective
        Of all rows; the evaluations of the sample are counted there.
    sampled : Objective
        Of the sample, with the same penalty.
    solver : str
    max_iter : int
    """
    monitor = Monitor(sampled, tol=_TOLERANCE, max_iter=max_iter)
    result = minimise(sampled, None, monitor, solver)
    passes = sampled.passes.n * sampled.n_samples
    objective.passes.n += -(-passes // objective.n_samples)
    point = objective.evaluate(objective.from_coef(*sampled.to_coef(result.theta)))
    # Not a number is not better either.
    return point if point.value < objective.null_point.value else None
