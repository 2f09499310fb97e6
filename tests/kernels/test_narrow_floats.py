"""float16 and bfloat16: fits, predictions and functions all take them, as float32."""

import numpy as np
import pytest

from softmax_reg import (
    RowBlocks,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    binary_cross_entropy,
    cross_entropy,
    entropy,
    kl_divergence,
    log_sigmoid,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
    softmax_path,
)
from softmax_reg.functional.narrow_floats import is_narrow

from ..problems import bundled

X, y = bundled("iris")


def narrow_dtype(name):
    """The dtype; bfloat16 and the eight-bit ones are of ml_dtypes, which comes with onnx."""
    if name == "float16":
        return np.dtype(name)
    return np.dtype(getattr(pytest.importorskip("ml_dtypes"), name))


over_names = pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn"])
WAYS = {
    "fit": lambda rows: SoftmaxRegression(C=0.1).fit(rows, y),
    "partial_fit": lambda rows: SoftmaxRegression().partial_fit(rows, y, classes=[0, 1, 2]),
    "search": lambda rows: SoftmaxRegressionCV(Cs=[0.1], cv=2).fit(rows, y),
    "blocks": lambda rows: SoftmaxRegression(C=0.1).fit(RowBlocks(rows), y),
}


@over_names
@pytest.mark.parametrize("way", WAYS)
def test_estimators_take_narrow_floats_as_float32(way, name):
    """The same bits as from float32, in fits, predictions and scores."""
    narrow = X.astype(narrow_dtype(name))
    wide = narrow.astype(np.float32)
    model, expected = WAYS[way](narrow), WAYS[way](wide)
    assert model.coef_.dtype == expected.coef_.dtype
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        got, of_wide = getattr(model, method)(narrow), getattr(expected, method)(wide)
        np.testing.assert_array_equal(got, of_wide)
        assert got.dtype == of_wide.dtype
    assert model.score(narrow, y) == expected.score(wide, y)
    np.testing.assert_array_equal(
        model.predict_proba(RowBlocks(narrow)), expected.predict_proba(RowBlocks(wide))
    )


@over_names
def test_paths_and_weights_take_narrow_floats(name):
    """softmax_path, sample_weight and a float64 model's predictions."""
    dtype = narrow_dtype(name)
    narrow, weight = X.astype(dtype), np.linspace(0.5, 2, len(y)).astype(dtype)
    wide = narrow.astype(np.float32)
    np.testing.assert_array_equal(
        softmax_path(narrow, y, Cs=[0.1], l1_ratio=0.0).coefs,
        softmax_path(wide, y, Cs=[0.1], l1_ratio=0.0).coefs,
    )
    model = SoftmaxRegression(C=0.1).fit(wide, y, weight)
    expected = SoftmaxRegression(C=0.1).fit(wide, y, weight.astype(float))
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    double = SoftmaxRegression(C=0.1).fit(X, y)
    np.testing.assert_array_equal(
        double.predict_proba(narrow), double.predict_proba(narrow.astype(np.float64))
    )


@over_names
def test_bad_values_in_narrow_floats_are_named(name):
    """NaN is refused in fit and predict with a ValueError that says so."""
    narrow = X.astype(narrow_dtype(name))
    model = SoftmaxRegression(C=0.1).fit(narrow, y)
    narrow[3, 1] = np.nan
    for call in (lambda: model.fit(narrow, y), lambda: model.predict(narrow)):
        with pytest.raises(ValueError, match="contains NaN"):
            call()


@over_names
def test_functions_take_narrow_floats_as_float32(name):
    """f(narrow) = f(float32) to the bit, in float32."""
    z = X[:, :3].astype(narrow_dtype(name))
    wide = z.astype(np.float32)
    proba = softmax(wide).astype(z.dtype)
    wide_proba = proba.astype(np.float32)
    labels, half = y.astype(int), proba[:, 0]
    for got, expected in [
        *((f(z), f(wide)) for f in (softmax, log_softmax, logsumexp, sigmoid, log_sigmoid)),
        (cross_entropy(labels, z), cross_entropy(labels, wide)),
        (cross_entropy(proba, z), cross_entropy(wide_proba, wide)),
        (kl_divergence(proba, z, from_logits=True),
         kl_divergence(wide_proba, wide, from_logits=True)),
        (entropy(proba), entropy(wide_proba)),
        (binary_cross_entropy(half, z[:, 0]),
         binary_cross_entropy(half.astype(np.float32), wide[:, 0])),
    ]:
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected)


def test_what_is_no_narrow_float():
    """Void, structured, wider and foreign dtypes, and None."""
    for dtype in ("V2", [("a", "f2")], "f4", "f8", "i1", "?", "c8", "U1", "O"):
        assert not is_narrow(np.dtype(dtype))
    assert not is_narrow(None) and not is_narrow("float16")
    with pytest.raises(TypeError, match="must hold real numbers"):
        softmax(np.zeros(2, "V2"))
    with pytest.raises(ValueError, match="real numbers"):
        RowBlocks(np.zeros((2, 2), "V2"))
