"""The Hessian of the loss in some of the coefficients, over one range of sparse rows.

Like those of `chunks_csr`, the kernel touches stored entries only: its sums are of raw rows x, and
`kernels.hessian` corrects them for x - shift.
"""

import numpy as np

from .chunks import class_curvature, logit_space
from .chunks_csr import CSR_BLOCK, sparse_products
from .jit import inner_kernel, kernel
from .softmax import exponentials
from .tiles import aligned_empty, transpose


@inner_kernel
def _fits(rows, theta_t, n_classes, starts, places, classes, out, strip):
    """Return whether coefficients are listed by column and in range, and sums have their shape."""
    n = len(places)
    fits = len(starts) == len(theta_t) == rows.n_features + 1 and len(classes) == n
    fits = fits and starts[0] == 0 and starts[rows.n_features] == n
    fits = fits and out.shape == (n, n) and strip.shape == (n, theta_t.shape[1])
    for j in range(rows.n_features):
        fits = fits and starts[j] <= starts[j + 1]
    for e in range(n):
        fits = fits and 0 <= places[e] < n and 0 <= classes[e] < n_classes
    return fits


@kernel
def hessian_csr(
    rows, weight, theta_t, n_classes, starts, places, classes, most, start, stop,
    out, strip, of_intercepts,
):
    """Sum the Hessian over the rows; the last three arguments are overwritten.

    Parameters
    ----------
    starts : (n_features + 1,) int64
        Coefficients of column j are starts[j] to starts[j + 1] in `places` and `classes`.
    places, classes : (m,) int64
        Position in `out` and `strip`, and class, of each coefficient.
    most : int
        Largest number of coefficients that multiply the stored entries of one row.
    out : (m, m)
        Hessian between coefficients; only the lower triangle is valid.
    strip : (m, n_classes padded)
        Hessian between each coefficient and all intercepts. The entry for the intercept of the
        coefficient's own class has no meaning.
    of_intercepts : (n_classes, n_classes padded)
        As `classes` of `chunks.curvature`.
    """
    if not _fits(rows, theta_t, n_classes, starts, places, classes, out, strip):
        raise ValueError("hessian_csr: coefficients out of range")
    by_row, padded_proba, work = logit_space(theta_t, CSR_BLOCK)
    logits = padded_proba[:n_classes]
    inverse, rest, more = work[0], work[1], work[2]
    weighted = aligned_empty(n_classes, CSR_BLOCK, theta_t)
    # Positions, classes, x, q x and s q (1 - q) x of the coefficients that one row multiplies.
    met, met_class = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    values, scaled, own = np.empty(most), np.empty(most), np.empty(most)
    out[:] = 0.0
    strip[:] = 0.0
    of_intercepts[:] = 0.0
    for first in range(start, stop, CSR_BLOCK):
        last = min(first + CSR_BLOCK, stop)
        sparse_products(rows, first, last, theta_t, by_row)
        transpose(by_row, padded_proba)
        exponentials(logits, inverse, rest, more)
        for i in range(CSR_BLOCK):
            rest[i] += more[i]    # all exponentials but one of the largest
            inverse[i] = 1.0 / (rest[i] + 1.0)
        padded_proba[n_classes:] = 0.0
        transpose(padded_proba, by_row)
        for i in range(last - first):
            s = weight[first + i]
            n = 0
            for entry in range(rows.indptr[first + i], rows.indptr[first + i + 1]):
                j, x = rows.indices[entry], rows.data[entry]
                for e in range(starts[j], starts[j + 1]):
                    if n == most:
                        raise ValueError("hessian_csr: a row meets more coefficients")
                    met[n], met_class[n] = places[e], classes[e]
                    exponential = by_row[i, classes[e]]
                    q = exponential * inverse[i]
                    # The largest exponential is 1: the others keep digits that 1 - q would lose.
                    others = rest[i] if exponential == 1.0 else rest[i] + 1.0 - exponential
                    values[n], scaled[n] = x, q * x
                    own[n] = s * q * others * inverse[i] * x
                    n += 1
            for a in range(n):
                minus = -s * scaled[a]
                row, k = met[a], met_class[a]
                for b in range(a + 1):
                    value = own[a] * values[b] if met_class[b] == k else minus * scaled[b]
                    out[max(row, met[b]), min(row, met[b])] += value
                minus *= inverse[i]
                for k in range(by_row.shape[1]):
                    strip[row, k] += minus * by_row[i, k]
        for k in range(n_classes):
            for i in range(CSR_BLOCK):
                logits[k, i] *= inverse[i]
        class_curvature(
            padded_proba, n_classes, weight, first, last - first, more, weighted, by_row,
            of_intercepts,
        )
