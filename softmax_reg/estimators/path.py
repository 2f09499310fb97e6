"""The regularisation path: a fit for each value of C, warm-started from the one before."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..problem.problem import Problem
from ..problem.together import fit_together, suits_together
from ..rows.row_blocks import RowBlocks
from ..typing import FloatArray, MatrixLike
from .attributes import Bounds, ClassWeight, Device, Precision, Solver
from .offsets import with_offset
from .outcome import warn_of_path, warn_of_weightless
from .parameters import problem_options
from .progress import Iterations, Progress
from .regression import SoftmaxRegression
from .validation import check_training_data, real_array

# Smallest l1_ratio for the computation of the first C of a default grid.
_LEAST_L1 = 1e-3
# Number of fits that are extrapolated.
_FITS = 3


class SoftmaxPath(NamedTuple):
    """Fits along a grid of C, in the order of the grid.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
    coefs : ndarray of shape (n_Cs, 1 or n_classes, n_features)
    intercepts : ndarray of shape (n_Cs, 1 or n_classes)
    objectives, dual_gaps : ndarray of shape (n_Cs,)
        As `objective_` and `dual_gap_` of `SoftmaxRegression`, in nats.
    n_iters : ndarray of shape (n_Cs,), int32
    degrees_of_freedom : ndarray of shape (n_Cs,), int64
        Number of nonzero coefficients.
    deviances_explained : ndarray of shape (n_Cs,)
        1 - loss / loss of the model without features, but with the offset.
    classes : ndarray of shape (n_classes,)
    feature_names_in_ : ndarray of shape (n_features,) or None
        Where X has string column names; else None.
    """

    Cs: NDArray[np.float64]
    coefs: FloatArray
    intercepts: FloatArray
    objectives: NDArray[np.float64]
    dual_gaps: NDArray[np.float64]
    n_iters: NDArray[np.int32]
    degrees_of_freedom: NDArray[np.int_]
    deviances_explained: NDArray[np.float64]
    classes: NDArray[Any]
    feature_names_in_: NDArray[Any] | None

    def __repr__(self) -> str:
        """Return sizes and ranges: the arrays would fill pages of a notebook."""
        n_Cs, n_rows, n_features = self.coefs.shape
        values = "value" if n_Cs == 1 else "values"
        rows = "a row" if n_rows == 1 else f"{n_rows} rows"
        least, most = self.degrees_of_freedom.min(), self.degrees_of_freedom.max()
        nonzero = f"{least}" if least == most else f"{least} to {most}"
        return (
            f"<SoftmaxPath: {n_Cs} {values} of C from {self.Cs.min():.3g} to "
            f"{self.Cs.max():.3g}, {rows} of {n_features} coefficients, {nonzero} of them nonzero>"
        )


def softmax_path(
    X: MatrixLike | RowBlocks,
    y: ArrayLike,
    *,
    Cs: ArrayLike | None = None,
    n_Cs: int = 100,
    eps: float = 1e-3,
    l1_ratio: float = 1.0,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight = None,
    fit_intercept: bool = True,
    solver: Solver = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    grouped: bool = False,
    penalty_factor: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    device: Device = "cpu",
    precision: Precision = "auto",
    label_smoothing: float = 0.0,
    bounds: Bounds = None,
    offset: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    verbose: int = 0,
) -> SoftmaxPath:
    """Fit softmax regressions for many values of C, each warm-started from the one before.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or distributions or counts, as in `SoftmaxRegression.fit`.
    Cs : array-like of shape (n_Cs,), default=None
        Positive and finite values. None takes `n_Cs` values, evenly spaced in the logarithm,
        from the largest C at which all penalised coefficients are zero to 1 / eps times that
        C. For this an l1_ratio < 0.001 counts as 0.001: a ridge penalty gives no zeros.
    n_Cs : int, default=100
        Number of values where `Cs` is None.
    eps : float in (0, 1), default=1e-3
        Ratio of the first value to the last where `Cs` is None.
    l1_ratio : float in [0, 1], default=1.0
    sample_weight : array-like of shape (n_samples,) or float, default=None
    class_weight, fit_intercept, solver, tol, max_iter, grouped, penalty_factor, groups, \
