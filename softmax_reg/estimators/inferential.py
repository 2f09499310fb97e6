"""Standard errors, tests and influence of rows: methods of a fitted model."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ..inference.comparison import LikelihoodRatioTest, likelihood_ratio
from ..inference.contrasts import Columns, positions_of
from ..inference.influence import Influence
from ..inference.result import InferenceResult
from ..inference.score_test import ScoreTest
from ..rows.row_blocks import RowBlocks
from ..typing import CovarianceType, MatrixLike
from .array_api import as_numpy, on_host
from .diagnostics import check_in_memory, check_unpenalised, influence_of, score_test_of
from .firth import penalised_likelihood_ratio
from .offsets import with_offset
from .standard_errors import inference_of
from .validation import check_training_data

# Largest tol of the fit without the features of a likelihood-ratio test.
_TOL = 1e-8


class InferentialMethods:
    """Inference of an estimator with the parameters of `SoftmaxRegression`."""

    def inference(
        self,
        X: MatrixLike | RowBlocks,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        cov_type: CovarianceType = "nonrobust",
        groups: ArrayLike | None = None,
        reference: Any = None,
    ) -> InferenceResult:
        """Compute standard errors, tests and intervals of the fitted model.

        X, y, weights and offset are those of `fit`: the gradient has to be zero on them. Without
        a penalty (C=np.inf) the estimates are those of maximum likelihood. With an L2 penalty
        they are shrunken, and `cov_type` says in which sense errors are meant. With
        prior="jeffreys" errors are those of the inverse information at the estimates; the
        likelihood-ratio test (`lr_test`) is better in small samples. Other penalties,
        bounds, `label_smoothing` and `class_weight` are refused. The Hessian takes a pass of
        n_samples t^2 flops, and a few arrays of t^2 numbers, for the
        t = (n_classes - 1) (n_features + 1) parameters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Robust covariances need it in memory on the host.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or counts: a row of counts is as many observations, as if each had a row.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Frequencies: a weight of 2 is two equal rows, for `nobs` and all `cov_type` alike.
            For probability (survey) weights use cov_type="cluster", with
            ``groups=np.arange(n_samples)`` if rows are independent; its errors do not change
            with a factor of all weights. `nobs`, likelihoods and criteria then mean nothing.
        offset : array-like, default=None
            As in `fit`; needed if the model was fitted with one.
        cov_type : str, default="nonrobust"
            Without a penalty: "nonrobust", the inverse Hessian of the log-likelihood; "HC0", the
            sandwich of scores of rows, valid if the model is wrong; "HC1", times n / (n - t);
            "cluster", the sandwich of scores of `groups`, times G / (G - 1) for G groups of
            positive weight. Errors by clusters are those of vcovCL in R's sandwich (statsmodels
            multiplies the covariance by (n - 1) / (n - t), too), and tests and intervals use
            Student's t and F with G - 1 degrees of freedom, as R's fixest does, where statsmodels
            uses the normal distribution. With a prior only the first. With an L2 penalty:
            "bayes", the inverse Hessian of the penalised log-likelihood (Laplace's
            approximation); "frequentist", the covariance of the shrunken estimates around their
            mean, without their bias.
        groups : array-like of shape (n_samples,), default=None
            Cluster of each row, for cov_type="cluster"; not the groups of features of a fit.
        reference : label, default=None
            Class of `classes_` that the parameters are contrasts against. None: the
            parameters are `coef_` and `intercept_`.

        Returns
        -------
        softmax_reg.inference.InferenceResult

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If an argument or parameter is refused; if there is no unique optimum (separable
            classes, collinear or constant columns); if the model is not at its optimum for
            these data; or if there are more than 8192 parameters.

        Warns
        -----
        ConvergenceWarning
            If an estimate may be off its optimum by more than a tenth of a standard error.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_breast_cancer
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = SoftmaxRegression(C=np.inf).fit(X[:, :2], y)
        >>> model.inference(X[:, :2], y).bse.round(4)
        array([[1.7739, 0.1015, 0.0371]])
        """
        return inference_of(self, X, y, sample_weight, offset, cov_type, groups, reference)

    def lr_test(
        self,
        X: MatrixLike,
        y: ArrayLike,
        features: Columns,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> LikelihoodRatioTest:
        """Test by the likelihood ratio that features have no effect on any class.

        X, y, weights and offset are those of `fit`, as in `inference`, and so are the models
        that are refused; X must be in memory on the host. A model without the features is fitted
        to a copy of the other columns, and both must be at their optimum, so that the statistic
        is off by at most the squares of `newton_decrement`. Without a penalty only, or with
        prior="jeffreys": then the likelihoods have their prior (Heinze & Schemper 2002), and the
        features stay in the model with coefficients of 0, so both have the determinant of the
        information of all parameters. The test holds if the model is right; for clusters
        use `wald_test_terms` of a robust `cov_type`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
        features : str, int, or sequence of these
            Names or indices of the columns to leave out together; all columns for the test of
            the model without features.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Frequencies.
        offset : array-like, default=None
            As in `fit`; needed if the model was fitted with one.

        Returns
        -------
        LikelihoodRatioTest
            Named tuple (statistic, pvalue, df), of a chi-squared distribution; df is
            n_classes - 1 for each feature.

        Raises
        ------
        ValueError
            As in `inference`; with a penalty; or if a feature is not there.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_breast_cancer
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :2], y)
        >>> test = model.lr_test(X[:, :2], y, features=[1])
        >>> round(test.statistic, 2), test.df
        (38.89, 1)
        """
        check_unpenalised(
            self.C, "lr_test",
            "twice the difference of shrunken log-likelihoods is not chi-squared",
        )
        check_in_memory(self, X, "lr_test")
        X = on_host(X)
        full = self.inference(X, y, sample_weight, offset=offset)
        names = full.contrasts.features
        left_out = positions_of(features, names, "features")
        if not left_out:
            raise ValueError("features must name at least one column to leave out.")
        if self.prior is not None:
            data = check_training_data(self, X, y, sample_weight, as_numpy(self.classes_))
            data = with_offset(data, self._offset_for(offset))
            return penalised_likelihood_ratio(self, data, left_out, full)
        df = len(left_out) * (len(full.classes) - 1)
        if len(left_out) == len(names):
            return likelihood_ratio(full.llf, full.llnull, df, full.newton_decrement**2)
        columns = _without(X, left_out)
        options = {"warm_start": False, "penalty_factor": None, "groups": None, "grouped": False}
        smaller = type(self)(
            **self.get_params(deep=False) | options | {"tol": min(self.tol, _TOL)}
        ).fit(columns, y, sample_weight, offset=offset, classes=as_numpy(self.classes_))
        restricted = smaller.inference(columns, y, sample_weight, offset=offset)
        slack = full.newton_decrement**2 + restricted.newton_decrement**2
        return likelihood_ratio(full.llf, restricted.llf, df, slack)

    @overload
    def score_test(
        self,
        X: MatrixLike,
        y: ArrayLike,
        X_extra: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        by_column: Literal[False] = False,
    ) -> ScoreTest[float, int]: ...
    @overload
    def score_test(
        self,
        X: MatrixLike,
        y: ArrayLike,
        X_extra: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        by_column: Literal[True],
    ) -> ScoreTest[NDArray[np.float64], NDArray[np.int_]]: ...
    def score_test(
        self,
        X: MatrixLike,
        y: ArrayLike,
        X_extra: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        by_column: bool = False,
    ) -> ScoreTest[Any, Any]:
        """Test by Rao's score that left-out columns have no effect on any class, without a refit.

        X, y, weights and offset are those of `fit`, as in `inference`, and so are the models
        that are refused; X must be in memory on the host. Without a penalty only. In large
        samples the statistic is that of `lr_test` of the larger model. The cost is a pass for the
        Hessian, as in `inference`, and one of n_samples q n_classes^2 (n_features + 1) flops for
        q left-out columns (for CSR, the nonzeros in place of n_samples q); for the joint test
        with q more features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
        X_extra : {array-like, sparse matrix} of shape (n_samples, q) or (n_samples,)
            The left-out columns. Dense ones need no centring or scaling. Sparse ones are not
            centred: with means of 1e5 times their spread and more, they count as constant.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Frequencies.
        offset : array-like, default=None
            As in `fit`; needed if the model was fitted with one.
        by_column : bool, default=False
            Whether to test each column by itself: screening of many columns. Up to 1024 columns
            share a pass.

        Returns
        -------
        ScoreTest
            Named tuple (statistic, pvalue, df), of a chi-squared distribution with
            df = (n_classes - 1) q. With `by_column` arrays of shape (q,), each df n_classes - 1;
            statistic and p-value are NaN for columns that are constant or linear combinations of
            those of X, or nearly so.

        Raises
        ------
        ValueError
            As in `inference`; with a penalty; if `X_extra` is not finite or has another number
            of rows than X; in the joint test also if there are more than 8192 parameters with
            those of the fit, or a column is constant or a linear combination of others.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_breast_cancer
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :1], y)
        >>> test = model.score_test(X[:, :1], y, X[:, 1])
        >>> round(test.statistic, 2), test.df
        (38.35, 1)
        >>> model.score_test(X[:, :1], y, X[:, 1:4], by_column=True).statistic.round(2)
        array([38.35, 65.28,  5.29])
        """
        return score_test_of(self, X, y, X_extra, sample_weight, offset, by_column)

    def influence(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> Influence:
        """Compute leverages, Cook's distances and residuals of every row.

        X, y, weights and offset are those of `fit`, as in `inference`, and so are the models
        that are refused; X must be in memory on the host. Beside the Hessian of `inference` the
        cost is a pass of n_samples (t^2 + n_classes^3) flops in blocks of rows, for the
        t = (n_classes - 1) (n_features + 1) parameters; six numbers are kept for each row.
        With an L2 penalty the Hessian is that of the penalised log-likelihood, so leverages add up
        to the effective degrees of freedom.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or counts: a row of counts is one group, left out as a whole.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Frequencies: a row of weight 2 is a group of two, left out as a whole.
        offset : array-like, default=None
            As in `fit`; needed if the model was fitted with one.

        Returns
        -------
        softmax_reg.inference.Influence
            Immutable: `hat_matrix_diag`, `cooks_distance`, `resid_pearson`, `resid_deviance`,
            `resid_studentized`, `resid_deviance_studentized`, each of shape (n_samples,).

        Raises
        ------
        ValueError
            As in `inference`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_breast_cancer
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :2], y)
        >>> found = model.influence(X[:, :2], y)
        >>> np.argsort(found.cooks_distance)[-3:]    # the three most influential rows
        array([ 41, 379, 491])
        """
        return influence_of(self, X, y, sample_weight, offset)


def _without(X, left_out):
    """Return a copy of the other columns of X, as an array or sparse matrix."""
    X = X.tocsc() if sparse.issparse(X) else np.asarray(X)
    kept = np.delete(np.arange(X.shape[1]), left_out)
    X = X[:, kept]
    return X.tocsr() if sparse.issparse(X) else X
