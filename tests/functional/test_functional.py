"""softmax_reg.functional against exact decimals, SciPy, and its own identities."""

import decimal
import inspect
import re

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from softmax_reg import functional
from softmax_reg.functional import (
    binary_cross_entropy,
    cross_entropy,
    entropy,
    kl_divergence,
    log_sigmoid,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
)

pytestmark = pytest.mark.filterwarnings("error")

inf, nan = np.inf, np.nan
over_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
over_cases = pytest.mark.parametrize(
    "shape, axis", [(shape, axis) for shape in [(1,), (1, 2), (7, 3), (2, 129), (5, 4, 6)]
                    for axis in range(len(shape))])
as_decimal = np.vectorize(lambda value: decimal.Decimal(float(value)), otypes=[object])
exp, log = (np.vectorize(f, otypes=[object]) for f in (decimal.Decimal.exp, decimal.Decimal.ln))


def eps(dtype):
    return float(np.finfo(dtype).eps)


def make_logits(shape, dtype=np.float64, seed=0):
    """Multiples of 1/8 up to +-40: their differences are exact in both dtypes."""
    return (np.random.default_rng(seed).integers(-320, 321, shape) / 8).astype(dtype)


def make_proba(shape, axis=-1, dtype=np.float64, seed=1, zeros=True):
    """Distributions along `axis`, by default with some exact zeros."""
    p = np.random.default_rng(seed).exponential(size=shape)
    p[zeros & (p < 0.3) & (p < p.max(axis=axis, keepdims=True))] = 0
    return (p / p.sum(axis=axis, keepdims=True)).astype(dtype)


def make_labels(shape, axis):
    """Class labels, and the same as distributions of 0 and 1 along `axis`."""
    labels = np.random.default_rng(2).integers(0, shape[axis], shape[:axis] + shape[axis + 1:])
    return labels, np.moveaxis(np.eye(shape[axis], dtype=int)[labels], -1, axis)


Y, P, Z = make_labels((6, 4), 1)[0], make_proba((6, 4)), make_logits((6, 4))
ZEROS = np.zeros((2, 3))
over_losses = pytest.mark.parametrize("loss, args", [
    (cross_entropy, (Y, Z)), (cross_entropy, (P, Z)), (binary_cross_entropy, (P[:, 0], Z[:, 0])),
    (entropy, (P,)), (kl_divergence, (P, make_proba((6, 4), seed=3, zeros=False))),
])


def assert_accurate(got, exact, tol):
    """|got - exact| <= tol |exact|, for exact decimals."""
    error = np.abs(as_decimal(got) - exact)
    assert np.all(error <= as_decimal(tol) * np.abs(exact)), (error, exact)


def test_softmax_reproduces_known_values():
    """softmax and its cross-entropy equal the published figures in every digit."""
    published = [.00263032, .14361082, .39037468, .05283147, .00714996, .01302808, .39037468]
    assert_array_equal(softmax([1, 5, 6, 4, 2, 2.6, 6]).round(8), published)
    assert_array_equal(softmax([2, 1, .1]).round(3), [.659, .242, .099])
    assert cross_entropy(0, [2, 1, .1]).round(3) == .417
    assert cross_entropy([0, 1, 0], [.7, .2, .1], from_logits=False).round(3) == 1.609


@pytest.mark.parametrize("proba, loss, squared", [
    ([[.9, .1], [.1, .9], [.4, .6]], .375, .253),       # .37567, published as .375
    ([[.6, .4], [.3, .7], [.1, .9]], 1.057, .707),
])
def test_cross_entropy_tells_two_networks_apart(proba, loss, squared):
    """Equal classification errors of 1/3, cross-entropy .375 and 1.057, squares .253 and .707."""
    labels = np.array([0, 1, 0])                        # dog, cat, dog
    assert abs(cross_entropy(labels, proba, from_logits=False) - loss) < 1e-3
    assert np.square(proba - np.eye(2)[labels]).sum(axis=1).mean().round(3) == squared
    assert np.mean(np.argmax(proba, axis=1) != labels) == 1 / 3


