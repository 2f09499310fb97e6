"""Proof that classes can be separated, at least in part, so that there is no optimum.

The margins of a direction D in the parameters are (D_y(i) - D_k)'[x_i, 1], one for each row i of
positive weight and each class k other than the row's own. The loss falls without end along D if
and only if no margin is negative and one is positive (Albert & Anderson 1984). D must be 0 where
coefficients are penalised. There are two ways to find such a D:

- The parameters themselves, where all margins are positive: complete separation.
- The linear programme of Konis (2007): maximise the mean margin over all D in a box, with no
  margin negative. The variables are coefficients of whitened columns, so that nearly collinear
  columns are as good as others. Constraints are few at first and added where they are violated.
  An optimum of 0 proves that the classes overlap.

In both cases D counts only if its margins, computed in float64 on the columns of X, are as asked.
A margin counts as zero where it is within a bound on its rounding errors.

References
----------
Albert & Anderson (1984), On the existence of maximum likelihood estimates in logistic
regression models, Biometrika 71(1). Stiemke (1915), Über positive Lösungen homogener linearer
Gleichungen, Mathematische Annalen 76. Konis (2007), Linear programming algorithms for detecting
separated data in binary logistic regression models, DPhil thesis, University of Oxford.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.optimize import linprog

from .factor import SINGULAR, fill_null_space

_EPS = np.finfo(np.float64).eps
# Number of entries of a dense block of rows.
_BLOCK_SIZE = 2**18
# Change of a margin by a Newton step below which the step proves that classes overlap.
MOVED = 0.5
# Change of a margin, by a unit step along a flat direction of a Hessian scaled to a unit diagonal,
# up to which rounding explains it. Along others it is at least of the order of 1.
_UNMOVED = 1e-10
# Largest number of variables, of nonzeros, of pivots of the simplex method, and of linear
# programmes in a proof: a proof then never costs more than a long fit.
_MAX_VARIABLES = 1000
_MAX_NONZEROS = 2**18
_MAX_PIVOTS = 1000
_MAX_ROUNDS = 40
# Tolerance of the linear programme, the smallest that HiGHS takes. Margins of whitened columns are
# of the order of 1.
_FEASIBLE = 1e-10
# A margin below minus this number adds a constraint.
_VIOLATED = 1e-9
# Margin up to which a constraint of the linear programme is taken for active.
_ACTIVE = 1e-7
# Mean margin below which the optimum of the linear programme is taken for 0.
_ZERO = 1e-8


def is_separated(objective, point):
    """Try to prove that unpenalised parameters can, or cannot, separate classes.

    The cost is a pass over the rows where the parameters prove separation. Otherwise it is a QR
    decomposition of the unpenalised columns, and a linear programme and a pass in each round.

    Parameters
    ----------
    objective : Objective
    point : Point
        A recent iterate.

    Returns
    -------
    separated : bool or None
        True if a direction separates classes, False if none can, None if neither is proven.
    """
    is_free = np.broadcast_to(objective.penalty.weight, objective.n_features) == 0
    theta = point.theta.copy()
    theta[:, :-1][:, ~is_free] = 0.0
    if objective.surely_overlap:
        return False
    data = objective.on_host(expanded=True)
    if data is None:    # rows are elsewhere: only the number of errors is known
        alone = point if np.array_equal(theta, point.theta) else objective.evaluate(theta)
        return True if alone.n_errors == 0 else None
    rows = _Rows(*data, np.flatnonzero(is_free), objective.fit_intercept, len(theta))
    objective.passes.n += 1
    separated = rows.smallest_margin(theta) > 0 or (
        _by_linear_programme(rows, _both(rows.restricted(theta)))
    )
    objective.passes.n += rows.n_passes
    return separated if separated is None else bool(separated)


def shows_overlap(objective, point):
    """Tell whether an exact Newton step in unpenalised parameters proves that classes overlap.

    No direction separates classes if and only if positive multipliers of all margins take their
    sum to zero (Stiemke's lemma). At an optimum the probabilities s_i q_ik are such multipliers.
    At `point` their sum is the gradient, and the Newton step d takes it to zero with the
    multipliers s_i q_ik (1 + z_ik), z_ik the change by d of the logit of class k in row i, minus
    its mean over the classes. They are positive where d moves no margin by half or more.

    The cost is a Hessian in these parameters and its eigenvectors.

    Returns
    -------
    shown : bool or None
        None where X is not in memory, or where there are too many parameters.
    """
    is_free = np.broadcast_to(objective.penalty.weight, objective.n_features) == 0
    columns = np.flatnonzero(np.append(is_free, objective.fit_intercept))
    if objective.on_host() is None or len(columns) * objective.n_rows > _MAX_VARIABLES:
        return None
    width = objective.n_features + 1
    index = (np.arange(objective.n_rows)[:, np.newaxis] * width + columns).ravel()
    hessian = objective.hessian(point.theta, index)
    if objective.n_rows > 1:
        fill_null_space(hessian, np.arange(len(index)).reshape(objective.n_rows, -1).T)
    scale = 1 / np.sqrt(np.maximum(hessian.diagonal(), np.finfo(np.float64).tiny))
    if not np.isfinite(hessian).all():
        return False
    values, vectors = eigh(hessian * scale * scale[:, np.newaxis], driver="evd")
    vectors *= scale[:, np.newaxis]
    is_flat = values <= SINGULAR

    def move(direction):
        step = np.zeros(point.theta.size)
        step[index] = direction
        return largest_move(objective, step.reshape(point.theta.shape))

    # Collinear columns have directions that move no margin, and so cannot separate.
    if not all(move(vector) <= _UNMOVED for vector in vectors[:, is_flat].T):
        return False
    some = vectors[:, ~is_flat]
    return move(some @ ((point.grad.ravel()[index] @ some) / values[~is_flat])) < MOVED


def largest_move(objective, step):
    """Return the largest change of a margin by `step`, like theta; 0 for rows not in memory.

    Near a finite optimum a Newton step hardly moves any row. Along a direction that separates,
    the margins of the separated rows grow by about 1 with every step.
    """
    data = objective.on_host()
    if data is None:
        return 0.0
    X, y, weight, shift = data
    objective.passes.n += 1
    largest = 0.0
    present = np.flatnonzero(weight > 0)
    coef, intercept = _both(step[:, :-1]), _both(step[:, -1:])[:, 0]
    offset = intercept - coef @ shift
    size = max(1, _BLOCK_SIZE // len(coef))
    for start in range(0, len(present), size):
        rows = present[start:start + size]
        margins = _margins(X[rows] @ coef.T + offset, y[rows])
        largest = max(largest, abs(margins[np.isfinite(margins)]).max())
    return largest


class _Rows:
    """The rows of positive weight, and their unpenalised columns in dense blocks.

    Parameters
    ----------
    X, y, weight, shift : as `Objective.on_host` returns them
    free : (m,) int
        Indices of the unpenalised features. `width` is m + 1, with the intercept's column.
    fit_intercept : bool
    n_rows : int
        Number of rows of theta.
    """

    def __init__(self, X, y, weight, shift, free, fit_intercept, n_rows):
        self._X, self._y, self._shift = X, y, shift
        self._present = np.flatnonzero(weight > 0)
        self._free = free
        self._fit_intercept = fit_intercept
        self.n_classes = max(n_rows, 2)
        self.n_samples = len(self._present)
        self.width = len(free) + 1
        self.n_passes = 0
        self._tolerance = 4 * (self.width + 4) * _EPS

    def restricted(self, theta):
        """Return the unpenalised parameters in theta, (n_rows, width)."""
        return theta[:, np.append(self._free, theta.shape[1] - 1)]

    def blocks(self):
        """Yield ([x, 1], y), dense; with 0 for 1 where there is no intercept."""
        self.n_passes += 1
        size = max(1, _BLOCK_SIZE // self.width)
        for start in range(0, self.n_samples, size):
            rows = self._present[start:start + size]
            design = np.empty((len(rows), self.width))
            x = self._X[rows][:, self._free]
            design[:, :-1] = x.toarray() if sparse.issparse(x) else x
            design[:, :-1] -= self._shift[self._free]
            design[:, -1] = self._fit_intercept
            yield design, self._y[rows]

    def smallest_margin(self, theta):
        """Return the smallest margin of `theta` minus a bound on its rounding error.

        theta : (n_rows, n_features + 1)
        """
        coef, intercept = _both(theta[:, :-1]), _both(theta[:, -1:])[:, 0]
        smallest = np.inf
        width = 1 if sparse.issparse(self._X) else self._X.shape[1]
        size = max(1, _BLOCK_SIZE // max(self.n_classes, width))
        tolerance = 4 * (coef.shape[1] + 4) * _EPS
        for start in range(0, self.n_samples, size):
            rows = self._present[start:start + size]
            x, y = self._X[rows], self._y[rows]
            if sparse.issparse(x):
                x = x.astype(np.float64)
                offset = intercept - coef @ self._shift
                logits = x @ coef.T + offset
                sizes = abs(x) @ abs(coef.T) + abs(coef) @ abs(self._shift) + abs(intercept)
            else:
                x = x - self._shift
                logits = x @ coef.T + intercept
                sizes = abs(x) @ abs(coef.T) + abs(intercept)
            margins = _margins(logits, y) - tolerance * _bounds(sizes, y)
            smallest = min(smallest, margins.min())
        return smallest

    def _scale(self):
        """Return the largest absolute value of every column, (width,); 1 where it is zero."""
        largest = np.zeros(self.width)
        for design, _ in self.blocks():
            np.maximum(largest, abs(design).max(axis=0), out=largest)
        return np.where(largest > 0, largest, 1.0)

    def whitening(self):
        """Return T, (width, rank of [x, 1]): the second moments of [x, 1] T are the identity."""
        factor, scale = np.zeros((0, self.width)), self._scale()
        for design, _ in self.blocks():
            factor = np.linalg.qr(np.vstack([factor, design]), mode="r")
        _, values, basis = np.linalg.svd(factor / scale, full_matrices=False)
        kept = values > 16 * (self.width + np.sqrt(self.n_samples)) * _EPS * values[0]
        basis = basis[kept].T / (values[kept] / np.sqrt(self.n_samples))
        return basis / scale[:, np.newaxis]

    def has_recession(self, direction):
        """Tell whether no margin of `direction` is negative and one is positive.

        direction : (n_classes, width)
        """
        largest, scale = -np.inf, self._scale()
        length = np.linalg.norm(direction * scale)
        for design, y in self.blocks():
            # Add the effect of rounding errors in the direction itself.
            lengths = length * np.linalg.norm(design / scale, axis=1)
            sizes = abs(design) @ abs(direction.T) + lengths[:, np.newaxis]
            margins = _margins(design @ direction.T, y)
            errors = self._tolerance * _bounds(sizes, y)
            if (margins < -errors).any():
                return False
            largest = max(largest, (margins - errors)[np.isfinite(margins)].max())
        return largest > 0


def _both(rows):
    """Return the parameters of all classes; for the binary model, zeros for the first class."""
    return rows if len(rows) > 1 else np.vstack([np.zeros_like(rows), rows])


def _margins(logits, y):
    """Compute the margins of rows over every class, (n, n_classes); inf for a row's own class."""
    own = np.arange(len(y)), y
    margins = logits[own][:, np.newaxis] - logits
    margins[own] = np.inf
    return margins


def _bounds(sizes, y):
    """Return the sums of the sizes of the two logits whose difference is a margin."""
    return sizes[np.arange(len(y)), y][:, np.newaxis] + sizes


def _by_linear_programme(rows, start):
    """Decide `is_separated` by the linear programme; None if it is too large or undecided.

    rows : _Rows
    start : (n_classes, width)
        Direction whose smallest margins give the first constraints.
    """
    n_classes = rows.n_classes
    if (n_classes - 1) * rows.width > _MAX_VARIABLES:
        return None
    basis = rows.whitening()
    rank = basis.shape[1]
    if rank == 0:
        return False
    size = (n_classes - 1) * rank
    # A shift common to all classes changes no margin, so the first class is held at 0.
    direction = np.linalg.lstsq(basis, (start - start[0]).T, rcond=None)[0].T
    constraints = np.zeros((0, size))
    mean = _mean_margins(rows, basis)
    bound = np.inf
    for _ in range(_MAX_ROUNDS):
        found, smallest = _smallest_margins(rows, basis, direction, bound)
        if smallest >= bound:
            break
        bound = -_VIOLATED
        constraints = np.vstack([constraints, found])
        if np.count_nonzero(constraints) > _MAX_NONZEROS:
            return None
        result = linprog(
            -mean, A_ub=sparse.csr_array(-constraints), b_ub=np.zeros(len(constraints)),
            bounds=(-1, 1), method="highs-ds",
            options={"primal_feasibility_tolerance": _FEASIBLE,
                     "dual_feasibility_tolerance": _FEASIBLE, "maxiter": _MAX_PIVOTS},
        )
        if result.status != 0:
            return None
        if -result.fun <= _ZERO:
            return False
        direction[1:] = result.x.reshape(n_classes - 1, rank)
    exact = _on_the_boundary(rows, basis, direction)
    return True if rows.has_recession(exact @ basis.T) else None


def _pair_rows(u, y, own, other, n_classes):
    """Return the gradients of margins in the direction of all classes but the first.

    Parameters
    ----------
    u : (n, rank)
        Whitened rows of a block.
    y : (n,) int
    own, other : (m,) int
        Row and other class of every margin.
    n_classes : int

    Returns
    -------
    gradients : (m, (n_classes - 1) * rank)
    """
    out = np.zeros((len(own), n_classes, u.shape[1]))
    index = np.arange(len(own))
    out[index, y[own]] += u[own]
    out[index, other] -= u[own]
    return out[:, 1:].reshape(len(own), (n_classes - 1) * u.shape[1])


def _mean_margins(rows, basis):
    """Compute the gradient of the mean margin in the direction of all classes but the first."""
    total = np.zeros((rows.n_classes, basis.shape[1]))
    for design, y in rows.blocks():
        u = design @ basis
        for k in range(rows.n_classes):
            total[k] += rows.n_classes * u[y == k].sum(axis=0) - u.sum(axis=0)
    return total[1:].ravel() / (rows.n_samples * (rows.n_classes - 1))


def _smallest_margins(rows, basis, direction, below):
    """Return the gradients of the smallest margins among those `below` a bound, and the smallest.

    The number of gradients is limited to a few for each variable. Without such a margin the
    smallest is inf.
    """
    room = 4 * direction[1:].size + 100
    gradients, values = [np.zeros((0, direction[1:].size))], [np.zeros(0)]
    for design, y in rows.blocks():
        u = design @ basis
        margins = _margins(u @ direction.T, y)
        own, other = np.nonzero(margins < below)
        order = np.argsort(margins[own, other], kind="stable")[:room]
        own, other = own[order], other[order]
        gradients.append(_pair_rows(u, y, own, other, rows.n_classes))
        values.append(margins[own, other])
    gradients, values = np.concatenate(gradients), np.concatenate(values)
    return gradients[np.argsort(values, kind="stable")[:room]], values.min(initial=np.inf)


def _on_the_boundary(rows, basis, direction):
    """Return the closest direction whose margins are 0 where those of `direction` are small."""
    size = direction[1:].size
    factor, n_active = np.zeros((0, size)), 0
    for design, y in rows.blocks():
        u = design @ basis
        margins = _margins(u @ direction.T, y)
        own, other = np.nonzero(np.abs(margins) <= _ACTIVE)
        for start in range(0, len(own), max(1, _BLOCK_SIZE // size)):
            part = slice(start, start + max(1, _BLOCK_SIZE // size))
            active = _pair_rows(u, y, own[part], other[part], rows.n_classes)
            factor = np.linalg.qr(np.vstack([factor, active]), mode="r")
        n_active += len(own)
    out = direction.copy()
    if n_active:
        _, values, spanned = np.linalg.svd(factor, full_matrices=False)
        spanned = spanned[values > 16 * (size + np.sqrt(n_active)) * _EPS * values[0]]
        out[1:] -= ((out[1:].ravel() @ spanned.T) @ spanned).reshape(out[1:].shape)
    return out
