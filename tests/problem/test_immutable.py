"""Solvers do not change the objective that they minimise."""

import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass
from functools import lru_cache

import numpy as np
import pytest

from softmax_reg.problem.blocks import Blocks
from softmax_reg.problem.penalty import penalty_of
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows
from softmax_reg.solvers import SOLVERS, Monitor, minimise

from ..problems import objective_of, random_problem

# The package's name of the module is the function's.
FUNCTIONS = sys.modules["softmax_reg.solvers.minimise"]._FUNCTIONS
L2, L1, GROUPED = (0.0, False), (1.0, False), (1.0, True)    # l1_ratio, grouped
CASES = [(solver, L2) for solver in SOLVERS] + [
    (solver, penalty) for solver in FUNCTIONS if solver not in SOLVERS for penalty in (L1, GROUPED)
]
STRENGTHS = 0.02, 0.014
TOL = 1e-10


def penalty(kind_of_penalty, strength):
    """With a factor for each of the features of `make`."""
    l1_ratio, grouped = kind_of_penalty
    factor = np.array([1.0, 0.5, 2.0, 1.0, 1.0])
    blocks = Blocks.single(len(factor)) if grouped else None
    return penalty_of(strength, l1_ratio=l1_ratio, factor=factor, blocks=blocks)


def make(n_rows, penalty, kind=MemoryRows):
    """An objective of five features, one of them constant."""
    X, y, weight, _ = random_problem(60, 5, n_rows)
    X[:, 3] = 7.0
    return objective_of(X, y, weight, kind=kind, n_classes=max(n_rows, 2), binary=n_rows == 1,
                        penalty=penalty, fit_intercept=True)


def fit(objective, solver="auto", point=None, carry=None):
    """Certified to TOL."""
    monitor = Monitor(objective, tol=TOL, max_iter=1000)
    result = minimise(objective, point, monitor, solver, carry)
    assert result.status == "converged" and 0 <= result.gap <= TOL * result.value
    return result


@lru_cache
def optimum(n_rows, kind_of_penalty, strength):
    """The value where the solver of `choose_solver` ends, on an objective that is left alone."""
    return fit(make(n_rows, penalty(kind_of_penalty, strength))).value


def arrays_in(thing, name):
    """(name, array) of all arrays in dataclasses and tuples, however deep."""
    if isinstance(thing, np.ndarray):
        yield name, thing
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays_in(getattr(thing, field.name), f"{name}.{field.name}")
    elif isinstance(thing, tuple):
        names = getattr(thing, "_fields", range(len(thing)))
        for field, part in zip(names, thing, strict=True):
            yield from arrays_in(part, f"{name}.{field}")


def arrays_of(objective):
    """{name: array} of all that an objective holds."""
    arrays = dict(arrays_in(objective, "objective"))
    arrays["rows.X"] = objective.rows.X
    arrays["coordinates.zeros"] = objective.coordinates.zeros
    return arrays


def test_all_arrays_of_an_objective_are_found():
    """Those of its rows, its sample, its penalty, its coordinates and its certificate."""
    names = set(arrays_of(make(3, penalty(L2, 0.02))))
    assert names == {
        "rows.X", "coordinates.zeros", "objective.sample.target", "objective.sample.weight",
        "objective.penalty.factor", "objective.coordinates.shift",
        "objective.coordinates.is_constant", "objective.coordinates.is_tiny",
        "objective.null_point.theta",
        "objective.null_point.grad", "objective.null_point.loss_grad", "objective._row_mean",
        "objective._class_sums",
    }


@pytest.mark.parametrize("kind", [MemoryRows, ReferenceRows])
def test_nothing_is_assigned_to_an_objective(kind):
    """Neither a field of it or of its coordinates, nor anything else."""
    objective = make(3, penalty(L2, 0.02), kind)
    for frozen in (objective, objective.coordinates):
        for name in [*(field.name for field in fields(frozen)), "kept"]:
            before = getattr(frozen, name, None)
            with pytest.raises(FrozenInstanceError):
                setattr(frozen, name, before)


@pytest.mark.parametrize("kind", [MemoryRows, ReferenceRows])
@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("solver, kind_of_penalty", CASES)
def test_solvers_leave_their_objective_as_it_was(solver, kind_of_penalty, n_rows, kind):
    """Read-only arrays do for every solver, also with what the last fit left: the same optimum.

    Two values within TOL of their optimum differ by no more than that, relatively; 1e-9 is
    ten times as much. Afterwards every array has the bits that it had.
    """
    objective = make(n_rows, penalty(kind_of_penalty, STRENGTHS[0]), kind)
    arrays = arrays_of(objective)
    before = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    null_value, point, carry = objective.null_point.value, None, None
    for strength in STRENGTHS:
        other = objective.with_penalty(penalty(kind_of_penalty, strength))
        start = None if point is None else other.repenalised(point)
        result = fit(other, solver, start, carry)
        assert result.solver == solver
        expected = optimum(n_rows, kind_of_penalty, strength)
        assert result.value == pytest.approx(expected, rel=1e-9)
        point, carry = result.point, result.carry
    assert objective.null_point.value == null_value
    after = arrays_of(objective)
    assert after.keys() == before.keys()
    for name, array in after.items():
        assert array is arrays[name] and not array.flags.writeable, name
        assert array.tobytes() == before[name].tobytes(), name
