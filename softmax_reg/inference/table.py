"""What all tables of estimates share: z values, p-values, intervals and summaries."""

import numpy as np
from scipy.stats import norm

from .summary import frame_of, html_of, text_of


def check_alpha(alpha):
    """Raise a ValueError unless alpha is between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha!r}.")


class EstimateTable:
    """Tests and intervals of `_estimates` and `bse`, arrays of the same shape.

    For frozen dataclasses that also have `class_names`, `feature_names` and `_description()`.
    """

    def __post_init__(self):
        """Make the arrays read-only."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def zvalues(self):
        """Estimates over their standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):    # fewer clusters than parameters
            return self._estimates / self.bse

    @property
    def pvalues(self):
        """Two-sided p-values of the normal approximation, that an estimate is 0."""
        return 2 * norm.sf(np.abs(self.zvalues))

    def conf_int(self, alpha=0.05):
        """Return intervals of the normal approximation.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            The intervals cover with a probability of about 1 - alpha.

        Returns
        -------
        intervals : ndarray of shape (n_rows, n_columns, 2)
            Lower and upper ends.
        """
        check_alpha(alpha)
        half = norm.isf(alpha / 2) * self.bse
        return np.stack([self._estimates - half, self._estimates + half], axis=-1)

    def summary(self, alpha=0.05):
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

    def _repr_html_(self):
        """Return the table as HTML, with intervals of 95 %; called by notebooks."""
        return html_of(self, 0.05)

    def summary_frame(self, alpha=0.05):
        """Return a table of the estimates as a DataFrame; needs pandas.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            1 minus the coverage of the intervals.

        Returns
        -------
        pandas.DataFrame
            Rows by (class, feature), row by row of the estimates; columns with the estimate
            ("coef", or the kind of a marginal effect), "std err", "z", "P>|z|", and the lower
            and upper ends of the intervals.
        """
        return frame_of(self, alpha)
