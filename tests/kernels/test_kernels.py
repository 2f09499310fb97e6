"""Compiled kernels against the NumPy reference, and the reference against SciPy."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax, softmax

from softmax_reg.kernels.exp_log import UNDERFLOW, UNDERFLOW_32, exp32, exp64, log1p
from softmax_reg.kernels.jit import kernel
from softmax_reg.kernels.matrix import make_matrix
from softmax_reg.kernels.registers import REGISTER_BYTES
from softmax_reg.kernels.tiles import add_product, load_rows, transpose
from softmax_reg.parallel import launch
from softmax_reg.rows import by_tile
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows
from softmax_reg.rows.small import SmallRows

from ..problems import EPS, random_problem
from ..rows.rows_checks import (
    assert_close,
    check_column_summary,
    check_curvature,
    check_distributions,
    check_hess_prod,
    check_value_grad,
)


@kernel
def call_product(left, right, out, address, n_bytes):
    """`add_product` is part of the source of what calls it: only a kernel can."""
    add_product(left, right, out, address, n_bytes)


# The forms of rows in memory, from a dense array.
KINDS = {
    "dense": MemoryRows, "csr": lambda X: MemoryRows(sparse.csr_array(X)), "small": SmallRows,
    "small csr": lambda X: SmallRows(sparse.csr_array(X)),
}
# No multiple of a block or a tile; one row; fewer rows than features; more features, or more
# classes, than `kernels.tall` takes.
SIZES = [(1, 1, 2), (7, 3, 3), (70, 5, 1), (131, 37, 1), (257, 33, 5), (40, 70, 4), (130, 65, 1),
         (50, 9, 33)]


def both(n_samples, n_features, n_rows, form, dtype, seed=0):
    X, y, weight, theta = random_problem(n_samples, n_features, n_rows, seed, dtype=dtype)
    shift = np.random.default_rng(1).standard_normal(n_features)
    return KINDS[form](X), ReferenceRows(X), Sample(y, weight), shift, theta


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_samples, n_features, n_rows", SIZES)
class TestAgainstReference:
    """Rows in memory == reference for every pass, form and dtype."""

    def test_value_grad(self, n_samples, n_features, n_rows, dtype, form):
        """Loss, gradient and errors are those of the formulas."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
        check_value_grad(rows, reference, sample, shift, theta)

    def test_hess_prod(self, n_samples, n_features, n_rows, dtype, form):
        """Hessian times a direction."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
        check_hess_prod(rows, reference, sample, shift, theta)

    @pytest.mark.parametrize("full_classes", [True, False])
    @pytest.mark.parametrize("full", [True, False])
    def test_curvature(self, n_samples, n_features, n_rows, dtype, form, full, full_classes):
        """Class and feature factors, full or diagonal."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
        check_curvature(rows, reference, sample, shift, theta, full, full_classes)

    def test_hessian(self, n_samples, n_features, n_rows, dtype, form):
        """The dense Hessian, symmetric; the rest is what `value_grad` says."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
        *others, actual = rows.value_grad_hessian(sample, shift, theta)
        expected = reference.value_grad_hessian(sample, shift, theta)
        size = np.abs(reference.X - shift).max()
        assert_close(actual, expected[3], size**3 * n_features)
        np.testing.assert_array_equal(actual, actual.T)
        plain = rows.value_grad(sample, shift, theta)
        logits = size * np.abs(theta).sum()
        assert_close(np.asarray(others[0]), plain[0], logits)
        assert_close(others[1], plain[1], logits * size)
        assert others[2] == plain[2]

    def test_distributions(self, n_samples, n_features, n_rows, dtype, form):
        """What mixtures of rows and of labels add to the loss of labels."""
        rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, dtype)
        check_distributions(rows, reference, sample, shift, theta)

    def test_column_summary(self, n_samples, n_features, n_rows, dtype, form):
        """Weighted column sums, and which columns are constant."""
        rows, reference, sample, *_ = both(n_samples, n_features, n_rows, form, dtype)
        check_column_summary(rows, reference, sample)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_columns_are_found_in_parts(monkeypatch, dtype, form):
    """Columns of one value among rows of positive weight, whatever the chunks and blocks are."""
    monkeypatch.setattr(launch, "MIN_CHUNK_WORK", 1)
    rng = np.random.default_rng(0)
    n_samples = 700
    weight = rng.integers(0, 2, n_samples).astype(float)
    weight[:300] = 0    # some chunks have no rows that count
    X = np.column_stack([
        np.full(n_samples, 0.1), np.zeros(n_samples), np.where(weight > 0, -3.7, rng.random()),
        np.where(np.arange(n_samples) < 500, 2.0, 2.5), rng.random(n_samples) < 0.5,
        1e6 * (1 + EPS * rng.integers(0, 3, n_samples)), np.where(weight > 0, 0.0, 7.0),
        1 + 1e-6 * rng.random(n_samples),
    ]).astype(dtype)
    sums, ranges = MemoryRows(form(X)).column_summary(Sample(None, weight))
    assert_close(sums, weight @ X.astype(np.float64), 1e6 * n_samples)
    assert ranges.is_constant.tolist() == [True, True, True, False, False, True, True, False]


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("n_samples, n_features, n_rows", SIZES)
def test_float32_arithmetic(n_samples, n_features, n_rows, form):
    """theta in float32: value, gradient and products to float32's eps; results float64."""
    rows, reference, sample, shift, theta = both(n_samples, n_features, n_rows, form, np.float32)
    eps = np.finfo(np.float32).eps
    single = theta.astype(np.float32)
    size = np.abs(reference.X - shift).max() + np.abs(shift).max()
    logits = size * np.abs(theta).sum()
    loss, grad, _ = rows.value_grad(sample, shift, single)
    expected = reference.value_grad(sample, shift, single.astype(np.float64))
    assert grad.dtype == np.float64 and isinstance(loss, float)
    assert abs(loss - expected[0]) <= 8 * eps * max(1, logits)
    assert np.abs(grad - expected[1]).max() <= 8 * eps * max(1, logits) * max(1, size)
    product = rows.hess_prod(sample, shift, single, single)
    expected = reference.hess_prod(sample, shift, *2 * [single.astype(np.float64)])
    assert product.dtype == np.float64
    assert np.abs(product - expected).max() <= 8 * eps * max(1, logits) ** 2 * max(1, size)


@pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_samples, n_features, n_rows", SIZES)
def test_predictions(n_samples, n_features, n_rows, dtype, form, kind):
    """Logits, probabilities and their logarithms, in the dtype of theta."""
    rows, reference, *_, theta = both(n_samples, n_features, n_rows, form, dtype)
    theta = theta.astype(dtype)
    actual, all_finite = rows.predictions(theta, kind)
    expected, _ = reference.predictions(theta.astype(np.float64), kind)
    assert all_finite
    assert actual.dtype == dtype and actual.shape == expected.shape
    scale = max(1, np.abs(reference.X).max() * np.abs(theta).sum())
    assert np.abs(actual - expected).max() <= 16 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_values_that_are_not_finite_are_seen_in_the_logits(n_rows, value, form, kind):
    """Whatever they are multiplied by: positive, negative or zero coefficients."""
    rng = np.random.default_rng(0)
    for coefficient in (0.0, 1.0, -1.0):
        theta = rng.standard_normal((n_rows, 10))
        theta[:, 4] = coefficient
        for row in (0, 99, 299):
            X = rng.standard_normal((300, 9))
            X[row, 4] = value
            rows = KINDS[form](X)
            assert not rows.predictions(theta, kind)[1]
            with np.errstate(invalid="ignore"):
                assert not ReferenceRows(X).predictions(theta, kind)[1]


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 20])
def test_loss_is_accurate_near_certainty(n_rows, form):
    """Rows all but sure of their class: each loss, down to 1e-13, to a few eps of itself."""
    rng = np.random.default_rng(n_rows)
    n_classes, n_samples = max(2, n_rows), 290
    y = np.arange(n_samples, dtype=np.int32) % n_classes
    margin = rng.uniform(3, 30, n_samples)
    theta = np.zeros((n_rows, n_classes + 1))
    theta[:, n_classes - n_rows:-1] = np.eye(n_rows)
    X = np.eye(n_classes)[y] * margin[:, np.newaxis] + rng.uniform(0, 0.5, (n_samples, n_classes))
    logits = X.astype(np.longdouble)
    if n_rows == 1:
        logits[:, 0] = 0
        X[y == 0, 1] -= margin[y == 0]
        logits[:, 1] = X[:, 1]
    difference = logits - logits[np.arange(n_samples), y][:, np.newaxis]
    others = np.exp(difference)
    others[np.arange(n_samples), y] = 0
    expected = np.log1p(others.sum(axis=1))
    rows = KINDS[form](X)
    shift, eps = np.zeros(n_classes), 64 * EPS
    for chosen in (slice(None), expected < 1e-8):
        weight = np.zeros(n_samples)
        weight[chosen] = 1.0
        loss, _, n_errors = rows.value_grad(Sample(y, weight), shift, theta)
        assert n_errors == 0
        assert abs(loss - weight @ expected) <= eps * (weight @ expected) * 30


