"""Speaker similarity by a second encoder, an ECAPA-TDNN: the cosine after the mean of a cohort is subtracted.

Embeddings of all speakers have a large common part, which raises every cosine. `EcapaEncoder` subtracts the mean
embedding of the real speech of its training speakers. The cosine of two speakers is then near 0, and differences
between good voices are larger.
"""

from __future__ import annotations

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.evaluate.similarity import cosine
from tts_meta.files import sha256_file
from tts_meta.models.ecapa_encoder import EcapaEncoder, shipped_encoder

NAME = "similarity_ecapa"
"""Name of the metric and of its column."""


def _load(settings: Settings) -> MetricFunction:
    encoder = EcapaEncoder.load(settings.device)

    def score(sample: Sample) -> dict[str, Measure]:
        assert sample.ecapa_voice is not None
        try:
            embedding = encoder.embed(sample.waveform, sample.rate)
        except TtsMetaError:
            return {NAME: Measure(0.0)}  # silence has no speaker
        return {NAME: Measure(cosine(embedding, sample.ecapa_voice))}

    return score


METRIC = Metric(
    (Column(NAME, "ECAPA similarity, centred", 3, "higher"),),
    _load,
    needs=("ecapa_voice",),
    model=lambda settings: sha256_file(shipped_encoder() / "model.safetensors"),
)
