"""Label smoothing, class weights, temperature and impossible classes, by their definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg import cross_entropy, log_softmax, softmax

from ..problems import EPS

pytestmark = pytest.mark.filterwarnings("error")

inf, nan = np.inf, np.nan
RNG = np.random.default_rng(0)
Z = RNG.normal(scale=3, size=(7, 4))
LABELS = RNG.integers(0, 4, 7)
ONEHOT = np.eye(4)[LABELS]
SOFT = RNG.dirichlet(np.ones(4), 7)
PARTS = SOFT * RNG.uniform(size=(7, 1))    # sums below 1
WEIGHT = RNG.uniform(0, 2, 7)
OF_CLASS = np.array([0.5, 0.0, 2.0, 1.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("of_class", [None, OF_CLASS])
@pytest.mark.parametrize("truth", [LABELS, ONEHOT, SOFT, PARTS], ids=["labels", "onehot", "soft",
                                                                     "parts"])
def test_the_loss_is_that_of_the_smoothed_and_weighted_truth(truth, of_class, smoothing):
    """sum_k w_k ((1 - e) y_k + e t / K) (-log q_k), t the sum of y; the mean over sum w_k y_k."""
    y = ONEHOT if truth.ndim == 1 else truth
    w = np.ones(4) if of_class is None else of_class
    mixed = (1 - smoothing) * y + smoothing * y.sum(axis=1, keepdims=True) / 4
    exact = -(w * mixed * log_softmax(Z)).sum(axis=1)
    options = {"label_smoothing": smoothing, "class_weight": of_class}
    assert_allclose(cross_entropy(truth, Z, reduction="none", **options), exact, rtol=16 * EPS,
                    atol=16 * EPS)
    counted = np.ones(7) if of_class is None else (w * y).sum(axis=1)
    assert_allclose(cross_entropy(truth, Z, **options), exact.sum() / counted.sum(),
                    rtol=16 * EPS)
    assert_allclose(cross_entropy(truth, Z, sample_weight=WEIGHT, **options),
                    (WEIGHT * exact).sum() / (WEIGHT * counted).sum(), rtol=16 * EPS)
    of_axis = cross_entropy(truth if truth.ndim == 1 else truth.T, Z.T, axis=0, reduction="none",
                            **options)
    assert_allclose(of_axis, exact, rtol=16 * EPS, atol=16 * EPS)
    few = truth if truth.ndim == 1 else truth.astype(np.float32)
    single = cross_entropy(few, Z.astype(np.float32), **options)
    assert single.dtype == np.float32
    assert_allclose(single, exact.sum() / counted.sum(), rtol=1e-6)


def test_probabilities_give_what_their_logits_give():
    """from_logits=False, with all options."""
    options = {"label_smoothing": 0.2, "class_weight": OF_CLASS, "sample_weight": WEIGHT}
    expected = cross_entropy(LABELS, Z, **options)
    actual = cross_entropy(LABELS, softmax(Z), from_logits=False, **options)
    assert_allclose(actual, expected, rtol=1e-13)


def test_a_dict_weighs_the_classes_it_names():
    """Others count once."""
    expected = cross_entropy(LABELS, Z, class_weight=[1, 3.0, 1, 0.5])
    assert cross_entropy(LABELS, Z, class_weight={1: 3.0, 3: 0.5}) == expected


def test_impossible_classes_cost_what_the_truth_says():
    """0 * inf = 0: without smoothing, or with a weight of 0; smoothing them costs inf."""
    z = np.array([[0.0, 1.0, -inf]])
    plain = cross_entropy([0], z)
    assert np.isfinite(plain)
    assert cross_entropy([0], z, label_smoothing=0.1) == inf
    assert np.isfinite(cross_entropy([0], z, label_smoothing=0.1, class_weight=[1, 1, 0]))
    assert cross_entropy([2], z, label_smoothing=1.0, class_weight=[1, 1, 0], reduction="sum") > 0
    for smoothing in (0.0, 0.3):    # padding
        assert cross_entropy([[0, 0, 0]], np.full((1, 3), -inf), label_smoothing=smoothing) == 0
    assert np.isnan(cross_entropy([0], [[nan, 0.0, 1.0]], label_smoothing=0.1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-3, 0.5, 1, 3.0, 1e6])
def test_temperature_divides_logits(temperature, dtype):
    """softmax(z / T), also where z / T overflows."""
    z = Z.astype(dtype)
    exact = softmax(Z.astype(dtype).astype(np.float64) / temperature)
    actual = softmax(z, temperature=temperature)
    assert actual.dtype == dtype
    # An error of eps |z| / T in a logit is the relative error of its exponential.
    span = np.ptp(Z) / temperature
    assert_allclose(actual, exact, rtol=8 * np.finfo(dtype).eps * (1 + span), atol=1e-300)
    assert_allclose(np.exp(log_softmax(z, temperature=temperature)), exact,
                    rtol=8 * np.finfo(dtype).eps * (1 + span), atol=np.finfo(dtype).tiny)
    assert_array_equal(softmax([1e300, 0.0], temperature=1e-300), [1.0, 0.0])


def test_where_leaves_out_classes():
    """Probability 0, whatever the logit; the others as if alone; broadcast like NumPy's."""
    mask = np.array([True, False, True, True])
    z = Z.copy()
    z[:, 1] = [nan, inf, -inf, 0, 1e30, 5, nan]
    alone = softmax(np.delete(z, 1, axis=1), temperature=2.0)
    actual = softmax(z, where=mask, temperature=2.0)
    assert_array_equal(actual[:, 1], 0.0)
    assert_allclose(np.delete(actual, 1, axis=1), alone, rtol=4 * EPS)
    assert_array_equal(log_softmax(z, where=mask)[:, 1], -inf)
    assert softmax(z.astype(np.float32), where=mask).dtype == np.float32
    assert_allclose(softmax(z.T, axis=0, where=mask[:, np.newaxis]), softmax(z, where=mask).T)
    assert np.isnan(softmax(z, where=False)).all()
    assert np.isnan(z[0, 1])    # not modified