@pytest.mark.compiled
@pytest.mark.parametrize("n_samples, n_features, n_rows", [(300, 20, 4), (97, 3, 1)])
def test_bits_do_not_depend_on_where_arrays_lie(n_samples, n_features, n_rows):
    """The same call again, with memory in use in between: the same bits."""
    rows, _, sample, shift, theta = both(n_samples, n_features, n_rows, "dense", np.float64)
    rng = np.random.default_rng(0)
    clutter, first = [], None
    for _ in range(100):
        clutter = [*clutter[-20:], np.full(rng.integers(1, 3000), np.nan)]
        loss, grad, _ = rows.value_grad(sample, shift, theta)
        classes, moments = rows.curvature(sample, shift, theta, True)
        hessian = rows.value_grad_hessian(sample, shift, theta)[3]
        some = rows.hessian(sample, shift, theta, np.arange(0, theta.size, 3))
        product = rows.hess_prod(sample, shift, theta, theta)
        outs = loss, grad, classes, moments, hessian, some, product
        bits = [np.asarray(a).tobytes() for a in outs]
        first = first or bits
        assert bits == first


@pytest.mark.compiled
@pytest.mark.parametrize("form", ["dense", "csr", "stretches"])
@pytest.mark.parametrize("n_features", [1, 70])
@pytest.mark.parametrize("dtype, gap", [(np.float32, 80.0), (np.float64, 700.0)])
def test_derivatives_leave_out_what_would_be_subnormal(monkeypatch, dtype, gap, n_features, form):
    """A class of hardly any probability has derivatives of 0; others and the loss keep theirs."""
    monkeypatch.setattr(by_tile, "serves", lambda matrix, theta: form == "stretches")
    X = np.ones((500, n_features))
    sample = Sample(np.zeros(500, dtype=np.int32), np.full(500, 1 / 500))
    theta = np.zeros((3, n_features + 1), dtype=dtype)
    theta[1:, -1] = -1.0, -gap
    rows = KINDS["csr" if form == "csr" else "dense"](X)
    loss, grad, _ = rows.value_grad(sample, np.zeros(n_features), theta)
    share = np.exp(-1) / (1 + np.exp(-1))
    eps = float(64 * np.finfo(dtype).eps)
    assert loss == pytest.approx(np.log1p(np.exp(-1)), rel=eps)
    np.testing.assert_allclose(grad[:2].T, np.outer(np.ones(n_features + 1), [-share, share]),
                               rtol=eps)
    assert not grad[2].any()
    product = rows.hess_prod(sample, np.zeros(n_features), theta, theta)
    assert not product[2].any() and product[:2].all()


