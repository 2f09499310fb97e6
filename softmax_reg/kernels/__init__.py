"""Row-block kernels: the only package that imports numba.

``reference`` is the definition of right, in plain NumPy; ``cpu`` is what a fit
runs. Both offer the same functions over the same `Rows`, so an objective takes
either as its backend.
"""
