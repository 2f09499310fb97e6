"""Models pickled by version 0.1, before modules moved, still load, predict and learn."""

import base64
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris

from ..problems import EPS

X, y = load_iris(return_X_y=True)
MODELS = dict(
    line.split("\t") for line in
    Path(__file__).with_name("pickles_of_0_1.txt").read_text().splitlines()
)
# Probabilities of the classes of the first row then; of streams also after `X[::3]`.
PROBABILITIES = {
    "SoftmaxRegression": [
        [0.9815834948781584, 0.018416490623174134, 1.4498667355488901e-08],
    ],
    "SoftmaxRegressionCV": [
        [0.9999987057727365, 1.2942272634595733e-06, 3.129794768202426e-33],
    ],
    "dense stream": [
        [0.9686810113183969, 0.03131836289881131, 6.257827917014018e-07],
        [0.9787581689630335, 0.02124176254205715, 6.849490938334267e-08],
    ],
    "Kronecker stream": [
        [0.9833306949684132, 0.016669293524440423, 1.1507146428837237e-08],
        [0.9842848507968993, 0.015715138437915048, 1.07651856352532e-08],
    ],
}


@pytest.mark.filterwarnings("ignore")    # scikit-learn's, on a pickle of another version
@pytest.mark.parametrize("name", MODELS)
def test_a_pickle_of_0_1(name):
    """The same probabilities to rounding; parameters that are new have their defaults."""
    model = pickle.loads(zlib.decompress(base64.b85decode(MODELS[name])))
    then, *later = PROBABILITIES[name]
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], then, rtol=0, atol=16 * EPS)
    assert clone(model).get_params() == model.get_params()
    if later:
        proba = model.partial_fit(X[::3], y[::3]).predict_proba(X[:1])[0]
        np.testing.assert_allclose(proba, later[0], rtol=0, atol=1e-9)
