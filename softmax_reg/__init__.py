"""Softmax (multinomial logistic) regression with a certified optimum."""

from .cross_validation import SoftmaxRegressionCV
from .display import CoefficientDisplay, ConvergenceDisplay, RegularizationPathDisplay
from .estimator import SoftmaxRegression
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
from .path import softmax_path

__version__ = "0.1.0"

__all__ = [
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "RegularizationPathDisplay",
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
]
