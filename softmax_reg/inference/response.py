"""Methods of `InferenceResult` on probabilities of rows."""

from .contrasts import new_rows
from .margins import effects_at


class ProbabilityMethods:
    """Effects on probabilities, from `contrasts` and `classes`.

    Everything is computed in the contrasts, so it is the same with every `reference`.
    """

    def marginal_effects(
        self, X, *, offset=None, sample_weight=None, at="overall", kind="dydx", dummy=()
    ):
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
            Immutable table with `effects`, `bse`, `zvalues`, `pvalues`, `conf_int`,
            `summary_frame`.

        Raises
        ------
        ValueError
            If an argument is not one of these, or X has other columns than in the fit.
        """
        rows = new_rows(self.contrasts, X, offset, sample_weight)
        return effects_at(self.contrasts, rows, self.classes, at, kind, dummy)
