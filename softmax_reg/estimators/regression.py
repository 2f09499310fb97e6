"""`SoftmaxRegression`, the scikit-learn estimator."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from ..problem.problem import Problem
from ..rows.row_blocks import RowBlocks
from ..solvers import choose_solver, expectation
from ..typing import MatrixLike, RandomState
from .array_api import as_given
from .attributes import Bounds, ClassWeight, Device, Penalty, Precision, Solver
from .base import LinearSoftmaxClassifier
from .callbacks import FitCallbacks
from .firth import fitted_with_prior
from .inferential import InferentialMethods
from .offsets import with_offset
from .online import OF_STREAM, OnlineLearner
from .outcome import history_by_name, warn_of_outcome, warn_of_weightless
from .parameters import CONSTRAINTS, problem_options
from .progress import Iterations, progress_of
from .scikit_learn import fit_context
from .validation import check_training_data, check_warm_start


class SoftmaxRegression(OnlineLearner, InferentialMethods, LinearSoftmaxClassifier):
    """Multinomial (softmax) logistic regression with a certified optimum.

    Minimises, over coef_ W and intercept_ b,

        (1/S) sum_i s_i [logsumexp(W x_i + b) - (W x_i + b)[y_i]]
            + 1/(C S) sum_j v_j [l1_ratio |W_j| + (1 - l1_ratio)/2 ||W_j||^2]

    in nats, with s_i the sample weight times the class weight of row i, S their sum, W_j the
    coefficients of feature j and v_j its penalty factor: scikit-learn's `LogisticRegression`
    objective divided by C S, so the same optimum for every C, l1_ratio and weight. Two classes
    use one coefficient vector and the sigmoid, as scikit-learn does. Raw, unscaled columns are
    welcome: the solvers rescale the problem themselves.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the regularisation strength, positive; ``np.inf`` for none.
    l1_ratio : float in [0, 1], default=0.0
        Share of the L1 penalty: 0 is ridge, 1 lasso, between them elastic net. Above 0
        coefficients that do not help enough are exactly 0.
    tol : float, default=1e-4
        Relative duality gap at which to stop: the objective is then at most
        ``tol * objective_`` above the optimum, and at most 100 tol times its decrease from the
        model without features. The gap overestimates the distance: in 400 fits at tol=1e-4 the
        objective ended 1e-11 (relative) above the optimum in the median, 5e-7 at the worst.
        0 goes on to the rounding floor. Where rounding hides a smaller gap, a fit whose Newton
        decrement is within `tol` may end with one of up to 1e-3 without a warning.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Accepted for compatibility; no solver draws random numbers.
    solver : {"auto", "lbfgs", "newton-cholesky", "newton-cg"}, default="auto"
        "auto" chooses exact Newton or preconditioned L-BFGS by a cost model. l1_ratio > 0 needs
        "auto", which then takes the proximal versions of both. A solver that cannot go on hands
        over to another.
    max_iter : int, default=1000
        Largest number of iterations; 0 returns the starting point.
    verbose : int, default=0
        0 is silent. 1 shows the cost model's figures, and the progress of the fit: on a
        terminal a bar on stderr, where rich or tqdm is installed, elsewhere a line for each
        iteration, from the logger "softmax_reg" at the level INFO. 2 takes lines on a terminal,
        too.
    warm_start : bool, default=False
        Start from the previous fit's coefficients.
    grouped : bool, default=False
        Take ``|W_j|`` above as the Euclidean norm of the feature's coefficients instead of
        the sum of their absolute values: a feature is then in for all classes or for none.
    penalty_factor : array-like of shape (n_features,), default=None
        Factors v_j of the features' penalties, used as they are: 0 leaves a feature
        unpenalised, ``np.inf`` leaves it out. None is 1 for all.
    groups : array-like of shape (n_features,), default=None
        Numbers or names: features of the same group share one norm, v_G times the Euclidean
        norm of all their coefficients, and are in or out together (group lasso). For more than
        two classes with ``grouped=True``. Factors within a group must be equal, and are 1
        unless `penalty_factor` says otherwise: ``np.sqrt(size)`` of each feature's group gives
        the weights of Yuan & Lin. None is a group for each feature.
    device : {"cpu", "cuda"}, default="cpu"
        Where passes over the rows run, in fits and predictions. "cuda" needs a GPU and an
        extra, ``cuda12`` or ``cuda13``. A dense X is copied to the GPU once, or block by block in
        every pass if it does not fit. CuPy's arrays and PyTorch's CUDA tensors are used where
        they are; `coef_`, `intercept_` and predictions are then of their type.
        With an L1 part or bounds the fit runs on the CPU, with a warning.
    precision : {"auto", "tf32x3"}, default="auto"
        "auto" works in float32 as long as that is accurate enough, then in float64. With
        "tf32x3", for device="cuda" alone, products in float32 run on tensor cores, each in
        three parts that keep about float32's accuracy. Certificates are computed in float64.
    label_smoothing : float in [0, 1], default=0.0
        e: the target becomes (1 - e) times the label or distribution of a row plus e / n_classes
        for every class. `class_weight` multiplies its entries. The formula is that of PyTorch's
        ``CrossEntropyLoss``. It takes a fit no more time or memory than labels do.
    bounds : tuple (lower, upper), default=None
        Bounds of `coef_`, each a number or an array that broadcasts to its shape:
        ``(0, np.inf)`` for coefficients that are not negative. They hold 0: lower ones are at
        most 0, upper ones at least 0. `coef_` keeps within them exactly, and `dual_gap_` is of
        the problem with bounds. A feature without a penalty needs both bounds finite, or none.
        For solver="auto", without `grouped` and `groups`.
    prior : {"jeffreys"}, default=None
        "jeffreys" adds Firth's penalty, with C=np.inf and without other penalties: minimises
        ``-(l + log det I / 2) / S`` for the log-likelihood l of the rows and the Fisher
        information I of the contrasts of all classes against one, whichever, with intercepts. The
        estimates are finite even if the classes can be separated, have a smaller bias in small
        samples, and do not depend on the units or the centring of columns. `sample_weight` are
        frequencies of rows, y holds labels or counts. `tol` is then the distance from the optimum
        in standard errors, estimated by ``sqrt(g' I^-1 g)`` for the gradient g of
        ``l + log det I / 2``. For X in memory on the host, of full column rank with the
        intercept's column, and up to 8192 contrasts; an iteration takes some 4 n_samples flops
        for each square of their number.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        float32 where X is and rounding costs the objective less than `tol`, else float64.
        Rounding costs more only on columns whose means are large beside their spread. On the
        device where X was, and under scikit-learn's array API dispatch of the library of X, as
        `intercept_` and `n_iter_` are. With an intercept, columns that are constant among the
        rows of positive weight have the coefficient 0.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Same dtype as `coef_`.
    classes_ : ndarray of shape (n_classes,)
        Numbers are, under the dispatch, of the library of y.
    has_offset_ : bool
        Whether the model was fitted with an offset, and so needs one to predict.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X has string column names.
    objective_ : float
        The value above, in nats, of `coef_` and `intercept_` as they are stored and as
        predictions compute it. With a prior it may be negative, and depends on the units of X:
        a column times a adds ``(n_classes - 1) log(a)`` to ``log det I / 2``.
    dual_gap_ : float
        Proven upper bound on ``objective_`` minus its optimum; at most ``objective_``, because
        the optimum is not negative. ``np.inf`` where C is infinite or a penalty factor is 0:
        then there is no bound, unless `bounds` are finite.
    newton_decrement_ : float
        sqrt(g' H^-1 g) at the last step of a Newton solver, for gradient g and Hessian H. With
        an L1 part, sqrt(2 d) for the decrease d that the second-order model predicts. Half its
        square estimates the suboptimality. NaN where no Newton step was taken. With a prior, of
        the stored coefficients, H the information divided by S.
    n_iter_ : ndarray of shape (1,), int32
        Iterations of all solvers that ran.
    n_evaluations_ : int
        Passes over the rows, of any kind.
    solver_ : str
        The solver that ended the fit.
    history_ : dict of ndarrays
        "iteration", "seconds", "objective" and "gap": an entry for the start, and one after
        each iteration. Pickles and copies leave out the seconds, so that equal fits are equal.
    weight_seen_ : float
        Sum of the weights of all rows so far, of a row of y of shape (n_samples, n_classes) times
        the sum of its entries. Only after `partial_fit`, which sets none of the attributes from
        `objective_` to `history_`.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model.
    softmax_reg.cross_entropy : The loss.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmax_reg import SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> model.predict(X[:3])
    array([0, 0, 0])
    >>> bool(model.dual_gap_ <= 1e-4 * model.objective_)
    True
    """

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self,
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: ClassWeight = None,
        random_state: RandomState = None,
        solver: Solver = "auto",
        max_iter: int = 1000,
        verbose: int = 0,
        warm_start: bool = False,
        grouped: bool = False,
        penalty_factor: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        device: Device = "cpu",
        precision: Precision = "auto",
        label_smoothing: float = 0.0,
        bounds: Bounds = None,
        prior: Literal["jeffreys"] | None = None,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.grouped = grouped
        self.penalty_factor = penalty_factor
        self.groups = groups
        self.device = device
        self.precision = precision
        self.label_smoothing = label_smoothing
        self.bounds = bounds
        self.prior = prior

    @property
    def penalty(self) -> Penalty:
        """Kind of penalty, in scikit-learn's words: "l1", "l2", "elasticnet" or None."""
        if self.C == np.inf:
            return None
        return {0: "l2", 1: "l1"}.get(self.l1_ratio, "elasticnet")

    def _validate_params(self):
        super()._validate_params()
        if self.l1_ratio != 0 and self.solver != "auto":
            raise ValueError(
                f"solver={self.solver!r} minimises smooth penalties only, got "
                f"l1_ratio={self.l1_ratio!r}. Use solver='auto'."
            )

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: MatrixLike | RowBlocks,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Nothing changes on the estimator until the fit has ended. A fit that is refused or
        interrupted leaves the previous state.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Also an array on a CUDA device, see `device`. float32 and float64 are used as they
            are. Large problems are solved in float32 at first, then in float64; the attributes
            are computed in float64.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels that can be sorted, with at least two different values (with `classes`, one).
            Or, for each row, a distribution over the classes, or counts: non-negative numbers
            T_ik, so that the loss of row i is -sum_k T_ik log q_ik, weighted; `classes_` are then
            `classes`, the columns' names, or 0, 1, ... A row of zeros needs a weight of 0. An
            indicator matrix of several labels is read as counts.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Non-negative, not all zero.
        offset : array-like of shape (n_samples, n_classes) or (n_samples,), default=None
            Known numbers o_i, added to the logits W x_i + b, columns in the order of `classes_`:
            logarithms of priors, the logits of another model. Of two classes also (n_samples,),
            the log-odds of ``classes_[1]``. X must be in memory, and is copied. Predictions then
            need an offset, too.
        classes : array-like of shape (n_classes,), default=None
            Names of all classes. Of a matrix y: of its columns, in their order; those of a
            DataFrame must be the same. Of labels: all that `classes_` shall hold, in any order;
            a class without rows is one without weight.

        Returns
        -------
        self : SoftmaxRegression
        """
        data = check_training_data(self, X, y, sample_weight, classes)
        data = with_offset(data, offset)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        as_input = as_given(X, y, on_device=("coef_", "intercept_"))
        if self.prior is not None:
            fitted = as_input(fitted_with_prior(self, data, metadata))
            return self._become(fitted, OF_STREAM)
        return self._fit(data, Problem, metadata, as_input)

    def _fit(self, data, problem_type, metadata, as_input):
        """Fit to validated data.

        Parameters
        ----------
        data : TrainingData
            Or the data that `problem_type` takes in its place.
        problem_type : type
            `Problem`, or a subclass for rows on other machines.
        metadata : dict or None
            For callbacks.
        as_input : callable
            Converts a dict of fitted attributes to the libraries and devices of X and y.
        """
        previous = check_warm_start(self, data)
        problem = problem_type(
            data,
            C=self.C,
            l1_ratio=self.l1_ratio,
            **problem_options(self, data),
        )

        def attributes(coef, intercept):
            return as_input({
                "coef_": coef, "intercept_": intercept, "classes_": data.classes, **data.names,
                "has_offset_": data.offset is not None,
            })

        def attributes_at(theta):
            return attributes(*problem.coef_and_intercept(theta, data.X.dtype))

        hook_data = {"X": data.X, "y": data.y, "metadata": metadata}
        if hasattr(self, "_skl_callbacks"):
            hook_data = as_input(hook_data)
        with progress_of(self) as progress:
            solver = self._solver_for(problem.objective, progress)
            callbacks = FitCallbacks(
                self, hook_data, solver, attributes_at, self.max_iter,
                Iterations(progress, solver, self.tol, problem.objective),
            )
            fit = problem.fit(
                solver, [previous] if previous else [], tol=self.tol, max_iter=self.max_iter,
                callbacks=callbacks,
            )
            progress.ended(fit.status == "converged")
        fitted = {
            **attributes(fit.coef, fit.intercept),
            "objective_": float(fit.value),
            "dual_gap_": float(fit.gap),
            "newton_decrement_": fit.newton_decrement,
            **as_input({"n_iter_": np.array([fit.n_iter], dtype=np.int32)}),
            "n_evaluations_": fit.n_evaluations,
            "solver_": fit.solver,
            "history_": history_by_name(fit.history),
        }
        callbacks.close(fitted)
        warn_of_weightless(data.classes[problem.weightless], self.fit_intercept)
        warn_of_outcome(fit, self.tol, self.max_iter)
        return self._become(fitted, OF_STREAM)

    def _solver_for(self, objective, progress):
        """Return the name of the solver to begin with; report how it was chosen."""
        if self.solver != "auto" or objective is None:
            return self.solver
        solver = choose_solver(objective)
        if progress.is_shown():
            progress.note(f"expected: {expectation(objective)}; taken: {solver}")
        return solver
