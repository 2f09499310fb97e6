"""Axes, checks and names that all displays share; matplotlib is imported only to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
else:
    Axes = Figure = Line2D = LineCollection = Any    # without matplotlib, too

# Names of classes or features, by position.
Names: TypeAlias = Sequence[Any] | NDArray[Any]


def axes_or_new(caller, ax, **options):
    """Return `ax`, or the axes of a new figure with these options.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names `caller`.
    """
    pyplot = _pyplot(caller)
    return pyplot.subplots(layout="constrained", **options)[1] if ax is None else ax


def _pyplot(caller):
    try:
        import matplotlib.pyplot as pyplot
    except ImportError:
        raise ImportError(
            f"{caller}.plot needs matplotlib: python -m pip install matplotlib."
        ) from None
    return pyplot


def grid_of_axes(caller, ax, n_axes, width, height, n_columns=5):
    """Return `n_axes` axes: those of `ax`, or of a new figure with rows of `n_columns`.

    width, height : float
        Size of each new axes in inches.
    """
    if ax is None:
        n_columns = min(n_axes, n_columns)
        n_rows = -(-n_axes // n_columns)
        axes = np.ravel(axes_or_new(
            caller, None, nrows=n_rows, ncols=n_columns, squeeze=False,
            figsize=(width * n_columns, height * n_rows),
        ))
        for unused in axes[n_axes:]:
            unused.remove()
        return axes[:n_axes]
    _pyplot(caller)
    axes = np.ravel(np.asarray(ax, dtype=object))
    if len(axes) != n_axes:
        raise ValueError(f"ax must be {n_axes} axes, one for each class drawn, got {len(axes)}.")
    return axes


def check_fitted(estimator, attribute):
    """Raise NotFittedError unless the estimator is fitted and has this attribute."""
    check_is_fitted(estimator)
    if not hasattr(estimator, attribute):
        raise NotFittedError(
            f"{type(estimator).__name__} has no {attribute} after this fit; the display needs it."
        )


def feature_names_of(estimator, feature_names, n_features):
    """Return the names given, those of the fit, or x0, x1, ... as an array of strings."""
    if feature_names is None:
        feature_names = getattr(estimator, "feature_names_in_", None)
    if feature_names is None:
        feature_names = [f"x{j}" for j in range(n_features)]
    names = np.asarray(feature_names).astype(str)
    if names.shape != (n_features,):
        raise ValueError(
            f"feature_names must be {n_features} names, one for each feature, got an array "
            f"of shape {names.shape}."
        )
    return names


def rows_of(class_names, classes):
    """Return the positions in `class_names` of the classes to draw; None is all.

    Raises
    ------
    ValueError
        If a class is not there, or none is given.
    """
    names = np.asarray(class_names).tolist()
    chosen = names if classes is None else np.atleast_1d(classes).tolist()
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen:
        raise ValueError(f"classes must be some of {names}, got {classes!r}.")
    return [names.index(name) for name in chosen]


def label_decades(ax):
    """Label a logarithmic x axis by numbers that do not overlap, whatever its limits."""
    from matplotlib import ticker

    low, high = ax.get_xlim()
    if high < 3 * low:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    elif high < 300 * low:
        subs = (1, 2, 5) if high < 30 * low else (1, 3)
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=subs))
    else:
        ax.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    if high < 1e6 * low:
        ax.xaxis.set_major_formatter("{x:g}")
