"""The guide's code for tools that are not among the test dependencies; skipped without them."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softmax_reg import SoftmaxRegression, to_sklearn

GUIDE = Path(__file__).resolve().parents[2] / "examples" / "README.md"
# Marked by the tool's name after the language: ```python shap
BLOCKS = re.findall(r"^```python (\w+)\n(.*?)^```", GUIDE.read_text(), re.M | re.S)


def run_block(tool):
    """The namespace after the guide's code for a tool."""
    pytest.importorskip(tool)
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(C=0.1)).fit(X, y)
    namespace = {
        "X": X, "y": y, "SoftmaxRegression": SoftmaxRegression, "to_sklearn": to_sklearn,
        "fine": SoftmaxRegression(C=0.1).fit(X, y), "exported": to_sklearn(pipeline),
        "pipeline": pipeline, "trusted": ["softmax_reg.estimators.regression.SoftmaxRegression"],
    }
    exec(compile(dict(BLOCKS)[tool], tool, "exec"), namespace)
    return namespace


def test_the_guide_has_a_block_for_each_tool():
    """No other, which no test would run."""
    assert sorted(tool for tool, _ in BLOCKS) == ["eli5", "m2cgen", "mlflow", "shap"]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")    # the tools'
def test_shap():
    """Values of logits, by the model and by its copy."""
    after = run_block("shap")
    same = after["shap"].LinearExplainer(after["fine"].to_sklearn(), after["X"])(after["X"])
    np.testing.assert_allclose(same.values, after["values"].values, atol=1e-12)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_eli5(capsys):
    """The weights of every class, from a pipeline."""
    run_block("eli5")
    assert "y=2 top features" in capsys.readouterr().out


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_m2cgen():
    """The logits, computed by code in Python."""
    after = run_block("m2cgen")
    assert "double" in after["program"]
    code = after["m2cgen"].export_to_python(after["fine"].to_sklearn())
    exec(code, after)
    logits = [after["score"](row.tolist()) for row in after["X"]]
    np.testing.assert_allclose(logits, after["fine"].decision_function(after["X"]), atol=1e-12)


@pytest.mark.compiled
@pytest.mark.slow    # it makes a database
@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path, monkeypatch):
    """The model comes back with every bit; autolog takes a pipeline, and no bare fit."""
    mlflow = pytest.importorskip("mlflow", minversion="3.17")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    after = run_block("mlflow")
    run = mlflow.search_runs(output_format="list")[0]
    assert run.data.metrics["objective"] == after["model"].objective_
    assert run.data.params["C"] == "0.1"
    mlflow.sklearn.autolog(log_models=False)
    try:
        after["model"].fit(after["X"], after["y"])
        assert len(mlflow.search_runs()) == 1
        after["pipeline"].fit(after["X"], after["y"])
        run, _ = mlflow.search_runs(output_format="list")
        assert run.data.params["softmaxregression__C"] == "0.1"
    finally:
        mlflow.sklearn.autolog(disable=True)
