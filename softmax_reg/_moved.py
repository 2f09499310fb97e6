"""Names of modules under which pickles of 0.1 look for what lives elsewhere now."""

import sys

from .estimators import cross_validation, regression
from .parallel import algebra
from .streaming import posterior, stream

for _name, _module in {
    "estimator": regression, "cross_validation": cross_validation, "_online": stream,
    "_precision": posterior, "kernels._linear": algebra,
}.items():
    sys.modules.setdefault(f"{__package__}.{_name}", _module)
