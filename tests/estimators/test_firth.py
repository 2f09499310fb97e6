"""``prior="jeffreys"``: the estimates, what they do not depend on, and what is refused.

Literals are those of R 4.2 with brglm2 0.9; `R_CODE` computes them.
"""

import pickle
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from softmax_reg import SoftmaxRegression
from softmax_reg.estimators.firth import likelihood_of
from softmax_reg.estimators.offsets import with_offset
from softmax_reg.estimators.validation import check_training_data

R_CODE = """
library(brglm2)
fit <- function(...) brmultinom(..., ref = 1, type = "AS_mean", epsilon = 1e-10, maxit = 1000)
i <- 0:11; y <- as.integer(i >= 6)
glm(y ~ I(i / 4) + sin(i), family = binomial, method = "brglmFit", type = "AS_mean")  # BINARY
fit(factor(rep(c("a", "b", "c"), each = 4)) ~ i + cos(i))                             # THREE
"""
ROW = np.arange(12.0)
# X, y, coefficients against the first class, and log-likelihood; completely separated.
BINARY = (
    np.column_stack([ROW / 4, np.sin(ROW)]), (ROW >= 6).astype(int),
    [[-3.8587442563736, 2.8806347822494, 1.0088356575659]],
    [[2.0034994796803, 1.4356559424042, 1.3592739000462]], -1.8884956240031,
)
THREE = (
    np.column_stack([ROW, np.cos(ROW)]), np.repeat(["a", "b", "c"], 4),
    [[-2.4596235062035, 0.72597202989836, 0.4795598485615],
     [-6.6176844313280, 1.29561236809263, -1.0753314822648]],
    [[1.7904312183101, 0.48728963401138, 1.3359091659074],
     [3.2999201320456, 0.63000755500808, 1.8712530582931]], -3.487289299938,
)


def firth(**parameters):
    return SoftmaxRegression(**{"C": np.inf, "prior": "jeffreys", "tol": 1e-10, **parameters})


def contrasts(model):
    """Return intercepts and coefficients against the first class, (n_contrasts, 1 + p)."""
    rows = np.column_stack([model.intercept_, model.coef_])
    return rows[1:] - rows[0] if len(rows) > 1 else rows


def table(n_classes, n_samples=17, n_features=2, seed=0):
    """Return X with columns far from 0 and of different scales, and labels of all classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * [1.0, 30.0][:n_features] + [3.0, 10.0]
    return X, np.append(np.arange(n_classes), rng.integers(0, n_classes, n_samples - n_classes))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", ["dense", "csr", "weights", "counts", "offset", "fixed"])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_the_score_is_the_derivative_of_the_likelihood(n_classes, kind, fit_intercept):
    """Five-point differences of -l - log det I / 2 in two directions; NumPy's determinant."""
    X, y = table(n_classes)
    rng = np.random.default_rng(1)
    model, weight, offset = firth(fit_intercept=fit_intercept), None, None
    if kind == "csr":
        X = sparse.csr_array(np.where(X > X.mean(axis=0), X, 0.0))
    elif kind == "weights":
        weight = rng.integers(0, 4, len(y)) + np.arange(len(y)) % 2
    elif kind == "counts":
        y = rng.integers(0, 3, (len(y), n_classes)) + np.eye(n_classes, dtype=int)[y]
    elif kind == "offset":
        offset = rng.normal(size=(len(X), n_classes))
    data = with_offset(check_training_data(model, X, y, weight), offset)
    _, likelihood = likelihood_of(model, data, [1] if kind == "fixed" else [])
    start = likelihood.start()
    x = start.x + 0.3 * start.factor.apply(rng.normal(size=start.x.shape))
    point = likelihood.evaluate(x)
    assert point.log_det == pytest.approx(np.linalg.slogdet(point.information)[1], rel=1e-9)
    for direction in start.factor.apply(rng.normal(size=len(x))), np.eye(len(x))[-1]:
        step = 1e-2 * direction / np.linalg.norm(start.factor.whitened(direction))
        ahead, back, far, further = (likelihood.evaluate(x + k * step).value
                                     for k in (1, -1, 2, -2))
        slope = (8 * (ahead - back) - (far - further)) / 12
        assert slope == pytest.approx(step @ point.grad, abs=1e-9)


