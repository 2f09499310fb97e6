"""Labels of every kind: counted where they are integers, sorted elsewhere."""

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators.validation import _classes_and_index

RNG = np.random.default_rng(0)
LABELS = {
    "int8, both ends": RNG.choice(np.array([-128, 0, 127], dtype=np.int8), 300),
    "uint8": RNG.choice(np.array([0, 200, 255], dtype=np.uint8), 300),
    "uint64, huge": RNG.choice(np.array([2**64 - 9, 2**64 - 1], dtype=np.uint64), 30),
    "int64, both ends": RNG.choice(np.array([-(2**63), 2**63 - 1]), 30),
    "int64, low end": RNG.choice(np.array([-(2**63), -(2**63) + 5]), 30),
    "big-endian": RNG.integers(3, 9, 50).astype(">i4"),
    "far apart": RNG.choice(np.array([0, 10**12]), 30),
    "bool": RNG.integers(0, 2, 30).astype(bool),
    "float": RNG.integers(0, 3, 30).astype(float),
    "str": RNG.choice(np.array(["b", "a", "c"]), 30),
    "object": RNG.choice(np.array(["b", "a"], dtype=object), 30),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS.keys())
def test_classes_and_index(y):
    """What np.unique gives, dtype included."""
    classes, index = _classes_and_index(y)
    expected, expected_index = np.unique(y, return_inverse=True)
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(index, expected_index)
    assert classes.dtype == expected.dtype


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS.keys())
def test_a_fit_keeps_them(y):
    """predict answers in the labels' own words."""
    X = (y[:, np.newaxis] == np.unique(y)).astype(float)
    model = SoftmaxRegression(C=100.0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), y)


def test_continuous_targets_are_refused():
    """As scikit-learn does."""
    with pytest.raises(ValueError, match="Unknown label type"):
        SoftmaxRegression().fit(np.eye(3), [0.1, 0.2, 0.3])
