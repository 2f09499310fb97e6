"""`MarginalEffectsDisplay`: effects of features on probabilities, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.contrasts import Columns
from ..inference.description import EFFECTS, PLACES, Effect, Place
from ..inference.margins import MarginalEffects
from ._axes import Axes, Figure, Line2D, LineCollection, Names
from ._intervals import draw_intervals, intervals_chosen, percent


class MarginalEffectsDisplay:
    """Marginal effects with intervals, of each feature on the probability of each class.

    It is recommended to use `from_effects` to create one.

    Parameters
    ----------
    effects : ndarray of shape (n_classes, n_features)
    intervals : ndarray of shape (n_classes, n_features, 2)
        Lower and upper ends.
    class_names : array-like of shape (n_classes,)
    feature_names : array-like of shape (n_features,)
    kind : {"dydx", "eyex", "dyex", "eydx"}, default="dydx"
    at : {"overall", "mean"}, default="overall"
    dummy : sequence of str, default=()
        Names of the features whose effect is the change from 0 to 1.
    alpha : float, default=0.05
        1 minus the coverage of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_, bars_ : lists of matplotlib Line2D and LineCollection
        Points and intervals, one for each class drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import MarginalEffectsDisplay, SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> X = X[:, [0, 2]]
    >>> result = SoftmaxRegression(C=np.inf).fit(X, y).inference(X, y)
    >>> display = MarginalEffectsDisplay.from_effects(result.marginal_effects(X))
    >>> len(display.lines_)
    3
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]
    bars_: list[LineCollection]

    def __init__(
        self,
        effects: NDArray[np.float64],
        intervals: NDArray[np.float64],
        *,
        class_names: Names,
        feature_names: Names,
        kind: Effect = "dydx",
        at: Place = "overall",
        dummy: Sequence[str] = (),
        alpha: float = 0.05,
    ) -> None:
        self.effects = effects
        self.intervals = intervals
        self.class_names = class_names
        self.feature_names = feature_names
        self.kind = kind
        self.at = at
        self.dummy = dummy
        self.alpha = alpha

    @classmethod
    def from_effects(
        cls,
        effects: MarginalEffects,
        *,
        features: Columns | None = None,
        classes: ArrayLike | None = None,
        alpha: float = 0.05,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the result of `InferenceResult.marginal_effects`.

        Parameters
        ----------
        effects : MarginalEffects
        features, classes
            As in `plot`.
        alpha : float in (0, 1), default=0.05
            1 minus the coverage of the intervals.
        ax
            As in `plot`.

        Returns
        -------
        display : MarginalEffectsDisplay
        """
        if not isinstance(effects, MarginalEffects):
            raise TypeError(
                f"effects must be MarginalEffects, got {type(effects).__name__}. Pass what "
                "the result's marginal_effects(X) returns."
            )
        display = cls(
            effects.effects, effects.conf_int(alpha), class_names=effects.class_names,
            feature_names=effects.feature_names, kind=effects.kind, at=effects.at,
            dummy=effects.dummy, alpha=alpha,
        )
        return display.plot(features=features, classes=classes, ax=ax)

    def plot(
        self,
        *,
        features: Columns | None = None,
        classes: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw an interval for each class and feature, grouped by feature.

        Parameters
        ----------
        features : sequence of str or int, default=None
            Names or indices of the features to draw, from top to bottom; None draws all.
        classes : array-like, default=None
            Classes to draw, some of `class_names`; None draws all.
        ax : matplotlib Axes, default=None
            None makes a new figure, whose height grows with the number of intervals.

        Returns
        -------
        display : MarginalEffectsDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If a class or a feature is unknown, or the figure would hold more than 400 intervals.
        """
        rows, columns = intervals_chosen(self, classes, features)
        names = [str(self.feature_names[j]) for j in columns]
        ax, self.lines_, self.bars_ = draw_intervals(
            type(self).__name__, ax, self.effects[rows][:, columns],
            self.intervals[rows][:, columns],
            [f"{name} (0 to 1)" if name in self.dummy else name for name in names],
            [str(self.class_names[row]) for row in rows],
            label=f"{EFFECTS[self.kind]}\n{PLACES[self.at]}, {percent(self.alpha)} interval",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self
