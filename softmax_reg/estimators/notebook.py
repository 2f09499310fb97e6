"""The tables of an estimator in notebooks: docstrings as tooltips, values in a line or two."""

import functools
import inspect
import re

import numpy as np

# Stands for the address of a documentation page in scikit-learn's HTML, which is then without it.
_NOWHERE = "about:blank"
_LINK = re.compile(rf' rel="noreferrer" target="_blank" href="{_NOWHERE}[^"]*"')
_SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", re.M | re.S)
# Characters a line of array elements; those of scikit-learn's table, 75, run off the page.
_LINE = 50
# Characters a value in one line: more are cut by scikit-learn's table.
_VALUE = 30


class NotebookTables:
    """Parameters and fitted attributes in scikit-learn's HTML representation.

    scikit-learn (from 1.8 on) shows the docstring of a parameter as the tooltip of a link to a
    page of documentation, and no tooltip without one. This package has no such page: its
    documentation is the docstrings and a guide in the source tree. So its tables have the tooltips
    and no links, and no "?" next to the estimator's name, unless a subclass says where its pages
    are (`_doc_link_module`, `_doc_link_template`). scikit-learn before 1.7 never calls these
    methods, and 1.7 shows its table without tooltips.
    """

    # The class whose docstring documents what this one has "as in" that class, or None.
    _documented_as_in = None

    def _get_params_html(self, deep=True, doc_link=""):
        """Return scikit-learn's table of parameters, with tooltips."""
        make = super()._get_params_html
        if "doc_link" not in inspect.signature(make).parameters:    # scikit-learn 1.7
            return make(deep)
        table = _with_tooltips(lambda link: make(deep, link), doc_link)
        table.estimator_class = _documentation(type(self), self._documented_as_in)
        return table

    def _get_fitted_attr_html(self, doc_link=""):
        """Return scikit-learn's table of fitted attributes, with tooltips and short values."""
        table = _with_tooltips(super()._get_fitted_attr_html, doc_link)
        table.estimator_class = _documentation(type(self), self._documented_as_in)
        for name, entry in table.items():
            table[name] = entry | {"value": _short(entry["value"])}
        return table


def _with_tooltips(make, doc_link):
    """Return the table that `make` draws for an address; without one, its tooltips all the same.

    make : callable
        Function of an address that returns a table with the method `_html_repr`.
    doc_link : str
        Address of the estimator's page; "" where there is none.
    """
    table = make(doc_link or _NOWHERE)
    draw = table._html_repr

    def html():
        with np.printoptions(linewidth=_LINE):
            text = _LINK.sub("", draw())
            # Never a link that leads nowhere: where scikit-learn writes another one, no tooltips.
            return text if _NOWHERE not in text else make("")._html_repr()

    table._html_repr = html
    return table


@functools.cache
def _documentation(cls, other):
    """Return a class with the docstring of `cls`, and of `other` for names that it lacks.

    scikit-learn looks names up one by one, and finds none in a list such as "tol, solver : As in
    `SoftmaxRegression`".
    """
    if other is None:
        return cls
    sections = {"Parameters": "", "Attributes": ""}
    for documented in (other, cls):    # of two entries of a name, scikit-learn takes the last
        for name, body in _SECTION.findall(inspect.getdoc(documented) or ""):
            sections[name] += body.rstrip() + "\n"
    text = "\n".join(f"{name}\n{'-' * len(name)}\n{body}" for name, body in sections.items())
    return type(cls.__name__, (), {"__doc__": f"{cls.__name__}\n\n{text}"})


class _Value:
    """A value in the table that is shown as this text."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def _short(value):
    """Return what stands for a fitted attribute where scikit-learn shows it in many lines or cut.

    An array of more than two dimensions becomes its range, without NaN; a dict of arrays, such as
    `history_`, their number and length; a string of up to 28 characters is shown whole.
    """
    if isinstance(value, str) and len(value) <= _VALUE - 2:
        return _Value(repr(value))
    if isinstance(value, dict):
        arrays = [entry for entry in value.values() if isinstance(entry, np.ndarray)]
        sizes = {len(entry) for entry in arrays if entry.ndim}
        if len(sizes) == 1:
            return _Value(f"{len(value)} arrays of {sizes.pop()} entries")
    if (
        isinstance(value, np.ndarray) and value.ndim > 2 and value.size
        and value.dtype.kind in "biuf"
    ):
        ends = (end.reduce(value, axis=None) for end in (np.fmin, np.fmax))    # pass over NaN
        return _Value("from {:.3g} to {:.3g}".format(*ends))
    return value
