"""Rows around one centre per class, lengths of partitions, and a comparison of two fits."""

import numpy as np
import pytest


def mixture(n_samples=600, n_features=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_samples)
    centres = rng.standard_normal((n_classes, n_features))
    return centres[y] + rng.standard_normal((n_samples, n_features)), y


def cut(n_samples, n_parts):
    """Lengths of partitions that are not equal."""
    cuts = np.sort(np.random.default_rng(n_parts).choice(n_samples - 1, n_parts - 1, False)) + 1
    return tuple(int(n) for n in np.diff([0, *cuts, n_samples]))


def agree(left, right):
    """Objectives within the certificates of one optimum, and rounding in the dtype of coef_."""
    if not np.isfinite(left.dual_gap_):    # both have ended at the rounding floor
        return left.objective_ == pytest.approx(right.objective_, rel=1e-9)
    difference = abs(left.objective_ - right.objective_)
    eps = np.finfo(left.coef_.dtype).eps
    return difference <= max(left.dual_gap_, right.dual_gap_) + 8 * eps * right.objective_
