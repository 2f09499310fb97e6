"""A batch whose rows are saturated, minimised at falling temperatures.

Where offsets differ by far more than 1, the loss is nearly linear between kinks. The Hessian is
zero there: Newton's step knows nothing of the kinks, and its decrement promises nothing. At the
temperature t the loss

    t CE(z / t),    t logsumexp(z / t) in place of logsumexp(z),

is as smooth as if all logits were t times smaller. The minimum at one temperature is close to the
minimum at the next, a few times lower, and the last one is 1.

With phi = theta / t, the objective at temperature t is t times

    sum_i s_i CE(phi [x_i, 1] + o_i / t) + 1/2 (phi - theta_t / t)' t P_t (phi - theta_t / t):

that of a batch with other offsets and another past (`Batch.at_temperature`). The logsumexp at t is
between that at 1 and that plus (t - 1) log(n_classes). So what is left to the minimum at t, plus
(t - 1) log(n_classes) for each unit of weight, bounds what is left to the minimum at 1.
"""

import numpy as np

# Spread of a class's offsets, in nats, above which they may saturate rows.
_SATURATED = 30.0
# Factor by which the temperature falls.
_COOLING = 4.0
# Largest logarithm of the first temperature, to the base 10.
_HOTTEST = 100.0
# Decrease, relative to the value after it, below which a step is the last above temperature 1.
_ENOUGH = 1e-3


def is_saturated(batch):
    """Tell whether offsets may saturate rows of a batch."""
    offset = batch.objective.rows.offset
    return offset is not None and _SATURATED < _spread(offset) < np.inf


def higher_temperatures(batch, start):
    """Return falling temperatures above 1, the first of about the spread of the logits.

    Parameters
    ----------
    batch : Batch
    start : Point
        The centre of the past.

    Returns
    -------
    (n,) float64
        Empty where offsets saturate no rows. Also where classes are new: at high temperatures the
        past rows push a new class's intercept out to where, at 1, its gradient vanishes.
    """
    if batch.new_classes is not None or not is_saturated(batch) or not start.value < np.inf:
        return np.empty(0)
    loss = start.value / batch.objective.sample.weight.sum()
    spread = max(_spread(batch.objective.rows.offset), loss)
    n = int(np.ceil(min(np.log10(spread), _HOTTEST) / np.log10(_COOLING)))
    return _COOLING ** np.arange(n, 0.0, -1.0)


def _spread(offset):
    """Return the largest range of a column, in nats."""
    return float(np.ptp(offset.astype(np.float64), axis=0).max())


def minimise_tempered(batch, theta, higher, enough, solve):
    """Minimise at one temperature after another, and at 1; return a `Point` and its monitor.

    Parameters
    ----------
    batch : Batch
    theta : (n_rows, n_features + 1)
        Start of the first temperature.
    higher : (n,)
        Temperatures before 1.
    enough : float
        As in `LastStep`, for the temperature 1.
    solve : callable (batch, point, enough) -> (point, monitor)
        Minimises one batch from a `Point` of its objective.
    """
    for temperature in higher:
        warm = batch.at_temperature(temperature)
        point, _ = solve(warm, warm.objective.evaluate(theta / temperature), _ENOUGH)
        theta = temperature * point.theta
    return solve(batch, batch.objective.evaluate(theta), enough)
