"""`RegularizationPathDisplay`: coefficients, sparsity, deviance and scores along C."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimators.array_api import model_on_host
from ..estimators.cross_validation import SoftmaxRegressionCV
from ..estimators.path import SoftmaxPath
from ..typing import FloatArray
from ._axes import Axes, Figure, Line2D, Names, axes_or_new, check_fitted, feature_names_of

Kind: TypeAlias = Literal["norms", "coefficients", "nonzeros", "deviance", "score"]
_Y_LABELS = {
    "norms": "norm of the feature's coefficients", "coefficients": "coefficient",
    "nonzeros": "coefficients that are not zero", "deviance": "deviance explained",
    "score": "score on held-out folds",
}
# Largest number of features named in the legend.
_MOST_NAMES = 10


class RegularizationPathDisplay:
    """Coefficients, sparsity, deviance or cross-validated score along a grid of C.

    It is recommended to use `from_path` or `from_estimator` to create one.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
        Ascending.
    coefs : ndarray of shape (n_Cs, n_rows, n_features)
    class_names : array-like of shape (n_rows,)
        Class of each row of coefficients; if binary the second class.
    feature_names : array-like of shape (n_features,)
    degrees_of_freedom : ndarray of shape (n_Cs,)
    deviances_explained : ndarray of shape (n_Cs,), default=None
    scores : ndarray of shape (n_folds, n_Cs), default=None
    score_name : str, default=None
    chosen_C : float, default=None

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One line for each feature, or one line alone.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import RegularizationPathDisplay, softmax_path
    >>> X, y = load_wine(return_X_y=True)
    >>> path = softmax_path(X, y, n_Cs=20)
    >>> display = RegularizationPathDisplay.from_path(path, kind="nonzeros")
    >>> display.ax_.get_ylabel()
    'coefficients that are not zero'
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]

    def __init__(
        self,
        Cs: NDArray[np.float64],
        coefs: FloatArray,
        *,
        class_names: Names,
        feature_names: Names,
        degrees_of_freedom: NDArray[Any],
        deviances_explained: NDArray[np.float64] | None = None,
        scores: NDArray[np.float64] | None = None,
        score_name: str | None = None,
        chosen_C: float | None = None,
    ) -> None:
        self.Cs = Cs
        self.coefs = coefs
        self.class_names = class_names
        self.feature_names = feature_names
        self.degrees_of_freedom = degrees_of_freedom
        self.deviances_explained = deviances_explained
        self.scores = scores
        self.score_name = score_name
        self.chosen_C = chosen_C

    @classmethod
    def from_path(
        cls,
        path: SoftmaxPath,
        *,
        kind: Literal["norms", "coefficients", "nonzeros", "deviance"] = "norms",
        feature_names: ArrayLike | None = None,
        class_name: Any = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the result of `softmax_path`.

        Parameters
        ----------
        path : SoftmaxPath
        kind
            As in `plot`, except "score".
        feature_names : array-like of shape (n_features,), default=None
            None takes the column names of X, or x0, x1, ... where there are none.
        class_name, ax
            As in `plot`.

        Returns
        -------
        display : RegularizationPathDisplay
        """
        order = np.argsort(path.Cs, kind="stable")
        display = cls(
            path.Cs[order], path.coefs[order], class_names=path.classes[-path.coefs.shape[1]:],
            feature_names=feature_names_of(path, feature_names, path.coefs.shape[2]),
            degrees_of_freedom=path.degrees_of_freedom[order],
            deviances_explained=path.deviances_explained[order],
        )
        return display.plot(kind=kind, class_name=class_name, ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegressionCV,
        *,
        kind: Literal["norms", "coefficients", "nonzeros", "score"] = "score",
        feature_names: ArrayLike | None = None,
        class_name: Any = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the cross-validation of a fitted `SoftmaxRegressionCV`, at its `l1_ratio_`.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            The coefficients drawn along the path are means over the folds.
        kind
            As in `plot`, except "deviance".
        feature_names : array-like of shape (n_features,), default=None
            None takes `feature_names_in_`, or x0, x1, ... where there are none.
        class_name, ax
            As in `plot`.

        Returns
        -------
        display : RegularizationPathDisplay
        """
        check_fitted(estimator, "coefs_paths_")
        estimator = model_on_host(estimator)
        i = int(np.argmin(np.abs(estimator.l1_ratios_ - estimator.l1_ratio_)))
        finite = np.flatnonzero(estimator.Cs_ < np.inf)
        order = finite[np.argsort(estimator.Cs_[finite], kind="stable")]
        n_features = estimator.n_features_in_
        coefs = estimator.coefs_paths_[:, i, order, :, :n_features]
        scoring = estimator.scoring
        display = cls(
            estimator.Cs_[order], coefs.mean(axis=0),
            class_names=estimator.classes_[-coefs.shape[2]:],
            feature_names=feature_names_of(estimator, feature_names, n_features),
            degrees_of_freedom=np.count_nonzero(coefs, axis=(2, 3)).mean(axis=0),
            scores=estimator.scores_[:, i, order],
            score_name="accuracy" if scoring is None else str(scoring),
            chosen_C=estimator.C_,
        )
        return display.plot(kind=kind, class_name=class_name, ax=ax)

    def plot(
        self, *, kind: Kind = "norms", class_name: Any = None, ax: Axes | None = None
    ) -> Self:
        """Draw one quantity against C, on a logarithmic axis.

        Parameters
        ----------
        kind : {"norms", "coefficients", "nonzeros", "deviance", "score"}, default="norms"
            "norms" is the Euclidean norm of each feature's coefficients over the classes,
            "coefficients" those of one class. The legend names the ten features that are largest
            at the end of the path. "score" is the mean over folds with a band of one standard
            error.
        class_name : object, default=None
            For "coefficients", one of `class_names`; None is the first.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : RegularizationPathDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If the display has no data for this kind, or the class is unknown.
        """
        missing = {"deviance": self.deviances_explained, "score": self.scores}
        known = [name for name in _Y_LABELS if missing.get(name, self.Cs) is not None]
        if kind not in known:
            raise ValueError(f"kind must be one of {known} here, got {kind!r}.")
        row = self._row(class_name)
        ax = axes_or_new(type(self).__name__, ax)
        label = _Y_LABELS[kind]
        if kind == "norms":
            self.lines_ = self._named_lines(np.linalg.norm(self.coefs, axis=1), ax)
        elif kind == "coefficients":
            self.lines_ = self._named_lines(self.coefs[:, row], ax)
            label = f"coefficient, class {self.class_names[row]}"
        elif kind == "nonzeros":
            self.lines_ = ax.step(self.Cs, self.degrees_of_freedom, where="mid")
            ax.yaxis.get_major_locator().set_params(integer=True)
        elif kind == "deviance":
            self.lines_ = ax.plot(self.Cs, self.deviances_explained)
        else:
            mean = self.scores.mean(axis=0)
            self.lines_ = ax.plot(self.Cs, mean, marker=".", label="mean over folds")
            if len(self.scores) > 1:
                error = self.scores.std(axis=0, ddof=1) / np.sqrt(len(self.scores))
                ax.fill_between(
                    self.Cs, mean - error, mean + error, alpha=0.25, label="one standard error"
                )
            label = f"{label}: {self.score_name}" if self.score_name else label
        ax.set(xscale="log", xlabel="C (weaker penalty to the right)", ylabel=label)
        if self.chosen_C is not None and self.chosen_C < np.inf:
            ax.axvline(
                self.chosen_C, color="black", linestyle=":",
                label=f"chosen C: {self.chosen_C:.3g}",
            )
        handles, labels = ax.get_legend_handles_labels()
        if handles:
            # Features from the largest to the smallest: the larger is drawn above the smaller.
            order = np.argsort([-handle.get_zorder() for handle in handles], kind="stable")
            # A fixed place: matplotlib's search for the best one takes seconds on thousands of
            # lines, and warns of it. Paths start at zero, scores end high: these corners are free.
            ax.legend(
                [handles[i] for i in order], [labels[i] for i in order], fontsize="small",
                loc="lower right" if kind == "score" else "upper left",
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _row(self, class_name):
        names = np.asarray(self.class_names).tolist()
        if class_name is None:
            return 0
        if class_name not in names:
            raise ValueError(f"class_name must be one of {names}, got {class_name!r}.")
        return names.index(class_name)

    def _named_lines(self, values, ax):
        """Draw a line for each feature and return the lines; the largest at the end get names.

        values : (n_Cs, n_features)
        """
        named = np.argsort(-np.abs(values[-1]), kind="stable")[:_MOST_NAMES]
        named = [j for j in named if values[-1, j] != 0]
        lines = ax.plot(self.Cs, values, color="0.75", linewidth=0.8)
        for rank, j in enumerate(named):
            # Above the grey lines, the largest feature on top.
            lines[j].set(color=f"C{rank}", linewidth=1.5, zorder=4 - rank / _MOST_NAMES,
                         label=str(self.feature_names[j]))
        return lines
