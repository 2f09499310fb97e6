"""Figures in scikit-learn's convention; drawing needs matplotlib, the extra ``plot``."""

from .coefficients import CoefficientDisplay
from .convergence import ConvergenceDisplay
from .forest import ForestDisplay
from .marginal_effects import MarginalEffectsDisplay
from .regularization_path import RegularizationPathDisplay

__all__ = [
    "CoefficientDisplay", "ConvergenceDisplay", "ForestDisplay", "MarginalEffectsDisplay",
    "RegularizationPathDisplay",
]
