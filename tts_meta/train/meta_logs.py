"""Log entries of meta-training: metrics of a meta-step, and σ of every module."""

from __future__ import annotations

import numpy as np

from tts_meta.meta import MetaLearner, MetaStepMetrics
from tts_meta.report.figures import draw_bars
from tts_meta.report.log import FIGURE, HISTOGRAM, Log


def log_meta_step(log: Log, learner: MetaLearner, metrics: MetaStepMetrics, step: int, seconds: float) -> None:
    """Log the metrics of a meta-step and, if the learner has variances, σ of each module as scalars."""
    scalars = {
        "query_before": metrics.loss_before,
        "query_after": metrics.loss_after,
        "gradient_norm": metrics.gradient_norm,
        "stationarity": metrics.stationarity,
        "residual": metrics.residual,
        "hessian_products": metrics.hessian_products,
        "skipped": metrics.skipped,
        "seconds": seconds,
    }
    for name, value in scalars.items():
        log.scalar(f"meta/{name}", value, step)
    for outcome, count in metrics.outcomes.items():
        log.scalar(f"linear_solver/{outcome}", count, step)
    if learner.preset.prior == "shrinkage":
        for name, variance in learner.variances().items():
            log.scalar(f"sigma/{name}", variance**0.5, step)


def log_sigmas(log: Log, learner: MetaLearner, step: int) -> None:
    """Log σ of all modules as one figure and one histogram, if the learner has variances."""
    if learner.preset.prior == "shrinkage":
        sigmas = {name: variance**0.5 for name, variance in learner.variances().items()}
        log.image(f"{FIGURE}/sigma", draw_bars(sigmas, "σ of each module", logarithmic=True), step)
        log.histogram(f"{HISTOGRAM}/log10_sigma", np.log10(list(sigmas.values())), step)
