"""How many threads can work on an evaluation at once, by the cut of its rows."""

import numpy as np
import pytest
from scipy import sparse

from softmax_reg.kernels import passes
from softmax_reg.parallel.launch import (
    DATA_TO_ACCUMULATORS,
    LOGITS_TO_ACCUMULATORS,
    MAX_ACCUMULATOR_BYTES,
)
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows


class Launched(Exception):
    """In place of the kernels' work, which would read all of X."""


def evaluation(rows, sample, theta):
    """The value and gradient."""
    rows.value_grad(sample, np.zeros(rows.n_features), theta)


def hessian(rows, sample, theta):
    """The value, gradient and exact Hessian."""
    rows.value_grad_hessian(sample, np.zeros(rows.n_features), theta)


def curvature(rows, sample, theta):
    """The Kronecker factors of the Hessian."""
    rows.curvature(sample, np.zeros(rows.n_features), theta, full=True)


def calls_of(monkeypatch, X, n_samples, n_rows, a_pass=evaluation):
    """Rows of each kernel call, and bytes of all its sums, for so many rows like the one of X."""

    def raise_calls(kernel, calls, work):
        raise Launched(calls)

    monkeypatch.setattr(passes, "launch", raise_calls)
    rows = MemoryRows(X)
    rows.matrix = rows.matrix._replace(n_samples=n_samples)
    sample = Sample(np.zeros(n_samples, dtype=np.int32), np.ones(n_samples))
    theta = np.zeros((n_rows, rows.n_features + 1))
    with pytest.raises(Launched) as raised:
        a_pass(rows, sample, theta)
    (calls,) = raised.value.args
    n_outs = 1 if rows.is_sparse else 2
    sizes = [args[-n_outs - 1] - args[-n_outs - 2] for args in calls]
    return np.array(sizes), sum(out.nbytes for args in calls for out in args[-n_outs:])


def speed_up(rows, n_threads):
    """Return the speed-up of threads that each take the next of `rows` when they are free."""
    ends = np.zeros(n_threads)
    for n in rows:
        ends[ends.argmin()] += n
    return rows.sum() / ends.max()


@pytest.mark.parametrize(
    "n_samples, n_features, n_rows, n_calls, by_32",
    [
        (1_281_167, 768, 120, 128, 31),    # with more classes, `rows.by_tile`
        (20_000, 2048, 120, 16, 15),    # sums of all calls: 40 MiB
        (50_000, 384, 58, 64, 31),
        (1_000_000, 50, 10, 128, 31),
        (11_000_000, 28, 1, 128, 31),
    ],
)
def test_calls_of_dense_rows(monkeypatch, n_samples, n_features, n_rows, n_calls, by_32):
    """As many as the memory that sums may take lets, and even for 32 threads."""
    X = np.zeros((1, n_features))
    rows, sum_bytes = calls_of(monkeypatch, X, n_samples, n_rows)
    assert rows.sum() == n_samples
    assert len(rows) >= n_calls
    assert speed_up(rows, 32) >= by_32
    logit_bytes = 8 * n_samples * max(2, n_rows)
    assert sum_bytes <= max(MAX_ACCUMULATOR_BYTES, logit_bytes / LOGITS_TO_ACCUMULATORS)


@pytest.mark.parametrize(
    "a_pass, n_samples, n_features, n_rows, n_calls, by_32",
    [(hessian, 1_000_000, 50, 10, 64, 31), (curvature, 50_000, 384, 58, 32, 28)],
    ids=["hessian", "curvature"],
)
def test_calls_with_large_sums(
    monkeypatch, a_pass, n_samples, n_features, n_rows, n_calls, by_32
):
    """Passes whose sums are a megabyte for each call serve 32 threads, in bounded memory."""
    X = np.zeros((1, n_features))
    rows, sum_bytes = calls_of(monkeypatch, X, n_samples, n_rows, a_pass)
    assert rows.sum() == n_samples
    assert len(rows) >= n_calls
    assert speed_up(rows, 32) >= by_32
    data_bytes = 8 * n_samples * n_features
    assert sum_bytes <= max(MAX_ACCUMULATOR_BYTES, data_bytes / DATA_TO_ACCUMULATORS)


@pytest.mark.parametrize("n_features, n_calls", [(2_000, 16), (30_000, 64)])
def test_calls_of_sparse_rows(monkeypatch, n_features, n_calls):
    """By rows for a small gradient; of a large one only the residuals are by rows."""
    X = sparse.csr_array((50_000, n_features))
    X.data = np.zeros(80 * 50_000)    # as many entries as 80 a row
    rows, _ = calls_of(monkeypatch, X, 50_000, 50)
    assert rows.sum() == 50_000
    assert len(rows) >= n_calls
