"""Learning from batches of rows, one pass: the past is a quadratic function of theta.

A stream keeps the parameters theta_t and the curvature P_t of the batches 1..t. The next batch,
whose rows i have the weights s_i, gives

    theta_{t+1} = argmin  sum_i s_i CE_i(theta) + 1/2 (theta - theta_t)' P_t (theta - theta_t),
    P_{t+1}     = P_t + H_{t+1},
    CE_i(theta) = logsumexp(z_i) - <T_i, z_i>,    z_i = theta [x_i, 1] + o_i,

where T_i is the distribution of row i over the classes, all on its label or as given, and o_i is
its offset or 0. Counts t_i T_i in place of a distribution multiply the weight by t_i.
H_{t+1} is the Hessian of the batch's loss at theta_{t+1}. The start is theta_0 = 0, with a P_0 of
1/C (times the penalty factor) on W and 0 on the intercept. So the first batch gives the optimum of
the full objective. A later batch gives the optimum of its own loss plus the second-order Taylor
expansion of all losses before. For a quadratic loss the method is recursive least squares. In
Bayesian terms it is the online Laplace approximation.

The expansion ignores that the curvatures of past rows change as theta moves. Mostly curvatures
fall, because the model becomes more certain, and the sums of the old ones then hold theta back.
Before a batch is fitted, its rows serve to measure the change. The share of P_t - P_0 that came
before the last batch, by weight, is multiplied by

    sum_i s_i trace(A_i(theta_t)) / sum_i s_i trace(A_i(theta_{t-1})),  A_i = diag(q_i) - q_i q_i',

where the sums are over the rows of the next batch, with probabilities q_i. On standardised
digits, 50 batches, this lowers the held-out loss from 1.09, 1.31 and 1.31 times that of a fit to
all rows (C = 0.01, 0.1, 1) to 1.03, 1.15 and 1.18 times. For a quadratic loss the factor is 1.

The objective of a batch of few rows is minimised in the logits of the batch (`dual`), others in
theta.

P has two forms. `DensePosterior` is the matrix itself. Where the matrix gets too large,
`KroneckerPosterior` keeps sums of the Kronecker factors of `solvers.kronecker`, A and the second
moments M, with P = A (x) M / trace(A) + P_0. The factors of a batch are the mean of those at
theta_t and theta_{t+1}. At theta_{t+1} alone they would be too small: few rows of many features
are predicted with far too much certainty once they are fitted, and the factors cannot tell in
which directions.

Classes without weight so far are not in the model; the weight of class k in a batch is
sum_i s_i T_ik. Past rows would pull their intercepts to minus infinity, where no curvature is left
to record this. When classes first appear, in a batch after past rows of weight n, mean row m and
mean offset o, the objective gets the term

    n log(1 + sum_new exp(z_k - c)),    z = theta [m, 1] + o,    c = H(p) + sum_old p_j z_j,

where p is the old classes' softmax of z at theta_t and H(p) its entropy. The term is the loss
that the new classes add to n rows of old classes at m and o, with the logsumexp of the old logits
replaced by its tangent at theta_t. So nothing that P_t contains is counted twice. The term is
convex, and its Hessian is added to P_{t+1}.

References
----------
Bottou & Le Cun (2004), Large scale online learning, NIPS 16: one pass of such steps gets as
near to the minimum of the expected loss as the optimum over all rows, asymptotically.
Murata (1998), A statistical study of on-line learning, in Saad (ed.), On-line Learning in
Neural Networks.
Ritter, Botev & Barber (2018), Online structured Laplace approximations for overcoming
catastrophic forgetting, NeurIPS 31: with Kronecker factors.
"""

from typing import NamedTuple

import numpy as np

from ..problem.coordinates import ABSENT_INTERCEPT
from ..rows.algebra import HOST_ALGEBRA
from ..rows.base import Sample
from ..rows.choice import rows_of
from ..rows.offset import OffsetRows, with_columns
from ..solvers.kronecker import KroneckerTransform
from .batch import Batch
from .posterior import DensePosterior, KroneckerPosterior, posterior_of
from .terms import NewClasses, Past

# Largest number of parameters for which P is one matrix: the digits data with an intercept, 10
# classes times 65. At this size a batch of 10 rows takes up to 3 times as long as with Kronecker
# factors, due to the Cholesky factor.
MAX_DENSE_SIZE = 650
# Growth factor of the weight seen after which a new `KroneckerTransform` is computed.
_REFRESH = 1.3
# Largest factor, up or down, by which a batch changes the curvature of past rows.
_MAX_DRIFT = 3.0