@over_dtypes
@over_cases
def test_functions_of_logits_are_accurate(shape, axis, dtype):
    """Relative error <= 4 eps against 80 digits, for probabilities near 0 and near 1."""
    z, (labels, onehot), tol = make_logits(shape, dtype), make_labels(shape, axis), 4 * eps(dtype)
    with decimal.localcontext(prec=80):                 # unshifted: decimals do not overflow
        total = log(exp(as_decimal(z)).sum(axis=axis, keepdims=True))
        log_proba = as_decimal(z) - total
        proba_of_two = 1 / (1 + exp(-as_decimal(z)))
        assert_accurate(log_softmax(z, axis), log_proba, tol)
        assert_accurate(softmax(z, axis), exp(log_proba), tol)
        assert_accurate(logsumexp(z, axis, keepdims=True), total, tol)
        assert_accurate(sigmoid(z), proba_of_two, tol)
        assert_accurate(log_sigmoid(z), log(proba_of_two), tol)
        losses = cross_entropy(labels, z, axis=axis, reduction="none")
        assert_accurate(losses, -(log_proba * onehot).sum(axis), tol)


@over_dtypes
@over_cases
def test_every_function_equals_its_namesake_in_scipy(shape, axis, dtype):
    """f(x) = scipy.special.f(x) on general logits and distributions, dtype and shape included."""
    z = (5 * np.random.default_rng(4).normal(size=shape)).astype(dtype)
    p, q = make_proba(shape, axis, dtype), make_proba(shape, axis, dtype, seed=3, zeros=False)
    special, options = scipy.special, dict(axis=axis, reduction="none")
    for got, expected in [
        (softmax(z, axis), special.softmax(z, axis)), (sigmoid(z), special.expit(z)),
        (log_softmax(z, axis), special.log_softmax(z, axis)),
        (logsumexp(z, axis), special.logsumexp(z, axis)), (log_sigmoid(z), special.log_expit(z)),
        (entropy(p, **options), special.entr(p).sum(axis)),
        (kl_divergence(p, q, **options), special.rel_entr(p, q).sum(axis)),
        (cross_entropy(p, q, from_logits=False, **options), -special.xlogy(p, q).sum(axis)),
    ]:
        assert got.dtype == dtype and got.shape == expected.shape
        assert_allclose(got, expected, rtol=16 * eps(dtype), atol=16 * eps(dtype))


@over_dtypes
@over_cases
def test_softmax_ignores_a_shift(shape, axis, dtype):
    """softmax(z + c) = softmax(z) to the bit where z + c is exact; logsumexp moves by c."""
    z, c = make_logits(shape, dtype), dtype(1024)
    assert_array_equal(softmax(z + c, axis), softmax(z, axis))
    assert_array_equal(log_softmax(z + c, axis), log_softmax(z, axis))
    assert_allclose(logsumexp(z + c, axis), logsumexp(z, axis) + c, rtol=2 * eps(dtype))


@over_dtypes
def test_perfect_prediction_keeps_its_digits(dtype):
    """-log(1 - q) = q for tiny q, where log(softmax) would round to 0."""
    tol = dict(rtol=4 * eps(dtype), atol=0)
    assert_allclose(cross_entropy(0, np.array([0, -50], dtype)), np.exp(-50), **tol)
    assert_allclose(cross_entropy([1, 0], np.array([0, -50], dtype)), np.exp(-50), **tol)
    assert_allclose(binary_cross_entropy(1, dtype(50)), np.exp(-50), **tol)
    assert_allclose(binary_cross_entropy(0, dtype(1e-20), from_logits=False), 1e-20, **tol)
    over = np.nextafter(dtype(1), dtype(2))             # a probability but for rounding
    assert binary_cross_entropy(1, over, from_logits=False) == binary_cross_entropy(over, inf) == 0


