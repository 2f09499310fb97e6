"""Rows on a CUDA device, on a GPU or in Numba's simulator, whichever there is.

    python -m pytest -m gpu                              on a machine with a GPU
    NUMBA_ENABLE_CUDASIM=1 python -m pytest -m gpu       anywhere

`test_cuda.py` runs the second in a process of its own. Sizes are tiny: the simulator takes
milliseconds a row.
"""

import warnings

import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from softmax_reg.cuda import blocks
from softmax_reg.cuda.device import array_module
from softmax_reg.rows import device
from softmax_reg.rows.base import Sample
from softmax_reg.rows.device import DeviceRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import EPS, random_problem
from ..rows.rows_checks import (
    assert_close,
    check_column_summary,
    check_curvature,
    check_distributions,
    check_hess_prod,
    check_value_grad,
)

pytestmark = pytest.mark.gpu
try:
    array_module()
except (ImportError, RuntimeError) as error:
    pytest.skip(str(error), allow_module_level=True)

# One row; blocks of which the last is shorter; binary; more columns than are padded to.
CASES = [(1, 1, 2, np.float64), (6, 3, 3, np.float32), (9, 2, 1, np.float32),
         (5, 2, 1, np.float64), (3, 33, 4, np.float64)]


@pytest.fixture
def small_blocks(monkeypatch):
    """Rows in blocks of at most four, the last one shorter."""
    monkeypatch.setattr(blocks, "MAX_ROWS", 4)


