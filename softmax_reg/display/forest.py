"""`ForestDisplay`: coefficients or odds ratios of each class, with intervals."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.contrasts import Columns
from ..inference.result import InferenceResult
from ._axes import Axes, Figure, Line2D, LineCollection, Names
from ._intervals import draw_intervals, intervals_chosen, percent

# Largest magnitude of the logarithm of an odds ratio that is drawn where it is.
_MOST_LOG_ODDS = 100 * np.log(10)


class ForestDisplay:
    """Coefficients or odds ratios with intervals, of each class and feature.

    It is recommended to use `from_result` to create one.

    Parameters
    ----------
    estimates : ndarray of shape (n_rows, n_features)
        Coefficients, in logits (nats) per unit of the feature.
    intervals : ndarray of shape (n_rows, n_features, 2)
        Lower and upper ends.
    class_names : array-like of shape (n_rows,)
        Class of each row of the estimates.
    feature_names : array-like of shape (n_features,)
    reference : label, default=None
        Class that rows are contrasts against; None if they sum to zero over the classes.
    alpha : float, default=0.05
        1 minus the coverage of the intervals.
    C : float, default=inf
        Inverse strength of the penalty that shrinks the estimates; inf for none.
    intercepts : ndarray of shape (n_rows, 3), default=None
        Intercepts with lower and upper ends; None if the model has none.

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
    >>> from softmax_reg import ForestDisplay, SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> X = X[:, [0, 2]]
    >>> result = SoftmaxRegression(C=np.inf).fit(X, y).inference(X, y, reference=0)
    >>> display = ForestDisplay.from_result(result, odds_ratios=True)
    >>> display.ax_.get_xlabel()
    'odds ratio per unit of the feature, 95 % interval'
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]
    bars_: list[LineCollection]

    def __init__(
        self,
        estimates: NDArray[np.float64],
        intervals: NDArray[np.float64],
        *,
        class_names: Names,
        feature_names: Names,
        reference: Any = None,
        alpha: float = 0.05,
        C: float = np.inf,
        intercepts: NDArray[np.float64] | None = None,
    ) -> None:
        self.estimates = estimates
        self.intervals = intervals
        self.class_names = class_names
        self.feature_names = feature_names
        self.reference = reference
        self.alpha = alpha
        self.C = C
        self.intercepts = intercepts

    @classmethod
    def from_result(
        cls,
        result: InferenceResult,
        *,
        features: Columns | None = None,
        classes: ArrayLike | None = None,
        intercept: bool = False,
        odds_ratios: bool = False,
        alpha: float = 0.05,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the parameters of the result of `SoftmaxRegression.inference`.

        Parameters
        ----------
        result : InferenceResult
        features, classes, intercept, odds_ratios
            As in `plot`.
        alpha : float in (0, 1), default=0.05
            1 minus the coverage of the intervals.
        ax
            As in `plot`.

        Returns
        -------
        display : ForestDisplay
        """
        if not isinstance(result, InferenceResult):
            raise TypeError(
                f"result must be an InferenceResult, got {type(result).__name__}. Draw marginal "
                "effects with MarginalEffectsDisplay.from_effects."
            )
        ends, first = result.conf_int(alpha), int(result.n_intercepts > 0)
        intercepts = np.column_stack([result.params[:, 0], ends[:, 0]]) if first else None
        display = cls(
            result.params[:, first:], ends[:, first:], class_names=result.class_names,
            feature_names=result.feature_names[first:], reference=result.reference, alpha=alpha,
            C=result.C, intercepts=intercepts,
        )
        return display.plot(
            features=features, classes=classes, intercept=intercept, odds_ratios=odds_ratios,
            ax=ax,
        )

    def plot(
        self,
        *,
        features: Columns | None = None,
        classes: ArrayLike | None = None,
        intercept: bool = False,
        odds_ratios: bool = False,
        ax: Axes | None = None,
    ) -> Self:
        """Draw an interval for each class and feature, grouped by feature.

        Parameters
        ----------
        features : sequence of str or int, default=None
            Names or indices of the features to draw, from top to bottom; None draws all.
        classes : array-like, default=None
            Classes to draw, some of `class_names`; None draws all.
        intercept : bool, default=False
            Whether to draw the intercepts too, at the top.
        odds_ratios : bool, default=False
            Draw exponentials, on a logarithmic axis: by how much the odds of the class against
            `reference` (or against the geometric mean of all classes) are multiplied with a unit
            more of the feature. Ends beyond 1e-100 or 1e100 are arrows at these values.
        ax : matplotlib Axes, default=None
            None makes a new figure, whose height grows with the number of intervals.

        Returns
        -------
        display : ForestDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If a class or a feature is unknown, there is no intercept to draw, or the figure would
            hold more than 400 intervals.
        """
        rows, columns = intervals_chosen(self, classes, features)
        middles, ends = self.estimates[rows][:, columns], self.intervals[rows][:, columns]
        names = [str(self.feature_names[j]) for j in columns]
        if intercept:
            if self.intercepts is None:
                raise ValueError("intercept must be False: the model has no intercept.")
            chosen = self.intercepts[rows][:, np.newaxis]
            middles = np.concatenate([chosen[..., 0], middles], axis=1)
            ends = np.concatenate([chosen[..., 1:], ends], axis=1)
            names = ["Intercept", *names]
        drawn = np.concatenate([middles[..., np.newaxis], ends], axis=-1)
        beyond = np.zeros(drawn.shape)
        if odds_ratios:
            beyond = np.sign(drawn) * (np.abs(drawn) > _MOST_LOG_ODDS)
            drawn = np.exp(np.clip(drawn, -_MOST_LOG_ODDS, _MOST_LOG_ODDS))
        against = "" if self.reference is None else f"against {self.reference}"
        labels = [str(self.class_names[row]) for row in rows]
        ax, self.lines_, self.bars_ = draw_intervals(
            type(self).__name__, ax, drawn[..., 0], drawn[..., 1:], names, labels,
            label=self._label(odds_ratios, beyond.any()), against=against, is_log=odds_ratios,
        )
        _draw_arrows(ax, self.lines_, drawn, beyond)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label(self, odds_ratios, any_beyond):
        """Return the label of the x axis: the quantity, then what it is conditional on."""
        what = "odds ratio per unit of the feature" if odds_ratios else "coefficient"
        lines = [f"{what}, {percent(self.alpha)} interval"]
        if self.reference is None:
            mean = "geometric mean" if odds_ratios else "mean"
            lines.append(f"relative to the {mean} of all classes")
        if self.C < np.inf:
            lines.append(f"shrunken by the penalty, C={self.C:g}")
        if any_beyond:
            lines.append("arrows: below 1e-100 or above 1e100")
        return "\n".join(lines)


def _draw_arrows(ax, lines, drawn, beyond):
    """Draw arrows where an estimate or an end of its interval is beyond what is drawn.

    drawn, beyond : (n_classes, n_features, 3)
        Values, and the sign of each that is beyond.
    """
    for k, sign in np.ndindex(len(lines), 2):
        features, which = np.nonzero(beyond[k] == (-1, 1)[sign])
        if len(features):
            ax.plot(
                drawn[k, features, which], lines[k].get_ydata()[features], linestyle="none",
                color=lines[k].get_color(), marker="<>"[sign], markersize=7,
            )
