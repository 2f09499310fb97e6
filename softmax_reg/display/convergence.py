"""`ConvergenceDisplay`: the objective and its certificate, by iteration or by seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..estimators.cross_validation import SoftmaxRegressionCV
from ..estimators.regression import SoftmaxRegression
from ._axes import Axes, Figure, Line2D, axes_or_new, check_fitted

XAxis: TypeAlias = Literal["iteration", "seconds"]
# Height of a legend of two lines, as a share of that of the curves.
_LEGEND = 0.16
_X_LABELS = {"iteration": "iteration", "seconds": "time (s)"}


class ConvergenceDisplay:
    """Duality gap and objective of a fit, by iteration or by seconds.

    It is recommended to use `from_estimator` to create one.

    Parameters
    ----------
    history : dict of ndarrays
        "iteration", "objective", "gap", and "seconds" unless the model was pickled or copied, as
        `history_` of `SoftmaxRegression`.
    estimator_name : str, default=None
        Prefix of the legend's labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        The line of the duality gap and the line of the objective.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import ConvergenceDisplay, SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(model)
    >>> display.ax_.get_xlabel()
    'iteration'
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]

    def __init__(
        self, history: Mapping[str, NDArray[Any]], *, estimator_name: str | None = None
    ) -> None:
        self.history = history
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegression | SoftmaxRegressionCV,
        *,
        x: XAxis = "iteration",
        name: str | None = None,
        ax: Axes | None = None,
        **line_kw: Any,
    ) -> Self:
        """Draw the convergence of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegression or SoftmaxRegressionCV
            Fitted estimator. For a CV estimator, the fit on all rows is drawn.
        x
            As in `plot`.
        name : str, default=None
            Prefix of the legend's labels; None is the class name and the solver.
        ax, **line_kw
            As in `plot`.

        Returns
        -------
        display : ConvergenceDisplay
        """
        check_fitted(estimator, "history_")
        if name is None:
            name = f"{type(estimator).__name__}, {estimator.solver_}"
        display = cls(estimator.history_, estimator_name=name)
        return display.plot(x=x, ax=ax, **line_kw)

    def plot(
        self,
        *,
        x: XAxis = "iteration",
        name: str | None = None,
        ax: Axes | None = None,
        **line_kw: Any,
    ) -> Self:
        """Draw the duality gap and the excess over the last objective, on a logarithmic axis.

        Both are relative to the last objective. The duality gap is a proven bound on the
        suboptimality. The excess is the objective minus the last objective of the fit.

        Parameters
        ----------
        x : {"iteration", "seconds"}, default="iteration"
            Seconds count from the start of the solver.
        name : str, default=None
            Prefix of the legend's labels; None is `estimator_name`.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **line_kw : dict
            Options of both lines, as in `matplotlib.pyplot.plot`.

        Returns
        -------
        display : ConvergenceDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        if x not in _X_LABELS:
            raise ValueError(f"x must be one of {sorted(_X_LABELS)}, got {x!r}.")
        ax = axes_or_new(type(self).__name__, ax)
        name = self.estimator_name if name is None else name
        prefix = f"{name}: " if name else ""
        history = self.history
        try:
            places = history[x]
        except (KeyError, ValueError):
            raise ValueError(
                f"x={x!r} is not in the history: a pickle or copy of a model has no seconds. "
                "Use x='iteration'."
            ) from None
        reached = history["objective"][-1] if len(history["objective"]) else 1.0
        # A logarithmic axis cannot show 0, nor the infinite gap of a fit without a certificate.
        scale = abs(reached)    # with a prior the objective may be negative
        gaps = _positive(history["gap"] / scale)
        left = _positive((history["objective"] - reached) / scale)
        style = {"marker": ".", **line_kw}
        certified, = ax.plot(places, gaps, label=f"{prefix}duality gap (certified)", **style)
        style = {"linestyle": "--", "color": certified.get_color(), **style}
        observed, = ax.plot(
            places, left, label=f"{prefix}above the last objective", **style
        )
        ax.set(xlabel=_X_LABELS[x], ylabel="relative to the objective", yscale="log")
        ax.xaxis.get_major_locator().set_params(integer=x == "iteration")
        if ax.get_autoscaley_on():    # room for the legend, which else hides the first points
            low, high = ax.get_ylim()
            ax.set_ylim(low, high * (high / low) ** _LEGEND, auto=None)
        ax.legend(fontsize="small", loc="upper right")
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, [certified, observed]
        return self


def _positive(values):
    """Return the values, with NaN where they are not positive and finite."""
    return np.where((values > 0) & (values < np.inf), values, np.nan)
