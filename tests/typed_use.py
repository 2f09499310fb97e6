"""What type checkers must see in code that uses the package; see `tests/type_check.py`."""

from typing import Any, Literal, assert_type

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from softmax_reg import (
    RowBlocks,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    cross_entropy,
    logsumexp,
    sigmoid,
    softmax,
    softmax_path,
)
from softmax_reg.inference import InferenceResult
from softmax_reg.typing import FloatOrArray, MatrixLike

Floats = NDArray[np.floating[Any]]


def functions(single: NDArray[np.float32], some: Floats) -> None:
    """The dtype of logits stays, a mean is a scalar, and so is the sigmoid of a number."""
    assert_type(softmax(single), NDArray[np.float32])
    assert_type(softmax([2.0, 1.0, 0.1]), Floats)
    assert_type(cross_entropy([0, 1], some), np.floating[Any])
    assert_type(cross_entropy([0, 1], some, reduction="none"), FloatOrArray)
    assert_type(logsumexp(some, keepdims=True), Floats)
    assert_type(logsumexp(some, 0, True), Floats)
    assert_type(sigmoid(0.5), np.float64)
    assert_type(sigmoid(some), FloatOrArray)


def estimators(X: MatrixLike, y: list[str]) -> SoftmaxRegression:
    """Arguments of all kinds; `fit` returns the estimator's own type."""
    assert_type(SoftmaxRegression().fit(sparse.csr_array(np.eye(3)), y), SoftmaxRegression)
    assert_type(SoftmaxRegression().fit(RowBlocks(np.eye(3)), y), SoftmaxRegression)
    model = SoftmaxRegression(class_weight={"a": 2}, bounds=(0, np.inf)).fit(X, y)
    assert_type(model.coef_, Floats)
    assert_type(model.objective_, float)
    assert_type(model.history_["gap"], NDArray[Any])
    assert_type(model.predict_proba(X), Floats)
    assert_type(model.penalty, Literal["l1", "l2", "elasticnet"] | None)
    cv = SoftmaxRegressionCV(Cs=[0.1, 1], cv=[([0, 1], [2])]).fit(X, y)
    assert_type(cv, SoftmaxRegressionCV)
    assert_type(cv.C_, float)
    assert_type(cv.scores_, NDArray[np.float64])
    assert_type(cv.dual_gap_, float)
    assert_type(softmax_path(X, y).dual_gaps, NDArray[np.float64])
    return model.partial_fit(X, y, classes=range(3))


def results(model: SoftmaxRegression, X: NDArray[np.float64], y: NDArray[Any]) -> None:
    """Attributes, properties and named tuples of inference."""
    result = model.inference(X, y, cov_type="HC0")
    assert_type(result, InferenceResult)
    assert_type(result.bse, NDArray[np.float64])
    assert_type(result.llr_pvalue, float)
    assert_type(result.wald_test(np.eye(2)).df, int)
    assert_type(result.marginal_effects(X).conf_int(), NDArray[np.float64])
    assert_type(model.score_test(X, y, X).statistic, float)
    assert_type(model.score_test(X, y, X, by_column=True).statistic, NDArray[np.float64])
    assert_type(model.influence(X, y).cooks_distance, NDArray[np.float64])
