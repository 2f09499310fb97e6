"""Marginal effects against differences of mean probabilities; errors against their Jacobian."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import norm

from softmax_reg import SoftmaxRegression
from softmax_reg.inference import MarginalEffects, contrasts, margins
from softmax_reg.inference.description import EFFECTS

from .test_covariances import N, fitted, raw_problem

KINDS = tuple(EFFECTS)
# Standard deviations of the columns of `raw_problem`.
SCALES = np.array([1e-3, 1.0, 1e4])


def problem(n_classes, seed=0):
    """`raw_problem` with a fourth column of 0 and 1."""
    X, y = raw_problem(n_classes, seed)
    return np.column_stack([X, np.random.default_rng(9).integers(0, 2, N)]), y


def proba_at(params, X, offset, fit_intercept):
    """Probabilities in long double; params (n_classes - 1, m) against class 0."""
    params = params.astype(np.longdouble)
    slopes = params[:, 1:] if fit_intercept else params
    logits = np.column_stack([np.zeros(len(X)), X @ slopes.T])
    if fit_intercept:
        logits[:, 1:] += params[:, 0]
    logits = logits + offset
    q = np.exp(logits - logits.max(axis=1, keepdims=True))
    return q / q.sum(axis=1, keepdims=True)


def effects_by_differences(params, X, offset, weight, kind, dummies, fit_intercept):
    """Definition: five-point differences in x of every row's probabilities, averaged."""
    X = X.astype(np.longdouble)
    offset = np.broadcast_to(offset, (len(X), len(params) + 1))

    def y_of(Z):
        q = proba_at(params, Z, offset, fit_intercept)
        return np.log(q) if kind.startswith("ey") else q

    columns = []
    for j in range(X.shape[1]):
        if j in dummies:
            Z = np.stack([X, X])
            Z[0, :, j], Z[1, :, j] = 0, 1
            change = y_of(Z[1]) - y_of(Z[0])
        else:
            step = np.zeros(X.shape[1], dtype=np.longdouble)
            step[j] = 1e-3 * X[:, j].std() if len(X) > 1 else 1e-3 * np.append(SCALES, 1)[j]
            change = (
                8 * (y_of(X + step) - y_of(X - step)) - y_of(X + 2 * step) + y_of(X - 2 * step)
            ) / (12 * step[j])
            change = change * (X[:, [j]] if kind.endswith("ex") else 1)
        columns.append(weight @ change / weight.sum())
    return np.stack(columns, axis=1)


def errors_by_differences(result, effects_of):
    """Standard errors from a numerical Jacobian of the effects in the parameters."""
    # Steps along the eigenvectors of the covariance: parameters are correlated up to 1 - 1e-4.
    scale = result.bse.ravel()
    values, vectors = np.linalg.eigh(result.cov_params() / np.outer(scale, scale))
    root = vectors * np.sqrt(values.clip(0)) * scale[:, None]

    def moved(direction, step):
        return effects_of(result.params + (step * direction).reshape(result.params.shape))

    h = np.longdouble(1e-2)
    squares = sum(
        ((8 * (moved(d, h) - moved(d, -h)) - moved(d, 2 * h) + moved(d, -2 * h)) / (12 * h)) ** 2
        for d in root.T
    )
    return np.sqrt(squares)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("at", ["overall", "mean"])
def test_effects_and_errors_are_those_of_differences(
    kind, n_classes, fit_intercept, weighted, at, monkeypatch
):
    """Differences of probabilities in x, and of these in the parameters; in blocks."""
    X, y = problem(n_classes)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    offset = rng.standard_normal((N, n_classes)) if weighted else None
    dummies = () if kind.endswith("ex") else (3,)
    model = fitted(X, y, weight, offset, fit_intercept=fit_intercept)
    result = model.inference(X, y, weight, offset=offset, reference=0)
    monkeypatch.setattr(contrasts, "_BLOCK_SIZE", 1)    # blocks of 64 rows
    found = result.marginal_effects(
        X, offset=offset, sample_weight=weight, at=at, kind=kind, dummy=dummies
    )
    v = np.ones(N) if weight is None else weight
    o = np.zeros((1, n_classes)) if offset is None else offset
    if at == "mean":
        o = o if offset is None else (v @ o / v.sum())[None]
        X, v = (v @ X / v.sum())[None], np.ones(1)

    def effects_of(params):
        return effects_by_differences(params, X, o, v, kind, dummies, fit_intercept)

    expected = effects_of(result.params).astype(float)
    errors = errors_by_differences(result, effects_of).astype(float)
    size = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(found.effects / size, expected / size, atol=1e-8)
    np.testing.assert_allclose(found.bse / errors, 1, atol=2e-5)
    assert found.dummy == tuple(f"x{j}" for j in dummies)


