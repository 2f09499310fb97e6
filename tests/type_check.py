"""Type checkers on code of users, and the share of the public face that has types.

    python -m tests.type_check

Needs pyright and mypy, and the package installed as users install it (not editable). Both check
README's Python code, `examples/quickstart.py` and `tests/typed_use.py`: pyright away from the
sources, mypy together with the modules of pyproject.toml. Packages without types of their own, as
scikit-learn is, count as unknown: what pyright guesses from their code is not ours to check.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from .public_face import public_face

ROOT = Path(__file__).resolve().parents[1]
# Fails below this share of public names with complete types.
LEAST = 1.0
# Classes of scikit-learn that the public face names. scikit-learn has no types, and a class whose
# base is unknown is no complete type to pyright: stubs of these stand in for them.
STUBS = {
    "__init__": "", "base": "class BaseEstimator: ...\nclass ClassifierMixin: ...\n",
    "callback": "class CallbackSupportMixin: ...\n",
    "exceptions": "class ConvergenceWarning(UserWarning): ...\n",
    "linear_model": "class LogisticRegression: ...\n", "utils/__init__": "class Tags: ...\n",
    "utils/metadata_routing": "class MetadataRouter: ...\n",
}
OPTIONS = {"useLibraryCodeForTypes": False, "reportUnusedExpression": False,
           "reportMissingModuleSource": False}


def main():
    """Run all checks; exit with 1 if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        readme = (ROOT / "README.md").read_text()
        blocks = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
        (folder / "readme.py").write_text("\n".join(blocks))
        for path in ("examples/quickstart.py", "tests/typed_use.py"):
            shutil.copy(ROOT / path, folder)
        (folder / "pyrightconfig.json").write_text(json.dumps(OPTIONS))
        files = sorted(path.name for path in folder.glob("*.py"))
        modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
        modules += ["examples/quickstart.py", str(folder / "readme.py")]
        failed = [run(folder, "pyright", *files).returncode,
                  run(ROOT, "mypy", *modules).returncode]
        for name, text in STUBS.items():
            path = folder / "stubs" / "sklearn-stubs" / f"{name}.pyi"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        report = verified(folder, PYTHONPATH=str(folder / "stubs"))
        print(f"All modules, internal ones too: {report['completenessScore']:.1%}")
        share = public_share(report["symbols"])
    if any(failed) or share < LEAST:
        raise SystemExit("Types are wrong or missing: see above.")


def run(folder, *command, capture=False, **environment):
    """Run a checker of this Python's environment in a folder."""
    here = os.path.dirname(sys.executable)
    environment = {**os.environ, **environment, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    if not capture:
        print(command[0], end=": ", flush=True)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=capture, text=True, check=False
    )


def verified(folder, **environment):
    """Pyright's report on the completeness of the installed package."""
    result = run(folder, "pyright", "--verifytypes", "softmax_reg", "--ignoreexternal",
                 "--outputjson", capture=True, **environment)
    report = json.loads(result.stdout)["typeCompleteness"]
    if not report["symbols"]:
        raise SystemExit("pyright finds no installed package with py.typed: not editable, please.")
    return report


def public_share(symbols):
    """Share of the names of the public face whose types are complete; print the others."""
    functions, classes = public_face()
    face = {f"{thing.__module__}.{thing.__qualname__}" for thing in [*functions, *classes]}
    public = [symbol for symbol in symbols
              if {symbol["name"], symbol["name"].rpartition(".")[0]} & face]
    lacking = [symbol for symbol in public
               if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    for symbol in lacking:
        print(symbol["name"], *(found["message"] for found in symbol["diagnostics"]), sep="\n    ")
    share = 1 - len(lacking) / len(public)
    print(f"Public face: {share:.1%} of {len(public)} names have complete types")
    return share


if __name__ == "__main__":
    main()
