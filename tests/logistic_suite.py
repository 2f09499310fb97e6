"""Run scikit-learn's own tests of LogisticRegression on SoftmaxRegression.

    SCIPY_ARRAY_API=1 python -m pytest -c tests/logistic_suite.ini --rootdir . \\
        -p tests.logistic_suite --pyargs sklearn.linear_model.tests.test_logistic

`sklearn.linear_model.LogisticRegression` becomes the adapter below before the test
module is imported. The adapter keeps scikit-learn's parameters and translates them at
fit; what it translated is counted and printed at the end. Tests that cannot apply are
left out by id, under four headings, each with its reason.
"""

from collections import Counter

import pytest
import sklearn.linear_model
from sklearn.linear_model import LogisticRegression as Original

from softmax_reg import SoftmaxRegression

MAPPINGS = Counter()
_SOLVERS = {"liblinear": "auto", "sag": "auto", "saga": "auto"}
_DROPPED = {"dual": False, "intercept_scaling": 1, "n_jobs": None}
_L1_RATIO = {"l1": 1.0, "l2": 0.0}
_THEIR_TOL, _THEIR_MAX_ITER = 1e-4, 100    # scikit-learn's defaults


class LogisticRegression(SoftmaxRegression):
    """scikit-learn's constructor in front of SoftmaxRegression."""

    penalty = "deprecated"    # a parameter here, a property in the package

    def __init__(
        self, penalty="deprecated", *, C=1.0, l1_ratio=0.0, dual=False, tol=_THEIR_TOL,
        fit_intercept=True, intercept_scaling=1, class_weight=None, random_state=None,
        solver="lbfgs", max_iter=_THEIR_MAX_ITER, verbose=0, warm_start=False, n_jobs=None,
    ):
        super().__init__(
            C=C, l1_ratio=l1_ratio, tol=tol, fit_intercept=fit_intercept,
            class_weight=class_weight, random_state=random_state, solver=solver,
            max_iter=max_iter, verbose=verbose, warm_start=warm_start,
        )
        self.penalty = penalty
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.n_jobs = n_jobs

    def _translated(self):
        """Parameters of SoftmaxRegression for those of this object."""
        ours = SoftmaxRegression().get_params()
        parameters = {name: getattr(self, name) for name in ours}
        for name, default in _DROPPED.items():
            if getattr(self, name) != default:
                MAPPINGS[f"{name}={getattr(self, name)!r} dropped"] += 1
        if self.solver in _SOLVERS:
            parameters["solver"] = _SOLVERS[self.solver]
            MAPPINGS[f"solver={self.solver!r} -> {_SOLVERS[self.solver]!r}"] += 1
        if self.penalty is None:
            parameters["C"] = float("inf")
            MAPPINGS["penalty=None -> C=inf"] += 1
        elif self.penalty in _L1_RATIO:
            parameters["l1_ratio"] = _L1_RATIO[self.penalty]
            MAPPINGS[f"penalty={self.penalty!r} -> l1_ratio={_L1_RATIO[self.penalty]}"] += 1
        if self.max_iter == _THEIR_MAX_ITER:
            parameters["max_iter"] = ours["max_iter"]
            MAPPINGS["max_iter=100 (scikit-learn's default) -> 1000 (ours)"] += 1
        if self.tol == _THEIR_TOL:
            parameters["tol"] = ours["tol"]
            MAPPINGS["tol=1e-4 (scikit-learn's default) -> 1e-6 (ours)"] += 1
        elif self.tol < _THEIR_TOL:
            # Theirs bounds the gradient g of the mean loss, ours the duality gap,
            # ||g||^2 / (2 l2): the square is the same demand.
            parameters["tol"] = self.tol**2
            MAPPINGS["tol < 1e-4 -> tol^2 (the gap is quadratic in the gradient)"] += 1
        return parameters

    def fit(self, X, y, sample_weight=None):
        """Fit a SoftmaxRegression and take over what it learnt."""
        inner = SoftmaxRegression(**self._translated())
        own = set(self.get_params())
        vars(inner).update({k: v for k, v in vars(self).items() if k not in own})
        inner.fit(X, y, sample_weight=sample_weight)
        vars(self).update({k: v for k, v in vars(inner).items() if k not in own})
        return self


