"""Examples for data larger than memory or one machine, run on small data."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.datasets import load_iris

from .test_examples import ROOT
from .test_examples import run_new as run

pytestmark = pytest.mark.compiled
EXAMPLES = ROOT / "examples"


def printed(name, *arguments):
    """What it prints."""
    result = run(EXAMPLES / f"{name}.py", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_dask_cluster():
    """The same objective as locally, within the certificates."""
    text = printed("dask_cluster", "--partitions", "3")
    assert "2 workers, 3 partitions" in text
    found = re.findall(r"objective (\S+) nats, at most (\S+)\s+above", text)
    (cluster, gap), (local, other) = [tuple(map(float, pair)) for pair in found]
    assert max(gap, other) <= 1e-4 * local
    assert abs(cluster - local) <= max(gap, other) + 1e-12    # of the digits printed
    assert re.search(r"accuracy on these rows: 0\.9\d+", text)


@pytest.mark.slow
def test_dask_cluster_reads_parquet(tmp_path):
    """Columns of a table in two files."""
    import pandas as pd

    rng = np.random.default_rng(0)
    for part in range(2):
        y = rng.integers(0, 2, 50)
        table = pd.DataFrame({"a": y + rng.standard_normal(50), "b": rng.standard_normal(50),
                              "kind": np.where(y, "yes", "no")})
        table.to_parquet(tmp_path / f"part{part}.parquet")
    text = printed("dask_cluster", "--parquet", tmp_path, "--target", "kind")
    assert "2 workers, 2 partitions" in text
    assert re.search(r"first labels: \['(yes|no)'", text)
    assert "local" not in text
    result = run(EXAMPLES / "dask_cluster.py", "--parquet", tmp_path)
    assert result.returncode == 2 and "need each other" in result.stderr


@pytest.mark.slow
def test_faults():
    """A killed worker changes the result by rounding; a closed client is a clear error."""
    arguments = "--peers", "softmax_reg", "--kills", "1", "close", "--after", "5", "--limit", "300"
    lines = printed("benchmarks/faults", *arguments).splitlines()
    killed, closed = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert killed[:2] == ["softmax_reg", "1 killed"]
    assert float(re.fullmatch(r"completes, differs by (\S+)", killed[3]).group(1)) <= 1e-9
    assert closed[1] == "client closed" and closed[3].startswith("RuntimeError: The Dask client")


def test_out_of_core(tmp_path):
    """Certified; the process's own memory does not grow by what the file holds."""
    text = printed("out_of_core", "--gib", "0.05", "--columns", "64", "--folder", tmp_path)
    objective, gap = map(float, re.search(r"objective (\S+) nats, at most (\S+)", text).groups())
    assert 0 < gap <= 1e-4 * objective
    assert not list(tmp_path.iterdir())    # nothing is left behind


def test_out_of_core_takes_yours(tmp_path):
    """Both files, or a clear error."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.standard_normal((300, 5)).astype(np.float32))
    np.save(tmp_path / "y.npy", rng.integers(0, 3, 300))
    files = "--data", tmp_path / "X.npy", "--labels", tmp_path / "y.npy"
    assert "300 x 5 float32" in printed("out_of_core", *files)
    result = run(EXAMPLES / "out_of_core.py", *files[:2])
    assert result.returncode == 2 and "need each other" in result.stderr


def test_scaling_prints_a_line_a_shape():
    """No faster than the cores, and not slower with more of them."""
    header, line = printed("benchmarks/scaling", "--shapes", "embeddings", "--iterations", "1",
                           "--cores", "2", "8").splitlines()
    assert header.split()[-3:] == ["1", "2", "8"]
    one, two, eight = map(float, line.split()[-3:])
    assert one == 1.0 <= two <= 2.0 and two <= eight <= 8.0


def test_scaling_of_factors():
    """LAPACK's seconds, those predicted for tiles, and those measured."""
    header, theirs, ours, measured = printed(
        "benchmarks/scaling", "--factors", "1100", "--cores", "2", "8"
    ).splitlines()
    assert header.split()[-3:] == ["1", "2", "8"] and float(theirs.split()[-1]) > 0
    one, two, eight = map(float, ours.split()[-3:])
    assert one / 2 <= two + 1e-3 and two <= one and eight <= two and "measured" in measured


def test_a_killed_probe_goes_on(tmp_path):
    """kill -9 after a checkpoint, then --resume: the figures and the model of a whole run."""
    command = [sys.executable, EXAMPLES / "benchmarks" / "probe_protocol.py", "--folder"]
    process = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.PIPE)
    checkpoint = tmp_path / "killed" / "softmax_reg.npz"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    with np.load(checkpoint) as file:
        assert 1 <= len(file["figures"]) < 45
    text = printed("benchmarks/probe_protocol", "--folder", tmp_path / "killed", "--resume")
    assert "softmax_reg   45/45" in text
    printed("benchmarks/probe_protocol", "--folder", tmp_path / "whole")
    resumed, whole = np.load(checkpoint), np.load(tmp_path / "whole" / "softmax_reg.npz")
    for name in ("coefs", "intercepts"):
        np.testing.assert_array_equal(resumed[name], whole[name])
    np.testing.assert_array_equal(resumed["figures"][:, 1:], whole["figures"][:, 1:])
    assert resumed["refit"][1] == whole["refit"][1]


def test_a_probe_of_files(tmp_path):
    """Features and labels of one's own; both models; a limit that ends a run early."""
    X, y = load_iris(return_X_y=True)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    files = "--features", tmp_path / "X.npy", "--labels", tmp_path / "y.npy"
    printed("benchmarks/probe_protocol", *files, "--folder", tmp_path)
    text = printed("benchmarks/probe_protocol", *files, "--folder", tmp_path,
                   "--model", "bearable", "--limit", "0")
    assert "softmax_reg   45/45" in text and "bearable" not in text.split("softmax_reg")[-1]
    result = run(EXAMPLES / "benchmarks" / "probe_protocol.py", *files[:2])
    assert result.returncode == 2 and "need each other" in result.stderr