def both(n_samples, n_features, n_rows, dtype):
    X, y, weight, theta = random_problem(n_samples, n_features, n_rows, dtype=dtype)
    shift = np.random.default_rng(1).standard_normal(n_features)
    return DeviceRows(X), ReferenceRows(X), Sample(y, weight), shift, theta


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_samples, n_features, n_rows, dtype", CASES)
class TestAgainstReference:
    """Rows on the device == reference for every pass and dtype of X."""

    @pytest.mark.parametrize("arithmetic", [np.float32, np.float64])
    def test_value_grad(self, n_samples, n_features, n_rows, dtype, arithmetic):
        """Loss, gradient and errors are those of the formulas, in either arithmetic."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, dtype)
        check_value_grad(rows, reference, sample, shift, theta, arithmetic)

    def test_hess_prod(self, n_samples, n_features, n_rows, dtype):
        """Hessian times a direction."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, dtype)
        check_hess_prod(rows, reference, sample, shift, theta)

    @pytest.mark.parametrize("full_classes", [True, False])
    @pytest.mark.parametrize("full", [True, False])
    def test_curvature(self, n_samples, n_features, n_rows, dtype, full, full_classes):
        """Class and feature factors, full or diagonal."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, dtype)
        check_curvature(rows, reference, sample, shift, theta, full, full_classes)

    def test_hessian(self, n_samples, n_features, n_rows, dtype):
        """The dense Hessian, symmetric; the rest is what `value_grad` says."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, dtype)
        loss, grad, n_errors, hessian = rows.value_grad_hessian(sample, shift, theta)
        same = rows.value_grad(sample, shift, theta)
        assert (loss, n_errors) == same[::2]
        np.testing.assert_array_equal(grad, same[1])
        expected = reference.value_grad_hessian(sample, shift, theta)[3]
        size = np.abs(reference.X - shift).max()
        assert_close(hessian, expected, size**2 * np.abs(theta).sum())

    @pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
    def test_predictions(self, n_samples, n_features, n_rows, dtype, kind):
        """And whether they are finite."""
        rows, reference, *_, theta = both(n_samples, n_features, n_rows, dtype)
        actual, finite = rows.predictions(theta, kind)
        expected, _ = reference.predictions(theta, kind)
        assert finite
        assert_close(actual, expected, np.abs(reference.X).max() * np.abs(theta).sum())

    def test_distributions(self, n_samples, n_features, n_rows, dtype):
        """What mixtures of rows and of labels add to the loss of labels."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, dtype)
        check_distributions(rows, reference, sample, shift, theta)

    def test_column_summary(self, n_samples, n_features, n_rows, dtype):
        """Weighted sums, and which columns are constant."""
        rows, reference, sample, *_ = both(n_samples, n_features, n_rows, dtype)
        check_column_summary(rows, reference, sample)


def test_an_X_that_does_not_fit_stays_on_the_host(monkeypatch):
    """The same bits, block by block."""
    rows, _, sample, shift, theta = both(6, 3, 3, np.float32)
    monkeypatch.setattr(blocks, "MAX_ROWS", 4)
    loss, grad, n_errors = rows.value_grad(sample, shift, theta)
    monkeypatch.setattr(device, "free_bytes", lambda: 0)
    X = random_problem(6, 3, 3, dtype=np.float32)[0]
    streamed = DeviceRows(X)
    assert streamed.X is X
    again = streamed.value_grad(sample, shift, theta)
    assert (again[0], again[2]) == (loss, n_errors)
    np.testing.assert_array_equal(again[1], grad)
    np.testing.assert_array_equal(
        streamed.column_summary(sample)[0], rows.column_summary(sample)[0]
    )


@pytest.mark.parametrize("n_rows", [1, 3])
def test_rows_that_are_sure_keep_their_digits(n_rows):
    """Residuals and spreads of 1e-30, relative to the formulas of the wrong classes' shares."""
    n_classes = max(n_rows, 2)
    logits = np.zeros((1, n_classes))
    logits[0, 1] = 69.0
    theta = np.column_stack([np.zeros((n_rows, 1)), logits[0, -n_rows:]])
    if n_rows == 1:
        theta[0, 1] = 69.0
    rows, sample = DeviceRows(np.ones((1, 1))), Sample(np.ones(1, dtype=np.int32), np.ones(1))
    loss, grad, n_errors = rows.value_grad(sample, np.zeros(1), theta)
    small = (n_classes - 1) * np.exp(-69.0)
    assert n_errors == 0
    np.testing.assert_allclose(loss, small, rtol=8 * EPS)
    np.testing.assert_allclose(grad[-1 if n_rows == 1 else 1, 1], -small, rtol=8 * EPS)
    classes, moments = rows.curvature(sample, np.zeros(1), theta, True)
    spread = small if n_rows == 1 else 2 * small
    np.testing.assert_allclose(moments, np.full((2, 2), spread), rtol=16 * EPS)
    np.testing.assert_allclose(classes[-1 if n_rows == 1 else 1][-1 if n_rows == 1 else 1],
                               small, rtol=16 * EPS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")    # of NumPy's, in the simulator
@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("scale", [1e3, np.inf, np.nan])
def test_large_logits(n_rows, scale):
    """Nothing overflows; NaN and infinity give no finite loss."""
    X = np.array([[1.0], [-1.0]])
    theta = np.array([[scale, 0.0]]) if n_rows == 1 else (
        np.array([[scale, 0.0], [0.0, 0.0], [-1e3, 0.0]])
    )
    sample = Sample(np.array([1, 0], dtype=np.int32), np.full(2, 0.5))
    loss, grad, _ = DeviceRows(X).value_grad(sample, np.zeros(1), theta)
    expected = ReferenceRows(X).value_grad(sample, np.zeros(1), theta)[0]
    if np.isfinite(expected):
        np.testing.assert_allclose(loss, expected, rtol=8 * EPS)
        assert np.all(np.isfinite(grad))
    else:
        assert not np.isfinite(loss)


@pytest.mark.parametrize("solver, n_classes, dtype", [
    ("newton-cholesky", 2, np.float32), ("lbfgs", 3, np.float64), ("newton-cg", 2, np.float64),
])
def test_the_optimum_is_that_of_the_cpu(solver, n_classes, dtype):
    """Certified on the device; weights count; predictions on either device."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((8, 2)) + 5).astype(dtype)
    y = np.arange(8) % n_classes
    weight = rng.uniform(0.5, 2, 8)
    options = {"solver": solver, "tol": 1e-6, "class_weight": {0: 2.0}}
    on_device = SoftmaxRegression(device="cuda", **options).fit(X, y, weight)
    on_host = SoftmaxRegression(**options).fit(X, y, weight)
    assert on_device.dual_gap_ <= 1e-6 * on_device.objective_
    # Both are within their gaps of one optimum.
    difference = abs(on_device.objective_ - on_host.objective_)
    assert difference <= max(on_device.dual_gap_, on_host.dual_gap_) + 8 * EPS
    assert on_device.coef_.dtype == dtype
    proba = on_device.predict_proba(X)
    assert proba.dtype == dtype
    on_device.set_params(device="cpu")
    np.testing.assert_allclose(on_device.predict_proba(X), proba, rtol=64 * np.finfo(dtype).eps)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("targets, n_classes, dtype, is_resident", [
    ("distributions", 2, np.float32, True), ("distributions", 3, np.float64, False),
    ("smoothed labels", 3, np.float32, False), ("smoothed with zeros", 3, np.float32, True),
])
def test_targets_that_are_distributions(monkeypatch, targets, n_classes, dtype, is_resident):
    """The optimum of the CPU; objective_ is that of predictions on the device."""
    if not is_resident:
        monkeypatch.setattr(device, "free_bytes", lambda: 0)
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((6, 2)) + 2**8).astype(dtype)    # logits lose digits in float32
    y, weight = np.arange(6) % n_classes, rng.uniform(0.5, 2, 6)
    weight[3] = 0
    options, T, given = {"solver": "newton-cholesky"}, rng.dirichlet(np.ones(n_classes), 6), y
    T[1] = np.eye(n_classes)[1]
    if targets == "distributions":
        given = T
    else:
        options |= {"label_smoothing": 0.2}
        T = 0.8 * np.eye(n_classes)[y] + 0.2 / n_classes
    if targets == "smoothed with zeros":
        options |= {"class_weight": {1: 0.0}}
        T[:, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of the class without weight
        on_device = SoftmaxRegression(device="cuda", **options).fit(X, given, weight)
        on_host = SoftmaxRegression(**options).fit(X, given, weight)
    eps = float(np.finfo(dtype).eps)
    difference = abs(on_device.objective_ - on_host.objective_)
    assert difference <= max(on_device.dual_gap_, on_host.dual_gap_) + 2**11 * eps
    told = on_device.predict_log_proba(X).astype(np.float64)
    loss = -(weight[:, np.newaxis] * np.where(T > 0, T * told, 0)).sum()
    penalty = (on_device.coef_.astype(np.float64) ** 2).sum() / 2
    direct = (loss + penalty) / (weight @ T).sum()
    assert on_device.objective_ == pytest.approx(direct, rel=8 * eps)


def test_paths_and_searches_run_on_the_device():
    """The same objectives as on the CPU, within the certificates."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 2)), np.arange(12) % 2
    on_device = softmax_path(X, y, Cs=[0.1, 1.0], l1_ratio=0.0, device="cuda")
    on_host = softmax_path(X, y, Cs=[0.1, 1.0], l1_ratio=0.0)
    gaps = np.maximum(on_device.dual_gaps, on_host.dual_gaps) + 8 * EPS
    assert np.all(np.abs(on_device.objectives - on_host.objectives) <= gaps)
    search = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, tol=1e-6, device="cuda").fit(X, y)
    expected = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, tol=1e-6).fit(X, y)
    # A relative gap of tol leaves sqrt(tol), to the order, in what is predicted.
    np.testing.assert_allclose(search.scores_, expected.scores_, rtol=search.tol**0.5)
    assert search.C_ == expected.C_


def test_what_the_device_does_not_do():
    """Sparse X is refused; L1 runs on the CPU and says so; sparse rows are predicted there."""
    X, y = np.eye(6)[:, :3] + 0.1, np.arange(6) % 2
    with pytest.raises(ValueError, match="device='cuda' takes dense X, got a sparse matrix"):
        SoftmaxRegression(device="cuda").fit(sparse.csr_array(X), y)
    with pytest.warns(UserWarning, match="this fit runs on the CPU"):
        model = SoftmaxRegression(device="cuda", l1_ratio=1.0, C=10.0).fit(X, y)
    expected = SoftmaxRegression(l1_ratio=1.0, C=10.0).fit(X, y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dense, from_sparse = model.predict_proba(X), model.predict_proba(sparse.csr_array(X))
    np.testing.assert_allclose(dense, from_sparse, rtol=64 * EPS)
