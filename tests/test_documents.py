"""Documents are tested: code in both READMEs, docstrings and signatures, names of files."""

import inspect
import re
from pathlib import Path

import pytest

import softmax_reg
from softmax_reg import SoftmaxRegression
from softmax_reg.inference import InferenceResult, MarginalEffects, compare
from softmax_reg.rows.base import CPU_RATES
from softmax_reg.solvers.costs import MAX_NEWTON_SIZE, formulas

from .processes import run_new
from .public_face import documented

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "examples" / "README.md").read_text()
PUBLIC = [getattr(softmax_reg, name) for name in softmax_reg.__all__]
DISPLAYS = [obj for obj in PUBLIC if obj.__name__.endswith("Display")]
CLASSES = [SoftmaxRegression, softmax_reg.SoftmaxRegressionCV, *DISPLAYS]
METHODS = {
    method
    for cls in (*CLASSES, InferenceResult, MarginalEffects)
    for name, method in inspect.getmembers(cls, inspect.isroutine)
    if not name.startswith("_") and method.__module__.startswith("softmax_reg")
}


@pytest.mark.parametrize(
    "obj",
    [*(o for o in PUBLIC if not isinstance(o, type)), compare, *CLASSES,
     *sorted(METHODS, key=lambda method: method.__qualname__)],
    ids=lambda obj: obj.__qualname__,
)
def test_documented_parameters_are_the_signature(obj):
    """Same names, of methods in the same order."""
    names = [name for name in inspect.signature(obj).parameters if name != "self"]
    order = sorted if isinstance(obj, type) else list
    assert order(documented(obj)) == order(names)


@pytest.mark.compiled
def test_documented_attributes_are_the_fitted_ones():
    """Every attribute with an underscore after a fit or `partial_fit`, and no other."""
    import pandas as pd

    X, y = pd.DataFrame({"a": [0.0, 1, 2, 3]}), [0, 1, 0, 1]
    models = SoftmaxRegression().fit(X, y), SoftmaxRegression().partial_fit(X, y, [0, 1])
    fitted = {name for model in models for name in vars(model)
              if name.endswith("_") and not name.startswith("_")}
    assert set(documented(SoftmaxRegression, "Attributes")) == fitted


@pytest.mark.parametrize(
    "obj", [*PUBLIC, InferenceResult, MarginalEffects, compare], ids=lambda obj: obj.__name__
)
def test_public_names_have_docstrings(obj):
    """A first line, and for functions and estimators an example."""
    assert inspect.getdoc(obj).splitlines()[0].strip()
    if not (isinstance(obj, type) and issubclass(obj, Warning)):
        assert ">>>" in obj.__doc__


@pytest.mark.compiled
@pytest.mark.filterwarnings("default")
def test_the_code_of_both_documents_runs():
    """Every Python block, in order, in one namespace for each of them."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    for name, text in (("README.md", README), ("examples/README.md", GUIDE)):
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        assert blocks, name
        namespace = {}
        for block in blocks:
            exec(compile(block, name, "exec"), namespace)
    matplotlib.pyplot.close("all")


def test_the_documents_name_files_that_exist():
    """`path.py` and `folder/` are in the tree, as are links, and the modules in the picture."""
    for folder, text in ((ROOT, README), (ROOT / "examples", GUIDE)):
        for path in re.findall(r"`((?:softmax_reg|tests|examples|\.ci)/[\w./]*)`", text):
            assert (ROOT / path).exists(), path
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (folder / path).exists(), path
    guide = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    folders = "problem|streaming|solvers|rows|kernels|estimators"
    for path in re.findall(rf"`((?:{folders})/\w+\.py)`", guide):
        assert (ROOT / "softmax_reg" / path).exists(), path
    picture = re.search(r"^```text\n(.*?)^```", guide, re.M | re.S).group(1)
    named = re.findall(r"[\w/]+(?:\.py|/)", picture)
    assert named
    for name in named:
        assert (ROOT / "softmax_reg" / name).exists(), name


def anchors(text):
    """Anchors that GitHub makes of a document's headings."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", prose, re.M)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_links_lead_to_headings_that_exist():
    """Links of README, the guide and CONTRIBUTING, in the same document or to another."""
    names = "README.md", "examples/README.md", ".github/CONTRIBUTING.md"
    texts = {(ROOT / name).resolve(): (ROOT / name).read_text() for name in names}
    n_links = 0
    for source, text in texts.items():
        for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", text):
            target = (source.parent / path).resolve() if path else source
            assert anchors(texts[target]).count(anchor) == 1, (source.name, path, anchor)
            n_links += 1
    assert n_links > 20


def test_the_map_of_the_guide_leads_to_every_section():
    """Every heading is linked, except for those that stand at its beginning."""
    table = GUIDE.split("## Where to find what\n")[1].split("\n## ")[0]
    linked = set(re.findall(r"\]\(#([^)]+)\)", table))
    known = {"examples-and-user-guide", "where-to-find-what", "examples", "the-model"}
    assert set(anchors(GUIDE)) - known <= linked


def test_the_picture_of_readme_is_that_of_its_command():
    """One picture, an SVG below 60 kB with a text alternative, and the command that draws it."""
    ((alternative, path),) = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", README)
    assert len(alternative.split()) > 20 and "LogisticRegression" in alternative
    assert f"python examples/{Path(path).stem}.py --output examples" in README
    picture = (ROOT / path).read_text()
    assert "<svg" in picture and len(picture) < 60_000
    for name in ("SoftmaxRegression()", "proven (dual_gap_)", "LogisticRegression() stops here"):
        assert f">{name}" in picture


def test_the_guide_has_the_constants_of_the_cost_model():
    """Every formula of the code is a row of the table, and there is no other."""
    table = GUIDE.split("| solver | seconds to the default tolerance |")[1].split("\n\n")[0]
    rows = [re.split(r" \| |; |, or", line.strip(" |")) for line in table.splitlines()[2:]]
    assert {what: formula for what, formula, *_ in rows} == formulas(CPU_RATES)
    assert f"t <= {MAX_NEWTON_SIZE}" in table and f"m is over {MAX_NEWTON_SIZE}" in GUIDE


def test_the_guide_lists_every_example():
    """Scripts in examples/, but for what they share."""
    scripts = {path.name for path in (ROOT / "examples").glob("*.py")} - {"figures.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", GUIDE, re.M)) == scripts


def test_readme_commands_are_what_ci_runs():
    """README's second command is the one .ci/run calls first."""
    command = "python -m pip install '.[test]' && python -m pytest -n 2 --dist loadfile"
    assert README.count("python -m pip install . && python examples/quickstart.py") == 1
    assert README.count(command) == 1
    assert command in (ROOT / ".ci" / "run").read_text()


def test_importing_the_package_compiles_nothing_and_needs_no_gpu():
    """Import leaves numba.cuda alone and no kernel compiled."""
    code = (
        "import sys, softmax_reg\n"
        "from softmax_reg.kernels import chunks, softmax\n"
        "assert 'numba.cuda' not in sys.modules\n"
        "for module in (chunks, softmax):\n"
        "    for value in vars(module).values():\n"
        "        assert not getattr(value, 'signatures', None), value\n"
    )
    result = run_new("-c", code)
    assert result.returncode == 0, result.stderr
