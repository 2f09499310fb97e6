"""Estimates in the parameters of the computation, and rows to compute probabilities of.

These are the contrasts of all classes but the first against the first, on columns shifted to the
means of the fit. So rounding does not grow with the means, and every coding of the user's
parameters gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..functional import log_softmax
from ..rows.device_input import is_on_device
from ..rows.row_blocks import RowBlocks

# Names or indices of columns.
Columns: TypeAlias = str | int | Sequence[str | int] | NDArray[np.integer]
# Number of entries of the largest array of a block, 256 KiB, which fits in a core's cache: 4 times
# as fast as 8 MiB for 20 columns and 5 classes.
_BLOCK_SIZE = 2**15
# Least number of rows in a block: fewer make products of matrices slow.
_LEAST_ROWS = 64


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Estimates, and the names that X and offsets of new rows are checked against.

    Attributes
    ----------
    theta : (n_classes - 1, m)
        A row (W_1, ..., W_p, c) for each class but the first, without c if there is no intercept.
    covariance : (t, t)
        Of ``theta.ravel()``.
    shift : (n_features,)
        Subtracted from the columns of X.
    features : tuple of str
    has_offset : bool
    """

    theta: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shift: NDArray[np.float64]
    features: tuple[str, ...]
    has_offset: bool

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.theta, self.covariance, self.shift):
            array.flags.writeable = False

    @property
    def n_classes(self) -> int:
        """Number of classes, the first among them."""
        return len(self.theta) + 1

    @property
    def slopes(self) -> NDArray[np.float64]:
        """Coefficients of all classes, (n_classes, n_features), of the first class zeros."""
        slopes = self.theta[:, :len(self.features)]
        return np.vstack([np.zeros(slopes.shape[1]), slopes])

    def design(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [x - shift, 1], (n, m), of some rows; without 1 if there is no intercept."""
        out = np.ones((len(columns), self.theta.shape[1]))
        np.subtract(columns, self.shift, out=out[:, :columns.shape[1]])
        return out

    def logits(
        self, design: NDArray[np.float64], offset: NDArray[np.float64] | float = 0.0
    ) -> NDArray[np.float64]:
        """Return logits of all classes, (n, n_classes), 0 for the first; plus the offset."""
        out = np.zeros((len(design), self.n_classes))
        out[:, 1:] = design @ self.theta.T
        return out + offset

    def logit_covariances(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return covariances of the logits, (n, n_classes - 1, n_classes - 1), but the first's.

        The cost is n t^2 flops.
        """
        n_rows, width = self.theta.shape
        out = np.empty((len(design), n_rows, n_rows))
        blocks = self.covariance.reshape(n_rows, width, n_rows, width)
        for k in range(n_rows):
            for m in range(k + 1):
                products = design @ blocks[k, :, m]
                out[:, k, m] = out[:, m, k] = np.einsum("ij,ij->i", products, design)
        return out


class NewRows(NamedTuple):
    """Checked rows, of the fit or others.

    Attributes
    ----------
    X : array or CSR of shape (n_samples, n_features)
    offset : (n_samples, n_classes) float64, or None
    weight : (n_samples,), with a sum of 1
    """

    X: np.ndarray
    offset: np.ndarray | None
    weight: np.ndarray

    def blocks(self, width, least=_LEAST_ROWS):
        """Yield (slice, columns in float64, offset or 0.0, weights) of blocks of rows.

        Parameters
        ----------
        width : int
            Number of entries for each row in the largest array of the caller.
        least : int
            Least number of rows in a block.
        """
        n_samples = self.X.shape[0]
        n_block = max(least, _BLOCK_SIZE // width)
        for start in range(0, n_samples, n_block):
            some = slice(start, min(start + n_block, n_samples))
            columns = self.X[some]
            columns = columns.toarray() if sparse.issparse(columns) else columns
            columns = np.asarray(columns, dtype=np.float64)
            if not np.isfinite(columns).all():
                raise ValueError("X must be finite, got NaN or infinity.")
            yield some, columns, 0.0 if self.offset is None else self.offset[some], \
                self.weight[some]

    def mean(self):
        """Return `NewRows` of the one weighted mean row."""
        blocks = self.blocks(self.X.shape[1])
        columns = sum(weight @ columns for _, columns, _, weight in blocks)
        offset = None if self.offset is None else (self.weight @ self.offset)[np.newaxis]
        return NewRows(columns[np.newaxis], offset, np.ones(1))


def rows_of_fit(objective):
    """Return (`NewRows`, `Sample`) of the data of a fit.

    Raises
    ------
    ValueError
        If X is not in memory on the host.
    """
    found = objective.rows.on_host(objective.sample)
    if found is None:
        raise ValueError("X must be in memory, as an array or a CSR matrix.")
    X, sample = found
    offset = objective.rows.offset
    if offset is not None and offset.shape[1] == 1:
        offset = np.column_stack([np.zeros(len(offset)), offset])
    return NewRows(X, offset, sample.weight), sample


def new_rows(contrasts, X, offset=None, sample_weight=None):
    """Check X, its offset and weights.

    Parameters
    ----------
    contrasts : Contrasts
    X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
    offset : array-like of shape (n_samples, n_classes), with two classes also (n_samples,)
    sample_weight : array-like of shape (n_samples,), or None

    Returns
    -------
    NewRows

    Raises
    ------
    ValueError
    """
    if X is None or isinstance(X, RowBlocks) or is_on_device(X) or hasattr(X, "dask"):
        what = "none: a result holds no data" if X is None else type(X).__name__
        raise ValueError(f"X must be rows in memory, as an array or sparse matrix, got {what}.")
    _check_names(getattr(X, "columns", None), contrasts.features)
    X = X.tocsr() if sparse.issparse(X) else np.asarray(X)
    if X.ndim != 2 or X.shape[1] != len(contrasts.features) or not X.shape[0]:
        raise ValueError(
            f"X must have shape (n_samples, {len(contrasts.features)}), the columns of the fit, "
            f"got {X.shape}."
        )
    n_samples = X.shape[0]
    weight = np.ones(n_samples)
    if sample_weight is not None:
        weight = np.array(sample_weight, dtype=np.float64)
    if weight.shape != (n_samples,) or not (
        np.isfinite(weight).all() and (weight >= 0).all() and weight.any()
    ):
        raise ValueError(
            f"sample_weight must be finite and non-negative, not all zero, of shape "
            f"({n_samples},), got shape {weight.shape}."
        )
    weight /= weight.max()
    return NewRows(X, _checked_offset(contrasts, n_samples, offset), weight / weight.sum())


def _check_names(columns, features):
    """Raise a ValueError if X has names of columns, and other ones than the fit."""
    if columns is None or features == tuple(f"x{j}" for j in range(len(features))):
        return
    names = tuple(map(str, columns))
    if names != features:
        raise ValueError(
            f"The columns of X must be those of the fit, {list(features)}, got {list(names)}."
        )


def _checked_offset(contrasts, n_samples, offset):
    """Return an offset as (n_samples, n_classes), or None."""
    if (offset is not None) != contrasts.has_offset:
        raise ValueError(
            "The model was fitted with an offset: pass one for these rows." if offset is None else
            "The model was fitted without an offset and takes none."
        )
    if offset is None:
        return None
    offset = np.asarray(offset, dtype=np.float64)
    n_classes = contrasts.n_classes
    if n_classes == 2 and offset.shape in ((n_samples,), (n_samples, 1)):
        offset = np.column_stack([np.zeros(n_samples), offset])
    if offset.shape != (n_samples, n_classes) or not np.isfinite(offset).all():
        raise ValueError(
            f"offset must be finite, of shape ({n_samples}, {n_classes}), got {offset.shape}."
        )
    return offset


def positions_of(columns, features, name):
    """Return the positions of columns that are given by index or name, in the order given.

    Parameters
    ----------
    columns : int, str, or sequence of these
    features : sequence of str
    name : str
        Name of the argument, for messages.

    Raises
    ------
    ValueError
        If a column is not there, or named twice.
    """
    if isinstance(columns, (int, np.integer, str)):
        columns = [columns]
    found = []
    for column in columns:
        is_name = isinstance(column, str)
        if is_name and column in features:
            found.append(list(features).index(column))
        elif isinstance(column, (int, np.integer)) and not isinstance(column, bool) and (
            0 <= column < len(features)
        ):
            found.append(int(column))
        else:
            raise ValueError(
                f"{name} must hold names or indices from 0 of the columns {list(features)[:20]}, "
                f"got {column!r}."
            )
    if len(set(found)) < len(found):
        raise ValueError(f"{name} names a column twice: {list(columns)}.")
    return found


def complements(proba):
    """Return 1 - q for probabilities (n, n_classes), to a few eps of itself where q is near 1."""
    out = 1 - proba
    rows, top = np.arange(len(proba)), proba.argmax(axis=1)
    rest = proba.copy()
    rest[rows, top] = 0.0
    out[rows, top] = rest.sum(axis=1)
    return out


def proba_of(logits):
    """Return (probabilities, their logarithms)."""
    log_proba = log_softmax(logits)
    return np.exp(log_proba), log_proba
