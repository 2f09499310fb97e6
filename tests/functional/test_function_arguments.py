"""Arguments that functions take, refuse or ignore: vectors, padding, rows of weight 0."""

import numpy as np
import pytest

from softmax_reg import binary_cross_entropy, cross_entropy, entropy, kl_divergence

inf, nan = np.inf, np.nan
P = np.array([0.9, 0.2, 0.8, 0.3])
LABELS = np.array([1, 0, 1, 0])


@pytest.mark.parametrize("y_true, y_pred, from_logits", [
    (LABELS, P, False), (LABELS.astype(float), P, False), (LABELS[:, None], P[:, None], False),
    (0 * LABELS, P, False), ([1, 0, 0, 0], P, False), (0, P, False), (LABELS, P - 0.5, True),
    (LABELS[:, None], P[:, None], True), (0 * LABELS, P.astype(np.float32), False),
], ids=str)
def test_a_vector_that_is_no_distribution_is_refused(y_true, y_pred, from_logits):
    """Labels 0 and 1 beside a vector or one column: the ValueError names binary_cross_entropy."""
    with pytest.raises(ValueError, match=r"y_(true|pred) must .* sum .*binary_cross_entropy"):
        cross_entropy(y_true, y_pred, from_logits=from_logits)


def test_a_vector_that_is_a_distribution_is_one():
    """Sums within rounding of bfloat16, or of two decimals, of 1."""
    assert cross_entropy([0, 1, 0], [0.33, 0.33, 0.33], from_logits=False) == -np.log(0.33)
    third = np.full(3, 1 / 3, np.float16)
    assert cross_entropy(2, third, from_logits=False) == -np.log(np.float32(third[0]))
    assert cross_entropy([[1.0]], [[3.0]]) == cross_entropy([1], [5.0]) == 0
    assert np.isnan(cross_entropy([nan, 1], [0.5, 0.5], from_logits=False))
    assert entropy([0.5]) == kl_divergence([0.5], [0.25]) == np.log(2) / 2


def test_probabilities_above_1_by_rounding_give_no_negative_loss():
    """1 + 4e-16 costs +0, for labels and for distributions."""
    over = np.array([[1 + 4e-16, 0.0], [1.0, 0.0]])
    for y_true in ([0, 0], [[1, 0], [1, 0]], [[1 + 4e-16, 0], [1, 0]]):
        losses = cross_entropy(y_true, over, from_logits=False, reduction="none")
        assert np.all(losses == 0) and not np.any(np.signbit(losses))


@pytest.mark.parametrize("logits", [[-inf, -inf], [-inf, 0], [inf, 0], [inf, -inf], [3, 4]])
def test_a_target_row_of_zeros_costs_nothing(logits):
    """Padding: 0 beside masked logits, in cross-entropy and divergence; NaN stays NaN."""
    zeros = np.zeros(2)
    for loss in (cross_entropy, kl_divergence):
        assert loss(zeros, logits, from_logits=True) == 0
        assert np.isnan(loss(zeros, [nan, -inf], from_logits=True))
        assert np.isnan(loss([1, 0], [-inf, -inf], from_logits=True))
    both = np.array([[1.0, 0.0], [0.0, 0.0]])
    masked = np.array([[2.0, -inf], logits])
    assert cross_entropy(both, masked, reduction="sum") == 0


@pytest.mark.parametrize("ignored", [-100, -1, 99, np.iinfo(np.int64).min])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weight_0_makes_any_label_acceptable(ignored, reduction):
    """Rows of weight 0 are absent, whatever label, distribution or prediction they hold."""
    z = np.random.default_rng(0).standard_normal((4, 3))
    labels, weight = np.array([0, ignored, 2, ignored]), np.array([1.0, 0.0, 2.0, 0.0])
    options = {"sample_weight": weight, "reduction": reduction}
    kept = weight > 0
    only = {"sample_weight": weight[kept], "reduction": reduction}

    def same(got, expected):
        np.testing.assert_array_equal(got[kept] if reduction == "none" else got, expected)
        if reduction == "none":
            assert np.all(got[~kept] == 0)

    same(cross_entropy(labels, z, **options), cross_entropy(labels[kept], z[kept], **only))
    same(cross_entropy(labels, z.T, axis=0, **options),
         cross_entropy(labels[kept], z[kept].T, axis=0, **only))
    proba = np.abs(z) / np.abs(z).sum(axis=1, keepdims=True)
    target = proba[::-1].copy()
    target[~kept], proba[~kept] = ignored, -3
    for loss in (cross_entropy, kl_divergence):
        same(loss(target, proba, from_logits=False, **options),
             loss(target[kept], proba[kept], from_logits=False, **only))
    same(entropy(proba, **options), entropy(proba[kept], **only))
    ones = np.where(kept, 1, ignored)
    same(binary_cross_entropy(ones, z[:, 0], **options),
         binary_cross_entropy(ones[kept], z[kept, 0], **only))


def test_labels_of_positive_weight_are_still_checked():
    """One label out of range whose weight is not 0."""
    with pytest.raises(ValueError, match=r"y_true must .* \[0, 3\), got -100"):
        cross_entropy([0, -100], np.zeros((2, 3)), sample_weight=[0, 1])
    with pytest.raises(ValueError, match="y_true must .* got -100"):
        cross_entropy([0, -100], np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"y_pred must .* \[0, 1\], got 2"):
        binary_cross_entropy([0, 1], [2.0, 2.0], from_logits=False, sample_weight=[0, 1])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(2,\)"):
        cross_entropy([0, 1], np.zeros((2, 3)), sample_weight=[1, 1, 1])
