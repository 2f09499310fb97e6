"""Known logits: prior correction after sampling, and a base model that a linear one improves.

Prior correction. Rare classes are often kept whole and common ones sampled, so a model of the
sample predicts rare classes too often. With the logarithm of each class's sampling rate as the
offset, the model is that of the population: predict with an offset of zeros.

A base model. The offset is its logits, and the fit learns what they do not explain. Here a forest
sees half of the columns. The softmax regression corrects it with the other half, by coefficients
that can be read.

    python examples/offsets.py [--rows N]
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from softmax_reg import SoftmaxRegression, cross_entropy, log_softmax


def population(n_rows, seed=0):
    """Rows of three classes, two of them rare."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    coef = np.array([[1.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, -1.0, 0.5], [0.0, 0.3, 1.0]])
    logits = X @ coef + [5.0, 1.0, 0.0]
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def table(rows):
    """Print (model, mean probabilities, log loss or None) below the names of the columns."""
    print(f"{'':34}{'mean predicted probabilities':32}log loss")
    for name, means, loss in rows:
        told = "" if loss is None else f"{loss:.4f}"
        print(f"{name:34}{'  '.join(f'{mean:.4f}' for mean in means):32}{told}".rstrip())


def prior_correction(n_rows):
    """Models of all rows, of a balanced sample, and of the sample with the offset."""
    X, y = population(n_rows)
    X_test, y_test = population(n_rows, seed=1)
    counts = np.bincount(y)
    rates = counts.min() / counts
    kept = np.random.default_rng(2).random(len(y)) < rates[y]
    print(f"{len(y):,} rows with classes {counts.tolist()}; a sample of {kept.sum():,}\n")

    def line(name, model, **offset):
        log_proba = model.predict_log_proba(X_test, **offset)
        return name, np.exp(log_proba).mean(axis=0), float(cross_entropy(y_test, log_proba))

    sampled = X[kept], y[kept]
    offset = np.tile(np.log(rates), (kept.sum(), 1))
    table([
        ("frequencies of the test rows", np.bincount(y_test) / len(y_test), None),
        line("all rows", SoftmaxRegression().fit(X, y)),
        line("the sample", SoftmaxRegression().fit(*sampled)),
        line("the sample, offset log(rate)", SoftmaxRegression().fit(*sampled, offset=offset),
             offset=np.zeros((len(X_test), 3))),
    ])


def base_model():
    """A forest of half of the pixels, the other half alone, and the forest improved by it."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0, test_size=0.4)
    seen, other = slice(0, 32), slice(32, 64)
    forest = RandomForestClassifier(200, min_samples_leaf=3, oob_score=True, random_state=0)
    forest.fit(X[:, seen], y)
    # On rows that a tree was fitted to, its probabilities are too good: out-of-bag ones are not.
    logits = np.log(np.clip(forest.oob_decision_function_, 1e-3, None))
    test_logits = np.log(np.clip(forest.predict_proba(X_test[:, seen]), 1e-3, None))
    alone = SoftmaxRegression(C=1e-2).fit(X[:, other], y)
    both = SoftmaxRegression(C=1e-2).fit(X[:, other], y, offset=logits)
    print(f"\n{'':34}accuracy  log loss")
    for name, log_proba in (
        ("forest, upper half of the digits", log_softmax(test_logits)),
        ("softmax regression, lower half", alone.predict_log_proba(X_test[:, other])),
        ("forest as offset, lower half", both.predict_log_proba(X_test[:, other],
                                                                offset=test_logits)),
    ):
        accuracy = np.mean(log_proba.argmax(axis=1) == y_test)
        print(f"{name:34}{accuracy:.4f}    {float(cross_entropy(y_test, log_proba)):.4f}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    prior_correction(parser.parse_args(arguments).rows)
    base_model()


if __name__ == "__main__":
    main()
