"""How much smoother than speech a trained model speaks, and the postfilter that makes up for it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tts_meta.corpus import Example
from tts_meta.evaluate.variance import log_mel_variance
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions

_SMOOTH = SynthesisOptions(postfilter=0)
"""As it is before the postfilter."""
_LONG_ENOUGH = 50
"""Frames of a piece from which its variance is measured."""


def measure_postfilter(base: Base, pieces: Iterable[Example]) -> None:
    """Set the factors of the postfilter by what the model says for aligned pieces that it was not trained on.

    `base.state` then holds the variance of its log-mels over that of speech, without and with the postfilter.
    """
    long = [piece for piece in pieces if len(piece.mel) >= _LONG_ENOUGH]
    if not long:
        return
    model, real = base.acoustic, [piece.mel for piece in long]
    made = [model.generate(p.tokens, base.speakers.index(p.speaker), p.durations, options=_SMOOTH) for p in long]
    model.postfilter.measure(real, made)
    sharp = [model.postfilter(mel) for mel in made]
    speech, *spoken = (
        np.sum([log_mel_variance(mel.double().numpy()) for mel in mels], axis=0) for mels in (real, made, sharp)
    )
    for name, place in (("mel_variance", 0), ("mel_detail", 1)):
        base.state[name] = [round(float(mels[place] / speech[place]), 3) for mels in spoken]
