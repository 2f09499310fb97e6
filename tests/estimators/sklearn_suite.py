"""Pytest plugin: scikit-learn's own tests of `LogisticRegression`, run on `SoftmaxRegression`.

    SCIPY_ARRAY_API=1 python -m pytest -c /dev/null --rootdir . -p tests.estimators.sklearn_suite \
        -p no:cacheprovider --pyargs sklearn.linear_model.tests.test_logistic

from the root of the repository (``-c /dev/null`` keeps pyproject.toml's options and
warning filters out; without SCIPY_ARRAY_API=1 the array API tests are skipped) runs
the installed module with the names `LogisticRegression` and `LogisticRegressionCV` bound to the
adapters below. The summary prints what the adapters translated and which tests are left out,
and why.
An id of `LEFT_OUT` that the module no longer has is an error. ``--left-out`` runs
the tests left out instead of the others: one that passes has no place in the list.
"""

from collections import Counter

import numpy as np
import pytest
from sklearn import linear_model

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV

MODULE = "sklearn.linear_model.tests.test_logistic"
# scikit-learn's tests compare fits to six digits and more, which a gap of 1e-4 does not promise.
DEFAULTS = SoftmaxRegression(tol=1e-6).get_params()
CV_DEFAULTS = SoftmaxRegressionCV(tol=1e-6).get_params()
# scikit-learn's keywords that do not exist here, and their defaults there.
DROPPED = {"dual": False, "intercept_scaling": 1, "n_jobs": None}
TRANSLATED = Counter()


def translate(params):
    """Changes to scikit-learn's parameters that `SoftmaxRegression` needs, all counted.

    tol goes through as it is, though it means another thing here (relative duality
    gap) than there (largest gradient entry).
    """
    changes = {}
    if params["solver"] in ("liblinear", "sag", "saga"):
        changes["solver"] = "auto"
    if params["penalty"] is None:
        changes.update(C=np.inf, l1_ratio=0)
    elif params["penalty"] in ("l1", "l2"):
        changes["l1_ratio"] = 1 if params["penalty"] == "l1" else 0
    elif params["penalty"] == "elasticnet":
        changes["l1_ratio"] = params["l1_ratio"]
    for source, targets in (("solver", ["solver"]), ("penalty", ["C", "l1_ratio"])):
        new = ", ".join(f"{name}={changes[name]!r}" for name in targets if name in changes)
        if new:
            TRANSLATED[f"{source}={params[source]!r} -> {new}"] += 1
    for name, default in DROPPED.items():
        if params[name] != default:
            TRANSLATED[f"{name}={params[name]!r} dropped"] += 1
    return changes


class LogisticRegression(SoftmaxRegression):
    """`SoftmaxRegression` with the keywords of scikit-learn's class and its own defaults.

    get_params, set_params and clone see scikit-learn's keywords as they were given;
    they are translated for the time of a fit.
    """

    penalty = "deprecated"    # a read-only property of SoftmaxRegression

    def __init__(
        self,
        penalty="deprecated",
        *,
        C=DEFAULTS["C"],
        l1_ratio=DEFAULTS["l1_ratio"],
        dual=DROPPED["dual"],
        tol=DEFAULTS["tol"],
        fit_intercept=DEFAULTS["fit_intercept"],
        intercept_scaling=DROPPED["intercept_scaling"],
        class_weight=DEFAULTS["class_weight"],
        random_state=DEFAULTS["random_state"],
        solver=DEFAULTS["solver"],
        max_iter=DEFAULTS["max_iter"],
        verbose=DEFAULTS["verbose"],
        warm_start=DEFAULTS["warm_start"],
        n_jobs=DROPPED["n_jobs"],
    ):
        super().__init__(
            C=C,
            l1_ratio=l1_ratio,
            tol=tol,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            random_state=random_state,
            solver=solver,
            max_iter=max_iter,
            verbose=verbose,
            warm_start=warm_start,
        )
        self.penalty = penalty
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
        given = self.get_params(deep=False)
        vars(self).update(translate(given))
        try:
            return super().fit(X, y, sample_weight)
        finally:
            vars(self).update(given)


def translate_cv(params):
    """As `translate`, for `SoftmaxRegressionCV`."""
    changes = translate({"l1_ratio": None, **params})
    l1_ratio = changes.pop("l1_ratio", None)
    if changes.pop("C", None) is not None:
        changes["Cs"] = [np.inf]
    named = params["penalty"] != "elasticnet"    # which has to have ratios
    if named and (isinstance(params["l1_ratios"], str) or params["l1_ratios"] is None):
        changes["l1_ratios"] = (0 if l1_ratio is None else l1_ratio,)
    if isinstance(params["scoring"], str) and params["scoring"] == "warn":
        changes["scoring"] = None
    for name in ("l1_ratios", "scoring"):
        if name in changes:
            TRANSLATED[f"{name}={params[name]!r} -> {changes[name]!r}"] += 1
    return changes


