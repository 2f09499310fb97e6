"""A stream that is saved and loaded between batches goes on as if it had not been."""

import io
import pickle

import joblib
import numpy as np
import pytest
from scipy import sparse

from softmax_reg import SoftmaxRegression
from softmax_reg.streaming import posterior

from .problems import parts, problem

# What the guide tells skops to trust.
TRUSTED = ["softmax_reg.estimators.regression.SoftmaxRegression"]


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def by_skops(model):
    skops = pytest.importorskip("skops.io")
    file = skops.dumps(model)
    assert set(skops.get_untrusted_types(data=file)) <= set(TRUSTED)
    return skops.loads(file, trusted=TRUSTED)


WAYS = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "joblib": by_joblib,
        "skops": by_skops}


def learn(kind, n_classes, saved=lambda model: model):
    """A model after five batches, passed through `saved` after each of them.

    kind : {"labels", "late", "soft", "single", "sparse"}
        Labels; the last class only from the third batch on; weighted distributions with offsets
        and unequal penalties; float32; CSR without an intercept.
    """
    X, T, weight, offset = problem(n_classes)
    y = T.argmax(axis=1)
    classes = np.array([f"class {k}" for k in range(n_classes)])
    parameters, further = {}, {}
    if kind == "soft":
        parameters["penalty_factor"] = [1.0, 0.5, 2.0, 1.0]
        further = {"sample_weight": weight, "offset": offset}
    elif kind == "single":
        X = X.astype(np.float32)
    elif kind == "sparse":
        X, parameters["fit_intercept"] = sparse.csr_array(X), False
    model = SoftmaxRegression(**parameters)
    for i, part in enumerate(parts(len(y), 5)):
        labels = y[part] % (n_classes - 1) if kind == "late" and i < 2 else y[part]
        model.partial_fit(
            X[part], T[part] if kind == "soft" else classes[labels], classes,
            **{name: value[part] for name, value in further.items()},
        )
        model = saved(model)
    return model


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("kind", ["labels", "late", "soft", "single", "sparse"])
def test_a_stream_goes_on_after_a_load(kind, n_classes, form):
    """The same bits in coefficients and state as without the break, and the same hash."""
    expected = learn(kind, n_classes)
    for saved in WAYS.values():
        model = learn(kind, n_classes, saved)
        for name in ("coef_", "intercept_", "classes_"):
            one, other = getattr(model, name), getattr(expected, name)
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
        assert joblib.hash(model) == joblib.hash(expected)
        assert joblib.hash(model._stream) == joblib.hash(expected._stream)


def leaves(state):
    """Values of a dict of dicts."""
    for value in state.values():
        yield from leaves(value) if isinstance(value, dict) else [value]


@pytest.mark.parametrize("kind", ["labels", "soft"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_state_is_plain(n_classes, kind, form):
    """Arrays of numbers without views, and numbers of Python's own."""
    state = learn(kind, n_classes)._stream
    for value in leaves(state):
        assert type(value) in (np.ndarray, float, int, bool, list, type(None)), value
        if isinstance(value, np.ndarray):
            assert value.flags.c_contiguous and value.dtype.kind in "fb"
    assert ("matrix" in state["posterior"]) == (form == "matrix")


def test_a_change_of_variables_goes_on_after_a_load(monkeypatch):
    """Batches of many rows with Kronecker factors keep the transform of an earlier batch."""
    from softmax_reg.solvers import kronecker
    from softmax_reg.streaming import stream

    monkeypatch.setattr(stream, "MAX_DENSE_SIZE", 0)
    made, make = [], kronecker.KroneckerTransform.__init__
    monkeypatch.setattr(kronecker.KroneckerTransform, "__init__",
                        lambda self, *args: made.append(1) or make(self, *args))
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((420, 6)) + 1, rng.integers(0, 3, 420)
    models = []
    for saved in (lambda model: model, *WAYS.values()):
        model = SoftmaxRegression(C=0.1)
        made.clear()
        for part in (slice(0, 300), slice(300, 360), slice(360, 420)):
            model = saved(model.partial_fit(X[part], y[part], classes=[0, 1, 2]))
        assert model._stream["transform"] is not None and len(made) == 2
        models.append(model)
    assert len({joblib.hash(model) for model in models}) == 1
    assert len({model.coef_.tobytes() for model in models}) == 1


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_a_symmetric_matrix_is_kept_as_a_triangle(size):
    """Half the numbers, and every bit of the matrix again."""
    matrix = np.random.default_rng(0).standard_normal((size, size))
    matrix += matrix.T
    packed = posterior._packed(matrix)
    assert packed.shape == (size * (size + 1) // 2,)
    np.testing.assert_array_equal(posterior._unpacked(packed, matrix.shape), matrix)