device, precision, label_smoothing, bounds
        As in `SoftmaxRegression`. The results are NumPy arrays, wherever X is.
    offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
        As in `SoftmaxRegression.fit`.
    classes : array-like of shape (n_classes,), default=None
        As in `SoftmaxRegression.fit`.
    verbose : int, default=0
        As in `SoftmaxRegression`. The bar shows how many fits are done, a line is about a fit.

    Returns
    -------
    SoftmaxPath

    Raises
    ------
    ValueError
        If `SoftmaxRegression` refuses an argument, or the grid is empty or not positive and
        finite.

    Warns
    -----
    UserWarning
        If a class has a total weight of 0.
    ConvergenceWarning
        Once, if any fits ended short of `tol`, which `SoftmaxRegression` explains; as
        `SeparationWarning`, if unpenalised coefficients separate the classes.

    References
    ----------
    Friedman, Hastie & Tibshirani (2010), Regularization paths for generalized linear models
    via coordinate descent, J. Stat. Softw. 33(1).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import softmax_path
    >>> X, y = load_wine(return_X_y=True)
    >>> path = softmax_path(X, y, n_Cs=5)
    >>> path.coefs.shape
    (5, 3, 13)
    >>> int(path.degrees_of_freedom[0])
    0
    """
    estimator = SoftmaxRegression(
        l1_ratio=l1_ratio, class_weight=class_weight, fit_intercept=fit_intercept,
        solver=solver, tol=tol, max_iter=max_iter, grouped=grouped,
        penalty_factor=penalty_factor, groups=groups, device=device, precision=precision,
        label_smoothing=label_smoothing, bounds=bounds, verbose=verbose,
    )
    estimator._validate_params()
    data = check_training_data(estimator, X, y, sample_weight, classes)
    data = with_offset(data, offset)
    problem = Problem(data, C=1.0, l1_ratio=l1_ratio, **problem_options(estimator, data))
    Cs = default_grid(problem, n_Cs, eps, max(l1_ratio, _LEAST_L1)) if Cs is None else (
        check_grid(Cs)
    )
    order = np.argsort(Cs, kind="stable")
    fits = [None] * len(Cs)
    with Progress("softmax_path", verbose, len(Cs)) as progress:
        path = path_fits(problem, Cs[order], solver, tol, max_iter, progress)
        for i, fit in zip(order, path, strict=True):
            fits[i] = fit
            progress.fitted(f"C = {Cs[i]:.3g}: objective {fit.value:#.9g} nats, {fit.n_iter} "
                            f"iterations, gap {fit.gap:.2e} nats")
    warn_of_weightless(data.classes[problem.weightless], fit_intercept)
    warn_of_path(fits, Cs, max_iter)
    null = 0.0 if problem.objective is None else problem.objective.null_point.value
    losses = np.array([fit.loss for fit in fits])
    coefs = np.array([fit.coef for fit in fits])
    return SoftmaxPath(
        Cs=Cs,
        coefs=coefs,
        intercepts=np.array([fit.intercept for fit in fits]),
        objectives=np.array([fit.value for fit in fits]),
        dual_gaps=np.array([fit.gap for fit in fits]),
        n_iters=np.array([fit.n_iter for fit in fits], dtype=np.int32),
        degrees_of_freedom=np.count_nonzero(coefs, axis=(1, 2)),
        deviances_explained=1 - losses / null if null > 0 else np.ones(len(fits)),
        classes=data.classes,
        feature_names_in_=data.names.get("feature_names_in_"),
    )


def path_fits(problem, Cs, solver, tol, max_iter, progress):
    """Yield a `Fit` for each C, in ascending order, each warm-started from the one before.

    The iterations are reported to `progress`, a `Progress`; the fits by the caller.

    Small problems are fitted for all C at once instead (`fit_together`), if nothing but a
    penalty on every feature acts on the coefficients.

    A second candidate for the start is the extrapolation of the last fits, quadratic in log C.
    The candidate with the lower objective is used. Where fits take hundreds of iterations,
    extrapolation saves two thirds of them.
    """
    if suits_together(solver, Cs, tol, max_iter):
        (together,) = fit_together([problem], Cs, tol=tol, max_iter=max_iter)
        if together is not None:
            yield from together
            return
    fits = []
    for C in Cs:
        starts = []
        if problem.objective is not None:
            problem.set_C(C)
            starts = _continued(fits, np.log(C), problem.objective.penalty.has_kinks)
        fit = problem.fit(
            solver, starts, tol=tol, max_iter=max_iter, goes_on=True,
            callbacks=Iterations(progress, solver, tol, problem.objective),
        )
        fits = [*fits[1 - _FITS:], (np.log(C), fit.coef, fit.intercept)]
        yield fit


def _continued(fits, at, has_kinks):
    """Extrapolate the last fits to log C = `at`, by the polynomial in log C through them.

    With kinks, zero coefficients stay zero and no coefficient changes sign.

    Parameters
    ----------
    fits : list of (log C, coef, intercept)
    at : float
    has_kinks : bool

    Returns
    -------
    list of (coef, intercept)
        One entry, or none where there are fewer than two fits at different C.
    """
    points = [fit[0] for fit in fits] + [at]
    if len(fits) < 2 or not np.all(np.diff(points) > 0) or np.isinf(at):
        return []
    known = np.array(points[:-1])
    weights = [
        np.prod((at - np.delete(known, i)) / (known[i] - np.delete(known, i)))
        for i in range(len(fits))
    ]
    coef, intercept = (
        sum(weight * fit[part] for weight, fit in zip(weights, fits, strict=True))
        for part in (1, 2)
    )
    if has_kinks:
        coef[fits[-1][1] * coef <= 0] = 0.0
    return [(coef, intercept)]


def default_grid(problem, n_Cs, eps, l1_ratio):
    """Return `n_Cs` values, from the largest C at which all penalised coefficients are zero."""
    is_count = isinstance(n_Cs, Real) and n_Cs >= 1 and n_Cs % 1 == 0
    _check(is_count, "n_Cs", "a positive integer", n_Cs)
    _check(isinstance(eps, Real) and 0 < eps < 1, "eps", "between 0 and 1", eps)
    first = problem.sparsest_C(l1_ratio)
    return first * np.logspace(0, -np.log10(eps), int(n_Cs))


def check_grid(Cs, finite=True):
    """Return the values of C as a float64 array, at least one and all positive.

    finite : bool
        Whether to refuse infinite values.
    """
    grid = real_array("Cs", Cs, ensure_all_finite=False, ensure_min_samples=0)
    _check(grid.ndim == 1 and grid.size > 0, "Cs", "a list of at least one number", Cs)
    if finite:
        _check(np.all((grid > 0) & (grid < np.inf)), "Cs", "positive and finite", Cs)
    _check(np.all(grid > 0), "Cs", "positive", Cs)
    return grid


def _check(holds, name, expected, given):
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {given!r}.")
