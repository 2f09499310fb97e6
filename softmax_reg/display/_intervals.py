"""Intervals of estimates by feature and class: what forests and marginal effects share."""

import textwrap

import numpy as np

from ..inference.contrasts import positions_of
from ._axes import axes_or_new, label_decades, rows_of

# Markers of the first ten classes, the next ten and so on, each with matplotlib's ten colours.
_MARKERS = "osD^vP*X"
_N_COLOURS = 10
# In inches: widths of the axes and of a character; heights of a line, of the title and the labels
# of the x axis, and of a line in the legend.
_WIDTH, _CHARACTER, _LINE, _MARGINS, _LEGEND_LINE = 4.0, 0.075, 0.17, 1.1, 0.145
# Longest line of a feature's name, in characters, and lines of a name; the rest is cut.
_CHARACTERS, _MOST_LINES = 28, 3
# Largest number of intervals in a figure: up to 274 inches of height, so matplotlib's 2**16 pixels
# are enough for 200 dots per inch.
_MOST_INTERVALS = 400


def intervals_chosen(display, classes, features):
    """Return (rows, columns) of the estimates to draw, from names or positions.

    Raises
    ------
    ValueError
        If a class or a feature is not there, or there are too many intervals.
    """
    rows = rows_of(display.class_names, classes)
    names = [str(name) for name in display.feature_names]
    columns = list(range(len(names))) if features is None else positions_of(
        features, names, "features"
    )
    if not columns or len(rows) * len(columns) > _MOST_INTERVALS:
        raise ValueError(
            f"The figure would hold {len(rows) * len(columns)} intervals, of {len(rows)} classes "
            f"and {len(columns)} features, and can hold 1 to {_MOST_INTERVALS}. Choose some with "
            "features= and classes=."
        )
    return rows, columns


def draw_intervals(
    caller, ax, middles, ends, feature_labels, class_labels, *, label, against="", is_log=False
):
    """Draw a group of intervals for each feature, from top to bottom, an interval a class.

    Parameters
    ----------
    caller : str
        Name of the display, for messages.
    ax : matplotlib Axes or None
    middles : ndarray of shape (n_classes, n_features)
    ends : ndarray of shape (n_classes, n_features, 2)
        Lower and upper ends of the intervals around `middles`, finite.
    feature_labels, class_labels : sequences of str
    label : str
        Label of the x axis.
    against : str
        What classes are compared with, for the legend; of one class, the title says it.
    is_log : bool
        Whether the x axis is logarithmic, and 1 instead of 0 is no effect.

    Returns
    -------
    ax : matplotlib Axes
    lines, bars : lists of matplotlib Line2D and LineCollection
        Points and intervals of each class.
    """
    labels = [_plain(name) for name in feature_labels]
    n_classes = len(class_labels)
    title = _plain(against if n_classes > 1 else f"{class_labels[0]} {against}")
    legend = [_plain(name) for name in class_labels] if n_classes > 1 else []
    groups = np.array([max(n_classes, 1 + text.count("\n")) + 1.0 for text in labels])
    tops = np.cumsum(groups) - groups
    ax = axes_or_new(caller, ax, figsize=_size(labels, legend and [title, *legend], groups.sum()))
    ax.set(xlabel=label, xscale="log" if is_log else "linear")
    ax.axvline(float(is_log), color="black", linewidth=0.8, zorder=1)
    for top, group in list(zip(tops, groups, strict=True))[1::2]:
        ax.axhspan(top, top + group, color="0.95", zorder=0)
    lines, bars = [], []
    for k in range(n_classes):
        heights = tops + groups / 2 + k - (n_classes - 1) / 2
        colour = f"C{k % _N_COLOURS}"
        # Not errorbar: a length, middle minus end, would round small odds ratios to zero.
        bars.append(ax.hlines(heights, *ends[k].T, color=colour, linewidth=1.2))
        lines += ax.plot(
            middles[k], heights, color=colour, linestyle="none", markersize=4.5,
            marker=_MARKERS[k // _N_COLOURS % len(_MARKERS)],
        )
    ax.set_yticks(tops + groups / 2, labels)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(groups.sum(), 0)
    if is_log:
        label_decades(ax)
    if legend:
        # Beside the axes: no place inside is free for all data.
        ax.legend(lines, legend, title=title, fontsize="small", loc="upper left",
                  bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
    else:
        ax.set_title(title)
    return ax, lines, bars


def _size(labels, legend, n_lines):
    """Return (width, height) in inches of a new figure that has room for names and legend."""
    longest = [max((len(line) for text in texts for line in text.split("\n")), default=0)
               for texts in (labels, legend)]
    width = _WIDTH + _CHARACTER * sum(longest) + 0.5 * bool(legend)
    n_legend = sum(1.5 + text.count("\n") for text in legend)
    return width, max(_MARGINS + _LINE * n_lines, 0.5 + _LEGEND_LINE * n_legend)


def percent(alpha):
    """Return the coverage of intervals as text."""
    return f"{100 * (1 - alpha):.6g} %"


def _plain(name):
    """Return a name in short lines, without mathematics.

    A label that begins with an underscore would be missing in legends.
    """
    lines = textwrap.wrap(str(name), _CHARACTERS, max_lines=_MOST_LINES, placeholder=" ...")
    text = "\n".join(lines).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
