"""Spectral correction: moves the mean spectrum of the voice's own output to that of the recordings, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tts_meta.adapt.voice import Voice, as_stored
from tts_meta.corpus import Example
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base
from tts_meta.models.prosody import measure_prosody
from tts_meta.models.synthesis_options import SynthesisOptions

CORRECTED_MODULE = "postnet.output.bias"
"""The parameter that the correction changes. It belongs to the last layer. The decoder does not read its output."""
SPECTRAL_CORRECTION_VERSION = 1
"""Version of the correction. Increase this version when the same voice and recordings would give another correction."""
_QUIET = 0.3
"""Fraction of the frames of a sentence that are ignored, those of the lowest level. Most of them are pauses."""


def correct_spectrum(
    base: Base, examples: Sequence[Example], fraction: float, deltas: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the deltas of a voice with the spectral correction, rounded as in the voice file.

    examples: the sentences that the voice was adapted on. fraction: fraction of the difference that is removed, 0 to 1.
    deltas: changes by name, as in `Voice`. Raises TtsMetaError if the voice diverged.
    """
    voice = Voice(dict(deltas), base.hash, (), 0)
    change = fraction * spectral_difference(voice.apply(base), examples)
    return as_stored({**deltas, CORRECTED_MODULE: deltas.get(CORRECTED_MODULE, 0.0) + change})


@torch.no_grad()
def spectral_difference(model: AcousticModel, examples: Sequence[Example]) -> Tensor:
    """Return the mean over the louder frames of (recording - output of the model), `(M,)` in normalised log-mels.

    The model generates each sentence from its own previous frames, with the durations and the prosody of the recording.
    The frames of recording and output therefore have the same symbols. The postfilter is off. The result is on the CPU.
    Raises TtsMetaError if the output is not finite.
    """
    total, count = torch.zeros(model.n_mels), 0
    for example in examples:
        prosody = measure_prosody(example.mel[None], example.durations[None], model.mel_config)[0]
        output = model.generate(
            example.tokens, durations=example.durations, prosody=prosody, options=SynthesisOptions(postfilter=0.0)
        )
        level = example.mel.logsumexp(-1)
        loud = level >= level.quantile(_QUIET)
        total += (example.mel - output.cpu())[loud].sum(0)
        count += int(loud.sum())
    return total / count / model.mel_scale.cpu()
