"""Conversion to ONNX: after `register`, skl2onnx converts our estimators, in pipelines too.

Needs skl2onnx (extra ``onnx``, which brings onnxruntime too).
"""

import numpy as np
from scipy import sparse

from .estimators.cross_validation import SoftmaxRegressionCV
from .estimators.regression import SoftmaxRegression
from .rows.device_input import as_numpy

__all__ = ["register"]

_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False],
            "output_class_labels": [False, True], "raw_scores": [True, False]}


def register() -> None:
    """Make skl2onnx convert `SoftmaxRegression` and `SoftmaxRegressionCV`.

    Call it once in a process, before ``skl2onnx.to_onnx``. Double inputs give probabilities in
    float64, all others in float32. Logits are computed in double wherever predictions compute
    them in float64: for integers, and where `coef_` is float64. Labels must be strings or
    integers, as ONNX has no others. Options are those of `LogisticRegression`: ``zipmap``,
    ``nocl`` (indices of classes as labels), ``output_class_labels`` and ``raw_scores`` (logits;
    two columns of opposite signs if binary).

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    References
    ----------
    ONNX operators MatMul, Add, Softmax, ArgMax and Gather,
    https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> import skl2onnx
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import SoftmaxRegression, onnx
    >>> onnx.register()
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> converted = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    >>> [output.name for output in converted.graph.output]
    ['label', 'probabilities']
    """
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    except ImportError:
        raise ImportError(
            "Conversion to ONNX needs skl2onnx: python -m pip install skl2onnx."
        ) from None
    for estimator in (SoftmaxRegression, SoftmaxRegressionCV):
        update_registered_converter(
            estimator, f"SoftmaxReg{estimator.__name__}",
            calculate_linear_classifier_output_shapes, _convert, options=_OPTIONS,
        )


def _convert(scope, operator, container):
    """Add ``softmax(X @ coef.T + intercept)`` and the predicted label to an ONNX graph."""
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
    )
    from skl2onnx.proto import onnx_proto

    model, (X,), (label, scores) = operator.raw_operator, operator.inputs, operator.outputs
    options = container.get_options(model, {"raw_scores": False, "nocl": False})
    raw = options["raw_scores"]
    classes = as_numpy(model.classes_)
    labels = np.arange(len(classes)) if options["nocl"] else _labels(classes)
    coef, intercept = _rows(model, raw)
    version = {"op_version": container.target_opset}
    # float32 holds neither all integers nor the intercept of float64 coefficients.
    is_single = isinstance(X.type, (FloatTensorType, BooleanTensorType)) and (
        np.result_type(coef, intercept) == np.float32
    )
    dtype, tensor, numbers = (np.float32, FloatTensorType, onnx_proto.TensorProto.FLOAT) if (
        is_single) else (np.float64, DoubleTensorType, onnx_proto.TensorProto.DOUBLE)
    if not isinstance(X.type, tensor):
        X = ops.OnnxCast(X, to=numbers, **version)
    product = ops.OnnxMatMul(X, coef.T.astype(dtype), **version)
    logits = ops.OnnxAdd(product, intercept.astype(dtype), **version)
    index = ops.OnnxArgMax(logits, axis=1, keepdims=0, **version)
    ops.OnnxGather(labels, index, output_names=[label.full_name], **version).add_to(
        scope, container
    )
    out = logits if raw else ops.OnnxSoftmax(logits, axis=1, **version)
    given = onnx_proto.TensorProto.DOUBLE if isinstance(scores.type, DoubleTensorType) else (
        onnx_proto.TensorProto.FLOAT
    )
    ops.OnnxCast(out, to=given, output_names=[scores.full_name], **version).add_to(
        scope, container
    )


def _rows(model, raw):
    """Return one row of coefficients and one intercept for each class, two if binary."""
    if getattr(model, "has_offset_", False):
        raise ValueError("ONNX models take X alone, and this one was fitted with an offset.")
    coef, intercept = as_numpy(model.coef_), as_numpy(model.intercept_)
    coef = coef.toarray() if sparse.issparse(coef) else coef
    if len(coef) == 1:
        # The sigmoid is the softmax of (0, logit).
        first = -1.0 if raw else 0.0
        signs = np.array([first, 1.0], dtype=intercept.dtype)
        coef, intercept = np.vstack([first * coef, coef]), signs * intercept
    return coef, intercept


def _labels(classes):
    """Return the labels as ONNX can store them: strings or int64."""
    if classes.dtype.kind in "OU":
        return np.array([str(label) for label in classes])
    labels = classes.astype(np.int64)
    if np.any(labels != classes):
        raise ValueError(
            f"Labels in ONNX are strings or integers, got classes_={classes.tolist()}."
        )
    return labels
