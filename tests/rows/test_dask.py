"""`DaskSoftmaxRegression`: the same fits on a cluster."""

import asyncio
import pickle

import dask.array as da
import dask.dataframe as dd
import distributed
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from softmax_reg import SoftmaxRegression
from softmax_reg.dask import DaskSoftmaxRegression
from softmax_reg.problem import problem as problem_module
from softmax_reg.problem import sampled_start

from ..problems import EPS
from .mixtures import agree, cut, mixture

# Ignore the warnings of libraries that Dask uses.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.compiled]


class TestOptimum:
    """That of `SoftmaxRegression`."""

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("n_classes", [2, 12])
    @pytest.mark.parametrize("n_parts", [1, 2, 7, 64])
    def test_partitions(self, client, n_parts, n_classes, weighted):
        """To 1e-9 and certified, on partitions of unequal lengths that lack classes."""
        X, y = mixture(n_classes=n_classes)
        order = np.argsort(y, kind="stable")    # so most partitions have few of them
        X, y = X[order], y[order]
        weight = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
        chunks = cut(len(y), n_parts)
        args = [da.from_array(X, chunks=(chunks, 4)), da.from_array(y, chunks=(chunks,))]
        if weighted:
            args.append(da.from_array(weight, chunks=(chunks,)))
        model = DaskSoftmaxRegression(tol=1e-10).fit(*args)
        local = SoftmaxRegression(tol=1e-10).fit(X, y, weight)
        assert abs(model.objective_ - local.objective_) <= 1e-9 * local.objective_
        assert model.dual_gap_ <= 1e-10 * model.objective_
        assert model.objective_ <= local.objective_ + model.dual_gap_ + 8 * EPS
        np.testing.assert_array_equal(model.classes_, local.classes_)

    @pytest.mark.parametrize("options", [
        {"solver": "lbfgs"}, {"solver": "newton-cg"}, {"solver": "newton-cholesky"},
        {"fit_intercept": False}, {"l1_ratio": 1.0, "C": 0.05}, {"l1_ratio": 0.5, "C": 0.1},
        {"l1_ratio": 1.0, "C": 0.05, "grouped": True}, {"C": np.inf, "tol": 1e-10},
        {"l1_ratio": 1.0, "C": 0.05, "grouped": True, "groups": [0, 1, 0, 1]},
        {"class_weight": "balanced"}, {"class_weight": {0: 3.0, 2: 0.5}},
        {"penalty_factor": [1.0, np.inf, 0.5, 2.0]},
        {"l1_ratio": 1.0, "C": 0.05, "penalty_factor": [0.0, 1.0, 1.0, np.inf]},
    ])
    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_parameters(self, client, kind, options):
        """Every solver and penalty, dense and CSR; sums serve all of them."""
        X, y = mixture()
        X[np.abs(X) < 0.5] = 0
        weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
        dask_X = da.from_array(X, chunks=(200, 4)).map_blocks(kind)
        dask_y, dask_weight = (da.from_array(a, chunks=(200,)) for a in (y, weight))
        options = {"tol": 1e-6, **options}
        model = DaskSoftmaxRegression(**options).fit(dask_X, dask_y, dask_weight)
        local = SoftmaxRegression(**options).fit(kind(X), y, weight)
        assert agree(model, local)
        if np.isfinite(local.dual_gap_):
            assert model.dual_gap_ <= model.tol * model.objective_
        if kind is not np.asarray:
            dense = model.predict_proba(da.from_array(X, chunks=(200, 4)))
            proba = model.predict_proba(dask_X)
            np.testing.assert_allclose(proba.compute(), dense.compute(), rtol=64 * EPS)

    def test_balanced_weights_without_sample_weights(self, client):
        """Classes of different sizes."""
        X, y = mixture()
        X, y = X[(y > 0) | (np.arange(len(y)) < 100)], y[(y > 0) | (np.arange(len(y)) < 100)]
        model = DaskSoftmaxRegression(class_weight="balanced").fit(
            da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=100)
        )
        assert agree(model, SoftmaxRegression(class_weight="balanced").fit(X, y))

    def test_a_class_without_weight(self, client):
        """It stays in classes_, with the warning; so do partitions without rows."""
        X, y = mixture()
        weight = (y != 1).astype(float)
        chunks = (0, 250, 0, 350)
        model = DaskSoftmaxRegression(tol=1e-6)
        with pytest.warns(UserWarning, match=r"Classes \[1\] have a total weight of zero"):
            model.fit(*(da.from_array(a, chunks=(chunks, *a.shape[1:]))
                        for a in (X, y, weight)))
        with pytest.warns(UserWarning):
            local = SoftmaxRegression(tol=1e-6).fit(X, y, weight)
        assert agree(model, local)
        np.testing.assert_allclose(model.coef_, local.coef_, atol=1e-6)

    def test_labels_of_any_type_and_float32(self, client):
        """Found in one pass; coef_ has the dtype of X."""
        X, y = mixture()
        names = np.array(["b", "a", "c"])[y]
        model = DaskSoftmaxRegression().fit(
            da.from_array(X.astype(np.float32), chunks=(100, 4)), da.from_array(names, chunks=90)
        )
        assert model.classes_.tolist() == ["a", "b", "c"]
        assert model.coef_.dtype == np.float32
        assert agree(model, SoftmaxRegression().fit(X.astype(np.float32), names))

    def test_data_frames(self, client):
        """Names of the columns are kept and checked; lengths need not be known."""
        pandas = pytest.importorskip("pandas")
        X, y = mixture()
        frame = pandas.DataFrame(X, columns=list("abcd"))
        dask_X = dd.from_pandas(frame, npartitions=5)
        dask_y = dd.from_pandas(pandas.Series(y), npartitions=5)
        model = DaskSoftmaxRegression().fit(dask_X, dask_y, dask_y * 0.0 + 2.0)
        local = SoftmaxRegression().fit(frame, y, 2.0)
        assert agree(model, local)
        assert model.feature_names_in_.tolist() == list("abcd")
        np.testing.assert_array_equal(
            model.predict(dask_X).compute(), model.to_local().predict(frame)
        )
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(dask_X[["b", "a", "c", "d"]])

    def test_columns_in_several_chunks_and_labels_at_hand(self, client):
        """Features are joined, labels cut as X is."""
        X, y = mixture()
        model = DaskSoftmaxRegression().fit(da.from_array(X, chunks=(70, 3)), y)
        assert agree(model, SoftmaxRegression().fit(X, y))

    def test_a_warm_start(self, client):
        """From the last fit."""
        X, y = mixture()
        X, y = da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=100)
        model = DaskSoftmaxRegression(warm_start=True).fit(X, y)
        first = model.n_iter_[0]
        assert model.fit(X, y).n_iter_[0] <= 1 < first


