"""Arrays on a CUDA device: inputs there, copies to it, halves for tf32; run as `cuda_cases`.

In the simulator an array on the device is NumPy's: there `OnDevice` stands for the arrays of
CuPy and PyTorch.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.cuda import algebra, blocks, device, tf32
from softmax_reg.cuda.device import IS_SIMULATED, array_module, to_device, to_host
from softmax_reg.rows.algebra import HOST_ALGEBRA
from softmax_reg.rows.base import Sample
from softmax_reg.rows.device import DeviceAlgebra, DeviceRows
from softmax_reg.rows.device_input import as_numpy, in_kind_of
from softmax_reg.rows.reference import ReferenceRows
from softmax_reg.solvers.lbfgs import PairMemory

from ..problems import EPS, random_problem
from ..rows.rows_checks import assert_close, check_hess_prod, check_value_grad

pytestmark = pytest.mark.gpu
try:
    array_module()
except (ImportError, RuntimeError) as error:
    pytest.skip(str(error), allow_module_level=True)


class OnDevice:
    """An array of a library of its own, in what passes for the device in the simulator."""

    __cuda_array_interface__ = property(lambda self: self.array.__array_interface__)
    shape = property(lambda self: self.array.shape)

    def __init__(self, array):
        self.array = array

    @staticmethod
    def from_dlpack(array):
        return OnDevice(np.array(np.from_dlpack(array)))    # NumPy < 2.1 makes it read-only

    def __array_namespace__(self):
        return OnDevice

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def kinds():
    """Functions that put a NumPy array on the device: every library there is."""
    if IS_SIMULATED:
        return [OnDevice]
    out = [array_module().asarray]
    try:
        import torch

        out.append(lambda array: torch.from_numpy(array).cuda().requires_grad_(
            array.dtype.kind == "f"
        ))
    except ImportError:
        pass
    return out


@pytest.fixture(params=kinds())
def put(request):
    """A function that puts a NumPy array on the device."""
    return request.param


def some_rows(dtype=np.float64, n_classes=2):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((8, 2)) + 3).astype(dtype)
    return X, np.arange(8) % n_classes, rng.uniform(0.5, 2, 8)


@pytest.mark.parametrize("dtype, n_classes", [(np.float32, 2), (np.float64, 3)])
def test_a_fit_of_arrays_on_the_device(put, dtype, n_classes):
    """The same bits as from the host; what comes back is of their kind, and on the host's."""
    X, y, weight = some_rows(dtype, n_classes)
    options = {"device": "cuda", "tol": 0.1}
    expected = SoftmaxRegression(**options).fit(X, y, weight)
    model = SoftmaxRegression(**options).fit(put(X), put(y), put(weight))
    assert type(model.coef_) is type(model.intercept_) is type(put(X))
    np.testing.assert_array_equal(as_numpy(model.coef_), expected.coef_)
    assert isinstance(expected.coef_, np.ndarray)
    for method in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        on_device = getattr(model, method)(put(X))
        assert type(on_device) is type(put(X))
        here = getattr(model, method)(X)
        assert isinstance(here, np.ndarray) and here.dtype == as_numpy(on_device).dtype
        np.testing.assert_array_equal(as_numpy(on_device), here)
        np.testing.assert_array_equal(here, getattr(expected, method)(X))
    assert model.score(put(X), put(y), put(weight)) == expected.score(X, y, weight)


def test_a_model_from_the_device_goes_elsewhere(put):
    """To the CPU, to scikit-learn, into a warm start, into a sparse array."""
    X, y, _ = some_rows()
    model = SoftmaxRegression(device="cuda", warm_start=True).fit(put(X), y)
    coef = as_numpy(model.coef_).copy()
    np.testing.assert_array_equal(model.to_sklearn().coef_, coef)
    warm = model.fit(put(X), y)
    assert warm.n_iter_[0] <= 1
    proba = model.set_params(device="cpu").predict_proba(X)
    np.testing.assert_allclose(proba, model.to_sklearn().predict_proba(X), rtol=64 * EPS)
    np.testing.assert_array_equal(model.sparsify().coef_.toarray(), as_numpy(warm.coef_.toarray()))