@over_dtypes
@pytest.mark.parametrize("function, x, expected", [
    (softmax, [0, -inf], [1, 0]), (softmax, [1e9, -1e9], [1, 0]), (softmax, [nan, 0], [nan, nan]),
    (softmax, [-inf, -inf], [nan, nan]), (softmax, [inf, 0], [nan, nan]),
    (log_softmax, [0, -inf], [0, -inf]), (log_softmax, [1e9, -1e9], [0, -2e9]),
    (log_softmax, [-inf, -inf], [nan, nan]), (log_softmax, [inf, 0], [nan, nan]),
    (log_softmax, [nan, 0], [nan, nan]), (logsumexp, [3e38, 3e38], 3e38),
    (logsumexp, [-inf, -inf], -inf), (logsumexp, [inf, inf], inf), (logsumexp, [inf, -inf], inf),
    (logsumexp, [nan, inf], nan), (logsumexp, [-inf, 0], 0), (logsumexp, [-inf, nan], nan),
    (sigmoid, [-inf, -1e9, 0, 1e9, inf, nan], [0, 0, .5, 1, 1, nan]),
    (log_sigmoid, [-inf, -1e9, 1e9, inf, nan], [-inf, -1e9, 0, 0, nan]),
])
def test_edges_of_functions(function, x, expected, dtype):
    """The limit where there is one, NaN where there is none, never a floating-point error."""
    with np.errstate(all="raise"):
        assert_array_equal(function(np.array(x, dtype)), np.array(expected, dtype))


@over_dtypes
@pytest.mark.parametrize("y_true, y_pred, from_logits, expected", [
    (0, [1e9, -1e9], True, 0), (1, [1e9, -1e9], True, 2e9), ([0, 0], [nan, 0], True, nan),
    (0, [0, -inf], True, 0), (1, [0, -inf], True, inf), ([0, 1, 0], [-inf, 0, 0], True, np.log(2)),
    ([1, 0], [0, -inf], True, 0), ([0, 1], [0, -inf], True, inf), ([nan, 1], [0, 0], True, nan),
    (1, [nan, 0], True, nan), (0, [-inf, -inf], True, nan), (0, [inf, 0], True, nan),
    (0, [1, 0], False, 0), (1, [1, 0], False, inf), ([.5, .5], [1, 0], False, inf),
    ([1, 0], [1, 0], False, 0), ([0, 1], [1, 0], False, inf), ([nan, 1], [.5, .5], False, nan),
    (0, [.5, nan], False, nan), ([1, 0], [.5, nan], False, nan),
])
def test_edges_of_cross_entropy(y_true, y_pred, from_logits, expected, dtype):
    """Perfect is +0, a true class of probability 0 costs inf, 0 log 0 = 0, NaN is contagious."""
    with np.errstate(all="raise"):
        y_pred = np.array(y_pred, dtype)
        got = cross_entropy(y_true, y_pred, from_logits=from_logits, reduction="none")
    assert_allclose(got, expected, rtol=eps(dtype))
    assert expected != 0 or not np.signbit(got)