@pytest.mark.parametrize("form", [*KINDS, "stretches"])
@pytest.mark.parametrize("n_features", [1, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_near_zero_keep_their_digits(monkeypatch, dtype, n_features, form):
    """A class next to certain has minus the sum of the others, whatever its logit."""
    monkeypatch.setattr(by_tile, "serves", lambda matrix, theta: form == "stretches")
    theta = np.zeros((3, n_features + 1), dtype=dtype)
    theta[:, -1] = 3.0, 43.0, 4.0
    rows = KINDS["dense" if form == "stretches" else form](np.ones((5, n_features), dtype=dtype))
    told, _ = rows.predictions(theta, "log_probabilities")
    rest = np.exp(-40.0) + np.exp(-39.0)
    np.testing.assert_allclose(told, [[-40.0, -rest, -39.0]] * 5, rtol=8 * np.finfo(dtype).eps)


def test_products_refuse_shapes_that_do_not_fit():
    """Tiles do not check bounds, so what calls them does."""
    lanes = REGISTER_BYTES // 8
    good = np.ones((3, 4)), np.ones((4, lanes)), np.zeros((3, lanes))
    no_memory = good[0].ctypes.data, 0
    call_product(*good, *no_memory)
    np.testing.assert_array_equal(good[2], 4.0)
    bad = [
        (np.ones((2, 4)), good[1], good[2]), (np.ones((3, 3)), good[1], good[2]),
        (good[0], np.ones((4, lanes + 1)), good[2]),
        (good[0], good[1], np.zeros((3, 2 * lanes))),
        (good[0], np.ones((4, lanes + 1)), np.zeros((3, lanes + 1))),
    ]
    for arrays in bad:
        with pytest.raises(ValueError, match="shapes do not fit"):
            call_product(*arrays, *no_memory)
    with pytest.raises(ValueError, match="shapes do not fit"):
        transpose(np.ones((lanes, lanes)), np.ones((lanes, 2 * lanes)))
    with pytest.raises(ValueError, match="shapes do not fit"):
        load_rows(np.ones((4, 3)), 2, 5, np.zeros(3), np.ones((4, lanes)))


@pytest.mark.parametrize("kind", [MemoryRows, SmallRows, ReferenceRows])
def test_value_is_scipys_log_softmax(kind):
    """loss = -sum_i s_i log_softmax(X W' + b)[y_i], and the gradient by hand."""
    X, y, weight, theta = random_problem(50, 4, 3)
    loss, grad, _ = kind(X).value_grad(Sample(y, weight), np.zeros(4), theta)
    logits = X @ theta[:, :-1].T + theta[:, -1]
    assert loss == pytest.approx(-weight @ log_softmax(logits, axis=1)[range(50), y], rel=32 * EPS)
    residual = softmax(logits, axis=1) - np.eye(3)[y]
    expected = (weight[:, np.newaxis] * residual).T @ np.column_stack([X, np.ones(50)])
    np.testing.assert_allclose(grad, expected, atol=64 * EPS)
    np.testing.assert_allclose(grad.sum(axis=0), 0, atol=64 * EPS)


def _one_row(kind, logits, label):
    """(loss, gradient in the logits, n_errors) of one row with these logits."""
    theta = np.append(np.zeros(1), 0.0) * np.zeros((len(logits), 1))
    theta[:, -1] = logits
    sample = Sample(np.array([label], dtype=np.int32), np.ones(1))
    with np.errstate(all="ignore"):
        loss, grad, n_errors = kind(np.zeros((1, 1))).value_grad(sample, np.zeros(1), theta)
    return loss, grad[:, -1], n_errors


@pytest.mark.parametrize("kind", [MemoryRows, SmallRows, ReferenceRows])
@pytest.mark.parametrize(
    "logits, label, loss, residual, n_errors",
    [
        ([0.0, 0.0, 0.0], 0, np.log(3), [-2 / 3, 1 / 3, 1 / 3], 1),
        ([1e9, 0.0, -1e9], 0, 0.0, [0, 0, 0], 0),
        ([1e9, 0.0, -1e9], 2, 2e9, [1, 0, -1], 1),
        ([0.0, -np.inf, 0.0], 0, np.log(2), [-0.5, 0, 0.5], 1),
        ([0.0, -np.inf, 0.0], 1, np.inf, [0.5, -1, 0.5], 1),
        ([0.0, np.nan, 0.0], 0, np.nan, [np.nan] * 3, 1),
        ([1e9], 1, 0.0, [0], 0),
        ([1e9], 0, 1e9, [1], 1),
        ([-1e9], 1, 1e9, [-1], 1),
        ([0.0], 1, np.log(2), [-0.5], 1),
        ([np.nan], 1, np.nan, [np.nan], 1),
    ],
)
def test_edges_of_the_loss(kind, logits, label, loss, residual, n_errors):
    """Perfect predictions cost 0, impossible ones inf, NaN is contagious."""
    actual = _one_row(kind, np.array(logits), label)
    np.testing.assert_allclose(actual[0], loss, rtol=4 * EPS)
    np.testing.assert_allclose(actual[1], residual, rtol=4 * EPS, atol=4 * EPS)
    assert actual[2] == n_errors


@pytest.mark.parametrize("kind", [MemoryRows, SmallRows])
@pytest.mark.parametrize("logits, label", [([0.0, -50.0], 0), ([50.0], 1), ([0.0, -50, -60], 0)])
def test_loss_keeps_its_digits_near_certainty(logits, label, kind):
    """loss = sum of the others' odds, and residual = -loss, both to relative eps."""
    loss, residual, _ = _one_row(kind, np.array(logits), label)
    others = np.exp(-50.0) + (np.exp(-60.0) if len(logits) == 3 else 0)
    assert loss == pytest.approx(others, rel=8 * EPS)
    true_class = residual[0] if len(logits) == 1 else residual[label]
    assert true_class == pytest.approx(-others, rel=8 * EPS)


@pytest.mark.parametrize(
    "exp, dtype, largest, underflow",
    [(exp64, np.float64, 709, UNDERFLOW), (exp32, np.float32, 88, UNDERFLOW_32)],
)
def test_exponential_is_within_one_ulp(exp, dtype, largest, underflow):
    """exp against long double over its range, both sides of 0; exact at 0; edges."""
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.exponential(50, 3000), rng.uniform(-1, largest, 1000), [0.0]])
    x = x[x >= underflow].astype(dtype)
    actual = np.array([exp(value) for value in x], dtype=dtype)
    expected = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(actual - expected) / np.spacing(expected.astype(dtype))) < 1
    assert actual[-1] == 1
    with np.errstate(all="ignore"):
        edges = [exp(dtype(value)) for value in (-np.inf, -1e30, underflow - 0.1, np.nan)]
    np.testing.assert_array_equal(edges, [0, 0, 0, np.nan])


def test_log1p_is_within_three_ulp():
    """log1p against long double from 1e-300 to 1e300, and its edges."""
    rng = np.random.default_rng(0)
    x = np.concatenate([
        10 ** rng.uniform(-300, 300, 2000), rng.uniform(0, 3, 2000), rng.uniform(0, 0.01, 1000)
    ])
    actual = np.array([log1p(value) for value in x])
    expected = np.log1p(x.astype(np.longdouble))
    assert np.max(np.abs(actual - expected) / np.spacing(np.log1p(x))) < 3
    with np.errstate(all="ignore"):
        edges = [log1p(np.float64(value)) for value in (0.0, np.inf, np.nan)]
    np.testing.assert_array_equal(edges, [0, np.inf, np.nan])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_rows_are_read_only(form):
    """So a kernel has one signature for arrays and read-only maps."""
    rows = make_matrix(form(np.eye(4)))
    assert not any(a.flags.writeable for a in rows if isinstance(a, np.ndarray))
