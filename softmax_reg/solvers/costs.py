"""Expected times of passes, factorisations and whole fits, on which "auto" decides.

Counts of iterations are those to the default tolerance, measured on raw and standardised data
of many shapes.
"""

import numpy as np

# Largest number of parameters for exact Newton (512 MiB).
MAX_NEWTON_SIZE = 8192
# Largest number of entries (64 MiB) of a Hessian kept between steps, unless X has more entries.
_MAX_FACTOR = 2**23
# Number of iterations of exact Newton.
_NEWTON_ITERATIONS = 12
# Numbers of evaluations and of new Kronecker factors of L-BFGS that these alone precondition, and
# numbers of evaluations and of Hessians where Hessians replace them.
_LBFGS_EVALUATIONS = 100
_LBFGS_REFRESHES = 3
_FACTORED_EVALUATIONS = 25
_FACTORED_HESSIANS = 1.5
# Growth of these numbers with C, as exponents: evaluations with Kronecker factors, evaluations
# with Hessians, Hessians. The C that stands for no penalty.
_LBFGS_GROWTH = 0.25
_FACTORED_GROWTH = 0.1
_HESSIANS_GROWTH = 0.125
_UNPENALISED = 1e4
# Memory read rate of the host in triangular solves, in bytes a second.
_HOST_MEMORY_RATE = 3e10
# Fixed cost of an iteration in seconds.
_NEWTON_OVERHEAD = 3e-4
_LBFGS_OVERHEAD = 4e-4

# The rest is for penalties with kinks. Number of Hessians that proximal Newton still takes once
# its working set has got large, and number of evaluations of proximal L-BFGS instead.
_PROXIMAL_HESSIANS = 8
_PROXIMAL_EVALUATIONS = 150
# Fixed cost in seconds of an iteration of proximal L-BFGS, and of a proximal Newton step.
_PROXIMAL_OVERHEAD = 2e-3
_PROXIMAL_STEP = 1e-3
# Work on the model in one iteration: passes over a dense Hessian, in units of size^2 flops, of
# proximal Newton; products with B of proximal L-BFGS; rate of both in flops a second.
_MODEL_PASSES = 40
_MODEL_PRODUCTS = 20
_MODEL_RATE = 1e10


def reading_cost(objective):
    """Return the seconds to read X once."""
    return 8 * objective.n_entries / objective.rates.memory


def evaluation_cost(objective):
    """Return the seconds to compute a value and gradient."""
    rates = objective.rates
    products = objective.evaluation_flops / (
        rates.sparse_product if objective.is_sparse else rates.product
    )
    softmax = objective.n_samples * objective.n_rows / rates.softmax
    return max(products, reading_cost(objective)) + softmax + rates.pass_seconds


def hessian_cost(objective, size):
    """Return the seconds to compute a dense Hessian of `size` parameters."""
    product = objective.n_samples * size**2 / objective.rates.product
    return max(product, reading_cost(objective)) + objective.rates.pass_seconds


def factor_cost(objective, size):
    """Return the seconds to factorise a Hessian of `size` parameters by Cholesky's method."""
    return size**3 / 3 / objective.rates.factor


def is_stored(objective, size):
    """Tell whether a Hessian of `size` parameters is kept from one step to the next."""
    return size**2 <= max(_MAX_FACTOR, objective.n_entries)


def iterations_per_hessian(objective):
    """Return the cost of a dense Hessian and its factor, in iterations of L-BFGS.

    The cost is inf where the Hessian is too big, and for the binary model, whose Hessian the
    Kronecker factors give exactly.
    """
    size = objective.n_rows * (objective.n_features + 1)
    if objective.n_rows == 1 or not is_stored(objective, size):
        return np.inf
    iteration = _LBFGS_OVERHEAD + evaluation_cost(objective)
    return hessian_cost(objective, size) / iteration + iterations_per_factor(objective)


def iterations_per_factor(objective):
    """Return the cost of the Cholesky factor of a Hessian, in iterations of L-BFGS."""
    size = objective.n_rows * (objective.n_features + 1)
    return factor_cost(objective, size) / (_LBFGS_OVERHEAD + evaluation_cost(objective))


def covariance_cost(objective):
    """Return the seconds to compute a full covariance of the features and its eigenvectors."""
    n, p = objective.n_samples, objective.n_features
    return n * p**2 / objective.rates.product + 9 * p**3 / objective.rates.factor


def iterations_per_covariance(objective):
    """Return the cost of Kronecker factors with a full covariance, in iterations of L-BFGS.

    The cost is inf where the covariance has too many features.
    """
    if not objective.has_full_covariance:
        return np.inf
    return covariance_cost(objective) / (_LBFGS_OVERHEAD + evaluation_cost(objective))


def takes_covariance(objective):
    """Tell whether models of proximal L-BFGS take the full covariance, not only its diagonal.

    Models take it where products with it are no slower than the rest of an iteration.
    """
    products = _products_cost(objective, objective.n_features)
    rest = _PROXIMAL_OVERHEAD + evaluation_cost(objective)
    return objective.has_full_covariance and products <= rest


def _products_cost(objective, depth):
    """Return the seconds of an iteration's products with B, `depth` flops deep for a parameter."""
    n_rows, p = objective.n_rows, objective.n_features
    return _MODEL_PRODUCTS * 2 * n_rows * p * (n_rows + depth) / _MODEL_RATE


