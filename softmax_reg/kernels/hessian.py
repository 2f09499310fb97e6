"""The Hessian in some of the coefficients, by the one of three methods with the least work."""

import numpy as np

from . import hessian_dense
from .chunks_csr import CSR_BLOCK
from .hessian_csr import hessian_csr
from .passes import (
    class_columns,
    count_classes,
    mirrored,
    rows_per_block,
    sum_over_chunks,
    uncentred,
)
from .registers import REGISTER_BYTES
from .tiles import padded

# Cost of one pair of stored entries, in operations of products of dense blocks.
PAIR_COST = 80
# Cost of one addition to a row of sums, in operations of products of dense blocks.
_TERM = 4
# Smallest ratio of a diagonal entry of centred rows to that of raw rows. Below it, the difference
# between the two has cancelled too many digits.
_LEAST_LEFT = 1e-6


def hessian_of(rows, weight, shift, theta, index, whole):
    """Return the Hessian in theta.ravel()[index]; see `Rows.hessian`.

    whole : callable
        Returns the Hessian in all coefficients. If `index` is all of them, this takes about half
        the work of dense blocks, because it computes each pair of classes once.
    """
    n_rows, width = theta.shape
    index = np.asarray(index, dtype=np.int64)
    in_order = len(index) > 0 and np.all(index[1:] > index[:-1])
    if not (in_order and index[0] >= 0 and index[-1] < theta.size):
        raise ValueError("hessian: index must be ascending and in range")
    of_row, columns = np.divmod(index, width)
    counts = np.bincount(of_row, minlength=n_rows)
    work = np.square(counts).sum() + (len(index)**2 if np.count_nonzero(counts) > 1 else 0)
    whole_work = count_classes(theta) * (count_classes(theta) - 1) // 2 * width**2
    if rows.is_sparse:
        is_coef = columns < width - 1
        per_column = np.bincount(columns[is_coef], minlength=width - 1)
        ends = np.append(0, np.cumsum(per_column[rows.indices]))
        met = ends[rows.indptr[1:]] - ends[rows.indptr[:-1]]
        pairs_work = PAIR_COST * np.square(met).sum() + _TERM * met.sum() * n_rows
        pairs_work += rows.n_samples * n_rows**2
        if pairs_work <= rows.n_samples * min(work, whole_work):
            most = int(met.max(initial=0))
            out = _by_pairs(rows, weight, shift, theta, of_row, columns, most, pairs_work)
            if out is not None:
                return out
    if whole_work <= work:
        out = whole()
        return out if len(index) == theta.size else out[np.ix_(index, index)]
    return _by_blocks(rows, weight, shift, theta, columns, counts, work)


def _by_blocks(rows, weight, shift, theta, columns, counts, work):
    """Return the Hessian by products of dense blocks of rows.

    counts : (n_rows,) int
        Number of coefficients in each row of theta.
    """
    m, present = len(columns), np.flatnonzero(counts)
    counts = counts[present]
    m_cross = m if len(counts) > 1 else 0
    lanes = REGISTER_BYTES // theta.itemsize
    padded_counts = -(-counts // lanes) * lanes
    bounds = np.append(0, np.cumsum(counts))
    block = rows_per_block(
        theta.shape[1] + 2 * (m_cross + counts.max()), len(theta), theta.itemsize
    )
    args = (
        rows, weight, shift, class_columns(theta), count_classes(theta),
        present + count_classes(theta) - len(theta), columns, bounds, block,
    )
    (cross, own), _ = sum_over_chunks(
        hessian_dense.hessian, args, rows, block, count_classes(theta),
        [(m_cross, padded(m, theta.itemsize)), (int(counts @ padded_counts),)],
        work + 2 * theta.size,
    )
    out = mirrored(cross[:, :m]) if m_cross else np.empty((m, m))
    place = 0
    for first, n, n_padded in zip(bounds, counts, padded_counts, strict=False):
        part = own[place:place + n * n_padded].reshape(n, n_padded)
        out[first:first + n, first:first + n] = mirrored(part[:, :n])
        place += n * n_padded
    return out


def _by_pairs(rows, weight, shift, theta, of_row, columns, most, work):
    """Return the Hessian by pairs of stored entries, or None if centring cancels its digits.

    The sums are those of `hessian_csr`, of raw rows; the shift is subtracted afterwards.

    of_row, columns : (m,) int
        Row in theta, and column, of each coefficient.
    most : int
        As in `hessian_csr`.
    work : float
        Number of operations on all rows.
    """
    n_rows, width = theta.shape
    first = count_classes(theta) - n_rows
    is_coef = columns < width - 1
    coefs = np.flatnonzero(is_coef)
    order = coefs[np.argsort(columns[coefs], kind="stable")]
    place = np.empty(len(columns), dtype=np.int64)
    place[coefs] = np.arange(len(coefs))
    starts = np.searchsorted(columns[order], np.arange(width))
    shape = count_classes(theta), padded(count_classes(theta), theta.itemsize)
    args = (
        rows, weight, uncentred(theta, shift), count_classes(theta), starts, place[order],
        of_row[order] + first, most,
    )
    (own, strip, classes), _ = sum_over_chunks(
        hessian_csr, args, rows, CSR_BLOCK, shape[0],
        [(len(coefs), len(coefs)), (len(coefs), shape[1]), shape],
        work / max(1, rows.n_samples),
    )
    k = of_row[coefs] + first
    strip = strip[:, :count_classes(theta)]
    classes = mirrored(np.tril(classes[:, :count_classes(theta)], -1))
    # Rows sum to zero, which gives the entries between a class and itself.
    for sums, at in ((strip, (np.arange(len(coefs)), k)), (classes, np.diag_indices(shape[0]))):
        sums[at] = 0.0
        sums[at] = -sums.sum(axis=1)
    # Replace x by x - shift in the sums, using those between coefficients and intercepts.
    mean = shift[columns[coefs]]
    out = mirrored(own)
    seen = strip[:, k] * mean
    before = own.diagonal()
    out -= seen + seen.T
    out += np.outer(mean, mean) * classes[np.ix_(k, k)]
    if np.any(out.diagonal() < _LEAST_LEFT * before):
        return None
    strip -= mean[:, np.newaxis] * classes[k]
    whole = np.empty((len(columns), len(columns)))
    intercepts = np.flatnonzero(~is_coef)
    of = of_row[intercepts] + first
    whole[np.ix_(coefs, coefs)] = out
    whole[np.ix_(coefs, intercepts)] = strip[:, of]
    whole[np.ix_(intercepts, coefs)] = strip[:, of].T
    whole[np.ix_(intercepts, intercepts)] = classes[np.ix_(of, of)]
    return whole
