"""The state that a fit leaves in ``objective.kept`` for the next one on the same rows."""


def inherited(objective, kind):
    """Return ``objective.kept`` if it is a `kind`; None if another solver, or none, left it.

    Along a path the penalty, and the solver with it, may change from one fit to the next.
    """
    return objective.kept if isinstance(objective.kept, kind) else None
