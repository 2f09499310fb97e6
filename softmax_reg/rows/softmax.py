"""Softmax and cross-entropy of rows, in NumPy.

Arrays have one column for each row of X, so that sums over classes run along contiguous memory.
Results are accurate where probabilities are next to 0 or 1, too: differences from 1 are sums of
the other probabilities.
"""

from typing import NamedTuple

import numpy as np


class Labels(NamedTuple):
    """Targets and weights of the rows.

    Attributes
    ----------
    target : (n_samples,) int32
    weight : (n_samples,) float64
    own : (n_samples,) integers
        Place of the logit of each row's class in logits.ravel().
    """

    target: np.ndarray
    weight: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, target, weight):
        """Return the labels with the places of their logits."""
        own = target.astype(np.intp) * len(target) + np.arange(len(target))
        return cls(target, weight, own)


def cross_entropy(logits, labels, with_curvature=False):
    """Compute the weighted cross-entropy, its gradient in the logits, errors and probabilities.

    Parameters
    ----------
    logits : (n_rows, n_samples), overwritten
    labels : Labels
    with_curvature : bool
        Whether q is needed.

    Returns
    -------
    loss : float
    residuals : (n_rows, n_samples)
        Gradient in the logits.
    n_errors : int
    q : (n_rows, n_samples), (n_samples,) or None
        Probabilities; in the binary model q (1 - q).
    """
    losses, residuals, is_right, q = cross_entropies(logits, labels, with_curvature)
    n_errors = int(np.count_nonzero(~is_right & (labels.weight > 0)))
    return float(labels.weight @ losses), residuals, n_errors, q


def cross_entropies(logits, labels, with_curvature=False):
    """Compute the cross-entropy of every column, without its weight; the rest as `cross_entropy`.

    Returns
    -------
    losses : (n_samples,)
    residuals : (n_rows, n_samples)
        Gradient in the logits, of the weighted cross-entropies.
    is_right : (n_samples,) bool
        Whether the class of the label is strictly the most probable.
    q : as in `cross_entropy`
    """
    q, weight = None, labels.weight
    if len(logits) == 1:
        is_one = labels.target == 1
        odds = np.where(is_one, -logits[0], logits[0])    # log-odds of the other class
        small = np.exp(-np.abs(odds))
        total = 1 + small
        losses = np.maximum(odds, 0) + np.log1p(small)
        residuals = np.where(is_one, -weight, weight) * (np.where(odds > 0, 1, small) / total)
        if with_curvature:
            q = small / total**2
        is_right = odds < 0
    else:
        logits = np.ascontiguousarray(logits)
        logits -= np.maximum.reduce(logits)
        # Indices of a flat view take a seventh of the time of `put`.
        own, flat = labels.own, logits.reshape(-1)
        right = flat[own]
        exponentials = np.exp(logits, out=logits)
        term = flat[own]
        flat[own] = 0
        rest = np.add.reduce(exponentials)
        losses = np.log1p(rest + (term - 1)) - right    # log1p(rest) if the largest is right
        is_right = right >= 0
        may_tie = is_right & (rest >= 1)
        if may_tie.any():
            is_right[may_tie] = np.maximum.reduce(exponentials[:, may_tie]) < 1
        total = rest + term
        residuals = exponentials * (weight / total)
        residuals.reshape(-1)[own] = -weight * rest / total
        if with_curvature:
            flat[own] = term
            q = np.divide(exponentials, total, out=exponentials)
    return losses, np.atleast_2d(residuals), is_right, q


def probabilities(logits):
    """Return the softmax of every column, two classes or more."""
    q = logits - np.maximum.reduce(logits)
    np.exp(q, out=q)
    q /= np.add.reduce(q)
    return q


def log_probabilities(logits):
    """Return the log-softmax of every column, two classes or more."""
    _, _, rest = _exponentials(logits)
    out = logits - np.maximum.reduce(logits)
    out -= np.log1p(rest)
    return out


def spread(logits):
    """Return q (1 - q) of every logit; one logit is the binary model."""
    if len(logits) == 1:
        small = np.exp(-np.abs(logits))
        return small / (1 + small) ** 2
    out, top, rest = _exponentials(logits)
    total = 1 + rest
    out /= total
    out *= 1 - out    # accurate but for the largest, q = 1 / total
    out.put(top, rest / total**2)
    return out


def _exponentials(logits):
    """Return exp(z - max), the place of the largest in each column, the sums of the others."""
    exponentials = logits - np.maximum.reduce(logits)
    np.exp(exponentials, out=exponentials)
    top = logits.argmax(axis=0) * logits.shape[1] + np.arange(logits.shape[1])
    exponentials.put(top, 0)
    rest = np.add.reduce(exponentials)
    exponentials.put(top, 1)
    return exponentials, top, rest
