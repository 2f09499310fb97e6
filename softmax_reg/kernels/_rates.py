"""How fast a backend is; what the choice of a solver goes by."""

from typing import NamedTuple


class Rates(NamedTuple):
    """Operations, bytes or numbers a second. Their ratios matter, not their sizes.

    Attributes
    ----------
    product, sparse_product : float
        Floating-point operations of products over the rows.
    factor : float
        Those of factorisations.
    memory : float
        Bytes of X read.
    softmax : float
        Logits.
    pass_seconds : float
        What a pass over the rows takes however few they are.
    """

    product: float
    sparse_product: float
    factor: float
    memory: float
    softmax: float
    pass_seconds: float
