"""PESQ and STOI: distance of a copy-synthesis to its recording, as papers on vocoders report it.

PESQ is wideband PESQ (ITU-T P.862.2), from 1 to 4.64: a perceptual model that compares loudness over time. STOI (Taal
et al. 2011), up to 1, is a correlation of band envelopes that measures intelligibility. Both metrics use audio at 16
kHz. Both metrics apply only to copy-synthesis, which has the timing of the recording. Synthesised speech has another
length and gets no score.
"""

from __future__ import annotations

import numpy as np

from tts_meta.audio.waveform import SPEECH_RATE, Samples, at_rate
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.optional_deps import load_extra, quiet

_SAME_LENGTH = 0.05
"""Largest difference between the lengths of a recording and its copy-synthesis, seconds."""


def _pair(sample: Sample) -> tuple[Samples, Samples] | None:
    """Return the recording and its copy-synthesis, cut to the same length.

    Returns None if the lengths differ by more than `_SAME_LENGTH`.
    """
    assert sample.reference is not None
    copy, real = (
        at_rate(waveform, rate)
        for waveform, rate in ((sample.waveform, sample.rate), (sample.reference, sample.reference_rate or sample.rate))
    )
    if abs(len(copy) - len(real)) > _SAME_LENGTH * SPEECH_RATE:
        return None
    size = min(len(copy), len(real))
    return real[:size], copy[:size]


def _load_pesq(settings: Settings) -> MetricFunction:
    package = load_extra("pesq")

    def score(sample: Sample) -> dict[str, Measure]:
        pair = _pair(sample)
        return {} if pair is None else {"pesq": Measure(float(package.pesq(SPEECH_RATE, *pair, "wb")))}

    return score


def _load_stoi(settings: Settings) -> MetricFunction:
    package = load_extra("pystoi")

    def score(sample: Sample) -> dict[str, Measure]:
        pair = _pair(sample)
        if pair is None:
            return {}
        with quiet():
            return {"stoi": Measure(float(package.stoi(*(np.asarray(x, float) for x in pair), SPEECH_RATE)))}

    return score


PESQ = Metric((Column("pesq", "PESQ", 2, "higher"),), _load_pesq, needs=("reference",), packages=("pesq",))
STOI = Metric((Column("stoi", "STOI", 3, "higher"),), _load_stoi, needs=("reference",), packages=("pystoi",))
