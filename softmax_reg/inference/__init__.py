"""Standard errors, tests and intervals of a fitted model: `InferenceResult`.

`SoftmaxRegression.inference` checks the arguments and calls `inference_at`. `compare` takes two
results.
"""

from .comparison import compare
from .influence import Influence
from .margins import MarginalEffects
from .result import InferenceResult
from .score_test import ScoreTest

__all__ = ["Influence", "InferenceResult", "MarginalEffects", "ScoreTest", "compare"]
