"""Standard errors, tests and intervals of a fitted model: `InferenceResult`.

`SoftmaxRegression.inference` checks the arguments and calls `inference_at`. `compare` takes two
results.
"""

from .comparison import compare
from .margins import MarginalEffects
from .result import InferenceResult

__all__ = ["InferenceResult", "MarginalEffects", "compare"]
