"""Arrays of other libraries, where scikit-learn's array API dispatch is on.

With ``sklearn.config_context(array_api_dispatch=True)`` arrays of PyTorch and other libraries
that follow the array API standard become NumPy's where they come in, without a copy if they are
in the host's memory. Fitted attributes and predictions leave in the library, and on the device,
of the input, as those of `LogisticRegression` do. Without the dispatch all results are NumPy's.

Arrays on a CUDA device need no switch and stay there; `rows.device_input` is for them.
"""

import numpy as np
from sklearn import get_config

from ..rows import device_input
from ..rows.device_input import is_on_device
from .scikit_learn import (
    convert_to_numpy,
    get_namespace_and_device,
    is_numpy_namespace,
    max_precision_float_dtype,
)


def library_of(array):
    """Return the namespace and the device of an array that scikit-learn dispatches.

    Returns
    -------
    (namespace, device)
        Or None for NumPy's arrays, for what is no array, for Dask's arrays and arrays on a CUDA
        device, and without `array_api_dispatch`.
    """
    if array is None or isinstance(array, np.ndarray) or not get_config()["array_api_dispatch"]:
        return None
    if is_on_device(array) or hasattr(array, "dask"):
        return None
    try:
        namespace, _, device = get_namespace_and_device(array)
    except TypeError:    # `RowBlocks`, a number, or with scikit-learn < 1.7 a list or DataFrame
        return None
    return None if is_numpy_namespace(namespace) else (namespace, device)


def as_numpy(array):
    """Return an array of any library as an ndarray; see `device_input.as_numpy`.

    Arrays that scikit-learn dispatches are copied only from other devices, and from bfloat16 to
    float32. PyTorch raises a RuntimeError for a tensor that requires gradients: it would lose
    them.
    """
    library = library_of(array)
    if library is None:
        return device_input.as_numpy(array)
    namespace, _ = library
    if array.dtype == getattr(namespace, "bfloat16", None):    # NumPy has no such dtype
        array = namespace.astype(array, namespace.float32)
    return convert_to_numpy(array, namespace)


def on_host(*values):
    """Return the arrays of other libraries among `values` as ndarrays, and the rest unchanged.

    Returns
    -------
    list, or the only value
    """
    moved = [
        as_numpy(value) if is_on_device(value) or library_of(value) is not None else value
        for value in values
    ]
    return moved[0] if len(values) == 1 else moved


def in_kind_of(X):
    """Return a function that converts ndarrays to the library and the device of X.

    Without a copy where the library can take them as they are. On a device without float64,
    float64 becomes float32. The results are ndarrays where `library_of(X)` is None, but for an X
    on a CUDA device.
    """
    library = library_of(X)
    if library is None:
        return device_input.in_kind_of(X)
    namespace, device = library

    def converted(array):
        if array.dtype == np.float64 and (
            max_precision_float_dtype(namespace, device) == namespace.float32
        ):
            array = array.astype(np.float32)
        # PyTorch takes no negative strides, and warns of arrays that it may not write to.
        return namespace.asarray(np.require(array, requirements="CW"), device=device)

    return converted


def as_given(X, y, on_device=()):
    """Return a function that converts a dict of fitted attributes to the libraries of X and y.

    `classes_` and "y" follow y, other arrays X. Arrays that do not hold numbers stay NumPy's.

    Parameters
    ----------
    X, y : as given to `fit`
    on_device : tuple of str
        Names of the attributes that go to the device of an X that is on a CUDA device.
    """
    to_X, to_y, stays = in_kind_of(X), as_numpy, is_on_device(X)
    if library_of(y) is not None:
        to_y = in_kind_of(y)

    def converted(name, value):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            return value
        if name in ("classes_", "y"):
            return to_y(value)
        return value if stays and name not in on_device else to_X(value)

    return lambda fitted: {name: converted(name, value) for name, value in fitted.items()}


def check_same_library(model, X, method):
    """Raise a ValueError if X is not of the library and device of the arrays of `fit`.

    scikit-learn demands this of estimators where its dispatch is on: the type of a prediction
    then never depends on where a model was moved. Arrays on a CUDA device are free to differ.

    Parameters
    ----------
    model : estimator
        Compared by `intercept_`, which `sparsify` leaves as it is; without one nothing happens.
    X : as given to `method`
    method : str
    """
    intercept = vars(model).get("intercept_")
    if not get_config()["array_api_dispatch"] or intercept is None:
        return
    if is_on_device(X) or is_on_device(intercept):
        return
    fitted, given = library_of(intercept), library_of(X)
    if fitted == given:
        return
    fitted, given = (
        "NumPy" if library is None else f"{library[0].__name__} on {library[1]}"
        for library in (fitted, given)
    )
    raise ValueError(
        f"Inputs passed to {type(model).__name__}.{method}() must use the same namespace and the "
        f"same device as those passed to fit(): {fitted}, got {given}. Convert X, or predict with "
        "array_api_dispatch=False, which takes both and returns NumPy arrays."
    )


def model_on_host(model):
    """Return a copy of a fitted model with ndarrays as attributes; the model if it has no others.

    Scorers that get rows in NumPy need it, see `check_same_library`.
    """
    moved = {
        name: as_numpy(value) for name, value in vars(model).items()
        if name.endswith("_") and hasattr(value, "__dlpack__")
        and not isinstance(value, np.ndarray)
    }
    if not moved:
        return model
    copy = object.__new__(type(model))
    vars(copy).update(vars(model) | moved)
    return copy
