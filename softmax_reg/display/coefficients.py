"""`CoefficientDisplay`: the coefficients for and against each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ..rows.device_input import as_numpy
from ..typing import FloatArray
from ._axes import Axes, Figure, Names, check_fitted, feature_names_of, grid_of_axes, rows_of

_FOR, _AGAINST = "tab:blue", "tab:red"


class CoefficientDisplay:
    """The largest coefficients of each class, or all of them as an image.

    It is recommended to use `from_estimator` to create one.

    Parameters
    ----------
    coef : ndarray of shape (n_rows, n_features)
    class_names : array-like of shape (n_rows,)
        Class of each row of `coef`; if binary the second class, which positive coefficients
        favour.
    feature_names : array-like of shape (n_features,)

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each class drawn.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from softmax_reg import CoefficientDisplay, SoftmaxRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(C=1e-3).fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(model, image_shape=(8, 8))
    >>> len(display.axes_)
    10
    """

    axes_: NDArray[np.object_]
    figure_: Figure

    def __init__(
        self, coef: FloatArray, *, class_names: Names, feature_names: Names
    ) -> None:
        self.coef = coef
        self.class_names = class_names
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        n_features: int = 10,
        image_shape: tuple[int, int] | None = None,
        ax: Axes | Sequence[Axes] | NDArray[np.object_] | None = None,
    ) -> Self:
        """Draw the coefficients of a fitted model.

        Parameters
        ----------
        estimator : SoftmaxRegression, SoftmaxRegressionCV or other linear classifier
            With `coef_` and `classes_`.
        feature_names : array-like of shape (n_features,), default=None
            None takes `feature_names_in_`, or x0, x1, ... where there are none.
        classes, n_features, image_shape, ax
            As in `plot`.

        Returns
        -------
        display : CoefficientDisplay
        """
        check_fitted(estimator, "coef_")
        coef = as_numpy(estimator.coef_)
        coef = coef.toarray() if sparse.issparse(coef) else coef
        names = feature_names_of(estimator, feature_names, coef.shape[1])
        labels = as_numpy(estimator.classes_)[-len(coef):]
        display = cls(coef, class_names=labels, feature_names=names)
        return display.plot(
            classes=classes, n_features=n_features, image_shape=image_shape, ax=ax
        )

    def plot(
        self,
        *,
        classes: ArrayLike | None = None,
        n_features: int = 10,
        image_shape: tuple[int, int] | None = None,
        ax: Axes | Sequence[Axes] | NDArray[np.object_] | None = None,
    ) -> Self:
        """Draw bars of the largest coefficients, or an image of all.

        Parameters
        ----------
        classes : array-like, default=None
            Classes to draw, some of `class_names`; None draws all.
        n_features : int, default=10
            Number of bars for each class: the coefficients of largest magnitude, without zeros.
        image_shape : tuple (height, width), default=None
            Draw the coefficients as images of this shape instead, on one scale.
        ax : matplotlib Axes or array of Axes, default=None
            One for each class drawn; None makes a new figure.

        Returns
        -------
        display : CoefficientDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If a class is unknown, or the image does not have n_features pixels.
        """
        rows = rows_of(self.class_names, classes)
        if image_shape is not None and np.prod(image_shape) != self.coef.shape[1]:
            raise ValueError(
                f"image_shape must hold n_features={self.coef.shape[1]} pixels, got "
                f"{tuple(image_shape)}."
            )
        name = type(self).__name__
        if image_shape is None:
            height = 1.0 + 0.22 * min(n_features, self.coef.shape[1])
            axes = grid_of_axes(name, ax, len(rows), width=3.6, height=height, n_columns=3)
            for row, axis in zip(rows, axes, strict=True):
                self._bars(row, n_features, axis)
        else:
            axes = grid_of_axes(name, ax, len(rows), width=1.8, height=2.0)
            limit = np.abs(self.coef[rows]).max() or 1.0
            for row, axis in zip(rows, axes, strict=True):
                image = axis.imshow(
                    self.coef[row].reshape(image_shape), cmap="RdBu", vmin=-limit, vmax=limit
                )
                axis.set(title=self._title(row), xticks=[], yticks=[])
            axes[0].figure.colorbar(image, ax=list(axes), label="coefficient", shrink=0.8)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _bars(self, row, n_features, axis):
        coef = self.coef[row]
        order = np.argsort(-np.abs(coef), kind="stable")[:n_features]
        order = order[coef[order] != 0][::-1]    # barh draws from below
        colours = [_FOR if value > 0 else _AGAINST for value in coef[order]]
        axis.barh(np.arange(len(order)), coef[order], color=colours)
        axis.set_yticks(np.arange(len(order)), np.asarray(self.feature_names)[order])
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=self._title(row), xlabel="coefficient")

    def _title(self, row):
        name = self.class_names[row]
        return str(name) if isinstance(name, str) else f"class {name}"