@pytest.mark.parametrize("X, y, coef, errors, llf", [BINARY, THREE], ids=["binary", "three"])
def test_separated_classes_against_brglm2(X, y, coef, errors, llf):
    """Estimates, standard errors and log-likelihood, to the digits that R prints."""
    model = firth().fit(X, y)
    np.testing.assert_allclose(contrasts(model), coef, rtol=1e-8)
    found = model.inference(X, y, reference=model.classes_[0])
    np.testing.assert_allclose(found.params, coef, rtol=1e-8)
    np.testing.assert_allclose(found.bse, errors, rtol=1e-8)
    assert found.llf == pytest.approx(llf, rel=1e-8)
    assert found.llf_penalised == pytest.approx(-len(y) * model.objective_, rel=1e-10)
    assert found.newton_decrement == pytest.approx(
        np.sqrt(len(y)) * model.newton_decrement_, abs=1e-10
    )
    assert model.dual_gap_ == np.inf and np.isfinite(model.predict_log_proba(X)).all()
    assert np.all(np.diff(model.history_["objective"]) <= 1e-12)


@pytest.mark.parametrize("counts", [[5, 1, 3], [4, 0.5, 2.5, 8], [6, 2]])
def test_a_table_gets_half_a_count_for_each_class(counts):
    """Saturated: intercepts alone, by cells of an indicator column; weights as counts."""
    counts, n_classes = np.array(counts, dtype=float), len(counts)
    cells = np.stack([counts, counts[::-1] * 3])
    X, y = np.repeat([[0.0], [1.0]], n_classes, axis=0), np.tile(np.arange(n_classes), 2)
    model = firth(tol=0).fit(X, y, sample_weight=cells.ravel())
    expected = (cells + 0.5) / (cells + 0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba([[0.0], [1.0]]), expected, rtol=1e-12)
    if np.array_equal(cells, np.round(cells)):
        same = firth(tol=0).fit([[0.0], [1.0]], cells)
        np.testing.assert_allclose(same.predict_proba(X[::n_classes]), expected, rtol=1e-12)
    alone = firth(tol=0, fit_intercept=False).fit(np.ones((n_classes, 1)), y[:n_classes], counts)
    expected = (counts + 0.5) / (counts + 0.5).sum()
    np.testing.assert_allclose(alone.predict_proba([[1.0]]), [expected], rtol=1e-12)


def test_an_empty_cell_gets_half_a_count_too():
    """A class without rows in a group, so that maximum likelihood has no estimate."""
    cells = np.array([[4.0, 0, 2], [0, 7, 1]])
    model = firth(tol=0).fit([[0.0], [1.0]], cells)
    np.testing.assert_allclose(
        model.predict_proba([[0.0], [1.0]]), (cells + 0.5) / (cells.sum(1) + 1.5)[:, None],
        rtol=1e-12,
    )


def test_units_and_order_do_not_matter():
    """Columns mixed and shifted, other first classes, rows reversed: the same probabilities."""
    X, y = THREE[:2]
    expected = firth().fit(X, y).predict_proba(X)
    mixed = X @ [[2.0, 300.0], [-1.0, 5.0]] + [1e3, -7.0]
    np.testing.assert_allclose(firth().fit(mixed, y).predict_proba(mixed), expected, atol=1e-9)
    other = {"a": "z", "b": "y", "c": "x"}
    renamed = firth().fit(X[::-1], [other[label] for label in y[::-1]])
    np.testing.assert_allclose(renamed.predict_proba(X), expected[:, ::-1], atol=1e-9)
    binary, labels = BINARY[:2]
    np.testing.assert_allclose(
        firth().fit(binary, 1 - labels).coef_, -firth().fit(binary, labels).coef_, rtol=1e-9
    )


