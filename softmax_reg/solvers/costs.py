"""How long passes, factorisations and whole fits are expected to take; what "auto" goes by.

Counts of iterations are those to the default tolerance, as seen on raw and standardised data
of many shapes.
"""

import numpy as np

# Exact Newton is out of the question above this many parameters (512 MiB).
MAX_NEWTON_SIZE = 8192
# A Hessian is kept of up to so many numbers, or as many as X has (64 MiB).
_MAX_FACTOR = 2**23
_NEWTON_ITERATIONS = 12
# L-BFGS, preconditioned by Kronecker factors alone, or in time by the Hessian.
_LBFGS_EVALUATIONS = 100
_LBFGS_REFRESHES = 3
_FACTORED_EVALUATIONS = 25
_FACTORED_HESSIANS = 1.5
# It needs more of them the weaker the penalty is: these powers of C. Without one
# only Newton's decrement tells where the optimum is.
_LBFGS_GROWTH = 0.25
_FACTORED_GROWTH = 0.1
_HESSIANS_GROWTH = 0.125
_UNPENALISED = 1e4
# Operations and bytes a second of an ordinary two-core machine; their ratios matter.
_PRODUCT_RATE = 1e11
_FACTOR_RATE = 3e10
_MEMORY_RATE = 3e10
_SOFTMAX_RATE = 2e8
# Seconds of an iteration that do not depend on sizes.
_NEWTON_OVERHEAD = 3e-4
_LBFGS_OVERHEAD = 4e-4

# With kinks: the first is far more reliable where columns are correlated.
_PROXIMAL_ITERATIONS = 15
_PROXIMAL_EVALUATIONS = 400
_PROXIMAL_OVERHEAD = 2e-3
_PROXIMAL_STEP = 1e-3
_MODEL_PASSES = 40
_MODEL_PRODUCTS = 20
_MODEL_RATE = 1e10


def reading_cost(objective):
    """Seconds to read X once."""
    return 8 * objective.n_entries / _MEMORY_RATE


def evaluation_cost(objective):
    """Seconds of a value and gradient."""
    products = 4 * objective.n_entries * objective.n_rows / _PRODUCT_RATE
    softmax = objective.n_samples * objective.n_rows / _SOFTMAX_RATE
    return max(products, reading_cost(objective)) + softmax


def hessian_cost(objective, size):
    """Seconds of a dense Hessian of so many parameters."""
    product = objective.n_samples * size**2 / _PRODUCT_RATE
    return max(product, reading_cost(objective))


def factor_cost(size):
    """Seconds of its Cholesky factor."""
    return size**3 / 3 / _FACTOR_RATE


def is_kept(objective, size):
    """Whether a Hessian of so many parameters may take memory from one step to the next."""
    return size**2 <= max(_MAX_FACTOR, objective.n_entries)


def iterations_per_hessian(objective):
    """What a dense Hessian and its factor cost L-BFGS, in iterations; inf where it is too big.

    For one row of parameters the Kronecker factors are the Hessian.
    """
    size = objective.n_rows * (objective.n_features + 1)
    if objective.n_rows == 1 or not is_kept(objective, size):
        return np.inf
    hessian = hessian_cost(objective, size) + factor_cost(size)
    return hessian / (_LBFGS_OVERHEAD + evaluation_cost(objective))


def steps_per_hessian(objective, size):
    """What a Hessian of a working set costs proximal Newton, in steps with an old one."""
    step = _PROXIMAL_STEP + evaluation_cost(objective) + _MODEL_PASSES * size**2 / _MODEL_RATE
    return hessian_cost(objective, size) / step


def solver_costs(objective):
    """Seconds that each solver is expected to take.

    ==================  ================================================================
    solver              seconds
    ==================  ================================================================
    newton-cholesky     12 (3e-4 + h)
    lbfgs               100 C^(1/4) (4e-4 + e) + 3 (n p^2 / 1e11 + 9 p^3 / 3e10), or
                        25 C^(1/10) (4e-4 + e + 2 t^2 / 3.75e9) + 1.5 C^(1/8) h, if that is
                        less and t^2 <= max(2^23, n p)
    e, an evaluation    max(4 n t / 1e11, 8 n p / 3e10) + n K / 2e8
    h, a Hessian        max(n t^2 / 1e11, 8 n p / 3e10) + t^3 / 9e10
    ==================  ================================================================

    n rows, p features (n p stored entries if sparse), K classes (1 for two), t = K (p + 1)
    parameters, 1 <= C <= 1e4 (which stands for no penalty, where only the first line of lbfgs
    counts). p^2 and p^3 only where the covariance is kept in full. Exact Newton needs t <= 8192.

    With an L1 penalty and a working set of w <= min(n, p) features:

    ==================  ================================================================
    proximal-newton     15 (2e-3 + max(n K^2 w^2 / 1e11, 8 n p / 3e10)); K w <= 8192
    proximal-lbfgs      400 (2e-3 + e + 40 K p (K + p) / 1e10)
    ==================  ================================================================

    Returns
    -------
    costs : dict, solver -> seconds
    """
    if objective.penalty.has_kinks:
        return _proximal_costs(objective)
    n, p = objective.n_samples, objective.n_features
    size = objective.n_rows * (p + 1)
    weakness = 1 / (np.min(objective.penalty.curvature) * n) if objective.is_penalised else np.inf
    weakness = min(max(1.0, weakness), _UNPENALISED)
    iteration = _LBFGS_OVERHEAD + evaluation_cost(objective)
    costs = {"lbfgs": _LBFGS_EVALUATIONS * weakness**_LBFGS_GROWTH * iteration}
    if objective.has_full_covariance:
        refresh = n * p**2 / _PRODUCT_RATE + 9 * p**3 / _FACTOR_RATE
        costs["lbfgs"] += _LBFGS_REFRESHES * refresh
    hessian = hessian_cost(objective, size) + factor_cost(size)
    if objective.is_penalised and np.isfinite(iterations_per_hessian(objective)):
        solves = 2 * 8 * size**2 / _MEMORY_RATE
        factored = _FACTORED_EVALUATIONS * weakness**_FACTORED_GROWTH * (iteration + solves)
        factored += _FACTORED_HESSIANS * weakness**_HESSIANS_GROWTH * hessian
        costs["lbfgs"] = min(costs["lbfgs"], factored)
    if size <= MAX_NEWTON_SIZE:
        costs["newton-cholesky"] = _NEWTON_ITERATIONS * (_NEWTON_OVERHEAD + hessian)
    return costs


def _proximal_costs(objective):
    n, p, n_rows = objective.n_samples, objective.n_features, objective.n_rows
    depth = n_rows + (p if objective.has_full_covariance else n_rows)
    products = _MODEL_PRODUCTS * 2 * n_rows * p * depth / _MODEL_RATE
    evaluation = _PROXIMAL_OVERHEAD + evaluation_cost(objective) + products
    costs = {"proximal-lbfgs": _PROXIMAL_EVALUATIONS * evaluation}
    size = n_rows * (min(n, p) + 1)
    if size <= MAX_NEWTON_SIZE:
        hessian = hessian_cost(objective, size)
        costs["proximal-newton"] = _PROXIMAL_ITERATIONS * (_PROXIMAL_OVERHEAD + hessian)
    return costs


def choose_solver(objective):
    """The solver of the least expected cost."""
    costs = solver_costs(objective)
    return min(costs, key=costs.get)
