"""Warnings of this package, and the place in the user's code that they name."""

from __future__ import annotations

import sys
import warnings

from sklearn.exceptions import ConvergenceWarning

# Packages whose lines a warning does not name: the user called them.
_INSIDE = ("softmax_reg", "sklearn", "joblib")


class SeparationWarning(ConvergenceWarning):
    """The classes can be separated, provably, by coefficients that nothing penalises.

    Then there is no optimum: scaling the coefficients up lowers the objective for
    ever. The fit stops with finite coefficients whose objective is within tol of
    its infimum as far as Newton's decrement tells; probabilities of the separated rows tend
    to 0 and 1.
    """


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning that names the line from which the user called scikit-learn or us."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
