"""A linear probe: classes from embeddings, over many values of C.

Shows the log loss on held-out rows along a grid of C, and the seconds and the memory of

- `softmax_path`, every fit started from the last;
- `LogisticRegression(max_iter=1000)`, fitted anew for every C.

Without a file the embeddings are the bundled digits behind a frozen layer of 256 random
rectified features, which stands for your encoder. With yours (any number of classes; rows in
float32 stay float32):

    python examples/linear_probe.py [--output FOLDER]
    python examples/linear_probe.py --embeddings FILE.npy --labels FILE.npy [--Cs 12]
"""

import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from figures import new_figure, parser, save
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from softmax_reg import cross_entropy, softmax_path

RANGE = 1e-4, 1e4    # of C


def random_features(X, n_features=256, seed=0):
    """Unit vectors: a frozen layer of random weights, rectified."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((X.shape[1], n_features)) / np.sqrt(X.shape[1])
    hidden = np.maximum((X - X.mean(axis=0)) @ weights, 0)
    return (hidden / np.linalg.norm(hidden, axis=1, keepdims=True)).astype(np.float32)


def load(embeddings, labels):
    """Embeddings and labels, of files or bundled."""
    if (embeddings is None) != (labels is None):
        raise ValueError("--embeddings and --labels need each other.")
    if embeddings is None:
        X, y = load_digits(return_X_y=True)
        return random_features(X), y
    X, y = np.load(embeddings, mmap_mode="r"), np.load(labels)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(
            f"--embeddings must hold an array (n_samples, n_features) and --labels as many "
            f"labels, got {X.shape} and {y.shape}."
        )
    return X, y


def log_loss(logits, y, classes):
    """Mean cross-entropy in nats; a binary model's one logit is that of the second class."""
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(logits)), logits[:, 0]])
    return cross_entropy(np.searchsorted(classes, y), logits)


def measured(fit):
    """(what it returns, seconds, MiB at the most beyond what was there)."""
    tracemalloc.start()
    started = time.perf_counter()
    result = fit()
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return result, seconds, peak


def ours(X, y, Cs):
    """[(coef, intercept)] along the grid."""
    path = softmax_path(X, y, Cs=Cs, l1_ratio=0.0)
    return list(zip(path.coefs, path.intercepts, strict=True))


def theirs(X, y, Cs):
    """The same from scikit-learn."""
    models = (LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in Cs)
    return [(model.coef_, model.intercept_) for model in models]


def draw(folder, Cs, results):
    figure, axes = new_figure(9, 3.6, ncols=2, width_ratios=[2, 1])
    styles = (("o-", "tab:blue"), ("x--", "tab:orange"))
    for (name, (losses, seconds, _)), (style, colour) in zip(results.items(), styles, strict=True):
        axes[0].plot(Cs, losses, style, color=colour, label=name)
        axes[1].bar_label(axes[1].bar([name], [seconds], color=colour), fmt="%.2g s")
    axes[0].set(xscale="log", yscale="log", xlabel="C (weaker penalty to the right)",
                ylabel="log loss, held-out rows (nats)")
    axes[0].legend(loc="upper center")
    axes[1].set(ylabel=f"seconds for {len(Cs)} values of C")
    axes[1].margins(y=0.15)
    save(figure, folder, "linear_probe.png")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--embeddings", type=Path, metavar="FILE.npy")
    arguments.add_argument("--labels", type=Path, metavar="FILE.npy")
    arguments.add_argument("--Cs", type=int, default=12, help="how many, from 1e-4 to 1e4")
    arguments.add_argument("--without-scikit-learn", action="store_true")
    given = arguments.parse_args()
    X, y = load(given.embeddings, given.labels)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    classes = np.unique(y_train)
    Cs = np.geomspace(*RANGE, given.Cs)
    print(f"{len(X_train)} rows to fit, {len(X_test)} held out, {X.shape[1]} columns of "
          f"{X.dtype}, {len(classes)} classes")
    softmax_path(X_train[:200], y_train[:200], Cs=[1.0], l1_ratio=0.0)    # compiles
    contestants = {"softmax_path": ours, "LogisticRegression": theirs}
    if given.without_scikit_learn:
        del contestants["LogisticRegression"]
    results = {}
    for name, fit in contestants.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            models, seconds, peak = measured(lambda fit=fit: fit(X_train, y_train, Cs))
        losses = [log_loss(X_test @ coef.T + b, y_test, classes) for coef, b in models]
        results[name] = losses, seconds, peak
        best = int(np.argmin(losses))
        short = sum("converge" in str(warning.message) for warning in caught)
        print(f"{name}: {seconds:.2f} s for {len(Cs)} values of C, {peak:.0f} MiB beyond X, "
              f"{short} convergence warnings\n  best log loss {losses[best]:.4f} nats at "
              f"C = {Cs[best]:.3g}")
    print("\n         C" + "".join(f"{name:>22}" for name in results))
    for i, C in enumerate(Cs):
        print(f"{C:10.3g}" + "".join(f"{losses[i]:22.4f}" for losses, _, _ in results.values()))
    if given.output:
        draw(given.output, Cs, results)


if __name__ == "__main__":
    main()
