"""The interface of all kinds of rows: the passes over X that a fit consists of."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ..kernels.matrix import read_only
from ..parallel.elementwise import rows_of
from ..parallel.vectors import filled
from .sample import Sample
from .subsample import fraction_of, sample_rows


class Rates(NamedTuple):
    """Speed of the passes. Ratios between rates matter, not their sizes.

    Attributes
    ----------
    product, sparse_product : float
        Floating-point operations a second of products over the rows.
    factor : float
        Floating-point operations a second of factorisations.
    memory : float
        Bytes of X read in a second.
    softmax : float
        Logits a second.
    pass_seconds : float
        Seconds that a pass takes even over few rows.
    """

    product: float
    sparse_product: float
    factor: float
    memory: float
    softmax: float
    pass_seconds: float


# Rates of the passes, measured on an ordinary two-core machine.
CPU_RATES = Rates(
    product=1e11, sparse_product=1e10, factor=3e10, memory=3e10, softmax=2e8, pass_seconds=0.0
)


class Rows(ABC):
    """The rows of X, and the sums over them that a fit is made of.

    Arguments of the passes
    -----------------------
    sample : Sample
        As `place` returns it.
    shift : (n_features,)
        Subtracted from every row: the model sees x - shift.
    theta : (n_rows, n_features + 1)
        Parameters, the last column the intercept. n_rows is n_classes, or 1 for the binary
        model, whose logit is that of class 1. The dtype of theta is that of the arithmetic
        within a block of rows; results are float64.

    Attributes
    ----------
    shape : (n_samples, n_features)
    dtype : of X
    n_entries : int
        Numbers that X stores.
    is_sparse : bool
    rates : Rates
    algebra : HostAlgebra
        Products of the solvers' long vectors and large matrices, on the host or the device.
    offset : (n_samples, n_rows), or None
        What is added to the logits of every row.
    least_proven : float
        Objective, in nats, below which gradients prove nothing: passes leave exponentials below
        1e-300 out of them (`kernels.softmax`), and these would be a part of their digits.
    """

    offset = None
    least_proven = 1e-290
    rates: Rates
    algebra: object

    def __init__(self, shape, dtype, n_entries, is_sparse):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.n_entries = n_entries
        self.is_sparse = is_sparse

    @property
    def n_samples(self):
        """Number of rows."""
        return self.shape[0]

    @property
    def n_features(self):
        """Number of columns."""
        return self.shape[1]

    @property
    def without_offset(self):
        """The same rows, with nothing added to their logits."""
        return self

    def for_classes(self, present):
        """Return the same rows, for a theta of some of its rows only.

        present : (n_rows,) bool
        """
        return self

    def place(self, sample, n_classes):
        """Scale weights to a sum of 1 and move the sample to where the passes run.

        Returns
        -------
        sample : Sample
        shares : (n_classes,)
            Weight of every class; with `label_mixture`, of every label.
        """
        given, largest, n = sample.weight, sample.weight.max(), len(sample.weight)
        target = filled(lambda part: sample.target[part], n, np.int32)
        # Scale by the largest first: the sum of huge weights could overflow.
        weight = filled(lambda part: given[part] / largest, n, np.float64)
        total = weight.sum()
        weight = filled(lambda part: weight[part] / total, n, np.float64)
        distributions = sample.mixture, sample.label_mixture
        shares = Sample(target, weight, *distributions).class_totals(n_classes)
        return Sample(self._placed(target), self._placed(weight), *distributions), shares

    def _placed(self, vector):
        return read_only(vector)

    def on_host(self, sample):
        """Return (X, sample) as NumPy or SciPy arrays in memory; None if they are elsewhere."""
        return None

    def as_dense(self):
        """Return X as a dense array on the host; None if X is sparse or may not fit in memory."""
        return None

    def subsample(self, sample, n_classes):
        """Draw a sample of the rows that includes all rows of rare classes.

        Parameters
        ----------
        sample : Sample
            As `place` takes it, without a mixture of each row.

        Returns
        -------
        rows : Rows
        sample : Sample
            The weights of each class sum to the class's total weight in all rows.
        """
        index, weight = sample_rows(*sample.labels, n_classes, fraction_of(self.n_entries))
        return self.like(some_rows(self.X, index)), sample.take(index)._replace(weight=weight)

    @abstractmethod
    def like(self, X):
        """Return the rows of an array, of the same kind as these or in memory."""

    @abstractmethod
    def columns(self, index):
        """Return rows with some of the columns, copied."""

    @abstractmethod
    def column_summary(self, sample):
        """Return sum_i s_i x_i, (n_features,), and the `ColumnRange` of rows with weight > 0."""

    @abstractmethod
    def rest_sums(self, sample, shift):
        """Return sum_i s_i R_i [x_i - shift, 1]' of the `rest`, (n_classes, n_features + 1)."""

    @abstractmethod
    def value_grad(self, sample, shift, theta):
        """Compute the weighted cross-entropy, its gradient and the number of rows predicted wrong.

        Returns
        -------
        loss : float
            sum_i s_i (logsumexp(z_i) - z_i[y_i]) in nats.
        grad : (n_rows, n_features + 1)
        n_errors : int
            Rows of positive weight whose class is not strictly the most probable.
        """

    def predicted_loss(self, sample, theta):
        """Return the loss of the targets for x, not x - shift, with the logits of `predictions`.

        The logits have the same rounding errors, whatever other rows are in X. The loss is that
        of `value_grad`, plus sum_i <s_i R_i, z_i> where the sample has distributions.
        """
        loss = self.value_grad(sample, np.zeros(self.n_features), theta)[0]
        return loss + self._predicted_rest(sample, theta)

    def _predicted_rest(self, sample, theta):
        """Return sum_i <s_i R_i, z_i> of the logits z_i of `predictions`, in nats."""
        def logits(rows):
            z, _ = self.like(self.X[rows]).predictions(theta, "logits")
            # In a row, s_i R_i sums to 0: a shift common to the logits has no effect.
            return z - z.max(axis=1, keepdims=True)

        return sample.times_rest(logits)

    def as_part(self, sample, shift):
        """Return the rows as a `Part` of `StackedPasses`; None for rows of other kinds."""
        return None

    @abstractmethod
    def value_grad_hessian(self, sample, shift, theta):
        """Compute `value_grad`, and the Hessian of the loss in theta.ravel().

        The Hessian's blocks are sum_i s_i A_i (x) [x_i, 1] [x_i, 1]'.
        """

    @abstractmethod
    def hessian(self, sample, shift, theta, index):
        """Return the Hessian of the loss in theta.ravel()[index]; index ascending."""

    @abstractmethod
    def hess_prod(self, sample, shift, theta, direction):
        """Compute the Hessian of the loss times `direction`, (n_rows, n_features + 1)."""

    @abstractmethod
    def curvature(self, sample, shift, theta, full, full_classes=True):
        """Return the sums behind the Kronecker factors of the Hessian of the loss.

        Returns
        -------
        classes : (n_rows, n_rows) or (n_rows,)
            sum_i s_i A_i with A_i = diag(q_i) - q_i q_i'. With full_classes=False only the
            diagonal, except for the binary model, whose shape is (1, 1).
        moments : (n_features + 1, n_features + 1) or (2, n_features + 1)
            sum_i s_i trace(A_i) [x_i, 1] [x_i, 1]'. With full=False its last row and its
            diagonal.
        """

    @abstractmethod
    def predictions(self, theta, kind):
        """Compute logits, probabilities or their logarithms, and whether all logits are finite.

        Parameters
        ----------
        theta : (n_rows, n_features + 1)
            Parameters for x, not for x - shift.
        kind : {"logits", "probabilities", "log_probabilities"}

        Returns
        -------
        out : (n_samples, n_classes)
            In the binary model the logit of class 0 is 0.
        all_finite : bool
        """


def n_entries_of(X):
    """Return how many numbers an array or sparse matrix stores."""
    return X.nnz if sparse.issparse(X) else X.size


def some_columns(X, index):
    """Return a copy of some columns of an array or sparse matrix."""
    return X[:, index] if sparse.issparse(X) else X.take(index, axis=1)


def some_rows(X, index):
    """Return a copy of some rows of an array, also on a device, or of a sparse matrix.

    index : (n,) int
    """
    return rows_of(X, index) if isinstance(X, np.ndarray) else X[index]
