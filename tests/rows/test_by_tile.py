"""Passes over dense rows in stretches: against the formulas, and against passes block by block."""

import itertools

import numpy as np
import pytest

from softmax_reg import SoftmaxRegression
from softmax_reg.parallel import launch
from softmax_reg.rows import by_tile
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
from softmax_reg.rows.reference import ReferenceRows

from ..problems import EPS, random_problem
from ..processes import run_new
from .rows_checks import check_curvature, check_distributions, check_hess_prod, check_value_grad

# Bytes of a stretch, of sums; rows of a call; sides of tiles; rows of a product.
CUTS = {
    "one stretch": {},
    "small": {"_STRETCH_BYTES": 2**14, "_ROWS": 64, "_LEAST_ROWS": 64, "_TILE": 4, "_DEPTH": 24,
              "_LEAST_DEPTH": 24},
    "many parts": {"_STRETCH_BYTES": 2**16, "_LEAST_ROWS": 64, "_DEPTH": 7, "_LEAST_DEPTH": 5,
                   "_CALLS": 1},
    "few sums": {"_SUM_BYTES": 1, "_LEAST_ROWS": 64, "_TILE": 8, "_CALLS": 500},
}


@pytest.fixture(params=CUTS)
def in_stretches(monkeypatch, request):
    """All dense rows of three classes and more, whatever their size."""
    monkeypatch.setattr(
        by_tile, "serves", lambda matrix, theta: not matrix.is_sparse and len(theta) > 2
    )
    for name, value in CUTS[request.param].items():
        monkeypatch.setattr(by_tile, name, value)


def problem(n_samples, n_features, n_rows, dtype=np.float64):
    X, y, weight, theta = random_problem(n_samples, n_features, n_rows, dtype=dtype)
    shift = np.random.default_rng(1).standard_normal(n_features)
    return X, Sample(y, weight), shift, theta


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "n_samples, n_features, n_rows",
    [(1, 1, 3), (7, 3, 3), (64, 15, 4), (257, 33, 5), (40, 70, 4), (300, 9, 33)],
)
def test_passes_are_those_of_the_formulas(in_stretches, n_samples, n_features, n_rows, dtype):
    """Every pass; one stretch and several, tiles and parts that do not divide the shapes."""
    X, sample, shift, theta = problem(n_samples, n_features, n_rows, dtype)
    rows, reference = MemoryRows(X), ReferenceRows(X)
    check_value_grad(rows, reference, sample, shift, theta)
    check_value_grad(rows, reference, sample, shift, theta, np.float32)
    check_hess_prod(rows, reference, sample, shift, theta)
    for full in (True, False):
        for full_classes in (True, False):
            check_curvature(rows, reference, sample, shift, theta, full, full_classes)
    check_distributions(rows, reference, sample, shift, theta)
    for kind in ("logits", "probabilities", "log_probabilities"):
        told, all_finite = rows.predictions(theta, kind)
        expected, _ = reference.predictions(theta, kind)
        size = np.abs(X).max() * np.abs(theta).sum()
        assert all_finite
        np.testing.assert_allclose(told, expected, atol=8 * EPS * size)


def test_rows_of_no_matrix_at_all(in_stretches):
    """A partition may have no rows: sums of 0."""
    rows, theta = MemoryRows(np.empty((0, 3))), np.ones((3, 4))
    sample = Sample(np.empty(0, dtype=np.int32), np.empty(0))
    loss, grad, n_errors = rows.value_grad(sample, np.ones(3), theta)
    assert (loss, n_errors) == (0, 0)
    np.testing.assert_array_equal(grad, np.zeros((3, 4)))
    for full in (True, False):
        classes, moments = rows.curvature(sample, np.ones(3), theta, full, full)
        assert not classes.any() and not moments.any()
        assert classes.shape == ((3, 3) if full else (3,))
    assert rows.predictions(theta, "logits")[0].shape == (0, 3)


def test_logits_that_overflow_are_told(in_stretches):
    """An infinite logit is found in any stretch; the loss is not finite."""
    X, sample, shift, theta = problem(200, 9, 5)
    theta[1, 3] = 1e308
    X[-1, 3] = 100.0
    assert not MemoryRows(X).predictions(theta, "logits")[1]
    assert not np.isfinite(MemoryRows(X).value_grad(sample, shift, theta)[0])


