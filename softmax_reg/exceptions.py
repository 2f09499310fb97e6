"""Warnings of this package."""

from sklearn.exceptions import ConvergenceWarning


class SeparationWarning(ConvergenceWarning):
    """The classes can be separated, provably, by coefficients that nothing penalises.

    Then there is no optimum: scaling the coefficients up lowers the objective for
    ever. The fit stops with finite coefficients whose objective is within tol of
    its infimum as far as Newton's decrement tells; probabilities of the separated rows tend
    to 0 and 1.
    """