def steps_per_hessian(objective, size):
    """Return the cost of a working set's Hessian, in proximal Newton steps that reuse one."""
    step = _PROXIMAL_STEP + evaluation_cost(objective) + _MODEL_PASSES * size**2 / _MODEL_RATE
    return hessian_cost(objective, size) / step


def solver_costs(objective):
    """Return the seconds that each solver of smooth penalties is expected to take.

    `formulas` gives the same as text.

    Returns
    -------
    costs : dict, solver -> seconds
    """
    n = objective.n_samples
    size = objective.n_rows * (objective.n_features + 1)
    # C times the mean weight of a row, for the feature of the weakest penalty.
    curvature = np.min(objective.penalty.curvature) if objective.is_penalised else 0.0
    with np.errstate(over="ignore", divide="ignore"):
        weakness = 1 / np.float64(curvature) / n
    weakness = min(max(1.0, weakness), _UNPENALISED)
    iteration = _LBFGS_OVERHEAD + evaluation_cost(objective)
    costs = {"lbfgs": _LBFGS_EVALUATIONS * weakness**_LBFGS_GROWTH * iteration}
    if objective.has_full_covariance:
        refreshes = _LBFGS_REFRESHES * covariance_cost(objective)
        # Sparse columns are rarely collinear, and the diagonal suffices where it is far cheaper.
        costs["lbfgs"] += min(refreshes, costs["lbfgs"]) if objective.is_sparse else refreshes
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

    At this number the Hessians and models of proximal Newton take as long as the iterations of
    proximal L-BFGS; `formulas` gives both.
    """
    depth = objective.n_features if takes_covariance(objective) else objective.n_rows
    products = _products_cost(objective, depth)
    iteration = _PROXIMAL_OVERHEAD + evaluation_cost(objective) + products
    per_square = objective.n_samples / objective.rates.product
    per_square += _MODEL_PASSES / _MODEL_RATE
    squares = _PROXIMAL_EVALUATIONS * iteration / (_PROXIMAL_HESSIANS * per_square)
    return min(int(squares**0.5), MAX_NEWTON_SIZE)


def formulas(rates):
    """Return the cost model as formulas, with the constants of this module.

    n rows, p features (n p stored entries if sparse), K rows of parameters, t = K (p + 1)
    parameters, m of them in a working set; 1 <= C <= 1e4, which stands for no penalty. p^2, p^3
    and the p of K + p are left out where the covariance is a diagonal. With sparse X the second
    part of "lbfgs" counts at most as much as the first.

    Parameters
    ----------
    rates : Rates

    Returns
    -------
    formulas : dict, what -> seconds
    """
    product, sparse, factor, memory, softmax, model, host = map(_short, (
        rates.product, rates.sparse_product, rates.factor, rates.memory, rates.softmax,
        _MODEL_RATE, _HOST_MEMORY_RATE / 8,
    ))
    newton, iteration, proximal = map(
        _short, (_NEWTON_OVERHEAD, _LBFGS_OVERHEAD, _PROXIMAL_OVERHEAD)
    )
    return {
        "newton-cholesky": f"{_NEWTON_ITERATIONS} ({newton} + h)",
        "lbfgs": (
            f"{_LBFGS_EVALUATIONS} C^{_LBFGS_GROWTH} ({iteration} + e) + "
            f"{_LBFGS_REFRESHES} (n p² / {product} + 9 p³ / {factor})"
        ),
        "lbfgs with the Hessian": (
            f"{_FACTORED_EVALUATIONS} C^{_FACTORED_GROWTH} ({iteration} + e + 2 t² / {host}) + "
            f"{_FACTORED_HESSIANS} C^{_HESSIANS_GROWTH} h"
        ),
        "e, an evaluation": f"max(4 n t / {product}, 8 n p / {memory}) + n K / {softmax}",
        "e for sparse X": f"max(4 n t / {sparse}, 8 n p / {memory}) + n K / {softmax}",
        "h, a Hessian": (
            f"max(n t² / {product}, 8 n p / {memory}) + t³ / {_short(3 * rates.factor)}"
        ),
        "proximal-newton": (
            f"{_PROXIMAL_HESSIANS} m² (n / {product} + {_MODEL_PASSES} / {model})"
        ),
        "proximal-lbfgs": (
            f"{_PROXIMAL_EVALUATIONS} ({proximal} + e + {2 * _MODEL_PRODUCTS} K p (K + p) / "
            f"{model})"
        ),
    }


def _short(number):
    """Return a number as text: 3e-4, 3.75e9."""
    mantissa, exponent = f"{number:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def expectation(objective):
    """Return the expected times behind `choose_solver`, as text."""
    if objective.penalty.has_kinks:
        most = largest_working_set(objective)
        return f"proximal-newton up to {most} parameters at a time, proximal-lbfgs beyond"
    costs = solver_costs(objective).items()
    return ", ".join(f"{name} {seconds:.2g} s" for name, seconds in costs)


def choose_solver(objective):
    """Return the name of the solver of the least expected cost."""
    if objective.penalty.has_kinks:
        shape = objective.n_rows, objective.n_features
        is_free = np.broadcast_to(objective.penalty.is_free, shape)
        least = objective.n_rows + np.count_nonzero(is_free)
        fits = least <= largest_working_set(objective)
        return "proximal-newton" if fits else "proximal-lbfgs"
    costs = solver_costs(objective)
    return min(costs, key=costs.get)