def test_two_classes_and_labels_that_are_no_numbers(put):
    """Log-odds of one column; labels from the host."""
    X, y, _ = some_rows()
    labels = np.array(["no", "yes"])[y]
    model = SoftmaxRegression(device="cuda").fit(put(X), labels)
    assert as_numpy(model.decision_function(put(X))).shape == (8,)
    predicted = model.predict(put(X))
    assert isinstance(predicted, np.ndarray) and set(predicted) <= {"no", "yes"}


def test_paths_and_searches_give_numpy(put):
    """The same as from the host."""
    X, y, weight = some_rows()
    options = {"Cs": [0.1, 1.0], "l1_ratio": 0.0, "device": "cuda"}
    path = softmax_path(put(X), y, sample_weight=put(weight), **options)
    expected = softmax_path(X, y, sample_weight=weight, **options)
    np.testing.assert_array_equal(path.coefs, expected.coefs)
    search = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, device="cuda").fit(put(X), put(y))
    assert isinstance(search.coef_, np.ndarray) and search.C_ in (0.1, 1.0)


def test_an_l1_part_takes_arrays_on_the_device_to_the_host(put):
    """With the warning; and so does a fit in the space of few rows."""
    X, y, _ = some_rows()
    with pytest.warns(UserWarning, match="this fit runs on the CPU"):
        model = SoftmaxRegression(device="cuda", l1_ratio=1.0, C=10.0).fit(put(X), y)
    assert type(model.coef_) is type(put(X))
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 500)), np.arange(6) % 2
    wide = SoftmaxRegression(device="cuda").fit(put(X), y)
    expected = SoftmaxRegression().fit(X, y)
    difference = abs(wide.objective_ - expected.objective_)
    assert difference <= max(wide.dual_gap_, expected.dual_gap_) + 8 * EPS


@pytest.mark.parametrize("change, message", [
    (lambda X: X[0], "X must be 2-D"),
    (lambda X: X[:0], "at least one sample and one feature"),
    (lambda X: X + 1j, "must hold real numbers"),
    (lambda X: np.where(X > 4, np.nan, X), "Input X contains NaN or infinity"),
    (lambda X: np.where(X > 4, np.inf, X), "Input X contains NaN or infinity"),
    (lambda X: X[:5], "inconsistent numbers of samples"),
])
def test_bad_arrays_on_the_device(put, change, message):
    """Refused as those on the host are; nothing is fitted."""
    X, y, _ = some_rows()
    model = SoftmaxRegression(device="cuda")
    with pytest.raises(ValueError, match=message):
        model.fit(put(change(X)), y)
    assert not hasattr(model, "coef_")


def test_the_device_has_to_be_asked_for(put):
    """No silent copy to the host; as many features as in the fit."""
    X, y, _ = some_rows()
    with pytest.raises(ValueError, match="X is on a CUDA device, .* and device='cpu'"):
        SoftmaxRegression().fit(put(X), y)
    model = SoftmaxRegression(device="cuda").fit(X, y)
    with pytest.raises(ValueError, match="X has 1 features, but SoftmaxRegression is expecting 2"):
        model.predict(put(np.ascontiguousarray(X[:, :1])))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict_proba(put(np.full_like(X, np.nan)))
    with pytest.raises(ValueError, match="X is on a CUDA device"):
        model.set_params(device="cpu").predict(put(X))


def test_integers_and_halves_are_converted(put):
    """To float64 and float32, as on the host."""
    X, y, _ = some_rows()
    for given, kept in ((np.int64, np.float64), (np.float16, np.float32)):
        model = SoftmaxRegression(device="cuda").fit(put(X.astype(given)), y)
        expected = SoftmaxRegression(device="cuda").fit(X.astype(given), y)
        assert as_numpy(model.coef_).dtype == kept
        np.testing.assert_array_equal(as_numpy(model.coef_), expected.coef_)


def test_arrays_without_a_library_come_back_as_those_of_array_module():
    """Numba's device arrays, say."""
    bare = SimpleNamespace(__cuda_array_interface__={})
    assert isinstance(in_kind_of(bare)(np.ones(2)), array_module().ndarray)


