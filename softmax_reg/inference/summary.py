"""Tables of estimates as text, HTML and DataFrames, from one `Description` and the numbers."""

import textwrap
from html import escape

import numpy as np

_WIDTH = 80
# Largest number of rows of an HTML table, which notebooks show without being asked for it.
_MOST_ROWS = 200
_LEFT = "text-align: left"
_TOP = "text-align: left; vertical-align: top"


def _columns(result, estimate, alpha):
    """Return the names and the flat values of the table's columns."""
    ends = result.conf_int(alpha)
    ratio = "z" if result.df_inference == np.inf else "t"
    names = (estimate, "std err", ratio, f"P>|{ratio}|", f"[{alpha / 2:.3g}",
             f"{1 - alpha / 2:.3g}]")
    values = (result._estimates, result.bse, result.zvalues, result.pvalues, ends[..., 0],
              ends[..., 1])
    return names, [value.ravel() for value in values]


def frame_of(result, alpha):
    """Return the table as a pandas DataFrame; see `EstimateTable.summary_frame`."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(
            "summary_frame needs pandas: python -m pip install pandas. The attributes, and "
            "summary(), do without."
        ) from None
    names, values = _columns(result, result._description().estimate, alpha)
    index = pd.MultiIndex.from_product(
        [result.class_names, result.feature_names], names=["class", "feature"]
    )
    return pd.DataFrame(dict(zip(names, values, strict=True)), index=index)


def text_of(result, alpha):
    """Return the table as text; see `EstimateTable.summary`."""
    title, estimate, heads, facts, notes = result._description()
    names, values = _columns(result, estimate, alpha)
    label = max(12, *(len(str(name)) for name in (*heads, *result.feature_names))) + 2
    width = max(_WIDTH, label + 6 * 11)
    pairs = [f"{name + ':':<24}{value:>14}" for name, value in facts]
    lines = [title, "=" * width, *map("    ".join, zip(pairs[::2], pairs[1::2], strict=True)),
             "=" * width]
    for head, rows in _rows_by_head(result, heads, values):
        lines.append(head.ljust(label) + "".join(f"{name:>11}" for name in names))
        for feature, numbers in rows:
            lines.append(feature.ljust(label) + "".join(f"{number:>11}" for number in numbers))
        lines.append("-" * width)
    lines[-1] = "=" * width
    return "\n".join([*lines, *(textwrap.fill(note, width) for note in notes)])


def html_of(result, alpha):
    """Return the table as HTML, for notebooks: at most `_MOST_ROWS` rows, and how many are not.

    Names and labels are escaped.
    """
    title, estimate, heads, facts, notes = result._description()
    names, values = _columns(result, estimate, alpha)
    left = _MOST_ROWS
    body = []
    for head, rows in _rows_by_head(result, heads, values):
        if left <= 0:
            break
        rows = rows[:left]
        left -= len(rows)
        first = f'<th rowspan="{len(rows)}" style="{_TOP}">{escape(head)}</th>'
        for feature, numbers in rows:
            cells = "".join(f"<td>{number}</td>" for number in numbers)
            body.append(f'<tr>{first}<th style="{_LEFT}">{escape(feature)}</th>{cells}</tr>')
            first = ""
    n_rows = result._estimates.size
    if n_rows > len(body):
        notes = [f"{n_rows - len(body)} of {n_rows} rows are left out here: summary() has all.",
                 *notes]
    pairs = [f'<th style="{_LEFT}">{escape(name)}</th><td>{escape(value)}</td>'
             for name, value in facts]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", "", *names))
    return "\n".join([
        f"<div><strong>{escape(title)}</strong>",
        "<table>",
        *(f"<tr>{one}{other}</tr>" for one, other in zip(pairs[::2], pairs[1::2], strict=True)),
        "</table>",
        f'<table style="text-align: right">\n<thead><tr>{head}</tr></thead>\n<tbody>',
        *body,
        "</tbody></table>",
        f"<small>{'<br>'.join(map(escape, notes))}</small></div>",
    ])


def _rows_by_head(result, heads, values):
    """Yield (head, [(feature, numbers as text)]) of every row of the estimates."""
    n_columns = len(result.feature_names)
    for k, head in enumerate(heads):
        yield head, [
            (str(feature), [_number(column[k * n_columns + j]) for column in values])
            for j, feature in enumerate(result.feature_names)
        ]


def _number(value):
    size = abs(value)
    return f"{value:.4f}" if size == 0 or 1e-3 <= size < 1e5 else f"{value:.3e}"
