"""`DaskSoftmaxRegression` with distributions, counts and label smoothing as targets."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
from dask import delayed
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression
from softmax_reg.dask import DaskSoftmaxRegression
from softmax_reg.estimators.targets import check_distributions
from softmax_reg.exceptions import SeparationWarning
from softmax_reg.problem import problem as problem_module
from softmax_reg.problem import sampled_start
from softmax_reg.rows import cluster as cluster_module
from softmax_reg.rows.block_targets import ColumnTargets, numbers_of_shares
from softmax_reg.rows.partition import checked

from ..estimators.test_soft_targets import problem, value
from ..problems import EPS
from .mixtures import mixture

# Ignore the warnings of libraries that Dask uses.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.compiled]

KINDS = {
    "dense": np.asarray, "CSR": sparse.csr_array, "float32": lambda X: X.astype(np.float32),
}


def on_dask(*arrays, chunks=(0, 41, 70, 39)):
    """Arrays of 150 rows in partitions, one of them empty."""
    return [da.from_array(a, chunks=(chunks, *a.shape[1:])) for a in arrays]


def both(X, kind, y, weight=None, *, form=np.asarray, **options):
    """Fits of the same data on the cluster and locally; `form` converts a partition's y."""
    dask_X, dask_y = on_dask(X, y)
    dask_X = dask_X.map_blocks(KINDS[kind], dtype=KINDS[kind](X).dtype)
    dask_weight = None if weight is None else on_dask(weight)[0]
    model = DaskSoftmaxRegression(**options).fit(dask_X, dask_y.map_blocks(form), dask_weight)
    return model, SoftmaxRegression(**options).fit(KINDS[kind](X), y, weight)


def assert_same(model, local):
    """Objectives, certificates and coefficients, to sqrt(gap) or the digits of float32."""
    single = local.coef_.dtype == np.float32
    np.testing.assert_array_equal(model.classes_, local.classes_)
    assert model.coef_.dtype == local.coef_.dtype and model.coef_.shape == local.coef_.shape
    assert model.objective_ == pytest.approx(local.objective_, rel=2e-6 if single else 3e-9)
    coefs = model.coef_, local.coef_
    if model.l1_ratio == 1 and len(local.coef_) > 1:    # a shift common to all may cost nothing
        coefs = (coef - coef.mean(axis=0) for coef in coefs)
    np.testing.assert_allclose(*coefs, atol=5e-3 if single else 1e-3)
    if np.isfinite(local.dual_gap_):
        assert model.dual_gap_ <= model.tol * model.objective_


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [
    {}, {"C": 100.0, "solver": "newton-cg"}, {"fit_intercept": False}, {"C": np.inf},
    {"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}, {"label_smoothing": 0.2},
    {"class_weight": {0: 2.0, 1: 0.5}}, {"class_weight": "balanced"},
    {"class_weight": "balanced", "label_smoothing": 0.2},
    {"penalty_factor": [1.0, np.inf, 0.5, 2.0]},
    {"l1_ratio": 1.0, "grouped": True, "groups": [0, 1, 0, 1]}, {"bounds": (-0.1, np.inf)},
], ids=str)
def test_distributions_have_the_optimum_of_one_machine(client, options, n_classes, kind):
    """The same within the certificates, with weights of zero and an empty partition."""
    X, T, weight = problem(150, 4, n_classes)
    tol = 1e-6 if kind == "float32" else 1e-9
    model, local = both(X, kind, T, weight, tol=tol, **options)
    assert_same(model, local)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("targets", ["distributions", "counts", "smoothed labels"])
