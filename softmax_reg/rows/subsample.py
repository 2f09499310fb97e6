"""Choice of the rows of a sample, and their weights."""

import numpy as np

from ..parallel.vectors import class_totals

# Sampling factor: keep one row in this many.
_FRACTION = 16
# Largest number of entries of the sample; the sampling factor grows with X beyond it.
_MOST_ENTRIES = 2**27
# Number of sampled rows of a class below which the class is taken whole.
_FEW_ROWS = 20


def fraction_of(n_entries):
    """Return the sampling factor for an X of `n_entries` numbers."""
    return max(_FRACTION, -(-n_entries // _MOST_ENTRIES))


def sample_rows(y, weight, n_classes, fraction=_FRACTION):
    """Draw a sample of rows, in order, with weights that give every class its share.

    The sample has one random row, with a fixed seed, of each run of `fraction` successive rows,
    and all rows of the classes that would otherwise have few.

    Returns
    -------
    rows : ndarray of int
    weight : ndarray of float64, one number for each of these rows
    """
    rows = one_of_many(weight, fraction)
    is_rare = are_few(np.bincount(y[rows], minlength=n_classes))
    rows = with_rare(rows, y, is_rare)
    return rows, with_shares(y[rows], weight[rows], class_totals(y, weight, n_classes))


def one_of_many(weight, fraction, seed=0):
    """Return one random row per `fraction` rows, without rows of weight 0: indices, ascending."""
    series = np.arange(0, len(weight) - fraction + 1, fraction)
    rows = series + np.random.default_rng(seed).integers(0, fraction, len(series))
    return rows[weight[rows] > 0]


def with_rare(rows, y, is_rare):
    """Return some rows and all rows of the rare classes, indices, ascending.

    is_rare : (n_classes,) bool
    """
    return np.union1d(rows, np.flatnonzero(is_rare[y])) if is_rare.any() else rows


def are_few(counts):
    """Return a mask of the classes with too few rows in a sample."""
    return counts < _FEW_ROWS


def with_shares(y, weight, total):
    """Scale the weights of a sample so that each class has the sum `total`, (n_classes,)."""
    taken = np.bincount(y, weights=weight, minlength=len(total))
    share = np.divide(total, taken, out=np.ones(len(total)), where=taken > 0)
    return weight * share[y]
