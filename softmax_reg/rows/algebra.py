"""The solvers' products of long vectors and large matrices, and descents, as one interface."""

from ..parallel import algebra
from ..parallel.blas import one_blas_thread


class HostAlgebra:
    """Products on the kernel threads, `parallel.algebra`; descents on the calling thread.

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

    # Import kernels in the methods: fits without an L1 part may then not need Numba at all.

    @staticmethod
    def coordinate_descent(*args):
        """See `kernels.descent.coordinate_descent`."""
        from ..kernels import descent

        return descent.coordinate_descent(*args)

    @staticmethod
    def minimise_models(*args):
        """See `kernels.models.minimise_models`."""
        from ..kernels import models

        models.minimise_models(*args)

    @staticmethod
    def group_descent(*args):
        """See `kernels.descent.group_descent`."""
        from ..kernels import descent

        return descent.group_descent(*args)

    @staticmethod
    def kronecker_descent(*args):
        """See `kernels.descent_kronecker.kronecker_descent`."""
        from ..kernels import descent_kronecker

        return descent_kronecker.kronecker_descent(*args)

    @staticmethod
    def kronecker_group_descent(*args):
        """See `kernels.descent_kronecker.kronecker_group_descent`."""
        from ..kernels import descent_kronecker

        return descent_kronecker.kronecker_group_descent(*args)

    @staticmethod
    def kronecker_block_descent(*args):
        """See `kernels.descent_kronecker.kronecker_block_descent`."""
        from ..kernels import descent_kronecker

        return descent_kronecker.kronecker_block_descent(*args)


HOST_ALGEBRA = HostAlgebra()