def test_kinds_of_input_agree():
    """CSR, DataFrame, repeated rows, counts, rows of weight 0, a constant offset, warm starts."""
    import pandas as pd

    X, y = table(3)
    expected = firth().fit(X, y)
    frame = pd.DataFrame(X, columns=["a", "b"])
    twice = np.repeat(np.arange(17), np.arange(17) % 2 + 1)
    weighted = firth().fit(X, y, sample_weight=np.arange(17) % 2 + 1.0)
    offset = np.tile([0.5, -1.0, 2.0], (17, 1))
    with_zero = firth().fit(
        np.vstack([X, [[1e3, 1e3]]]), np.append(y, 0), np.append(np.ones(17), 0)
    )
    moved = firth().fit(X, y, offset=offset)
    again = firth(warm_start=True).fit(X, y).fit(X, y)
    for model, other in (
        (expected, firth().fit(sparse.csr_matrix(X), y)), (expected, firth().fit(frame, y)),
        (expected, firth().fit(X, np.eye(3)[y])), (expected, with_zero), (expected, again),
        (weighted, firth().fit(X[twice], y[twice])),
    ):
        np.testing.assert_allclose(contrasts(other), contrasts(model), rtol=1e-7)
    np.testing.assert_allclose(moved.coef_, expected.coef_, rtol=1e-7)
    np.testing.assert_allclose(
        contrasts(moved)[:, 0] + [-1.5, 1.5], contrasts(expected)[:, 0], rtol=1e-7
    )
    assert again.n_iter_ <= 2 < expected.n_iter_
    assert moved.inference(X, y, offset=offset).newton_decrement < 1e-8


def test_float32_is_certified_as_it_is_stored():
    """The decrement is that of float32 coefficients; a tolerance below rounding gives float64."""
    X, y = table(3)
    X = X.astype(np.float32)
    expected = firth().fit(X.astype(float), y)
    coarse = firth(tol=1e-4).fit(X, y)
    assert coarse.coef_.dtype == coarse.intercept_.dtype == np.float32
    found = coarse.inference(X, y).newton_decrement
    assert found == pytest.approx(np.sqrt(17) * coarse.newton_decrement_, rel=1e-6)
    assert found <= 1e-4
    fine = firth(tol=1e-10).fit(X, y)
    assert fine.coef_.dtype == np.float64
    np.testing.assert_allclose(contrasts(fine), contrasts(expected), rtol=1e-8)


def test_coefficients_that_cannot_be_stored_are_told():
    """Means of 1e9 spreads: the rounded intercept is off the optimum, with a warning."""
    X, y = table(2)
    with pytest.warns(ConvergenceWarning, match="as they are stored"):
        model = firth().fit(X + 1e12, y)
    assert model.newton_decrement_ > 1e-7


def test_the_fit_lives_on():
    """Pickle, to_sklearn, sparsify, and partial_fit or a fit without a prior afterwards."""
    X, y = THREE[:2]
    model = firth().fit(X, y)
    proba = model.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
    np.testing.assert_allclose(model.to_sklearn().predict_proba(X), proba, rtol=1e-9)
    bse = model.inference(X, y).bse
    np.testing.assert_array_equal(model.sparsify().inference(X, y).bse, bse)
    with pytest.raises(ValueError, match="partial_fit does not take prior='jeffreys'"):
        model.partial_fit(X, y)
    model.set_params(prior=None, C=1.0).fit(X, y)
    assert model.dual_gap_ <= 1e-4 * model.objective_


def test_iterations_that_do_not_suffice():
    """scikit-learn's warning, with the distance that is left."""
    with pytest.warns(ConvergenceWarning, match=r"failed to converge after 2 iter.*max_iter=2"):
        model = firth(max_iter=2).fit(*THREE[:2])
    assert model.n_iter_ == 2 and len(model.history_["gap"]) == 3
    with pytest.raises(ValueError, match="not at its optimum"):
        firth(max_iter=1).set_params(tol=10).fit(*THREE[:2]).inference(*THREE[:2])


