"""X in a file, read in blocks: `RowBlocks` and the passes over them."""

import functools
import threading

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import cross_val_score

from softmax_reg import RowBlocks, SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.estimators import validation
from softmax_reg.problem import sampled_start
from softmax_reg.rows import row_blocks
from softmax_reg.rows.base import Sample
from softmax_reg.rows.file import FileRows
from softmax_reg.rows.reference import ReferenceRows
from softmax_reg.rows.subsample import fraction_of

from ..problems import EPS, random_problem
from . import mixtures
from .mixtures import agree
from .rows_checks import (
    check_column_summary,
    check_curvature,
    check_distributions,
    check_hess_prod,
    check_value_grad,
)


@pytest.fixture
def tiny(monkeypatch):
    """Blocks of a few rows; every file is large."""
    monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(validation, "LARGE_FILE", 0)


class Dataset:
    """What h5py and zarr have: a shape, a dtype and slices; what else is asked for fails."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.threads = set()

    def __getitem__(self, part):
        assert isinstance(part, slice) and part.step is None
        assert part.stop <= len(self._array)
        self.threads.add(threading.current_thread().name)
        return self._array[part].copy()


class OnDevice:
    """An array that NumPy is not to copy from its device."""

    def __array__(self, *args, **kwargs):
        raise TypeError("no implicit conversion")


small_mixture = functools.partial(mixtures.mixture, n_samples=60, n_features=3)


@pytest.mark.usefixtures("tiny")
class TestPasses:
    """Sums over blocks == reference, whatever the blocks are."""

    @pytest.mark.parametrize("n_rows", [1, 3])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_against_the_reference(self, n_rows, dtype):
        """Sums over blocks, of which the last is shorter."""
        X, y, weight, theta = random_problem(23, 4, n_rows, dtype=dtype)
        shift = np.random.default_rng(1).standard_normal(4)
        rows, reference = FileRows(RowBlocks(Dataset(X))), ReferenceRows(X)
        sample = Sample(y, weight)
        assert len(list(rows.X.blocks())) > 3
        check_column_summary(rows, reference, sample)
        check_value_grad(rows, reference, sample, shift, theta)
        check_hess_prod(rows, reference, sample, shift, theta)
        check_distributions(rows, reference, sample, shift, theta)
        for full in (True, False):
            check_curvature(rows, reference, sample, shift, theta, full, True)
        hessian = rows.value_grad_hessian(sample, shift, theta)[3]
        index = np.array([0, 3, theta.size - 1])
        part = rows.hessian(sample, shift, theta, index)
        np.testing.assert_allclose(
            part, hessian[np.ix_(index, index)], atol=64 * EPS * np.abs(hessian).max()
        )

    def test_columns_and_rows(self):
        """As of an ndarray; taken twice, too."""
        X = np.arange(60.0).reshape(12, 5)
        rows = RowBlocks(Dataset(X))
        some = rows.take(np.array([0, 2, 4]), axis=1).take(np.array([1, 2]), axis=1)
        assert some.shape == (12, 2) and some.size == 24 and some.nbytes == 192
        np.testing.assert_array_equal(some[3:7], X[3:7, [2, 4]])
        index = np.array([11, 0, 5, 5])
        np.testing.assert_array_equal(rows[index], X[index])
        np.testing.assert_array_equal(rows[index, ...], X[index])
        np.testing.assert_array_equal(rows[X[:, 0] > 30], X[X[:, 0] > 30])
        assert rows[np.array([], dtype=int)].shape == (0, 5)
        for bad, error in ((3, TypeError), (np.array([12]), IndexError), ([0.5], TypeError),
                           (np.array([-1]), IndexError), (np.eye(2, dtype=int), TypeError),
                           (slice(None, None, 2), TypeError), (slice(None, None, -1), TypeError),
                           (np.array([True, False]), IndexError)):
            with pytest.raises(error):
                rows[bad]
        with pytest.raises(TypeError, match="not read as a whole"):
            np.asarray(rows)

    def test_the_next_block_is_read_meanwhile(self):
        """By one other thread; one that is not wanted any more is waited for."""
        data = Dataset(np.ones((50, 3)))
        blocks = RowBlocks(data).blocks()
        data.threads.clear()    # the first row is read at once
        next(blocks)
        blocks.close()
        assert len(data.threads) == 1
        assert threading.current_thread().name not in data.threads
        assert not [t for t in threading.enumerate() if t.name.startswith("softmax_reg-reader")]


@pytest.mark.usefixtures("tiny")
class TestFits:
    """The same optimum as from memory."""

    @pytest.mark.parametrize("options", [
        {}, {"fit_intercept": False}, {"l1_ratio": 1.0, "C": 0.3}, {"C": np.inf, "tol": 1e-10},
        {"solver": "lbfgs"}, {"solver": "newton-cg"}, {"penalty_factor": [1.0, np.inf, 2.0]},
        {"class_weight": "balanced"}, {"l1_ratio": 0.5, "penalty_factor": [0.0, 1.0, 1.0]},
    ])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_optimum(self, n_classes, options):
        """With every solver and penalty, weighted; predictions are the same rows'."""
        X, y = small_mixture(n_classes=n_classes)
        weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
        options = {"tol": 1e-6, **options}
        model = SoftmaxRegression(**options).fit(RowBlocks(Dataset(X)), y, weight)
        expected = SoftmaxRegression(**options).fit(X, y, weight)
        if options.get("C") == np.inf:
            assert model.objective_ == pytest.approx(expected.objective_, rel=1e-9)
        else:
            assert agree(model, expected)
        for method in ("predict_proba", "decision_function", "predict"):
            actual, expected = (getattr(model, method)(form) for form in (RowBlocks(X), X))
            # Few rows in memory have no kernels, which sum in another order.
            np.testing.assert_allclose(actual, expected, rtol=64 * EPS, atol=64 * EPS)

    def test_a_memmap_is_read_in_blocks(self, tmp_path, monkeypatch):
        """By itself, read-only; the file does not change."""
        X, y = small_mixture()
        np.save(tmp_path / "X.npy", X.astype(np.float32))
        before = (tmp_path / "X.npy").read_bytes()
        X_map = np.load(tmp_path / "X.npy", mmap_mode="r")
        passes = []
        value_grad = FileRows.value_grad
        monkeypatch.setattr(
            FileRows, "value_grad", lambda *args: (passes.append(1), value_grad(*args))[1]
        )
        model = SoftmaxRegression().fit(X_map, y)
        assert passes and model.coef_.dtype == np.float32
        assert agree(model, SoftmaxRegression().fit(X.astype(np.float32), y))
        assert (tmp_path / "X.npy").read_bytes() == before
        monkeypatch.setattr(validation, "LARGE_FILE", 2**30)
        passes.clear()
        SoftmaxRegression().fit(X_map, y)
        assert not passes

    @pytest.mark.parametrize("dtype, kept", [
        (np.float16, np.float32), (np.int8, np.float64), (np.bool_, np.float64),
        (np.dtype(">f4"), np.float32), (np.dtype(">f8"), np.float64),
    ])
    def test_other_types_are_converted_by_block(self, dtype, kept):
        """And Fortran's order."""
        X, y = small_mixture()
        X = np.asfortranarray(X.astype(dtype))
        model = SoftmaxRegression().fit(RowBlocks(X), y)
        assert model.coef_.dtype == kept
        assert agree(model, SoftmaxRegression().fit(X.astype(kept), y))

    def test_a_start_from_a_sample(self, monkeypatch):
        """Its rows are gathered in one pass."""
        monkeypatch.setattr(sampled_start, "MIN_FLOPS", 0)
        monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 2**14)
        X, y = small_mixture(n_samples=5000, n_features=2, n_classes=2)
        started = []
        start = sampled_start.start_from_sample
        monkeypatch.setattr(
            "softmax_reg.problem.problem.start_from_sample",
            lambda *args: started.append(start(*args)) or started[-1],
        )
        model = SoftmaxRegression().fit(RowBlocks(X), y)
        assert started and agree(model, SoftmaxRegression().fit(X, y))

    def test_samples_of_large_files_are_small(self):
        """At most 2^27 numbers, whatever the file has."""
        assert fraction_of(10**6) == 16
        n_entries = 10**12
        assert n_entries / fraction_of(n_entries) <= 2**27

    def test_paths_and_searches(self):
        """softmax_path block by block; a search copies its folds."""
        X, y = small_mixture()
        rows = RowBlocks(Dataset(X))
        path = softmax_path(rows, y, n_Cs=4)
        expected = softmax_path(X, y, n_Cs=4)
        np.testing.assert_allclose(path.Cs, expected.Cs, rtol=64 * EPS)
        gaps = np.maximum(path.dual_gaps, expected.dual_gaps) + 8 * EPS
        assert np.all(np.abs(path.objectives - expected.objectives) <= gaps)
        search = SoftmaxRegressionCV(Cs=2, cv=2).fit(rows, y)
        assert agree(search, SoftmaxRegressionCV(Cs=2, cv=2).fit(X, y))
        np.testing.assert_array_equal(
            cross_val_score(SoftmaxRegression(), rows, y, cv=2),
            cross_val_score(SoftmaxRegression(), X, y, cv=2),
        )


