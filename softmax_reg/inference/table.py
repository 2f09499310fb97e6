"""What all tables of estimates share: z values, p-values, intervals and summaries.

Quantiles are those of Student's t with `df_inference` degrees of freedom, inf for the normal
distribution. Standard errors from G clusters have G - 1: their middle is a sum over G scores that
sum to zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, f, norm, t

from .summary import frame_of, html_of, text_of

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any    # pandas is imported only where a table is made


def check_alpha(alpha):
    """Raise a ValueError unless alpha is between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha!r}.")


def quantile_of(alpha, df):
    """Return the half-width, in standard errors, of an interval that covers 1 - alpha.

    alpha : float in (0, 1)
    df : float
        Degrees of freedom of Student's t; inf for the normal distribution.
    """
    check_alpha(alpha)
    return norm.isf(alpha / 2) if df == np.inf else t.isf(alpha / 2, df)


def wald_pvalue(statistic, df, df_inference):
    """Return the p-value of a Wald statistic of `df` restrictions: chi-squared, or df times F."""
    if df_inference == np.inf:
        return float(chi2.sf(statistic, df))
    return float(f.sf(statistic / df, df, df_inference))


class EstimateTable:
    """Tests and intervals of `_estimates` and `bse`, arrays of the same shape.

    For frozen dataclasses that also have `class_names`, `feature_names`, `_description()` and
    `df_inference`, the degrees of freedom of Student's t, inf for the normal distribution.
    """

    bse: NDArray[np.float64]
    df_inference: float
    _estimates: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def zvalues(self) -> NDArray[np.float64]:
        """Estimates over their standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):    # fewer clusters than parameters
            return self._estimates / self.bse

    @property
    def pvalues(self) -> NDArray[np.float64]:
        """Two-sided p-values that an estimate is 0, of Student's t with `df_inference`."""
        size = np.abs(self.zvalues)
        if self.df_inference == np.inf:
            return 2 * norm.sf(size)
        return 2 * t.sf(size, self.df_inference)

    def conf_int(self, alpha: float = 0.05) -> NDArray[np.float64]:
        """Return intervals, with quantiles of Student's t with `df_inference`.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            The intervals cover with a probability of about 1 - alpha.

        Returns
        -------
        intervals : ndarray of shape (n_rows, n_columns, 2)
            Lower and upper ends.
        """
        half = quantile_of(alpha, self.df_inference) * self.bse
        return np.stack([self._estimates - half, self._estimates + half], axis=-1)

    def summary(self, alpha: float = 0.05) -> str:
        """Return a table of the estimates as text; notebooks show it as HTML by themselves.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            1 minus the coverage of the intervals.

        Returns
        -------
        text : str
        """
        return text_of(self, alpha)

    def _repr_html_(self) -> str:
        """Return the table as HTML, with intervals of 95 %; called by notebooks."""
        return html_of(self, 0.05)

    def summary_frame(self, alpha: float = 0.05) -> DataFrame:
        """Return a table of the estimates as a DataFrame; needs pandas.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            1 minus the coverage of the intervals.

        Returns
        -------
        pandas.DataFrame
            Rows by (class, feature), row by row of the estimates; columns with the estimate
            ("coef", or the kind of a marginal effect), "std err", "z", "P>|z|" ("t", "P>|t|"
            with clusters), and the lower and upper ends of the intervals.
        """
        return frame_of(self, alpha)
