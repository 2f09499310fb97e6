"""The solvers that are compared, each behind ``fit(X, y, C, l1_ratio, tol) -> coef, intercept``.

`tol` is the peer's own stopping tolerance, None for its default settings, whole. A peer
that is not installed is left out; one that cannot run a workload says so by raising.
"""

import warnings

import numpy as np
from scipy import sparse

TOLERANCES = [10.0**-k for k in range(1, 13)]
_UNLIMITED = 100_000


def _sklearn_like(estimator, **options):
    def fit(X, y, C, l1_ratio, tol):
        budget = {} if tol is None else {"tol": tol, "max_iter": _UNLIMITED}
        penalty = {"l1_ratio": l1_ratio} if l1_ratio else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimator(C=C, **penalty, **options, **budget).fit(X, y)
        return np.atleast_2d(model.coef_), model.intercept_

    return fit


def softmax_reg():
    """{solver: fit}; auto, and each solver by name."""
    from softmax_reg import SoftmaxRegression

    return {
        solver: _sklearn_like(SoftmaxRegression, solver=solver)
        for solver in ("auto", "lbfgs", "newton-cholesky", "newton-cg")
    }


def scikit_learn():
    """{solver: fit} of scikit-learn's LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    return {
        solver: _sklearn_like(LogisticRegression, solver=solver)
        for solver in ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")
    }


def scikit_learn_intelex():
    """{solver: fit} of Intel's extension; dense X and lbfgs only, else it is scikit-learn."""
    from sklearnex.linear_model import LogisticRegression

    run = _sklearn_like(LogisticRegression, solver="lbfgs")

    def fit(X, y, C, l1_ratio, tol):
        if sparse.issparse(X):
            raise NotImplementedError("sparse X falls back to scikit-learn")
        return run(X, y, C, l1_ratio, tol)

    return {"lbfgs": fit}


def cyanure():
    """{solver: fit} of Cyanure's Classifier; lambda_1 = 1 / (C n), L2 or L1."""
    from cyanure.estimators import Classifier

    def make(solver):
        def fit(X, y, C, l1_ratio, tol):
            if l1_ratio not in (0, 1):
                raise NotImplementedError("its elastic net has another scale: left out")
            n = X.shape[0]
            loss = "logistic" if len(np.unique(y)) == 2 else "multiclass-logistic"
            budget = {"tol": tol, "max_iter": 2000, "duality_gap_interval": 5}
            budget = {} if tol is None else budget
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = Classifier(
                    loss=loss, penalty="l1" if l1_ratio else "l2", lambda_1=1 / (C * n),
                    fit_intercept=True, solver=solver, verbose=False, random_state=0, **budget,
                ).fit(X, y)
            # (n_features, n_classes), or one vector of n_features.
            coef = np.asarray(model.coef_, dtype=np.float64).reshape(X.shape[1], -1)
            return coef.T, np.asarray(model.intercept_, dtype=np.float64).ravel()

        return fit

    return {solver: make(solver) for solver in ("auto", "qning-miso", "catalyst-miso")}


PEERS = {
    "softmax_reg": softmax_reg,
    "scikit-learn": scikit_learn,
    "scikit-learn-intelex": scikit_learn_intelex,
    "cyanure": cyanure,
}


def installed():
    """{(peer, solver): fit} of what can be imported."""
    found = {}
    for peer, solvers in PEERS.items():
        try:
            found |= {(peer, solver): fit for solver, fit in solvers().items()}
        except ImportError:
            continue
    return found
