"""scikit-learn's callbacks (1.9 on) around every iteration."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from softmax_reg import SoftmaxRegression

pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "newton-cg")
X, y = load_iris(return_X_y=True)


class Recorder:
    """Notes the hooks and what they were given; stops after `stop_after` iterations."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.names = []
        self.began, self.ended, self.metadata = [], [], []

    def setup(self, estimator, context):
        self.names.append("setup")

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None, metadata=None):
        if context.parent is not None:
            self.began.append(fitted_estimator)
            self.metadata.append(metadata)
            self.names.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.parent is not None:
            self.ended.append(fitted_estimator)
        return len(self.ended) == self.stop_after

    def teardown(self, estimator, context):
        self.names.append("teardown")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("labels", [y, y == 1])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fitted_estimator_of_an_iteration_is_the_fit_stopped_there(labels, solver):
    """After iteration i the hook sees the model of max_iter=i; all hooks are paired."""
    recorder = Recorder()
    model = SoftmaxRegression(solver=solver).set_callbacks(recorder).fit(X, labels)
    n_iter = model.n_iter_[0]
    assert len(recorder.began) == len(recorder.ended) == n_iter
    assert recorder.names[0] == "setup" and recorder.names[-1] == "teardown"
    assert recorder.names[1] == f"{model.solver_}-iter"
    for i in (0, n_iter // 2, n_iter - 1):
        stopped = SoftmaxRegression(solver=solver, max_iter=i + 1).fit(X, labels)
        np.testing.assert_array_equal(recorder.ended[i].coef_, stopped.coef_)
        np.testing.assert_array_equal(recorder.ended[i].predict(X), stopped.predict(X))
        start = SoftmaxRegression(solver=solver, max_iter=i).fit(X, labels)
        np.testing.assert_array_equal(recorder.began[i].coef_, start.coef_)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_can_stop_the_fit(solver):
    """A true end hook ends the fit there, without a warning."""
    model = SoftmaxRegression(solver=solver).set_callbacks(Recorder(stop_after=2)).fit(X, y)
    assert model.n_iter_[0] == 2


def test_weights_reach_the_callbacks_as_metadata():
    """metadata holds sample_weight where given."""
    recorder = Recorder()
    weight = np.ones(len(y))
    SoftmaxRegression().set_callbacks(recorder).fit(X, y, sample_weight=weight)
    assert recorder.metadata[0]["sample_weight"] is weight


def test_an_exception_in_a_callback_leaves_the_estimator_as_it_was():
    """Interrupted in mid-fit: nothing fitted, the next fit works."""

    class Broken(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("from the callback")

    model = SoftmaxRegression().set_callbacks(Broken())
    with pytest.raises(RuntimeError, match="from the callback"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")
    assert hasattr(model.set_callbacks().fit(X, y), "coef_")


def test_scoring_monitor_follows_the_loss():
    """scikit-learn's ScoringMonitor sees the training log loss of every iterate fall."""
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = SoftmaxRegression(solver="lbfgs").set_callbacks(monitor).fit(X, y)
    logs = monitor.get_logs().data_as_pandas
    scores = logs.loc[logs["task_name"] == "lbfgs-iter", "neg_log_loss"]
    assert len(scores) == model.n_iter_[0]
    assert scores.iloc[-1] > scores.iloc[0]


def test_an_exception_at_the_end_of_the_fit_leaves_the_estimator_as_it_was():
    """The last hook of all raises."""

    class Broken(Recorder):
        def on_fit_task_end(self, estimator, context):
            if context.parent is None:
                raise RuntimeError("at the end")

    model = SoftmaxRegression().set_callbacks(Broken())
    with pytest.raises(RuntimeError, match="at the end"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("options", [{"tol": 0}, {"C": np.inf}])
@pytest.mark.filterwarnings("ignore::softmax_reg.SeparationWarning")
def test_hooks_are_paired_where_the_last_iteration_takes_no_step(solver, options):
    """An iteration that ends at the rounding floor, or finds the classes separated, ends."""
    recorder = Recorder()
    SoftmaxRegression(solver=solver, **options).set_callbacks(recorder).fit(X, y)
    assert len(recorder.began) == len(recorder.ended)
