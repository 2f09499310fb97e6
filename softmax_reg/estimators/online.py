"""`partial_fit`: a model learned from one batch of rows after another."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ..rows.row_blocks import RowBlocks
from ..streaming.stream import next_stream
from ..typing import MatrixLike
from .array_api import as_given
from .batches import check_batch
from .feature_options import check_penalty_factor
from .outcome import warn_of_batch
from .prediction import rounded
from .scikit_learn import fit_context

# Attributes of `fit` that `partial_fit` removes, and of `partial_fit` that `fit` removes.
OF_FIT = ("feature_names_in_", "objective_", "dual_gap_", "newton_decrement_", "n_iter_",
          "n_evaluations_", "solver_", "history_")
OF_STREAM = ("feature_names_in_", "weight_seen_", "_stream")


class OnlineLearner:
    """`partial_fit` of an estimator with the parameters of `SoftmaxRegression`."""

    weight_seen_: float

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: MatrixLike | RowBlocks,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Self:
        """Learn from one more batch of rows, in memory that does not grow with their number.

        A quadratic function stands for the batches so far: the second-order expansion of their
        losses. The new coefficients minimise this function plus the batch's own loss, by Newton's
        method (the online Laplace approximation; formulas in `softmax_reg/streaming/stream.py`).
        C has the same meaning as in one `fit` to the rows of all batches.

        After the first batch the coefficients are those of `fit`. After more batches, they are
        close to those of a fit, and asymptotically as good on new rows, if batches are drawn at
        random: shuffle first. Batches of fewer rows than features learn badly under weak
        penalties: 300 rows of 8 features in 3 classes, one at a time with C=100, end at a log
        loss of 1.5, where a fit has 0.9; with C=1, or in batches of 7, they come close.
        Rows are not forgotten, and rows that come again count again.
        Nothing is certified: `dual_gap_`, `objective_`, `history_` and the like do not exist.
        Up to 650 coefficients and intercepts, past curvature is kept in one matrix; above, as
        Kronecker factors. These cost far less, and lose accuracy mainly under weak penalties
        with batches of fewer rows than features. Pickles hold the curvature too;
        `end_partial_fit` drops it.

        A call after `fit` or `end_partial_fit` starts anew, and so does `fit` after
        `partial_fit`. A call that is refused or interrupted changes nothing. solver, max_iter
        and warm_start are not used; `tol` only bounds the relative change of the loss when
        `coef_` is rounded to float32.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Any number of rows.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels; or distributions or counts, as in `fit`. Batches of both may come in turn. A
            DataFrame's columns are found by their names, other columns are in the order of
            `classes` where the call has it, else of `classes_`.
        classes : array-like of shape (n_classes,), default=None
            All labels that may come, in any order. The first call needs it for labels, unless
            after `fit`; later calls may repeat it. A first y of shape (n_samples, n_classes)
            keeps the order of `classes` for `classes_`, or without `classes` gives its columns'
            names, or 0, 1, ... A class without weight so far, `label_smoothing` included, is
            never predicted, but for a large offset.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Non-negative, not all zero.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Added to the logits, as in `fit`; columns in the order of `classes_`. All batches
            have one or none has.

        Returns
        -------
        self : SoftmaxRegression
            With `coef_`, `intercept_`, `classes_`, `n_features_in_`, `has_offset_` and
            `weight_seen_`.

        Raises
        ------
        ValueError
            With l1_ratio > 0, C=np.inf, an infinite penalty factor, class_weight="balanced" or
            device="cuda"; if C, penalty_factor or fit_intercept change between calls, or only
            some batches have an offset.

        Warns
        -----
        ConvergenceWarning
            If the minimum for this batch was not reached.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_digits(return_X_y=True)
        >>> model = SoftmaxRegression(C=1e-3)
        >>> for start in range(0, 1500, 100):
        ...     batch = slice(start, start + 100)
        ...     model = model.partial_fit(X[batch], y[batch], classes=range(10))
        >>> model.weight_seen_
        1500.0
        >>> print(f"{model.score(X[1500:], y[1500:]):.2f}")
        0.90
        """
        self._validate_params()    # `_fit_context` validates in the first call only
        data = check_batch(self, X, y, classes, sample_weight, offset)
        factor = check_penalty_factor(self.penalty_factor, data.X.shape[1])
        stream = next_stream(
            vars(self).get("_stream"), data, C=self.C, fit_intercept=self.fit_intercept,
            penalty_factor=factor,
        )
        targets = data.index if data.mixture is None else data.mixture
        coef, intercept = rounded(
            *stream.coef_and_intercept(), data.X, targets, self.tol, data.offset
        )
        learned = {
            "coef_": coef,
            "intercept_": intercept,
            "classes_": data.classes,
            **data.names,
            "has_offset_": data.offset is not None,
            "weight_seen_": stream.weight_seen,
            "_stream": stream.as_plain(),
        }
        warn_of_batch(stream.excess, np.any(np.equal(factor, 0)))
        return self._become(as_given(X, y)(learned), OF_FIT)

    def end_partial_fit(self) -> Self:
        """Drop what `partial_fit` keeps of past batches for later ones; the model stays.

        In a pickle, the curvature of m coefficients and intercepts takes m^2 / 2 numbers, or for
        m > 650 about (n_features^2 + n_classes^2) / 2. Predictions and `weight_seen_` do not
        change. The next `partial_fit` starts anew. Without past batches nothing happens.

        Returns
        -------
        self : SoftmaxRegression

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from softmax_reg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().partial_fit(X, y, classes=[0, 1, 2])
        >>> model.end_partial_fit().predict(X[:3])
        array([0, 0, 0])
        """
        vars(self).pop("_stream", None)
        return self

    def _become(self, fitted, others):
        """Set the fitted attributes, remove the others and return self."""
        for name in others:
            self.__dict__.pop(name, None)
        vars(self).update(fitted)
        return self
