"""scikit-learn's own tests of LogisticRegression pass on SoftmaxRegression."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn
from sklearn.utils.fixes import parse_version

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.compiled
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="the suite is that of scikit-learn 1.9",
)
def test_scikit_learns_logistic_regression_suite():
    """All but the tests that tests/logistic_suite.py lists with their reasons."""
    result = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-c", "tests/logistic_suite.ini",
            "--rootdir", ".", "-p", "tests.logistic_suite", "--pyargs",
            "sklearn.linear_model.tests.test_logistic",
        ],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-20_000:]
    assert int(re.search(r"(\d+) passed", result.stdout).group(1)) >= 200
    for heading in "abcd":
        assert re.search(rf"^\({heading}\) .*: \d+ tests left out", result.stdout, re.M)