@pytest.mark.compiled
def test_many_parameters_are_passed_in_stretches(monkeypatch):
    """By shape alone; the same to rounding as block by block, in the same bits on all threads."""
    X, sample, shift, _ = problem(700, 1800, 2)
    sample = sample._replace(target=np.arange(700, dtype=np.int32) % 130)
    theta = np.random.default_rng(0).standard_normal((130, 1801)) / 100
    rows = MemoryRows(X)
    assert by_tile.serves(rows.matrix, theta)
    assert not by_tile.serves(rows.matrix, theta[:, :1700])
    assert not by_tile.serves(rows.matrix, np.zeros((100, 5000)))

    def passes():
        return [
            *rows.value_grad(sample, shift, theta),
            rows.hess_prod(sample, shift, theta, theta[::-1]),
            *rows.curvature(sample, shift, theta, True),
            rows.predictions(theta, "log_probabilities")[0],
        ]

    found = []
    for n in (1, 2, 5):
        monkeypatch.setattr(launch, "n_threads", lambda n=n: n)
        found.append(passes())
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)
    monkeypatch.setattr(by_tile, "serves", lambda matrix, theta: False)
    for one, other in zip(found[0], passes(), strict=True):
        np.testing.assert_allclose(one, other, atol=4 * 700 * EPS * np.abs(other).max())


ALIKE = """
import numpy as np
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
rng = np.random.default_rng(0)
X = rng.standard_normal((1500, 3700), dtype=np.float32)
theta = rng.standard_normal((128, 3701), dtype=np.float32) / 50
y, one = np.zeros(1500, dtype=np.int32), np.ones(1)
told, _ = MemoryRows(X).predictions(theta, "log_probabilities")
for n in (1, 65, 600):
    some, _ = MemoryRows(X[:n]).predictions(theta, "log_probabilities")
    assert (some == told[:n]).all(), n
    alone = Sample(y[:1], one)
    loss = MemoryRows(X[n - 1:n]).predicted_loss(alone, theta)
    assert abs(loss + told[n - 1, 0]) <= 1e-6 * loss, n
    weight = np.zeros(1500)
    weight[n - 1] = 1.0
    assert MemoryRows(X).predicted_loss(Sample(y, weight), theta) == loss, n
"""


@pytest.mark.compiled
@pytest.mark.parametrize("processor", ["", "Haswell"])
def test_a_row_is_predicted_alike_whatever_rows_are_beside_it(processor):
    """The same bits with OpenBLAS's kernels for this processor and for others.

    Those for Haswell add up in another order where a product has fewer rows.
    """
    changes = {"OPENBLAS_CORETYPE": processor} if processor else {}
    done = run_new("-c", ALIKE, **changes)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "n_samples, n_features, itemsize, least",
    [(1_281_167, 768, 4, 64), (1_281_167, 2048, 4, 64), (1_281_167, 2048, 8, 48),
     (20_000, 256, 8, 64)],
)
def test_many_threads_can_work_at_once(n_samples, n_features, itemsize, least):
    """1000 classes: in each part of a pass, with sums and stretches under a tenth of n x K."""
    n_columns, logit_bytes = n_features + 1 + 1000, itemsize * n_samples * 1000
    length = by_tile.stretch_rows(n_samples, 1000, n_columns, itemsize)
    n_parts, n_tiles = by_tile.cut_sums((1000, n_features + 1), length, logit_bytes)
    rows = by_tile.cut_rows(length)
    assert len(rows) >= least and rows[0][0] == 0 and rows[-1][1] == length
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(rows))
    assert n_parts * np.prod(n_tiles) >= least
    sum_bytes = n_parts * 8 * 1000 * (n_features + 1)
    least_bytes = by_tile._STRETCH_BYTES + by_tile._SUM_BYTES
    assert length * n_columns * itemsize + sum_bytes <= max(logit_bytes / 10, 1.1 * least_bytes)


@pytest.mark.parametrize(
    "options", [{"solver": "lbfgs"}, {"solver": "newton-cg"}, {"l1_ratio": 0.5}]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_is_the_same(in_stretches, monkeypatch, options, dtype):
    """The certified optimum, and the objective from predict_proba."""
    X, sample, _, _ = problem(300, 20, 5, dtype)
    options = {"tol": 1e-6, **options}
    model = SoftmaxRegression(**options).fit(X, sample.target)
    proba = model.predict_log_proba(X)
    by_hand = -proba[np.arange(300), sample.target].mean(dtype=np.float64)
    l2, l1 = (1 - model.l1_ratio) / 300, model.l1_ratio / 300
    coef = model.coef_.astype(np.float64)
    by_hand += l2 / 2 * np.sum(coef**2) + l1 * np.abs(coef).sum()
    assert model.objective_ == pytest.approx(by_hand, abs=float(16 * np.finfo(dtype).eps))
    monkeypatch.setattr(by_tile, "serves", lambda matrix, theta: False)
    other = SoftmaxRegression(**options).fit(X, sample.target)
    assert abs(model.objective_ - other.objective_) <= other.dual_gap_ + model.dual_gap_ + 4 * EPS
