"""Displays hold the values of the model, draw them, and refuse what they cannot draw."""

import itertools
import pickle
import sys
import time

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from softmax_reg import (
    CoefficientDisplay,
    ConvergenceDisplay,
    RegularizationPathDisplay,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    softmax_path,
)

from ..problems import bundled

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def iris():
    X, y = bundled("iris")
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def model(iris):
    return SoftmaxRegression(solver="lbfgs", tol=1e-4).fit(*iris)


@pytest.fixture(scope="module")
def searched(iris):
    search = SoftmaxRegressionCV(Cs=[1.0, 0.01, 0.1], cv=3, l1_ratios=[0.5, 1.0], tol=1e-4)
    return search.fit(*iris)


def drawn(line):
    """Its finite points (x, y)."""
    x, y = line.get_data()
    return np.asarray(x)[np.isfinite(y)], np.asarray(y)[np.isfinite(y)]


@pytest.mark.parametrize("x", ["iteration", "seconds"])
def test_convergence_draws_the_history(model, x):
    """gap / objective and objective / last - 1, where positive."""
    display = ConvergenceDisplay.from_estimator(model, x=x)
    history, (gaps, left) = model.history_, display.lines_
    assert_array_equal(drawn(gaps)[0], history[x])
    assert_allclose(drawn(gaps)[1], history["gap"] / model.objective_)
    assert_allclose(drawn(left)[1], (history["objective"] / model.objective_ - 1)[:-1])
    assert display.ax_.get_yscale() == "log"
    assert gaps.get_label().startswith("SoftmaxRegression, lbfgs: ")
    display.figure_.canvas.draw()


def test_a_copy_has_no_seconds_to_draw(model, iris):
    """Equal fits have equal pickles, so that caches recognise them."""
    copy = pickle.loads(pickle.dumps(model))
    assert set(model.history_) - set(copy.history_) == {"seconds"}
    again = SoftmaxRegression(**model.get_params()).fit(*iris)
    assert joblib.hash(again) == joblib.hash(model)
    assert_array_equal(ConvergenceDisplay.from_estimator(copy).lines_[0].get_xdata(),
                       model.history_["iteration"])
    with pytest.raises(ValueError, match="x='seconds' is not in the history: a pickle or copy"):
        ConvergenceDisplay.from_estimator(copy, x="seconds")


def test_convergence_without_a_bound_draws_the_objective(iris):
    """Infinite gaps are left out; two models share axes, colours tell them apart."""
    X, y = bundled("wine", standardised=True)
    keep = np.arange(len(y)) % 3 < 2    # any rows do
    unpenalised = SoftmaxRegression(C=np.inf, max_iter=3)
    with pytest.warns(UserWarning):
        unpenalised.fit(X[keep], y[keep])
    axis = Figure().subplots()
    first = ConvergenceDisplay.from_estimator(unpenalised, ax=axis, name="a")
    assert first.ax_ is axis and len(drawn(first.lines_[0])[0]) == 0
    assert len(drawn(first.lines_[1])[0]) > 0
    second = ConvergenceDisplay(unpenalised.history_).plot(ax=axis, color="red")
    assert second.lines_[0].get_label() == "duality gap (certified)"
    assert {line.get_color() for line in second.lines_} == {"red"}
    assert first.lines_[1].get_color() == first.lines_[0].get_color() != "red"


@pytest.mark.parametrize("x", ["iteration", "seconds"])
def test_the_legend_of_convergence_hides_no_point(model, x):
    """All points are below it; limits that the caller has set stay."""
    display = ConvergenceDisplay.from_estimator(model, x=x)
    display.figure_.canvas.draw()
    bottom = display.ax_.get_legend().get_window_extent().y0
    for line in display.lines_:
        places = display.ax_.transData.transform(np.column_stack(drawn(line)))
        assert places[:, 1].max() < bottom
    ConvergenceDisplay.from_estimator(model, x=x, ax=display.ax_)
    assert display.ax_.get_autoscaley_on()
    axis = Figure().subplots()
    axis.set_yscale("log")
    axis.set_ylim(1e-9, 1)
    ConvergenceDisplay.from_estimator(model, x=x, ax=axis)
    assert axis.get_ylim() == (1e-9, 1)


