"""Progress of a fit: scikit-learn's callbacks where installed, and verbose lines."""

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:    # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Empty stand-in for the mixin of scikit-learn >= 1.9."""


class FitProgress:
    """Report the iterations of a fit: to scikit-learn's callbacks and, if verbose, in print.

    Parameters
    ----------
    estimator : SoftmaxRegression or SoftmaxRegressionCV
    data : dict
        X, y and metadata (or None), passed on to scikit-learn's hooks.
    solver : str
        Name of the solver, in the printed lines and in the names of the callbacks' tasks.
    attributes : callable
        Function of theta that returns the fitted attributes, for callbacks that want a fitted
        estimator; or None where there are no such attributes.
    n_tasks : int
        Largest number of iterations.
    """

    def __init__(self, estimator, data, solver, attributes, n_tasks):
        self._estimator = estimator
        self._data = data
        self._solver = solver
        self._attributes = attributes
        self._root = None
        self._task = None
        if hasattr(estimator, "_skl_callbacks"):
            self._root = estimator._init_callback_context(max_subtasks=n_tasks)
            self._root.call_on_fit_task_begin(estimator=estimator, **data)

    def begin(self, theta):
        """Begin an iteration at theta, unless one that could not make a step is still open."""
        if self._root is not None and self._task is None:
            self._task = self._root.subcontext(task_name=f"{self._solver}-iter")
            self._task.call_on_fit_task_begin(
                estimator=self._estimator,
                reconstruction_attributes=lambda: self._attributes(theta),
                **self._data,
            )

    def end(self, theta, record):
        """End the iteration at theta; return whether a callback asks to stop the fit."""
        if self._estimator.verbose:
            iteration, seconds, value, gap = record
            print(
                f"[{type(self._estimator).__name__}] {self._solver} iteration {iteration:4d}  "
                f"objective {value:.9g}  gap {gap:.2e}  {seconds:.3f} s"
            )
        return self.end_task(lambda: self._attributes(theta))

    def end_task(self, attributes):
        """End the iteration without printing; return whether a callback asks to stop the fit.

        attributes : callable that returns the fitted attributes, or None
        """
        task, self._task = self._task, None
        if task is None:
            return False
        return task.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=attributes, **self._data
        )

    def close(self, attributes):
        """End the fit; callbacks get the fitted attributes."""
        self.end_task(None)    # an iteration that could not make a step
        if self._root is not None:
            self._root.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=attributes, **self._data
            )
