"""How long passes, factorisations and whole fits are expected to take; what "auto" goes by.

Counts of iterations are those to the default tolerance, as seen on raw and standardised data
of many shapes.
"""

import numpy as np

# Largest number of parameters for exact Newton (512 MiB).
MAX_NEWTON_SIZE = 8192
# Largest number of entries of a Hessian that is kept (64 MiB), unless X has more.
_MAX_FACTOR = 2**23
# Number of iterations of exact Newton.
_NEWTON_ITERATIONS = 12
# Numbers of evaluations and refreshes of L-BFGS, preconditioned by Kronecker factors alone, and
# of evaluations and Hessians, preconditioned by the Hessian in time.
_LBFGS_EVALUATIONS = 100
_LBFGS_REFRESHES = 3
_FACTORED_EVALUATIONS = 25
_FACTORED_HESSIANS = 1.5
# Powers of C by which these numbers grow as the penalty gets weaker, and the C that stands for
# no penalty. Without one only Newton's decrement tells where the optimum is.
_LBFGS_GROWTH = 0.25
_FACTORED_GROWTH = 0.1
_HESSIANS_GROWTH = 0.125
_UNPENALISED = 1e4
# Read rate of the host in bytes a second, solving with a factor.
_HOST_MEMORY_RATE = 3e10
# Fixed cost of an iteration in seconds.
_NEWTON_OVERHEAD = 3e-4
_LBFGS_OVERHEAD = 4e-4

# With kinks: number of Hessians still to come where a working set has got large, evaluations of
# the other solver, fixed cost of an iteration of either in seconds, and passes and products on
# a model and their rate in flops a second.
_PROXIMAL_HESSIANS = 8
_PROXIMAL_EVALUATIONS = 150
_PROXIMAL_OVERHEAD = 2e-3
_PROXIMAL_STEP = 1e-3
_MODEL_PASSES = 40
_MODEL_PRODUCTS = 20
_MODEL_RATE = 1e10


def reading_cost(objective):
    """Return the seconds to read X once."""
    return 8 * objective.n_entries / objective.rates.memory


def evaluation_cost(objective):
    """Return the seconds of a value and gradient."""
    rates = objective.rates
    products = objective.evaluation_flops / (
        rates.sparse_product if objective.is_sparse else rates.product
    )
    softmax = objective.n_samples * objective.n_rows / rates.softmax
    return max(products, reading_cost(objective)) + softmax + rates.pass_seconds


def hessian_cost(objective, size):
    """Return the seconds of a dense Hessian of `size` parameters."""
    product = objective.n_samples * size**2 / objective.rates.product
    return max(product, reading_cost(objective)) + objective.rates.pass_seconds


def factor_cost(objective, size):
    """Return the seconds of the Cholesky factor of such a Hessian."""
    return size**3 / 3 / objective.rates.factor


def is_kept(objective, size):
    """Return whether a Hessian of `size` parameters is kept from one step to the next."""
    return size**2 <= max(_MAX_FACTOR, objective.n_entries)


def iterations_per_hessian(objective):
    """Return the cost of a dense Hessian and its factor, in iterations of L-BFGS.

    The cost is inf where the Hessian is too big, and for one row of parameters: there the
    Kronecker factors are the Hessian.
    """
    size = objective.n_rows * (objective.n_features + 1)
    if objective.n_rows == 1 or not is_kept(objective, size):
        return np.inf
    hessian = hessian_cost(objective, size) + factor_cost(objective, size)
    return hessian / (_LBFGS_OVERHEAD + evaluation_cost(objective))


def steps_per_hessian(objective, size):
    """Return the cost of a working set's Hessian, in proximal Newton steps with an old one."""
    step = _PROXIMAL_STEP + evaluation_cost(objective) + _MODEL_PASSES * size**2 / _MODEL_RATE
    return hessian_cost(objective, size) / step