@pytest.mark.parametrize("kind", ["dydx", "eydx"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_moments_of_probabilities_give_the_same(kind, n_classes, fit_intercept, monkeypatch):
    """Sums of products of three probabilities, and sums over pairs of classes with slopes."""
    X, y = problem(n_classes)
    result = fitted(X, y, fit_intercept=fit_intercept).inference(X, y)
    weight = np.random.default_rng(5).random(N)
    tables = []
    for is_fewer in (True, False):
        monkeypatch.setattr(margins, "_has_fewer_moments", lambda K, p, one=is_fewer: one)
        tables.append(result.marginal_effects(X, sample_weight=weight, kind=kind, dummy=[3]))
    size = np.abs(tables[0].effects).max(axis=0)
    np.testing.assert_allclose(tables[0].effects / size, tables[1].effects / size, atol=1e-12)
    np.testing.assert_allclose(tables[0].bse, tables[1].bse, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1"])
def test_codings_have_the_same_effects(kind, cov_type):
    """Against any reference class, and in the coding that sums to zero."""
    X, y = problem(3)
    model = fitted(X, y)
    tables = [
        model.inference(X, y, cov_type=cov_type, reference=k).marginal_effects(X, kind=kind)
        for k in (None, 0, 1, 2)
    ]
    for table in tables[1:]:
        np.testing.assert_array_equal(table.effects, tables[0].effects)
        np.testing.assert_array_equal(table.bse, tables[0].bse)
        assert table.class_names == (0, 1, 2)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("at", ["overall", "mean"])
def test_effects_on_probabilities_sum_to_zero(n_classes, at):
    """Probabilities sum to 1; of two classes the errors are equal."""
    X, y = problem(n_classes)
    result = fitted(X, y).inference(X, y)
    for kind, dummy in (("dydx", ["x3"]), ("dyex", [])):
        table = result.marginal_effects(X, at=at, kind=kind, dummy=dummy)
        size = np.abs(table.effects).max(axis=0)
        np.testing.assert_allclose(table.effects.sum(axis=0) / size, 0, atol=1e-13)
        if n_classes == 2:
            np.testing.assert_allclose(*table.bse, rtol=1e-9)


def test_slopes_times_probabilities_of_two_classes():
    """K = 2: the effect of the log-odds' slope is its product with the mean of q (1 - q)."""
    X, y = problem(2)
    model = fitted(X, y)
    table = model.inference(X, y).marginal_effects(X)
    q = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(table.effects[1], model.coef_[0] * (q * (1 - q)).mean())


def test_kinds_of_rows_and_their_order():
    """CSR, float32, DataFrames and repeated rows give what arrays and weights do."""
    pd = pytest.importorskip("pandas")
    X, y = problem(3)
    X = X.astype(np.float32).astype(np.float64)
    weight = np.random.default_rng(3).integers(0, 3, N)
    names = ["a", "b", "c", "d"]
    data = pd.DataFrame(X, columns=names)
    result = fitted(data, y).inference(data, y)
    expected = result.marginal_effects(data, sample_weight=weight, dummy="d")
    some = np.repeat(np.arange(N), weight)[::-1]
    for Z in (X[some], X[some].astype(np.float32), sparse.csr_array(X[some]),
              sparse.coo_array(X[some]), X[some].tolist()):
        found = result.marginal_effects(Z, dummy=[3])
        np.testing.assert_allclose(found.effects, expected.effects, rtol=1e-9)
        np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-9)
    assert expected.dummy == ("d",) and expected.feature_names == tuple(names)


def test_the_table():
    """z, p, intervals and the frame follow from effects and errors; arrays are read-only."""
    pd = pytest.importorskip("pandas")
    X, y = problem(3)
    result = fitted(X, y).inference(X, y)
    table = result.marginal_effects(X, kind="eydx")
    assert isinstance(table, MarginalEffects)
    assert repr(table) == "<MarginalEffects: 3 classes x 4 features, kind='eydx', at='overall'>"
    np.testing.assert_array_equal(table.zvalues, table.effects / table.bse)
    np.testing.assert_allclose(table.pvalues, 2 * norm.sf(abs(table.zvalues)))
    np.testing.assert_allclose(table.conf_int(0.1).mean(axis=-1), table.effects)
    frame = table.summary_frame()
    assert list(frame.columns)[:2] == ["ey/dx", "std err"]
    assert frame.index.equals(
        pd.MultiIndex.from_product([range(3), ["x0", "x1", "x2", "x3"]])
    )
    np.testing.assert_array_equal(frame["ey/dx"], table.effects.ravel())
    with pytest.raises(ValueError, match="read-only"):
        table.effects[0, 0] = 0.0


def test_refused_arguments():
    """Each with what was given and what is expected."""
    X, y = problem(3)
    result = fitted(X, y).inference(X, y)
    for Z, options, message in (
        (None, {}, "holds no data"),
        (X[:, :2], {}, r"\(n_samples, 4\)"),
        (np.where(X > 1e4, np.nan, X), {}, "finite"),
        (X, {"at": "median"}, "at must be one of"),
        (X, {"kind": "dxdy"}, "kind must be one of"),
        (X, {"dummy": ["x9"]}, "got 'x9'"),
        (X, {"dummy": [-1]}, "got -1"),
        (X, {"dummy": ["x3", 3]}, "twice"),
        (X, {"dummy": [3], "kind": "eyex"}, r"dummies \['x3'\].*logarithm of 0"),
        (X, {"offset": np.zeros((N, 3))}, "without an offset"),
        (X, {"sample_weight": np.zeros(N)}, "sample_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            result.marginal_effects(Z, **options)
    pd = pytest.importorskip("pandas")
    data = pd.DataFrame(X, columns=list("abcd"))
    named = SoftmaxRegression(C=np.inf).fit(data, y).inference(data, y)
    with pytest.raises(ValueError, match="columns of X must be those of the fit"):
        named.marginal_effects(data[list("bacd")])


def test_penalised_fits_have_effects():
    """With the covariance of shrunken estimates; separable classes with a penalty too."""
    X, y = problem(3)
    X = X / X.std(axis=0)
    result = fitted(X, y, C=0.1).inference(X, y, cov_type="frequentist")
    weaker = fitted(X, y, C=1e3).inference(X, y, cov_type="frequentist")
    small, large = (np.abs(r.marginal_effects(X).effects).sum() for r in (result, weaker))
    assert 0 < small < large
