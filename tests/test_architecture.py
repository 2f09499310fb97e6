"""The architecture is a test: layers, packages imported in few places, file length."""

import ast
from pathlib import Path

import pytest

from softmax_reg.parallel.lazy import lazy

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "softmax_reg"
# Lowest layer first. A module imports from its own folder, and from folders to the left of it in
# its layer or in lower layers. "" holds the modules of the package's own folder.
LAYERS = [
    ["functional", "parallel"],
    ["kernels", "cuda"],
    ["rows"],
    ["solvers"],
    ["problem", "streaming", "inference"],
    ["estimators", "display", ""],
]
FOLDERS = [folder for layer in LAYERS for folder in layer]
# In the package's own folder, and lower than it.
LOWEST = {"exceptions.py", "typing.py"}
# Third-party package -> where it may be imported.
ONLY_HERE = {
    "numba": {"kernels/jit.py", "kernels/code_cache.py", "kernels/cold_start.py",
              "kernels/registers.py", "kernels/simd_dense.py", "kernels/simd_sparse.py",
              "kernels/simd_tall.py",
              "cuda/softmax.py", "cuda/device.py"},
    "cupy": {"cuda/device.py"},
    "cupyx": {"cuda/device.py"},
    "dask": {"dask.py", "estimators/partitions.py", "rows/dask_input.py"},
    "distributed": {"rows/cluster.py", "dask.py"},
    "llvmlite": {"kernels/registers.py", "kernels/simd_dense.py", "kernels/simd_sparse.py",
                 "kernels/simd_tall.py"},
    "joblib": {"parallel/launch.py", "estimators/cross_validation.py"},
    "matplotlib": {"display/_axes.py"},
    "rich": {"estimators/bars.py"},
    "tqdm": {"estimators/bars.py"},
    "skl2onnx": {"onnx.py"},
    "threadpoolctl": {"parallel/blas.py"},
    "sklearn": {"exceptions.py", "dask.py", "display/_axes.py", "rows/distributions.py",
                "rows/partition.py",
                *(f"estimators/{name}" for name in (
                    "array_api.py", "base.py", "callbacks.py", "cross_validation.py",
                    "diagnostics.py", "export.py", "nested.py", "outcome.py", "scikit_learn.py",
                    "scoring.py", "standard_errors.py", "targets.py", "validation.py"))},
}
MAX_LINES = 400


def _modules():
    return sorted(str(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py"))


def _imports(name):
    """(third-party roots, package modules) that module `name` imports."""
    tree = ast.parse((PACKAGE / name).read_text())
    folder = (PACKAGE / name).parent
    outside, inside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = folder
            for _ in range(node.level - 1):
                base = base.parent
            base = base.joinpath(*node.module.split(".")) if node.module else base
            for alias in node.names:
                for candidate in (
                    base / f"{alias.name}.py", base.with_suffix(".py"), base / "__init__.py"
                ):
                    if candidate.exists():
                        inside.add(candidate.relative_to(PACKAGE).as_posix())
                        break
                else:
                    raise AssertionError(f"{name}: cannot resolve {ast.unparse(node)}")
    return outside, inside


def _folder(name):
    return name.rpartition("/")[0]


def _is_below(other, name):
    """Whether module `name` may import module `other`."""
    if other in LOWEST or _folder(other) == _folder(name):
        return name not in LOWEST
    return FOLDERS.index(_folder(other)) < FOLDERS.index(_folder(name))


def test_the_folders_are_those_of_the_layers():
    """FOLDERS lists exactly the folders there are."""
    assert {_folder(name) for name in _modules()} == set(FOLDERS)


def test_private_names_of_scikit_learn_are_in_one_place():
    for name in _modules():
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                is_private = any(part.startswith("_") for part in names)
                assert not is_private or name == "estimators/scikit_learn.py", (name, names)


@pytest.mark.parametrize("name", _modules())
def test_imports_point_down(name):
    """A module imports from its folder and lower ones, special packages only in their place."""
    outside, inside = _imports(name)
    assert not [other for other in inside if not _is_below(other, name)]
    for package, places in ONLY_HERE.items():
        assert package not in outside or name in places


def test_no_imports_in_circles():
    """Within a folder too, modules can be put in an order in which imports point back."""
    left = {name: {other for other in _imports(name)[1] if other != name} for name in _modules()}
    while left:
        free = [name for name, inside in left.items() if not inside & left.keys()]
        assert free, f"circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_only_commands_print():
    """The package speaks through `logging`, warnings and bars; stdout belongs to the program."""
    for name in set(_modules()) - {"compile.py"}:
        calls = [node.func for node in ast.walk(ast.parse((PACKAGE / name).read_text()))
                 if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_no_locks_of_cached_properties():
    """Before Python 3.12 a child forked while another thread holds one waits for ever."""
    assert not [
        name for name in _modules() if "import cached_property" in (PACKAGE / name).read_text()
    ]


def test_what_is_computed_once():
    """`lazy` computes at the first use of every instance; the class has the attribute itself."""

    class Squares:
        calls = 0

        @lazy
        def square(self):
            """Count."""
            type(self).calls += 1
            return [type(self).calls]

    one, other = Squares(), Squares()
    assert one.square is one.square and other.square == [2] and Squares.calls == 2
    assert Squares.square.__doc__ == "Count."


def test_solvers_see_only_an_objective():
    """No solver imports rows, kernels or the problem; only algebra of large matrices."""
    allowed = {"parallel/elementwise.py", "parallel/cholesky.py"}
    for name in _modules():
        if name.startswith("solvers/"):
            for other in _imports(name)[1] - allowed:
                assert other.startswith("solvers/"), (name, other)


@pytest.mark.parametrize(
    "path",
    sorted(str(p.relative_to(ROOT)) for d in ("softmax_reg", "tests", "examples")
           for p in (ROOT / d).rglob("*.py")),
)
def test_files_are_short(path):
    """One purpose a file: at most 400 lines."""
    assert len((ROOT / path).read_text().splitlines()) <= MAX_LINES
