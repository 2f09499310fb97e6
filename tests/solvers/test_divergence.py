"""`kl_divergence` against exact decimals: a few eps times the condition of its sum."""

import decimal

import numpy as np
import pytest

from softmax_reg import entropy, kl_divergence, softmax

EPS = float(np.finfo(np.float64).eps)
as_decimal = np.vectorize(lambda value: decimal.Decimal(float(value)), otypes=[object])
exp, log = (np.vectorize(f, otypes=[object]) for f in (decimal.Decimal.exp, decimal.Decimal.ln))
SHAPES = [(5, 2), (3, 7), (2, 129)]


def near_pair(shape, distance, dtype, seed=0):
    """Two distributions along the last axis that differ relatively by `distance`."""
    rng = np.random.default_rng(seed)
    p = rng.exponential(size=shape) + 1e-3
    q = p * (1 + distance * rng.uniform(-1, 1, shape))
    return tuple((a / a.sum(axis=-1, keepdims=True)).astype(dtype) for a in (p, q))


def assert_within(got, terms, slack):
    """|got - sum| <= eps of got's dtype times |sum|, and `slack` (exact decimals)."""
    exact = terms.sum(axis=-1)
    bound = as_decimal(np.finfo(got.dtype).eps) * np.abs(exact) + slack
    error = np.abs(as_decimal(got) - exact)
    assert np.all(error <= bound), (error / bound).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [3.0, 0.5, 1e-2, 1e-4, 1e-7, 1e-12])
@pytest.mark.parametrize("shape", SHAPES)
def test_divergence_of_probabilities(shape, distance, dtype):
    """Error <= 4 eps of float64 sum |p log(p / q)|, whatever the difference of p and q."""
    p, q = near_pair(shape, min(distance, 0.9), dtype)
    if distance > 1:
        q = near_pair(shape, 0.9, dtype, seed=1)[1]
    with decimal.localcontext(prec=60):
        terms = as_decimal(p) * log(as_decimal(p) / as_decimal(q))
        slack = 4 * as_decimal(EPS) * np.abs(terms).sum(axis=-1)
        assert_within(kl_divergence(p, q, reduction="none"), terms, slack)
        transposed = kl_divergence(p.T, q.T, axis=0, reduction="none")
        assert_within(transposed, terms, slack)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("shape", SHAPES)
def test_divergence_of_logits(shape, distance, dtype):
    """Error <= 8 eps of float64 sum p (|log p| + |log q|)."""
    rng = np.random.default_rng(2)
    z = (3 * rng.standard_normal(shape)).astype(dtype)
    p = softmax(z + distance * rng.standard_normal(shape)).astype(dtype)
    with decimal.localcontext(prec=60):
        total = log(exp(as_decimal(z)).sum(axis=-1, keepdims=True))
        log_p, log_q = log(as_decimal(p)), as_decimal(z) - total
        size = (as_decimal(p) * (np.abs(log_p) + np.abs(log_q))).sum(axis=-1)
        assert_within(
            kl_divergence(p, z, from_logits=True, reduction="none"),
            as_decimal(p) * (log_p - log_q), 8 * as_decimal(EPS) * size,
        )


@pytest.mark.parametrize("p, q", [
    ([1.0, 5e-324], [5e-324, 1.0]), ([1.0, 1e-310], [1e-320, 1.0]), ([0.3, 0.7], [1e-309, 1.0]),
    ([5e-324, 1.0], [1e-323, 1.0]), ([2e-308, 1.0], [2.1e-308, 1.0]),
])
def test_divergence_of_the_smallest_probabilities(p, q):
    """Ratios that overflow or are subnormal lose nothing beyond underflow of a term."""
    with decimal.localcontext(prec=60):
        terms = as_decimal(p) * log(as_decimal(p) / as_decimal(q))
        slack = 4 * as_decimal(EPS) * np.abs(terms).sum() + 2 * decimal.Decimal(5e-324)
        assert_within(kl_divergence(p, q, reduction="none"), terms, slack)
        backwards = as_decimal(q) * log(as_decimal(q) / as_decimal(p))
        slack = 4 * as_decimal(EPS) * np.abs(backwards).sum() + 2 * decimal.Decimal(5e-324)
        assert_within(kl_divergence(q, p, reduction="none"), backwards, slack)


def test_a_small_jensen_shannon_distance_in_float32():
    """sqrt((KL(p || m) + KL(q || m)) / 2) = d sqrt(2) for 1/2 +- d and 1/2 -+ d, m = 1/2."""
    d = np.float32(2.0**-13)
    p, m = np.array([0.5 + d, 0.5 - d], np.float32), np.full(2, np.float32(0.5))
    distance = np.sqrt((kl_divergence(p, m) + kl_divergence(p[::-1], m)) / 2)
    # The series' next term is 2 d^2 / 3 of the first, below eps.
    assert distance == pytest.approx(np.sqrt(2) * d, rel=2 * float(np.finfo(np.float32).eps))


def test_a_sum_of_many_terms_is_compensated():
    """1,001 to 65,537 terms that cancel to 1e-10 of their size: still 4 eps of their size."""
    for n_classes in (1001, 65_537):
        p, q = near_pair((1, n_classes), 1e-9, np.float64)
        with decimal.localcontext(prec=60):
            terms = as_decimal(p) * log(as_decimal(p) / as_decimal(q))
            slack = 4 * as_decimal(EPS) * np.abs(terms).sum(axis=-1)
            assert_within(kl_divergence(p, q, reduction="none"), terms, slack)


@pytest.mark.parametrize("p, q, expected", [
    ([0, 0], [0, 0], 0), ([0, 1], [0, 1], 0), ([1, 0], [0, 1], np.inf),
    ([0, 1], [np.nan, 1], np.nan), ([np.nan, 1], [0.5, 0.5], np.nan),
    ([0.25, 0.25], [0.5, 0.5], -0.5 * np.log(2)),
    ([1, 1], [0.5, 0.5], 2 * np.log(2)), ([0.5, 0.5], [1, 0], np.inf),
])
def test_edges_of_divergence(p, q, expected):
    """The definition, for p and q that do not sum to 1 as well; NaN is contagious."""
    with np.errstate(all="raise"):
        got = kl_divergence(np.array(p, float), np.array(q, float))
    np.testing.assert_allclose(got, expected, rtol=4 * EPS)
    if not np.any(np.isnan(q)) and np.sum(q) > 0 and np.all(np.array(q) > 0):
        logits = np.log(q)
        np.testing.assert_allclose(
            kl_divergence(np.array(p, float), logits, from_logits=True) - expected,
            np.sum(p) * np.log(np.sum(q)), atol=8 * EPS,
        )


def test_probabilities_above_1_by_rounding_cost_nothing():
    """1 + 4e-16 counts as 1 in entropies and divergences: never below 0."""
    over = 1 + 4e-16
    assert entropy([over, 0.0]) == 0 and not np.signbit(entropy([over, 0.0]))
    for p, q in ([over, 1.0], [1.0, over], [over, over]):
        assert kl_divergence([p, 0.0], [q, 0.0]) == kl_divergence([p, 0.0], [0.0, -np.inf],
                                                                   from_logits=True) == 0
