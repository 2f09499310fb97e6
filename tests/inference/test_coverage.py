"""Coverage of 95 % intervals in few draws; `tests/coverage.py` is the long form.

Bounds are those of a parameter that is covered in 95 % of independent draws: a share outside of
them has a probability of 1e-6. Fixed seeds, so a test fails always or never.
"""

import pytest
from scipy.stats import binom

from tests.coverage import BAD, KINDS, simulate

pytestmark = pytest.mark.slow

N_DRAWS = 200


@pytest.mark.parametrize("design", list(dict.fromkeys(kind.design for kind in KINDS)))
def test_intervals_cover_their_targets(design):
    """Every parameter of every kind of interval; wrong errors miss one of theirs."""
    hits = simulate(design, N_DRAWS, seed=1)
    least = binom.ppf(1e-6, N_DRAWS, 0.95) / N_DRAWS
    for _, name, asked in (kind for kind in KINDS if kind.design == design):
        each = hits[name].mean(axis=0)
        if asked == BAD:
            assert each.min() < 0.9, name
        else:
            assert each.min() >= least, name


def test_draws_do_not_depend_on_how_many_there_are():
    """The first draws of a longer simulation are those of a shorter one."""
    few, more = (simulate("prior", n_draws, seed=3)["bayes"] for n_draws in (2, 4))
    assert (more[:2] == few).all()
