"""Distillation: a large model's probabilities as targets of a sparse linear one.

A neural network learns from few labelled digits and predicts the other rows, whose labels are held
back. Three sparse softmax regressions are compared: one learns from the few labels, one from the
network's most probable classes, one from its probabilities. Each column of the table is for the
same number of pixels in the model; the last is the end of the path, nearly without a penalty.
There, labels make a model overconfident, and probabilities do not.

    python examples/distillation.py [--labelled N]
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from softmax_reg import cross_entropy, log_softmax, softmax_path

PIXELS = (10, 20, 40, 64)


def sparse_models(X, y):
    """{number of pixels: (coef, intercept)}: the last model of the path with at most so many."""
    path = softmax_path(X, y, n_Cs=40, eps=1e-4, grouped=True)
    counts = np.any(path.coefs != 0, axis=1).sum(axis=1)
    found = {}
    for most in PIXELS:
        last = np.flatnonzero(counts <= most)[-1]
        found[most] = path.coefs[last], path.intercepts[last]
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labelled", type=int, default=100)
    labelled = parser.parse_args(arguments).labelled
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    known, known_y = X[:labelled], y[:labelled]
    teacher = MLPClassifier((200,), max_iter=400, random_state=0).fit(known, known_y)
    probabilities = teacher.predict_proba(X)
    probabilities[:labelled] = np.eye(10)[known_y]
    told = teacher.predict_proba(X_test)
    print(f"teacher, a neural network of {labelled} labels: accuracy "
          f"{np.mean(told.argmax(axis=1) == y_test):.3f}, log loss "
          f"{float(cross_entropy(y_test, np.log(told + 1e-12))):.3f}\n")
    students = {
        f"the {labelled} labels": sparse_models(known, known_y),
        "the teacher's classes": sparse_models(X, probabilities.argmax(axis=1)),
        "the teacher's probabilities": sparse_models(X, probabilities),
    }
    print(f"{'pixels in the model, at most':30}{''.join(f'{most:>16}' for most in PIXELS)}")
    for name, models in students.items():
        cells = []
        for coef, intercept in models.values():
            log_proba = log_softmax(X_test @ coef.T + intercept)
            accuracy = np.mean(log_proba.argmax(axis=1) == y_test)
            cells.append(f"{accuracy:.3f} / {float(cross_entropy(y_test, log_proba)):.3f}")
        print(f"{name:30}{''.join(f'{cell:>16}' for cell in cells)}")
    print("\naccuracy / log loss on rows that no model has seen")


if __name__ == "__main__":
    main()
