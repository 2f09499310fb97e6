"""The line search on functions of one variable."""

import numpy as np
import pytest

from softmax_reg.problem.objective import Point
from softmax_reg.solvers.line_search import line_search


class Curve:
    """A convex function of one variable in the clothes of an objective."""

    def __init__(self, value, slope):
        self._value, self._slope = value, slope
        self.n_evaluations = 0
        self.dtypes = set()

    def evaluate(self, theta, with_hessian=False, dtype=np.float64):
        self.n_evaluations += 1
        self.dtypes.add(dtype)
        x = theta[0, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            value, grad = self._value(x), np.array([[self._slope(x)]])
        return Point(theta, value, grad, value, grad, 0)


CURVES = {
    "parabola": (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1)),
    "far minimum": (lambda x: 1e-6 * (x - 1e3) ** 2, lambda x: 2e-6 * (x - 1e3)),
    "near minimum": (lambda x: (x - 1e-6) ** 2, lambda x: 2 * (x - 1e-6)),
    "logistic": (lambda x: np.logaddexp(0, -x) + 1e-3 * x, lambda x: 1e-3 - 1 / (1 + np.exp(x))),
    "overflowing": (lambda x: np.exp(1e3 * x) - 2e3 * x, lambda x: 1e3 * np.exp(1e3 * x) - 2e3),
    "kink": (lambda x: max(-x, 50 * (x - 0.1)), lambda x: -1.0 if x < 0.1 / 51 * 50 else 50.0),
}


# A kink rounded over 1e-6 of the first step: no two secants in succession find it.
CURVES["rounded kink"] = (
    lambda x: 1e-6 * np.logaddexp(0, (x - 1e-3) / 1e-6) - 1e-3 * x,
    lambda x: 1 / (1 + np.exp((1e-3 - x) / 1e-6)) - 1e-3,
)


@pytest.mark.parametrize("name", [name for name in CURVES if name != "kink"])
def test_line_search_meets_the_wolfe_conditions(name):
    """Lower value and a slope cut to 90 % or less, in few evaluations."""
    objective = Curve(*CURVES[name])
    start = objective.evaluate(np.zeros((1, 1)))
    direction = -start.grad
    slope = -np.sum(start.grad**2)
    new, step = line_search(objective, start, direction, slope)
    assert new.value < start.value and step > 0
    assert abs(np.sum(new.grad * direction)) <= 0.9 * abs(slope)
    assert objective.n_evaluations <= 25


def test_line_search_gives_up_where_no_step_is_acceptable():
    """A kink has no point of small slope: None, in a bounded number of evaluations."""
    objective = Curve(*CURVES["kink"])
    start = objective.evaluate(np.zeros((1, 1)))
    new, step = line_search(objective, start, np.ones((1, 1)), -1.0)
    assert new is None and step == 0
    assert objective.n_evaluations <= 31


def test_line_search_starts_where_it_is_told():
    """first=0.25 on a parabola whose minimum is there: one evaluation."""
    objective = Curve(*CURVES["parabola"])
    start = objective.evaluate(np.zeros((1, 1)))
    new, step = line_search(objective, start, np.full((1, 1), 4.0), -8.0, first=0.25)
    assert step == 0.25 and new.value == 0 and objective.n_evaluations == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_line_search_accepts_values_that_tie(dtype):
    """The value rises by a rounding error, the slope is 0: done at the first trial."""
    eps = float(np.finfo(dtype).eps)
    objective = Curve(lambda x: 1.0 + (eps if x > 0 else 0.0), lambda x: 2e-20 * (x - 1))
    start = objective.evaluate(np.zeros((1, 1)), dtype=dtype)
    _, step = line_search(
        objective, start, np.ones((1, 1)), -2e-20, single=dtype == np.float32
    )
    assert step == 1 and objective.n_evaluations == 2 and objective.dtypes == {dtype}


def test_line_search_turns_back_where_the_value_is_no_number():
    """Whatever the slope claims there."""
    objective = Curve(
        lambda x: (x - 1) ** 2 if x < 1.9 else np.nan, lambda x: 2 * (x - 1) if x < 1.9 else -1.0
    )
    start = objective.evaluate(np.zeros((1, 1)))
    new, step = line_search(objective, start, -start.grad, -4.0)
    assert 0 < step < 0.95 and new.value < start.value
