"""`inference` and `lr_test`: standard errors and tests of a fitted model."""

import numpy as np
from scipy import sparse

from ..inference.comparison import likelihood_ratio
from ..inference.contrasts import positions_of
from ..rows.device_input import is_on_device
from ..rows.row_blocks import RowBlocks
from .array_api import as_numpy, on_host
from .standard_errors import inference_of

# Largest tol of the fit without the features of a likelihood-ratio test.
_TOL = 1e-8


class InferentialMethods:
    """Inference of an estimator with the parameters of `SoftmaxRegression`."""

    def inference(
        self, X, y, sample_weight=None, *, offset=None, cov_type="nonrobust", groups=None,
        reference=None,
    ):
        """Compute standard errors, tests and intervals of the fitted model.

        X, y, weights and offset are those of `fit`: the gradient has to be zero on them. Without
        a penalty (C=np.inf) the estimates are those of maximum likelihood. With an L2 penalty
        they are shrunken, and `cov_type` says in which sense errors are meant. Other penalties,
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
            positive weight. With one: "bayes", the inverse Hessian of the penalised
            log-likelihood (Laplace's approximation); "frequentist", the covariance of the
            shrunken estimates around their mean, without their bias.
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

    def lr_test(self, X, y, features, sample_weight=None, *, offset=None):
        """Test by the likelihood ratio that features have no effect on any class.

        X, y, weights and offset are those of `fit`, as in `inference`, and so are the models
        that are refused; X must be in memory on the host. A model without the features is fitted
        to a copy of the other columns, and both must be at their optimum, so that the statistic
        is off by at most the squares of `newton_decrement`. Without a penalty only. The test
        holds if the model is right; for clusters use `wald_test_terms` of a robust `cov_type`.

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
        if self.C < np.inf:
            raise ValueError(
                f"lr_test needs a fit without a penalty, got C={self.C!r}: twice the difference "
                "of shrunken log-likelihoods is not chi-squared. Refit with C=np.inf."
            )
        if isinstance(X, RowBlocks) or is_on_device(X):
            raise ValueError(f"lr_test needs X in memory on the host, got {type(X).__name__}.")
        if hasattr(self, "to_local"):
            raise ValueError(
                "lr_test takes no Dask models. Use to_local().lr_test with arrays in memory."
            )
        X = on_host(X)
        full = self.inference(X, y, sample_weight, offset=offset)
        names = full.contrasts.features
        left_out = positions_of(features, names, "features")
        if not left_out:
            raise ValueError("features must name at least one column to leave out.")
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


def _without(X, left_out):
    """Return a copy of the other columns of X, as an array or sparse matrix."""
    X = X.tocsc() if sparse.issparse(X) else np.asarray(X)
    kept = np.delete(np.arange(X.shape[1]), left_out)
    X = X[:, kept]
    return X.tocsr() if sparse.issparse(X) else X
