"""Text and HTML of results hold the same facts, numbers and notes; names are escaped."""

from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.datasets import load_wine

from softmax_reg import SoftmaxRegression
from softmax_reg.inference import summary

WINE = load_wine()
# Alcohol and ash: no class is separated by them.
X, Y = WINE.data[:, [0, 2]], np.array(["a", "<b>", "c & d"])[WINE.target]


class Cells(HTMLParser):
    """Rows of cells, with entities resolved, and all text; `balance` of tags that are open."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.text, self.open, self.spans = [], "", [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.spans.append(int(dict(attributes).get("rowspan", 1)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data


def infer(**options):
    return SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, Y).inference(X, Y, **options)


@pytest.fixture(scope="module")
def results():
    """A result of each kind, by name."""
    against, coded = infer(reference="a"), infer(cov_type="HC0")
    penalised = SoftmaxRegression(C=0.5).fit(X, Y).inference(X, Y, cov_type="bayes")
    return {
        "against": against, "coded": coded, "penalised": penalised,
        "overall": against.marginal_effects(X),
        "mean": coded.marginal_effects(X, at="mean", kind="eydx", dummy=["x1"]),
    }


@pytest.mark.parametrize("name", ["against", "coded", "penalised", "overall", "mean"])
def test_text_and_html_hold_the_same(results, name):
    """Every fact, estimate and note of the text is in the HTML, and the other way round."""
    result = results[name]
    title, estimate, heads, facts, notes = result._description()
    text, cells = result.summary(), Cells(result._repr_html_())
    for part in (title, *heads, *(f"{fact}:" for fact, _ in facts)):
        assert part in text
        assert part.rstrip(":") in cells.text
    words = " ".join(text.split())
    for note in notes:
        assert note in words and note in cells.text
    n_rows, n_columns = result._estimates.shape
    n_facts = len(facts) // 2
    assert [cell for row in cells.rows[:n_facts] for cell in row] == [
        part for fact in facts for part in fact
    ]
    assert cells.rows[n_facts] == ["", "", estimate, "std err", "z", "P>|z|", "[0.025", "0.975]"]
    body = cells.rows[n_facts + 1:]
    assert len(body) == n_rows * n_columns
    lines = text.splitlines()
    for k in range(n_rows):
        rows = body[k * n_columns:][:n_columns]
        assert rows[0].pop(0) == heads[k]
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{heads[k]} "))
        for j, row in enumerate(rows):
            assert lines[start + 1 + j].split() == row
            assert row[0] == result.feature_names[j]
            assert float(row[1]) == pytest.approx(result._estimates[k, j], rel=1e-3, abs=1e-4)
    assert cells.spans.count(n_columns) == n_rows


def test_names_are_escaped():
    """Names of features and labels are text, not tags."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["<script>alert(1)</script>", 'a "b" & c'])
    result = SoftmaxRegression(C=np.inf, tol=1e-10).fit(frame, Y).inference(frame, Y)
    for table in (result, result.marginal_effects(frame, dummy=[frame.columns[0]])):
        html = table._repr_html_()
        assert "<script>" not in html and "<b>" not in html and " & " not in html
        cells = Cells(html)
        for name in (*frame.columns, "<b>", "c & d"):
            assert name in cells.text and name in table.summary()


def test_long_tables_say_what_is_left_out(results, monkeypatch):
    """In HTML alone: notebooks show it without being asked."""
    result = results["coded"]
    monkeypatch.setattr(summary, "_MOST_ROWS", 5)
    cells = Cells(result._repr_html_())
    assert "4 of 9 rows are left out here: summary() has all." in cells.text
    assert len(cells.rows) == 5 + 1 + 5 and cells.spans.count(3) == 1 and cells.spans.count(2) == 1
    assert "left out" not in result.summary()


def test_notes_say_what_the_numbers_are(results):
    """The penalty, the coding and the kind of effect; lines fit a terminal of 99 columns."""
    assert "Conditional on C=0.5" in results["penalised"].summary()
    assert "sum to zero" in results["coded"].summary()
    assert "sum to zero" not in results["against"].summary()
    text = results["mean"].summary(alpha=0.1)
    for part in ("d log q / d x; in the mean row", "from 0 to 1: x1.", "ey/dx", "[0.05", "delta"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 99
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        results["mean"].summary(alpha=95)