def test_convergence_refuses(model, searched):
    """Unfitted, an axis that is not there, a search without a refit."""
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(SoftmaxRegression())
    with pytest.raises(ValueError, match=r"x must be one of \['iteration', 'seconds'\], got 'c'"):
        ConvergenceDisplay.from_estimator(model, x="c")
    with pytest.raises(NotFittedError, match="LogisticRegression has no history_"):
        ConvergenceDisplay.from_estimator(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    assert ConvergenceDisplay.from_estimator(searched).lines_


def test_path_draws_what_the_path_holds(iris):
    """Norms, coefficients of a class, counts, deviance; in order of C, whatever that of Cs."""
    X, y = iris
    path = softmax_path(X, y, Cs=[1.0, 0.01, 0.1], tol=1e-4)
    order = [1, 2, 0]
    names = ["a", "b", "c", "d"]
    display = RegularizationPathDisplay.from_path(path, feature_names=names)
    for j, line in enumerate(display.lines_):
        assert_array_equal(line.get_xdata(), path.Cs[order])
        assert_allclose(line.get_ydata(), np.linalg.norm(path.coefs[order, :, j], axis=1))
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    last = np.linalg.norm(path.coefs[0], axis=0)
    assert shown == [names[j] for j in np.argsort(-last) if last[j] > 0]
    display.plot(kind="coefficients", class_name="virginica")
    assert_allclose([line.get_ydata() for line in display.lines_], path.coefs[order, 2].T)
    assert display.ax_.get_ylabel() == "coefficient, class virginica"
    display.plot(kind="nonzeros")
    assert_array_equal(display.lines_[0].get_ydata(), path.degrees_of_freedom[order])
    display.plot(kind="deviance")
    assert_array_equal(display.lines_[0].get_ydata(), path.deviances_explained[order])
    display.figure_.canvas.draw()
    with pytest.raises(ValueError, match="kind must be one of .*'deviance'.* here, got 'score'"):
        display.plot(kind="score")
    with pytest.raises(ValueError, match="class_name must be one of .*setosa.*, got 'rose'"):
        display.plot(kind="coefficients", class_name="rose")
    with pytest.raises(ValueError, match="feature_names must be 4 names, .* shape \\(1,\\)"):
        RegularizationPathDisplay.from_path(path, feature_names=["a"])


def test_a_path_keeps_the_names_of_columns():
    """Those of a DataFrame; an array has none."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    display = RegularizationPathDisplay.from_path(softmax_path(X, y, n_Cs=3))
    assert display.feature_names.tolist() == X.columns.tolist()
    assert softmax_path(X.to_numpy(), y, n_Cs=3).feature_names_in_ is None


def test_path_draws_the_scores_of_a_search(searched):
    """Mean over folds, a band of one standard error, the chosen C; at the chosen l1_ratio."""
    display = RegularizationPathDisplay.from_estimator(searched)
    i = list(searched.l1_ratios_).index(searched.l1_ratio_)
    scores = searched.scores_[:, i][:, [1, 2, 0]]
    assert_array_equal(display.lines_[0].get_xdata(), [0.01, 0.1, 1.0])
    assert_allclose(display.lines_[0].get_ydata(), scores.mean(axis=0))
    (band,) = display.ax_.collections
    upper = band.get_paths()[0].vertices[:, 1].max()
    assert_allclose(upper, (scores.mean(axis=0) + scores.std(axis=0, ddof=1) / 3**0.5).max())
    assert "neg_log_loss" in display.ax_.get_ylabel()
    marked = [line.get_xdata()[0] for line in display.ax_.lines if line.get_linestyle() == ":"]
    assert marked == [searched.C_]
    display.plot(kind="nonzeros")
    coefs = searched.coefs_paths_[:, i, :, :, :-1]
    counts = np.count_nonzero(coefs, axis=(2, 3)).mean(axis=0)
    assert_allclose(display.lines_[0].get_ydata(), counts[[1, 2, 0]])
    with pytest.raises(ValueError, match="got 'deviance'"):
        display.plot(kind="deviance")


def test_drawing_does_not_depend_on_the_clock(model, searched, monkeypatch):
    """No search for the legend's best place, of which matplotlib warns after a second."""
    seconds = itertools.count(step=100)
    monkeypatch.setattr(time, "perf_counter", lambda: next(seconds))
    ConvergenceDisplay.from_estimator(model).figure_.canvas.draw()
    for kind in ("norms", "coefficients", "nonzeros", "score"):
        display = RegularizationPathDisplay.from_estimator(searched, kind=kind)
        display.figure_.canvas.draw()


def test_coefficients_are_the_largest_of_each_class(model, iris):
    """Bars from the largest down, without zeros; the sign tells the colour."""
    display = CoefficientDisplay.from_estimator(
        model, feature_names=["a", "b", "c", "d"], n_features=3, classes=["virginica"]
    )
    (axis,) = display.axes_
    order = np.argsort(-np.abs(model.coef_[2]))[:3][::-1]
    assert_allclose([bar.get_width() for bar in axis.patches], model.coef_[2, order])
    assert [text.get_text() for text in axis.get_yticklabels()] == [*np.array([*"abcd"])[order]]
    colours = [bar.get_facecolor() for bar in axis.patches]
    assert len(set(colours)) == len(set(np.sign(model.coef_[2, order])))
    assert axis.get_title() == "virginica"
    sparse_model = SoftmaxRegression(C=0.02, l1_ratio=1.0, tol=1e-4).fit(*iris).sparsify()
    display = CoefficientDisplay.from_estimator(sparse_model)
    assert sum(len(axis.patches) for axis in display.axes_) == sparse_model.coef_.nnz
    display.figure_.canvas.draw()


def test_coefficients_of_a_binary_model_speak_for_the_second_class(iris):
    """One drawing, titled by classes_[1]; names of the columns of a data frame."""
    pandas = pytest.importorskip("pandas")
    X, y = iris
    frame = pandas.DataFrame(X[:100], columns=["a", "b", "c", "d"])
    model = SoftmaxRegression(tol=1e-4).fit(frame, y[:100])
    (axis,) = CoefficientDisplay.from_estimator(model).axes_
    assert axis.get_title() == "versicolor"
    assert {text.get_text() for text in axis.get_yticklabels()} == {*"abcd"}


def test_coefficients_as_images_share_one_scale(model):
    """Pixels are the coefficients; limits symmetric, the same for all."""
    display = CoefficientDisplay.from_estimator(model, image_shape=(2, 2))
    limit = np.abs(model.coef_).max()
    for axis, row in zip(display.axes_, model.coef_, strict=True):
        (image,) = axis.images
        assert_array_equal(image.get_array(), row.reshape(2, 2))
        assert image.get_clim() == (-limit, limit)
    display.figure_.canvas.draw()
    with pytest.raises(ValueError, match=r"must hold n_features=4 pixels, got \(3, 3\)"):
        display.plot(image_shape=(3, 3))


def test_coefficients_on_axes_of_the_user(model):
    """As many as classes are drawn."""
    axes = Figure().subplots(1, 3)
    display = CoefficientDisplay.from_estimator(model, ax=axes)
    assert [*display.axes_] == [*axes]
    with pytest.raises(ValueError, match="ax must be 1 axes, .* got 3"):
        display.plot(ax=axes, classes="setosa")
    with pytest.raises(ValueError, match="classes must be some of .*setosa.*, got 'rose'"):
        display.plot(classes="rose")


def test_without_matplotlib_the_error_says_what_to_install(model, searched, monkeypatch):
    """Naming the display; making one without drawing works."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for display, fitted in (
        (ConvergenceDisplay, model), (CoefficientDisplay, model),
        (RegularizationPathDisplay, searched),
    ):
        message = rf"{display.__name__}.plot needs matplotlib: .*pip install matplotlib"
        with pytest.raises(ImportError, match=message):
            display.from_estimator(fitted)
    assert ConvergenceDisplay(model.history_).history is model.history_
