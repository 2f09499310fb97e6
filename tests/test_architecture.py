"""The architecture is a test: layers, only-here imports, file length."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "softmax_reg"
# Lowest layer first; a module may import from its own folder and from lower layers.
LAYERS = [
    ["kernels/_registers.py"],
    ["kernels/_code_cache.py"],
    ["kernels/_jit.py", "kernels/_blas.py", "kernels/_rows.py", "kernels/_workers.py",
     "kernels/_columns.py", "kernels/_narrow_floats.py"],
    ["kernels/_launch.py"],
    ["kernels/_elementary.py", "kernels/_simd.py", "kernels/_linear.py",
     "kernels/_descent.py"],
    ["kernels/_products.py", "kernels/_simd_sparse.py"],
    ["kernels/_blocks.py"],
    ["kernels/_chunks.py"],
    ["kernels/_csr.py", "kernels/_coefficients.py"],
    ["kernels/_predict.py", "kernels/_coefficients_csr.py", "kernels/_passes.py"],
    ["kernels/_hessian.py", "kernels/_cuda_rows.py", "kernels/_cuda_device.py",
     "kernels/_rates.py", "kernels/_row_blocks.py"],
    ["kernels/_cuda_tf32.py"],
    ["kernels/_cuda_blocks.py", "kernels/_cuda_linear.py"],
    ["kernels/__init__.py", "kernels/reference.py", "kernels/cpu.py"],
    ["kernels/cuda.py", "kernels/blocked.py"],
    ["_device.py", "_function_arguments.py", "_sums.py"],
    ["functional.py", "penalty.py", "certificate.py"],
    ["objective.py"],
    ["row_space.py"],
    ["solvers/line_search.py", "solvers/kronecker.py", "solvers/separation.py",
     "solvers/costs.py", "solvers/hessian.py", "solvers/carried.py"],
    ["solvers/preconditioner.py", "solvers/monitor.py"],
    ["solvers/lbfgs.py", "solvers/newton.py"],
    ["solvers/quadratic.py", "solvers/working_set.py"],
    ["solvers/proximal.py", "solvers/proximal_lbfgs.py"],
    ["solvers/minimise.py"],
    ["solvers/__init__.py"],
    ["sample.py", "_precision.py", "_dual.py"],
    ["exceptions.py", "_callbacks.py", "_export.py", "_prediction.py", "_problem.py",
     "_validation.py"],
    ["_batch.py", "_outcome.py", "_scoring.py", "_classifier.py"],
    ["_online.py"],
    ["estimator.py"],
    ["path.py"],
    ["_folds.py"],
    ["cross_validation.py"],
    ["onnx.py", "display/_axes.py", "_partitions.py"],
    ["_distributed.py", "_collections.py"],
    ["dask.py"],
    ["display/coefficients.py", "display/convergence.py", "display/regularization_path.py"],
    ["display/__init__.py"],
    ["__init__.py"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Third-party package -> where it may be imported.
ONLY_HERE = {
    "numba": {"kernels/_jit.py", "kernels/_code_cache.py", "kernels/_registers.py",
              "kernels/_simd.py", "kernels/_simd_sparse.py", "kernels/_cuda_rows.py",
              "kernels/_cuda_device.py"},
    "cupy": {"kernels/_cuda_device.py"},
    "cupyx": {"kernels/_cuda_device.py"},
    "dask": {"dask.py", "_collections.py"},
    "distributed": {"_distributed.py", "dask.py"},
    "llvmlite": {"kernels/_registers.py", "kernels/_simd.py", "kernels/_simd_sparse.py"},
    "joblib": {"kernels/_launch.py", "cross_validation.py"},
    "matplotlib": {"display/_axes.py"},
    "skl2onnx": {"onnx.py"},
    "threadpoolctl": {"kernels/_blas.py"},
    "sklearn": {"exceptions.py", "_callbacks.py", "_classifier.py", "_outcome.py", "_scoring.py",
                "_validation.py", "_export.py", "_partitions.py", "dask.py", "estimator.py",
                "cross_validation.py", "display/_axes.py"},
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


def test_every_module_has_its_layer():
    """LAYERS lists exactly the modules there are."""
    assert _modules() == sorted(LEVEL)


@pytest.mark.parametrize("name", _modules())
def test_imports_point_down(name):
    """A module imports from lower layers only, and special packages only in their place."""
    outside, inside = _imports(name)
    assert not [other for other in inside if LEVEL[other] >= LEVEL[name]]
    for package, places in ONLY_HERE.items():
        assert package not in outside or name in places


def test_solvers_see_only_an_objective():
    """No solver imports kernels, functional or the estimator."""
    for name in _modules():
        if name.startswith("solvers/"):
            assert all(other.startswith("solvers/") for other in _imports(name)[1])


@pytest.mark.parametrize(
    "path",
    sorted(str(p.relative_to(ROOT)) for d in ("softmax_reg", "tests", "examples")
           for p in (ROOT / d).rglob("*.py")),
)
def test_files_are_short(path):
    """One purpose a file: at most 400 lines."""
    assert len((ROOT / path).read_text().splitlines()) <= MAX_LINES
