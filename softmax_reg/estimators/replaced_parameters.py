"""Parameters of `LogisticRegression` that the estimators here lack, and what to use instead."""

import functools
import inspect

# Advice by the name of the parameter; the name itself comes before it.
_ADVICE = {
    "penalty": "use l1_ratio (0 for 'l2', 1 for 'l1', between them for 'elasticnet'), and "
               "C=np.inf for penalty=None",
    "n_jobs": "leave it out: a fit uses all cores; NUMBA_NUM_THREADS or "
              "threadpoolctl.threadpool_limits lower the number of threads",
    "multi_class": "leave it out: the model is always the multinomial one; "
                   "sklearn.multiclass.OneVsRestClassifier makes one model for each class",
    "dual": "leave it out: every fit reports its duality gap, whatever the solver",
    "intercept_scaling": "leave it out: intercepts have no penalty; fit_intercept=False fits "
                         "none",
    "l1_ratios": "use SoftmaxRegressionCV for a grid, or l1_ratio for one value",
    "Cs": "use SoftmaxRegressionCV or softmax_path for a grid, or C for one value",
    "C": "use Cs, a list or the number of values of C",
    "l1_ratio": "use l1_ratios, a list",
    "prior": "only SoftmaxRegression has it",
    "use_legacy_attributes": "leave it out: the attributes are those of "
                             "use_legacy_attributes=False",
}


def refuse_replaced(estimator, unknown, error):
    """Raise an error if scikit-learn has a parameter that the estimator lacks.

    Parameters
    ----------
    estimator : class
    unknown : iterable of str
        Names that are no parameters of the estimator.
    error : type
        TypeError for arguments, ValueError for `set_params`.
    """
    for name in unknown:
        if name in _ADVICE:
            raise error(f"{estimator.__name__} has no parameter {name}: {_ADVICE[name]}.")


def with_advice(init):
    """Return a constructor that refuses these parameters with advice, else the same."""
    known = inspect.signature(init).parameters.keys()

    @functools.wraps(init)
    def advised(self, *args, **parameters):
        refuse_replaced(type(self), parameters.keys() - known, TypeError)
        init(self, *args, **parameters)

    return advised
