"""Parameters of LogisticRegression that do not exist here: errors name what to use."""

import inspect

import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV
from softmax_reg.dask import DaskSoftmaxRegression

ADVICE = [
    (SoftmaxRegression, "penalty", "C=np.inf for penalty=None"),
    (SoftmaxRegression, "n_jobs", "threadpool_limits"),
    (SoftmaxRegression, "dual", "duality gap"),
    (SoftmaxRegression, "intercept_scaling", "intercepts have no penalty"),
    (SoftmaxRegression, "multi_class", "OneVsRestClassifier"),
    (SoftmaxRegression, "l1_ratios", "SoftmaxRegressionCV"),
    (SoftmaxRegression, "Cs", "softmax_path"),
    (SoftmaxRegressionCV, "C", "use Cs"),
    (SoftmaxRegressionCV, "l1_ratio", "use l1_ratios"),
    (SoftmaxRegressionCV, "use_legacy_attributes", "leave it out"),
    (DaskSoftmaxRegression, "penalty", "DaskSoftmaxRegression has no parameter penalty"),
]


@pytest.mark.parametrize("estimator, name, message", ADVICE)
def test_the_error_names_what_to_use(estimator, name, message):
    with pytest.raises(TypeError, match=message):
        estimator(**{name: 1})
    model = estimator()
    before = model.get_params()
    with pytest.raises(ValueError, match=message):
        model.set_params(**{name: 1})
    assert model.get_params() == before


@pytest.mark.parametrize("ours, theirs", [
    (SoftmaxRegression, LogisticRegression), (SoftmaxRegressionCV, LogisticRegressionCV),
])
def test_every_parameter_of_scikit_learn_is_taken_or_has_advice(ours, theirs):
    for name in theirs().get_params():
        if name not in ours().get_params():
            with pytest.raises(TypeError, match=f"no parameter {name}: "):
                ours(**{name: None})


def test_unknown_names_have_the_usual_errors():
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        SoftmaxRegression(foo=1)
    with pytest.raises(ValueError, match="Invalid parameter 'foo'"):
        SoftmaxRegression().set_params(foo=1)


def test_a_grid_with_a_penalty_names_what_to_use():
    search = GridSearchCV(SoftmaxRegression(), {"penalty": ["l1", "l2"]})
    with pytest.raises(ValueError, match="use l1_ratio"):
        search.fit(*load_iris(return_X_y=True))


def test_signatures_and_clones_are_those_of_the_constructor():
    assert "C" in inspect.signature(SoftmaxRegression).parameters
    assert "parameters" not in inspect.signature(SoftmaxRegression).parameters
    assert clone(SoftmaxRegressionCV(Cs=3, n_jobs=2)).get_params()["n_jobs"] == 2


def test_subclasses_may_fix_parameters():
    class Lasso(SoftmaxRegression):
        def __init__(self, alpha=1.0):
            self.alpha = alpha
            super().__init__(C=1 / alpha, l1_ratio=1.0)

    assert Lasso(alpha=2.0).C == 0.5
    with pytest.raises(TypeError, match="Lasso has no parameter penalty"):
        Lasso(penalty="l1")
