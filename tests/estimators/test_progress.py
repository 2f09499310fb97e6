"""Progress of fits, paths and cross-validations: lines, shares, counts, time left, ends."""

import copy
import itertools
import pickle
import re
import threading

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.estimators import bars, progress
from softmax_reg.estimators.progress import Iteration, Progress, duration
from softmax_reg.solvers import Monitor

X, y = load_iris(return_X_y=True)
NUMBER = r"(\d\.?\d*(?:e[-+]\d+)?|inf)"
LINE = re.compile(
    rf"\[(\w+)\] ([\w-]+) iteration +(\d+)  objective {NUMBER} nats  relative gap {NUMBER} "
    rf"\(tol {NUMBER}\)  {NUMBER} s(  [\d:.]+( s)? left)?"
)


class Bar:
    """A bar that notes what it is told, and the threads that do so."""

    is_bar = True
    made = []

    def __init__(self, name):
        self.name = name
        self.lines, self.shares, self.texts, self.threads = [], [], [], set()
        self.is_open = True
        self.made.append(self)

    def line(self, text):
        self.lines.append(text)

    def draw(self, share, text):
        self.shares.append(share)
        self.texts.append(text)
        self.threads.add(threading.get_ident())

    def close(self):
        self.is_open = False


@pytest.fixture
def drawn(monkeypatch):
    """Bars, in place of those of a terminal, that are drawn at every report."""
    monkeypatch.setattr(bars, "_is_terminal", lambda stream: True)
    monkeypatch.setattr(bars, "_kind_of_bar", lambda: Bar)
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def iteration(number, gap, tol=1e-4):
    return Iteration("newton-cg", number, 0.5, gap, tol, 1.0)


@pytest.mark.parametrize("options, solver", [
    ({}, "newton-cholesky"), ({"solver": "lbfgs"}, "lbfgs"),
    ({"l1_ratio": 1.0}, "proximal-newton"),
    ({"C": np.inf, "prior": "jeffreys"}, "fisher-scoring"),
], ids=["newton", "lbfgs", "lasso", "jeffreys"])
def test_lines_are_the_history(options, solver, caplog):
    """One for each iteration, with its fields; the last gap is within tol."""
    model = SoftmaxRegression(verbose=1, tol=1e-3, **options).fit(X, y)
    messages = [record.getMessage() for record in caplog.records]
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("softmax_reg", "INFO")
    }
    if not options or "l1_ratio" in options:
        assert messages.pop(0).startswith("[SoftmaxRegression] expected: ")
    fields = [LINE.fullmatch(message).groups() for message in messages]
    history = model.history_
    assert [int(line[2]) for line in fields] == history["iteration"][1:].tolist()
    assert {line[:2] for line in fields} == {("SoftmaxRegression", solver)}
    objectives = [float(line[3]) for line in fields]
    # The last entry of the history is of the stored coefficients.
    np.testing.assert_allclose(objectives[:-1], history["objective"][1:-1], rtol=1e-8)
    assert {float(line[5]) for line in fields} == {1e-3}
    last = float(fields[-1][4])
    assert last == np.inf if "prior" in options else last <= 1e-3
    quiet = SoftmaxRegression(tol=1e-3, **options).fit(X, y)
    assert quiet.n_evaluations_ == model.n_evaluations_
    np.testing.assert_array_equal(quiet.coef_, model.coef_)


@pytest.mark.parametrize("verbose", [1, True])
def test_the_bar_of_a_fit(drawn, verbose):
    """The share goes from 0 to 1 and never falls; the texts tell the iteration; it is closed."""
    SoftmaxRegression(verbose=verbose, solver="lbfgs", C=1e3).fit(X, y)
    model = SoftmaxRegression(verbose=verbose, C=1e3).fit(X, y)
    first, second = drawn
    assert first.lines == [] and len(second.lines) == 1
    for bar in drawn:
        assert bar.shares[0] == 0 and bar.shares[-1] == 1 and not bar.is_open
        assert np.all(np.diff(bar.shares) >= 0)
        assert bar.texts[0].startswith("  0% iteration 0 objective 1.09")
    assert f"100% iteration {model.n_iter_[0]} objective " in second.texts[-1]
    assert re.search(r" in \d\.\d s$", second.texts[-1])


