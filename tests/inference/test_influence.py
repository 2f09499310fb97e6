"""Influence of rows against statsmodels, plain NumPy, and fits without the row."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError

from softmax_reg import RowBlocks, SoftmaxRegression
from softmax_reg.inference import contrasts

from . import reference as plain
from .test_covariances import N, fitted, raw_problem, whole_offset

ARRAYS = ("hat_matrix_diag", "cooks_distance", "resid_pearson", "resid_deviance",
          "resid_studentized", "resid_deviance_studentized")


def influence_by_rows(params, X, counts, offset=0.0, fit_intercept=True, penalty=0.0):
    """Every diagnostic by its definition, a row at a time: dict of (n,) arrays.

    params (n_classes - 1, m) against class 0; counts (n, n_classes); penalty (t, t).
    """
    design = plain.design_of(X, fit_intercept).astype(float)
    weight = counts.sum(axis=1)
    q = plain.proba_of(params, design, offset).astype(float)
    hessian = plain.hessian(params, design, weight, offset)
    whole = hessian + penalty
    inverse = plain.inverse(whole)
    edf = np.trace(inverse @ hessian)
    rows = []
    for row, p, n, w in zip(design, q, counts, weight, strict=True):
        if w == 0:
            rows.append(np.zeros(6))
            continue
        V, T = (np.diag(p) - np.outer(p, p))[1:, 1:], n / w
        r = (p - T)[1:]
        Z = np.kron(np.eye(len(r)), row[None])
        M = Z @ inverse @ Z.T
        step = np.linalg.solve(whole - w * Z.T @ V @ Z, Z.T @ r) * w
        pearson = w * ((p - T) ** 2 / p).sum()
        ratio = np.sqrt(w * r @ np.linalg.solve(V - w * V @ M @ V, r) / pearson)
        deviance = 2 * w * (T[T > 0] * np.log(T[T > 0] / p[T > 0])).sum()
        sign = np.sign((T - p)[1]) if len(p) == 2 else 1
        root = sign * np.sqrt([pearson, deviance])
        rows.append(np.array([
            w * np.trace(V @ M), step @ whole @ step / edf, *root, *(root * ratio)
        ]))
    return dict(zip(ARRAYS, np.array(rows).T, strict=True)), edf


def check(found, expected, rtol=1e-8):
    for name in ARRAYS:
        size = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            getattr(found, name), expected[name], rtol=rtol, atol=rtol * size, err_msg=name
        )


# Rows 3, 5, 7 and 18, and sums over 40 rows, of statsmodels 0.15.0: GLM(Binomial).fit,
# get_influence() and the result's residuals.
STATSMODELS = {
    "hat_matrix_diag": (0.302774391407412, 0.283092334813155, 0.069884520637542,
                        0.000401318445531, 3.0),
    "cooks_distance": (6.124722786271511e-02, 3.691246363916397e-01, 5.188972132948153e-04,
                       1.664451674558539e-09, 1.233393078060295),
    "resid_pearson": (-0.543147276045459, -1.41790231699024, -0.138818604227195,
                      -0.003525959637496, -0.990506951279178),
    "resid_deviance": (-0.719051620859488, -1.484647140737279, -0.195383101826825,
                       -0.004986444441432, -2.369937529060925),
    "resid_studentized": (-0.650475495802243, -1.674613932893702, -0.143939250624829,
                          -0.003526667366842, -1.36057593279324),
}
# The same with weights 1, 2, 3, 1, ... and sin(row) as offset: freq_weights, whose residuals are
# those of one observation, and Cook's distances those of one in the place of the group.
STATSMODELS_WEIGHTED = {
    "hat_matrix_diag": (1.823013187723811e-01, 4.043802634705931e-01, 9.946474235791819e-02,
                        7.238190975513745e-05, 3.0),
    "cooks_distance": (3.201841501949339e-02, 3.232955739333132e-01, 1.539149591317086e-03,
                       1.343725702638793e-10),
    "resid_pearson": (-0.593552220872569, -0.922432532977518, -0.194029240167889,
                      -0.002359768962101),
    "resid_deviance": (-0.776929830911165, -1.109650541598765, -0.271867553483062,
                       -0.003337212624477),
    "resid_studentized": (-0.656390498188444, -1.195226108984057, -0.204463985732029,
                          -0.00235985436903),
}


def test_two_classes_are_statsmodels():
    """Literal numbers of GLM(Binomial); a group of w has residuals sqrt(w) times as large."""
    X, y = load_breast_cancer(return_X_y=True)
    X, y, some = X[:40, :2], y[:40], [3, 5, 7, 18]
    found = fitted(X, y).influence(X, y)
    for name, expected in STATSMODELS.items():
        values = getattr(found, name)
        np.testing.assert_allclose(
            [*values[some], values.sum()], expected, rtol=1e-9, err_msg=name
        )
    weight, offset = 1.0 + np.arange(40) % 3, np.sin(np.arange(40.0))
    found = fitted(X, y, weight, offset).influence(X, y, weight, offset=offset)
    for name, expected in STATSMODELS_WEIGHTED.items():
        of_one = {"hat_matrix_diag": 1, "cooks_distance": weight}.get(name, np.sqrt(weight))
        values = getattr(found, name) / of_one
        np.testing.assert_allclose(values[some], expected[:4], rtol=1e-9, err_msg=name)
    assert found.hat_matrix_diag.sum() == pytest.approx(3)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_definitions(n_classes, fit_intercept, weighted, convert, monkeypatch):
    """Plain NumPy, a row at a time, in raw columns; with weights of 0 to 3 and offsets; blocks."""
    X, y = raw_problem(n_classes)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    offset = rng.standard_normal((N, n_classes) if n_classes > 2 else N) if weighted else None
    model = fitted(convert(X), y, weight, offset, fit_intercept=fit_intercept)
    monkeypatch.setattr(contrasts, "_BLOCK_SIZE", 1)    # blocks of 64 rows
    found = model.influence(convert(X), y, weight, offset=offset)
    result = model.inference(X, y, weight, offset=offset, reference=0)
    counts = np.eye(n_classes)[y] * (1 if weight is None else weight[:, None])
    expected, edf = influence_by_rows(
        result.params, X, counts, whole_offset(offset, n_classes), fit_intercept
    )
    check(found, expected)
    assert found.hat_matrix_diag.sum() == pytest.approx(found.edf, rel=1e-9)
    assert found.edf == result.params.size == pytest.approx(edf)
    assert np.all(found.hat_matrix_diag <= n_classes - 1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("factor", [None, [0.0, 0.5, 3.0]])
def test_a_penalty(n_classes, factor):
    """With the penalised Hessian; leverages add up to the effective degrees of freedom."""
    X, y = raw_problem(n_classes)
    X = (X - X.mean(axis=0)) / X.std(axis=0) + 2.0
    model = fitted(X, y, C=0.3, penalty_factor=factor)
    found = model.influence(X, y)
    result = model.inference(X, y, cov_type="bayes", reference=0)
    strengths = np.append(0.0, np.ones(3) if factor is None else factor) / 0.3
    expected, edf = influence_by_rows(
        result.params, X, np.eye(n_classes)[y],
        penalty=plain.penalty_hessian(n_classes, strengths),
    )
    check(found, expected)
    assert found.hat_matrix_diag.sum() == pytest.approx(result.edf, rel=1e-9)
    assert found.edf == result.edf == pytest.approx(edf)


def test_more_columns_than_rows():
    """With a penalty the leverages are those of X, not of its row space."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 30)), np.arange(20) % 3
    model = fitted(X, y, C=0.1)
    params = model.inference(X, y, cov_type="bayes", reference=0).params
    penalty = plain.penalty_hessian(3, np.append(0.0, np.full(30, 10.0)))
    expected, edf = influence_by_rows(params, X, np.eye(3)[y], penalty=penalty)
    found = model.influence(X, y)
    check(found, expected)
    assert found.edf == pytest.approx(edf)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_counts_are_groups(n_classes):
    """A row of counts is a group: its leverage is the sum of those of as many rows."""
    X, _ = raw_problem(n_classes, n_samples=40)
    X = X / X.std(axis=0)
    counts = np.random.default_rng(4).integers(0, 4, (40, n_classes))
    counts[:, 0] += 1
    weight = np.arange(40) % 3 / 2
    model = fitted(X, counts, weight)
    found = model.influence(X, counts, weight)
    params = model.inference(X, counts, weight, reference=0).params
    expected, _ = influence_by_rows(params, X, counts * weight[:, None])
    check(found, expected)
    row, label = np.nonzero(counts)
    each = counts[row, label] * weight[row]
    labelled = fitted(X[row], label, each).influence(X[row], label, each)
    np.testing.assert_allclose(
        np.bincount(row, labelled.hat_matrix_diag), found.hat_matrix_diag, rtol=1e-7
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cooks_distance_is_close_to_that_of_a_refit(n_classes):
    """|sqrt(D) - sqrt(D of a refit)| <= (e^r - 1) sqrt(D / (1 - h)).

    Along the path to the refit no logit of the other rows changes against another by more than
    r / 2, so q_k q_m changes at most by the factor e^r, and so does the Hessian of these rows.
    """
    X, y = raw_problem(n_classes, seed=3)
    X = X / X.std(axis=0)
    model = fitted(X, y)
    found, result = model.influence(X, y), model.inference(X, y, reference=0)
    inverse = np.linalg.inv(result.cov_params())
    design = np.column_stack([np.ones(N), X])
    for i in np.argsort(found.cooks_distance)[[-1, -2, -20, N // 2]]:
        kept = np.arange(N) != i
        refit = fitted(X[kept], y[kept]).inference(X[kept], y[kept], reference=0)
        change = refit.params - result.params
        distance = change.ravel() @ inverse @ change.ravel() / found.edf
        logits = np.column_stack([np.zeros(N - 1), design[kept] @ change.T])
        r = 2 * np.ptp(logits, axis=1).max()
        root, h = np.sqrt(found.cooks_distance[i]), found.hat_matrix_diag[i]
        assert h < 0.5 and r < 1.5
        assert abs(np.sqrt(distance) - root) <= np.expm1(r) * root / np.sqrt(1 - h) + 1e-7
    np.testing.assert_allclose(root, np.sqrt(distance), rtol=0.05)    # a row like most


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_small_weight_has_the_derivative_of_the_estimates(n_classes):
    """D / w^2 -> |d estimates / d w|^2 in the metric of the Hessian, up to a share of 4 h."""
    X, y = raw_problem(n_classes, seed=4)
    X, small, i = X / X.std(axis=0), 1e-4, 7

    def fit(w):
        weight = np.where(np.arange(N) == i, w, 1.0)
        model = fitted(X, y, weight)
        return model, weight, model.inference(X, y, weight, reference=0)

    model, weight, result = fit(small)
    found = model.influence(X, y, weight)
    slope = (fit(2 * small)[2].params - fit(0.0)[2].params).ravel() / (2 * small)
    expected = slope @ np.linalg.solve(result.cov_params(), slope) / found.edf
    h = found.hat_matrix_diag[i]
    assert h < 2e-5
    assert found.cooks_distance[i] / small**2 == pytest.approx(expected, rel=4 * h + 1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_repeated_rows(n_classes):
    """Leverages of repeated rows add up; residuals of a group are sqrt(w) those of each."""
    X, y = raw_problem(n_classes)
    X, weight = X / X.std(axis=0), np.random.default_rng(3).integers(0, 4, N)
    some = np.repeat(np.arange(N), weight)
    once = fitted(X, y, weight).influence(X, y, weight)
    again = fitted(X[some], y[some]).influence(X[some], y[some])
    np.testing.assert_allclose(
        np.bincount(some, again.hat_matrix_diag, N), once.hat_matrix_diag, rtol=1e-7, atol=1e-12
    )
    for name in ("resid_pearson", "resid_deviance"):
        np.testing.assert_allclose(
            getattr(again, name) * np.sqrt(weight[some]), getattr(once, name)[some], rtol=1e-7
        )
    for name in ARRAYS:
        assert not getattr(once, name)[weight == 0].any()


def test_labels_kinds_of_rows_and_order_of_classes(by_kernels):
    """Strings, float32, CSR, a DataFrame and permuted classes: the same influence."""
    pd = pytest.importorskip("pandas")
    X, y = raw_problem(3)
    X = (X / X.std(axis=0)).astype(np.float32).astype(np.float64)
    expected = fitted(X, y).influence(X, y)
    names = np.array(["w", "u", "v"])[y]
    for Z, labels in (
        (X.astype(np.float32), y), (sparse.csr_matrix(X), names), (pd.DataFrame(X), names),
        (X, 2 - y), (np.asfortranarray(X), np.eye(3)[y]),
    ):
        found = fitted(Z, labels).influence(Z, labels)
        for name in ARRAYS:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=2e-4, atol=1e-6
            )
    assert repr(expected) == "<Influence: 150 rows, edf=8>"
    with pytest.raises(ValueError, match="read-only"):
        expected.cooks_distance[0] = 1
    with pytest.raises(AttributeError):
        expected.edf = 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_row_that_alone_determines_parameters(n_classes):
    """A saturated row has leverage K - 1, no residual, and NaN where it must be left out."""
    X, y = raw_problem(n_classes, n_samples=40)
    X = np.column_stack([X[:, 1], np.arange(40) == 5])
    counts = np.eye(n_classes)[y] + (np.arange(40) == 5)[:, None] * np.arange(1, n_classes + 1)
    found = fitted(X, counts).influence(X, counts)
    assert found.hat_matrix_diag[5] == pytest.approx(n_classes - 1, rel=1e-8)
    assert abs(found.resid_pearson[5]) < 1e-6 and abs(found.resid_deviance[5]) < 1e-6
    for name in ("cooks_distance", "resid_studentized", "resid_deviance_studentized"):
        values = getattr(found, name)
        assert np.flatnonzero(np.isnan(values)).tolist() == [5]
    assert found.hat_matrix_diag.sum() == pytest.approx(found.edf)


def test_probabilities_near_0_and_1():
    """Residuals keep their digits where q is 1 - 1e-17, and where 1 / q overflows."""
    X, y = raw_problem(3)
    X = X / X.std(axis=0)
    offset = np.zeros((N, 3))
    offset[0, y[0]], offset[1, y[1]], offset[2, y[2]] = 40, -1000, -1500
    model = fitted(X, y, offset=offset)
    found = model.influence(X, y, offset=offset)
    result = model.inference(X, y, offset=offset, reference=0)
    design = plain.design_of(X, True)
    logits = np.column_stack([np.zeros(N), design @ result.params.T]) + offset
    others = np.exp(np.delete(logits[0] - logits[0, y[0]], y[0])).sum()
    assert found.resid_pearson[0] == pytest.approx(float(np.sqrt(others)), rel=1e-9)
    assert found.resid_deviance[0] == pytest.approx(float(np.sqrt(2 * others)), rel=1e-9)
    log_q = logits - logits.max(axis=1, keepdims=True)
    log_q = log_q - np.log(np.exp(log_q).sum(axis=1, keepdims=True))
    assert found.resid_pearson[1] == pytest.approx(float(np.exp(-log_q[1, y[1]] / 2)), rel=1e-9)
    assert found.resid_pearson[2] == np.inf
    for i in (1, 2):
        assert found.resid_deviance[i] == pytest.approx(float(np.sqrt(-2 * log_q[i, y[i]])))
        q = np.exp(log_q[i]).astype(float)
        Z, w = np.kron(np.eye(2), design[i][None].astype(float)), result.cov_params()
        M, V = Z @ w @ Z.T, (np.diag(q) - np.outer(q, q))[1:, 1:]
        u = np.linalg.solve(np.eye(2) - V @ M, (q - np.eye(3)[y[i]])[1:])
        assert found.cooks_distance[i] == pytest.approx(u @ M @ u / found.edf, rel=1e-8)
    assert found.hat_matrix_diag.sum() == pytest.approx(8)


def test_collinear_columns():
    """Leverages do not depend on the basis of the columns: 1e-4 apart as well as orthogonal."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((N, 2))
    y = (Z @ [[1.0, 0, -1], [0, 1, -1]] + rng.gumbel(size=(N, 3))).argmax(axis=1)
    near = np.column_stack([Z[:, 0], Z[:, 0] + 1e-4 * Z[:, 1]])
    expected, found = (fitted(X, y).influence(X, y) for X in (Z, near))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)


def test_refused():
    """Rows that are not in memory, and what `inference` refuses; nothing changes."""
    X, y = raw_problem(3)
    model = fitted(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="influence needs X in memory on the host, got RowBlocks"):
        model.influence(RowBlocks(X), y)
    with pytest.raises(ValueError, match="not at its optimum"):
        model.influence(X, np.roll(y, 30))
    with pytest.raises(ValueError, match="L1 part"):
        fitted(X, y, C=1.0, l1_ratio=1.0).influence(X, y)
    with pytest.raises(ValueError, match="fitted without an offset"):
        model.influence(X, y, offset=np.zeros((N, 3)))
    with pytest.raises(NotFittedError):
        SoftmaxRegression().influence(X, y)
    assert vars(model) == before


def test_large_files_are_refused(tmp_path, monkeypatch):
    """A memory map is read like an array, unless it is so large that it is read in blocks."""
    X, y = raw_problem(3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = fitted(X, y)
    np.testing.assert_array_equal(
        model.influence(mapped, y).cooks_distance, model.influence(X, y).cooks_distance
    )
    monkeypatch.setattr("softmax_reg.estimators.validation.LARGE_FILE", 1)
    for method, more in (("influence", ()), ("score_test", (X[:, 0] ** 2,))):
        with pytest.raises(ValueError, match=f"{method} reads X in memory, got an array"):
            getattr(model, method)(mapped, y, *more)


def test_offsets_without_curvature_are_refused():
    """Every probability is 0 or 1: no errors, and no leverages."""
    X, y = np.random.default_rng(0).standard_normal((60, 2)), np.arange(60) % 3
    offset = 800.0 * np.eye(3)[y]
    for C in (1.0, np.inf):
        model = SoftmaxRegression(C=C).fit(X, y, offset=offset)
        for method in (model.influence, model.inference):
            options = {"cov_type": "bayes"} if C == 1 and method == model.inference else {}
            with pytest.raises(ValueError, match="offsets leave only|classes can be separated"):
                method(X, y, offset=offset, **options)