@pytest.mark.parametrize("kind", ["few weights", "small partitions"])
def test_a_start_from_a_sample_of_little(client, monkeypatch, kind):
    """Two rows with weight, or no partition that holds a whole run of rows: taken whole."""
    monkeypatch.setattr(sampled_start, "MIN_FLOPS", 0)
    X, y = mixture(2000, 2, 2)
    weight = np.ones(2000)
    if kind == "few weights":
        weight[np.arange(2000) % 1000 > 0] = 0.0
        y[[0, 1000]] = 0, 1
    rows = 500 if kind == "few weights" else 10
    parts = [da.from_array(a, chunks=(rows, *a.shape[1:])) for a in (X, y, weight)]
    model = DaskSoftmaxRegression(client=client, tol=1e-6).fit(*parts)
    assert agree(model, SoftmaxRegression(tol=1e-6).fit(X, y, weight))


def test_weights_whose_sum_is_no_number(client):
    """An error that names them."""
    X, y = (da.from_array(a, chunks=300) for a in mixture())
    for weight in (1e308, 1e-320):
        with pytest.raises(ValueError, match="sample_weight must have a sum"):
            DaskSoftmaxRegression(client=client).fit(X, y, da.full(600, weight, chunks=300))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_start_from_a_sample(client, monkeypatch, kind):
    """From all partitions, with every class and its share; fewer passes, the same optimum."""
    X, y = mixture(8000, 3, 5)
    y[y == 4] = 3
    y[:7] = 4    # rare: all of them are taken
    weight = np.random.default_rng(1).uniform(0, 2, len(y))
    X[np.abs(X) < 0.5] = 0
    parts = [da.from_array(a, chunks=(1500, *a.shape[1:])) for a in (X, y, weight)]
    parts[0] = parts[0].map_blocks(kind)
    options = {"solver": "lbfgs"}
    plain = DaskSoftmaxRegression(**options).fit(*parts)
    samples = []
    start = sampled_start.start_from_sample

    def counted(objective, sampled, *rest):
        samples.append((sampled.rows.X, *sampled.sample.labels))
        return start(objective, sampled, *rest)

    monkeypatch.setattr(problem_module, "start_from_sample", counted)
    monkeypatch.setattr(sampled_start, "MIN_FLOPS", 0)
    model = DaskSoftmaxRegression(**options).fit(*parts)
    ((some, labels, weights),) = samples
    assert sparse.issparse(some) == (kind is not np.asarray)
    assert len(labels) <= 8000 / 16 + 7 and np.count_nonzero(labels == 4) == 7
    shares = np.bincount(labels, weights=weights) / weights.sum()
    np.testing.assert_allclose(
        shares, np.bincount(y, weights=weight) / weight.sum(), rtol=256 * EPS
    )
    assert agree(model, plain) and model.n_iter_[0] < plain.n_iter_[0]


