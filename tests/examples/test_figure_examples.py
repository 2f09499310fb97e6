"""The examples with figures: what they print is true, and the figures are there."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from .test_examples import ROOT, output, run, write_csv

EXAMPLES = ROOT / "examples"
PNG = b"\x89PNG"


def example(name, folder, *arguments, figures):
    """What it prints with --output; these figures, and no others, are images."""
    pytest.importorskip("matplotlib")
    text = output(EXAMPLES / f"{name}.py", "--output", folder, *arguments)
    assert {path.name for path in folder.iterdir()} == set(figures)
    for path in folder.iterdir():
        assert path.read_bytes()[:4] == PNG
    return text


def numbers(pattern, text):
    """The groups of the first match, as floats."""
    return [float(group) for group in re.search(pattern, text).groups()]


def test_softmax_and_cross_entropy(tmp_path):
    """H(p, q) = H(p) + KL(p, q) > H(p); naive softmax is NaN where ours is 1."""
    text = example("softmax_and_cross_entropy", tmp_path, figures=[
        "softmax_temperature.png", "cost_curves.png", "entropy_and_divergence.png",
    ])
    assert "naive [nan, 0, 0], ours [1, " in text
    first, second, total, whole = numbers(
        r"KL\(p, q\) = (\S+) \+ (\S+) = (\S+); H\(p, q\) = (\S+)", text
    )
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    np.testing.assert_allclose(
        [first, second, total, whole],
        [-p @ np.log(p), p @ np.log(p / q), -p @ np.log(q), -p @ np.log(q)], atol=6e-5,
    )
    (swapped,) = numbers(r"swapped, H\(q, p\) = ([\d.]+)", text)
    np.testing.assert_allclose(swapped, -q @ np.log(p), atol=6e-5)


def test_why_cross_entropy(tmp_path):
    """The two networks' table; squared error starves the logits, and stays where it started."""
    text = example("why_cross_entropy", tmp_path, figures=[
        "two_networks.png", "gradient_at_the_logit.png", "training.png",
    ])
    table = [line.split()[-3:] for line in text.splitlines() if "network " in line]
    assert table == [["0.33", "0.25", "0.38"], ["0.33", "0.71", "1.06"]]
    squared, entropy = numbers(r" 1e-06 +(\S+) +(\S+)\n", text)
    assert (squared, entropy) == (-4e-6, -1)
    losses = re.findall(r"log loss (\S+), accuracy (\S+)", text)
    start, *_, last = np.array(losses, dtype=float).reshape(-1, 2, 2)
    np.testing.assert_array_equal(start[0], start[1])
    (entropy_loss, entropy_accuracy), (squared_loss, squared_accuracy) = last
    assert entropy_loss < start[0, 0] / 10 and entropy_accuracy > 0.9
    assert squared_loss > 10 * entropy_loss and squared_accuracy < 0.7


def test_the_gradients_of_that_example_are_derivatives():
    """Five-point stencil of both losses in the logit of the right class."""
    module = loaded("why_cross_entropy")
    right = np.array([1e-3, 0.1, 0.5, 0.9, 0.999])
    log_odds, h = np.log(right / (1 - right)), 1e-3
    for name, slope in zip(
        ("squared error", "cross-entropy"), module.gradients(right), strict=True
    ):
        def loss(z, name=name):
            return np.array([module.measures([q])[name] for q in 1 / (1 + np.exp(-z))])

        difference = (
            loss(log_odds - 2 * h) - 8 * loss(log_odds - h)
            + 8 * loss(log_odds + h) - loss(log_odds + 2 * h)
        ) / (12 * h)
        # The stencil's own error: h^4 / 30 times a fifth derivative of order 1, and rounding.
        np.testing.assert_allclose(difference, slope, rtol=1e-7, atol=1e-11)


def loaded(name):
    """An example as a module; it finds its neighbours."""
    import importlib
    import sys

    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.mark.slow
@pytest.mark.compiled
def test_linear_probe(tmp_path):
    """Every C has a held-out loss; ours never warns, and is best somewhere inside."""
    text = example("linear_probe", tmp_path, "--Cs", 8, figures=["linear_probe.png"])
    assert re.search(r"softmax_path: .* 0 convergence warnings", text)
    rows = [line.split() for line in text.split("LogisticRegression\n")[-1].splitlines()]
    losses = np.array([row[1] for row in rows if len(row) == 3], dtype=float)
    assert len(losses) >= 8 and losses.min() < losses[0] / 5 and losses.min() < losses[-1]