def test_rows_that_are_moved_take_turns(monkeypatch):
    """Two buffers of each kind, and every wait that keeps one from being overwritten too soon."""
    log = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def record(self):
            log.append(event := Event(f"{self.name}{len(log)}"))
            return event

        def wait_event(self, event):
            log.append((self.name, "waits for", event))

    class Event:
        def __init__(self, name):
            self.name = name

        def synchronize(self):
            log.append(("host", "waits for", self))

    class Array(np.ndarray):
        def set(self, host, stream):
            self[...] = host
            log.append((stream.name, "copies", self.__array_interface__["data"][0]))

    def empty(shape, dtype):
        return np.empty(shape, dtype).view(Array)

    working = Stream("working")
    fake = SimpleNamespace(empty=empty, cuda=SimpleNamespace(
        Stream=lambda non_blocking: Stream("copying"), get_current_stream=lambda: working,
    ))
    monkeypatch.setattr(device, "IS_SIMULATED", False)
    monkeypatch.setattr(device, "array_module", lambda: fake)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=empty))
    X = np.arange(22.0).reshape(11, 2)
    parts = [slice(start, min(start + 3, 11)) for start in range(0, 11, 3)]
    seen = [(part, np.array(block)) for part, block in device.moved(X, parts)]
    assert [part for part, _ in seen] == parts
    for part, block in seen:
        np.testing.assert_array_equal(block, X[part])
    # Each copy waits for the work on its buffer, the work for the copy; and the host, from
    # the third block on, for the copy that last read its pinned buffer.
    before = log[0]
    assert before.name.startswith("working")
    arrived, worked, rest = [], [before, before], iter(log[1:])
    for turn in range(len(parts)):
        if turn >= 2:
            assert next(rest) == ("host", "waits for", arrived[turn - 2])
        assert next(rest) == ("copying", "waits for", worked[turn])
        assert next(rest)[:2] == ("copying", "copies")
        arrived.append(next(rest))
        assert next(rest) == ("working", "waits for", arrived[turn])
        worked.append(next(rest))
    assert next(rest, None) is None
    copies = [entry[2] for entry in log if isinstance(entry, tuple) and entry[1] == "copies"]
    assert copies[0] == copies[2] != copies[1] == copies[3]


def test_a_memmap_is_read_in_blocks(tmp_path, monkeypatch):
    """Where it does not fit; the same bits as from memory."""
    X, y, _ = some_rows(np.float32)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(blocks, "MAX_ROWS", 5)
    expected = SoftmaxRegression(device="cuda").fit(X, y)
    monkeypatch.setattr("softmax_reg.rows.device.free_bytes", lambda: 0)
    model = SoftmaxRegression(device="cuda").fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


class TestSplitProducts:
    """precision="tf32x3"."""

    def test_halves(self):
        """Eleven bits each, and together all but the last of them."""
        values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
        high, low = (to_host(half) for half in tf32.halves(to_device(values)))
        for half in (high, to_host(tf32.halves(to_device(low))[0])):
            assert not np.any(half.view(np.int32) & 0x1FFF)
        np.testing.assert_array_equal(high + low, values)
        assert np.all(np.abs(low) <= 2.0**-11 * np.abs(values))

    @pytest.mark.parametrize("is_transposed", [False, True])
    def test_products_are_nearly_as_good_as_in_float32(self, is_transposed):
        """Errors of 2^-21 of the sum of absolute terms, and of the additions."""
        rng = np.random.default_rng(0)
        left, right = (rng.standard_normal(shape).astype(np.float32)
                       for shape in ((40, 64), (64, 24)))
        exact = left.astype(np.float64) @ right
        terms = np.abs(left) @ np.abs(right)
        out = to_device(np.empty((40, 24), dtype=np.float32))
        device_left = to_device(np.ascontiguousarray(left.T)).T if is_transposed else (
            to_device(left)
        )
        tf32.split_product(device_left, to_device(right), out)
        error = np.abs(to_host(out) - exact)
        assert np.all(error <= (2.0**-21 + 8 * 2.0**-24) * terms)
        rounded = tf32.halves(left)[0] @ tf32.halves(right)[0]
        assert np.abs(rounded - exact).max() > 50 * error.max()    # what the split is for

    @pytest.mark.parametrize("n_rows", [1, 3])
    def test_passes_are_those_of_float32(self, n_rows):
        """Loss, gradient and products with the Hessian, against the reference."""
        X, y, weight, theta = random_problem(6, 3, n_rows, dtype=np.float32)
        shift = np.random.default_rng(1).standard_normal(3)
        rows, sample = DeviceRows(X, is_split=True), Sample(y, weight)
        assert rows.is_split and not DeviceRows(X).is_split
        for arithmetic in (np.float32, np.float64):
            check_value_grad(rows, ReferenceRows(X), sample, shift, theta, arithmetic)
        check_hess_prod(rows, ReferenceRows(X), sample, shift, theta)

    def test_the_optimum_is_certified_all_the_same(self, monkeypatch):
        """By float64; products in halves were made on the way."""
        made = []
        split_product = blocks.split_product
        monkeypatch.setattr(
            blocks, "split_product", lambda *args: (made.append(1), split_product(*args))
        )
        monkeypatch.setattr("softmax_reg.solvers.lbfgs.SINGLE_FLOPS", 0.0)
        X, y, _ = some_rows(np.float32)
        options = {"solver": "lbfgs", "tol": 1e-6}
        model = SoftmaxRegression(device="cuda", precision="tf32x3", **options).fit(X, y)
        expected = SoftmaxRegression(**options).fit(X, y)
        assert made and model.dual_gap_ <= 1e-6 * model.objective_
        difference = abs(model.objective_ - expected.objective_)
        assert difference <= max(model.dual_gap_, expected.dual_gap_) + 8 * EPS

    def test_they_need_the_device(self):
        """An error instead of silence."""
        X, y, _ = some_rows()
        with pytest.raises(ValueError, match="precision='tf32x3' needs device='cuda'"):
            SoftmaxRegression(precision="tf32x3").fit(X, y)