def test_a_bar_of_a_fit_without_a_gap_or_short_of_tol(drawn):
    """No share until the end without a gap; not 1 where the fit ends before its optimum."""
    SoftmaxRegression(verbose=1, C=np.inf).fit(X[:, :1], y)
    with pytest.warns(Warning, match="failed to converge"):
        SoftmaxRegression(verbose=1, C=1e3, max_iter=2).fit(X, y)
    free, short = drawn
    assert set(free.shares[:-2]) == {None} and free.shares[-1] == 1
    assert "gap" not in free.texts[-1] and short.shares[-1] < 1


def test_share_is_of_the_logarithm_of_the_gap(drawn):
    """From the first value to tol; a larger gap does not lower it."""
    with Progress("fit", 1) as shown:
        for number, gap in enumerate((np.inf, 1.0, 0.1, 1.0, 0.01, 1e-3, 2e-3, 9e-5, 0.0)):
            shown.iterated(iteration(number, gap))
    (bar,) = drawn
    assert bar.shares[0] is None
    np.testing.assert_allclose(
        bar.shares[1:], [0, 0.25, 0.25, 0.5, 0.75, 0.75, 1, 1, 1], rtol=1e-14
    )


def test_time_left_is_by_the_rate_of_the_last_half(drawn):
    """At one speed it is exact; after a change it follows that."""
    clock = Clock()
    with Progress("path", 1, 100, clock=clock) as shown:
        for n in range(1, 11):
            clock.now = 2.0 * n
            shown.fitted()
            assert drawn[0].texts[-1] == f"{n:3d}% {n}/100 fits {duration(2 * (100 - n))} left"
        for _ in range(10):    # ten times as slow, and longer than all before
            clock.now += 20
            shown.fitted()
        assert drawn[0].texts[-1] == f" 20% 20/100 fits {duration(20 * 80)} left"
        clock.now = 260
    assert drawn[0].texts[-1] == " 20% 20/100 fits in 4:20"


def test_no_time_left_without_progress(drawn):
    """A share that hardly grows tells nothing."""
    clock = Clock()
    with Progress("path", 1, 1000, clock=clock) as shown:
        for n in range(1, 12):
            clock.now = float(n)
            shown.fitted()
            assert n == 10 or drawn[0].texts[-1].endswith(" left") == (n > 10)
        clock.now = 100.0
        shown.fitted()
        assert drawn[0].texts[-1] == "  1% 12/1000 fits"


def test_a_bar_is_drawn_ten_times_a_second_at_most(drawn, monkeypatch):
    """However many the reports; the end is drawn in any case."""
    monkeypatch.setattr(progress, "_REFRESH", 0.1)
    clock = Clock()
    with Progress("fit", 1, clock=clock) as shown:
        for number in range(1, 3001):
            clock.now = number / 1000
            shown.iterated(iteration(number, 0.5))
    (bar,) = drawn
    assert 28 <= len(bar.texts) <= 32 and "iteration 3000 " in bar.texts[-1]


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("refit", [False, True])
def test_the_bar_of_a_cross_validation(drawn, n_jobs, refit, by_kernels):
    """Counts the fits of folds x l1_ratios x Cs and of the refit, drawn by this thread alone."""
    SoftmaxRegressionCV(
        Cs=[0.01, 0.1], l1_ratios=[0.0, 1.0], cv=3, verbose=1, n_jobs=n_jobs, refit=refit
    ).fit(X, y)
    (bar,) = drawn
    n_fits = 12 + refit
    counts = [int(re.search(r"(\d+)/(\d+) fits", text)[1]) for text in bar.texts]
    assert set(counts) >= ({*range(0, 13, 2), n_fits} if n_jobs else set(range(n_fits + 1))) - {0}
    assert counts == sorted(counts) and f"{n_fits}/{n_fits} fits" in bar.texts[-1]
    assert np.all(np.diff(bar.shares) >= 0) and bar.shares[-1] == 1 and not bar.is_open
    assert bar.threads == {threading.get_ident()}


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_the_bar_of_a_path(drawn, l1_ratio):
    """Counts the fits, one by one; fits of small data together, too."""
    softmax_path(X, y, n_Cs=5, l1_ratio=l1_ratio, verbose=1)
    (bar,) = drawn
    counts = [int(re.search(r"(\d)/5 fits", text)[1]) for text in bar.texts]
    assert {*counts} >= {1, 2, 3, 4, 5} and counts == sorted(counts) and bar.name == "softmax_path"
    assert np.all(np.diff(bar.shares) >= 0) and bar.shares[-1] == 1


