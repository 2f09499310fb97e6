"""Choice of the rows of a sample, and their weights."""

import numpy as np

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
    chosen = one_of_many(weight, fraction)
    is_rare = are_few(np.bincount(y[chosen], minlength=n_classes))
    rows = np.flatnonzero(chosen | is_rare[y])
    total = np.bincount(y, weights=weight, minlength=n_classes)
    return rows, with_shares(y[rows], weight[rows], total)


def one_of_many(weight, fraction, seed=0):
    """Return a mask of one random row per `fraction` rows, without rows of weight 0."""
    series = np.arange(0, len(weight) - fraction + 1, fraction)
    chosen = np.zeros(len(weight), dtype=bool)
    chosen[series + np.random.default_rng(seed).integers(0, fraction, len(series))] = True
    return chosen & (weight > 0)


def are_few(counts):
    """Return a mask of the classes with too few rows in a sample."""
    return counts < _FEW_ROWS


def with_shares(y, weight, total):
    """Scale the weights of a sample so that each class has the sum `total`, (n_classes,)."""
    taken = np.bincount(y, weights=weight, minlength=len(total))
    share = np.divide(total, taken, out=np.ones(len(total)), where=taken > 0)
    return weight * share[y]
