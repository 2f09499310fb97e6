"""BLAS and LAPACK routines that release the GIL and work in place.

SciPy's Python wrappers hold the GIL during a call, so that two threads take turns. SciPy also
exports the routines for Cython, as pointers in capsules; ctypes calls these without the GIL.
All matrices are float64 and Fortran-ordered, or views of such matrices: a view has the columns
of its base a constant stride apart. Nothing is checked.
"""

import ctypes

from scipy.linalg import cython_blas, cython_lapack

_name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _routine(module, name, n_arguments):
    """Return a Fortran routine as a function of that many pointers."""
    capsule = module.__pyx_capi__[name]
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
    return prototype(_pointer_of(capsule, _name_of(capsule)))


_dgemm = _routine(cython_blas, "dgemm", 13)
_dsyrk = _routine(cython_blas, "dsyrk", 10)
_dtrsm = _routine(cython_blas, "dtrsm", 11)
_dpotrf = _routine(cython_lapack, "dpotrf", 5)
# SciPy may be built for integers of 64 bits; the capsule's name is the routine's signature.
_int = ctypes.c_int if b" int *" in _name_of(cython_lapack.__pyx_capi__["dpotrf"]) else (
    ctypes.c_int64
)
_ONE, _MINUS_ONE = (ctypes.byref(ctypes.c_double(number)) for number in (1.0, -1.0))


def _integer(number):
    return ctypes.byref(_int(number))


def _matrix(view):
    """Return the address of a view, and the stride of its columns in numbers."""
    return view.ctypes.data, _integer(view.strides[1] // view.itemsize)


def factorise(matrix):
    """Overwrite the upper triangle of A, (n, n), by R with A = R'R; return whether it failed."""
    info = _int()
    _dpotrf(b"U", _integer(len(matrix)), *_matrix(matrix), ctypes.byref(info))
    return info.value != 0


def half_solve(factor, columns):
    """Overwrite C, (n, m), by R'^-1 C, where `factor` holds R in its upper triangle."""
    n, m = columns.shape
    _dtrsm(b"L", b"U", b"T", b"N", _integer(n), _integer(m), _ONE, *_matrix(factor),
           *_matrix(columns))


def subtract_product(left, right, out):
    """Subtract left' @ right, of (d, n) and (d, m), from `out`, (n, m)."""
    (depth, n), m = left.shape, right.shape[1]
    _dgemm(b"T", b"N", _integer(n), _integer(m), _integer(depth), _MINUS_ONE, *_matrix(left),
           *_matrix(right), _ONE, *_matrix(out))


def subtract_gram(columns, out):
    """Subtract columns' @ columns, of (d, n), from the upper triangle of `out`, (n, n)."""
    depth, n = columns.shape
    _dsyrk(b"U", b"T", _integer(n), _integer(depth), _MINUS_ONE, *_matrix(columns), _ONE,
           *_matrix(out))