class TestPredictions:
    """Block by block, when they are asked for."""

    @pytest.fixture(scope="class", params=[2, 3])
    def fitted(self, client, request):
        """(model, X)."""
        X, y = mixture(n_classes=request.param)
        return DaskSoftmaxRegression().fit(
            da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=100)
        ), X

    @pytest.mark.parametrize("method", [
        "predict", "predict_proba", "predict_log_proba", "decision_function",
    ])
    def test_lazy(self, fitted, method):
        """Shape and dtype are known before; values are the local model's."""
        model, X = fitted
        expected = getattr(model.to_local(), method)(X)
        for chunks in ((100, 4), (130, 2), ((0, 600), 4)):
            lazy = getattr(model, method)(da.from_array(X, chunks=chunks))
            assert lazy.shape == expected.shape and lazy.dtype == expected.dtype
            np.testing.assert_array_equal(lazy.compute(), expected)
        np.testing.assert_array_equal(getattr(model, method)(X), expected)

    def test_score(self, fitted):
        """Weighted, with partitions of no rows."""
        model, X = fitted
        y = model.to_local().predict(X)
        y[:50] = 0
        weight = np.random.default_rng(1).uniform(0, 1, len(y))
        chunks = (0, 100, 500)
        parts = [da.from_array(a, chunks=(chunks, *a.shape[1:])) for a in (X, y, weight)]
        local = model.to_local()
        assert model.score(*parts) == pytest.approx(local.score(X, y, weight), rel=64 * EPS)
        assert model.score(*parts[:2]) == pytest.approx(local.score(X, y), rel=64 * EPS)
        assert model.score(X, y) == local.score(X, y)

    def test_it_travels(self, client, fitted):
        """Pickled without the client, cloned with it, local with the same parameters."""
        model, X = fitted
        model.set_params(client=client, C=1.0)
        again = pickle.loads(pickle.dumps(model))
        assert again.client is None
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        copy = clone(model)
        assert copy.client is client and not hasattr(copy, "coef_")
        local = model.to_local()
        assert type(local) is SoftmaxRegression and local.dual_gap_ == model.dual_gap_
        local.coef_[:] = 0
        assert np.any(model.coef_)
        model.set_params(client=None)

    def test_more_features(self, fitted):
        """Than in the fit."""
        model, _ = fitted
        with pytest.raises(ValueError, match="X has 5 features, but DaskSoftmaxRegression is"):
            model.predict(da.ones((10, 5)))
        with pytest.raises(NotFittedError):
            DaskSoftmaxRegression().predict(da.ones((10, 4)))


