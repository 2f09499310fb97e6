"""From the logits of one block of rows to its losses, or to predictions."""

import numpy as np

from .exp_log import log1p
from .jit import inner_kernel, outlined_kernel
from .softmax import cross_entropies, exponentials

# What `chunks.evaluate` computes: the loss with its derivatives, or a kind of predictions.
LOSS, LOGITS, PROBABILITIES, LOG_PROBABILITIES = range(4)


@inner_kernel
def _check_logits(logits, kind, first, size, out):
    """Return the number of logits that are not finite; copy them if `kind` needs them in `out`.

    logits : (n_classes, block)
    out : (n_samples, n_classes)
    """
    n_not_finite = 0
    for k in range(len(logits)):
        for i in range(size):
            n_not_finite += 0 if abs(logits[k, i]) < np.inf else 1
    if kind != PROBABILITIES:
        for k in range(len(logits)):
            for i in range(size):
                out[first + i, k] = logits[k, i]
    return n_not_finite


@inner_kernel
def _write_predictions(logits, kind, first, size, work, out):
    """Write the predictions of a block, after `exponentials`; logits are there already."""
    n_classes = len(logits)
    largest, rest, more = work[0], work[1], work[2]
    one = logits.dtype.type(1)
    for i in range(size):
        rest[i] += more[i]
    if kind == LOG_PROBABILITIES:
        for i in range(size):
            rest[i] = log1p(np.float64(rest[i]))
        _subtract_from_logits(largest, rest, first, size, out)
    else:
        for i in range(size):
            rest[i] = one / (one + rest[i])
        for k in range(n_classes):
            for i in range(size):
                logits[k, i] *= rest[i]
        for i in range(size):
            for k in range(n_classes):
                out[first + i, k] = logits[k, i]


@outlined_kernel
def _subtract_from_logits(largest, rest, first, size, out):
    """Subtract two numbers from each row, one after the other.

    Their sum would lose the digits of `rest`, which is all that is left of a confident row.
    """
    for i in range(size):
        for k in range(out.shape[1]):
            out[first + i, k] = (out[first + i, k] - largest[i]) - rest[i]


@inner_kernel
def losses_or_predictions(logits, kind, y, weight, first, size, work, losses, told):
    """Compute the losses of a block as `cross_entropies` does, or write predictions to `told`.

    Returns
    -------
    loss : float
        0 for predictions.
    n : int
        Number of errors; for predictions, of logits that are not finite.
    """
    loss, n = 0.0, 0
    if kind == LOSS:
        for i in range(size):
            work[3, i] = logits[y[first + i], i]
    else:
        n = _check_logits(logits, kind, first, size, told)
    if kind != LOGITS:
        exponentials(logits, work[0], work[1], work[2])
    if kind == LOSS:
        loss, n = cross_entropies(logits, y, weight, first, size, work, losses)
    elif kind != LOGITS:
        _write_predictions(logits, kind, first, size, work, told)
    return loss, n