LACKING = "(a) parameters or private functions we lack"
OTHER_SOLVER = "(b) message text, sub-task count, starting point or iterate of one solver"
SEPARABLE = "(c) silent convergence on separable data, where we warn by design"
DEFAULTS = "(d) defaults we change on purpose"
_L1 = "l1_ratio > 0, the sparse-models issue"
_LIBLINEAR = "liblinear's own limits, which no solver here has"
_SAG = "sag's and saga's 32-bit index limit, which no solver here has"
_WARNS = "deprecation or consistency warning of a parameter that does not exist here"
_START = "starts from zero there, from the class frequencies here"
_MESSAGE = "wording of this solver's ConvergenceWarning"
# A test id, or its beginning up to a "[" or "-": reason. Every entry must match.
LEFT_OUT = {
    LACKING: {
        "test_check_solver_option[LogisticRegression]": _LIBLINEAR + "; dual",
        "test_liblinear_dual_random_state": "dual=True depends on random_state",
        "test_sample_and_class_weight_equivalence_liblinear": _L1,
        "test_logreg_l1": _L1,
        "test_logistic_regression_cv_refit[42-1]": _L1,
        "test_logreg_predict_proba_multinomial": "calls the private _predict_proba_lr",
        "test_saga_vs_liblinear[42-csr_matrix-1]": _L1,
        "test_saga_vs_liblinear[42-csr_array-1]": _L1,
        "test_dtype_match[csr_matrix-False-liblinear]": "liblinear turns float32 into float64",
        "test_dtype_match[csr_matrix-True-liblinear]": "liblinear turns float32 into float64",
        "test_dtype_match[csr_array-False-liblinear]": "liblinear turns float32 into float64",
        "test_dtype_match[csr_array-True-liblinear]": "liblinear turns float32 into float64",
        "test_elastic_net_coeffs": _L1,
        "test_elastic_net_l1_l2_equivalence[42-l1": _L1,
        "test_elastic_net_vs_l1_l2": _L1,
        "test_LogisticRegression_elastic_net_objective": _L1,
        "test_LogisticRegressionCV_GridSearchCV_elastic_net[3]": _L1,
        "test_l1_ratio_non_elasticnet": _WARNS,
        "test_elastic_net_versus_sgd": _L1,
        "test_penalty_none": _WARNS,
        "test_logisticregression_liblinear_sample_weight[42-params0]": _L1,
        "test_scores_attribute_layout_elasticnet": _L1,
        "test_large_sparse_matrix[csr_matrix-liblinear]": _LIBLINEAR,
        "test_large_sparse_matrix[csr_array-liblinear]": _LIBLINEAR,
        "test_large_sparse_matrix[csr_matrix-sag]": _SAG,
        "test_large_sparse_matrix[csr_array-sag]": _SAG,
        "test_large_sparse_matrix[csr_matrix-saga]": _SAG,
        "test_large_sparse_matrix[csr_array-saga]": _SAG,
        "test_liblinear_with_large_values": _LIBLINEAR,
        "test_liblinear_not_stuck": _L1,
        "test_liblinear_multiclass_raises[LogisticRegression]": _LIBLINEAR,
        "test_penalty_deprecated[LogisticRegression]": _WARNS,
        "test_l1_ratio_None_deprecated": _WARNS,
        "test_logisticregression_warns_with_n_jobs": _WARNS,
        "test_lr_penalty_l1ratio_incompatible": _WARNS,
        "test_logistic_regression_callback_support_warning": "warns that liblinear has no "
        "callbacks; here every solver has",
    },
    OTHER_SOLVER: {
        "test_logistic_cv": "compares with LogisticRegressionCV(liblinear), still scikit-"
        "learn's, whose iterate is 1.6e-5 from the optimal coefficients; ours 1e-7",
        "test_logistic_cv_multinomial_score[neg_log_loss": "compares with scikit-learn's "
        "lbfgs iterate, 3e-4 from the optimum's score; ours 1e-6",
        "test_max_iter[42-liblinear": _MESSAGE,
        "test_max_iter[42-sag": _MESSAGE,
        "test_max_iter[42-saga": _MESSAGE,
        "test_max_iter[42-newton-cholesky": _MESSAGE,
        "test_zero_max_iter[liblinear]": _START,
        "test_zero_max_iter[newton-cg]": _START,
        "test_zero_max_iter[newton-cholesky]": _START,
        "test_zero_max_iter[sag]": _START,
        "test_zero_max_iter[saga]": _START,
        "test_newton_cholesky_fallback_to_lbfgs": "newton-cholesky fails at once there and "
        "takes as many iterations as lbfgs; here it makes some first",
        "test_logistic_regression_callback_support": "counts SciPy's extra empty subtask",
    },
    SEPARABLE: {},
    DEFAULTS: {},
}


def _reason(item):
    for heading, entries in LEFT_OUT.items():
        for entry, reason in entries.items():
            if item.name == entry or item.name.startswith((f"{entry}[", f"{entry}-")):
                return heading, entry, reason
    return None


def pytest_configure(config):
    sklearn.linear_model.LogisticRegression = LogisticRegression


def pytest_unconfigure(config):
    sklearn.linear_model.LogisticRegression = Original


@pytest.hookimpl(tryfirst=True)    # before -k takes any away
def pytest_collection_modifyitems(config, items):
    kept, left_out = [], []
    config.left_out = Counter()
    for item in items:
        found = _reason(item)
        if found is None:
            kept.append(item)
        else:
            left_out.append(item)
            config.left_out[found] += 1
    listed = {(h, e, r) for h, entries in LEFT_OUT.items() for e, r in entries.items()}
    if stale := listed - set(config.left_out):
        raise pytest.UsageError(f"left out, but not in scikit-learn's suite: {sorted(stale)}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter, config):
    write = terminalreporter.write_line
    write("Mappings from scikit-learn's parameters (number of fits):")
    for mapping, count in sorted(MAPPINGS.items()):
        write(f"  {count:5d}  {mapping}")
    for heading in LEFT_OUT:
        entries = [(e, r, n) for (h, e, r), n in config.left_out.items() if h == heading]
        write(f"{heading}: {sum(n for *_, n in entries)} tests left out")
        for entry, reason, count in sorted(entries):
            write(f"  {count:3d}  {entry}: {reason}")
