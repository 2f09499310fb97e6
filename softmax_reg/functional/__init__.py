"""The public functions of logits and probabilities, in NumPy; no other folder is imported."""

from .functions import log_sigmoid, log_softmax, logsumexp, sigmoid, softmax
from .losses import binary_cross_entropy, cross_entropy, entropy, kl_divergence

__all__ = [
    "binary_cross_entropy", "cross_entropy", "entropy", "kl_divergence", "log_sigmoid",
    "log_softmax", "logsumexp", "sigmoid", "softmax",
]
