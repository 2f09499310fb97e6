"""The CPU's passes over rows that are read block by block: sums over blocks.

Same functions as `cpu`, which makes each block's part.
"""

import numpy as np

from . import cpu
from ._passes import count_classes
from ._row_blocks import RowBlocks
from .cpu import (
    RATES,
    centred_gram,
    centred_product,
    combination,
    coordinate_descent,
    empty_vectors,
    group_descent,
    inner_products,
    kept,
    kronecker_descent,
    kronecker_group_descent,
    one_blas_thread,
    place,
    product,
    set_vector,
)

__all__ = [
    "RATES", "centred_gram", "centred_product", "column_summary", "combination",
    "coordinate_descent", "curvature", "empty_vectors", "group_descent", "hess_prod", "hessian",
    "inner_products", "kept", "kronecker_descent", "kronecker_group_descent", "make_rows",
    "one_blas_thread", "place", "predictions", "product", "set_vector", "value_grad",
    "value_grad_hessian",
]


def make_rows(X):
    """X as `RowBlocks`; it is not looked at."""
    return X if isinstance(X, RowBlocks) else RowBlocks(X)


def added(total, part):
    """Sum of two results of a pass: an array or number, or a tuple of them, or None."""
    if total is None:
        return part
    if isinstance(part, tuple):
        return tuple(added(left, right) for left, right in zip(total, part, strict=True))
    return total + part


def _summed(function, rows, of_rows, *args):
    """Sum of ``function(rows, *of_rows, *args)`` over blocks; `of_rows` are cut as they are."""
    total = None
    for part, block in rows.blocks():
        some = [array[part] for array in of_rows]
        total = added(total, function(cpu.make_rows(block), *some, *args))
    return total


def column_summary(rows, weight):
    """Weighted column sums of X and the range of its columns; see `reference.column_summary`.

    The first pass of a fit, and so the one that finds what is not finite.

    Raises
    ------
    ValueError
        On NaN or infinity in X.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sums, ranges = _summed(cpu.column_summary, rows, (weight,))
    if not np.all(np.isfinite(sums)):
        check_finite(rows)    # or they overflow
    return sums, ranges


def check_finite(rows):
    """ValueError where X holds NaN or infinity."""
    for part, block in rows.blocks():
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise ValueError(
                f"Input X contains NaN or infinity, in row {part.start + int(bad.argmax())}."
            )


def value_grad(rows, y, weight, shift, theta):
    """Loss, gradient, number of errors; see `reference.value_grad`."""
    return _summed(cpu.value_grad, rows, (y, weight), shift, theta)


def value_grad_hessian(rows, y, weight, shift, theta):
    """`value_grad` and the dense Hessian; see `reference.value_grad_hessian`."""
    return _summed(cpu.value_grad_hessian, rows, (y, weight), shift, theta)


def hessian(rows, weight, shift, theta, index):
    """The Hessian in some coefficients; see `reference.hessian`."""
    return _summed(cpu.hessian, rows, (weight,), shift, theta, index)


def hess_prod(rows, weight, shift, theta, direction):
    """Hessian of the loss times `direction`; see `reference.hess_prod`."""
    return _summed(cpu.hess_prod, rows, (weight,), shift, theta, direction)


def curvature(rows, weight, shift, theta, full, full_classes=True):
    """Kronecker factors of the Hessian; see `reference.curvature`."""
    return _summed(cpu.curvature, rows, (weight,), shift, theta, full, full_classes)


def predictions(rows, theta, kind):
    """Logits or what follows from them, and whether they are finite; see `reference`."""
    out = np.empty((len(rows), count_classes(theta)), dtype=theta.dtype)
    all_finite = True
    for part, block in rows.blocks():
        out[part], finite = cpu.predictions(cpu.make_rows(block), theta, kind)
        all_finite = all_finite and finite
    return out, all_finite
