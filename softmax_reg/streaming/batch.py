"""One batch of a stream: its objective, minimised in theta or in the logits of its rows."""

from typing import NamedTuple

import numpy as np

from ..problem.coordinates import Centring
from ..problem.objective import Objective
from ..problem.penalty import penalty_of
from ..problem.soft_targets import SoftTargets
from ..rows.algebra import HOST_ALGEBRA
from ..solvers.kronecker import KroneckerTransform
from ..solvers.newton import newton, newton_cg
from .dual import LogitObjective, dual_flops, minimise_dual
from .tempering import higher_temperatures, is_saturated, minimise_tempered
from .terms import NewClasses, Past

# Decrease, relative to the value after it, below which a Newton step is the last.
# Largest number of steps.
_ENOUGH = 1e-9
_MAX_STEPS = 100
# The same for `KroneckerPosterior`, whose approximation error is far larger.
_ENOUGH_FACTORED = 1e-5
_MAX_STEPS_FACTORED = 10
# Largest number of products with the Hessian in one of these steps.
_MAX_PRODUCTS = 10
# An end of these steps is left as it is up to this excess. Otherwise they go on once with new
# factors, until the decrease by a step is `_ENOUGH_OPEN`, with more products in a step.
_OPEN_FACTORED = 1e-3
_ENOUGH_OPEN = 1e-4
_MAX_PRODUCTS_OPEN = 30
# Largest number of times that they go on with new factors, and of products in a step, where
# offsets saturate rows.
_MAX_ROUNDS = 5
_MAX_PRODUCTS_SATURATED = 200
# Mean loss of a row, in nats, above which no other steps come before falling temperatures.
_HIGH_LOSS = 30.0
# Largest number of entries of an array in `Batch.minimise_in_logits`: 32 MiB.
_MAX_DUAL_NUMBERS = 2**22
# Largest relative difference between the values computed in theta and in the logits that is
# accepted as rounding.
_AGREEMENT = 1e-8
_OVERFLOW = (
    "X, offset or sample_weight holds values whose products overflow float64. Scale them down, or "
    "leave out columns that hold no measurements."
)
_NO_OPTIMUM = (
    "penalty_factor=0 leaves the rows so far without an optimum, because unpenalised coefficients "
    "separate their classes. Begin with more rows in a batch, or use a small positive factor."
)


class LastStep:
    """Monitor of a batch: a solver ends after a step whose decrease is small.

    The predicted decrease must be small, and the actual one too: where all rows are saturated,
    due to offsets say, the Hessian is zero and predicts nothing. The methods are those of
    `solvers.Monitor` that Newton's methods call.

    Parameters
    ----------
    enough : float
        Decrease, relative to the value after it, below which a step is the last.
    max_steps : int

    Attributes
    ----------
    excess : float
        Decrease by the last step, or predicted for it or for the one that was not found,
        whichever is larger, relative to the value where the solver ended; 0 where it converged,
        NaN where it ended at a value of 0.
    """

    tol = 0.0    # so that `newton` takes no step for the last, and computes every Hessian

    def __init__(self, enough, max_steps):
        self._enough, self._steps_left = enough, max_steps
        self.status, self.excess = None, 0.0
        self._last = 0.0

    def wants_more(self, point, polish=False):
        """Tell whether another step should start from `point`."""
        return self.status is None

    def newton_decrement(self, point, half_decrement, step, is_exact=False):
        """Do nothing: `iterated` gets the same `half_decrement` after the step."""

    def iterated(self, previous, point, half_decrement):
        """Count a step whose predicted decrease was `half_decrement`."""
        self._steps_left -= 1
        self._last = max(half_decrement, previous.value - point.value)
        if self._last <= self._enough * point.value:
            self.status = "converged"
        elif self._steps_left == 0:
            self._ended("max_iter", point)

    def stalled(self, point, half_decrement):
        """Record that no further step was found; return True, which ends the solver."""
        self._last = max(half_decrement, self._last)
        self._ended("stalled", point)
        return True

    def _ended(self, status, point):
        # The value is not negative, and falls by no more than itself.
        self.status = status
        self.excess = min(self._last, point.value) / point.value if point.value > 0 else np.nan


def _exact(batch, point, enough):
    """Minimise by Newton's method; the monitor has no status where a Hessian has no factor."""
    monitor = LastStep(enough, _MAX_STEPS)
    point, _, _ = newton(batch.objective, point, monitor)
    return point, monitor