class Stream(NamedTuple):
    """The state after some batches; the size of a state does not depend on their number.

    Attributes
    ----------
    theta : (n_rows, n_features + 1) float64
        theta_t, of rows x - shift; 0 for classes not seen.
    posterior : DensePosterior or KroneckerPosterior
    seen : (n_classes,) bool
        Mask of the classes of positive weight so far. Without an intercept all are True: all
        classes are in the model from the start.
    shift : (n_features,)
        Weighted mean row of the first batch, 0 without an intercept.
    mean : (n_features,)
        Weighted mean row of all batches.
    weight_seen : float
        Sum of the weights of all rows so far.
    l2 : float, or (n_features,)
        Penalty factor over C.
    fit_intercept : bool
    transform : None, or (KroneckerTransform, the weight seen, the number of classes seen)
        Change of variables of the last batch; None if that batch did not use one.
    before, weight_before
        `theta` and `weight_seen` before the last batch. Classes that were new in it have their
        first intercepts in `before`.
    excess : float
        `LastStep.excess` of the last batch: 0 where its minimum was reached.
    mean_offset : (n_classes,), of two classes (1,); or None
        Weighted mean offset of all batches; None without offsets.
    """

    theta: np.ndarray
    posterior: DensePosterior | KroneckerPosterior
    seen: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    weight_seen: float
    l2: np.ndarray | float
    fit_intercept: bool
    transform: tuple | None = None
    before: np.ndarray | None = None
    weight_before: float = 0.0
    excess: float = 0.0
    mean_offset: np.ndarray | None = None

    def as_plain(self):
        """Return the state as a dict of arrays, numbers and such dicts.

        What reads no classes of ours (skops) can store it. Arrays are C-contiguous, so that a
        stored state has the same hash, and the next batch the same bits.
        """
        plain = {
            name: np.ascontiguousarray(value) if np.ndim(value) > 0 else (
                value.item() if isinstance(value, np.generic) else value
            )
            for name, value in self._asdict().items() if name not in ("posterior", "transform")
        }
        plain["posterior"] = self.posterior.as_plain()
        plain["transform"] = None
        if self.transform is not None:
            transform, weight, n_seen = self.transform
            plain["transform"] = {
                **transform.as_plain(), "weight_seen": weight, "n_seen": int(n_seen),
            }
        return plain

    @classmethod
    def of_plain(cls, plain):
        """Return the state that `as_plain` described."""
        plain = dict(plain)
        posterior = posterior_of(plain.pop("posterior"), plain["l2"], plain["fit_intercept"])
        transform = plain.pop("transform")
        if transform is not None:
            transform = dict(transform)
            weight, n_seen = transform.pop("weight_seen"), transform.pop("n_seen")
            transform = KroneckerTransform.of_plain(transform, HOST_ALGEBRA), weight, n_seen
        return cls(posterior=posterior, transform=transform, **plain)

    @classmethod
    def start(cls, n_features, n_classes, *, C, fit_intercept, penalty_factor=1.0):
        """Return the stream before the first batch.

        penalty_factor : (n_features,) float64, finite, or 1.0
        """
        n_rows = 1 if n_classes == 2 else n_classes
        l2 = penalty_factor / C
        size = n_rows * (n_features + 1)
        form = DensePosterior if size <= MAX_DENSE_SIZE else KroneckerPosterior
        return cls(
            theta=np.zeros((n_rows, n_features + 1)),
            posterior=form.prior(n_rows, n_features, l2, fit_intercept),
            seen=np.full(n_classes, not fit_intercept),
            shift=np.zeros(n_features),
            mean=np.zeros(n_features),
            weight_seen=0.0,
            l2=l2,
            fit_intercept=fit_intercept,
        )

    def after(self, X, y, weight, mixture=None, offset=None):
        """Return the stream after one more batch.

        Cost for few rows: some 5 passes over the batch, Newton's method in its logits
        (2/3 (n_samples n_rows)^3 flops a step), and Cholesky factors of P, one of size^3 / 3
        flops for dense P, n_rows of n_features^3 / 3 for Kronecker factors.

        For more rows, where that takes more flops, with dense P: a few passes over the batch with
        the Hessian (n_samples size^2 flops each), and as many Cholesky factorisations. With
        Kronecker factors: 10 to 50 passes of 6 n_samples n_features n_rows flops (400 for
        outliers, thousands for saturating offsets), factors, seldom an eigendecomposition of each.

        Parameters
        ----------
        X : ndarray or CSR of shape (n_samples, n_features), validated
        y : (n_samples,) integers in [0, n_classes)
        weight : (n_samples,) float64, non-negative
        mixture : (n_samples, n_classes), rows sum to 1, optional
            Distributions as targets, whose most probable classes are in `y`.
        offset : (n_samples, n_classes), of two classes (n_samples, 1); optional
        """
        largest = 1.0 if mixture is None else mixture.max(axis=1)
        counts = weight * largest > 0    # the class in y has weight, although products underflow
        if not counts.any():
            return self
        if not counts.all():
            X, y, weight = X[counts], y[counts], weight[counts]
            mixture, offset = (None if a is None else a[counts] for a in (mixture, offset))
        with np.errstate(all="ignore"), HOST_ALGEBRA.one_blas_thread():
            # `Batch` raises ValueError for what overflows.
            if offset is None:
                rows = rows_of(X, len(self.theta))
            else:
                rows = rows_of(with_columns(X, offset), len(self.theta))
                rows = OffsetRows(rows, offset.astype(X.dtype))
            return self._after(rows, Sample(y, weight, mixture))

    def _after(self, rows, sample):
        """Return the result of `after` for rows of positive weight."""
        weight = sample.weight
        total = float(weight.sum())
        weight_seen = self.weight_seen + total
        if not np.isfinite(weight_seen):
            raise ValueError("The sum of all sample weights so far overflows float64.")
        share = weight / weight.max()
        share /= share.sum()
        mean, _ = rows.column_summary(Sample(sample.target, share))
        past = self._drifted(rows, sample)
        if self.weight_seen == 0 and self.fit_intercept:
            past = self._replace(shift=mean)
        of_classes = sample.class_totals(len(self.seen))
        after = past._replace(
            seen=past.seen | (of_classes > 0),
            mean=past.mean + (mean - past.mean) * (total / weight_seen),
            weight_seen=weight_seen,
        )
        if rows.offset is not None:
            old = past._mean_offset(np.ones(len(past.theta), dtype=bool))
            new = np.einsum("i,ik->k", share, rows.offset, dtype=np.float64)
            after = after._replace(mean_offset=old + (new - old) * (total / weight_seen))
        if np.count_nonzero(after.seen) < 2:
            return after
        return past._solved(after, rows, sample, of_classes)

    def _mean_offset(self, present):
        """Return the mean offset of all batches for some rows of theta, a mask."""
        if self.mean_offset is None:
            return np.zeros(np.count_nonzero(present))
        return self.mean_offset[present]

    def _solved(self, after, rows, sample, of_classes):
        """Fit the batch; return `after` with its theta and posterior.

        Parameters
        ----------
        after : Stream
            State with the batch in `seen`, `weight_seen` and the means.
        rows, sample : the batch
        of_classes : (n_classes,)
            Weight of every class in the batch.
        """
        binary = len(self.theta) == 1
        present = np.ones(1, dtype=bool) if binary else after.seen
        theta, new_classes = self._entered(after, present, of_classes)
        if not binary:
            sample = sample.of_classes(present)
        is_free = np.broadcast_to(self.l2, rows.n_features) == 0
        batch = Batch.of(
            rows.for_classes(present), sample, self.shift, self.fit_intercept,
            Past(theta, self.posterior.of_rows(present), is_free), new_classes,
        )
        point, transform, excess = batch.minimise_in_logits(), None, 0.0
        if self.posterior.is_dense:
            if point is None:
                point, excess = batch.minimise()
            posterior = self.posterior.of_rows(present)._replace(matrix=point.hessian)
        else:
            posterior = batch.grown(theta)
            if point is None:
                transform = self._transform(after, posterior)
                point, excess = batch.minimise_nearly(transform[0])
            posterior = posterior.halfway_to(batch.grown(point.theta))
        whole = self.theta.copy()
        whole[present] = point.theta
        before = self.theta.copy()
        before[present] = theta
        return after._replace(
            theta=whole, posterior=self.posterior.with_rows(present, posterior),
            transform=transform, before=before, weight_before=self.weight_seen, excess=excess,
        )

    def _drifted(self, rows, sample):
        """Return the stream with past curvature scaled to its value at `theta`, on these rows."""
        share = self.weight_before / self.weight_seen if self.weight_seen > 0 else 0.0
        if share == 0:
            return self
        present = self.seen if len(self.theta) > 1 else np.ones(1, dtype=bool)
        rows = rows.for_classes(present)
        before, now = (
            rows.curvature(sample, self.shift, theta[present], False, False)[1][0, -1]
            for theta in (self.before, self.theta)
        )
        if not (before > 0 and np.isfinite(now)):
            return self
        ratio = np.clip(now / before, 1 / _MAX_DRIFT, _MAX_DRIFT)
        return self._replace(posterior=self.posterior.scaled(1 - (1 - ratio) * share))

    def _entered(self, after, present, of_classes):
        """Return theta with first intercepts for new classes, and their `NewClasses` or None.

        after : Stream
            State with the batch in `seen` and the means.
        present : (n_rows,) bool
            Rows of theta in the model.
        of_classes : (n_classes,)
            Weight of every class in the batch, on which the first intercepts depend.
        """
        theta, seen = self.theta[present], after.seen
        if not self.fit_intercept or np.array_equal(seen, self.seen):
            return theta, None
        is_new = (seen & ~self.seen)[seen]
        share = np.log(of_classes[seen] / of_classes.sum())
        offset = self._mean_offset(present)    # of past rows
        if len(theta) == 1:
            others = of_classes + self.weight_seen * self.seen
            theta[:, -1] = np.log(others[1] / others[0]) - after._mean_offset(present)
        elif is_new.all():
            share -= after._mean_offset(present)
            theta[:, -1] = share - share.mean()
        else:
            old = (theta @ np.append(self.mean - self.shift, 1.0) + offset)[~is_new]
            level = old.max() + np.log(np.exp(old - old.max()).sum())
            level += np.log(of_classes.sum() / (of_classes.sum() + self.weight_seen))
            theta[is_new, -1] = level + (share - offset)[is_new]
        if is_new.all():
            return theta, None
        return theta, NewClasses.after(self, theta, is_new, offset)

    def _transform(self, after, posterior):
        """Return the last `transform`, or a new one if the weight or classes have grown enough."""
        n_seen = np.count_nonzero(after.seen)
        if self.transform is not None:
            _, weight, n_rows = self.transform
            if n_rows == n_seen and after.weight_seen <= _REFRESH * weight:
                return self.transform
        transform = KroneckerTransform(
            posterior.factors(), self.l2, self.fit_intercept, HOST_ALGEBRA
        )
        return transform, after.weight_seen, n_seen

    def coef_and_intercept(self):
        """Return coef_ and intercept_ of the user's columns in float64, for all classes."""
        coef = self.theta[:, :-1].copy()
        intercept = self.theta[:, -1] - np.einsum("kj,j->k", coef, self.shift)
        if len(coef) == 1:
            if not self.seen.all():
                intercept[:] = ABSENT_INTERCEPT * (int(self.seen[0]) - int(self.seen[1]))
            return coef, intercept
        if self.seen.any():
            coef[self.seen] -= coef[self.seen].mean(axis=0)
            intercept = self.theta[:, -1] - np.einsum("kj,j->k", coef, self.shift)
            intercept[self.seen] -= intercept[self.seen].mean()
            intercept[~self.seen] = ABSENT_INTERCEPT
        return coef, intercept - intercept.mean()