class TestBadInput:
    """Clear errors that name the partition."""

    def test_no_batches(self):
        """As scikit-learn finds out what an estimator can do."""
        assert not hasattr(DaskSoftmaxRegression(), "partial_fit")

    @pytest.mark.parametrize("change, error, message", [
        (lambda X, y, w: (X.compute(), y, w), TypeError,
         "X must be a 2-D Dask array .* Use SoftmaxRegression"),
        (lambda X, y, w: (X, list(range(600)), w), TypeError, "y must be a Dask array or Series"),
        (lambda X, y, w: (X[:500], y, w), ValueError, "X has 500 rows, and y has 600"),
        (lambda X, y, w: (X, y, w[:500]), ValueError, "X has 600 rows, and sample_weight has 500"),
        (lambda X, y, w: (X[X[:, 0] > 0], y, w), ValueError,
         "partition . of X has .* rows, and that of y has 200"),
        (lambda X, y, w: (X[X[:, 0] > 0], y.rechunk(100), w), ValueError,
         "X has 3 partitions and y has 6"),
        (lambda X, y, w: (da.where(X > 3, np.nan, X), y, w), ValueError,
         "partition . of X contains NaN"),
        (lambda X, y, w: (X, y, w - 1.5), ValueError, "sample_weight must be non-negative, got"),
        (lambda X, y, w: (X, y, w * 0), ValueError, "at least one non-zero weight"),
        (lambda X, y, w: (X, y * 0, w), ValueError, "at least 2 classes .* only one class: 0"),
        (lambda X, y, w: (X, y + 0.5, w), ValueError, "Unknown label type"),
        (lambda X, y, w: (X, y.astype(object).map_blocks(lambda b: np.where(b, b, np.nan)), w),
         ValueError, "partition . of y contains NaN"),
        (lambda X, y, w: (X, y, w[:, None] * da.ones((1, 2))), ValueError,
         r"sample_weight must have shape \(n_samples,\), got 2 dimensions"),
        (lambda X, y, w: (X[:0], y[:0], w[:0]), ValueError, "X has no rows"),
        (lambda X, y, w: (X.map_blocks(lambda block: np.full(block.shape, "a"), dtype="U1"), y, w),
         ValueError, "could not convert string"),
        (lambda X, y, w: (X[:, 0], y, w), TypeError, "X must be a 2-D Dask array"),
    ])
    def test_what_is_refused(self, client, change, error, message):
        """Nothing is fitted."""
        X, y = mixture()
        args = [da.from_array(a, chunks=(200, *a.shape[1:]))
                for a in (X, y, np.ones(len(y)))]
        model = DaskSoftmaxRegression()
        with pytest.raises(error, match=message):
            model.fit(*change(*args))
        assert not hasattr(model, "coef_")

    def test_partitions_of_different_widths(self, client):
        """As only delayed blocks can have."""
        from dask import delayed

        parts = [da.from_delayed(delayed(np.ones)((5, width)), (np.nan, 2), float)
                 for width in (2, 3)]
        y = da.from_array(np.arange(10) % 2, chunks=5)
        with pytest.raises(ValueError, match=r"differ in their number of features: \[2, 3\]"):
            DaskSoftmaxRegression().fit(da.concatenate(parts), y)

    def test_no_client(self):
        """As Dask says it; a closed one."""
        X, y = (da.from_array(a, chunks=300) for a in mixture())
        closed = distributed.Client(
            processes=False, n_workers=1, dashboard_address=":0", set_as_default=False
        )
        closed.close()
        with pytest.raises(RuntimeError, match="The Dask client is closed"):
            DaskSoftmaxRegression(client=closed).fit(X, y)

    def test_an_asynchronous_client(self):
        """`fit` waits, so it needs a client that does."""
        X, y = (da.from_array(a, chunks=300) for a in mixture())

        async def fit():
            async with distributed.Client(
                processes=False, n_workers=1, dashboard_address=":0", set_as_default=False,
                asynchronous=True,
            ) as client:
                DaskSoftmaxRegression(client=client).fit(X, y)

        with pytest.raises(ValueError, match="client must be synchronous"):
            asyncio.run(fit())
