"""`InferenceResult`: estimates with their covariance, tests and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.stats import chi2

from ..typing import CovarianceType
from .contrasts import Contrasts
from .description import Description, description_of_fit
from .response import ProbabilityMethods
from .table import EstimateTable, wald_pvalue

# Share of the largest eigenvalue, of a covariance scaled by bounds of its diagonal, below which
# rounding explains it.
_SINGULAR = 1e-12
# Deviation from a linear restriction without variance, in bounds of its standard error, up to
# which rounding explains it.
_ROUNDING = 1e-6


class OddsRatios(NamedTuple):
    """Exponentials of the parameters and of their intervals, each (n_rows, n_columns)."""

    ratio: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


class WaldTest(NamedTuple):
    """A Wald statistic d' V^-1 d, its p-value and its degrees of freedom.

    With `df_inference` of infinity the statistic is compared with the chi-squared distribution
    of `df`; with G clusters, the statistic divided by `df` with F(df, G - 1).
    """

    statistic: float
    pvalue: float
    df: int
    df_inference: float = np.inf


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult(ProbabilityMethods, EstimateTable):
    """Standard errors, tests and intervals of a fitted model; made by `inference`.

    Names are those of statsmodels. Arrays are read-only, of shape (n_rows, n_columns): a row for
    each of `class_names`, a column for each of `feature_names`, the intercept first. The flat
    order of `cov_params` and `wald_test` is that of ``params.ravel()``, row by row.

    Attributes
    ----------
    params : ndarray of shape (n_rows, n_columns)
        Estimates, in logits (nats) per unit of the feature. Without `reference` those of
        `coef_` and `intercept_`: of two classes the log-odds of the second; of more, a row for
        each class, with a sum of zero over the classes. With `reference`: contrasts, the
        class's row minus that of the reference.
    covariance : ndarray of shape (params.size, params.size)
        What `cov_params` returns.
    class_names, feature_names : tuples
        Names of the rows and columns of `params`; the reference class has no row.
    reference : label or None
        Class that rows are contrasts against; None for the coding that sums to zero.
    cov_type : str
    C : float
        Inverse strength of the penalty; inf for none.
    prior : "jeffreys" or None
    llf : float
        Log-likelihood in nats, without the penalty: of counts without the multinomial
        coefficient.
    llf_penalised : float or None
        With a prior: `llf` plus half the log-determinant of the information of contrasts, which
        the estimates maximise.
    llnull : float
        Log-likelihood of the model with intercepts and offsets alone; without an intercept, of
        offsets alone.
    nobs : float
        Number of observations: the sum of the weights, each times the sum of the row's counts.
    n_clusters : int or None
        For cov_type="cluster".
    edf : float
        Number of free parameters; with an L2 penalty the effective degrees of freedom, the trace
        of (H + P)^-1 H.
    n_intercepts : int
    newton_decrement : float
        To second order, no estimate is further from the optimum than this many standard errors.
    classes : tuple
        All labels, in the order of `classes_`.
    contrasts : Contrasts
        The estimates in the parameters of the computation, for probabilities of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from softmax_reg import SoftmaxRegression
    >>> iris = load_iris()
    >>> X, y = iris.data[:, :1], iris.target_names[iris.target]
    >>> model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y)
    >>> result = model.inference(X, y, reference="setosa")
    >>> result.bse.round(3)
    array([[4.889, 0.907],
           [5.691, 1.022]])
    >>> result.wald_test([[0, 1, 0, -1]]).df    # the same slope for both classes?
    1
    """

    params: NDArray[np.float64]
    covariance: NDArray[np.float64]
    class_names: tuple[Any, ...]
    feature_names: tuple[str, ...]
    reference: Any
    cov_type: CovarianceType
    C: float
    prior: Literal["jeffreys"] | None
    llf: float
    llf_penalised: float | None
    llnull: float
    nobs: float
    n_clusters: int | None
    edf: float
    n_intercepts: int
    newton_decrement: float
    classes: tuple[Any, ...]
    contrasts: Contrasts

    def __repr__(self) -> str:
        """Return the class with sizes, not the arrays."""
        return (
            f"<InferenceResult: {len(self.class_names)} x {len(self.feature_names)} parameters, "
            f"cov_type={self.cov_type!r}>"
        )

    def cov_params(self) -> NDArray[np.float64]:
        """Return the covariance of ``params.ravel()``.

        In the coding that sums to zero its rank is (n_classes - 1) n_columns at most.

        Returns
        -------
        covariance : ndarray of shape (params.size, params.size), read-only
        """
        return self.covariance

    @property
    def is_penalised(self) -> bool:
        """Whether the estimates are shrunken, by an L2 penalty or a prior."""
        return self.C < np.inf or self.prior is not None

    @property
    def bse(self) -> NDArray[np.float64]:
        """Standard errors, in the units of `params`."""
        variances = np.maximum(self.covariance.diagonal(), 0.0)
        return np.sqrt(variances).reshape(self.params.shape)

    @property
    def df_inference(self) -> float:
        """Degrees of freedom of Student's t in tests and intervals.

        The number of clusters minus 1 with cov_type="cluster", for coefficients, effects and
        probabilities alike; otherwise inf, the normal distribution.
        """
        return np.inf if self.n_clusters is None else self.n_clusters - 1

    @property
    def _estimates(self) -> NDArray[np.float64]:
        return self.params

    def _description(self) -> Description:
        return description_of_fit(self)

    def odds_ratios(self, alpha: float = 0.05) -> OddsRatios:
        """Return exponentials of the estimates and of their intervals.

        Against a reference class: by how much the odds of the class against it are multiplied
        with a unit more of the feature (relative risk ratios in Stata). In the coding that sums
        to zero the odds are against the geometric mean of all classes.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        OddsRatios
            Named tuple (ratio, lower, upper); inf where the exponential overflows.
        """
        ends = self.conf_int(alpha)
        with np.errstate(over="ignore"):
            return OddsRatios(np.exp(self.params), *np.exp(np.moveaxis(ends, -1, 0)))

    @property
    def df_model(self) -> float:
        """Degrees of freedom beyond the intercepts."""
        return self.edf - self.n_intercepts

    @property
    def df_resid(self) -> float:
        """Number of observations minus `edf`."""
        return self.nobs - self.edf

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against the model of `llnull`."""
        return 2 * (self.llf - self.llnull)

    @property
    def llr_pvalue(self) -> float:
        """P-value of `llr` (chi-squared, `df_model`); NaN with a penalty or a prior."""
        return np.nan if self.is_penalised else float(chi2.sf(self.llr, self.df_model))

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R-squared, 1 - llf / llnull."""
        return 1 - self.llf / self.llnull

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 edf."""
        return 2 * (self.edf - self.llf)

    @property
    def bic(self) -> float:
        """Bayesian criterion, -2 llf + log(nobs) edf."""
        return np.log(self.nobs) * self.edf - 2 * self.llf

    def wald_test(self, R: ArrayLike, value: ArrayLike = 0.0) -> WaldTest:
        """Test the linear restrictions R params.ravel() = value.

        Parameters
        ----------
        R : array-like of shape (m, params.size) or (params.size,)
        value : float or array-like of shape (m,), default=0.0

        Returns
        -------
        WaldTest
            Named tuple (statistic, pvalue, df, df_inference); df is the rank of the covariance
            of R params.ravel(), which restrictions that follow from others do not increase. The
            p-value is that of chi-squared, with clusters of F(df, `df_inference`).

        Raises
        ------
        ValueError
            If shapes are wrong, or the covariance is singular and the estimates differ from
            `value` where it has no variance: restrictions contradict each other, or there are
            fewer clusters than restrictions.
        """
        R = np.atleast_2d(np.asarray(R, dtype=np.float64))
        size = self.params.size
        if R.ndim != 2 or R.shape[1] != size or not np.isfinite(R).all() or not R.size:
            raise ValueError(
                f"R must be finite, of shape (m, {size}), a column for each entry of "
                f"params.ravel(), got shape {R.shape}."
            )
        deviation = R @ self.params.ravel() - np.broadcast_to(value, len(R))
        scale = np.abs(R) @ self.bse.ravel()
        if not scale.all():
            raise ValueError("R must not hold rows of zeros.")
        deviation /= scale
        values, vectors = eigh(R @ self.covariance @ R.T / scale / scale[:, np.newaxis])
        kept = values > _SINGULAR * max(values[-1], 1e-3)
        deviation = deviation @ vectors
        if not kept.any() or np.any(np.abs(deviation[~kept]) > _ROUNDING):
            raise ValueError(
                f"The covariance of the {len(R)} restrictions has rank {np.count_nonzero(kept)}, "
                "and the estimates differ from the values where it has none. Leave restrictions "
                "out: they contradict each other, or are more than there are clusters."
            )
        statistic = float((deviation[kept] ** 2 / values[kept]).sum())
        df = int(np.count_nonzero(kept))
        pvalue = wald_pvalue(statistic, df, self.df_inference)
        return WaldTest(statistic, pvalue, df, self.df_inference)

    def wald_test_terms(self) -> dict[str, WaldTest]:
        """Test for each column of `params` that it is 0 in all rows.

        For a feature this is the test that it has no effect on any class, the same in every
        coding.

        Returns
        -------
        tests : dict of str to WaldTest
            In the order of `feature_names`.
        """
        n_rows, n_columns = self.params.shape
        columns = np.eye(n_columns)
        return {
            name: self.wald_test(np.kron(np.eye(n_rows), columns[j]))
            for j, name in enumerate(self.feature_names)
        }
