"""Predicted naturalness without a reference: DistillMOS and DNSMOS, two networks trained on ratings of listeners.

DistillMOS (Stahl and Gamper 2025, arXiv 2502.05356) separates classic synthesis, neural synthesis and real speech.
DNSMOS (Reddy et al. 2022, arXiv 2110.01763) was made for noise suppression and hardly reacts to over-smoothing. Both
networks predict a mean opinion score (MOS) from 1 to 5 at 16 kHz.
"""

from __future__ import annotations

import numpy as np

from tts_meta.audio.waveform import SPEECH_RATE, at_rate
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.optional_deps import load_extra, quiet


def _load_distillmos(settings: Settings) -> MetricFunction:
    import torch

    package = load_extra("distillmos")
    with quiet():
        model = package.ConvTransformerSQAModel().eval().to(settings.device)

    @torch.no_grad()
    def score(sample: Sample) -> dict[str, Measure]:
        samples = torch.from_numpy(at_rate(sample.waveform, sample.rate)).to(settings.device)
        with quiet():
            return {"distillmos": Measure(float(model(samples[None])))}

    return score


def _load_dnsmos(settings: Settings) -> MetricFunction:
    package = load_extra("speechmos.dnsmos")

    def score(sample: Sample) -> dict[str, Measure]:
        samples = np.clip(at_rate(sample.waveform, sample.rate), -1, 1)
        with quiet():
            opinions = package.run(samples, SPEECH_RATE)
        return {"dnsmos": Measure(float(opinions["ovrl_mos"]))}

    return score


DISTILLMOS = Metric((Column("distillmos", "DistillMOS", 2, "higher"),), _load_distillmos, packages=("distillmos",))
DNSMOS = Metric((Column("dnsmos", "DNSMOS", 2, "higher"),), _load_dnsmos, packages=("speechmos",))
