"""Base class of the classifiers: predictions, score and export of a fitted model."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from ..functional.narrow_floats import is_narrow
from ..rows.choice import check_device
from ..rows.device_input import check_finite, checked_device_array, is_on_device
from ..rows.row_blocks import RowBlocks
from ..typing import FloatArray, MatrixLike
from .array_api import as_numpy, check_same_library, in_kind_of, on_host
from .callbacks import CallbackSupportMixin
from .export import fitted_logistic_regression
from .notebook import NotebookTables
from .offsets import joined
from .prediction import predictions
from .replaced_parameters import refuse_replaced, with_advice
from .targets import are_distributions, share_right
from .validation import check_sample_weight

# scikit-learn's other solvers. Here "auto" stands for each of them.
_ELSEWHERE = ("liblinear", "sag", "saga")


class LinearSoftmaxClassifier(
    NotebookTables, CallbackSupportMixin, ClassifierMixin, BaseEstimator
):
    """Predictions of a model with `coef_`, `intercept_` and `classes_`."""

    # Types only: before a fit there are no values. `coef_` is sparse after `sparsify`.
    coef_: FloatArray
    intercept_: FloatArray
    classes_: NDArray[Any]
    has_offset_: bool
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    objective_: float
    dual_gap_: float
    newton_decrement_: float
    n_iter_: NDArray[np.int32]
    n_evaluations_: int
    solver_: str
    history_: dict[str, NDArray[Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let constructors say what to use in place of parameters of `LogisticRegression`."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            # By `setattr`, so that type checkers see the signature of the subclass.
            setattr(cls, "__init__", with_advice(cls.__init__))    # noqa: B010

    @classmethod
    @functools.cache
    def _get_param_names(cls):
        # scikit-learn inspects the signature anew at every validation and clone.
        return super()._get_param_names()

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the estimator.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If there is no such parameter; for those of `LogisticRegression` with what to use
            instead.
        """
        refuse_replaced(type(self), params.keys() - self._get_param_names(), ValueError)
        return super().set_params(**params)

    def _validate_params(self):
        if isinstance(self.solver, str) and self.solver in _ELSEWHERE:
            raise ValueError(
                f"solver={self.solver!r} does not exist here. Use solver='auto', which chooses "
                "the fastest."
            )
        super()._validate_params()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: without seconds, which differ between equal fits."""
        state = dict(super().__getstate__())
        if isinstance(state.get("history_"), dict):
            history = state["history_"].items()
            state["history_"] = {name: of_name for name, of_name in history if name != "seconds"}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled model, with defaults for parameters that it lacks."""
        # A model pickled by an older version lacks the parameters that were added since.
        parameters = inspect.signature(type(self).__init__).parameters.items()
        defaults = {name: p.default for name, p in parameters if p.default is not p.empty}
        super().__setstate__(defaults | state)

    def decision_function(
        self, X: MatrixLike | RowBlocks, offset: ArrayLike | None = None
    ) -> FloatArray:
        """Compute the logits of the classes, ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Added to the logits. Needed if the model was fitted with one, and only then.

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes), or (n_samples,) if binary
            If binary, the log-odds of ``classes_[1]``. float32 where X and `coef_` both fit
            into it, else float64.
        """
        return in_kind_of(X)(self._decisions(X, offset, "decision_function"))

    def _decisions(self, X, offset, method):
        """Compute `decision_function`; the result stays on the device that computed it."""
        logits = self._predictions(X, "logits", offset, method)
        return logits[:, 1].copy() if np.shape(self.coef_)[0] == 1 else logits

    def _predictions(self, X, kind, offset, method):
        """Predict on the device or the host; see `prediction.predictions`."""
        check_is_fitted(self)
        check_same_library(self, X, method)
        offset = self._offset_for(offset)
        on_device, X = is_on_device(X), X if is_on_device(X) else on_host(X)
        if on_device:
            check_device(self.device, X)
            X = checked_device_array(X, (np.float64, np.float32))
        if on_device or isinstance(X, RowBlocks):
            if X.shape[1] != self.n_features_in_:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
        else:
            # scikit-learn refuses bfloat16; `predictions` converts it block by block.
            dtype = None if is_narrow(getattr(X, "dtype", None)) else "numeric"
            X = validate_data(
                self, X, accept_sparse="csr", reset=False, ensure_all_finite=False, dtype=dtype
            )
        # A fit on the device refuses sparse X; predictions for it run on the host.
        device = "cpu" if sparse.issparse(X) else self.device
        coef, intercept, columns = as_numpy(self.coef_), as_numpy(self.intercept_), X
        if offset is not None:
            columns, coef = joined(X, coef, offset, np.shape(self.classes_)[0])
        out, all_finite = predictions(columns, coef, intercept, kind, device)
        if not all_finite and on_device:
            check_finite(X)
        elif not all_finite and isinstance(X, RowBlocks):
            X.check_finite()
        elif not all_finite:    # raises if X is not finite; coef_ may be what is not
            dtype = np.float32 if is_narrow(X.dtype) else "numeric"
            check_array(X, accept_sparse="csr", estimator=self, input_name="X", dtype=dtype)
        return out if on_device else as_numpy(out)

    def _offset_for(self, offset):
        """Return the offset of a prediction: the one given, or that of a `bound` model.

        Raises
        ------
        ValueError
            Unless there is one if and only if `fit` had one.
        """
        has_offset = getattr(self, "has_offset_", False)
        if has_offset and offset is None:
            offset = vars(self).get("_bound_offset")
        if has_offset and offset is None:
            raise ValueError(
                f"This {type(self).__name__} was fitted with an offset and needs one to predict: "
                "pass offset of shape (n_samples, n_classes). scikit-learn's tools pass it on by "
                "set_predict_request(offset=True) and the like."
            )
        if offset is not None and not has_offset:
            raise ValueError(
                f"This {type(self).__name__} was fitted without an offset and takes none to "
                "predict. Pass offset to fit too."
            )
        return offset

    def predict(
        self, X: MatrixLike | RowBlocks, offset: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Predict the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Added to the logits. Needed if the model was fitted with one, and only then.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            On the device if X is there, unless the labels are not numbers.
        """
        logits = self._decisions(X, offset, "predict")
        index = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        labels = as_numpy(self.classes_)[as_numpy(index)]
        return in_kind_of(X)(labels) if labels.dtype.kind in "iufb" else labels

    def predict_proba(
        self, X: MatrixLike | RowBlocks, offset: ArrayLike | None = None
    ) -> FloatArray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Added to the logits. Needed if the model was fitted with one, and only then.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return in_kind_of(X)(self._predictions(X, "probabilities", offset, "predict_proba"))

    def predict_log_proba(
        self, X: MatrixLike | RowBlocks, offset: ArrayLike | None = None
    ) -> FloatArray:
        """Predict the logarithm of the probability of each class.

        The result is computed from the logits, so it is finite where `predict_proba` is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Added to the logits. Needed if the model was fitted with one, and only then.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        log_proba = self._predictions(X, "log_probabilities", offset, "predict_log_proba")
        return in_kind_of(X)(log_proba)

    def score(
        self,
        X: MatrixLike | RowBlocks,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels; or distributions or counts, of which the predicted class gets its share.
        sample_weight : array-like of shape (n_samples,), default=None
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            As in `predict`.

        Returns
        -------
        score : float
        """
        predicted = self.predict(X) if offset is None else self.predict(X, offset=offset)
        y_true, y_pred, sample_weight = on_host(y, predicted, sample_weight)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, len(y_pred))
            sample_weight /= sample_weight.max()    # their sum could overflow
        if are_distributions(y_true):
            return share_right(y_true, y_pred, as_numpy(self.classes_), sample_weight)
        return accuracy_score(y_true, y_pred, sample_weight=sample_weight)

    def sparsify(self) -> Self:
        """Convert `coef_` to a SciPy CSR array; saves memory when most coefficients are zero.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_array(as_numpy(self.coef_))
        return self

    def densify(self) -> Self:
        """Convert `coef_` back to an ndarray.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def to_sklearn(self) -> LogisticRegression:
        """Return the fitted model as scikit-learn's `LogisticRegression`.

        Use it where only scikit-learn's estimator will do. `softmax_reg.to_sklearn` does the same
        with the models in pipelines and other estimators.

        Returns
        -------
        LogisticRegression
            Fitted, with copies of `coef_`, `intercept_` and `classes_`: the same predictions,
            and the same probabilities up to rounding. The parameters define the same objective,
            but `LogisticRegression` has no `grouped`, `groups`, `penalty_factor`, `bounds`,
            `label_smoothing` and `prior`. `n_iter_` is the largest number of iterations of any
            fit.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        TypeError
            If a subclass has its own `predict`, `decision_function` or probabilities.
        ValueError
            If it was fitted with an offset, which `LogisticRegression` has not.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_wine(return_X_y=True)
        >>> SoftmaxRegression(C=0.1).fit(X, y).to_sklearn()
        LogisticRegression(C=0.1)
        """
        check_is_fitted(self)
        if getattr(self, "has_offset_", False):
            raise ValueError("LogisticRegression has no offset, with which this model was fitted.")
        if hasattr(self, "C_"):    # chosen by `SoftmaxRegressionCV`
            return fitted_logistic_regression(self, self.C_, self.l1_ratio_)
        return fitted_logistic_regression(self, self.C, self.l1_ratio)

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: sparse X and arrays of other libraries are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
