"""The public names of the package, found from its modules and what their annotations reach."""

import importlib
import inspect
import re
import typing
from pathlib import Path

import softmax_reg

PACKAGE = Path(softmax_reg.__file__).parent
# Modules that users import from. `typing` is that of this package.
MODULES = ["softmax_reg", "softmax_reg.dask", "softmax_reg.inference", "softmax_reg.onnx",
           "softmax_reg.typing"]


def public_face(modules=MODULES):
    """(functions, classes): exported ones, and classes that annotations of these name."""
    functions, classes, left = {}, {}, []
    for module in map(importlib.import_module, modules):
        left += [getattr(module, name) for name in module.__all__]
    while left:
        found = left.pop()
        if isinstance(found, type) and _is_ours(found) and found not in classes:
            classes[found] = None
            left += found.__mro__
            left += _named(typing.get_type_hints(found))
            for method in methods(found):
                left += _named(typing.get_type_hints(method))
        elif inspect.isfunction(found) and found not in functions:
            functions[found] = None
            left += _named(typing.get_type_hints(found))
    return list(functions), list(classes)


def methods(cls):
    """Functions that the class itself defines: public and special ones, getters of properties."""
    found = []
    for name, value in vars(cls).items():
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if inspect.isfunction(value) and (not name.startswith("_") or name.endswith("__")):
            value = inspect.unwrap(value)
            if Path(value.__code__.co_filename).is_relative_to(PACKAGE):    # not generated
                found.append(value)
    return found


def documented(obj, section="Parameters"):
    """Names that a numpydoc section of obj's docstring lists, in order."""
    text = inspect.getdoc(obj)
    match = re.search(rf"^{section}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.M | re.S)
    if match is None:
        return []
    names = re.findall(r"^([\w*][\w, *]*?) ?(?::|$)", match.group(1), re.M)
    return [name.lstrip("*") for group in names for name in group.split(", ")]


def _is_ours(cls):
    return cls.__module__.split(".")[0] == "softmax_reg"


def _named(hints):
    """Classes within annotations."""
    left, found = list(hints.values()), []
    while left:
        hint = left.pop()
        found += [part for part in (hint, typing.get_origin(hint)) if isinstance(part, type)]
        left += typing.get_args(hint)
    return found
