"""What solvers do with long vectors and large matrices, as one interface."""

from ..kernels import descent, descent_kronecker
from ..parallel import algebra
from ..parallel.blas import one_blas_thread


class HostAlgebra:
    """Products and descents on the kernel threads; see `parallel.algebra` and `kernels.descent`.

    BLAS itself is held to one thread within ``one_blas_thread()``.
    """

    one_blas_thread = staticmethod(one_blas_thread)
    product = staticmethod(algebra.product)
    centred_gram = staticmethod(algebra.centred_gram)
    centred_product = staticmethod(algebra.centred_product)
    resident = staticmethod(algebra.resident)
    empty_vectors = staticmethod(algebra.empty_vectors)
    set_vector = staticmethod(algebra.set_vector)
    inner_products = staticmethod(algebra.inner_products)
    combination = staticmethod(algebra.combination)
    coordinate_descent = staticmethod(descent.coordinate_descent)
    group_descent = staticmethod(descent.group_descent)
    kronecker_descent = staticmethod(descent_kronecker.kronecker_descent)
    kronecker_group_descent = staticmethod(descent_kronecker.kronecker_group_descent)
    kronecker_block_descent = staticmethod(descent_kronecker.kronecker_block_descent)


HOST_ALGEBRA = HostAlgebra()