class LogisticRegressionCV(SoftmaxRegressionCV):
    """`SoftmaxRegressionCV` with the keywords of scikit-learn's class; see above."""

    penalty = "deprecated"    # a read-only property of SoftmaxRegressionCV

    def __init__(
        self,
        *,
        Cs=CV_DEFAULTS["Cs"],
        l1_ratios="warn",
        fit_intercept=CV_DEFAULTS["fit_intercept"],
        cv=CV_DEFAULTS["cv"],
        dual=DROPPED["dual"],
        penalty="deprecated",
        scoring="warn",
        solver=CV_DEFAULTS["solver"],
        tol=CV_DEFAULTS["tol"],
        max_iter=CV_DEFAULTS["max_iter"],
        class_weight=CV_DEFAULTS["class_weight"],
        n_jobs=CV_DEFAULTS["n_jobs"],
        verbose=CV_DEFAULTS["verbose"],
        refit=CV_DEFAULTS["refit"],
        intercept_scaling=DROPPED["intercept_scaling"],
        random_state=CV_DEFAULTS["random_state"],
        use_legacy_attributes="warn",
    ):
        super().__init__(
            Cs=Cs,
            l1_ratios=l1_ratios,
            fit_intercept=fit_intercept,
            cv=cv,
            scoring=scoring,
            solver=solver,
            tol=tol,
            max_iter=max_iter,
            class_weight=class_weight,
            n_jobs=n_jobs,
            verbose=verbose,
            refit=refit,
            random_state=random_state,
        )
        self.dual = dual
        self.penalty = penalty
        self.intercept_scaling = intercept_scaling
        self.use_legacy_attributes = use_legacy_attributes

    def fit(self, X, y, sample_weight=None, **params):
        given = self.get_params(deep=False)
        vars(self).update(translate_cv({**given, "n_jobs": None}))
        try:
            super().fit(X, y, sample_weight, **params)
        finally:
            vars(self).update(given)
        if self.use_legacy_attributes:
            TRANSLATED["attributes in the older form"] += 1
            without_ratios = self.l1_ratios is None or isinstance(self.l1_ratios, str)
            vars(self).update(legacy(self, without_ratios))
        return self


def legacy(model, without_ratios):
    """Attributes of scikit-learn's older form: by class, and axes in another order."""
    is_binary = len(model.classes_) == 2
    classes = model.classes_[1:] if is_binary else model.classes_
    paths = np.moveaxis(model.coefs_paths_, (3, 2), (0, 2))
    scores, n_iter = (np.swapaxes(a, 1, 2) for a in (model.scores_, model.n_iter_))
    if without_ratios:
        paths, scores, n_iter = paths[:, :, :, 0], scores[:, :, 0], n_iter[:, :, 0]
    return {
        "coefs_paths_": dict(zip(classes, paths, strict=True)),
        "scores_": dict.fromkeys(classes, scores),
        "n_iter_": n_iter[np.newaxis],
        "C_": np.full(len(classes), model.C_),
        "l1_ratio_": np.full(len(classes), model.l1_ratio_),
    }


_CSR = ("csr_matrix", "csr_array")
_SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")
_NOT_CONVERGED = {
    "liblinear": "Liblinear failed to converge, increase the number of iterations.",
    "sag": "The max_iter was reached which means the coef_ did not converge",
    "saga": "The max_iter was reached which means the coef_ did not converge",
}