@pytest.mark.usefixtures("tiny")
class TestBadInput:
    """What cannot be used is refused, and nothing is fitted."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("weight", [None, 0.0])
    def test_values_that_are_not_finite(self, bad, weight):
        """Found in the first pass, with their row; also in rows that weigh nothing."""
        X, y = small_mixture()
        X[41, 1] = bad
        weights = np.ones(len(y))
        weights[41] = 1.0 if weight is None else weight
        model = SoftmaxRegression()
        with pytest.raises(ValueError, match="Input X contains NaN or infinity, in row 41"):
            model.fit(RowBlocks(X), y, weights)
        assert not hasattr(model, "coef_")
        X[41, 1] = 0.0
        model.fit(RowBlocks(X), y)
        X[41, 1] = bad
        with pytest.raises(ValueError, match="in row 41"):
            model.predict(RowBlocks(X))

    @pytest.mark.parametrize("array, error, message", [
        ([[1.0]], TypeError, "needs an array with shape, dtype and slices of rows, got list"),
        (sparse.csr_array(np.eye(3)), TypeError, "needs a dense array, got csr_array"),
        (np.ones(3), ValueError, r"needs a 2-D array .* got shape \(3,\)"),
        (np.ones((0, 3)), ValueError, "at least one sample"),
        (np.ones((3, 0)), ValueError, "at least one sample and one feature"),
        (np.ones((3, 1), dtype=complex), ValueError, "needs real numbers, got dtype complex128"),
        (np.array([["a"]]), ValueError, "needs real numbers"),
        (np.ones((3, 1), dtype=object), ValueError, "needs real numbers, got dtype object"),
    ])
    def test_what_has_no_rows(self, array, error, message):
        """By its name."""
        with pytest.raises(error, match=message):
            RowBlocks(array)

    @pytest.mark.parametrize("sliced, error, message", [
        (sparse.csr_matrix, TypeError, r"dense slices .* Other are sparse \(csr_matrix\)\. Read"),
        (sparse.csc_array, TypeError, r"of Other are sparse \(csc_array\)"),
        (lambda rows: rows[:, :2], ValueError, r"must have shape \(1, 3\), got \(1, 2\)"),
        (lambda rows: rows[0], ValueError, r"must have shape \(1, 3\), got \(3,\)"),
        (lambda rows: object(), ValueError, r"must have shape \(1, 3\), got \(\)"),
        (lambda rows: rows.astype(str), ValueError, "a slice of Other has dtype <U32"),
        (lambda rows: rows + 1j, ValueError, "a slice of Other has dtype complex128"),
        (lambda rows: OnDevice(), TypeError, "those of Other it cannot: no implicit conversion"),
    ], ids=["CSR", "CSC", "columns", "1-D", "object", "strings", "complex", "device"])
    def test_slices_that_are_no_dense_rows(self, sliced, error, message):
        """Refused at the start, not in mid-fit."""

        class Other(Dataset):
            def __getitem__(self, part):
                return sliced(super().__getitem__(part))

        with pytest.raises(error, match=message):
            RowBlocks(Other(np.ones((4, 3))))

    def test_a_dtype_of_another_library(self):
        """TypeError with the dtype and the class."""
        data = Dataset(np.ones((4, 3)))
        data.dtype = "library.float32"
        with pytest.raises(TypeError, match="got Dataset with dtype 'library.float32'"):
            RowBlocks(data)

    @pytest.mark.parametrize("columns", [None, [0, 2]])
    def test_masked_values(self, columns):
        """Masks are not dropped: netCDF4 has fill values of 1e37 beneath. None masked is fine."""
        X, y = small_mixture()
        masked = np.ma.masked_array(X, mask=np.zeros(X.shape, dtype=bool))
        rows = RowBlocks(Dataset(masked))
        rows = rows if columns is None else rows.take(columns)
        X = X if columns is None else X[:, columns]
        expected = SoftmaxRegression().fit(RowBlocks(X), y)
        np.testing.assert_array_equal(SoftmaxRegression().fit(rows, y).coef_, expected.coef_)
        masked[41, 2] = np.ma.masked
        for use in (lambda: SoftmaxRegression().fit(rows, y), lambda: expected.predict(rows)):
            with pytest.raises(ValueError, match="X contains masked values, in row 41"):
                use()

    def test_a_batch_is_read(self):
        """`partial_fit` of rows in a file is that of the rows."""
        X, y = small_mixture()
        model = SoftmaxRegression().partial_fit(RowBlocks(Dataset(X)), y, classes=[0, 1, 2])
        expected = SoftmaxRegression().partial_fit(X, y, classes=[0, 1, 2])
        np.testing.assert_array_equal(model.coef_, expected.coef_)

    def test_labels_and_features(self):
        """As many labels as rows; as many features as in the fit; some labels."""
        X, y = small_mixture()
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            SoftmaxRegression().fit(RowBlocks(X), y[:-1])
        with pytest.raises(ValueError, match="requires y to be passed"):
            SoftmaxRegression().fit(RowBlocks(X), None)
        model = SoftmaxRegression().fit(X, y)
        with pytest.raises(ValueError, match="X has 2 features, but SoftmaxRegression is expect"):
            model.predict(RowBlocks(X[:, :2]))
        with pytest.raises(ValueError, match="axis must be 1, got 0"):
            RowBlocks(X).take([0], axis=0)
        assert sparse.issparse(model.sparsify().coef_)
        np.testing.assert_array_equal(model.predict(RowBlocks(X)), model.predict(X))

    def test_an_error_while_reading_is_the_users(self):
        """It comes out of fit as it is."""

        class Broken(Dataset):
            def __getitem__(self, part):
                if part.start > 20:
                    raise OSError("the disk is gone")
                return super().__getitem__(part)

        X, y = small_mixture()
        with pytest.raises(OSError, match="the disk is gone"):
            SoftmaxRegression().fit(RowBlocks(Broken(X)), y)

    @pytest.mark.parametrize("lacking", ["rows", "columns"])
    def test_blocks_of_another_shape(self, lacking):
        """A file that has become shorter, say: its rows do not drop out of the sums in silence."""

        class Short(Dataset):
            def __getitem__(self, part):
                block = super().__getitem__(part)
                if part.stop <= 20:
                    return block
                return block[:-1] if lacking == "rows" else block[:, :-1]

        X, y = small_mixture()
        with pytest.raises(ValueError, match="of the array of RowBlocks must have shape"):
            SoftmaxRegression().fit(RowBlocks(Short(X)), y)
