"""Labels that several people disagree on: votes as they are, instead of one label for each row.

Shows, on the bundled digits with simulated votes of seven people who take similar digits for each
other, models of

- the most frequent vote of each row, as a label;
- copies: a row for each digit that got votes, weighted by their number;
- the votes themselves, y of shape (n_samples, n_classes).

Copies and votes have the same optimum, but votes need each row of X only once, in time and in
memory. Both carry more information than the most frequent votes: which rows are hard, and which
digits they resemble.

    python examples/soft_labels.py [--votes N]
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from softmax_reg import SoftmaxRegression, cross_entropy

# Taken for each other.
SIMILAR = [(1, 7), (3, 8), (4, 9), (5, 6), (2, 0)]
WRONG = 0.35    # of the votes, on average; a row is easy or hard


def simulated_votes(y, n_votes, seed=0):
    """Number of votes for each digit, (n_samples, 10)."""
    rng = np.random.default_rng(seed)
    similar = np.arange(10)
    for a, b in SIMILAR:
        similar[a], similar[b] = b, a
    wrong = rng.binomial(n_votes, rng.beta(1, 1 / WRONG - 1, len(y)))
    votes = np.zeros((len(y), 10))
    votes[np.arange(len(y)), y] = n_votes - wrong
    votes[np.arange(len(y)), similar[y]] += wrong
    return votes


def timed(X, y, weight=None):
    """(model, seconds) of a fit; the first fit, which compiles, does not count."""
    model = SoftmaxRegression(C=1e-3, tol=1e-6).fit(X, y, weight)
    started = time.perf_counter()
    model.fit(X, y, weight)
    return model, time.perf_counter() - started


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, default=7)
    n_votes = parser.parse_args(arguments).votes
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    votes, votes_test = simulated_votes(y, n_votes), simulated_votes(y_test, n_votes, seed=1)
    row, label = np.nonzero(votes)
    data = {
        "most frequent": (X, votes.argmax(axis=1), np.full(len(y), float(n_votes))),
        "copies": (X[row], label, votes[row, label]),
        "votes": (X, votes, None),
    }
    print(f"{'':14} {'rows':>6} {'seconds':>8} {'objective':>11} {'held out: loss of votes':>24} "
          f"{'digits right':>13}")
    for name, (rows, target, weight) in data.items():
        model, seconds = timed(rows, target, weight)
        loss = cross_entropy(votes_test / n_votes, model.predict_log_proba(X_test))
        right = model.score(X_test, y_test)
        print(f"{name:14} {len(rows):6} {seconds:8.3f} {model.objective_:11.8f} {loss:24.4f} "
              f"{right:13.1%}")


if __name__ == "__main__":
    main()