def test_lines_of_a_path(caplog):
    """One for each C, in the order of the fits."""
    path = softmax_path(X, y, Cs=[1.0, 0.1], verbose=1)
    found = [record.getMessage() for record in caplog.records]
    for line, i, n in zip(found, (1, 0), (1, 2), strict=True):
        assert line.startswith(
            f"[softmax_path] C = {path.Cs[i]:.3g}: objective {path.objectives[i]:#.9g} nats, "
            f"{path.n_iters[i]} iterations, gap {path.dual_gaps[i]:.2e} nats; {n} of 2 fits"
        )
    with pytest.raises(ValueError, match="'verbose'"):
        softmax_path(X, y, verbose=-1)


def test_nothing_is_shown_without_verbose(drawn, capfd, caplog):
    """No line, no bar."""
    SoftmaxRegression().fit(X, y)
    SoftmaxRegressionCV(Cs=2, cv=2).fit(X, y)
    softmax_path(X, y, n_Cs=2)
    assert capfd.readouterr() == ("", "") and drawn == [] == caplog.records


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("fit", [
    lambda: SoftmaxRegression(verbose=1).fit(X, y),
    lambda: SoftmaxRegressionCV(Cs=[0.01, 0.1], cv=2, l1_ratios=[1], verbose=1).fit(X, y),
    lambda: softmax_path(X, y, n_Cs=2, verbose=1),
], ids=["fit", "cv", "path"])
def test_an_interrupted_fit_closes_its_bar(drawn, monkeypatch, fit, error):
    """Nothing is left open, and the next fit has its bar."""
    def raises(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "iterated", raises)
        with pytest.raises(error):
            fit()
    fit()
    assert [bar.is_open for bar in drawn] == [False, False]
    assert drawn[0].shares[-1] < 1 and drawn[1].shares[-1] == 1


def test_a_search_in_threads_has_one_bar_at_a_time(drawn, monkeypatch):
    """Fits beside a bar show nothing; every bar is drawn by one thread."""
    n_open = []
    made = Bar.__init__

    def count(self, name):
        n_open.append(sum(bar.is_open for bar in drawn))
        made(self, name)

    monkeypatch.setattr(Bar, "__init__", count)
    with parallel_config("threading"):
        GridSearchCV(
            SoftmaxRegression(verbose=1, solver="lbfgs"), {"C": [0.1, 1, 10]}, cv=3, n_jobs=2
        ).fit(X, y)
    assert n_open and set(n_open) == {0} and all(len(bar.threads) == 1 for bar in drawn)


def test_other_threads_and_processes_show_nothing(drawn):
    """Their reports are left out; copies are silent and can be pickled."""
    with Progress("path", 1, 4) as shown:
        thread = threading.Thread(target=shown.fitted)
        thread.start()
        thread.join()
        for silent in (pickle.loads(pickle.dumps(shown)), copy.copy(shown)):
            with silent:
                silent.fitted("text")
        shown.fitted("text")
    (bar,) = drawn
    assert " 25% 1/4 fits" in bar.texts[-1] and bar.lines == []


def test_lines_beside_the_callbacks_of_scikit_learn(drawn, caplog):
    """These may draw bars of their own."""
    pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
    from .test_callbacks import Recorder

    recorder = Recorder()
    model = SoftmaxRegression(verbose=1, solver="lbfgs").set_callbacks(recorder).fit(X, y)
    assert len(caplog.records) == model.n_iter_[0] == len(recorder.ended) and drawn == []


def test_rows_in_blocks_and_on_a_cluster(client, caplog):
    """`RowBlocks` and `DaskSoftmaxRegression` write the same lines."""
    da = pytest.importorskip("dask.array")
    from softmax_reg.dask import DaskSoftmaxRegression

    rows = da.from_array(X, chunks=(50, 4)), da.from_array(y, chunks=50)
    for model, given in (
        (SoftmaxRegression(verbose=1, solver="lbfgs"), (RowBlocks(X), y)),
        (DaskSoftmaxRegression(client=client, verbose=1, solver="lbfgs"), rows),
    ):
        caplog.clear()
        model.fit(*given)
        lines = [r.getMessage() for r in caplog.records if r.name == "softmax_reg"]
        assert len(lines) == model.n_iter_[0]
        assert all(LINE.fullmatch(line)[1] == type(model).__name__ for line in lines)


def test_shares_of_any_gaps():
    """From 0 to 1 for all finite gaps and tolerances."""
    gaps = [0.0, 1e-300, 1e-16, 1e-4, 0.3, 1.0]
    for first, gap, tol in itertools.product(gaps, gaps, [*gaps, 10.0]):
        share = progress._share(first, gap, tol)
        assert 0 <= share <= 1 and (share == 1 or gap > tol)