@pytest.mark.parametrize("y_true, logit, expected", [
    (1, inf, 0), (0, inf, inf), (1, -inf, inf), (0, -inf, 0), (.5, inf, inf), (1, 1e9, 0),
    (0, 1e9, 1e9), (1, nan, nan), (nan, 0, nan), (1, 0, np.log(2)),
])
def test_edges_of_binary_cross_entropy(y_true, logit, expected):
    """Limits of -y log q - (1 - y) log(1 - q), from the logit and from its sigmoid."""
    with np.errstate(all="raise"):
        assert_allclose(binary_cross_entropy(y_true, logit), expected, rtol=4 * eps(float))
        got = binary_cross_entropy(y_true, sigmoid(logit), from_logits=False)
    assert logit == 1e9 or np.allclose(got, expected, rtol=4 * eps(float), equal_nan=True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_gradient_is_softmax_minus_target(axis, weighted, smooth):
    """d mean loss / d z = s / S (softmax(z) - y), by a five-point stencil."""
    z, h, (labels, onehot) = make_logits((5, 4)) / 10, 1e-3, make_labels((5, 4), axis)
    y_true, target = [make_proba((5, 4), axis)] * 2 if smooth else (labels, onehot)
    weight = np.random.default_rng(5).exponential(size=labels.shape) if weighted else None
    share = np.full(labels.shape, 1 / labels.size) if weight is None else weight / weight.sum()

    def loss(step):
        return cross_entropy(y_true, z + step, axis=axis, sample_weight=weight)

    steps = h * np.eye(z.size).reshape(-1, *z.shape)
    slopes = [8 * (loss(e) - loss(-e)) - (loss(2 * e) - loss(-2 * e)) for e in steps]
    expected = (softmax(z, axis) - target) * np.expand_dims(share, axis)
    assert_allclose(np.reshape(slopes, z.shape) / (12 * h), expected, rtol=1e-7, atol=1e-11)


@over_dtypes
@over_cases
def test_cross_entropy_is_entropy_plus_divergence(shape, axis, dtype):
    """H(p, q) = H(p) + KL(p || q), from probabilities and from logits; KL(p || p) = 0."""
    p, z = make_proba(shape, axis, dtype), make_logits(shape, dtype)
    for q, from_logits in [(z, True), (softmax(z, axis), False)]:
        options = dict(axis=axis, reduction="none")
        crossed = cross_entropy(p, q, from_logits=from_logits, **options)
        divergence = kl_divergence(p, q, from_logits=from_logits, **options)
        assert_allclose(crossed, entropy(p, **options) + divergence, rtol=8 * eps(dtype))
    assert kl_divergence(p, p, axis=axis) == 0


@over_losses
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_are_repeated_rows(loss, args, reduction):
    """Integer weights = repeated rows, and weight 0 = no row, even if its loss is inf or NaN."""
    weight = np.array([1, 0, 3, 2, 0, 5])
    repeated = loss(*(a.repeat(weight, axis=0) for a in args), reduction=reduction)
    args = [a.copy() for a in args]
    args[-1][1] = nan
    got = loss(*args, sample_weight=weight, reduction=reduction)
    assert_allclose(got, repeated, rtol=8 * eps(float))
    assert cross_entropy([1, 1], np.eye(2), from_logits=False, sample_weight=[0, 2]) == 0


@over_losses
def test_reductions_agree(loss, args):
    """sum = none.sum(), mean = sum / sum of weights, none = weight * loss."""
    weight = np.random.default_rng(6).exponential(size=6)
    losses = loss(*args, reduction="none")
    assert_allclose(loss(*args), losses.mean(), rtol=4 * eps(float))
    assert_allclose(loss(*args, reduction="sum"), losses.sum(), rtol=4 * eps(float))
    weighted = {r: loss(*args, sample_weight=weight, reduction=r) for r in ("mean", "sum", "none")}
    assert_array_equal(weighted["none"], weight * losses)
    assert_allclose(weighted["sum"], weight @ losses, rtol=4 * eps(float))
    assert_allclose(weighted["mean"], np.average(losses, weights=weight), rtol=4 * eps(float))


def test_sums_are_in_float64_and_pairwise():
    """float32 2**25 + 33 + 33 + 33 = 2**25 + 99; a long sum is as good along any axis."""
    z = np.array([2**25, 33, 33, 33, 0], np.float32)
    assert binary_cross_entropy([0] * 4, z[:4], reduction="sum") == np.float32(2**25 + 99)
    assert cross_entropy([[1] * 5], [-z]) == np.float32(2**25 + 99)
    z = np.log(np.random.default_rng(7).uniform(size=(100_000, 2)))
    assert_allclose(softmax(z, axis=0), softmax(z.T.copy()).T, rtol=4 * eps(float))


@over_dtypes
@over_cases
def test_labels_are_onehot_distributions(shape, axis, dtype):
    """cross_entropy(labels) = cross_entropy(onehot(labels)), to the bit, in y_pred's dtype."""
    labels, onehot = make_labels(shape, axis)
    z, q = make_logits(shape, dtype), make_proba(shape, axis, dtype)
    for y_pred, from_logits in [(z, True), (q, False)]:
        options = dict(from_logits=from_logits, axis=axis, reduction="none")
        got = cross_entropy(labels, y_pred, **options)
        assert_array_equal(got, cross_entropy(onehot, y_pred, **options))
        assert got.dtype == cross_entropy(onehot, y_pred, **options).dtype == dtype


@over_dtypes
def test_binary_is_two_classes(dtype):
    """binary_cross_entropy(y, z) = cross_entropy([1 - y, y], [0, z]), and so for probabilities."""
    z, y = make_logits(50, dtype), make_proba((50, 2), dtype=dtype)[:, 0]
    for y_pred, from_logits in [(z, True), (sigmoid(z), False)]:
        options = dict(from_logits=from_logits, reduction="none")
        two = np.stack([np.zeros_like(z) if from_logits else 1 - y_pred, y_pred], axis=-1)
        assert_allclose(binary_cross_entropy(y, y_pred, **options),
                        cross_entropy(np.stack([1 - y, y], axis=-1), two, **options),
                        rtol=8 * eps(dtype), atol=0 if from_logits else 4 * eps(dtype))


@over_losses
@pytest.mark.parametrize("layout", ["read-only", "Fortran", "strided", "big-endian"])
def test_inputs_are_untouched_in_any_layout(loss, args, layout):
    """f(another layout of x) = f(x), and x is as it was."""
    def relaid(a):
        if layout == "strided":
            return np.repeat(a, 2, axis=0)[::2]
        a = a.astype(a.dtype.newbyteorder(">")) if layout == "big-endian" else a.copy("F")
        a.flags.writeable = layout != "read-only"
        return a

    others = [relaid(a) for a in args]
    assert_array_equal(loss(*others, reduction="none"), loss(*args, reduction="none"))
    for function in (softmax, log_softmax, logsumexp, sigmoid, log_sigmoid):
        got = function(others[-1])
        assert got.dtype == np.float64 and got.dtype.isnative
        assert_allclose(got, function(args[-1]), rtol=2 * eps(float))
    assert all(map(np.array_equal, others, args))


@pytest.mark.parametrize("given_dtype", ["f2", "f4", ">f4", "f8", "g", "i1", "u8", "?", list])
def test_result_dtype(given_dtype):
    """float32 -> float32, float64 -> float64, float16 -> float32, all else -> float64."""
    x = [0, 1] if given_dtype is list else np.array([0, 1], given_dtype)
    dtype = np.float32 if given_dtype in ("f2", "f4", ">f4") else np.float64
    for function in (softmax, log_softmax, logsumexp, sigmoid, log_sigmoid, entropy):
        assert function(x).dtype == dtype
    for loss in (cross_entropy, binary_cross_entropy, kl_divergence):
        assert loss(np.array([0, 1]), x).dtype == dtype


@pytest.mark.parametrize("function, args, options, error, message", [
    (softmax, ([1j],), {}, TypeError, "x must hold real numbers, got dtype complex"),
    (softmax, (1.0,), {}, ValueError, "axis must be one of the 0 axes of x, got -1"),
    (log_softmax, (ZEROS, None), {}, ValueError, "axis must .* got None"),
    (softmax, (ZEROS[:, :0],), {}, ValueError, "x must not be empty along axis -1"),
    (cross_entropy, ([0, 3], ZEROS), {}, ValueError, r"y_true must .* \[0, 3\), got 3"),
    (cross_entropy, ([-1, 0], ZEROS), {}, ValueError, r"y_true must .* \[0, 3\), got -1"),
    (cross_entropy, ([0., 1.], ZEROS), {}, TypeError, "y_true .* integer .* float64. Encode"),
    (cross_entropy, ([0, 1, 2], ZEROS), {}, ValueError, r"y_true must have shape \(2,\)"),
    (cross_entropy, (0, ZEROS), {}, ValueError, r"y_true must .* one axis fewer .* got \(\)"),
    (cross_entropy, (ZEROS - 1, ZEROS), {}, ValueError, r"y_true must .* \[0, 1\], got -1"),
    (cross_entropy, ([0, 1], ZEROS - 1), {"from_logits": False}, ValueError, "y_pred .* got -1"),
    (cross_entropy, ([0, 1], ZEROS + 2), {"from_logits": False}, ValueError, "y_pred .* got 2"),
    (cross_entropy, ([], ZEROS[:0]), {}, ValueError, "reduction='mean' .* 0 losses"),
    (entropy, (ZEROS,), {"reduction": "avg"}, ValueError, "reduction must .* 'none', got 'avg'"),
    (entropy, (ZEROS,), {"sample_weight": 1}, ValueError, r"sample_weight .* \(2,\), .* got \(\)"),
    (entropy, (ZEROS,), {"sample_weight": [1, -2]}, ValueError, "sample_weight .* minimum -2"),
    (entropy, (ZEROS,), {"sample_weight": [1, nan]}, ValueError, "sample_weight .* sum nan"),
    (entropy, (ZEROS,), {"sample_weight": [0, 0]}, ValueError, "sum of sample_weight, got 0.0"),
    (kl_divergence, (ZEROS.T, ZEROS), {}, ValueError, r"p must have shape \(2, 3\).* \(3, 2\)"),
    (binary_cross_entropy, (2, 0), {}, ValueError, r"y_true must .* \[0, 1\], got 2"),
    (binary_cross_entropy, ([1], 0), {}, ValueError, r"y_true must have shape \(\)"),
])
def test_bad_input_is_refused(function, args, options, error, message):
    """The message names the parameter, what was expected and what was given."""
    with pytest.raises(error, match=message) as info:
        function(*args, **options)
    assert type(info.value) is error


@pytest.mark.parametrize("dtype, width", [(np.float32, 32), (np.float64, 64)])
@settings(database=None, deadline=None, derandomize=True)
@given(data=st.data())
def test_softmax_is_a_distribution(data, dtype, width):
    """0 <= softmax, sum = 1, log_softmax <= 0, max <= logsumexp <= max + log K, for finite z."""
    elements = st.floats(width=width, allow_nan=False, allow_infinity=False)
    z = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2), elements=elements))
    proba, total, top = softmax(z), logsumexp(z), z.max(axis=-1).astype(np.float64)
    assert np.all((proba >= 0) & (proba <= 1)) and np.all(log_softmax(z) <= 0)
    assert_allclose(proba.sum(axis=-1, dtype=np.float64), 1, rtol=4 * eps(dtype))
    assert_allclose(np.exp(log_softmax(z).astype(np.float64)), proba, atol=4 * eps(dtype))
    slack = 2 * eps(dtype) * (np.abs(top) + 2)
    assert np.all((total >= top) & (total - top <= np.log(z.shape[1]) + slack))
    assert cross_entropy(np.zeros(len(z), int), z) >= 0


@pytest.mark.parametrize("name", functional.__all__)
def test_docstring_parameters_equal_the_signature(name):
    """The Parameters section names every parameter, in order; an Examples section follows."""
    function = getattr(functional, name)
    section = inspect.getdoc(function).split("Parameters\n----------\n")[1].split("\n\n")[0]
    named = ", ".join(re.findall(r"^(\w[\w, ]*) : ", section, re.MULTILINE)).split(", ")
    assert named == list(inspect.signature(function).parameters)
    assert "\nExamples\n--------\n>>> " in inspect.getdoc(function)
