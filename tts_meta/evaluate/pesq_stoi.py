"""How near is a copy to its recording, sample for sample? Two measures that the literature on vocoders reports.

PESQ, wideband (ITU-T P.862.2), from 1 to 4.64: a model of hearing that compares loudness over time. STOI (Taal et al.
2011), up to 1: correlation of band envelopes, for intelligibility. Both at 16 kHz. They hold for copies alone, which
keep the time of the recording; what was spoken anew, in its own time, is left out.
"""

from __future__ import annotations

import numpy as np

from tts_meta.audio.waveform import SPEECH_RATE, Samples, at_rate
from tts_meta.evaluate.metric import Column, Judge, Measure, Metric, Sample, Settings
from tts_meta.evaluate.optional_deps import load_extra, quiet

_SAME_LENGTH = 0.05
"""Seconds by which the lengths of a recording and its copy may differ."""


def _pair(sample: Sample) -> tuple[Samples, Samples] | None:
    """The recording and its copy, equally long; None where it is no copy."""
    assert sample.reference is not None
    made, real = (
        at_rate(waveform, rate)
        for waveform, rate in ((sample.waveform, sample.rate), (sample.reference, sample.reference_rate or sample.rate))
    )
    if abs(len(made) - len(real)) > _SAME_LENGTH * SPEECH_RATE:
        return None
    size = min(len(made), len(real))
    return real[:size], made[:size]


def _load_pesq(settings: Settings) -> Judge:
    package = load_extra("pesq")

    def judge(sample: Sample) -> dict[str, Measure]:
        pair = _pair(sample)
        return {} if pair is None else {"pesq": Measure(float(package.pesq(SPEECH_RATE, *pair, "wb")))}

    return judge


def _load_stoi(settings: Settings) -> Judge:
    package = load_extra("pystoi")

    def judge(sample: Sample) -> dict[str, Measure]:
        pair = _pair(sample)
        if pair is None:
            return {}
        with quiet():
            return {"stoi": Measure(float(package.stoi(*(np.asarray(x, float) for x in pair), SPEECH_RATE)))}

    return judge


PESQ = Metric((Column("pesq", "PESQ", 2, "higher"),), _load_pesq, needs=("reference",), packages=("pesq",))
STOI = Metric((Column("stoi", "STOI", 3, "higher"),), _load_stoi, needs=("reference",), packages=("pystoi",))
