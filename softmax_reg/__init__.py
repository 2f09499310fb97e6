"""Softmax (multinomial logistic) regression with a certified optimum.

Estimators, in scikit-learn's convention: `SoftmaxRegression`; `SoftmaxRegressionCV`, which
chooses C and l1_ratio. `softmax_path` fits a grid of C. `RowBlocks` stand for an X that is
larger than memory. Displays draw what they did;
`to_sklearn` and `softmax_reg.onnx` hand models on. What is minimised is public too: `softmax`,
`cross_entropy` and their relatives, on logits or probabilities.

The user guide is examples/README.md of the source tree.
"""

from . import _moved  # noqa: F401
from .display import (
    CoefficientDisplay,
    ConvergenceDisplay,
    ForestDisplay,
    MarginalEffectsDisplay,
    RegularizationPathDisplay,
)
from .estimators.cross_validation import SoftmaxRegressionCV
from .estimators.nested import to_sklearn
from .estimators.path import softmax_path
from .estimators.regression import SoftmaxRegression
from .exceptions import SeparationWarning
from .functional import (
    binary_cross_entropy,
    cross_entropy,
    entropy,
    kl_divergence,
    log_sigmoid,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
)
from .rows.row_blocks import RowBlocks

__version__ = "0.1.0"

__all__ = [
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "ForestDisplay",
    "MarginalEffectsDisplay",
    "RegularizationPathDisplay",
    "RowBlocks",
    "SeparationWarning",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "binary_cross_entropy",
    "cross_entropy",
    "entropy",
    "kl_divergence",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "sigmoid",
    "softmax",
    "softmax_path",
    "to_sklearn",
]
