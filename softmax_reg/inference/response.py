"""Methods of `InferenceResult` on probabilities of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..typing import MatrixLike
from .contrasts import Columns, Contrasts, new_rows
from .description import Effect, Place
from .intervals import PredictionInterval, intervals_at, proba_of_params
from .margins import MarginalEffects, effects_at


class ProbabilityMethods:
    """Effects on probabilities, from `contrasts` and `classes`.

    Everything is computed in the contrasts, so it is the same with every `reference`.
    """

    contrasts: Contrasts
    classes: tuple[Any, ...]
    reference: Any

    def marginal_effects(
        self,
        X: MatrixLike,
        *,
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        at: Place = "overall",
        kind: Effect = "dydx",
        dummy: Columns = (),
    ) -> MarginalEffects:
        """Compute effects of the features on the probability of each class.

        Standard errors are by the delta method from `cov_params`, for X as given. Derivatives in
        the parameters are summed in blocks of rows: n_samples n_classes^2 n_features^2 flops, and
        n_classes n_features times ``params.size`` numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to average over, those of the fit or others. A result holds no data, so X must
            be given.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Needed if the model was fitted with one, and only then.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the average.
        at : {"overall", "mean"}, default="overall"
            "overall": the mean of the effects of all rows; "mean": the effects in the mean row.
        kind : {"dydx", "eyex", "dyex", "eydx"}, default="dydx"
            Derivative dq/dx of the probability q; elasticity d(log q)/d(log x); dq/d(log x);
            d(log q)/dx.
        dummy : sequence of str or int, default=()
            Names or indices of columns that are 0 or 1: their effect is the change of q (or of
            log q) from 0 to 1. Not for "eyex" and "dyex".

        Returns
        -------
        softmax_reg.inference.MarginalEffects
            Immutable table with `effects`, `bse`, `zvalues`, `pvalues`, `conf_int`, `summary`,
            `summary_frame`.

        Raises
        ------
        ValueError
            If an argument is not one of these, or X has other columns than in the fit.
        """
        rows = new_rows(self.contrasts, X, offset, sample_weight)
        return effects_at(
            self.contrasts, rows, self.classes, at, kind, dummy, self.df_inference
        )

    def predict(
        self,
        params: ArrayLike | None = None,
        X: MatrixLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Compute the probability of each class in rows, for these or other parameters.

        Parameters
        ----------
        params : array-like of shape (n_rows, n_columns) or (params.size,), default=None
            In the coding of `params`; None for the estimates.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Must be given; it comes second as in statsmodels.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Needed if the model was fitted with one, and only then.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), float64
            Columns in the order of `classes`.
        """
        rows = new_rows(self.contrasts, X, offset)
        return proba_of_params(self.contrasts, rows, params, self.classes, self.reference)

    def prediction_interval(
        self, X: MatrixLike, alpha: float = 0.05, *, offset: ArrayLike | None = None
    ) -> PredictionInterval:
        """Compute intervals of the probability of each class in rows.

        Each interval is one of the probability, not of future labels, and holds for itself: it is
        computed for the log-odds of the class against all others, by the delta method, and then
        transformed. The cost is n_samples ``params.size``^2 flops.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        alpha : float in (0, 1), default=0.05
            Each interval covers with a probability of about 1 - alpha.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Needed if the model was fitted with one, and only then.

        Returns
        -------
        PredictionInterval
            Named tuple (proba, lower, upper, log_odds, bse), each of shape
            (n_samples, n_classes); `bse` are the standard errors of the log-odds.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_breast_cancer
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = X[:, :2]
        >>> result = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y).inference(X, y)
        >>> found = result.prediction_interval(X[18:20])
        >>> np.stack([found.lower, found.proba, found.upper])[:, :, 1].round(3)
        array([[0.001, 0.866],
               [0.003, 0.917],
               [0.009, 0.95 ]])
        """
        rows = new_rows(self.contrasts, X, offset)
        return intervals_at(self.contrasts, rows, alpha, self.df_inference)
