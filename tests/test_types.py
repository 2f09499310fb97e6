"""Types of the public face: complete, resolvable, and true of what users hold."""

import inspect
import types
import typing
from typing import Any, Literal

import numpy as np
import pytest
from sklearn.datasets import load_iris

import softmax_reg
from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.display.convergence import _X_LABELS, XAxis
from softmax_reg.display.regularization_path import _Y_LABELS, Kind
from softmax_reg.inference import compare
from softmax_reg.inference.covariance import PENALISED, UNPENALISED
from softmax_reg.inference.description import EFFECTS, PLACES, Effect, Place
from softmax_reg.typing import CovarianceType

from .public_face import MODULES, PACKAGE, documented, methods, public_face

pytest.importorskip("distributed")
FUNCTIONS, CLASSES = public_face()
METHODS = [method for cls in CLASSES for method in methods(cls)]
# Methods without arguments that change nothing.
CALLED = {"__len__", "__repr__", "conf_int", "cov_params", "odds_ratios", "summary",
          "wald_test_terms"}


def is_of_type(value, hint):
    """Whether a value is of the annotated type; what cannot be seen at run time counts as true."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(is_of_type(value, arg) for arg in args)
    if origin is Literal:
        return value in args
    if origin is np.ndarray:
        (scalar,) = typing.get_args(args[1])
        scalar = typing.get_origin(scalar) or scalar
        return isinstance(value, np.ndarray) and (
            scalar is Any or np.issubdtype(value.dtype, scalar)
        )
    if origin is dict:
        return isinstance(value, dict) and all(
            is_of_type(key, args[0]) and is_of_type(item, args[1]) for key, item in value.items()
        )
    if origin is tuple and args[-1] is Ellipsis:
        return isinstance(value, tuple) and all(is_of_type(item, args[0]) for item in value)
    if hint is float:    # an int counts as a float for type checkers
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def held():
    """(name, object) of what users hold after fits of every kind."""
    X, y = load_iris(return_X_y=True)
    X, names = X[:, :2], np.array(["setosa", "versicolor", "virginica"])[y]
    yield "float64", SoftmaxRegression().fit(X, y)
    yield "float32, two classes", SoftmaxRegression(l1_ratio=0.5).fit(X.astype("f4"), y > 0)
    yield "offset", SoftmaxRegression().fit(X, names, offset=np.zeros((len(y), 3)))
    yield "partial_fit", SoftmaxRegression().partial_fit(X, y, classes=range(3))
    yield "Jeffreys", SoftmaxRegression(C=np.inf, prior="jeffreys").fit(X, y)
    for refit in (True, False):
        cv = SoftmaxRegressionCV(Cs=[0.1, 1], l1_ratios=[0], cv=3, refit=refit).fit(X, names)
        yield f"CV, refit={refit}", cv
    yield "path", softmax_path(X, y, n_Cs=3)
    yield "RowBlocks", RowBlocks(X)
    few, kind = X[50:], names[50:]
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(few, kind)
    result = model.inference(few, kind, reference="versicolor")
    smaller = SoftmaxRegression(C=np.inf, tol=1e-10).fit(few[:, :1], kind)
    groups = np.arange(100) // 2
    yield "result", result
    clustered = model.inference(few, kind, cov_type="cluster", groups=groups)
    yield "clusters", clustered
    yield "shrunken", SoftmaxRegression(tol=1e-8).fit(few, kind).inference(
        few, kind, cov_type="bayes")
    yield "contrasts", result.contrasts
    yield "effects", result.marginal_effects(few)
    yield "interval", result.prediction_interval(few)
    yield "Wald", clustered.wald_test([0, 1, 0])
    yield "LR", model.lr_test(few, kind, [1])
    yield "score test", smaller.score_test(few[:, :1], kind, few[:, 1])
    yield "influence", model.influence(few, kind)
    yield "comparison", compare(result, smaller.inference(few[:, :1], kind))


@pytest.mark.parametrize("function", [*FUNCTIONS, *METHODS], ids=lambda f: f.__qualname__)
def test_signatures_are_annotated(function):
    """Every parameter and the result; the annotations resolve at run time."""
    function = inspect.unwrap(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    for name, parameter in signature.parameters.items():
        assert name in ("self", "cls") or parameter.annotation is not parameter.empty, name
    assert typing.get_type_hints(function)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__qualname__)
def test_documented_attributes_are_annotated(cls):
    """The names of the section "Attributes", in the class or a base."""
    assert set(documented(cls, "Attributes")) <= typing.get_type_hints(cls).keys()


def test_annotations_are_true_of_what_users_hold():
    """Attributes, properties and results of methods without arguments have the type they say."""
    wrong, n_seen = [], 0
    for where, thing in held():
        cls = type(thing)
        hints = {name: hint for name, hint in typing.get_type_hints(cls).items()
                 if hasattr(thing, name)}
        values = [(name, getattr(thing, name), hint) for name, hint in hints.items()]
        for method in (method for base in cls.__mro__ for method in methods(base)):
            name, hint = method.__name__, typing.get_type_hints(method).get("return", Any)
            if isinstance(inspect.getattr_static(cls, name), property):
                values.append((name, getattr(thing, name), hint))
            elif name in CALLED:
                values.append((name, getattr(thing, name)(), hint))
        n_seen += len(values)
        wrong += [(where, name, value, hint) for name, value, hint in values
                  if not is_of_type(value, hint)]
    assert not wrong
    assert n_seen > 200


@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_literals_of_parameters_are_the_values_accepted(estimator):
    """The strings of a Literal, and None, are those of scikit-learn's constraints."""
    hints = typing.get_type_hints(inspect.unwrap(estimator.__init__))
    n_seen = 0
    for name, constraints in estimator._parameter_constraints.items():
        options = {option for constraint in constraints
                   for option in getattr(constraint, "options", ())}
        if options and name != "scoring":
            n_seen += 1
            assert options == {value for value in literals(hints[name]) if value is not None}
    assert n_seen >= 4


def literals(hint):
    """Values of the Literals within an annotation."""
    if typing.get_origin(hint) is Literal:
        return set(typing.get_args(hint))
    return {value for arg in typing.get_args(hint) for value in literals(arg)}


@pytest.mark.parametrize("hint, known", [
    (CovarianceType, (*UNPENALISED, *PENALISED)), (Effect, EFFECTS), (Place, PLACES),
    (XAxis, _X_LABELS), (Kind, _Y_LABELS),
], ids=["covariances", "effects", "places", "x", "kinds"])
def test_literals_are_the_values_accepted(hint, known):
    assert literals(hint) == set(known)


def test_the_package_says_that_it_has_types():
    """`py.typed`, and every public module says what it exports."""
    assert (PACKAGE / "py.typed").exists()
    assert "softmax_reg" in MODULES and softmax_reg.SoftmaxRegression in CLASSES
