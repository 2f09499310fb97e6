"""Sums over rows of products of three probabilities, which mean effects are functions of.

With weights v, probabilities q and z = [x - shift, 1], these are T_klc = sum v q_k q_l q_c z.
Probabilities sum to 1, so sums over c give those of pairs, and over l and c those of one class.
"""

from itertools import combinations_with_replacement, permutations

import numpy as np


class ProbabilityMoments:
    """The sums T_klc for classes k <= l <= c, (n_classes (n_classes + 1) (n_classes + 2) / 6, m).

    Parameters
    ----------
    n_classes : int
    n_columns : int, m
        Number of entries of z.
    """

    def __init__(self, n_classes, n_columns):
        triples = list(combinations_with_replacement(range(n_classes), 3))
        self._pairs = list(combinations_with_replacement(range(n_classes), 2))
        self._position = np.empty((n_classes,) * 3, dtype=np.intp)
        for place, triple in enumerate(triples):
            for order in permutations(triple):
                self._position[order] = place
        self._sums = np.zeros((len(triples), n_columns))

    @property
    def width(self):
        """Number of sums, each of a product of every row."""
        return len(self._sums)

    def add(self, proba, weighted):
        """Add a block of rows.

        proba : (n, n_classes)
        weighted : (n, m), v z
        """
        by_class = np.ascontiguousarray(proba.T)
        products = np.empty((self.width, len(proba)))
        start = 0
        for k, m in self._pairs:    # triples that begin with (k, m) follow each other
            stop = start + len(by_class) - m
            np.multiply(by_class[k] * by_class[m], by_class[m:], out=products[start:stop])
            start = stop
        self._sums += products @ weighted

    def of_class(self, k):
        """Return T_klc for all l and c, (n_classes, n_classes, m)."""
        return self._sums[self._position[k]]
