"""The speaker encoder by which similarity is measured: see `tts_meta.models.speaker_encoder`, where it is."""

from tts_meta.models.speaker_encoder import (
    Embedding,
    SpeakerEncoder,
    normalize_volume,
    partial_starts,
    power_mel,
    trim_long_silences,
)

__all__ = ["Embedding", "SpeakerEncoder", "normalize_volume", "partial_starts", "power_mel", "trim_long_silences"]
