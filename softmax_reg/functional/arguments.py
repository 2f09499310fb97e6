"""Arguments of the functions on logits and probabilities: checked, as arrays of floats."""

from numbers import Real

import numpy as np

from .narrow_floats import is_narrow

# Largest distance of a distribution's sum from 1: rounding to bfloat16, or to two decimals.
_SUM_SLACK = 1 / 64


def as_float(name, x, integers_as=np.float64):
    """Return `x` as a native float32 or float64 array, without a copy if it is one."""
    x = np.asarray(x)
    if is_narrow(x.dtype):
        return x.astype(np.float32)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}.")
    if x.dtype.kind != "f":
        return x.astype(integers_as)
    return x.astype(np.float32 if x.dtype.itemsize <= 4 else np.float64, copy=False)


def check_probabilities(name, p, absent=False):
    """Raise a ValueError if `p` is negative or above 1 by more than rounding, unless `absent`."""
    wrong = (p < 0) | (p > 1 + 8 * np.finfo(p.dtype).eps)
    wrong &= np.logical_not(absent)
    if wrong.any():
        raise ValueError(f"{name} must hold probabilities in [0, 1], got {p[wrong][0]}.")


def check_distribution(name, p, axis, absent, may_be_zero=False):
    """Raise a ValueError if a vector, or a single class, does not sum to 1 along `axis`.

    A vector or single class with another sum probably holds labels 0 and 1, or probabilities of
    class 1. Rows of several classes may have any sum. With `may_be_zero`, a vector may be zero.
    """
    if p.ndim > 1 and p.shape[axis] > 1:
        return
    total = p.sum(axis=axis, keepdims=True, dtype=np.float64)
    wrong = (np.abs(total - 1) > _SUM_SLACK) & np.logical_not(absent)
    if may_be_zero and p.shape[axis] > 1:
        wrong &= np.any(p != 0, axis=axis, keepdims=True)
    if wrong.any():
        raise ValueError(
            f"{name} must be a distribution along axis {axis}, with sum 1, got shape {p.shape} "
            f"and sum {total[wrong][0]:.6g}. For labels 0 and 1 and predictions of class 1 use "
            "binary_cross_entropy."
        )


def along(name, x, axis):
    """Return `x` as floats, and `axis` counted from the front; raise if the axis is empty."""
    x = as_float(name, x)
    if not isinstance(axis, (int, np.integer)) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must be one of the {x.ndim} axes of {name}, got {axis!r}.")
    if x.shape[axis] == 0:
        raise ValueError(f"{name} must not be empty along axis {axis}, got shape {x.shape}.")
    return x, int(axis) % x.ndim


def scaled(x, axis, temperature, where):
    """Return logits divided by a checked temperature, -inf where a checked mask is False.

    Divided after their maximum is subtracted, which leaves the softmax as it is: no overflow.
    """
    if where is not None:
        where = np.asarray(where)
        if where.dtype != bool:
            raise TypeError(f"where must hold booleans, got dtype {where.dtype}.")
        try:
            where = np.broadcast_to(where, x.shape)
        except ValueError:
            raise ValueError(
                f"where must broadcast to the shape of x, {x.shape}, got {where.shape}."
            ) from None
        x = np.where(where, x, x.dtype.type(-np.inf))
    if isinstance(temperature, bool) or not isinstance(temperature, Real):
        raise TypeError(f"temperature must be a number, got {temperature!r}.")
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature!r}.")
    if temperature == 1:
        return x
    return (x - x.max(axis=axis, keepdims=True)) / float(temperature)


def checked_smoothing(label_smoothing):
    """Return the share of the uniform distribution, a float in [0, 1]."""
    if isinstance(label_smoothing, bool) or not isinstance(label_smoothing, Real):
        raise TypeError(f"label_smoothing must be a number, got {label_smoothing!r}.")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing!r}.")
    return float(label_smoothing)


def checked_class_weight(class_weight, shape, axis):
    """Return the weight of each class along `axis` of `shape`, float64; None without weights."""
    n_classes = shape[axis]
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        unknown = set(class_weight) - set(range(n_classes))
        if unknown:
            raise ValueError(f"class_weight must have labels in [0, {n_classes}) as keys, got "
                             f"{sorted(unknown, key=repr)}.")
        class_weight = [class_weight.get(k, 1.0) for k in range(n_classes)]
    weight = as_float("class_weight", class_weight).astype(np.float64)
    check_shape("class_weight", weight, (n_classes,), "one weight for each class")
    if not np.all((weight >= 0) & (weight < np.inf)):
        raise ValueError(f"class_weight must be non-negative and finite, got {weight}.")
    return weight.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def check_shape(name, x, shape, meaning):
    """Raise a ValueError unless `x` has this shape."""
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, {meaning}, got {x.shape}.")


def without(shape, axis):
    """Return the shape without an axis, counted from the front."""
    return shape[:axis] + shape[axis + 1:]


def checked_labels(y, shape, axis, absent):
    """Return checked class labels that index `shape` along `axis`; 0 where `absent`."""
    y = np.asarray(y)
    check_shape("y_true", y, without(shape, axis), "as y_pred without `axis`")
    if y.size and y.dtype.kind not in "iu":
        raise TypeError(f"y_true must hold integer labels, got {y.dtype}. Encode or cast them.")
    y = np.expand_dims(y, axis)
    wrong = ((y < 0) | (y >= shape[axis])) & np.logical_not(absent)
    if wrong.any():
        raise ValueError(f"y_true must hold labels in [0, {shape[axis]}), got {y[wrong][0]}.")
    return np.where(absent, 0, y).astype(np.intp)


def checked_weight(sample_weight, shape, axis=None):
    """Return (weight of each loss, mask of absent losses); (None, False) without weights.

    Parameters
    ----------
    sample_weight : array_like of numbers >= 0, shape `shape`, or None
    shape : shape of the losses
    axis : int or None; where to add an axis of length 1 to the mask
    """
    if sample_weight is None:
        return None, False
    weight = as_float("sample_weight", sample_weight).astype(np.float64)
    check_shape("sample_weight", weight, shape, "one weight for each loss")
    total = weight.sum()
    if np.any(weight < 0) or not np.isfinite(total):
        raise ValueError("sample_weight must be non-negative with a finite sum, got minimum "
                         f"{weight.min()} and sum {total}.")
    absent = weight == 0
    return weight, absent if axis is None else np.expand_dims(absent, axis)


def reduced(loss, weight, reduction, share=None):
    """Return the mean or sum of the losses, or the weighted losses themselves.

    share : array, shape of `loss`, or None; what a loss counts in the mean, times its weight
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
    total, weighted = loss.size, loss.astype(np.float64)
    if weight is not None:
        total = weight.sum()
        weighted = np.where(weight == 0, 0, weight * weighted)
    if share is not None:
        total = (share if weight is None else np.where(weight == 0, 0, weight * share)).sum()
    if reduction == "mean":
        if loss.size == 0:
            raise ValueError("reduction='mean' needs at least one loss, got 0 losses.")
        if total == 0:
            names = "sample_weight" if share is None else "sample_weight and class_weight"
            raise ValueError(f"reduction='mean' needs a positive sum of {names}, got {total} over "
                             f"{loss.size} losses.")
        return loss.dtype.type(weighted.sum() / total)
    return (weighted.sum() if reduction == "sum" else weighted).astype(loss.dtype)[()]
