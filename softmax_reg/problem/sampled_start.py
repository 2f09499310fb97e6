"""A warm start from a sample of the rows, where there are many more rows than parameters.

The sample is about a sixteenth of the rows, or less for a large X. At the optimum for a sample
of m rows, the objective for all rows is about size / (2 m) nats above its minimum, where size is
the number of parameters. This is little when m is many times size: most iterations on all rows
would only reach the sample's optimum, which costs a sixteenth on the sample.
"""

from ..rows.subsample import fraction_of
from ..solvers import Monitor, minimise

# Least number of sampled rows for each parameter.
_ROWS_PER_PARAMETER = 20
# Least cost, in flops, of an evaluation of all rows at which a sample saves time.
MIN_FLOPS = 2e7
# Relative duality gap to reach on the sample, well below the sampling error.
_TOLERANCE = 1e-3


def sampling_pays(objective):
    """Tell whether a warm start from a sample saves time.

    Without a penalty it does not: classes that overlap may be separable on a sample, whose
    optimum is then far beyond that of all rows. With an L1 penalty it does not: sparsity makes
    the first digits cheap. Distributions of single rows have no sample.
    """
    size = objective.n_rows * (objective.n_features + 1)
    return (
        objective.is_penalised
        and (objective.soft is None or objective.soft.by_label)
        and not objective.penalty.has_kinks
        and objective.evaluation_flops >= MIN_FLOPS
        and objective.n_samples
        >= fraction_of(objective.n_entries) * _ROWS_PER_PARAMETER * size
    )


def start_from_sample(objective, sampled, solver, max_iter):
    """Minimise on a sample; return a `Point` on all rows, or None if the null model is better.

    Parameters
    ----------
    objective : Objective
        Objective for all rows. Passes over the sample are added to its count, in units of
        passes over all rows.
    sampled : Objective
        Objective for the sample, with the same penalty.
    solver : str
    max_iter : int
    """
    monitor = Monitor(sampled, tol=_TOLERANCE, max_iter=max_iter)
    result = minimise(sampled, None, monitor, solver)
    passes = sampled.passes.n * sampled.n_samples
    objective.passes.n += -(-passes // objective.n_samples)
    point = objective.evaluate(objective.from_coef(*sampled.to_coef(result.theta)))
    # A NaN value is not lower either.
    return point if point.value < objective.null_point.value else None
