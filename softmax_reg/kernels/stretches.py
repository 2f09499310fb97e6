"""Kernels over a range of rows whose logits are given: what a pass does besides its products.

Logits are (rows, n_classes padded), by row. The number of rows is a multiple of `BLOCK`; those
beyond the end of the range are padding, which becomes zero.
"""

import numpy as np

from .chunks import add_own_curvatures, spreads
from .jit import inner_kernel, kernel
from .predict import LOSS, losses_or_predictions
from .softmax import curved, load_block, probabilities, residuals
from .tiles import aligned_empty, transpose

# Number of rows of a block.
BLOCK = 64


@kernel
def centre_rows(rows, shift, start, stop, x):
    """Set x to rows start .. stop of X minus `shift`, then a one, then zeros; see `load_block`."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        block = x[first - start:first - start + BLOCK]
        load_block(rows, shift, first, last, block)
        for i in range(last - first):
            block[i, rows.n_features] = 1.0
            block[i, rows.n_features + 1:] = 0.0


@inner_kernel
def _space(by_row):
    """Return an uninitialised block of logits, by class, and work of `cross_entropies`."""
    return aligned_empty(by_row.shape[1], BLOCK, by_row), aligned_empty(4, BLOCK, by_row)


@inner_kernel
def _keep(by_class, n_classes, block):
    """Set a block by row to one by class, whose padding becomes zero."""
    by_class[n_classes:] = 0.0
    transpose(by_class, block)


@kernel
def losses_of_logits(by_row, y, weight, n_classes, kind, told, start, stop):
    """Compute losses and residuals from logits, or predictions; see `chunks.evaluate`.

    by_row : overwritten by the residuals of a loss

    Returns
    -------
    loss, n_errors : as those of `chunks.evaluate`
    """
    padded_logits, work = _space(by_row)
    logits = padded_logits[:n_classes]
    losses = np.empty(BLOCK)
    loss = 0.0
    n_errors = 0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        size = last - first
        block = by_row[first - start:first - start + BLOCK]
        transpose(block, padded_logits)
        part, n = losses_or_predictions(logits, kind, y, weight, first, size, work, losses, told)
        loss += part
        n_errors += n
        if kind == LOSS:
            residuals(logits, y, first, size, work)
            _keep(padded_logits, n_classes, block)
    return loss, n_errors


@kernel
def changes_of_logits(by_row, changes, weight, n_classes, start, stop):
    """Compute from logits and their changes those of the residuals, in place of the changes."""
    padded_proba, work = _space(by_row)
    padded_change, _ = _space(by_row)
    proba, change = padded_proba[:n_classes], padded_change[:n_classes]
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        here = slice(first - start, first - start + BLOCK)
        transpose(by_row[here], padded_proba)
        transpose(changes[here], padded_change)
        probabilities(proba, work)
        curved(proba, change, weight, first, last - first, work[0])
        _keep(padded_change, n_classes, changes[here])


@kernel
def curvature_of_logits(by_row, x, weight, n_classes, start, stop, own):
    """Scale rows so that their Gram matrices are the Kronecker factors of `chunks.curvature`.

    by_row : overwritten by sqrt(s_i) q_i
    x : multiplied by sqrt(w_i)
    own : (1, n_classes), overwritten by sum_i s_i q_ik (1 - q_ik)
    """
    padded_proba, work = _space(by_row)
    weighted = aligned_empty(n_classes, BLOCK, by_row)
    proba, spread = padded_proba[:n_classes], work[3]
    own[:] = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        size = last - first
        here = slice(first - start, first - start + BLOCK)
        transpose(by_row[here], padded_proba)
        probabilities(proba, work)
        spreads(proba, weight, first, size, spread, weighted)
        add_own_curvatures(proba, size, weighted, own)
        for k in range(n_classes):
            for i in range(size):
                proba[k, i] *= np.sqrt(weight[first + i])
        _keep(padded_proba, n_classes, by_row[here])
        for i in range(size):
            root = np.sqrt(spread[i])
            for j in range(x.shape[1]):
                x[first - start + i, j] *= root
