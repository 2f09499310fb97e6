"""Rows with distributions and offsets, and how they are cut into batches."""

import numpy as np
from scipy.special import softmax


def problem(n_classes, n=90, p=4, seed=0):
    """X, distributions with zeros and some labels among them, weights, offsets."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 1
    offset = rng.standard_normal((n, n_classes))
    logits = (X - 1) @ rng.standard_normal((p, n_classes)) / np.sqrt(p) + offset
    T = softmax(logits + rng.gumbel(size=logits.shape), axis=1)
    T *= (rng.random(T.shape) < 0.7) | (T == T.max(axis=1, keepdims=True))
    T[::4] = np.eye(n_classes)[T[::4].argmax(axis=1)]
    T /= T.sum(axis=1, keepdims=True)
    weight = rng.uniform(0.1, 2, n)
    weight[5::7] = 0
    return X, T, weight, offset


def parts(n, n_batches=3):
    """Slices of equal length."""
    return [slice(k * n // n_batches, (k + 1) * n // n_batches) for k in range(n_batches)]
