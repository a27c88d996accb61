"""Adaptation as inference: priors over module parameters and inner solvers, for any model, loss and partition."""

from tts_meta.meta.inner import ProximalAdam, Trace, solve
from tts_meta.meta.prior import ShrinkagePrior

__all__ = ["ProximalAdam", "ShrinkagePrior", "Trace", "solve"]
