"""`to_sklearn` of estimators that hold our models: the same predictions, nothing of ours left."""

import functools
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from softmax_reg import SoftmaxRegression, SoftmaxRegressionCV, to_sklearn

from ..problems import EPS, bundled

X, y = bundled("iris")
y = np.array(["setosa", "versicolor", "virginica"])[y]
IS_BINARY = y != "setosa"


def model(**parameters):
    return SoftmaxRegression(C=0.1, tol=1e-3, **parameters)


def pipeline():
    return make_pipeline(StandardScaler(), model())


def of_several_kinds():
    columns = ColumnTransformer([("first", StandardScaler(), [0, 1]),
                                 ("logarithm", FunctionTransformer(np.log1p), [2, 3])])
    union = FeatureUnion([
        ("selected", SelectFromModel(model(l1_ratio=1.0))), ("all", "passthrough"),
    ])
    return Pipeline([
        ("columns", columns), ("union", union),
        ("search", GridSearchCV(model(), {"C": [0.1, 1.0]}, cv=2)),
    ])


NESTED = {
    "model": model,
    "search of C": lambda: SoftmaxRegressionCV(Cs=[0.1], cv=2, tol=1e-3),
    "pipeline": pipeline,
    "grid search": lambda: GridSearchCV(
        pipeline(), {"softmaxregression__C": [0.01, 1.0]}, cv=2),
    "search of models": lambda: GridSearchCV(
        Pipeline([("last", model())]), {"last": [model(), SoftmaxRegression(C=0.5, tol=1e-3)]},
        cv=2),
    "calibrated": lambda: CalibratedClassifierCV(pipeline(), cv=2),
    "stacking": lambda: StackingClassifier(
        [("one", pipeline()), ("bayes", GaussianNB())], final_estimator=model(), cv=2),
    "voting": lambda: VotingClassifier([("one", model()), ("bayes", GaussianNB())],
                                       voting="soft"),
    "frozen": lambda: FrozenEstimator(pipeline().fit(X, y)),
    "one against the rest": lambda: OneVsRestClassifier(model()),
    "pairs": lambda: OneVsOneClassifier(pipeline()),
    "bagging": lambda: BaggingClassifier(model(), n_estimators=2, random_state=0),
    "elimination": lambda: RFE(model(), n_features_to_select=2),
    "method": lambda: make_pipeline(
        FunctionTransformer(model().fit(X, y).predict_proba), model()),
    "several kinds": of_several_kinds,
}


@pytest.mark.parametrize("name", NESTED)
def test_the_copy_predicts_the_same_without_the_package(name):
    """Labels equal, probabilities up to rounding; a pickle of it does not name this package."""
    nested = NESTED[name]().fit(X, y)
    before = pickle.dumps(nested)
    exported = to_sklearn(nested)
    assert_array_equal(exported.predict(X), nested.predict(X))
    if hasattr(nested, "predict_proba"):
        difference = np.abs(exported.predict_proba(X) - nested.predict_proba(X)).max()
        assert difference <= 256 * EPS
    assert b"softmax_reg" not in pickle.dumps(exported)
    assert b"softmax_reg" in before
    assert pickle.dumps(nested) == before
    assert type(exported) is type(nested) or isinstance(exported, LogisticRegression)


def test_of_two_classes():
    """A threshold, and the sigmoid."""
    binary = X[IS_BINARY], y[IS_BINARY]
    nested = FixedThresholdClassifier(pipeline(), threshold=0.3, pos_label="virginica")
    nested.fit(*binary)
    exported = to_sklearn(nested)
    assert_array_equal(exported.predict(X), nested.predict(X))
    assert np.any(exported.predict(X) != exported.estimator_.predict(X))


def test_the_copy_shares_nothing():
    """A new fit of the given pipeline, scaler included, does not change the copy."""
    nested = pipeline().fit(X, y)
    exported = to_sklearn(nested)
    proba = exported.predict_proba(X)
    nested.fit(10 * X[::-1] + 1, y)
    assert_array_equal(exported.predict_proba(X), proba)
    assert not np.shares_memory(exported[0].mean_, nested[0].mean_)


