"""`examples/inference.py` prints tests, effects and intervals that agree with each other."""

import re
import sys

import numpy as np
import pytest

from .test_examples import ROOT, output
from .test_figure_examples import example, loaded


def check(text, features, n_classes):
    """Effects sum to zero over the classes; intervals hold their numbers."""
    names = "|".join(features)
    effects = re.findall(rf"^  .+? +({names}) +(-?\d\S+) \[(\S+), (\S+)\]$", text, re.M)
    assert len(effects) == n_classes * len(features)
    for name in features:
        values = [float(value) for feature, value, *_ in effects if feature == name]
        assert sum(values) == pytest.approx(0, abs=5e-4 * n_classes)
    intervals = re.findall(r"(-?\d\.\d+) \[(\S+), (\S+)\]", text)
    assert len(intervals) == len(effects) + 3
    assert all(float(low) <= float(p) <= float(high) for p, low, high in intervals)
    assert re.search(rf"AIC with {features[-1]} minus AIC without: -?\d+\.\d$", text, re.M)
    for name in features:
        assert re.search(rf"^  {name} +\d\S+ +\d\S+ +\d\S+$", text, re.M)


def test_inference_prints_tests_and_effects(tmp_path):
    """Small p-values of alcohol and ash; two figures."""
    text = example("inference", tmp_path, "--data", "wine",
                   figures=["odds_ratios.png", "effects.png"])
    assert "Grignolino against Barolo" in text and "Standard errors: nonrobust" in text
    check(text, ["alcohol", "ash", "much magnesium"], 3)
    for name in ("alcohol", "ash"):
        p = re.search(rf"^  {name} +(\S+) +(\S+) +(\S+)$", text, re.M).groups()
        assert max(map(float, p)) < 0.05


def test_without_statsmodels_there_is_wine(monkeypatch, capsys):
    """No comparison, and no import of it."""
    module = loaded("inference")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    monkeypatch.setattr(sys, "argv", ["inference.py"])
    module.main()
    text = capsys.readouterr().out
    assert "Grignolino against Barolo" in text and "MNLogit" not in text


def test_voters_agree_with_mnlogit_and_stata():
    """Every number to the accuracy of the other's optimum."""
    pytest.importorskip("statsmodels")
    text = output(ROOT / "examples" / "inference.py", "--data", "anes96")
    check(text, ["logpopul", "selfLR", "age", "educ", "income"], 7)
    differences = text.split("MNLogit\n")[1]
    numbers = np.array([line.split()[-1] for line in differences.splitlines()], dtype=float)
    assert len(numbers) == 17 and numbers.max() < 1e-8
    pairs = re.findall(r"^  (?:ll\w+|prsquared|[ab]ic) +(\S+) +(\S+)$", text, re.M)
    here, there = np.array(pairs, dtype=float).T
    assert len(here) == 6
    np.testing.assert_allclose(here, there, rtol=3e-9)