@pytest.mark.compiled
def test_linear_probe_takes_files(tmp_path):
    """Binary, labels of words; what does not fit together is refused."""
    X, y = load_iris(return_X_y=True)
    np.save(tmp_path / "X.npy", X[:100].astype(np.float32))
    np.save(tmp_path / "y.npy", np.array(["a", "b"])[y[:100]])
    files = "--embeddings", tmp_path / "X.npy", "--labels", tmp_path / "y.npy"
    text = output(EXAMPLES / "linear_probe.py", *files, "--Cs", 3, "--without-scikit-learn")
    assert text.startswith("75 rows to fit, 25 held out, 4 columns of float32, 2 classes")
    assert numbers(r"best log loss (\S+) nats", text)[0] < 0.05
    np.save(tmp_path / "y.npy", y[:99])
    result = run(EXAMPLES / "linear_probe.py", *files)
    assert result.returncode != 0 and "got (100, 4) and (99,)" in result.stderr
    result = run(EXAMPLES / "linear_probe.py", "--labels", tmp_path / "y.npy")
    assert result.returncode != 0 and "need each other" in result.stderr


@pytest.mark.slow
@pytest.mark.compiled
def test_text_classification(tmp_path):
    """Certified; fewer words than there are; words that a reader would expect."""
    text = example("text_classification", tmp_path, figures=[
        "text_score.png", "text_path.png", "text_words.png",
    ])
    words, _ = numbers(r"(\d+) words, (\d+) classes", text)
    used, gap = numbers(r"C = \S+: (\d+) words in .* certified (\S+) from", text)
    assert 0 < used < words / 2 and gap <= 1e-4
    loss, without, accuracy = numbers(
        r"log loss (\S+) nats, without the words ([\d.]+); accuracy (\S+)", text
    )
    assert loss < without / 3 and accuracy > 0.8
    assert re.search(r"scipy\.interpolate .*spline", text)


@pytest.mark.compiled
def test_text_classification_takes_a_table(tmp_path):
    """Two classes: both get their words; a column that is not there is named."""
    pytest.importorskip("pandas")
    rows = [[f"{word} item number {k % 7}", label] for k in range(40)
            for word, label in (("sweet apple", "fruit"), ("rusty hammer", "tool"))]
    path = write_csv(tmp_path / "texts.csv", ["words", "kind"], rows)
    arguments = "--data", path, "--text", "words", "--target"
    text = output(EXAMPLES / "text_classification.py", *arguments, "kind")
    assert re.search(r"fruit +.*(sweet|apple)", text)
    assert re.search(r"tool +.*(rusty|hammer)", text)
    result = run(EXAMPLES / "text_classification.py", *arguments, "typo")
    assert result.returncode != 0 and "['words', 'kind'], got 'typo'" in result.stderr


@pytest.mark.slow
@pytest.mark.compiled
def test_pipeline_and_grid_search(tmp_path):
    """Better than the class shares; the tuned threshold costs less than the default."""
    pytest.importorskip("pandas")
    text = example("pipeline_and_grid_search", tmp_path, figures=["calibration_and_threshold.png"])
    assert "HalvingGridSearchCV: C = " in text
    shares = numbers(r"class shares alone +(\S+) +(\S+)", text)
    best = numbers(r"best model  +(\S+) +(\S+)", text)
    assert best[0] < shares[0] and best[1] < shares[1]
    (plain,) = numbers(r"most probable class +mean cost (\S+)", text)
    (tuned,) = numbers(r"tuned threshold +mean cost (\S+)", text)
    assert tuned < plain


def test_convergence(tmp_path):
    """Ours ends within what it proves; the figure names every curve and is drawn from text."""
    pytest.importorskip("matplotlib")
    text = output(EXAMPLES / "convergence.py", "--data", "iris", "--budget", 0, "--limit", 0.001,
                  "--output", tmp_path)
    table = {line[:44].strip(): line[44:].split() for line in text.splitlines()[4:9]}
    ours = table["SoftmaxRegression()"]
    assert 0 <= float(ours[2]) <= float(ours[3]) <= 1e-4
    assert table["LogisticRegression()"][3] == "-" and len(table) == 5
    (path,) = tmp_path.iterdir()
    picture = path.read_text()
    for name in ("SoftmaxRegression()", "proven (dual_gap_)", "lbfgs, run on", "newton-cg",
                 "newton-cholesky", "iris, raw columns"):
        assert f">{name}</text>" in picture
