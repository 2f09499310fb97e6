"""Kernels that transpose sparse rows: each works on one range of rows.

All ranges count the entries of their columns first. The counts tell each range the places of its
entries, so that threads write at the same time without meeting.
"""

from .jit import kernel


@kernel
def count_columns(rows, start, stop, counts):
    """Count the entries of each column in the rows start to stop.

    counts : (n_features,) integers, overwritten
    """
    if not (0 <= start <= stop <= rows.n_samples and len(counts) == rows.n_features):
        raise ValueError("count_columns: shapes do not fit")
    counts[:] = 0
    for entry in range(rows.indptr[start], rows.indptr[stop]):
        counts[rows.indices[entry]] += 1


@kernel
def place_entries(rows, start, stop, places, indices, data):
    """Write the entries of the rows start to stop to their places in the transpose.

    Parameters
    ----------
    places : (n_features,) integers, overwritten
        Place of the next entry of each column.
    indices, data : (n_entries,), overwritten
        Row and value of each entry of the transpose.
    """
    if not (0 <= start <= stop <= rows.n_samples and len(places) == rows.n_features):
        raise ValueError("place_entries: shapes do not fit")
    for i in range(start, stop):
        for entry in range(rows.indptr[i], rows.indptr[i + 1]):
            column = rows.indices[entry]
            place = places[column]
            places[column] = place + 1
            indices[place] = i
            data[place] = rows.data[entry]