def solver_costs(objective):
    """Return the seconds that each solver of smooth penalties is expected to take.

    With the rates of the CPU:

    ==================  ================================================================
    solver              seconds
    ==================  ================================================================
    newton-cholesky     12 (3e-4 + h)
    lbfgs               100 C^(1/4) (4e-4 + e) + 3 (n p^2 / 1e11 + 9 p^3 / 3e10), or
                        25 C^(1/10) (4e-4 + e + 2 t^2 / 3.75e9) + 1.5 C^(1/8) h, if that is
                        less and t^2 <= max(2^23, n p)
    e, an evaluation    max(4 n t / r, 8 n p / 3e10) + n K / 2e8, r = 1e11, or sparse 1e10
    h, a Hessian        max(n t^2 / 1e11, 8 n p / 3e10) + t^3 / 9e10
    ==================  ================================================================

    n rows, p features (n p stored entries if sparse), K classes (1 for two), t = K (p + 1)
    parameters, 1 <= C <= 1e4 (which stands for no penalty, where only the first line of lbfgs
    counts). p^2 and p^3 only where the covariance is kept in full. Exact Newton needs t <= 8192.

    Returns
    -------
    costs : dict, solver -> seconds
    """
    n, p = objective.n_samples, objective.n_features
    size = objective.n_rows * (p + 1)
    weakness = 1 / (np.min(objective.penalty.curvature) * n) if objective.is_penalised else np.inf
    weakness = min(max(1.0, weakness), _UNPENALISED)
    iteration = _LBFGS_OVERHEAD + evaluation_cost(objective)
    rates = objective.rates
    costs = {"lbfgs": _LBFGS_EVALUATIONS * weakness**_LBFGS_GROWTH * iteration}
    if objective.has_full_covariance:
        refresh = n * p**2 / rates.product + 9 * p**3 / rates.factor
        costs["lbfgs"] += _LBFGS_REFRESHES * refresh
    hessian = hessian_cost(objective, size) + factor_cost(objective, size)
    if objective.is_penalised and np.isfinite(iterations_per_hessian(objective)):
        solves = 2 * 8 * size**2 / _HOST_MEMORY_RATE
        factored = _FACTORED_EVALUATIONS * weakness**_FACTORED_GROWTH * (iteration + solves)
        factored += _FACTORED_HESSIANS * weakness**_HESSIANS_GROWTH * hessian
        costs["lbfgs"] = min(costs["lbfgs"], factored)
    if size <= MAX_NEWTON_SIZE:
        costs["newton-cholesky"] = _NEWTON_ITERATIONS * (_NEWTON_OVERHEAD + hessian)
    return costs


def largest_working_set(objective):
    """Return the number of parameters up to which proximal Newton beats proximal L-BFGS.

    With m parameters 8 Hessians and their models, 8 m^2 (n / 1e11 + 40 / 1e10) seconds, take as
    long as 150 iterations of proximal L-BFGS, 150 (2e-3 + e + 40 K p (K + d) / 1e10), d = p
    where the covariance is kept in full and else K.
    """
    n_rows, p = objective.n_rows, objective.n_features
    depth = n_rows + (p if objective.has_full_covariance else n_rows)
    products = _MODEL_PRODUCTS * 2 * n_rows * p * depth / _MODEL_RATE
    iteration = _PROXIMAL_OVERHEAD + evaluation_cost(objective) + products
    per_square = objective.n_samples / objective.rates.product
    per_square += _MODEL_PASSES / _MODEL_RATE
    squares = _PROXIMAL_EVALUATIONS * iteration / (_PROXIMAL_HESSIANS * per_square)
    return min(int(squares**0.5), MAX_NEWTON_SIZE)


def expectation(objective):
    """Return the figures behind `choose_solver`, in words."""
    if objective.penalty.has_kinks:
        most = largest_working_set(objective)
        return f"proximal-newton up to {most} parameters at a time, proximal-lbfgs beyond"
    costs = solver_costs(objective).items()
    return ", ".join(f"{name} {seconds:.2g} s" for name, seconds in costs)


def choose_solver(objective):
    """Return the name of the solver of the least expected cost."""
    if objective.penalty.has_kinks:
        least = objective.n_rows * (np.count_nonzero(objective.penalty.weight == 0) + 1)
        fits = least <= largest_working_set(objective)
        return "proximal-newton" if fits else "proximal-lbfgs"
    costs = solver_costs(objective)
    return min(costs, key=costs.get)
