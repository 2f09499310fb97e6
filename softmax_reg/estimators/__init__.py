"""scikit-learn's contract: parameters, validation, warnings, callbacks, folds, paths."""
