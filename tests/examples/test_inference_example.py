"""`examples/inference.py` prints tests, effects and intervals that agree with each other."""

import re

import pytest

from .test_examples import ROOT, output


def test_inference_prints_tests_and_effects():
    """Small p-values of alcohol and ash; effects sum to zero; intervals hold their numbers."""
    text = output(ROOT / "examples" / "inference.py")
    assert "Grignolino against Barolo" in text and "Standard errors: nonrobust" in text
    for name in ("alcohol", "ash"):
        p = re.search(rf"^  {name} +(\S+) +(\S+) +(\S+)$", text, re.M).groups()
        assert max(map(float, p)) < 0.05
    effects = re.findall(
        r"^  \w+ +(alcohol|ash|much magnesium) +(\S+) \[(\S+), (\S+)\]$", text, re.M
    )
    assert len(effects) == 9
    for name in ("alcohol", "ash", "much magnesium"):
        values = [float(value) for feature, value, *_ in effects if feature == name]
        assert sum(values) == pytest.approx(0, abs=2e-3)
    intervals = re.findall(r"(-?\d\.\d+) \[(\S+), (\S+)\]", text)
    assert len(intervals) == 12
    assert all(float(low) <= float(p) <= float(high) for p, low, high in intervals)
    assert re.search(r"AIC with magnesium minus AIC without: -?\d+\.\d$", text, re.M)