@pytest.mark.parametrize("options, error, match", [
    ({"label_smoothing": -0.1}, ValueError, r"label_smoothing must be in \[0, 1\], got -0.1"),
    ({"label_smoothing": nan}, ValueError, "label_smoothing"),
    ({"label_smoothing": True}, TypeError, "label_smoothing must be a number"),
    ({"label_smoothing": "0.1"}, TypeError, "label_smoothing must be a number"),
    ({"class_weight": [1, 2]}, ValueError, r"class_weight must have shape \(4,\)"),
    ({"class_weight": [1, 2, -1, 0]}, ValueError, "class_weight must be non-negative"),
    ({"class_weight": [1, 2, inf, 0]}, ValueError, "class_weight must be non-negative"),
    ({"class_weight": {4: 1.0}}, ValueError, r"class_weight must have labels in \[0, 4\)"),
    ({"class_weight": {"a": 1.0}}, ValueError, r"class_weight must have labels"),
    ({"class_weight": "balanced"}, TypeError, "class_weight must hold real numbers"),
    ({"class_weight": [0, 0, 0, 0]}, ValueError, "sum of sample_weight and class_weight"),
], ids=str)
def test_bad_options_of_cross_entropy(options, error, match):
    """The error names the parameter, what was given and what was expected."""
    with pytest.raises(error, match=match):
        cross_entropy(LABELS, Z, **options)


@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("options, error, match", [
    ({"temperature": 0}, ValueError, "temperature must be positive and finite, got 0"),
    ({"temperature": -1.0}, ValueError, "temperature"),
    ({"temperature": inf}, ValueError, "temperature"),
    ({"temperature": nan}, ValueError, "temperature"),
    ({"temperature": [1.0]}, TypeError, "temperature must be a number"),
    ({"temperature": True}, TypeError, "temperature must be a number"),
    ({"where": [1, 0, 1, 1]}, TypeError, "where must hold booleans"),
    ({"where": [True, False]}, ValueError, r"where must broadcast .*\(7, 4\), got \(2,\)"),
], ids=str)
def test_bad_options_of_softmax(function, options, error, match):
    """Likewise."""
    with pytest.raises(error, match=match):
        function(Z, **options)
