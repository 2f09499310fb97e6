"""scikit-learn's callbacks, where its version has them, around the iterations of a fit."""

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:    # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Empty stand-in for the mixin of scikit-learn >= 1.9."""


class FitCallbacks:
    """Report the iterations of a fit to scikit-learn's callbacks, and to others.

    Parameters
    ----------
    estimator : SoftmaxRegression or SoftmaxRegressionCV
    data : dict
        X, y and metadata (or None), passed on to scikit-learn's hooks.
    task : str
        What an iteration is of, in the names of the callbacks' tasks: the solver, or "path".
    attributes : callable
        Function of theta that returns the fitted attributes, for callbacks that want a fitted
        estimator; or None where there are no such attributes.
    n_tasks : int
        Largest number of iterations.
    iterations : object with ``begin`` and ``end``, as this one, or None
        Also called, before scikit-learn's callbacks. None where `begin` and `end` are not used.
    """

    def __init__(self, estimator, data, task, attributes, n_tasks, iterations=None):
        self._estimator = estimator
        self._data = data
        self._name = f"{task}-iter"
        self._attributes = attributes
        self._iterations = iterations
        self._root = None
        self._task = None
        if hasattr(estimator, "_skl_callbacks"):
            self._root = estimator._init_callback_context(max_subtasks=n_tasks)
            self._root.call_on_fit_task_begin(estimator=estimator, **data)

    def begin(self, theta, record):
        """Begin an iteration at theta, unless one that could not make a step is still open.

        record : entry of `Monitor.history`
        """
        self._iterations.begin(theta, record)
        self.begin_task(lambda: self._attributes(theta))

    def begin_task(self, attributes):
        """Begin an iteration, unless one is still open.

        attributes : callable that returns the fitted attributes, or None
        """
        if self._root is not None and self._task is None:
            self._task = self._root.subcontext(task_name=self._name)
            self._task.call_on_fit_task_begin(
                estimator=self._estimator, reconstruction_attributes=attributes, **self._data
            )

    def end(self, theta, record):
        """End the iteration at theta; return whether a callback asks to stop the fit."""
        self._iterations.end(theta, record)
        return self.end_task(lambda: self._attributes(theta))

    def end_task(self, attributes):
        """End the iteration; return whether a callback asks to stop the fit.

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