class TestSolversVectors:
    """What L-BFGS and its preconditioner keep on the device."""

    @pytest.fixture(autouse=True)
    def large(self, monkeypatch):
        """Everything is large enough."""
        monkeypatch.setattr(algebra, "LEAST_SIZE", 0)

    def test_products(self):
        """Of one matrix kept and one from the host; transposed, too."""
        rng = np.random.default_rng(0)
        left, right = rng.standard_normal((5, 4)), rng.standard_normal((4, 7))
        assert_close(algebra.product(left, algebra.resident(right)), left @ right, 4)
        turned = algebra.resident(right).T
        assert_close(algebra.product(turned, algebra.resident(left.T)), (left @ right).T, 4)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_vectors(self, dtype):
        """Inner products and combinations are the host's."""
        rng = np.random.default_rng(0)
        values, weights = rng.standard_normal((5, 30)), rng.standard_normal(5)
        here, there = (some.empty_vectors((5, 30), dtype) for some in (HOST_ALGEBRA, algebra))
        for row, value in enumerate(values):
            HOST_ALGEBRA.set_vector(here, row, value, 2.0)
            algebra.set_vector(there, row, value, 2.0)
        eps = np.finfo(dtype).eps
        assert_close(algebra.inner_products(there, [0, 3]),
                     HOST_ALGEBRA.inner_products(here, [0, 3]), 30, eps)
        combined = algebra.combination(weights, there, 2.0)
        assert isinstance(combined, np.ndarray) and combined.dtype == np.float64
        assert_close(combined, HOST_ALGEBRA.combination(weights, here, 2.0), 5, eps)

    def test_directions(self):
        """Of the memory of L-BFGS."""
        rng = np.random.default_rng(0)
        grad = rng.standard_normal((3, 4))
        here, there = (
            PairMemory(some, 12, np.float64) for some in (HOST_ALGEBRA, DeviceAlgebra())
        )
        for _ in range(4):
            s = rng.standard_normal((3, 4))
            for memory in (here, there):
                memory.append(s, 2 * s, (np.sum(s * s), 4 * np.sum(s * s)))
        expected = here.direction(grad)
        assert_close(there.direction(grad), expected, np.abs(expected).sum())

    def test_a_fit(self):
        """Ends at the optimum."""
        X, y, _ = some_rows()
        model = SoftmaxRegression(device="cuda", solver="lbfgs").fit(X, y)
        expected = SoftmaxRegression(solver="lbfgs").fit(X, y)
        difference = abs(model.objective_ - expected.objective_)
        assert difference <= max(model.dual_gap_, expected.dual_gap_) + 8 * EPS
