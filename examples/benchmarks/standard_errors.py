"""Standard errors: coverage of 95 % intervals in simulations, and seconds of inference.

    python examples/benchmarks/standard_errors.py [--draws N] [--cluster-draws N] [--rows N]

Coverage: three classes, two features, as many new data sets as --draws, of 500 rows; then
--cluster-draws of 50 clusters of ten rows, with a random effect of each cluster on the logits
and one feature that is constant in a cluster. There the true parameters are those of a fit to
200,000 clusters. Time: --rows rows of 20 features in five classes.
"""

import argparse
import time
import tracemalloc

import numpy as np

from softmax_reg import SoftmaxRegression

# Rows are classes against the first; columns the intercept and two features.
TRUTH = np.array([[0.5, 1.0, -0.5], [-0.3, 0.4, 0.8]])
PER_CLUSTER = 10


def labels(rng, logits):
    """Draw from the softmax of the logits."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def logits_of(X):
    return np.column_stack([np.zeros(len(X)), TRUTH[:, 0] + X @ TRUTH[:, 1:].T])


def draw_rows(rng, n_samples=500):
    X = rng.standard_normal((n_samples, 2))
    return X, labels(rng, logits_of(X)), None


def draw_clusters(rng, n_clusters=50):
    groups = np.repeat(np.arange(n_clusters), PER_CLUSTER)
    X = rng.standard_normal((len(groups), 2))
    X[:, 0] = rng.standard_normal(n_clusters)[groups]
    return X, labels(rng, logits_of(X) + rng.standard_normal((n_clusters, 3))[groups]), groups


def fitted(X, y, tol=1e-8):
    return SoftmaxRegression(C=np.inf, tol=tol).fit(X, y)


def coverage(rng, draw, n_draws, cov_types, truth):
    """Print, for each kind of error, the share of intervals that hold the truth."""
    hits = {cov_type: np.zeros(truth.shape) for cov_type in cov_types}
    for _ in range(n_draws):
        X, y, groups = draw(rng)
        model = fitted(X, y)
        for cov_type, hit in hits.items():
            some = groups if cov_type == "cluster" else None
            result = model.inference(X, y, cov_type=cov_type, groups=some, reference=0)
            lower, upper = np.moveaxis(result.conf_int(), -1, 0)
            hit += (lower <= truth) & (truth <= upper)
    for cov_type, hit in hits.items():
        print(f"{cov_type:10} " + " ".join(f"{share:6.1%}" for share in (hit / n_draws).ravel()))


def seconds(rng, n_samples):
    """Print the seconds of a fit, of errors, influence and tests, and their peak of memory."""
    X = rng.standard_normal((n_samples, 20))
    y = labels(rng, X @ rng.standard_normal((20, 5)) / 3)
    fitted(X[:1000], y[:1000])
    started = time.perf_counter()
    model = fitted(X, y, tol=1e-4)
    print(f"fit        {time.perf_counter() - started:.2f} s")
    groups = np.arange(n_samples) // 7
    extra = rng.standard_normal((n_samples, 3))
    tasks = {
        "nonrobust": lambda: model.inference(X, y),
        "HC0": lambda: model.inference(X, y, cov_type="HC0"),
        "cluster": lambda: model.inference(X, y, cov_type="cluster", groups=groups),
        "influence": lambda: model.influence(X, y),
        "score_test": lambda: model.score_test(X, y, extra),
    }
    for name, task in tasks.items():
        tracemalloc.start()
        started = time.perf_counter()
        task()
        passed, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{name:10} {passed:.2f} s, {peak / 2**20:.0f} MiB beside X")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--cluster-draws", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    seconds(rng, options.rows)
    print("\nCoverage of six parameters, independent rows")
    coverage(rng, draw_rows, options.draws, ("nonrobust", "HC0"), TRUTH)
    print("\nCoverage of six parameters, clusters")
    X, y, _ = draw_clusters(rng, 200_000)
    truth = fitted(X, y).inference(X, y, reference=0).params
    coverage(rng, draw_clusters, options.cluster_draws, ("nonrobust", "cluster"), truth)


if __name__ == "__main__":
    main()
