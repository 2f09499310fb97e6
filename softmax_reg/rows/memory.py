"""Rows in memory, dense or CSR, with passes by compiled kernels on threads.

The dtype of `theta` is that of the arithmetic within a block of rows, whatever the dtype of X;
float32 is twice as fast. Sums over blocks are float64 for dense rows. For sparse rows, gradients
and Hessian products are summed over the blocks of a range in the dtype of `theta`. Results are
float64 and do not depend on the number of threads: ranges depend on shapes alone, and partial
sums are added in order.
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ..kernels import chunks, chunks_csr, predict, tall
from ..kernels.columns import csr_summary, dense_summary
from ..kernels.hessian import hessian_of
from ..kernels.matrix import make_matrix, read_only
from ..kernels.passes import (
    centred,
    class_columns,
    count_classes,
    csr_pass,
    dense_pass,
    entries_per_row,
    mirrored,
    padded_shape,
    rows_per_block,
    uncentred,
)
from ..kernels.tiles import padded
from ..parallel.algebra import ENTRY_WORK, MEMORY_SLOWNESS, add_up
from ..parallel.launch import chunk_bounds, launch
from . import by_column, by_tile
from .algebra import HOST_ALGEBRA
from .assembly import assembled
from .base import CPU_RATES, Rows, Sample, n_entries_of, some_columns
from .sample import blocks_of

_KINDS = {
    "logits": predict.LOGITS,
    "probabilities": predict.PROBABILITIES,
    "log_probabilities": predict.LOG_PROBABILITIES,
}


class _DenseKernels(NamedTuple):
    """Kernels for dense blocks of rows, which take the same arguments."""

    evaluate: Callable
    hess_prod: Callable
    curvature: Callable


_WIDE = _DenseKernels(chunks.evaluate, chunks.hess_prod, chunks.curvature)
_TALL = _DenseKernels(tall.evaluate_tall, tall.hess_prod_tall, tall.curvature_tall)
# Number of rows that are centred together by NumPy.
_BLOCK = 256
# In place of targets and weights where passes do not read them.
_NO_SAMPLE = Sample(read_only(np.empty(0, dtype=np.int32)), read_only(np.empty(0)))


class MemoryRows(Rows):
    """Rows of an array or CSR matrix in memory.

    Parameters
    ----------
    X : ndarray (C-ordered) or CSR of shape (n_samples, n_features), float32 or float64
        Finite values. The caller has checked that `indptr` and `indices` are in range. A CSR
        matrix with duplicate entries, or unsorted ones, is copied; duplicates add up.
    """

    rates = CPU_RATES
    algebra = HOST_ALGEBRA

    def __init__(self, X):
        if sparse.issparse(X) and not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        super().__init__(X.shape, X.dtype, n_entries_of(X), sparse.issparse(X))
        self.X = X
        self.matrix = make_matrix(X)
        self._cut = {}

    def __reduce__(self):
        """Return the class and X for pickling; the rest is made again from X."""
        return MemoryRows, (self.X,)

    def on_host(self, sample):
        """See `Rows.on_host`."""
        return self.X, sample

    def as_dense(self):
        """See `Rows.as_dense`."""
        return None if self.is_sparse else self.X

    def like(self, X):
        """See `Rows.like`."""
        return MemoryRows(X)

    def columns(self, index):
        """See `Rows.columns`."""
        return MemoryRows(some_columns(self.X, index))

    def column_summary(self, sample):
        """See `Rows.column_summary`."""
        X, weight = self.matrix, sample.weight
        work = ENTRY_WORK * entries_per_row(X) * X.n_samples
        bounds = chunk_bounds(
            X.n_samples, chunks_csr.CSR_BLOCK, 24 * X.n_features, work, slowness=MEMORY_SLOWNESS
        )

        def summary(start, stop):
            if not X.is_sparse:
                return dense_summary(X.dense[start:stop], weight[start:stop])
            return csr_summary(
                X.data, X.indices, X.indptr[start:stop + 1], X.n_features, weight[start:stop]
            )

        sums, ranges = zip(*launch(summary, bounds, work), strict=True)
        return add_up(np.array(sums)), functools.reduce(operator.add, ranges)

    def rest_sums(self, sample, shift):
        """See `Rows.rest_sums`."""
        if self.is_sparse:
            def sparse_sums(rows):
                rest = sample.rest(rows)
                totals = rest.sum(axis=0)
                products = (self.X[rows].T @ rest).T
                return np.column_stack([products - np.outer(totals, shift), totals])

            return sum(map(sparse_sums, blocks_of(self.n_samples)))
        n_classes, width = sample.distributions.shape[1], self.n_features + 1
        work = 2 * self.X.size * n_classes
        bounds = chunk_bounds(self.n_samples, _BLOCK, 8 * n_classes * width, work)

        def sums(start, stop):
            total = np.zeros((n_classes, width))
            for first in range(start, stop, _BLOCK):
                rows = slice(first, min(first + _BLOCK, stop))
                rest = sample.rest(rows)
                total[:, :-1] += rest.T @ (self.X[rows] - shift)
                total[:, -1] += rest.sum(axis=0)
            return total

        with HOST_ALGEBRA.one_blas_thread():
            return add_up(np.array(launch(sums, bounds, work)))

    def value_grad(self, sample, shift, theta):
        """See `Rows.value_grad`."""
        if by_tile.serves(self.matrix, theta):
            return by_tile.value_grad(self.matrix, sample, shift, theta)
        if not self.is_sparse:
            return self._dense_value_grad(sample, shift, theta, 0)[:3]
        raw, n_classes = uncentred(theta, shift), count_classes(theta)

        def args_of(rows):
            return sample.target[rows], sample.weight[rows], raw, n_classes, predict.LOSS

        flops = 4 * len(theta) * entries_per_row(self.matrix)
        grad_t, parts = self._sparse_sums(chunks_csr.evaluate_csr, args_of, theta, raw, flops)
        grad = centred(grad_t, theta, shift)
        return sum(part[0] for part in parts), grad, sum(part[1] for part in parts)

    def predicted_loss(self, sample, theta):
        """See `Rows.predicted_loss`."""
        if not by_tile.serves(self.matrix, theta):
            return super().predicted_loss(sample, theta)
        loss = by_tile.predicted_loss(self.matrix, sample, theta)
        return loss + self._predicted_rest(sample, theta)

    def value_grad_hessian(self, sample, shift, theta):
        """See `Rows.value_grad_hessian`."""
        n_classes = count_classes(theta)
        n_pairs = n_classes * (n_classes - 1) // 2
        loss, grad, n_errors, pairs = self._dense_value_grad(sample, shift, theta, n_pairs)
        return loss, grad, n_errors, assembled(mirrored(pairs), len(theta))

    def _sparse_sums(self, kernel, args_of, theta, theta_t, flops):
        """Return the sums of a kernel of `chunks_csr`, and what its calls returned.

        args_of : maps a slice of rows to the kernel's arguments before its residuals
        """
        if by_column.serves(self.matrix, theta_t):
            stretches = self._stretches(by_column.rows_together(theta_t))
            return by_column.summed(kernel, args_of, stretches, theta, theta_t, flops / 2)
        return self._sums_by_row(kernel, args_of, theta, theta_t, flops)

    def _sums_by_row(self, kernel, args_of, theta, theta_t, flops):
        """Return `_sparse_sums` by sums of gradients, one for each chunk of rows."""
        kept = np.empty((0, theta_t.shape[1]), dtype=theta.dtype)
        (out_t,), parts = csr_pass(
            kernel, (*args_of(slice(None)), kept), self.matrix, theta, [theta_t.shape], flops,
            theta.dtype,
        )
        return out_t, parts

    def _stretches(self, n_rows):
        """Return `by_column.cut`, made once: a fit has one size of stretches, or two."""
        if n_rows not in self._cut:
            self._cut = {**self._cut, n_rows: by_column.cut(self.matrix, n_rows)}
        return self._cut[n_rows]

    def _dense_value_grad(self, sample, shift, theta, n_pairs):
        """Return the loss, gradient, number of errors and Hessian blocks of `chunks.evaluate`.

        One pass over dense blocks, also of sparse rows. The Hessian has `n_pairs` blocks.
        """
        width = theta.shape[1]
        n_rows, columns = padded_shape(theta)
        (grad, pairs), parts = dense_pass(
            self._kernels(theta).evaluate,
            (*sample.labels, shift, class_columns(theta), *_loss_of(theta)), self.matrix, theta,
            [(n_rows, columns), (n_pairs, width, columns)],
            4 * n_rows * entries_per_row(self.matrix) + n_pairs * width**2,
        )
        loss, n_errors = sum(part[0] for part in parts), sum(part[1] for part in parts)
        return loss, np.ascontiguousarray(grad[:, :width]), n_errors, pairs[:, :, :width]

    def _kernels(self, theta):
        """Return the kernels for dense blocks that serve rows of this shape."""
        is_tall = not self.is_sparse and tall.serves(self.n_features, count_classes(theta))
        return _TALL if is_tall else _WIDE

    def hessian(self, sample, shift, theta, index):
        """See `Rows.hessian`."""
        def whole():
            return self.value_grad_hessian(sample, shift, theta)[3]

        return hessian_of(self.matrix, sample.weight, shift, theta, index, whole)

    def hess_prod(self, sample, shift, theta, direction):
        """See `Rows.hess_prod`."""
        if by_tile.serves(self.matrix, theta):
            return by_tile.hess_prod(self.matrix, sample, shift, theta, direction)
        flops, n_classes = 6 * len(theta) * entries_per_row(self.matrix), count_classes(theta)
        if self.is_sparse:
            raw, change = uncentred(theta, shift), uncentred(direction, shift)

            def args_of(rows):
                return sample.weight[rows], raw, change, n_classes

            out_t, _ = self._sparse_sums(chunks_csr.hess_prod_csr, args_of, theta, raw, flops)
            return centred(out_t, theta, shift)
        args = sample.weight, shift, class_columns(theta), class_columns(direction), n_classes
        (out,), _ = dense_pass(
            self._kernels(theta).hess_prod, args, self.matrix, theta, [padded_shape(theta)],
            flops,
        )
        return np.ascontiguousarray(out[:, :theta.shape[1]])

    def curvature(self, sample, shift, theta, full, full_classes=True):
        """See `Rows.curvature`."""
        n_classes = count_classes(theta)
        full_classes = full_classes or len(theta) == 1
        of_classes = n_classes if full_classes else 1
        sums = self._sparse_curvature if self.is_sparse and not full else self._dense_curvature
        classes, moments = sums(sample.weight, shift, theta, full, of_classes)
        if not full_classes:
            return classes[0, :n_classes].copy(), moments
        classes = mirrored(np.tril(classes[:, :n_classes], -1))
        # Rows sum to zero, which gives the diagonal. q - q q would cancel for q near 1.
        classes[np.diag_indices(n_classes)] = -classes.sum(axis=1)
        if len(theta) == 1:
            # The two logits 0 and z have A_i = q (1 - q) [1, -1; -1, 1]. The binary model has
            # only its last entry, which is half of its trace.
            return classes[1:, 1:].copy(), moments / 2
        return classes, moments

    def _sparse_curvature(self, weight, shift, theta, full, of_classes):
        """Return `classes` and `moments` of `chunks.curvature` for sparse rows, centred."""
        n_classes = count_classes(theta)
        flops = 2 * n_classes * (of_classes + entries_per_row(self.matrix))
        (classes, moments), _ = csr_pass(
            chunks_csr.curvature_csr, (weight, uncentred(theta, shift), n_classes), self.matrix,
            theta, [(of_classes, padded(n_classes, theta.itemsize)), (2, theta.shape[1])], flops,
        )
        # Centre the sums: sum w (x - m)^2 = sum w x^2 - m (2 sum w x - m sum w).
        sums, total = moments[0, :-1], moments[0, -1]
        moments[1, :-1] -= shift * (2 * sums - shift * total)
        np.maximum(moments[1], 0.0, out=moments[1])
        moments[0, :-1] -= shift * total
        return classes, moments

    def _dense_curvature(self, weight, shift, theta, full, of_classes):
        """Return the sums of `_sparse_curvature`, with all moments if `full`."""
        width, n_classes = theta.shape[1], count_classes(theta)
        if by_tile.serves(self.matrix, theta):
            classes, moments = by_tile.curvature(
                self.matrix, weight, shift, theta, full, of_classes > 1
            )
            return classes, mirrored(moments) if full else moments
        flops = 2 * width * (width + n_classes) + 2 * n_classes * of_classes
        (classes, moments), _ = dense_pass(
            self._kernels(theta).curvature,
            (weight, shift, class_columns(theta), n_classes, full), self.matrix, theta,
            [(of_classes, padded(n_classes, theta.itemsize)),
             (width if full else 2, padded(width, theta.itemsize))],
            flops,
        )
        moments = moments[:, :width]
        return classes, mirrored(moments) if full else moments

    def predictions(self, theta, kind):
        """See `Rows.predictions`."""
        if by_tile.serves(self.matrix, theta):
            return by_tile.predictions(self.matrix, theta, _KINDS[kind])
        n_classes = count_classes(theta)
        told = np.empty((self.n_samples, n_classes), dtype=theta.dtype)
        args = n_classes, _KINDS[kind], told
        if self.is_sparse:
            block, kernel = chunks_csr.CSR_BLOCK, chunks_csr.evaluate_csr
            args = self.matrix, *_NO_SAMPLE.labels, class_columns(theta), *args
            ends = (np.empty((0, 0), dtype=theta.dtype),)
        else:
            _, width = padded_shape(theta)
            block = rows_per_block(width, n_classes, theta.itemsize)
            kernel = self._kernels(theta).evaluate
            shift = read_only(np.zeros(self.n_features))    # the type of the other passes' shift
            args = self.matrix, *_NO_SAMPLE.labels, shift, class_columns(theta), *args, block
            ends = np.empty((0, width)), np.empty((0, 0, 0))
        work = 2 * n_classes * entries_per_row(self.matrix) * self.n_samples
        calls = [
            (*args, start, stop, *ends)
            for start, stop in chunk_bounds(self.n_samples, block, 0, work)
        ]
        return told, not any(n for _, n in launch(kernel, calls, work))


def _loss_of(theta):
    """Return the arguments of `chunks.evaluate` that ask for the loss, from n_classes on."""
    n_classes = count_classes(theta)
    return n_classes, predict.LOSS, np.empty((0, n_classes), dtype=theta.dtype)
