"""Private names of scikit-learn that the estimators use, in one place.

There are no public ones, and scikit-learn's own estimators use them: `_fit_context` applies the
configuration and validates parameters once; `Interval` and `StrOptions` are the constraints of
parameters, whose errors users know; `_check_method_params` takes rows of arguments of a fold;
`_raise_for_params` and `_routing_enabled` are for metadata; those of `_array_api` recognise arrays
of other libraries. All exist, with these arguments, in scikit-learn 1.6 to 1.9.

`notebook.py` overrides two private methods that scikit-learn calls for tables in notebooks:
`_get_params_html` (from 1.7 on; with a link from 1.8 on) and `_get_fitted_attr_html` (from 1.9
on). It replaces `_html_repr` of the tables that these return.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.utils._array_api import _convert_to_numpy as convert_to_numpy
from sklearn.utils._array_api import _is_numpy_namespace as is_numpy_namespace
from sklearn.utils._array_api import _max_precision_float_dtype as max_precision_float_dtype
from sklearn.utils._array_api import get_namespace_and_device
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_method_params as check_method_params

__all__ = [
    "Interval", "StrOptions", "check_method_params", "convert_to_numpy", "fit_context",
    "get_namespace_and_device", "is_numpy_namespace", "max_precision_float_dtype",
    "raise_for_params", "routing_enabled",
]

Method = TypeVar("Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
    """Return the decorator `_fit_context`, with a type that keeps the method's signature."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
