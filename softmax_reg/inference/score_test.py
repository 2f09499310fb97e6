"""Rao's score test for columns that were left out of a fit, without a refit.

With Z the left-out columns, centred where they are dense, the larger model has the design [X, Z]
and the parameters (theta, 0) at the fit. Let g and H be the gradient and the Hessian of its mean
loss there, in the contrasts of `coding`, with the blocks x for the fitted parameters and z for
the others. The efficient score and its variance are

    e = g_z - H_zx H_xx^-1 g_x,    E = H_zz - H_zx H_xx^-1 H_xz,

and the statistic is S e' E^-1 e. At an exact optimum g_x = 0; else the term takes out the effect,
to first order, of the distance from it. With H_xx = T^-T T^-1, H_zx H_xx^-1 H_xz is the Gram
matrix of T' H_xz.

References
----------
Rao (1948), Large sample tests of statistical hypotheses concerning several parameters, Math.
Proc. Cambridge Phil. Soc. 44(1). Neyman (1959), Optimal asymptotic tests of composite
hypotheses, for the efficient score.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from scipy import sparse
from scipy.stats import chi2

from ..functional import softmax
from ..kernels.columns import dense_summary
from ..parallel.blas import one_blas_thread
from ..solvers.factor import SINGULAR
from .contrasts import complements, rows_of_fit
from .information import MAX_PARAMETERS

# Largest number of columns whose sums are taken in one pass, and of entries of these sums, 32 MiB.
_MAX_COLUMNS, _MAX_SUMS = 1024, 2**22


Value = TypeVar("Value")
Count = TypeVar("Count")


class ScoreTest(NamedTuple, Generic[Value, Count]):
    """A chi-squared statistic, its p-value and its degrees of freedom.

    With ``by_column=True`` each is an array with an entry for each left-out column.
    """

    statistic: Value
    pvalue: Value
    df: Count


def score_test_at(objective, contrasts, information, total_weight, extra, names, by_column):
    """Return the `ScoreTest` of left-out columns.

    Parameters
    ----------
    objective : Objective
        Objective of the fit, without a penalty, with X in memory.
    contrasts : Contrasts
    information : Information
    total_weight : float
    extra : array or CSR (n_samples, q)
        Finite values; float32 or float64.
    names : list of str
        Names of the q columns, for messages.
    by_column : bool

    Raises
    ------
    ValueError
        If a joint test has too many parameters, or a column of it is constant or a linear
        combination of others.
    """
    n_columns, n_rows = extra.shape[1], len(contrasts.theta)
    with one_blas_thread():
        if by_column:
            return _by_column(objective, contrasts, information, total_weight, extra)
        _check_size(information, n_columns * n_rows)
        sums = _sums(objective, contrasts, extra, joint=True)
        width = contrasts.theta.shape[1]
        cross = _cross(sums.second[..., :width])
        size = n_columns * n_rows
        own = sums.second[..., width:].transpose(2, 0, 3, 1).reshape(size, size)
        root = information.factor.half_solve(cross)
        whitened = information.factor.apply_transposed(information.grad)
        score = sums.grad.ravel() - root.T @ whitened
        statistic, least, vectors = _quadratic(
            (own - root.T @ root)[np.newaxis], own.diagonal()[np.newaxis], score[np.newaxis]
        )
    if not least[0] > SINGULAR:
        _refuse_collinear(own.diagonal(), vectors[0], names, n_rows)
    statistic = float(total_weight * statistic[0])
    return ScoreTest(statistic, float(chi2.sf(statistic, size)), size)


def _by_column(objective, contrasts, information, total_weight, extra):
    """Return the `ScoreTest` of each column by itself."""
    n_columns, (n_rows, width) = extra.shape[1], contrasts.theta.shape
    n_together = max(1, min(_MAX_COLUMNS, _MAX_SUMS // (n_rows**2 * width)))
    whitened = information.factor.apply_transposed(information.grad)
    statistic = np.empty(n_columns)
    for start in range(0, n_columns, n_together):
        some = slice(start, min(start + n_together, n_columns))
        sums = _sums(objective, contrasts, extra[:, some])
        root = information.factor.half_solve(_cross(sums.second))
        score = sums.grad.ravel() - root.T @ whitened
        root = root.T.reshape(-1, n_rows, len(root))
        found, least, _ = _quadratic(
            sums.own - root @ root.transpose(0, 2, 1), np.einsum("jkk->jk", sums.own),
            score.reshape(-1, n_rows),
        )
        statistic[some] = np.where(least > SINGULAR, total_weight * found, np.nan)
    return ScoreTest(statistic, chi2.sf(statistic, n_rows), np.full(n_columns, n_rows))


class _Sums(NamedTuple):
    """Derivatives of the mean loss in the coefficients of q columns, at 0.

    grad : (q, n_classes - 1)
    second : (n_classes - 1, n_classes - 1, q, width)
        Second derivatives by class, class, left-out column and column of the design.
    own : (q, n_classes - 1, n_classes - 1)
        Those of each left-out column with itself.
    """

    grad: np.ndarray
    second: np.ndarray
    own: np.ndarray


class _LeftOut(NamedTuple):
    """Left-out columns, scaled: squares of the result do not overflow or underflow.

    columns : array or CSR (n_samples, q)
    shift : (q,), or 0.0
        Means of dense columns if there is an intercept.
    scale : (q,)
        Largest absolute value after the shift; inf for dense columns that are constant.
    """

    columns: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, columns, weight, fit_intercept):
        """Return left-out columns of rows with weights."""
        if sparse.issparse(columns):
            counted = columns if (weight > 0).all() else columns[np.flatnonzero(weight > 0)]
            scale = abs(counted).max(axis=0).toarray().ravel().astype(np.float64)
            return cls(columns, 0.0, np.where(scale > 0, scale, 1.0))
        shift, found = dense_summary(columns, weight)
        shift = shift if fit_intercept else np.zeros_like(shift)
        with np.errstate(over="ignore"):
            scale = np.maximum(found.high - shift, shift - found.low)
        is_constant = found.is_constant if fit_intercept else scale == 0
        return cls(columns, shift, np.where(is_constant, np.inf, scale))

    def block(self, some, share):
        """Return the columns in float64 for a slice of rows, with zeros where share is 0."""
        if sparse.issparse(self.columns):
            z = self.columns[some].astype(np.float64)
            z.data[np.repeat(share == 0, np.diff(z.indptr))] = 0.0
            z.data /= self.scale[z.indices]
            return z
        z = self.columns[some] - self.shift
        z[share == 0] = 0.0
        z /= self.scale
        return z


def _sums(objective, contrasts, extra, joint=False):
    """Return the `_Sums`; one pass, n_samples q n_classes^2 width flops.

    joint : bool
        Whether the design is that of X and the left-out columns, or of X alone.
    """
    rows, sample = rows_of_fit(objective)
    n_columns, (n_rows, width) = extra.shape[1], contrasts.theta.shape
    width += joint * n_columns
    grad, second = np.zeros((n_columns, n_rows)), np.zeros((n_rows, n_rows, n_columns, width))
    own = np.zeros((n_columns, n_rows, n_rows))
    least = min(max(n_columns, 64), _MAX_COLUMNS)    # sums of q columns are added for each block
    extra = _LeftOut.of(extra, sample.weight, objective.fit_intercept)
    for some, columns, offset, share in rows.blocks(n_rows * width, least=least):
        design = contrasts.design(columns)
        proba = softmax(contrasts.logits(design, offset))
        z = extra.block(some, share)
        if joint:
            design = np.hstack([design, z.toarray() if sparse.issparse(z) else z])
        squares = z.multiply(z) if sparse.issparse(z) else z * z
        grad += z.T @ _residual(sample.take(some), proba)
        spread = share[:, np.newaxis] * proba * complements(proba)
        for k in range(n_rows):
            weight = -(share * proba[:, k + 1])[:, np.newaxis] * proba[:, k + 1:]
            weight[:, 0] = spread[:, k + 1]
            own[:, k, k:] += squares.T @ weight
            products = weight[:, :, np.newaxis] * design[:, np.newaxis, :]
            found = (z.T @ products.reshape(len(design), -1)).reshape(n_columns, -1, width)
            second[k, k:] += found.transpose(1, 0, 2)
    for k in range(n_rows):
        second[k + 1:, k], own[:, k + 1:, k] = second[k, k + 1:], own[:, k, k + 1:]
    return _Sums(grad, second, own)


def _residual(sample, proba):
    """Return v_i (q - T) of some rows for all classes but the first, (n, n_classes - 1)."""
    residual = proba.copy()
    if sample.distributions is None:
        residual[np.arange(len(proba)), sample.target] -= 1.0
    else:
        residual -= np.where(sample.weight[:, np.newaxis] > 0, sample.mixture, 0.0)
    return residual[:, 1:] * sample.weight[:, np.newaxis]


def _cross(second):
    """Return H_xz, (t, q (n_classes - 1)), from `_Sums.second` in the columns of X."""
    n_rows, _, n_columns, width = second.shape
    return second.transpose(0, 3, 2, 1).reshape(n_rows * width, n_columns * n_rows)


def _quadratic(matrix, diagonal, vector):
    """Return v' E^-1 v, with the least eigenvalue and the eigenvectors of E scaled by `diagonal`.

    Where the least eigenvalue is not positive, v' E^-1 v means nothing.

    Parameters
    ----------
    matrix : (m, s, s), E
    diagonal : (m, s)
        At least that of E.
    vector : (m, s)
    """
    scale = np.zeros_like(diagonal)
    np.divide(1.0, np.sqrt(diagonal), out=scale, where=diagonal > 0)
    scaled = matrix * scale[:, :, np.newaxis] * scale[:, np.newaxis, :]
    values, vectors = np.linalg.eigh((scaled + scaled.transpose(0, 2, 1)) / 2)
    along = np.einsum("jsv,js->jv", vectors, scale * vector)
    safe = np.where(values > 0, values, 1.0)
    return (along**2 / safe).sum(axis=1), values[:, 0], vectors


def _check_size(information, n_more):
    n_parameters = len(information.grad) + n_more
    if n_parameters > MAX_PARAMETERS:
        raise ValueError(
            f"The joint score test has {n_parameters} parameters with those of the fit; up to "
            f"{MAX_PARAMETERS} are possible. Pass fewer columns, or use by_column=True."
        )


def _refuse_collinear(diagonal, vectors, names, n_rows):
    """Raise the ValueError of a singular variance; it names columns of the null space.

    vectors : (s, s), eigenvectors, of the least eigenvalue first
    """
    share = np.abs(vectors[:, 0]).reshape(-1, n_rows).max(axis=1)
    is_in = share > 0.1 * share.max()
    is_zero = diagonal.reshape(-1, n_rows).max(axis=1) == 0
    found = [names[j] for j in np.flatnonzero(is_zero if is_zero.any() else is_in)[:10]]
    raise ValueError(
        f"The columns {found} of X_extra are constant among the rows of positive weight, or "
        "linear combinations of other columns of X and X_extra, or nearly so: they cannot be "
        "tested together. Leave columns out, or use by_column=True, which gives NaN for columns "
        "that depend on X alone."
    )