def next_stream(kept, data, *, C, fit_intercept, penalty_factor):
    """Return the stream after one more batch.

    Parameters
    ----------
    kept : dict or None
        `Stream.as_plain` of the batches before; None starts a new stream. Pickles of 0.1 hold
        the Stream itself.
    data : TrainingData
    C, fit_intercept, penalty_factor : as in `Stream.start`
    """
    if not np.all(np.isfinite(penalty_factor)):
        raise ValueError(
            "partial_fit does not take an infinite penalty_factor. Leave the columns out of X."
        )
    if kept is None:
        stream = Stream.start(
            data.X.shape[1], len(data.classes), C=C, fit_intercept=fit_intercept,
            penalty_factor=penalty_factor,
        )
    else:
        stream = kept if isinstance(kept, Stream) else Stream.of_plain(kept)
    if stream.fit_intercept != fit_intercept or not np.array_equal(
        np.broadcast_to(stream.l2, data.X.shape[1]),
        np.broadcast_to(penalty_factor / C, data.X.shape[1]),
    ):
        raise ValueError(
            "C, penalty_factor and fit_intercept must be those of the first call to "
            "partial_fit. Use a clone of the estimator to start anew."
        )
    return stream.after(data.X, data.index, data.weight, data.mixture, data.offset)
