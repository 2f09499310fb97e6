"""The examples run as a user runs them, and print what they promise."""

import csv
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_wine

from .. import processes
from ..problems import BUNDLED, bundled, long_double_objective

ROOT = Path(__file__).resolve().parents[2]
COMPARE = ROOT / "examples" / "compare_with_logistic_regression.py"
MODELS = [
    "SoftmaxRegression()",
    "LogisticRegression()",
    "LogisticRegression(max_iter=10000)",
    "LogisticRegression(solver='newton-cg')",
    "LogisticRegression(solver='newton-cholesky')",
]


# One OpenMP thread: on a busy machine LogisticRegression's threads wait for each other,
# milliseconds an iteration.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def run(script, *arguments):
    """The finished process of an example."""
    return processes.run(script, *arguments, **ONE_THREAD)


def run_new(script, *arguments):
    """As `run`, in a new interpreter, as a user runs it."""
    return processes.run_new(script, *arguments, **ONE_THREAD)


def output(script, *arguments, run=run):
    """What an example prints; it succeeds, and nothing goes to stderr but that kernels compile."""
    result = run(script, *arguments)
    errors = [line for line in result.stderr.splitlines() if "compiling kernels" not in line]
    assert (result.returncode, errors) == (0, [])
    return result.stdout


def tables(text):
    """{title: {model: {column: cell}}} of what the comparison prints."""
    found = {}
    for block in text.split("\n\n")[1:]:
        title, header, *rows = block.strip().splitlines()
        columns = re.split(r" {2,}", header)
        cells = (re.split(r" {2,}", row) for row in rows)
        found[title] = {row[0]: dict(zip(columns, row, strict=True)) for row in cells}
    return found


def assert_certified(row):
    """0 <= true gap <= certified gap <= 1e-4, relative and up to rounding; no warning."""
    assert 0 <= float(row["true gap"]) <= float(row["certified gap"]) + 1e-15
    assert float(row["certified gap"]) <= 1e-4
    assert row["warnings"] == "-"


