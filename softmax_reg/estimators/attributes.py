"""Types of parameters that estimators share, and of attributes of a cross-validation."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Types of parameters.
ClassWeight: TypeAlias = dict[Any, Any] | Literal["balanced"] | None
Solver: TypeAlias = Literal["auto", "lbfgs", "newton-cholesky", "newton-cg"]
Device: TypeAlias = Literal["cpu", "cuda"]
Precision: TypeAlias = Literal["auto", "tf32x3"]
Bounds: TypeAlias = tuple[ArrayLike, ArrayLike] | list[Any] | NDArray[Any] | None
Penalty: TypeAlias = Literal["l1", "l2", "elasticnet"] | None


class CrossValidated:
    """Fitted attributes of `SoftmaxRegressionCV` beside those of its model, without values."""

    C_: float
    l1_ratio_: float
    Cs_: NDArray[np.float64]
    l1_ratios_: NDArray[np.float64]
    scores_: NDArray[np.float64]
    coefs_paths_: NDArray[np.float64]
    gaps_paths_: NDArray[np.float64]