@pytest.mark.parametrize("parameters, message", [
    ({"C": 1.0}, "prior='jeffreys' needs C=np.inf, got C=1.0"),
    ({"l1_ratio": 0.5}, "needs l1_ratio=0, got"),
    ({"class_weight": "balanced"}, "needs class_weight=None"),
    ({"solver": "lbfgs"}, "needs solver='auto'"),
    ({"grouped": True}, "needs grouped=False"),
    ({"penalty_factor": np.ones(2)}, "needs penalty_factor=None"),
    ({"groups": [0, 0]}, "needs groups=None"),
    ({"label_smoothing": 0.1}, "needs label_smoothing=0"),
    ({"bounds": (-1, 1)}, "needs bounds=None"),
    ({"device": "cuda"}, "needs device='cpu'"),
    ({"prior": "firth"}, "'prior' parameter"),
])
def test_parameters_that_do_not_go_with_it(parameters, message):
    """Each names the prior, what was given and what is needed."""
    model = firth(**parameters)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(*BINARY[:2])
    assert not hasattr(model, "coef_")


def test_data_that_do_not_go_with_it():
    """Singular information names a column; fractions, classes without weight, files."""
    from softmax_reg import RowBlocks

    X, y = THREE[:2]
    frame = np.column_stack([X, X @ [1.0, -2.0]])
    for columns, labels, weight, message in (
        (frame, y, None, r"12 rows and 4 coefficients.* 'x2' depends on columns before it"),
        (np.column_stack([X, np.ones(12)]), y, None, r"columns \['x2'\] of X are constant"),
        (np.random.default_rng(0).normal(size=(4, 6)), y[2:6], None, "4 rows and 7 coefficients"),
        (X, np.full((12, 2), 0.5) + [[0.2, -0.2]], None, "whole counts"),
        (X, y, (y != "c").astype(float), r"classes \['c'\] have no rows"),
        (RowBlocks(X), y, None, "in memory on the host, got RowBlocks"),
    ):
        with pytest.raises(ValueError, match=message):
            firth().fit(columns, labels, sample_weight=weight)


@pytest.mark.parametrize("n_samples, k, events", [
    (1e3, 3, 0), (1e5, 20, 1), (1e6, 10, 10), (1e6, 50, 3),
])
def test_rare_events_and_a_dummy_that_separates(n_samples, k, events):
    """A saturated table: 1/2 is added to every cell, however rare the event without the dummy."""
    X, y = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([1, 0, 1, 0])
    counts = np.array([k, 0, events, n_samples - events])
    model = SoftmaxRegression(C=np.inf, prior="jeffreys", tol=1e-8).fit(X, y, counts)
    level = np.log((events + 0.5) / (n_samples - events + 0.5))
    np.testing.assert_allclose(model.intercept_, level, rtol=1e-6)
    np.testing.assert_allclose(model.coef_, [[np.log((k + 0.5) / 0.5) - level]], rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("level", [-8.0, -20.0])
def test_offsets_far_from_the_optimum(n_classes, level):
    """The dummy's coefficient makes up for the offset of its rows; the others are as without."""
    k, rest = 5, 60
    X = np.zeros((k + rest, 2))
    X[:k, 0], X[k:, 1] = 1.0, np.linspace(-1, 1, rest)
    y = np.append(np.full(k, 1), np.arange(rest) % n_classes)
    offset = np.zeros((k + rest, n_classes))
    offset[:k, 1] = level
    options = {"C": np.inf, "prior": "jeffreys", "fit_intercept": False, "tol": 1e-8}
    model = SoftmaxRegression(**options).fit(X, y, offset=offset)
    plain = SoftmaxRegression(**options).fit(X, y)
    proba = model.predict_proba(X, offset=offset)
    np.testing.assert_allclose(proba, plain.predict_proba(X), atol=1e-6)


def test_offsets_without_information_are_refused():
    X, y = np.random.default_rng(0).standard_normal((50, 3)), np.arange(50) % 2
    offset = np.where(y == 1, 800.0, -800.0)
    with pytest.raises(ValueError, match="offsets leave probabilities of 0 and 1"):
        SoftmaxRegression(C=np.inf, prior="jeffreys").fit(X, y, offset=offset)


def test_a_warm_start_in_other_units():
    """The old coefficients saturate every row, where the information is zero."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 1))
    y = (X[:, 0] + rng.standard_normal(60) > 0).astype(int)
    model = SoftmaxRegression(C=np.inf, prior="jeffreys", warm_start=True, tol=1e-8).fit(X, y)
    expected = model.coef_ / 1e4
    np.testing.assert_allclose(model.fit(1e4 * X, y).coef_, expected, rtol=1e-6)