@pytest.fixture(scope="module")
def compare():
    """The comparison as a module."""
    spec = importlib.util.spec_from_file_location("compare_example", COMPARE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def wines(n_columns=4):
    """(header, rows) with a column of words and labels that are words."""
    wine = load_wine()
    words = np.array(["red", "rose, dry", "white"])[np.arange(len(wine.target)) % 3]
    labels = wine.target_names[wine.target]
    rows = [[*x, word, label] for x, word, label
            in zip(wine.data[:, :n_columns], words, labels, strict=True)]
    return [*wine.feature_names[:n_columns], "colour", "kind"], rows


@pytest.mark.compiled
def test_quickstart_prints_a_certified_fit():
    """dual_gap_ <= 1e-4 objective_; one best C; LogisticRegression warns and stops above."""
    text = output(ROOT / "examples" / "quickstart.py", run=run_new)
    value = float(re.search(r"objective_ +(\S+) nats", text).group(1))
    assert 0 <= float(re.search(r"dual_gap_ +(\S+) nats", text).group(1)) <= 1e-4 * value
    assert int(re.search(r"n_iter_ +(\d+)", text).group(1)) > 0
    assert re.search(r"solver_ +[\w-]+", text)
    assert text.count("<- best") == 1
    assert float(re.search(r"accuracy (\S+)", text).group(1)) > 0.9
    assert float(re.search(r"log loss (\S+) nats", text).group(1)) < 0.3
    assert "ConvergenceWarning: lbfgs failed to converge" in text
    assert float(re.search(r"objective (\S+) % above", text).group(1)) > 1


@pytest.mark.compiled
def test_comparison_on_raw_bundled_data():
    """Ours: certified, no warning; LogisticRegression(): a warning on three of four."""
    text = output(COMPARE)
    found = tables(text)
    assert [title.split(",")[0] for title in found] == list(BUNDLED)
    assert "raw columns" in text
    assert re.search(r"^\d+\.\d s, once a process, to compile", text, re.M)
    for table in found.values():
        assert list(table) == MODELS
        assert_certified(table[MODELS[0]])
        for label in MODELS[1:]:
            row = table[label]
            assert row["certified gap"] == "-"
            # Both come from the same function, so their difference is the gap.
            ours, theirs = float(table[MODELS[0]]["objective"]), float(row["objective"])
            np.testing.assert_allclose(theirs / ours - 1, float(row["true gap"]), rtol=0.1,
                                       atol=1e-9)
            assert 0.8 < float(row["accuracy"]) <= 1 and float(row["seconds"]) > 0
    warned = [t[MODELS[1]]["warnings"] == "1 ConvergenceWarning" for t in found.values()]
    assert sum(warned) >= 3


@pytest.mark.compiled
def test_comparison_on_a_csv_file_with_words(tmp_path):
    """One-hot columns, string labels, two C, two solvers; also standardised."""
    pytest.importorskip("pandas")
    path = write_csv(tmp_path / "wine.csv", *wines())
    text = output(COMPARE, "--data", path, "--target", "kind", "--C", "0.1", "10", "--standardize",
                  "--solver", "lbfgs", "newton-cholesky", "--repeat", "1")
    assert text.startswith("one-hot encoded: colour\n") and "standardised columns" in text
    found = tables(text)
    assert list(found) == [
        f"wine.csv, C={C}: 133 rows to fit, 45 held out, 7 columns, 3 classes"
        for C in ("0.1", "10")
    ]
    for table in found.values():
        for solver in ("lbfgs", "newton-cholesky"):
            assert_certified(table[f"SoftmaxRegression(solver='{solver}')"])


@pytest.mark.compiled
def test_comparison_on_an_npz_file(tmp_path):
    """X and the named target, binary."""
    X, y = bundled("breast_cancer")
    np.savez(tmp_path / "cancer.npz", X=X, malign=y == 0)
    (table,) = tables(
        output(COMPARE, "--data", tmp_path / "cancer.npz", "--target", "malign", "--repeat", "1")
    ).values()
    assert_certified(table[MODELS[0]])


def test_a_parquet_file_reads_as_its_csv_file(tmp_path, compare):
    """Same X and y from both."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = write_csv(tmp_path / "wine.csv", *wines())
    pandas.read_csv(path).to_parquet(tmp_path / "wine.parquet")
    X, y = compare.read_file(path, "kind")
    same_X, same_y = compare.read_file(tmp_path / "wine.parquet", "kind")
    pandas.testing.assert_frame_equal(X, same_X)
    np.testing.assert_array_equal(y, same_y)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_file_may_have_other_separators(tmp_path, compare, separator):
    """Same X and y as from commas."""
    pandas = pytest.importorskip("pandas")
    path = write_csv(tmp_path / "wine.csv", *wines())
    X, y = compare.read_file(path, "kind")
    pandas.read_csv(path).to_csv(path, sep=separator, index=False)
    same_X, same_y = compare.read_file(path, "kind")
    pandas.testing.assert_frame_equal(X, same_X)
    np.testing.assert_array_equal(y, same_y)


def test_categories_seen_only_in_held_out_rows_are_zeros(compare):
    """handle_unknown="ignore"."""
    pandas = pytest.importorskip("pandas")
    train = pandas.DataFrame({"x": [1, 2], "word": ["a", "b"]})
    test = pandas.DataFrame({"x": [3], "word": ["c"]})
    assert compare.one_hot(train, test)[1].tolist() == [[0, 0, 3]]


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
@pytest.mark.parametrize("C", [0.01, np.inf])
def test_objective_of_the_comparison(name, C, compare):
    """Equal to the tests' own long-double objective, in blocks or not, binary or not."""
    X, y = bundled(name, standardised=True)
    rng = np.random.default_rng(0)
    coef = rng.standard_normal((3 if name == "wine" else 1, X.shape[1]))
    intercept = rng.standard_normal(len(coef))
    classes = np.array(["a", "b", "c"])
    model = SimpleNamespace(coef_=coef, intercept_=intercept, classes_=classes, C=C)
    uniform = np.full(len(y), 1, dtype=np.longdouble) / len(y)
    expected, _ = long_double_objective(X, y, uniform, coef, intercept, 1 / (C * len(y)))
    for rows_at_once in (50, len(y)):
        value = compare.objective(model, X, classes[y], rows_at_once)
        np.testing.assert_allclose(float(value), float(expected), rtol=1e-14)


def test_files_that_are_refused_say_why(tmp_path, compare):
    """What was given, what was expected, what to do."""
    pytest.importorskip("pandas")
    header, rows = wines()
    path = write_csv(tmp_path / "wine.csv", header, rows)
    with pytest.raises(ValueError, match="has no column 'typo' for --target, only .*'kind'"):
        compare.read_file(path, "typo")
    with pytest.raises(ValueError, match="--target must name the column"):
        compare.read_file(path, None)
    with pytest.raises(ValueError, match="must be a .csv, .parquet or .npz file"):
        compare.read_file(tmp_path / "wine.txt", "kind")
    rows[3][1] = ""
    with pytest.raises(ValueError, match=r"missing values in \['malic_acid'\]: impute"):
        compare.read_file(write_csv(path, header, rows), "kind")
    np.savez(tmp_path / "wine.npz", X=[[1.0], [np.nan]], labels=[0, 1])
    with pytest.raises(ValueError, match="must hold arrays 'X' and 'y' .*got .*'labels'"):
        compare.read_file(tmp_path / "wine.npz", None)
    with pytest.raises(ValueError, match="holds NaN or infinity: impute"):
        compare.split("wine", np.full((8, 1), np.nan), [0, 1] * 4, False)
    with pytest.raises(ValueError, match="must hold classes, got continuous values"):
        compare.split("wine", np.zeros((2, 1)), [0.5, 1.5], False)


def test_a_missing_package_is_named(tmp_path, compare, monkeypatch):
    """And how to install it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas: python -m pip install pandas$"):
        compare.read_file(tmp_path / "wine.csv", "kind")
    with pytest.raises(ImportError, match="needs pandas and pyarrow: .* install pandas pyarrow$"):
        compare.read_file(tmp_path / "wine.parquet", "kind")


def test_a_refused_file_is_one_message_and_no_traceback(tmp_path):
    """Exit status 2, as for any wrong argument."""
    result = run(COMPARE, "--data", tmp_path / "absent.npz")
    assert result.returncode == 2
    assert "absent.npz" in result.stderr and "Traceback" not in result.stderr


def test_benchmark_writes_results_that_the_report_reads(tmp_path):
    """One small workload, whatever peers are installed: a certified row, tables, versions."""
    folder = ROOT / "examples" / "benchmarks"
    output(folder / "run.py", "--workloads", "iris", "--limit", 2, "--repeats", 1,
           "--output", tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ours = [row for row in rows if (row["peer"], row["solver"]) == ("softmax_reg", "auto")]
    assert "default" in {row["tol"] for row in ours}
    expected = 0.19257544402728  # of the suite's own reference, in test_optimum.py
    for row in ours:
        if row["tol"] == "default":
            assert float(row["suboptimality"]) <= 1e-6
            assert float(row["objective"]) == pytest.approx(expected, rel=1e-6)
    assert {row["peer"] for row in rows} >= {"softmax_reg", "scikit-learn"}
    assert '"versions"' in (tmp_path / "machine.json").read_text()
    text = output(folder / "report.py", "--results", tmp_path)
    assert text.count("| iris |") == 4 and "geometric mean" in text


@pytest.mark.compiled
def test_device_benchmark_prints_its_table():
    """On the CPU: an evaluation within its limit, fits as certified as they were asked to be."""
    text = output(ROOT / "examples" / "benchmarks" / "device.py", "--device", "cpu",
                  "--shapes", "2000,20,4", "--square", 256)
    header, _, line = text.splitlines()
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[0] == "2000 x 20, 4" and len(cells) == header.count("|") - 1
    for cell, tol in zip(cells[4:6], (1e-4, 1e-6), strict=True):
        assert 0 <= float(re.search(r"\((\S+)\)", cell).group(1)) <= tol


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_memory_benchmark_prints_its_table():
    """A line for a workload: MiB of every solver, the budget last."""
    text = output(ROOT / "examples" / "benchmarks" / "memory.py", "--workloads", "iris",
                  run=run_new)
    header, _, line = [row for row in text.splitlines() if row.startswith("|")]
    assert "softmax_reg auto" in header and line.startswith("| iris |")
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert len(cells) == header.count("|") - 2 and float(cells[0]) < 100


def test_benchmark_workloads_are_what_they_say():
    """The generators that are quick to run: shapes, classes, and the same every time."""
    sys.path.insert(0, str(ROOT / "examples" / "benchmarks"))
    try:
        import workloads
    finally:
        sys.path.pop(0)
    X, y = workloads.wide()
    assert X.shape == (300, 20_000) and len(np.unique(y)) == 5
    X, y = workloads.embeddings(n=3000, p=40, n_classes=58, dtype=np.float32)
    assert X.dtype == np.float32 and len(np.unique(y)) == 58
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-5)
    counts = np.bincount(y)
    assert counts[0] > 20 * counts[-10:].mean()
    again, _ = workloads.embeddings(n=3000, p=40, n_classes=58, dtype=np.float32)
    np.testing.assert_array_equal(X, again)


def test_votes_have_the_optimum_of_copies():
    """The same objective from fewer rows; a better loss on held-out votes than majorities."""
    header, *lines = output(ROOT / "examples" / "soft_labels.py").splitlines()
    rows = {line[:14].strip(): line[14:].split() for line in lines}
    assert rows["votes"][0] == rows["most frequent"][0] == "1347"
    assert int(rows["copies"][0]) > 1.5 * 1347
    assert float(rows["votes"][2]) == pytest.approx(float(rows["copies"][2]), abs=2e-6)
    assert float(rows["votes"][3]) < float(rows["most frequent"][3])


@pytest.mark.slow
@pytest.mark.compiled
def test_nonnegative_text():
    """Most coefficients at 0, words for every class, predictions as votes; certified."""
    text = output(ROOT / "examples" / "nonnegative_text.py")
    rows = {line[:12].strip(): line[12:].split() for line in text.splitlines()[3:5]}
    loss, accuracy, at_zero, gap, _ = rows["(0, inf)"]
    assert float(loss) < 0.5 and float(accuracy) > 0.9 and float(gap) <= 1e-4
    assert float(at_zero.rstrip("%")) > 50 > float(rows["none"][2].rstrip("%"))
    assert re.search(r"predicted as \S+: \w+ \d\.\d\d, \w+ \d", text)


def test_offsets():
    """The offset gives the priors of all rows; the forest improves by the columns it lacks."""
    text = output(ROOT / "examples" / "offsets.py", "--rows", "20000")
    lines = [re.split(r" {2,}", line) for line in text.splitlines()]
    rows = {cells[0]: [float(cell) for cell in cells[1:]] for cells in lines
            if len(cells) > 1 and re.match(r"0\.", cells[1])}
    everything, corrected = rows["all rows"], rows["the sample, offset log(rate)"]
    np.testing.assert_allclose(corrected[:3], everything[:3], atol=0.01)
    assert corrected[3] < everything[3] + 0.01 < rows["the sample"][3]
    both = rows["forest as offset, lower half"]
    for name in ("forest, upper half of the digits", "softmax regression, lower half"):
        assert both[0] > rows[name][0] and both[1] < rows[name][1]


@pytest.mark.compiled
def test_distillation():
    """At 40 pixels, the teacher's probabilities beat the few labels."""
    lines = output(ROOT / "examples" / "distillation.py").splitlines()
    found = {}
    for line in lines[3:6]:
        name, *cells = re.split(r" {2,}", line)
        found[name] = [tuple(map(float, cell.split(" / "))) for cell in cells]
    labels, _, probabilities = found.values()
    assert probabilities[2][0] > labels[2][0] and probabilities[2][1] < labels[2][1]


def test_cold_start_benchmark():
    """A process of iris compiles nothing, so that cold and warm ones take as long."""
    script = ROOT / "examples" / "benchmarks" / "cold_start.py"
    header, line = output(script, "--cases", "iris", "--repeats", "1").splitlines()
    assert header.split()[:3] == ["LogisticRegression", "cold", "warm"]
    cells = re.findall(r"-?[0-9.]+", line)
    assert line.startswith("iris") and len(cells) == 6 and float(cells[1]) > 0
