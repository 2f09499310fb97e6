"""Maps from the targets of a partition, as they were given, to the `Sample` of a fit.

Workers use these maps; nothing here needs Dask.
"""

from typing import NamedTuple

import numpy as np

from .distributions import smoothed, weighed
from .sample import Sample


class LabelTargets(NamedTuple):
    """Map from labels to the `Sample` of a fit.

    Attributes
    ----------
    classes : sorted array of all labels
    factors : (n_classes,), factor of each label for the weights of its rows
    mixture : (n_classes, n_classes), the distribution of each label, or None
    total : float
        Sum of the weights of all rows, which are divided by it.
    present : (n_classes,) bool, mask of the fitted classes
    """

    classes: np.ndarray
    factors: np.ndarray
    mixture: np.ndarray | None
    total: float
    present: np.ndarray

    @property
    def _is_positive(self):
        return self.mixture is not None and bool(np.all(self.mixture > 0))

    @property
    def label_mixture(self):
        """Distribution of each label, or None."""
        return self.mixture if self._is_positive else None

    @property
    def is_mixed(self):
        """Whether rows have distributions of their own, since classes lack shares of labels."""
        # A class of weight 0 is left out, so its rows need another label: the most probable.
        return self.mixture is not None and not self._is_positive

    @property
    def surely_overlap(self):
        """Whether all rows have a share of every fitted class."""
        return self.mixture is not None and bool(np.all(self.mixture[:, self.present] > 0))

    def sample(self, y, weight):
        """Return the `Sample` of labels and weights."""
        index = np.searchsorted(self.classes, y)
        weight = weight * (self.factors / self.total)[index]
        if not self.is_mixed:
            return Sample(_places(self.present)[index], weight, label_mixture=self.label_mixture)
        mixture = self.mixture[:, self.present]
        return Sample(mixture.argmax(axis=1).astype(np.int32)[index], weight, mixture[index])


class ColumnTargets(NamedTuple):
    """Map from distributions or counts, (n_samples, n_classes), to the `Sample` of a fit.

    Attributes
    ----------
    factors : (n_classes,), factors of the columns
    smoothing : float, as `label_smoothing`
    least, most : int
        Number of classes that have a share of a row of positive weight.
    total, present
        As in `LabelTargets`.
    """

    factors: np.ndarray
    smoothing: float
    least: int
    most: int
    total: float
    present: np.ndarray

    label_mixture = None

    @property
    def is_mixed(self):
        """Whether some distributions are not labels."""
        return self.most > 1

    @property
    def surely_overlap(self):
        """Whether all rows have a share of every fitted class."""
        return self.least == np.count_nonzero(self.present)

    def sample(self, y, weight):
        """Return the `Sample` of distributions and weights."""
        index, weight, mixture = weighed(smoothed(y, self.smoothing), weight, self.factors)
        mixture = np.ascontiguousarray(mixture[:, self.present]) if self.is_mixed else None
        return Sample(_places(self.present)[index], weight / self.total, mixture)


def _places(present):
    """Return the index of every class among the fitted ones, as `Selection.new_index`."""
    return np.maximum(np.cumsum(present) - 1, 0).astype(np.int32)


def numbers_of_shares(partition, factors, smoothing):
    """Return the least and the largest number of classes that have a share of a row with weight.

    Parameters
    ----------
    partition : Partition
        With y of shape (n_samples, n_classes).
    factors, smoothing
        As in `ColumnTargets`.
    """
    _, weight, mixture = weighed(smoothed(partition.y, smoothing), partition.weight, factors)
    numbers = np.count_nonzero(mixture[weight > 0], axis=1)
    return int(numbers.min(initial=len(factors))), int(numbers.max(initial=0))
