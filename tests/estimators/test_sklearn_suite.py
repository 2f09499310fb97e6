"""scikit-learn's own test_logistic.py, run on our estimators (see sklearn_suite.py)."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sklearn

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(sklearn.__file__).parent / "linear_model" / "tests" / "test_logistic.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.compiled,
    pytest.mark.skipif(
        not sklearn.__version__.startswith("1.9."),
        reason=f"the ids are those of scikit-learn 1.9, not {sklearn.__version__}",
    ),
    pytest.mark.skipif(not SUITE.exists(), reason="scikit-learn is installed without its tests"),
]


def run_suite(*options):
    """Exit code, counts by outcome, and output of the command in the plugin's docstring."""
    # No options, xdist worker or seeds of the run around this one.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SKLEARN_"))}
    env["SCIPY_ARRAY_API"] = "1"
    result = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".",
            "-p", "tests.estimators.sklearn_suite", "-p", "no:cacheprovider", "-q", "--tb=short",
            *options,
            "--pyargs", "sklearn.linear_model.tests.test_logistic",
        ],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600,
    )
    output = result.stdout + result.stderr
    counts = re.findall(r"(\d+) (\w+)", output.strip().splitlines()[-1])
    return result.returncode, {name: int(n) for n, name in counts}, output


@pytest.fixture(scope="module")
def runs():
    """Both runs, side by side: without the tests left out, and of these alone."""
    with ThreadPoolExecutor(2) as pool:
        return [run.result() for run in (pool.submit(run_suite),
                                         pool.submit(run_suite, "--left-out"))]


def test_scikit_learn_suite_passes(runs):
    """All but the tests left out; the summary prints these under four headings."""
    code, counts, output = runs[0]
    assert code == 0, output[-20_000:]
    assert counts["passed"] >= 220
    for heading in "abcd":
        assert re.search(rf"^\({heading}\) .*: (\d+|none)$", output, re.M)


def test_every_test_left_out_fails(runs):
    """One that passes has no place in the list."""
    code, counts, output = runs[1]
    assert code == 1, output[-20_000:]
    assert counts["failed"] >= 1 and "passed" not in counts, output[-20_000:]
