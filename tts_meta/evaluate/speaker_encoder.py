"""The speaker encoder by which similarity is measured: see `tts_meta.models.speaker_encoder`, where it is."""

from tts_meta.models.speaker_encoder import (
    Embedding,
    SpeakerEncoder,
    cut_pauses,
    partial_starts,
    power_mel,
    raise_volume,
)

__all__ = ["Embedding", "SpeakerEncoder", "cut_pauses", "partial_starts", "power_mel", "raise_volume"]
