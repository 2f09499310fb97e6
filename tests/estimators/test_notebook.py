"""Tables of estimators in notebooks: tooltips, no links that lead nowhere, short values."""

import re
from html import unescape

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.estimators import notebook

documented = pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_fitted_attr_html"),
    reason="needs scikit-learn 1.9, whose tables have docstrings and fitted attributes",
)


@pytest.fixture(scope="module")
def fitted():
    return SoftmaxRegression().fit(*load_wine(return_X_y=True))


def rows_of(html):
    """{name: (tooltip or None, text of the last cell)} of parameters and fitted attributes."""
    found = {}
    for row in re.findall(r"<tr.*?</tr>", html, re.S):
        match = re.search(r'<td class="param">(.*?)</td>.*<td[^>]*>(.*?)</td>', row, re.S)
        if match:
            name = re.sub(r"<span.*", "", match[1], flags=re.S)
            tooltip = re.search(r'<span class="param-doc-description".*?>(.*?)</span>', match[1],
                                re.S)
            found[re.sub(r"<.*?>", "", name, flags=re.S).strip()] = (
                tooltip and unescape(tooltip[1]), unescape(match[2]).strip()
            )
    return found


@documented
def test_every_parameter_and_attribute_has_its_docstring_as_tooltip(fitted):
    """Also fitted ones; there is no documentation to link to, and no link."""
    html = fitted._repr_html_()
    assert "href" not in html.split("</style>")[1] and "about:" not in html
    rows = rows_of(html)
    assert rows.keys() >= {*fitted.get_params(), "coef_", "history_", "dual_gap_"}
    assert all(tooltip for tooltip, _ in rows.values())
    assert "Relative duality gap at which to stop" in rows["tol"][0]
    assert "Proven upper bound" in rows["dual_gap_"][0]


@documented
def test_names_documented_as_in_another_class_have_its_tooltips():
    """Estimators of cross-validation and of clusters; entries of the class itself come first."""
    model = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=3).fit(*load_wine(return_X_y=True))
    rows = rows_of(model._repr_html_())
    assert rows.keys() >= {*model.get_params(), "C_", "coefs_paths_", "history_"}
    assert all(tooltip for tooltip, _ in rows.values())
    assert "(n_folds, n_l1_ratios, n_Cs)" in rows["n_iter_"][0]
    assert rows["tol"][0] == rows_of(SoftmaxRegression()._repr_html_())["tol"][0]
    pytest.importorskip("distributed")
    from softmax_reg.dask import DaskSoftmaxRegression

    rows = rows_of(DaskSoftmaxRegression()._repr_html_())
    assert all(tooltip for tooltip, _ in rows.values())
    assert "current default client" in rows["client"][0]


@documented
def test_steps_of_a_pipeline_keep_their_links():
    """scikit-learn's own steps are linked as ever, ours not."""
    html = make_pipeline(StandardScaler(), SoftmaxRegression())._repr_html_()
    assert "about:" not in html and "StandardScaler.html" in html
    assert not re.search(r"href=[^>]*softmax_reg", html)


@documented
def test_a_subclass_with_documentation_is_linked():
    """_doc_link_module and _doc_link_template, as scikit-learn has it."""
    class Documented(SoftmaxRegression):
        __doc__ = SoftmaxRegression.__doc__
        _doc_link_module = "tests"
        _doc_link_template = "https://address.local/{estimator_name}"

    html = Documented()._repr_html_()
    assert html.count('href="https://address.local/Documented#') == len(Documented().get_params())


@documented
def test_without_a_known_form_of_links_there_are_no_tooltips(fitted, monkeypatch):
    """Names as scikit-learn writes them without documentation; no link that leads nowhere."""
    monkeypatch.setattr(notebook, "_LINK", re.compile("not in scikit-learn's HTML"))
    html = fitted._repr_html_()
    assert "href" not in html.split("</style>")[1] and "about:" not in html
    assert rows_of(html)["tol"] == (None, "0.0001")


@documented
def test_values_take_a_few_short_lines():
    """Lines of 50 characters, one for arrays of many dimensions, dicts and strings."""
    X, y = load_wine(return_X_y=True)
    model = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=3).fit(X, y)
    rows = {name: value for name, (_, value) in rows_of(model._repr_html_()).items()}
    for name, value in rows.items():
        assert max(map(len, value.splitlines())) <= 50, name
    paths = model.coefs_paths_
    assert rows["coefs_paths_"] == f"from {paths.min():.3g} to {paths.max():.3g}"
    assert rows["history_"] == f"4 arrays of {len(model.history_['gap'])} entries"
    assert rows["solver_"] == repr(model.solver_)
    model.scores_ = np.where(model.scores_ == model.scores_.max(), np.nan, model.scores_)
    (_, value) = rows_of(model._repr_html_())["scores_"]
    assert value == f"from {np.nanmin(model.scores_):.3g} to {np.nanmax(model.scores_):.3g}"


def test_representations_in_every_version(fitted):
    """HTML of all versions names the estimator and closes what it opens."""
    for model in (SoftmaxRegression(C=3), fitted):
        html = model._repr_html_()
        assert "SoftmaxRegression" in html and html.count("<table") == html.count("</table>")
