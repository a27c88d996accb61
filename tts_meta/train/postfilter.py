"""Measurement of the variance postfilter, which corrects the over-smooth mels of a trained acoustic model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tts_meta.corpus import Example
from tts_meta.evaluate.variance import log_mel_variance
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions

_SMOOTH = SynthesisOptions(postfilter=0)
"""Synthesis without the postfilter."""
_MIN_FRAMES = 50
"""Variance is measured on segments of at least this many frames."""


def measure_postfilter(base: Base, segments: Iterable[Example]) -> None:
    """Set the factors of the postfilter from aligned segments on which the model was not trained.

    `base.state` then holds the ratio of the variance of the model's log-mels to that of speech, without and with the
    postfilter.
    """
    long = [segment for segment in segments if len(segment.mel) >= _MIN_FRAMES]
    if not long:
        return
    model, real = base.acoustic, [segment.mel for segment in long]
    generated = [model.generate(p.tokens, base.speakers.index(p.speaker), p.durations, options=_SMOOTH) for p in long]
    model.postfilter.measure(real, generated)
    filtered = [model.postfilter(mel) for mel in generated]
    speech, *synthetic = (
        np.sum([log_mel_variance(mel.cpu().double().numpy()) for mel in mels], axis=0)
        for mels in (real, generated, filtered)
    )
    for name, place in (("mel_variance", 0), ("mel_detail", 1)):
        base.state[name] = [round(float(mels[place] / speech[place]), 3) for mels in synthetic]
