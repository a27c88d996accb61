"""Log entries of meta-training: metrics of a meta-step, and σ of every module."""

from __future__ import annotations

import numpy as np

from tts_meta.meta import MetaLearner, MetaStepMetrics
from tts_meta.report.figures import draw_bars
from tts_meta.report.log import FIGURE, HISTOGRAM, Log


def log_meta_step(log: Log, learner: MetaLearner, metrics: MetaStepMetrics, step: int, seconds: float) -> None:
    """Log the metrics of a meta-step and, if the learner learns variances, σ of each module as scalars.

    Statistics and counts of the learner have the tag `meta/NAME`, or their own name if it has a slash.
    """
    scalars = {
        "query_before": metrics.loss_before,
        "query_after": metrics.loss_after,
        "gradient_norm": metrics.gradient_norm,
        "skipped": metrics.skipped,
        "seconds": seconds,
        **metrics.statistics,
        **metrics.counts,
    }
    for name, value in scalars.items():
        log.scalar(name if "/" in name else f"meta/{name}", value, step)
    for name, variance in learner.module_variances().items():
        log.scalar(f"sigma/{name}", variance**0.5, step)


def log_sigmas(log: Log, learner: MetaLearner, step: int) -> None:
    """Log σ of all modules as one figure and one histogram, if the learner learns variances."""
    sigmas = {name: variance**0.5 for name, variance in learner.module_variances().items()}
    if sigmas:
        log.image(f"{FIGURE}/sigma", draw_bars(sigmas, "σ of each module", logarithmic=True), step)
        log.histogram(f"{HISTOGRAM}/log10_sigma", np.log10(list(sigmas.values())), step)
