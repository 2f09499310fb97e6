"""Forests and marginal effects draw the numbers of their results, and all that is asked for."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg import ForestDisplay, MarginalEffectsDisplay, SoftmaxRegression

from ..problems import bundled

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    matplotlib.pyplot.close("all")


def wine():
    """Alcohol and ash, which separate no classes; labels of words."""
    X, y = bundled("wine")
    return X[:, [0, 2]], np.array(["a", "b", "c"])[y]


def fitted(X, y, **parameters):
    return SoftmaxRegression(**{"C": np.inf, "tol": 1e-10, **parameters}).fit(X, y)


@pytest.fixture(scope="module")
def result():
    X, y = wine()
    return fitted(X, y).inference(X, y, reference="b")


@pytest.fixture(scope="module")
def effects(result):
    return result.marginal_effects(wine()[0])


def points(display):
    """Estimates on the x axis, (n_classes, n_features)."""
    return np.array([line.get_xdata() for line in display.lines_])


def ends(display):
    """Ends of the intervals on the x axis, (n_classes, n_features, 2), and their heights."""
    segments = np.array([bar.get_segments() for bar in display.bars_])
    assert_array_equal(segments[..., 0, 1], [line.get_ydata() for line in display.lines_])
    return segments[..., 0]


def named(display):
    return [text.get_text() for text in display.ax_.get_yticklabels()]


def legend(display):
    found = display.ax_.get_legend()
    return found.get_title().get_text(), [text.get_text() for text in found.get_texts()]


def no_effect(display):
    """Where the line of no effect is."""
    return display.ax_.lines[0].get_xdata()[0]


def has_overlaps(texts):
    """Whether texts that are drawn cover each other, in pixels."""
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(
        box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[i + 1:]
    )


def assert_readable(display):
    """Ticks do not overlap, and all texts are inside the figure."""
    display.figure_.canvas.draw()
    axis = display.ax_
    low, high = axis.get_xlim()
    shown = [tick.label1 for tick in axis.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert len(shown) >= 2 and not has_overlaps(shown)
    assert not has_overlaps(axis.get_yticklabels())
    frame = display.figure_.bbox.padded(1)
    for box in (axis.get_tightbbox(), *(text.get_window_extent() for text in
                                        axis.get_yticklabels())):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_coefficients_and_intervals(result):
    """Estimates and conf_int(alpha) without the intercept, features from top to bottom."""
    display = ForestDisplay.from_result(result, alpha=0.1)
    assert_array_equal(points(display), result.params[:, 1:])
    assert_array_equal(ends(display), result.conf_int(0.1)[:, 1:])
    assert named(display) == ["x0", "x1"]
    assert legend(display) == ("against b", ["a", "c"])
    assert display.ax_.get_xlabel() == "coefficient, 90 % interval"
    assert display.ax_.get_xscale() == "linear" and no_effect(display) == 0
    bottom, top = display.ax_.get_ylim()
    heights = np.array([line.get_ydata() for line in display.lines_])
    assert bottom > heights.T.ravel()[-1] and (np.diff(heights.T.ravel()) > 0).all() and top == 0
    assert_readable(display)


def test_odds_ratios(result):
    """Exponentials on a logarithmic axis, the line at 1; the intercept if asked for."""
    display = ForestDisplay.from_result(result, odds_ratios=True, intercept=True)
    ratio, lower, upper = result.odds_ratios()
    assert_allclose(points(display), ratio, rtol=1e-14)
    assert_allclose(ends(display), np.stack([lower, upper], axis=-1), rtol=1e-12)
    assert named(display) == ["Intercept", "x0", "x1"]
    assert display.ax_.get_xscale() == "log" and no_effect(display) == 1
    assert_readable(display)
    assert_readable(display.plot(features=["x1"], classes=["a"], odds_ratios=True))


def test_features_and_classes_are_chosen_in_order(result, effects):
    """By name or index, drawn from top to bottom; one class has a title, not a legend."""
    for display, values, title in (
        (ForestDisplay.from_result(result, features=["x1", "x0"], classes=["c"]),
         result.params[1:, [2, 1]], "c against b"),
        (MarginalEffectsDisplay.from_effects(effects, features=[1, 0], classes="c"),
         effects.effects[2:, [1, 0]], "c"),
    ):
        assert_array_equal(points(display), values)
        assert named(display) == ["x1", "x0"]
        assert display.ax_.get_title() == title and display.ax_.get_legend() is None
        assert display.plot(features="x0") is display and len(display.lines_) > 1


def test_effects_and_intervals(effects):
    """All classes, the kind and the place in the label."""
    display = MarginalEffectsDisplay.from_effects(effects, alpha=0.2)
    assert_array_equal(points(display), effects.effects)
    assert_array_equal(ends(display), effects.conf_int(0.2))
    assert legend(display)[1] == ["a", "b", "c"] and no_effect(display) == 0
    assert display.ax_.get_xlabel() == (
        "change of the probability per unit of the feature\nmean over the rows, 80 % interval"
    )
    assert_readable(display)


@pytest.mark.parametrize("kind", ["eyex", "dyex", "eydx"])
def test_other_effects_say_what_they_are(result, kind):
    """The quantity, at the mean row; dummies are marked."""
    X, _ = wine()
    dummy = () if kind.endswith("ex") else ["x1"]
    effects = result.marginal_effects(X, kind=kind, at="mean", dummy=dummy)
    display = MarginalEffectsDisplay.from_effects(effects)
    assert "in the mean row, 95 % interval" in display.ax_.get_xlabel()
    assert named(display) == ["x0", "x1 (0 to 1)" if dummy else "x1"]
    assert_readable(display)


def test_rows_that_sum_to_zero_and_penalties_say_so():
    """What zero means, and that estimates are shrunken; without an intercept there is none."""
    X, y = wine()
    X = X - X.mean(axis=0)
    result = fitted(X, y, C=0.5, fit_intercept=False).inference(X, y, cov_type="bayes")
    display = ForestDisplay.from_result(result)
    assert_array_equal(points(display), result.params)
    assert display.ax_.get_xlabel() == (
        "coefficient, 95 % interval\nrelative to the mean of all classes\n"
        "shrunken by the penalty, C=0.5"
    )
    assert legend(display) == ("", ["a", "b", "c"])
    with pytest.raises(ValueError, match="intercept must be False: the model has no intercept"):
        display.plot(intercept=True)


def test_two_classes():
    """One row, of the second class against the first."""
    X, y = wine()
    keep = y != "c"
    result = fitted(X[keep], y[keep]).inference(X[keep], y[keep])
    display = ForestDisplay.from_result(result)
    assert display.ax_.get_title() == "b against a" and len(display.lines_) == 1
    assert_readable(display)


def test_odds_ratios_beyond_the_range_are_arrows():
    """A column in tiny units: arrows at the ends that overflow, the others where they are."""
    X, y = wine()
    X = X * [1.0, 1e-3]
    result = fitted(X, y).inference(X, y, reference="b")
    assert np.isinf(result.odds_ratios().upper).all(axis=0).tolist() == [False, False, True]
    display = ForestDisplay.from_result(result, odds_ratios=True)
    expected = np.clip(result.conf_int()[:, 1:], -100 * np.log(10), 100 * np.log(10))
    assert_allclose(np.log(ends(display)), expected, rtol=1e-12)
    arrows = [line for line in display.ax_.lines if line.get_marker() in ("<", ">")]
    found = sum(len(line.get_xdata()) for line in arrows)
    logs = np.concatenate([result.params[:, 1:, None], result.conf_int()[:, 1:]], axis=-1)
    assert found == np.count_nonzero(np.abs(logs) > 100 * np.log(10)) > 0
    assert "arrows: below 1e-100 or above 1e100" in display.ax_.get_xlabel()
    assert_readable(display)
    assert_readable(display.plot(features=["x1"], classes=["a"], odds_ratios=True))


def test_many_classes_and_long_names():
    """Each class has its own colour and marker; names are wrapped and drawn as they are."""
    rng = np.random.default_rng(0)
    estimates = rng.standard_normal((23, 3))
    intervals = np.stack([estimates - 1, estimates + 1], axis=-1)
    names = ["_price in $ or $_{x", "x" * 200, " ".join(["many words"] * 20)]
    classes = [f"_class {k}, {'long ' * (6 * (k % 4))}" for k in range(23)]
    display = ForestDisplay(
        estimates, intervals, class_names=classes, feature_names=names, reference="a $ b $"
    ).plot()
    looks = {(line.get_color(), line.get_marker()) for line in display.lines_}
    assert len(looks) == 23 and len(legend(display)[1]) == 23
    assert all(text.count("\n") < 3 for text in named(display))
    assert_readable(display)
    assert display.figure_.get_size_inches()[1] > 23 * 3 * 0.15
    assert_readable(display.plot(features=[0]))    # the legend is taller than the intervals


def test_axes_of_the_user(result, effects):
    """Drawn there, and no figure is made."""
    axes = Figure().subplots(2)
    displays = (ForestDisplay.from_result(result, ax=axes[0]),
                MarginalEffectsDisplay.from_effects(effects, ax=axes[1]))
    for display, axis in zip(displays, axes, strict=True):
        assert display.ax_ is axis and display.figure_ is axis.figure
    assert not matplotlib.pyplot.get_fignums()


def test_what_is_refused(result, effects):
    """Other results, unknown classes and features, a wrong alpha, more than a figure can hold."""
    with pytest.raises(TypeError, match="must be an InferenceResult, got MarginalEffects"):
        ForestDisplay.from_result(effects)
    with pytest.raises(TypeError, match="must be MarginalEffects, got InferenceResult"):
        MarginalEffectsDisplay.from_effects(result)
    for draw, what in ((ForestDisplay.from_result, result),
                       (MarginalEffectsDisplay.from_effects, effects)):
        for options, message in (
            ({"classes": ["d"]}, "classes must be some of"), ({"features": [2]}, "features must"),
            ({"features": ["Intercept"]}, "features must"), ({"features": []}, "0 intervals"),
            ({"alpha": 5}, "alpha must be between 0 and 1"),
        ):
            with pytest.raises(ValueError, match=message):
                draw(what, **options)
    many = np.zeros((3, 200))
    display = ForestDisplay(
        many, np.zeros((3, 200, 2)), class_names=[*"abc"], feature_names=np.arange(200)
    )
    with pytest.raises(ValueError, match="600 intervals, of 3 classes and 200 features.*Choose"):
        display.plot()


def test_without_matplotlib_the_error_says_what_to_install(result, effects, monkeypatch):
    """Naming the display."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw, what in ((ForestDisplay.from_result, result),
                       (MarginalEffectsDisplay.from_effects, effects)):
        message = "Display.plot needs matplotlib: .*pip install matplotlib"
        with pytest.raises(ImportError, match=message):
            draw(what)