@pytest.mark.usefixtures("by_kernels")
def test_the_objective_is_that_of_predictions(client, targets, n_classes, kind):
    """-sum T log predict_log_proba plus penalty, also where float32 logits lose digits."""
    X, T, weight = problem(150, 4, n_classes)
    X += 2.0**12
    smoothing, y = 0.0, T
    if targets == "counts":
        y = np.random.default_rng(0).poisson(2.0, T.shape) + np.eye(n_classes)[0]
    elif targets == "smoothed labels":
        smoothing, y = 0.1, T.argmax(axis=1)
        T = (1 - smoothing) * np.eye(n_classes)[y] + smoothing / n_classes
    model, _ = both(X, kind, y, weight, C=1e3, label_smoothing=smoothing)
    if targets == "counts":
        T, weight = y / y.sum(axis=1, keepdims=True), weight * y.sum(axis=1)
    told = value(model.to_local(), KINDS[kind](X), T, weight, C=1e3)
    assert model.objective_ == pytest.approx(told, rel=1e-7 if kind == "float32" else 1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_counts_are_repeated_rows(client, n_classes):
    """A table of counts and one row for each trial: the same optimum."""
    rng = np.random.default_rng(0)
    X, counts = rng.standard_normal((150, 3)), rng.poisson(1.0, (150, n_classes))
    weight = counts.any(axis=1).astype(float)    # a row of zeros has the weight 0
    row, label = np.nonzero(counts)
    times = counts[row, label]
    trials = SoftmaxRegression(tol=1e-11).fit(
        np.repeat(X[row], times, axis=0), np.repeat(label, times)
    )
    table = DaskSoftmaxRegression(tol=1e-11).fit(*on_dask(X, counts, weight))
    assert table.objective_ == pytest.approx(trials.objective_, rel=1e-10)
    np.testing.assert_allclose(table.coef_, trials.coef_, atol=1e-4)


def test_labels_as_distributions_are_labels(client):
    """The same passes and optimum; separable classes are found to be so."""
    X, T, weight = problem(150, 4, 3)
    y = T.argmax(axis=1)
    model = DaskSoftmaxRegression(tol=1e-9).fit(*on_dask(X, np.eye(3)[y], weight))
    labels = DaskSoftmaxRegression(tol=1e-9).fit(*on_dask(X, y, weight))
    assert model.n_evaluations_ == labels.n_evaluations_
    np.testing.assert_allclose(model.coef_, labels.coef_, atol=1e-12)
    X = (np.arange(150) - 74.5)[:, np.newaxis] / 50
    one_hot = np.eye(2)[(X[:, 0] > 0).astype(int)]
    with pytest.warns(SeparationWarning):
        DaskSoftmaxRegression(C=np.inf).fit(*on_dask(X, one_hot))


def test_smoothed_classes_are_not_separable(client):
    """Without a penalty there is an optimum, found without a warning."""
    X = (np.arange(150) - 74.5)[:, np.newaxis] / 50
    y = (X[:, 0] > 0).astype(int)
    options = {"C": np.inf, "label_smoothing": 0.1, "tol": 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for targets in (y, np.eye(2)[y]):
            model, local = both(X, "dense", targets, **options)
            assert model.objective_ == pytest.approx(local.objective_, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("amount", [0.1, 1.0])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("options", [
    {}, {"C": 1e3}, {"fit_intercept": False}, {"l1_ratio": 1.0}, {"class_weight": "balanced"},
    {"class_weight": {0: 3.0, 1: 0.5}},
    {"class_weight": {1: 0.0}}, {"class_weight": {1: 0.0}, "fit_intercept": False},
], ids=str)
def test_label_smoothing_is_that_of_one_machine(client, options, n_classes, amount, kind):
    """Also where a class has the weight 0, so that no label has a share of it."""
    X, T, weight = problem(150, 4, n_classes)
    tol = 1e-6 if kind == "float32" else 1e-9
    model, local = both(
        X, kind, T.argmax(axis=1), weight, tol=tol, label_smoothing=amount, **options
    )
    if model.objective_ == 0:    # a single class is left
        assert n_classes == 2 and local.objective_ == 0
        return
    assert_same(model, local)


def test_label_smoothing_adds_no_pass(client, monkeypatch):
    """Its part of the loss follows from the sums of labels."""
    X, T, weight = problem(150, 4, 3)
    monkeypatch.delattr(cluster_module.ClusterRows, "rest_sums")
    monkeypatch.setattr(cluster_module.ClusterRows, "__abstractmethods__", frozenset())
    both(X, "dense", T.argmax(axis=1), weight, label_smoothing=0.1)


def test_smoothed_labels_start_from_a_sample(client, monkeypatch):
    """The sample has the distributions of the labels."""
    X, y = mixture(4000, 3, 3)
    samples, start = [], sampled_start.start_from_sample

    def counted(objective, sampled, *rest):
        samples.append(sampled.sample)
        return start(objective, sampled, *rest)

    monkeypatch.setattr(problem_module, "start_from_sample", counted)
    monkeypatch.setattr(sampled_start, "MIN_FLOPS", 0)
    options = {"solver": "lbfgs", "label_smoothing": 0.1, "tol": 1e-7}
    model = DaskSoftmaxRegression(**options).fit(*on_dask(X, y, chunks=(1500, 2500)))
    (sample,) = samples
    np.testing.assert_allclose(sample.label_mixture, 0.9 * np.eye(3) + 0.1 / 3, rtol=8 * EPS)
    local = SoftmaxRegression(**options).fit(X, y)
    assert model.objective_ == pytest.approx(local.objective_, rel=2e-7)
    assert model.history_["objective"][0] < 1.05 * model.objective_


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("factors", [[1.0, 2.0, 0.5], [1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
@pytest.mark.parametrize("kind", ["mixed", "labels", "whole"])
def test_the_sample_of_a_partition(kind, factors, smoothing):
    """That of `check_distributions`, in the fitted classes; whether rows have shares of all."""
    X, T, weight = problem(60, 2, 3)
    T = {"mixed": T, "labels": np.eye(3)[T.argmax(axis=1)], "whole": T + 0.1}[kind]
    columns = np.array(factors)
    found = check_distributions(T, weight, lambda classes, totals: columns, smoothing)
    part, present = checked(X, T, weight, 0, 3), columns > 0
    numbers = numbers_of_shares(part, columns, smoothing)
    targets = ColumnTargets(columns, smoothing, *numbers, found.weight.sum(), present)
    sample, counts = targets.sample(part.y, part.weight), found.weight > 0
    places = np.cumsum(present) - 1
    np.testing.assert_array_equal(sample.target[counts], places[found.index][counts])
    np.testing.assert_allclose(sample.weight, found.weight / found.weight.sum(), rtol=8 * EPS)
    assert targets.is_mixed == sample.is_mixed == (found.mixture is not None)
    is_whole = present.sum() == 1
    if sample.is_mixed:
        np.testing.assert_array_equal(sample.mixture[counts], found.mixture[counts][:, present])
        is_whole = bool(np.all(sample.mixture[counts] > 0))
    assert targets.surely_overlap == is_whole


def test_a_column_without_weight(client):
    """Its class stays in classes_, with the warning; a single column with weight fits, too."""
    X, T, weight = problem(150, 4, 3)
    T[:, 1] = 0
    T[:, 0] += 0.1
    with pytest.warns(UserWarning, match=r"Classes \[1\] have a total weight of zero"):
        model, local = both(X, "dense", T, weight, tol=1e-9)
    assert_same(model, local)
    T[:, 0] = 0
    T[:, 2] = 1
    model, local = both(X, "dense", T, weight)
    assert model.objective_ == local.objective_
    np.testing.assert_array_equal(model.coef_, local.coef_)


def test_names_of_columns_are_the_classes(client):
    """Of a DataFrame; lengths of partitions need not be known."""
    pandas = pytest.importorskip("pandas")
    X, T, _ = problem(150, 4, 3)
    frames = pandas.DataFrame(X, columns=list("wxyz")), pandas.DataFrame(T, columns=list("bac"))
    model = DaskSoftmaxRegression().fit(*(dd.from_pandas(f, npartitions=4) for f in frames))
    local = SoftmaxRegression().fit(*frames)
    assert model.classes_.tolist() == ["b", "a", "c"]
    assert abs(model.objective_ - local.objective_) <= model.dual_gap_ + local.dual_gap_
    score = model.score(*(dd.from_pandas(f, npartitions=4) for f in frames))
    assert score == pytest.approx(model.to_local().score(*frames), rel=64 * EPS)


def test_columns_in_several_chunks_and_targets_at_hand(client):
    """Classes are joined, and an ndarray is cut as X is."""
    X, T, _ = problem(150, 4, 3)
    dask_X = da.from_array(X, chunks=(70, 3))
    at_hand = DaskSoftmaxRegression().fit(dask_X, T)
    in_chunks = DaskSoftmaxRegression().fit(dask_X, da.from_array(T, chunks=(40, 2)))
    np.testing.assert_allclose(in_chunks.coef_, at_hand.coef_, atol=1e-12)
    assert at_hand.objective_ == pytest.approx(SoftmaxRegression().fit(X, T).objective_, rel=2e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_score_is_the_share_of_the_predicted_class(client, n_classes):
    """Weighted, with an empty partition."""
    X, T, weight = problem(150, 4, n_classes)
    T *= np.arange(150)[:, np.newaxis] % 3 + 1    # counts of different sums
    parts = on_dask(X, T, weight)
    model = DaskSoftmaxRegression().fit(*parts)
    local = model.to_local()
    assert model.score(*parts) == pytest.approx(local.score(X, T, weight), rel=64 * EPS)
    assert model.score(*parts[:2]) == pytest.approx(local.score(X, T), rel=64 * EPS)
    assert model.score(X, T) == local.score(X, T)
    with pytest.raises(ValueError, match="y must have shape"):
        model.score(parts[0], da.ones((150, n_classes + 1), chunks=parts[1].chunks[:1] + (-1,)))


def test_partitions_that_the_scheduler_has_forgotten(client, monkeypatch):
    """They are made again with their distributions; the fit goes on."""
    X, T, weight = problem(150, 4, 3)
    attempt, passes = cluster_module.ClusterRows._attempt, []

    def forgetful(rows, one_pass, args):
        passes.append(one_pass)
        if len(passes) in (2, 5):
            client.cancel(rows.blocks)
        return attempt(rows, one_pass, args)

    # What is forgotten must be so before an attempt begins.
    monkeypatch.setattr(cluster_module.ClusterRows, "_attempt", forgetful)
    assert_same(*both(X, "dense", T, weight, tol=1e-9))
    assert len(passes) > 5


def _row(i, value):
    """A change of T in row `i`: in partition 2, which begins at row 41."""
    return lambda T: np.where(np.arange(len(T))[:, np.newaxis] == i, value, T)


@pytest.mark.parametrize("change, message", [
    (_row(43, np.nan), "partition 2 of y contains NaN"),
    (_row(43, np.inf), "partition 2 of y contains infinity"),
    (_row(43, -0.5), "partition 2 of y of shape .* must be non-negative, got -0.5"),
    (_row(43, 0.0), "partition 2 of y has a row of zeros, row 2, whose weight is not 0"),
    (lambda T: T * 1e308, "y times sample_weight must have a sum that float64 can hold"),
    (lambda T: T.astype(str) + "a", "could not convert string"),
])
def test_bad_targets(client, change, message):
    """A ValueError that names the partition; nothing is fitted."""
    X, T, _ = problem(150, 4, 3)
    model = DaskSoftmaxRegression()
    with pytest.raises(ValueError, match=message):
        model.fit(*on_dask(X, change(T)))
    assert not hasattr(model, "coef_")


def test_bad_forms_of_targets(client):
    """Sparse partitions, other numbers of columns or rows, three dimensions."""
    X, T, weight = problem(150, 4, 3)
    dask_X, dask_T, dask_weight = on_dask(X, T, weight)
    parts = [da.from_delayed(delayed(np.ones)((n, k)), (n, 3), float)
             for n, k in zip(dask_X.chunks[0], (3, 3, 2, 3), strict=True)]
    for y, w, message in [
        (dask_T.map_blocks(sparse.csr_array), None, "partition . of y .* must be dense"),
        (da.concatenate(parts), None, "partition 2 of y has 2 columns, expected 3"),
        (dask_T[:100], None, "X has 150 rows, and y has 100"),
        (da.ones((150, 3, 2)), None, r"y must have shape \(n_samples,\) or \(n_samples, n_cl"),
        (dask_T, da.ones((150, 2)), r"sample_weight must have shape \(n_samples,\), got 2"),
        (dask_T, 0 * dask_weight, "at least one non-zero weight"),
    ]:
        with pytest.raises(ValueError, match=message):
            DaskSoftmaxRegression().fit(dask_X, y, w)
    with pytest.raises(ValueError, match="class_weight leaves no row"):
        DaskSoftmaxRegression(class_weight={0: 0, 1: 0, 2: 0}).fit(dask_X, dask_T)
    with pytest.raises(ValueError, match="label_smoothing"):
        DaskSoftmaxRegression(label_smoothing=1.5).fit(dask_X, dask_T)
