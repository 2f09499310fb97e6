"""`DaskSoftmaxRegression`: the same model on the rows of a Dask cluster.

Needs dask and distributed (extra ``dask``).
"""

from __future__ import annotations

import copy
from typing import Any, Literal, NoReturn, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

try:
    from dask import delayed
    from dask.array import Array
    from distributed import Client, default_client
except ImportError as error:
    raise ImportError(
        "softmax_reg.dask needs dask and distributed: python -m pip install "
        "'dask[array,dataframe]' distributed."
    ) from error

from .estimators.attributes import Bounds, ClassWeight, Device, Precision, Solver
from .estimators.partitions import check_partitions
from .estimators.regression import SoftmaxRegression
from .estimators.scikit_learn import fit_context
from .estimators.standard_errors import (
    check_columns,
    check_cov_type,
    check_model,
    placed_fit,
    result_of,
)
from .estimators.targets import are_distributions, targets_right
from .inference.result import InferenceResult
from .problem.distributed import DistributedProblem
from .rows.cluster import check_open
from .rows.dask_input import aligned_parts, as_dask_array
from .typing import DaskCollection, MatrixLike, RandomState

__all__ = ["DaskSoftmaxRegression"]


class DaskSoftmaxRegression(SoftmaxRegression):
    """`SoftmaxRegression` of Dask arrays and DataFrames, on the workers of a cluster.

    Parameters, attributes (NumPy arrays), optimum and certificate are those of
    `SoftmaxRegression`; only `device`, `precision`, `prior` and offsets are missing. Every pass
    over the rows is one task for each worker, on the partitions that it holds, with the compiled
    kernels; the solver runs where `fit` is called. After the loss of a worker its partitions are
    computed again.

    Parameters
    ----------
    client : distributed.Client, default=None
        None is the current default client.
    C, l1_ratio, tol, fit_intercept, class_weight, random_state, solver, max_iter, verbose, \
warm_start, grouped, penalty_factor, groups, label_smoothing, bounds
        As in `SoftmaxRegression`.

    Attributes
    ----------
    coef_, intercept_, classes_, objective_, dual_gap_, ...
        As in `SoftmaxRegression`.

    See Also
    --------
    SoftmaxRegression : On one machine; `RowBlocks` where the rows are in a file.

    Notes
    -----
    Partitions are held in the memory of the workers during a fit. The graphs of the collections
    compute them, and compute them again after a worker is lost. So the data that graphs read must
    not change, and random sources need a seed; otherwise a RuntimeError says so.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg.dask import DaskSoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> with Client(processes=False, n_workers=1, threads_per_worker=1,
    ...             dashboard_address=None) as client:
    ...     X, y = da.from_array(X, chunks=(50, 13)), da.from_array(y, chunks=50)
    ...     model = DaskSoftmaxRegression(client=client).fit(X, y)
    ...     labels = model.predict(X)    # lazy
    ...     labels[:3].compute()
    array([0, 0, 0])
    >>> bool(model.dual_gap_ <= 1e-4 * model.objective_)
    True
    """

    _documented_as_in = SoftmaxRegression
    _parameter_constraints: dict = {
        name: constraint
        for name, constraint in SoftmaxRegression._parameter_constraints.items()
        if name not in ("device", "precision", "prior")
    } | {"client": "no_validation"}
    # Not parameters here.
    device: Device = "cpu"
    precision: Precision = "auto"
    prior: None = None

    def __init__(
        self,
        *,
        client: Client | None = None,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: ClassWeight = None,
        random_state: RandomState = None,
        solver: Solver = "auto",
        max_iter: int = 1000,
        verbose: int = 0,
        warm_start: bool = False,
        grouped: bool = False,
        penalty_factor: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        label_smoothing: float = 0.0,
        bounds: Bounds = None,
    ) -> None:
        self.client = client
        self.C = C
        self.l1_ratio = l1_ratio
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.grouped = grouped
        self.penalty_factor = penalty_factor
        self.groups = groups
        self.label_smoothing = label_smoothing
        self.bounds = bounds

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: DaskCollection,
        y: DaskCollection | ArrayLike,
        sample_weight: DaskCollection | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : dask Array or DataFrame of shape (n_samples, n_features)
            Blocks of rows, dense or CSR; chunks along the features are joined.
        y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_classes)
            Labels; or distributions over the classes, or counts, as in `SoftmaxRegression`.
            Partitioned as X is. An Array is rechunked where its chunks and those of X are known;
            then y may also be an ndarray.
        sample_weight : dask Array or Series of shape (n_samples,), default=None
            Partitioned as `y`.

        Returns
        -------
        self : DaskSoftmaxRegression

        Raises
        ------
        TypeError
            If X is no Dask collection.
        ValueError
            If `SoftmaxRegression` refuses an argument (the message names the partition), or the
            client is asynchronous.
        RuntimeError
            If the client is closed during the fit, the cluster stays without workers, or lost
            partitions cannot be computed again as they were.
        """
        client = default_client() if self.client is None else self.client
        if client.asynchronous:
            raise ValueError(
                "client must be synchronous, got an asynchronous one: Client(asynchronous=False)."
            )
        check_open(client)
        data = check_partitions(self, client, X, y, sample_weight)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        return self._fit(data, DistributedProblem, metadata, dict)

    @property
    def partial_fit(self) -> NoReturn:
        """Not available: use `SoftmaxRegression.partial_fit` on one machine."""
        raise AttributeError(
            "DaskSoftmaxRegression has no partial_fit. Use SoftmaxRegression.partial_fit on each "
            "batch."
        )

    @overload
    def decision_function(self, X: DaskCollection) -> Array: ...
    @overload
    def decision_function(self, X: MatrixLike) -> NDArray[Any]: ...
    def decision_function(self, X: DaskCollection | MatrixLike) -> Array | NDArray[Any]:
        """Compute the logits of the classes; for Dask collections a lazy Dask array."""
        return self._blockwise("decision_function", X)

    @overload
    def predict(self, X: DaskCollection) -> Array: ...
    @overload
    def predict(self, X: MatrixLike) -> NDArray[Any]: ...
    def predict(self, X: DaskCollection | MatrixLike) -> Array | NDArray[Any]:
        """Predict the most probable class of each row; for Dask collections a lazy Dask array."""
        return self._blockwise("predict", X)

    @overload
    def predict_proba(self, X: DaskCollection) -> Array: ...
    @overload
    def predict_proba(self, X: MatrixLike) -> NDArray[Any]: ...
    def predict_proba(self, X: DaskCollection | MatrixLike) -> Array | NDArray[Any]:
        """Predict the probability of each class; for Dask collections a lazy Dask array."""
        return self._blockwise("predict_proba", X)

    @overload
    def predict_log_proba(self, X: DaskCollection) -> Array: ...
    @overload
    def predict_log_proba(self, X: MatrixLike) -> NDArray[Any]: ...
    def predict_log_proba(self, X: DaskCollection | MatrixLike) -> Array | NDArray[Any]:
        """Predict the log-probability of each class; for Dask collections a lazy Dask array."""
        return self._blockwise("predict_log_proba", X)

    def score(
        self,
        X: DaskCollection | MatrixLike,
        y: DaskCollection | ArrayLike,
        sample_weight: DaskCollection | ArrayLike | None = None,
    ) -> float:
        """Return the accuracy of `predict`: a number, not a lazy result.

        Where y has shape (n_samples, n_classes), the predicted class of a row gets its share.

        Parameters
        ----------
        X, y, sample_weight
            Dask collections as in `fit`, or arrays as in `SoftmaxRegression`.

        Returns
        -------
        score : float
        """
        if not hasattr(X, "dask"):
            return self.to_local().score(X, y, sample_weight)
        _, parts, others = aligned_parts(X, {"y": y, "sample_weight": sample_weight})
        y, weight = others["y"], others["sample_weight"]
        model = delayed(self.to_local(), pure=False)
        sums = [
            delayed(_scored)(model, part, y[i], weight and weight[i])
            for i, part in enumerate(parts)
        ]
        client = default_client() if self.client is None else self.client
        right, total = np.sum(client.gather(client.compute(sums)), axis=0)
        return float(right / total)

    def inference(
        self,
        X: DaskCollection | MatrixLike,
        y: DaskCollection | ArrayLike,
        sample_weight: DaskCollection | ArrayLike | None = None,
        *,
        cov_type: Literal["nonrobust", "bayes", "frequentist"] | None = None,
        reference: Any = None,
    ) -> InferenceResult:
        """Compute standard errors, tests and intervals of the fitted model.

        As `SoftmaxRegression.inference`, with sums of blocks on the workers. Errors that are
        robust, tests that refit, and influence need arrays in memory: `to_local` has them.

        Parameters
        ----------
        X, y, sample_weight
            Dask collections of `fit`, or arrays as in `SoftmaxRegression`.
        cov_type : {"nonrobust", "bayes", "frequentist"}, default=None
            None is "nonrobust" without a penalty and "bayes" with one.
        reference : label, default=None
            As in `SoftmaxRegression.inference`.

        Returns
        -------
        softmax_reg.inference.InferenceResult

        Raises
        ------
        ValueError
            As `SoftmaxRegression.inference`.
        """
        check_model(self)
        if cov_type is None:
            cov_type = "nonrobust" if self.C == np.inf else "bayes"
        if not hasattr(X, "dask"):
            return self.to_local().inference(
                X, y, sample_weight, cov_type=cov_type, reference=reference
            )
        if cov_type in ("HC0", "HC1", "cluster"):
            raise ValueError(
                f"cov_type={cov_type!r} needs arrays in memory: use to_local().inference."
            )
        check_cov_type(self, cov_type, None)
        client = default_client() if self.client is None else self.client
        check_open(client)
        data = check_partitions(self, client, X, y, sample_weight)
        if not np.array_equal(data.classes, self.classes_):
            raise ValueError(
                f"y must hold the classes of the fit, {self.classes_.tolist()}, got "
                f"{data.classes.tolist()}."
            )
        check_columns(self, data)
        total_weight = float(data.class_totals.sum())
        fit = placed_fit(self, DistributedProblem, data, None, total_weight)
        return result_of(self, fit, cov_type, None, reference)

    def to_local(self) -> SoftmaxRegression:
        """Return the fitted model as a `SoftmaxRegression`, without the client.

        Returns
        -------
        SoftmaxRegression
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        del parameters["client"]
        local = SoftmaxRegression(**parameters)
        vars(local).update(
            {name: copy.copy(value) for name, value in vars(self).items() if name.endswith("_")}
        )
        return local

    def _blockwise(self, method, X):
        local = self.to_local()
        if not hasattr(X, "dask"):
            return getattr(local, method)(X)
        X, names = as_dask_array(X)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        known = getattr(self, "feature_names_in_", None)
        if names is not None and known is not None and list(names) != list(known):
            raise ValueError(
                "The feature names should match those that were passed during fit, "
                f"{list(known)}, got {list(names)}."
            )
        local.__dict__.pop("feature_names_in_", None)    # blocks are arrays, without names
        sample = getattr(local, method)(np.zeros((1, X.shape[1]), dtype=X.dtype))
        kept = {} if sample.ndim == 2 else {"drop_axis": 1}
        chunks = X.chunks[:1] if sample.ndim == 1 else (X.chunks[0], (sample.shape[1],))
        return X.map_blocks(
            _predicted, model=delayed(local, pure=False), method=method, dtype=sample.dtype,
            chunks=chunks, meta=sample[:0], **kept,
        )

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: `fit` takes Dask collections, no arrays."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy with the same client."""
        parameters = self.get_params(deep=False)
        client = parameters.pop("client")
        copies = {name: clone(value, safe=False) for name, value in parameters.items()}
        return type(self)(client=client, **copies)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the client."""
        # A connection cannot be pickled.
        return {**super().__getstate__(), "client": None}


def _predicted(block, model, method):
    """Return the predictions for one block; an empty block gives the right shape, too."""
    if block.shape[0]:
        return getattr(model, method)(block)
    return getattr(model, method)(np.zeros((1, block.shape[1]), dtype=block.dtype))[:0]


def _scored(model, X, y, weight):
    """Return (weight of the targets of predicted classes, weight of all targets)."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    predicted = model.predict(X)
    weight = np.ones(len(predicted)) if weight is None else np.asarray(weight, dtype=np.float64)
    if are_distributions(y):
        return targets_right(y, predicted, model.classes_, weight)
    return float(weight @ (predicted == np.asarray(y))), float(weight.sum())
