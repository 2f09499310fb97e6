"""Passes over few dense rows for several thetas at once, in NumPy.

On few rows a pass takes as long as its calls of NumPy. With B thetas there are B n_samples columns
of logits, and about the calls of one theta. Several sets of rows, as the folds of a
cross-validation, share the calls that work on logits.
"""

import functools
from typing import NamedTuple

import numpy as np

from .assembly import assembled, class_pairs
from .designs import predicted_logits
from .softmax import Labels, cross_entropies

# No warnings: an overflow becomes inf or NaN, which solvers check for.
_silent = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


class Part(NamedTuple):
    """Few dense rows, as columns of matrices.

    Attributes
    ----------
    design : (n_features + 1, n_samples) float64
        [x - shift, 1] of every row.
    raw : (n_features + 1, n_samples), dtype of X
        [x, 1] of every row.
    products : (n_samples, (n_features + 1) (n_features + 2) / 2)
        Products of two entries of a column of `design`, in the order of np.triu_indices. Entries
        of Hessians are sums of them, so several Hessians are one product of matrices.
    labels : Labels
    """

    design: np.ndarray
    raw: np.ndarray
    products: np.ndarray
    labels: Labels

    @classmethod
    def of(cls, design, raw, labels):
        """Return the part with its products."""
        first, second = np.triu_indices(len(design))
        return cls(design, raw, design.T[:, first] * design.T[:, second], labels)


@functools.cache
def _places(width):
    """Return the index that makes symmetric matrices of `Part.products`, (width, width)."""
    out = np.empty((width, width), dtype=np.intp)
    first, second = np.triu_indices(width)
    out[first, second] = out[second, first] = np.arange(len(first))
    return out


class StackedPasses:
    """Passes over one or several sets of rows, for several thetas of each.

    Thetas of one part follow one another, in the order of the parts. The caller holds BLAS to one
    thread.

    Parameters
    ----------
    parts : list of Part
        With the same number of features.
    """

    def __init__(self, parts):
        self._parts = parts
        self._known = (), None    # counts of the last pass and their labels

    @_silent
    def value_grad(self, counts, thetas):
        """Compute losses, gradients and probabilities.

        Parameters
        ----------
        counts : list of int
            Number of thetas of every part.
        thetas : (n_thetas, n_rows, n_features + 1) float64

        Returns
        -------
        losses : (n_thetas,)
        grads : (n_thetas, n_rows, n_features + 1)
        q : list of (n_rows, n_thetas, n_samples)
            Probabilities for every part; in the binary model q (1 - q).
        """
        n_rows, width = thetas.shape[1:]
        spans = self._spans(counts)

        def logits(part, some):
            return some.swapaxes(0, 1).reshape(-1, width) @ part.design

        losses, residuals, _, q = cross_entropies(
            self._joined(logits, spans, thetas), self._labels_of(counts), True
        )
        q, grads = np.atleast_2d(q), np.empty_like(thetas)
        for part, some, columns in spans:
            own = residuals[:, columns].reshape(-1, len(part.products)) @ part.design.T
            grads[some] = own.reshape(n_rows, -1, width).swapaxes(0, 1)
        q = [
            q[:, columns].reshape(n_rows, -1, len(part.products)) for part, _, columns in spans
        ]
        return self._sums(spans, losses), grads, q

    @_silent
    def hessians(self, q, is_meant):
        """Compute Hessians of the loss in theta.ravel().

        Parameters
        ----------
        q : list of arrays
            As from `value_grad`.
        is_meant : (n_thetas,) bool
            Mask of the thetas whose Hessians to compute.
        """
        blocks, end = [], 0
        for part, of_part in zip(self._parts, q, strict=True):
            n_rows, n_thetas, n_samples = of_part.shape
            start, end = end, end + n_thetas
            of_part = of_part[:, is_meant[start:end]]
            weighted = of_part * part.labels.weight
            if n_rows > 1:
                first, second = class_pairs(n_rows)
                weighted = weighted[first] * of_part[second]
            own = weighted.reshape(-1, n_samples) @ part.products
            blocks.append(own.reshape(len(weighted), -1, own.shape[-1]))
        place = _places(len(part.design))
        return assembled(np.concatenate(blocks, axis=1).swapaxes(0, 1)[..., place], n_rows)

    @_silent
    def predicted_losses(self, counts, thetas):
        """Return the `Rows.predicted_loss` of each theta, without the rest of distributions.

        counts : as in `value_grad`
        thetas : (n_thetas, n_rows, n_features + 1), for x, not for x - shift
        """
        spans = self._spans(counts)

        def logits(part, some):
            rows = some.swapaxes(0, 1).reshape(-1, some.shape[-1])
            raw = part.raw.astype(np.result_type(rows, part.raw), copy=False)
            return predicted_logits(rows, raw)

        joined = self._joined(logits, spans, thetas)
        return self._sums(spans, cross_entropies(joined, self._labels_of(counts))[0])

    def _spans(self, counts):
        """Return (part, slice of its thetas, slice of its columns of logits) of every part."""
        spans, theta, column = [], 0, 0
        for part, count in zip(self._parts, counts, strict=True):
            n = count * len(part.products)
            spans.append((part, slice(theta, theta + count), slice(column, column + n)))
            theta, column = theta + count, column + n
        return spans

    @staticmethod
    def _joined(logits, spans, thetas):
        """Return the logits of all parts, (n_rows, n_columns)."""
        n_rows = thetas.shape[1]
        return np.concatenate(
            [logits(part, thetas[some]).reshape(n_rows, -1) for part, some, _ in spans], axis=1
        )

    @staticmethod
    def _sums(spans, losses):
        """Return the weighted sums of the losses of all rows, for each theta."""
        return np.concatenate([
            losses[columns].reshape(-1, len(part.products)) @ part.labels.weight
            for part, _, columns in spans
        ])

    def _labels_of(self, counts):
        """Return the `Labels` of the rows, repeated for every theta."""
        known, labels = self._known
        if known != counts:
            target, weight = (
                np.concatenate([
                    np.tile(getattr(part.labels, name), count)
                    for part, count in zip(self._parts, counts, strict=True)
                ])
                for name in ("target", "weight")
            )
            labels = Labels.of(target, weight)
            self._known = counts, labels
        return labels