def test_a_model_in_two_places_stays_one():
    """`named_estimators_` and `estimators_` of a voting classifier hold the same objects."""
    exported = to_sklearn(VotingClassifier([("one", model())]).fit(X, y))
    assert exported.named_estimators_["one"] is exported.estimators_[0]
    assert isinstance(exported.estimators_[0], LogisticRegression)


@pytest.mark.parametrize("C", [0.05, np.inf])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_the_penalty_selects_the_same_features(l1_ratio, C):
    """SelectFromModel chooses its threshold by the penalty: 1e-5 for L1, else the mean."""
    scores = np.random.default_rng(0).standard_normal((90, 5))
    labels = (scores[:, :3] + np.random.default_rng(1).gumbel(size=(90, 3))).argmax(axis=1)
    nested = SelectFromModel(SoftmaxRegression(C=C, l1_ratio=l1_ratio, tol=1e-3))
    nested.fit(scores, labels)
    assert_array_equal(to_sklearn(nested).get_support(), nested.get_support())


def test_models_that_are_not_fitted_keep_the_common_parameters():
    """The template of a search: C, class_weight, fit_intercept, random_state, l1_ratio."""
    template = SoftmaxRegression(C=3.0, class_weight="balanced", fit_intercept=False, tol=1e-3,
                                 random_state=4, grouped=True, l1_ratio=0.25)
    search = GridSearchCV(template, {"C": [0.1]}, cv=2).fit(X, y)
    exported = to_sklearn(search)
    assert not hasattr(exported.estimator, "coef_")
    for name in ("C", "class_weight", "fit_intercept", "random_state", "l1_ratio"):
        assert getattr(exported.estimator, name) == getattr(template, name)
    assert exported.best_estimator_.C == 0.1


def test_what_has_no_counterpart_is_refused():
    """Nothing of ours, nothing fitted, an offset, no estimator."""
    with pytest.raises(ValueError, match="and this GaussianNB holds none"):
        to_sklearn(GaussianNB().fit(X, y))
    with pytest.raises(NotFittedError, match="This Pipeline holds no fitted SoftmaxRegression"):
        to_sklearn(pipeline())
    with pytest.raises(NotFittedError, match="a search needs refit=True"):
        to_sklearn(GridSearchCV(model(), {"C": [0.1]}, cv=2, refit=False).fit(X, y))
    with_offset = make_pipeline(StandardScaler(), model()).fit(
        X, y, softmaxregression__offset=np.zeros((150, 3)))
    with pytest.raises(ValueError, match="LogisticRegression has no offset"):
        to_sklearn(with_offset)
    of_ours = FunctionTransformer(model().fit(X, y).inference)
    with pytest.raises(ValueError, match="method 'inference' of a SoftmaxRegression, which"):
        to_sklearn(make_pipeline(of_ours, GaussianNB()))

    class Halved(SoftmaxRegression):
        """Predicts in its own way."""

        def predict_proba(self, X, offset=None):
            return super().predict_proba(X, offset) / 2

    with pytest.raises(TypeError, match="Halved has its own predict_proba"):
        to_sklearn(make_pipeline(Halved()).fit(X, y))
    for given in (SoftmaxRegression, [model().fit(X, y)], None):
        with pytest.raises(TypeError, match="estimator must be a fitted estimator, got"):
            to_sklearn(given)


def test_models_in_partial_functions_are_found():
    """And parameters of models are copied, too."""
    fitted = model(class_weight={"setosa": 2.0}).fit(X, y)
    step = FunctionTransformer(functools.partial(np.matmul, fitted))
    exported = to_sklearn(make_pipeline(step, fitted))
    assert type(exported[0].func.args[0]) is LogisticRegression
    assert exported[0].func.args[0] is exported[1]
    assert exported[1].class_weight is not fitted.class_weight
