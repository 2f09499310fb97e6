"""Arguments of `influence` and `score_test`, and what these and `lr_test` refuse."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from ..inference.covariance import contrasts_of, inverse_hessian
from ..inference.influence import influence_at
from ..inference.information import information_at
from ..inference.score_test import score_test_at
from ..rows.device_input import is_on_device
from ..rows.row_blocks import RowBlocks
from .array_api import on_host
from .standard_errors import check_distance, check_model, checked_fit
from .validation import in_blocks


def check_in_memory(model, X, method):
    """Raise a ValueError if the model is of Dask, or X not in memory on the host.

    method : str
        Name of the method, for messages.
    """
    if hasattr(model, "to_local"):
        raise ValueError(
            f"{method} takes no Dask models. Use to_local().{method} with arrays in memory."
        )
    if isinstance(X, RowBlocks) or is_on_device(X) or hasattr(X, "dask"):
        raise ValueError(f"{method} needs X in memory on the host, got {type(X).__name__}.")


def check_unpenalised(C, method, why):
    """Raise a ValueError if there is a penalty."""
    if C < np.inf:
        raise ValueError(
            f"{method} needs a fit without a penalty, got C={C!r}: {why}. Refit with C=np.inf."
        )


def influence_of(model, X, y, sample_weight, offset):
    """Return the `Influence` of a fitted model; arguments of `influence`."""
    fit, found, contrasts = _at_optimum(model, "influence", X, y, sample_weight, offset)
    return influence_at(fit.objective, contrasts, fit.total_weight, found.edf)


def score_test_of(model, X, y, X_extra, sample_weight, offset, by_column):
    """Return the `ScoreTest` of a fitted model; arguments of `score_test`."""
    check_model(model, "score_test")
    check_unpenalised(model.C, "score_test", "a penalty biases the scores")
    extra, names = _checked_extra(X_extra)
    fit, found, contrasts = _at_optimum(model, "score_test", X, y, sample_weight, offset)
    if extra.shape[0] != len(fit.weight):
        raise ValueError(
            f"X_extra must have a row for each of the {len(fit.weight)} rows of X, got "
            f"{extra.shape[0]}."
        )
    return score_test_at(
        fit.objective, contrasts, found, fit.total_weight, extra, names, bool(by_column)
    )


def _at_optimum(model, method, X, y, sample_weight, offset):
    """Return (`CheckedFit`, `Information`, `Contrasts`) of a fitted model at its optimum."""
    check_model(model, method)
    if model.prior is not None:
        raise ValueError(
            f"{method} takes no prior, got prior={model.prior!r}: the scores of its estimates do "
            "not sum to zero. Refit with prior=None."
        )
    check_in_memory(model, X, method)
    X = on_host(X)
    if isinstance(in_blocks(X), RowBlocks):
        raise ValueError(
            f"{method} reads X in memory, got an array in a file of {X.nbytes / 2**30:.3g} GiB. "
            "Pass np.array(X), or a smaller one."
        )
    fit = checked_fit(model, X, y, sample_weight, offset)
    objective = fit.objective
    with objective.algebra.one_blas_thread():
        point = objective.evaluate(objective.from_coef(fit.coef, fit.intercept))
        found = information_at(
            objective, point, fit.total_weight, (fit.classes, fit.features)
        )
        check_distance(found.newton_decrement)
        covariance = inverse_hessian(found, fit.total_weight)
    return fit, found, contrasts_of(objective, point.theta, covariance, fit.features)


def _checked_extra(X_extra):
    """Return left-out columns, (n_samples, q) array or CSR, and their names.

    Raises
    ------
    ValueError
        If they are not finite real numbers in memory, or there are none.
    """
    if isinstance(X_extra, RowBlocks) or is_on_device(X_extra) or hasattr(X_extra, "dask"):
        raise ValueError(
            f"X_extra must be in memory on the host, got {type(X_extra).__name__}. Rows of Dask: "
            "use to_local().score_test with arrays in memory."
        )
    if X_extra is None or np.isscalar(X_extra):
        raise ValueError(
            f"X_extra must have shape (n_samples, n_columns) or (n_samples,), got {X_extra!r}."
        )
    X_extra = on_host(X_extra)
    columns, name = getattr(X_extra, "columns", None), getattr(X_extra, "name", None)
    if columns is None and name is not None:    # a Series
        columns = [name]
    try:
        extra = check_array(
            X_extra, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_2d=False,
            input_name="X_extra",
        )
    except (TypeError, ValueError) as error:
        if "X_extra" in str(error):
            raise
        raise ValueError(f"X_extra must hold real numbers: {error}") from error
    if extra.ndim > 2:
        raise ValueError(
            "X_extra must have shape (n_samples, n_columns) or (n_samples,), got shape "
            f"{extra.shape}."
        )
    extra = extra.reshape(-1, 1) if extra.ndim == 1 else extra
    if sparse.issparse(extra) and not extra.has_canonical_format:
        extra = extra.copy()
        extra.sum_duplicates()
    names = range(extra.shape[1]) if columns is None else columns
    return extra, list(map(str, names))
