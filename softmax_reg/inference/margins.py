"""Marginal effects of features on probabilities, with standard errors by the delta method.

With q_k the probability of class k in a row x, W_k its slopes and w = sum_k q_k W_k:

    dydx    d q_k / d x_j           = q_k (W_kj - w_j)
    eydx    d log q_k / d x_j       = W_kj - w_j
    dyex    d q_k / d log x_j       = q_k (W_kj - w_j) x_j
    eyex    d log q_k / d log x_j   = (W_kj - w_j) x_j

and the weighted means of these over rows. For a dummy j the effect is the change of q_k, or of
log q_k, from x_j = 0 to x_j = 1. Means of the derivatives in the parameters, J, are summed in
blocks of rows; the covariance of the effects is J V J'. Without factors x_j the effects and J are
functions of the sums of `ProbabilityMoments`, of which there are fewer where classes are few.

References
----------
Greene (2018), Econometric Analysis, 8th edition, section 18.2.3; Bartus (2005), Estimation of
marginal effects using margeff, Stata Journal 5(3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..parallel.blas import one_blas_thread
from .contrasts import positions_of, proba_of
from .description import EFFECTS, PLACES, Description, Effect, Place, description_of_effects
from .moments import ProbabilityMoments
from .table import EstimateTable


@dataclass(frozen=True, eq=False, repr=False)
class MarginalEffects(EstimateTable):
    """Effects of features on the probability of each class; made by `marginal_effects`.

    Arrays are read-only, of shape (n_classes, n_features): all classes, in every coding, and
    all features, without the intercept.

    Attributes
    ----------
    effects : ndarray of shape (n_classes, n_features)
    bse : ndarray of shape (n_classes, n_features)
        Standard errors of `effects`, by the delta method. X is taken as given.
    class_names, feature_names : tuples
        Names of the rows and columns of `effects`.
    at, kind : str
        As in `marginal_effects`.
    dummy : tuple of str
        Names of the features whose effect is the change from 0 to 1.
    df_inference : float
        As in the result: degrees of freedom of Student's t with clusters, inf otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from softmax_reg import SoftmaxRegression
    >>> iris = load_iris()
    >>> X, y = iris.data[:, :1], iris.target_names[iris.target]
    >>> model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, y)
    >>> effects = model.inference(X, y).marginal_effects(X)
    >>> effects.class_names
    ('setosa', 'versicolor', 'virginica')
    >>> effects.effects.ravel().round(2)    # change of the probability per cm
    array([-0.38,  0.06,  0.32])
    """

    effects: NDArray[np.float64]
    bse: NDArray[np.float64]
    class_names: tuple[Any, ...]
    feature_names: tuple[str, ...]
    at: Place
    kind: Effect
    dummy: tuple[str, ...]
    df_inference: float = np.inf

    def __repr__(self) -> str:
        """Return the class with sizes, not the arrays."""
        return (
            f"<MarginalEffects: {len(self.class_names)} classes x {len(self.feature_names)} "
            f"features, kind={self.kind!r}, at={self.at!r}>"
        )

    @property
    def _estimates(self) -> NDArray[np.float64]:
        return self.effects

    def _description(self) -> Description:
        return description_of_effects(self)


def effects_at(contrasts, rows, classes, at, kind, dummy, df_inference):
    """Return the `MarginalEffects`.

    Parameters
    ----------
    contrasts : Contrasts
    rows : NewRows
    classes : tuple of labels, all of them
    at : str, a key of `PLACES`
    kind : str, a key of `EFFECTS`
    dummy : names or indices of columns
    df_inference : float

    Raises
    ------
    ValueError
        If an argument is not one of these, or elasticities of dummies are asked for.
    """
    for name, value, known in (("at", at, PLACES), ("kind", kind, EFFECTS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {list(known)}, got {value!r}.")
    features = contrasts.features
    dummies = positions_of(dummy, features, "dummy")
    if dummies and kind.endswith("ex"):
        raise ValueError(
            f"kind={kind!r} does not exist for dummies {[features[j] for j in dummies]}: no "
            "logarithm of 0. Use kind='dydx' or 'eydx', or dummy=()."
        )
    if at == "mean":
        rows = rows.mean()
    sums = _Sums(contrasts, kind)
    with one_blas_thread():    # on small blocks, threads wait for each other
        for _, columns, offset, weight in rows.blocks(sums.width):
            sums.add_slopes(columns, offset, weight)
            for j in dummies:
                sums.add_change(j, columns, offset, weight)
    effects, jacobian = sums.finished(dummies)
    variance = np.einsum("at,at->a", jacobian @ contrasts.covariance, jacobian)
    return MarginalEffects(
        effects=effects, bse=np.sqrt(np.maximum(variance, 0.0)).reshape(effects.shape),
        class_names=tuple(classes), feature_names=features, at=at, kind=kind,
        dummy=tuple(features[j] for j in dummies), df_inference=df_inference,
    )


def _has_fewer_moments(n_classes, n_features):
    """Return whether products of three probabilities are fewer than products of two and a gap."""
    return n_classes + 2 < 3 * n_features


class _Sums:
    """Sums over rows of effects and of their derivatives in the parameters of all classes.

    effects, changes : (n_classes, n_features), of derivatives in x and of changes from 0 to 1
    jacobian : (n_classes, n_features, n_classes, m), of `effects` by the path of probabilities
    direct : (n_classes, n_classes, n_features), of `effects` in the slopes they are products of
    jacobian_of_changes : dict of feature to (n_classes, n_classes, m)
    width : int
        Number of entries for each row in the largest array.
    """

    def __init__(self, contrasts, kind):
        self._contrasts = contrasts
        self._is_log, self._is_scaled = kind.startswith("ey"), kind.endswith("ex")
        K, p, m = contrasts.n_classes, len(contrasts.features), contrasts.theta.shape[1]
        self.effects, self.changes = np.zeros((2, K, p))
        self.jacobian = np.zeros((K, p, K, m))
        self.direct = np.zeros((K, K, p))
        self.jacobian_of_changes = {}
        self.width = K * (max(K, p) + 1)
        self._moments = None
        if not self._is_scaled and _has_fewer_moments(K, p):
            self._moments = ProbabilityMoments(K, p + 1)
            self.width = self._moments.width

    def add_slopes(self, columns, offset, weight):
        """Add the derivatives in x of a block of rows.

        With a_k = q_k, or 1 for logarithms, s_j = 1 or x_j, and g_kj = W_kj - w_j, the effect is
        a_k s_j g_kj. By the logit of l its derivative is

            s_j q_k [(k = l) g_kj - q_l (g_kj + g_lj)],  or  -s_j q_l g_lj for logarithms,

        and by W_lj directly s_j a_k [(k = l) - q_l].
        """
        contrasts = self._contrasts
        design = contrasts.design(columns)
        proba, _ = proba_of(contrasts.logits(design, offset))
        if self._moments is not None:
            z = np.ones((len(design), columns.shape[1] + 1))
            z[:, :-1] = design[:, :columns.shape[1]]
            z *= weight[:, np.newaxis]
            self._moments.add(proba, z)
            return
        gaps = contrasts.slopes - (proba @ contrasts.slopes)[:, np.newaxis, :]
        scale = columns if self._is_scaled else np.ones_like(columns)
        gaps *= scale[:, np.newaxis, :]
        weighted = proba * weight[:, np.newaxis]
        n_classes = proba.shape[1]
        by_class = (weighted[:, :, np.newaxis] * gaps).reshape(len(design), -1)
        moments = (by_class.T @ design).reshape(n_classes, -1, design.shape[1])
        scaled = weighted.T @ scale    # (n_classes, n_features)
        every = np.arange(n_classes)
        if self._is_log:
            self.effects += np.tensordot(weight, gaps, 1)
            self.jacobian -= moments.transpose(1, 0, 2)
            self.direct -= scaled
            self.direct[every, every] += weight @ scale
            return
        self.effects += by_class.sum(axis=0).reshape(gaps.shape[1:])
        self.direct[every, every] += scaled
        for k in every:
            self.jacobian[k, :, k] += moments[k]
            shares = weighted[:, k, np.newaxis] * proba
            self.direct[k] -= shares.T @ scale
            pairs = shares[:, k:, np.newaxis] * (gaps[:, k:] + gaps[:, k, np.newaxis])
            sums = (pairs.reshape(len(design), -1).T @ design).reshape(
                n_classes - k, -1, design.shape[1]
            )
            self.jacobian[k, :, k:] -= sums.transpose(1, 0, 2)
            self.jacobian[k + 1:, :, k] -= sums[1:]

    def add_change(self, j, columns, offset, weight):
        """Add the change of a block of rows from x_j = 0 to x_j = 1."""
        contrasts = self._contrasts
        for value, sign in ((1.0, 1.0), (0.0, -1.0)):
            moved = columns.copy()
            moved[:, j] = value
            design = contrasts.design(moved)
            proba, log_proba = proba_of(contrasts.logits(design, offset))
            signed = sign * weight
            by_class = (proba * signed[:, np.newaxis]).T
            moments = by_class @ design
            n_classes = len(by_class)
            every = np.arange(n_classes)
            jacobian = np.zeros((n_classes, *moments.shape))
            if self._is_log:
                self.changes[:, j] += signed @ log_proba
                jacobian -= moments
                jacobian[every, every] += signed @ design
            else:
                self.changes[:, j] += by_class.sum(axis=1)
                jacobian[every, every] += moments
                for k in every:
                    jacobian[k] -= (by_class[k][:, np.newaxis] * proba).T @ design
            self.jacobian_of_changes[j] = self.jacobian_of_changes.get(j, 0.0) + jacobian

    def _add_moments(self):
        """Add what `add_slopes` would have added, from the sums of all blocks."""
        slopes, m = self._contrasts.slopes, self.jacobian.shape[-1]
        every = np.arange(len(slopes))
        for k in every:
            triples = self._moments.of_class(k)
            pairs = triples.sum(axis=1)
            single = pairs.sum(axis=0)
            # sum v q_k g_k [z, 1], (n_features, m + 1)
            by_class = np.outer(slopes[k], single) - slopes.T @ pairs
            if self._is_log:
                self.effects -= slopes[k] * single[-1]
                self.effects[k] += slopes[k]
                self.jacobian[:, :, k] -= by_class[:, :m]
                self.direct[:, k] -= single[-1]
                self.direct[k, k] += 1.0
                continue
            self.effects[k] += by_class[:, -1]
            self.jacobian[k, :, k] += by_class[:, :m]
            self.direct[k] -= pairs[:, [-1]]
            self.direct[k, k] += single[-1]
            for other in every:
                self.jacobian[k, :, other] -= (
                    np.outer(slopes[k] + slopes[other], pairs[other])
                    - 2 * slopes.T @ triples[other]
                )[:, :m]

    def finished(self, dummies):
        """Return (effects, jacobian (effects.size, t) in the contrasts)."""
        if self._moments is not None:
            self._add_moments()
        effects, jacobian = self.effects, self.jacobian
        features = np.arange(effects.shape[1])
        jacobian[:, features, :, features] += self.direct.transpose(2, 0, 1)
        for j in dummies:
            effects[:, j] = self.changes[:, j]
            jacobian[:, j] = self.jacobian_of_changes[j]
        return effects, jacobian[:, :, 1:].reshape(effects.size, -1)