# Heading -> reason -> test ids. With several seeds the ids name the usual one, 42.
# "*" at the end stands for every id that starts so.
LEFT_OUT = {
    "(a) parameters or private functions we lack": {
        "no parameter `penalty`, so no warning that it is deprecated, is inconsistent "
        "with l1_ratio or overrides C": [
            *(f"test_penalty_none[42-{solver}]" for solver in _SOLVERS),
            *(f"test_penalty_deprecated[LogisticRegression{cv}]" for cv in ("", "CV")),
            "test_l1_ratio_non_elasticnet",
            "test_lr_penalty_l1ratio_incompatible[l1-0.0]",
            "test_lr_penalty_l1ratio_incompatible[l2-1.0]",
        ],
        "no parameter `n_jobs`, so no warning that it is deprecated": [
            "test_logisticregression_warns_with_n_jobs",
        ],
        "l1_ratio=None, deprecated there, is refused here": ["test_l1_ratio_None_deprecated"],
        "no parameter `dual`: the test wants random_state to change the dual's solution": [
            "test_liblinear_dual_random_state[42]",
        ],
        "no solver liblinear, which refuses three classes, dual=True with others and "
        "X > 1e30": [
            *(f"test_check_solver_option[LogisticRegression{cv}]" for cv in ("", "CV")),
            *(f"test_liblinear_multiclass_raises[LogisticRegression{cv}]" for cv in ("", "CV")),
            "test_liblinear_with_large_values",
        ],
        "no solver liblinear, which alone returns float64 for float32": [
            f"test_dtype_match[{csr}-{fit_intercept}-liblinear]"
            for csr in _CSR
            for fit_intercept in (False, True)
        ],
        "no solver liblinear, sag or saga, which refuse sparse X with 64-bit indices": [
            f"test_large_sparse_matrix[{csr}-{solver}]"
            for csr in _CSR
            for solver in ("liblinear", "sag", "saga")
        ],
        "no parameter `use_legacy_attributes`, so no warning about it": [
            "test_logisticregressioncv_warns_with_use_legacy_attributes",
        ],
        "no method _get_scorer": ["test_get_default_scorer"],
        "no method _predict_proba_lr": ["test_logreg_predict_proba_multinomial[42]"],
        "arrays on a GPU: CUDA's need device='cuda', others were not tried (skipped where there "
        "are none)": [
            f"test_logistic_regression_array_api_{test}[{library}-*"
            for test in ("compliance", "warm_start")
            for library in ("cupy", "torch-cuda", "torch-xpu", "torch-mps", "dpnp")
        ],
    },
    "(b) message text, sub-task count, starting point or iterate of one scikit-learn solver": {
        "text of the warning at max_iter": [
            *(
                f"test_max_iter[42-{solver}-{message}-max_iter{i}]"
                for solver, message in _NOT_CONVERGED.items()
                for i in range(4)
            ),
            "test_max_iter[42-newton-cholesky-Newton solver did not converge after "
            "[0-9]* iterations-max_iter0]",
        ],
        "text of the warning that only lbfgs reports to callbacks: here every solver does": [
            "test_logistic_regression_callback_support_warning",
        ],
        "count of sub-tasks: scikit-learn's lbfgs has an empty one more than iterations": [
            f"test_logistic_regression_callback_support[{max_iter}]"
            for max_iter in (0, 2, 1000)
        ],
        "starting point: intercepts from the class frequencies, there zeros": [
            f"test_zero_max_iter[{solver}]"
            for solver in ("liblinear", "newton-cg", "newton-cholesky", "sag", "saga")
        ],
        "iterate: the Hessian fails to factorise in the first iteration, and n_iter_ is that "
        "of lbfgs": ["test_newton_cholesky_fallback_to_lbfgs"],
    },
    "(c) silent convergence on separable data, where we warn by design": {},
    "(d) defaults we change on purpose": {
        "scoring is neg_log_loss already, so no warning that it will be": [
            "test_lr_scoring_warns",
        ],
        "coef_ stays float64 where rounding to float32 would cost more than tol, here 1e-12 "
        "(skipped where the library is not installed)": [
            f"test_logistic_regression_array_api_compliance[{library}-float32-*"
            for library in ("array_api_strict-device1", "torch-cpu")
        ],
    },
}


def test_id(item):
    """The part of the node id after the module, with the usual seed."""
    seed = getattr(item, "callspec", None) and item.callspec.params.get("global_random_seed")
    return item.name if seed is None else item.name.replace(f"[{seed}", "[42", 1)


def is_named(test, entry):
    """Whether an entry of `LEFT_OUT` names this id."""
    return test.startswith(entry[:-1]) if entry.endswith("*") else test == entry


def entries():
    """All entries of `LEFT_OUT`."""
    return [e for reasons in LEFT_OUT.values() for ids in reasons.values() for e in ids]


def pytest_addoption(parser):
    parser.addoption("--left-out", action="store_true", help="run the tests left out instead")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Let the module import the adapters: its parametrize marks need them too."""
    originals = linear_model.LogisticRegression, linear_model.LogisticRegressionCV
    try:
        if isinstance(collector, pytest.Module):
            linear_model.LogisticRegression = LogisticRegression
            linear_model.LogisticRegressionCV = LogisticRegressionCV
        return (yield)
    finally:
        linear_model.LogisticRegression, linear_model.LogisticRegressionCV = originals


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Deselect what is left out; refuse another module, and entries that name no test."""
    for item in items:
        module = item.module
        if module.__name__ != MODULE or module.LogisticRegression is not LogisticRegression:
            raise pytest.UsageError(f"{item.nodeid} is not a test of {MODULE} on the adapter.")
    tests = {test_id(item) for item in items}
    stale = [e for e in entries() if not any(is_named(test, e) for test in tests)]
    if stale and not any("::" in arg for arg in config.args):
        raise pytest.UsageError(
            f"{MODULE} has no such tests; take them out of LEFT_OUT:\n" + "\n".join(stale)
        )
    kept, left_out = [], []
    for item in items:
        named = any(is_named(test_id(item), entry) for entry in entries())
        (left_out if named else kept).append(item)
    if config.getoption("--left-out"):
        kept, left_out = left_out, kept
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    terminalreporter.section("LogisticRegression is SoftmaxRegression: translated, fits")
    for change, n_fits in sorted(TRANSLATED.items()):
        write(f"{n_fits:5d}  {change}")
    write(f"       Not given: {', '.join(f'{k}={v!r}' for k, v in DEFAULTS.items())}")
    terminalreporter.section(f"left out of {MODULE}")
    for heading, reasons in LEFT_OUT.items():
        write(f"{heading}: {sum(map(len, reasons.values())) or 'none'}")
        for reason, ids in reasons.items():
            write(f"  {reason}:")
            for entry in ids:
                write(f"    {entry}")