def _factored(batch, point, enough, n_rounds=_MAX_ROUNDS, n_products=_MAX_PRODUCTS_SATURATED):
    """Minimise by truncated Newton, with new factors after every few steps."""
    posterior, objective = batch.past.posterior, batch.objective
    for _ in range(n_rounds):
        transform = KroneckerTransform(
            batch.grown(point.theta).factors(), posterior.l2, objective.fit_intercept,
            HOST_ALGEBRA,
        )
        monitor = LastStep(enough, _MAX_STEPS_FACTORED)
        point, _, _ = newton_cg(objective, point, monitor, transform, n_products)
        if monitor.status == "converged":
            break
    return point, monitor


class Batch(NamedTuple):
    """The objective of `stream` for one batch, in the parameters of the classes seen so far.

    Attributes
    ----------
    objective : Objective
        Sum of the losses of the rows, with the terms below.
    past : Past
    new_classes : NewClasses or None
    """

    objective: Objective
    past: Past
    new_classes: NewClasses | None

    @classmethod
    def of(cls, rows, sample, shift, fit_intercept, past, new_classes):
        """Return the objective for new rows.

        Parameters
        ----------
        rows : Rows
            In memory; their offsets have a column for each row of theta.
        sample : Sample
            Weights as given: the loss is their sum, not their mean. Labels, or a mixture of each
            row.
        shift : (n_features,)
        fit_intercept : bool
        past : Past
        new_classes : NewClasses or None
        """
        no_column = np.zeros(rows.n_features, dtype=bool)
        coordinates = Centring(shift, no_column, fit_intercept, len(past.center))
        terms = (past,) if new_classes is None else (past, new_classes)
        soft = None
        if sample.is_mixed:
            soft = SoftTargets.of(rows, sample, coordinates)
            if rows.offset is not None:
                constant = sample.times_rest(lambda some: rows.offset[some])
                soft = soft._replace(constant=constant)
        objective = Objective(
            rows, sample, penalty_of(0.0), coordinates, terms=terms, soft=soft
        )
        return cls(objective, past, new_classes)

    def minimise(self):
        """Minimise by Newton's method; return a `Point` with its Hessian, and the excess."""
        objective = self.objective
        start = objective.evaluate(self.past.center, with_hessian=True)
        point, monitor = _exact(self, start, _ENOUGH)
        if monitor.status != "converged" and 0 < point.value < np.inf:
            higher = higher_temperatures(self, start)
            if len(higher):
                again = minimise_tempered(self, start.theta, higher, _ENOUGH, _exact)
                point, monitor = min((point, monitor), again, key=lambda end: end[0].value)
        if monitor.status is None:
            raise ValueError(self._trouble())
        if point.hessian is None:
            point = objective.evaluate(point.theta, with_hessian=True)
        excess = self._excess(point, monitor)
        return self._checked(point, excess), excess

    def _excess(self, point, monitor):
        """Return the excess of a solver's end; 0 at a value of 0, unless coefficients grew there.

        Unpenalised coefficients that separate the rows take the value to 0 without an optimum.
        """
        is_least = point.value == 0 and not np.any(self.past.is_free)
        return 0.0 if is_least else monitor.excess

    def at_temperature(self, temperature):
        """Return the batch in theta / temperature whose losses are smoother; see `tempering`."""
        objective, past, new = self.objective, self.past, self.new_classes
        if temperature == 1:
            return self
        rows = objective.rows
        if rows.offset is not None:
            rows = rows.with_factor(1 / temperature)
        past = Past(past.center / temperature, past.posterior.times(temperature), past.is_free)
        new = None if new is None else new.at_temperature(temperature)
        coordinates = objective.coordinates
        return Batch.of(
            rows, objective.sample, coordinates.shift, coordinates.fit_intercept, past, new
        )

    def minimise_nearly(self, transform):
        """Minimise by truncated Newton in the variables of a `KroneckerTransform`.

        Steps that end too soon go on with new factors and more products, and at falling
        temperatures where offsets saturate rows (`tempering`).

        Returns
        -------
        point : Point
            Without a Hessian.
        excess : float
            As in `LastStep`.
        """
        start = self.objective.evaluate(self.past.center)
        higher = higher_temperatures(self, start)
        is_high = start.value > _HIGH_LOSS * self.objective.sample.weight.sum()
        if is_high and len(higher):
            point, monitor = minimise_tempered(
                self, start.theta, higher, _ENOUGH_FACTORED, _factored
            )
        else:
            monitor = LastStep(_ENOUGH_FACTORED, _MAX_STEPS_FACTORED)
            point, _, _ = newton_cg(self.objective, start, monitor, transform, _MAX_PRODUCTS)
            if monitor.status != "converged" and 0 < point.value < np.inf:
                point, monitor = self._goes_on(start, point, monitor, higher)
        excess = self._excess(point, monitor)
        if self.new_classes is not None and is_saturated(self):
            # No temperatures were tried, and between kinks no step tells what is left.
            excess = max(excess, 1.0)
        return self._checked(point, excess), excess

    def _goes_on(self, start, point, monitor, higher):
        """Return the better of an end of `minimise_nearly` that is open and of what follows it."""
        if len(higher):
            again = minimise_tempered(self, start.theta, higher, _ENOUGH_FACTORED, _factored)
        elif monitor.excess > _OPEN_FACTORED:
            again = _factored(self, point, _ENOUGH_OPEN, 1, _MAX_PRODUCTS_OPEN)
        else:
            return point, monitor
        return min((point, monitor), again, key=lambda end: end[0].value)

    def minimise_in_logits(self):
        """Minimise in the logits of the batch (`dual`), if this takes fewer flops than in theta.

        Returns
        -------
        Point or None
            With its Hessian where the posterior is dense. None where the method takes more flops
            or memory, or its rounding errors are too large.
        """
        rows, sample, theta, posterior = (
            self.objective.rows, self.objective.sample, self.past.center, self.past.posterior
        )
        n_rows, width = theta.shape
        free = self._free_columns()
        n = rows.n_samples + (self.new_classes is not None) + len(free)
        flops = dual_flops(n, n_rows) + posterior.dual_flops(n, width)
        is_large = n * n_rows * max(width, n * n_rows) > _MAX_DUAL_NUMBERS
        if is_large or flops > posterior.minimisation_flops(rows):
            return None
        X = self._centred_rows()
        share = np.einsum("i,ij->j", sample.weight, X[:, free] ** 2)
        deltas = np.where(share > 0, share, sample.weight.sum())
        if self.new_classes is not None:
            X = np.concatenate([X, self.new_classes.mean[np.newaxis]])
        dual = posterior.dual(X, free, deltas)
        if dual is None:
            return None
        gram, change = dual
        logits = X @ theta.T
        of_batch = logits[:rows.n_samples]
        if rows.offset is not None:
            of_batch = of_batch + rows.offset
        rest = sample.rest(slice(None))[:, -n_rows:] if sample.is_mixed else None
        in_logits = LogitObjective(
            of_batch, *sample.labels, rest, self.new_classes, logits[-1], deltas, gram
        )
        found = minimise_dual(in_logits, (n, n_rows), _ENOUGH)
        if found is None:
            return None
        point = self.objective.evaluate(theta + change(found.theta))
        # Rounding errors of the Gram matrix show as a difference between the two values.
        if not abs(point.value - found.value) <= _AGREEMENT * abs(found.value):
            return None
        if posterior.is_dense:
            blocks = found.hessian[:len(X)]    # without those of the anchors
            point = point._replace(hessian=posterior.plus_rows(X, blocks))
        return self._checked(point)

    def _free_columns(self):
        """Return the columns of theta without a penalty."""
        return np.flatnonzero(np.append(self.past.is_free, self.objective.fit_intercept))

    def _centred_rows(self):
        """Return [x - shift, 1] of every row, dense float64; 0 for 1 without an intercept."""
        rows, coordinates = self.objective.rows, self.objective.coordinates
        given, _ = rows.on_host(self.objective.sample)
        X = np.full((rows.n_samples, rows.n_features + 1), float(coordinates.fit_intercept))
        X[:, :-1] = given.toarray() if rows.is_sparse else given
        X[:, :-1] -= coordinates.shift
        return X

    def grown(self, theta):
        """Return the past `KroneckerPosterior` plus the batch's factors at theta; one pass."""
        objective, past = self.objective, self.past.posterior
        classes, moments = objective.rows.curvature(
            objective.sample, objective.coordinates.shift, theta, past.full,
            past.classes.ndim == 2,
        )
        if self.new_classes is not None:
            more, mean = self.new_classes.factors(theta)
            squares = np.outer(mean, mean) if past.full else np.stack([mean, mean**2])
            moments = moments + np.trace(more) * squares
            classes = classes + (more if past.classes.ndim == 2 else np.diag(more))
        if not np.all(np.isfinite(moments)):
            raise ValueError(self._trouble())
        return past.plus(classes, moments)

    def _checked(self, point, excess=0.0):
        """Return `point`, or raise ValueError where any of it, or the excess, has overflowed."""
        for part in (point.value, point.grad, point.hessian, excess):
            if part is not None and not np.all(np.isfinite(part)):
                raise ValueError(self._trouble())
        return point

    def _trouble(self):
        """Return what numbers that are not finite mean."""
        return _NO_OPTIMUM if np.any(self.past.is_free) else _OVERFLOW
