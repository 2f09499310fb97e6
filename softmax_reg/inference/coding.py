"""Maps from the parameters of the computation to those of the user.

The computation needs parameters with a Hessian that is not singular: the contrasts of all classes
against the first (reference coding), of columns shifted to their means. With two classes these
are the one row of the model. A row is (W_1, ..., W_p, c), without c if there is no intercept.

The user's rows are linear combinations A of these, and within a row the map B restores the
intercept of the columns as they are, c - W m for the means m. So a covariance V becomes
(A kron B) V (A kron B)'. The user's intercept comes first in a row, c comes last.
"""

import numpy as np


def classes_coded(n_classes, reference):
    """Return A, the user's rows in terms of the contrasts against the first class.

    Parameters
    ----------
    n_classes : int
    reference : int or None
        Index of the class that the user's rows are contrasts against. None is the coding of
        `coef_`: of two classes, the contrast of the second against the first; of more, all
        classes, with a sum of zero.

    Returns
    -------
    A : (n_rows, n_classes - 1)
    """
    classes = np.eye(n_classes)[:, 1:]
    if n_classes == 2 and reference is None:
        reference = 0
    if reference is None:
        return classes - 1 / n_classes
    return np.delete(classes - classes[reference], reference, axis=0)


def columns_uncentred(shift, fit_intercept):
    """Return B, (m, m): the parameters of columns x from those of columns x - shift."""
    n_features = len(shift)
    if not fit_intercept:
        return np.eye(n_features)
    out = np.zeros((n_features + 1, n_features + 1))
    out[0, :-1] = -shift
    out[0, -1] = 1.0
    out[1:, :-1] = np.eye(n_features)
    return out


def user_parameters(coef, intercept, fit_intercept, reference):
    """Return the user's parameters, (n_rows, m), in the coding of `classes_coded`.

    Parameters
    ----------
    coef, intercept : as `coef_` and `intercept_`, float64
    fit_intercept : bool
    reference : int or None
    """
    rows = np.column_stack([intercept, coef]) if fit_intercept else np.array(coef)
    if len(rows) == 1:
        return -rows if reference == 1 else rows
    if reference is None:
        return rows
    return np.delete(rows - rows[reference], reference, axis=0)
