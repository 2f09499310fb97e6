"""Kronecker factors of the Hessian of the loss, and how large they may get."""

from typing import NamedTuple

import numpy as np

# Largest number of features with a full covariance, n_features x n_features, in the Kronecker
# factors. With more features the factor is the diagonal: the full matrix costs more than it saves.
MAX_FULL_COVARIANCE = 2000
# Largest number of classes with a full matrix, n_classes x n_classes, in the Kronecker factors.
MAX_FULL_CLASSES = 2000


class Curvature(NamedTuple):
    """Factors of the approximation Hessian ~ classes (x) covariance of the features.

    (x) is the Kronecker product; `solvers.kronecker` derives the approximation. The matrices are
    full up to MAX_FULL_CLASSES classes and MAX_FULL_COVARIANCE features.
    """

    classes: np.ndarray    # (n_rows, n_rows), or its diagonal (n_rows,)
    mean: np.ndarray    # (n_features,)
    covariance: np.ndarray    # (n_features, n_features), or its diagonal (n_features,)


def mean_and_covariance(moments, full, fit_intercept):
    """Return the mean, and the covariance or its diagonal, from moments of `Rows.curvature`.

    The last entry of the moments is the sum of the weights. With full=False the first row holds
    weighted sums of the columns, the second row those of their squares.

    Without an intercept the mean is zero, and the covariance is the matrix of second moments.
    """
    total = moments[-1, -1]
    if total > 0:
        moments = moments / total
    mean = moments[-1, :-1] if full else moments[0, :-1]
    if not fit_intercept:
        mean = np.zeros_like(mean)
    if full:
        return mean, moments[:-1, :-1] - mean[:, np.newaxis] * mean
    return mean, np.maximum(moments[1, :-1] - mean**2, 0.0)
