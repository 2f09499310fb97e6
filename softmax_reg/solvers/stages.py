"""Stages of the minimisation of objectives on the same rows, and starting points for later ones.

The first stage is a coarse grid of the strengths of their penalties. Optima for strengths in
between are near an interpolation of those found.
"""

import numpy as np

# Every so many strengths are in a stage: of the first stage, the second, ... Smallest number of
# strengths with several stages.
_STRIDES = 16, 4, 1
_FEWEST = 16
# Number of optima that an interpolation takes.
_NODES = 4


def stages(strengths):
    """Return the stage of each objective.

    Parameters
    ----------
    strengths : list of arrays
        Strengths of the penalties of the objectives, for each set of rows.

    Returns
    -------
    list of (m,) integers, ascending
        Indices of the objectives in each stage, of all sets of rows.
    """
    of_each = []
    for own in strengths:
        stage = np.zeros(len(own), dtype=int)
        if len(own) >= _FEWEST:
            order = np.argsort(own, kind="stable")
            for i in reversed(range(len(_STRIDES))):
                stage[order[::_STRIDES[i]]] = i
            stage[order[-1]] = 0
        of_each.append(stage)
    whole = np.concatenate(of_each)
    return [np.flatnonzero(whole == i) for i in range(whole.max() + 1)]


def interpolated(strengths, thetas, known):
    """Interpolate optima for all strengths by polynomials in their logarithm.

    A coefficient that changes its sign on the way, or is 0 on both sides, is 0.

    Parameters
    ----------
    strengths : (n,)
    thetas : (n, n_rows, n_features + 1)
    known : (m,) integers
        Indices of the optima that are known.

    Returns
    -------
    starts : (n, n_rows, n_features + 1)
        NaN where strengths coincide.
    """
    at, known = np.log(strengths), known[np.argsort(strengths[known], kind="stable")]
    n_nodes, nodes = min(_NODES, len(known)), at[known]
    above = np.clip(np.searchsorted(nodes, at), 1, len(nodes) - 1)
    first = np.clip(above - n_nodes // 2, 0, len(nodes) - n_nodes)
    places = first[:, np.newaxis] + np.arange(n_nodes)
    apart = at[:, np.newaxis] - nodes[places]
    weights = np.ones(places.shape)
    for i in range(n_nodes):
        for j in range(n_nodes):
            if j != i:
                weights[:, i] *= apart[:, j] / (nodes[places[:, i]] - nodes[places[:, j]])
    starts = np.einsum("ni,nikj->nkj", weights, thetas[known[places]])
    sides = np.sign(thetas[known[above - 1]]) + np.sign(thetas[known[above]])
    starts[..., :-1][(starts * sides <= 0)[..., :-1]] = 0.0
    return starts
