"""What `inference` refuses, with what was given and what to do."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from softmax_reg import RowBlocks, SeparationWarning, SoftmaxRegression

X, Y = load_wine(return_X_y=True)
X = X[:, [0, 2]]    # alcohol and ash: no class is separated by them
SEPARABLE = load_iris(return_X_y=True)


def fitted(X=X, y=Y, **parameters):
    return SoftmaxRegression(**{"C": np.inf, "tol": 1e-12, **parameters}).fit(X, y)


@pytest.mark.parametrize("parameters, message", [
    ({"C": 1.0, "l1_ratio": 0.5}, "L1 part, got l1_ratio=0.5.*bootstrap"),
    ({"C": 1.0, "l1_ratio": 1.0, "grouped": True}, "L1 part"),
    ({"C": 1.0, "bounds": (0, np.inf)}, "bounds=.*Refit without"),
    ({"label_smoothing": 0.1}, "label_smoothing=0.1.*no likelihood"),
    ({"class_weight": "balanced"}, "class_weight='balanced'.*sample_weight"),
    ({"C": 1.0, "penalty_factor": [1.0, np.inf]}, "finite penalty factors"),
    ({"penalty_factor": [1.0, np.inf]}, "finite penalty factors"),
])
def test_models_without_standard_errors(parameters, message):
    """L1, bounds, smoothed labels, class weights and excluded features are refused."""
    model = fitted(**parameters)
    with pytest.raises(ValueError, match=message):
        model.inference(X, Y, cov_type="bayes")


def test_an_l1_ratio_without_a_penalty_is_none():
    """C=inf has no penalty, whatever its kind."""
    expected = fitted().inference(X, Y)
    found = fitted(l1_ratio=1.0).inference(X, Y)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)


@pytest.mark.parametrize("C, cov_type, message", [
    (1.0, "nonrobust", "shrinks.*Refit with C=np.inf.*'bayes', 'frequentist'"),
    (1.0, "HC0", "shrinks"),
    (np.inf, "bayes", "no penalty.*'nonrobust'"),
    (np.inf, "HC3", "cov_type must be one of"),
    (np.inf, "cluster", "no groups"),
])
def test_kinds_of_covariance(C, cov_type, message):
    """Those of a penalty need one, the others none."""
    with pytest.raises(ValueError, match=message):
        fitted(C=C).inference(X, Y, cov_type=cov_type)


def test_arguments():
    """Groups, reference, offset, shapes and names are checked."""
    model = fitted()
    for options, message in (
        ({"groups": np.arange(178)}, "only then"),
        ({"groups": np.arange(3), "cov_type": "cluster"}, r"shape \(178,\)"),
        ({"groups": np.zeros(178), "cov_type": "cluster"}, "at least 2 clusters"),
        ({"groups": np.append(np.nan, np.ones(177)), "cov_type": "cluster"}, "NaN"),
        ({"groups": np.array([None, *"a" * 177]), "cov_type": "cluster"}, "sorted"),
        ({"reference": 7}, r"classes \[0, 1, 2\], got 7"),
        ({"offset": np.zeros((178, 3))}, "fitted without an offset"),
    ):
        with pytest.raises(ValueError, match=message):
            model.inference(X, Y, **options)
    with pytest.raises(ValueError, match="X has 1 features"):
        model.inference(X[:, :1], Y)
    with pytest.raises(ValueError, match=r"labels \[7\]"):
        model.inference(X, np.where(Y == 2, 7, Y))
    with pytest.raises(ValueError, match=re.escape("classes [2] have no rows")):
        model.inference(X, Y, (Y < 2).astype(float))
    with pytest.raises(ValueError, match="alpha"):
        model.inference(X, Y).conf_int(95)
    with pytest.raises(NotFittedError):
        SoftmaxRegression().inference(X, Y)


def test_names_of_columns():
    """A DataFrame needs the columns of the fit."""
    pd = pytest.importorskip("pandas")
    model = fitted(pd.DataFrame(X, columns=["a", "b"]))
    with pytest.raises(ValueError, match="feature names should match"):
        model.inference(pd.DataFrame(X, columns=["a", "c"]), Y)


def test_other_data_than_the_fits():
    """Other labels raise an error, one row more a warning, the data of the fit neither."""
    model = fitted()
    assert model.inference(X, Y).newton_decrement < 1e-6
    with pytest.raises(ValueError, match="not at its optimum.*standard errors away"):
        model.inference(X, np.roll(Y, 20))
    with pytest.raises(ValueError, match="not at its optimum"):
        model.set_params(fit_intercept=False).inference(X, Y)
    model.set_params(fit_intercept=True)
    with pytest.warns(ConvergenceWarning, match="standard errors away"):
        result = model.inference(X[:-1], Y[:-1])
    exact = fitted(X[:-1], Y[:-1]).inference(X[:-1], Y[:-1])
    off = np.abs(result.params - exact.params) / exact.bse
    assert 0.3 * off.max() < result.newton_decrement < 0.5
    assert off.max() <= 1.2 * result.newton_decrement
    with pytest.raises(ValueError, match="not at its optimum"):
        fitted(C=1.0).set_params(C=np.inf).inference(X, Y)


@pytest.mark.parametrize("max_iter", [3, 1000])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_separable_classes(max_iter):
    """Refused with a proof, and the classes that are told from others, at any iterate."""
    Z, y = SEPARABLE
    model = fitted(Z, y, max_iter=max_iter)
    with pytest.raises(ValueError, match="can be separated.*no maximum.*finite C"):
        model.inference(Z, y)
    far = X.copy()
    far[Y == 0] += 20.0    # class 0 alone is separated
    with pytest.warns(SeparationWarning):
        model = fitted(far, Y, tol=1e-8)
    with pytest.raises(ValueError, match="told apart: 0 and 1, 0 and 2. Use"):
        model.inference(far, Y)


def test_a_penalty_has_errors_for_separable_classes():
    """With a finite C there is an optimum, and so a covariance."""
    Z, y = SEPARABLE
    result = fitted(Z, y, C=1.0).inference(Z, y, cov_type="frequentist")
    assert np.isfinite(result.bse).all() and (result.bse > 0).all()


def test_collinear_columns():
    """A constant column, and one that depends on others, are named."""
    for column, message in (
        (np.ones(178), r"\['x2'\].*constant"),
        (X @ [1.0, 2.0] + 3, "'x2' depends on columns before it"),
    ):
        Z = np.column_stack([X, column])
        with pytest.raises(ValueError, match=message):
            fitted(Z).inference(Z, Y)
    result = fitted(Z, C=1.0).inference(Z, Y, cov_type="bayes")
    assert np.isfinite(result.bse).all()


def test_robust_errors_need_rows_in_memory(by_kernels):
    """`RowBlocks` have a Hessian, but no scores."""
    Z = RowBlocks(X)
    with pytest.raises(ValueError, match="need X in memory"):
        fitted(Z).inference(Z, Y, cov_type="HC0")


def test_too_many_parameters(monkeypatch):
    """The message names the size of the Hessian."""
    monkeypatch.setattr("softmax_reg.inference.information.MAX_PARAMETERS", 5)
    with pytest.raises(ValueError, match=r"6 parameters, of .* GiB; up to 5"):
        fitted().inference(X, Y)
